"""
Which stream each purpose writes to now: decisions become streams, outlets and keys.

A purpose that may collect has one active stream: its grant, pseudonym period and purpose digest, and what its rows are
timed by. When one of the four changes, the old stream ends (its windows close as partial rows, its batch is sealed by
the line) and a new one begins. Where nothing may be collected the outlets are unbound; where data is to be destroyed,
keys go first, then rows. Called by the line on the writer's thread.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from edge_sdk.clock import Now
from edge_sdk.config import Limits
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.batch import Reason
from edge_sdk.core.compile import Outlet, make_outlet
from edge_sdk.core.consent import CollectGrant, Decision, Queue, ended_grants
from edge_sdk.core.documents import RecipientKey
from edge_sdk.core.keys import SECRET_BYTES, PseudonymKey, RoutingSecret, epoch_of, next_pseudonym_key, route
from edge_sdk.core.messages import EndedStream
from edge_sdk.core.policy import Basis, Policy, Purpose, TextRule, purpose_digest
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.terms import CROSS_BORDER
from edge_sdk.core.transfer import Accepted, Fate, fate
from edge_sdk.deciding import Deciding, Wanted, timing_of
from edge_sdk.errors import ConsentRefused, DiskFull, Refused, StorageError
from edge_sdk.events import Event, tell
from edge_sdk.marks import stored_counts
from edge_sdk.recording import Recording
from edge_sdk.resuming import take_up
from edge_sdk.retention import Retention, account
from edge_sdk.sealing import Rooms
from edge_sdk.streams import Stream, new_stream
from edge_sdk.vault import PurposeEntry

_RATCHET_LIMIT = 1000  # periods passed at once; a device away longer starts from a fresh key
STEP_MS: Final = 60_000  # by so much a wall that is set anew breaks windows off; slewing stays below
_NOWHERE: Final[Wanted] = (b"", b"", -1, None)


class Binding:
    """
    The streams of one site and what they are bound to.

    Args:
        policies: the policies whose purposes queued data may still belong to, the one in force last.
    """

    def __init__(
        self, policies: list[Policy], rooms: Rooms, *, consent: ConsentState, recording: Recording,
        routing: RoutingSecret, limits: Limits,
    ) -> None:  # fmt: skip
        self.policy = policies[-1]
        self.streams: dict[int, Stream] = {}
        self.deciding = Deciding(self.policy, rooms.vault, consent)
        self.decisions = self.deciding.decisions
        self._rooms = rooms
        self._consent = consent
        self._recording = recording
        consent.count = recording.count
        self._routing = routing
        self._limits = limits
        self._editions = {purpose_digest(p): p for policy in policies for p in policy.purposes.values()}
        self._bound: dict[str, Wanted | None] = {}
        self._settled: dict[str, Wanted | None] | None = None  # what is bound, where nothing is left to be tried again
        self._phase: tuple[int, int] = (-1, 0)
        self._origin_ms: int | None = None
        self.was_unclean = False
        self.lacks_room = False  # the disk had none for keys or documents at the last decision
        self._kept_out: set[str] = set()  # purposes that may collect, for which the disk refused a stream
        self.retention = Retention(rooms, self.streams, consent=consent, recording=recording)
        self._orphans: set[int] = set()  # rows of streams whose keys are destroyed and whose data is still to go

    def load(self, mono_ms: int) -> None:
        """
        Take up the stored streams after a start.

        After a power cut: the same again.
        """
        numbers = self._rooms.outbox.numbers()
        for name, count in stored_counts(numbers).items():
            self._recording.count(name, count)
        self._recording.marks.load(numbers)
        found = take_up(self._rooms, editions=self._editions, outlets_of=self._outlets, mono_ms=mono_ms)
        self.was_unclean = found.unclean
        self.streams |= found.streams
        self._recording.count("damaged_streams", found.damaged)
        self._recording.count("damaged_rows", found.damaged_rows)
        try:
            self.retention.make_place()
        except StorageError as error:
            self._tell_trouble(error)

    @property
    def collecting(self) -> frozenset[str]:
        """
        Return the purposes that collect now.
        """
        return frozenset(name for name, want in self._bound.items() if want is not None)

    def decide(self, now: Now) -> None:
        """
        Ask what every purpose may do now, and rebind what changed; where all that it rests on is as it was, so is this.

        Where the disk refuses, nothing is collected that cannot be kept, and the next call tries again.
        """
        self.lacks_room = False
        if not self.goes_on(now):
            self._decide(now)
        if timing_of(now) is None:
            for stream in self.streams.values():
                stream.synchronise(now.origin_ms)

    def goes_on(self, now: Now) -> bool:
        """
        Tell whether all that the decisions rest on is as it was; if so, place readings by *now* from here on.
        """
        if is_settled := self._settled is self._bound and self.deciding.is_settled(now):
            with self._recording.lock:
                self._follow_wall(now)
                self._recording.turn(now)
        return is_settled

    def _decide(self, now: Now) -> None:
        self._settled, is_done = None, True
        self.deciding.decide(now)
        try:
            self._destroy_ended()
        except StorageError as error:
            is_done = False
            self._tell_trouble(error)
        wanted = self.deciding.wanted(now)
        changes = wanted != self._bound
        with self._recording.lock:  # what is recorded from here on is timed by what its stream says
            self._follow_wall(now)
            if changes:
                self._rebind(wanted, now)
            self._recording.turn(now)
        if changes:
            self._prune()
        if is_done and wanted == self._bound:
            self.deciding.remember(now)
            self._settled = self._bound

    def cut(self) -> None:
        """
        Close every open window as a partial row; a reading of the same window that comes later opens another one.
        """
        with self._recording.lock:
            for stream in self.streams.values():
                stream.cut(goes_on=not stream.record.ended)

    def grant_of(self, stream: Stream, now: Now) -> CollectGrant | None:
        """
        Return the grant to keep or seal rows of *stream* now.

        On hold nothing new comes in, but what was accepted before is kept: under the grant it was accepted with.
        """
        if stream.purpose is None:
            return None
        decision = self.deciding.of_edition(stream.purpose, stream.record.digest, now)
        return decision.collect or (None if decision.queue is Queue.DESTROY else stream.grant)

    def recipient_of(self, stream: Stream, grant: CollectGrant, now: Now) -> RecipientKey | None:
        """
        Return the key to seal batches of *stream* to, None where none is certified now.
        """
        try:
            return None if stream.purpose is None else self._consent.recipient(stream.purpose, grant, now)
        except Refused:
            return None

    def basis_of(self, name: str) -> Basis:
        """
        Return what the purpose *name* rests on; the consent to transfers is one too, under a name of its own.

        Raises:
            ConsentRefused: the policy has no such purpose.
        """
        if name != CROSS_BORDER and name not in self.policy.purposes:
            raise ConsentRefused(f"the policy has no purpose {name!r}", hint="'edge-sdk status' lists them")
        return Basis.CONSENT if name == CROSS_BORDER else self.policy.purposes[name].basis

    def fate(self, now: Now) -> Fate:
        """
        Return what tells of a batch whether it may still go to the key it was sealed to.
        """
        consent = self._consent
        held = Accepted(consent.statement, consent.held.denied, now.wall_s)
        return lambda purpose, digest, kid: fate(purpose, digest, kid, recipients=consent.recipients, held=held)

    def slot(self, now: Now) -> int:
        """
        Return the number of the batch interval *now* lies in, counted from this device's phase of the epoch.
        """
        epoch = epoch_of(now.wall_s)
        if self._phase[0] != epoch:
            self._phase = (epoch, route(self._routing, epoch).phase % self._limits.max_age_ms)
        return (now.wall_ms - self._phase[1]) // self._limits.max_age_ms

    def _follow_wall(self, now: Now) -> None:
        """
        Break windows off where time is no longer what it was; callers hold the record lock.

        Their sources would be late, for as long as the wall was ahead.
        """
        before, self._origin_ms = self._origin_ms, now.origin_ms
        for stream in self.streams.values():
            if not stream.record.ended and (
                stream.is_ahead_of(now.wall_ms) if before is None else abs(now.origin_ms - before) > STEP_MS
            ):
                stream.cut()

    def _rebind(self, wanted: Mapping[str, Wanted | None], now: Now) -> None:
        granted: list[tuple[Outlet, CollectGrant]] = []
        with self._recording.lock:
            self._recording.bind(self.policy, [])
            for name in {stream.record.purpose for stream in self.streams.values()} - wanted.keys():
                self._cut(name, keep=_NOWHERE)  # the policy in force does not have it any more
            for name, want in wanted.items():
                if want != self._bound.get(name):
                    self._cut(name, keep=want)
            self._bound = {}
            for name, want in wanted.items():
                grant = self.decisions[name].collect
                stream = None if want is None else self._active(name, want) or self._try_to_begin(name, want)
                if stream is not None and grant is not None:
                    if name in self._kept_out:  # what came meanwhile found no stream to be lost from
                        self._kept_out.discard(name)
                        stream.miss(None, Reason.DAMAGED)
                    stream.grant = grant
                    granted += [(outlet, grant) for outlet in stream.outlets]
                if stream is not None or want is None:
                    self._bound[name] = want
            self._recording.bind(self.policy, granted)
        tell(Event.COLLECTING, purposes=sum(map(bool, self._bound.values())), declared=len(wanted))

    def _cut(self, name: str, *, keep: Wanted | None) -> None:
        """
        Close the open windows of a purpose whose binding changes, and end its streams unless they only pause.
        """
        for stream in self.streams.values():
            if stream.record.purpose != name or stream.record.ended:
                continue
            continues = keep is None or _place(stream) == keep
            if continues and name not in self._bound:
                continue  # first binding after a start: its windows go on
            stream.cut()
            stream.record.ended = not continues
            stream.changed = True

    def _active(self, name: str, want: Wanted) -> Stream | None:
        for stream in self.streams.values():
            if stream.record.purpose == name and not stream.record.ended and _place(stream) == want:
                return stream
        return None

    def _try_to_begin(self, name: str, want: Wanted) -> Stream | None:
        try:
            return self._begin(name, want)
        except StorageError as error:
            self._kept_out.add(name)
            self.decisions[name] = Decision(None, None, Queue.HOLD, f"the disk refuses a new stream ({error})")
            self._tell_trouble(error)
            return None

    def _tell_trouble(self, error: StorageError) -> None:
        self.lacks_room = self.lacks_room or isinstance(error, DiskFull)
        self._recording.count("storage_errors")
        tell(Event.STORAGE_ERROR)

    def _begin(self, name: str, want: Wanted) -> Stream:
        purpose = self.policy.purposes[name]
        self.retention.make_place()
        entry = self._rooms.vault.add_purpose(name, want[0])
        self._turn_pseudonyms(purpose, want[2])
        with self._rooms.outbox.transaction():
            stream = new_stream(self._rooms, entry, purpose, period=want[2], timing=want[3])
        stream.outlets = self._outlets(purpose)
        self.streams[stream.row] = stream
        certified = self._consent.recipients.keys if self._consent.recipients else ()
        for kid in [key.kid for key in certified if key.operator == purpose.recipient]:
            self._consent.note_use(name, kid, stream.record.stream_id)
        return stream

    def _outlets(self, purpose: Purpose) -> list[Outlet]:
        held = self._rooms.vault.ring.pseudonyms.get(purpose.name)
        outlets = []
        for view in purpose.views:
            hidden = [field.field.name for field in view.fields if field.text is TextRule.PSEUDONYM]
            names = {name: Pseudonyms(held[1], name) for name in hidden} if held else {}
            outlets.append(make_outlet(view, names=names, offset_ms=self._limits.day_starts_ms))
        return outlets

    def _turn_pseudonyms(self, purpose: Purpose, period: int) -> None:
        """
        Have the pseudonym key of *period*, one-way from the one before, which is destroyed.

        After a power cut: the old or the new key is there.
        """
        if purpose.period_ms is None:
            return
        vault, held = self._rooms.vault, self._rooms.vault.ring.pseudonyms.get(purpose.name)
        if held is None or period - held[0] > _RATCHET_LIMIT:
            vault.put_pseudonym(purpose.name, period, PseudonymKey(self._rooms.draw(SECRET_BYTES)))
            return
        at, key = held
        while at < period:
            passed, key = key, next_pseudonym_key(key)
            if at != held[0]:
                passed.destroy()
            at += 1
        if at != held[0]:
            vault.put_pseudonym(purpose.name, at, key)

    def _prune(self) -> None:
        granted = self._consent.statement.grants if self._consent.statement is not None else ()
        try:
            self.retention.prune({grant.id for grant in granted}, declared=self.policy.purposes)
        except StorageError as error:
            self._tell_trouble(error)

    def _destroy_ended(self) -> None:
        """
        Destroy keys, then data, of every grant that was withdrawn, refused or objected to.

        Where that closed the purpose, what was collected under its earlier grants goes too: nobody consents to it now.

        After a power cut: done again at the next start, since the statement that says so is stored first.

        Raises:
            StorageError: something is left; nothing of it is collected or sent, and the next call goes on.
        """
        ended = ended_grants(self._consent.statement, denied=self._consent.held.denied)
        closed = {name for name, decision in self.decisions.items() if decision.queue is Queue.DESTROY}
        held = self._rooms.vault.ring.purposes.values()
        self._destroy([entry for entry in held if entry.grant_id in ended or entry.purpose in closed])

    def erase(self, purposes: Collection[str]) -> int:
        """
        Destroy keys and data of *purposes*, whatever they rest on; return how many keys went.

        After a power cut: some of it is gone; the order that asked for it comes again.

        Raises:
            StorageError: something is left.
        """
        entries = [entry for entry in self._rooms.vault.ring.purposes.values() if entry.purpose in purposes]
        self._destroy(entries)
        return len(entries)

    def _destroy(self, entries: list[PurposeEntry]) -> None:
        if entries:
            refs = [entry.ref for entry in entries]
            ended = [account(stream, self._rooms) for stream in self._under(refs)]
            self._orphans |= {stream.row for stream in self._under(refs)}
            self._forget(refs)  # first: a full disk must not keep rows in memory
            self._tell_of(ended)
            # A grant in force goes on with its names.
            left = {entry.purpose for entry in self._rooms.vault.ring.purposes.values() if entry.ref not in refs}
            self._rooms.vault.destroy_purposes(refs, pseudonyms=sorted({entry.purpose for entry in entries} - left))
            tell(Event.DESTROYED, grants=len(entries))
            self._orphans |= {row.id for row in self._rooms.outbox.streams() if row.ref in refs}  # it may not be read
        if self._orphans:
            with self._rooms.outbox.transaction():
                for row in self._orphans:
                    self._rooms.outbox.drop_stream(row)
            self._rooms.page.destroy({place for place in self._rooms.page.entries if place[0] in self._orphans})
            self._rooms.outbox.checkpoint()
            self._orphans.clear()

    def _tell_of(self, ended: list[EndedStream]) -> None:
        """
        Have the authority told; a disk that refuses holds up no destruction, and memory keeps what is to be told.
        """
        try:
            if ended:
                self._consent.tell_later(ended)
        except StorageError as error:
            self._tell_trouble(error)

    def _under(self, refs: Collection[bytes]) -> list[Stream]:
        return [stream for stream in self.streams.values() if stream.entry.ref in refs]

    def _forget(self, refs: Collection[bytes]) -> None:
        with self._recording.lock:
            for row in [row for row, stream in self.streams.items() if stream.entry.ref in refs]:
                for outlet in self.streams.pop(row).outlets:
                    outlet.rows.clear()
                    if outlet.windows is not None:
                        outlet.windows.discard()
            self._recording.bind(self.policy, [])
            self._bound = {}


def _place(stream: Stream) -> Wanted:
    return stream.record.grant_id, stream.record.digest, stream.record.period, stream.timing
