"""
The line of one site, stage by stage: decide, take, tell, seal, journal, care.

One thread calls :meth:`Line.step` with the time; nothing here waits, and time comes in as an argument, so that tests
replay a run call by call. All rows of one step go in one transaction. The record lock is held only while rows change
hands. What the stages do is in the rooms this one sequences: binding, recording, streams, queueing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from edge_sdk.binding import Binding
from edge_sdk.bookkeeping import Bookkeeping
from edge_sdk.clock import Now
from edge_sdk.config import Limits
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.batch import Reason
from edge_sdk.core.consent import CollectGrant, SendGrant
from edge_sdk.core.documents import RecipientKey, WipeOrder
from edge_sdk.core.receipt import Outcome
from edge_sdk.core.table import Memory
from edge_sdk.core.units import DAY_MS
from edge_sdk.disk_room import DiskRoom
from edge_sdk.errors import StorageError
from edge_sdk.events import Event, tell
from edge_sdk.incidents import DAMAGE, Incidents
from edge_sdk.ledger import Happened
from edge_sdk.obeying import Obeying
from edge_sdk.queueing import Parcel, Queueing
from edge_sdk.recording import Recording
from edge_sdk.requests import Desk, Wish
from edge_sdk.sealing import Rooms, SealTimes
from edge_sdk.streams import Stream, prepare
from edge_sdk.telling import Telling

TICK_MS = 2_200  # how often it looks for a clock that was set, an alarm, and what nobody rang for
NOW_EVERY_MS = 10_000  # alarms close batches no more often than this
REST_MS = 10_000  # all else waits as long while nothing asks for it: rows wait in memory until the next flush anyway
RETRY_MS = 5_000  # after a failed write: the disk may have room again

_Entry = tuple[Stream, CollectGrant | None]  # a stream to journal, and the grant its rows are kept under


@dataclass(frozen=True, slots=True)
class _Plan:
    stream: Stream
    grant: CollectGrant
    recipient: RecipientKey


class Line:
    """
    Everything between a reading and a sealed batch, and what becomes of the batch.
    """

    def __init__(
        self,
        rooms: Rooms,
        *,
        consent: ConsentState,
        recording: Recording,
        binding: Binding,
        telling: Telling,
        books: Bookkeeping,
        obeying: Obeying,
        incidents: Incidents,
        limits: Limits,
    ) -> None:
        self.rooms = rooms
        self.consent = consent
        self.recording = recording
        self.binding = binding
        self.telling = telling
        self.on_order: Callable[[WipeOrder], None] = lambda _: None  # it comes again with every downlink
        self.on_collecting: Callable[[frozenset[str]], None] = lambda _: None
        self._collecting: frozenset[str] = frozenset()
        self.books = books
        self.obeying = obeying
        self.incidents = incidents
        self.limits = limits
        self.queueing = Queueing(rooms, binding.streams, quota_bytes=limits.quota_bytes)
        self.desk = Desk(limits.folder)
        self.desk.does(Wish.WITHDRAW, lambda asked, now: self.withdraw(asked.name, now))
        self.desk.does(Wish.IMPORT, lambda asked, now: self.consent.accept_statement(asked.content, now))
        self.desk.does(Wish.STOP, lambda _, now: self.incidents.stop(now))
        self.desk.does(Wish.RESUME, lambda _, now: self.incidents.resume(now))
        self.room = DiskRoom(self.queueing, recording=recording, limits=limits)
        self._rests_until_ms = self._flush_at_ms = self._now_at_ms = self._retry_at_ms = 0
        self._day = -1
        self._came = self.steps = 0

    def tick(self, now: Now) -> int:
        """
        Look whether anything was changed or asked for since the last call; where not, and nothing is due, that is all.
        Do as :meth:`step` otherwise: it costs ten times the look. Alarms never wait.
        """
        streams = self.binding.streams.values()
        has_alarm = any(outlet.view.now and outlet.rows for stream in streams for outlet in stream.outlets)
        is_quiet = now.mono_ms < self._rests_until_ms and not has_alarm and not self.desk.is_asked
        if is_quiet and self.binding.goes_on(now) and self.consent.due_order(now) is None:
            return self.binding.deciding.rest_ms(now, TICK_MS, self._flush_at_ms)
        return self.step(now)

    def step(self, now: Now, *, flush: bool = False, close: bool = False, cut: bool = False) -> int:
        """
        Do what is due at *now* and return in how many milliseconds to come back at the latest.

        Args:
            flush: write what is in memory now.
            close: seal every open batch now.
            cut: close every open window first, as a partial row.

        After a power cut: everything up to the last flush that returned is there.

        Raises:
            StorageError: when a flush or close that was asked for fails; otherwise it is counted and tried again.
        """
        self.steps += 1
        self._rests_until_ms = now.mono_ms + REST_MS
        self._try(lambda: self.desk.serve(now))  # first: what was asked for is decided on at once
        self.binding.decide(now)
        if self.binding.lacks_room:
            self.room.relieve()
        if self.consent.is_owed:
            self._try(self.consent.save)
        if self._collecting != (collecting := self.binding.collecting):
            self._collecting = collecting
            self.on_collecting(collecting)
        self.books.note(self.binding.decisions, now)
        if (order := self.consent.due_order(now)) is not None:
            self._obey(order, now)
        self.incidents.look(now, {name: self.recording.counts[name] + self.queueing.counts[name] for name in DAMAGE})
        if cut:
            self.binding.cut()
        held_rows = self._take(now)
        asked = flush or close
        if not asked and now.mono_ms < self._retry_at_ms:
            return TICK_MS
        is_crowded = 2 * held_rows >= self.limits.memory_rows
        try:
            self._advance(now, flush=asked or is_crowded or now.mono_ms >= self._flush_at_ms, close=close)
        except StorageError:
            self._retry_at_ms = self._rests_until_ms = now.mono_ms + RETRY_MS
            self.recording.count("storage_errors")
            tell(Event.STORAGE_ERROR)
            if asked:
                raise
        else:
            self.recording.make_room(held_rows=self._held_rows())
        return self.binding.deciding.rest_ms(now, TICK_MS, self._flush_at_ms)

    def withdraw(self, name: str, now: Now) -> None:
        """
        Withdraw a purpose on this device: deny its grants, destroy its keys and data, have the authority told.
        Under the name ``cross_border`` that is the consent to transfers: what was sealed to keys abroad is destroyed.

        After a power cut: nothing has changed, or the denial is stored and the next start destroys.

        Raises:
            ConsentRefused: there is nothing to withdraw.
            StorageError: the denial holds, but it is not stored, or not all keys are destroyed; each step tries again.
        """
        basis = self.binding.basis_of(name)
        self.room.write(lambda: self.consent.withdraw(name, basis), rows=0)
        self.books.add(Happened.WITHDRAWN_HERE, now, purpose=name)
        self.step(now, flush=True)
        if any(entry.purpose == name for entry in self.rooms.vault.ring.purposes.values()):
            raise StorageError(f"the disk refuses to destroy the keys of {name}", hint="it is tried until it does")

    def _obey(self, order: WipeOrder, now: Now) -> None:
        """
        Erase some purposes at once; hand an order for the whole account to whoever can stop the line.
        """
        if not order.purposes:
            self.on_order(order)
            return
        self._try(lambda: self.obeying.erase(order, now))

    def _try(self, do: Callable[[], None]) -> None:
        """
        Do what the next step does again where the disk refuses: the line goes on meanwhile.
        """
        try:
            do()
        except StorageError:
            self.recording.count("storage_errors")
            tell(Event.STORAGE_ERROR)

    def permit(self, stream: Stream, now: Now) -> SendGrant | None:
        """
        Return the grant to send what *stream* has queued, None when it may not be sent now.
        """
        if stream.purpose is None or not self.consent.stands(stream.purpose, stream.record.grant_id):
            return None
        return self.consent.decide_digest(stream.purpose, stream.record.digest, now).send

    def may_go_on(self, parcel: Parcel, now: Now) -> bool:
        """
        Tell whether a batch under way may still be sent: it is still queued and its purpose may send.
        """
        if self.incidents.is_stopped:
            return False
        stream = self.binding.streams.get(parcel.held.stream)
        return stream is not None and self.queueing.has(parcel.held) and self.permit(stream, now) is not None

    def next_parcel(self, now: Now) -> Parcel | None:
        """
        Return the next batch that may be sent at *now*, with the permission it goes under.
        """
        if self.incidents.is_stopped:
            return None
        return self.queueing.next_parcel(lambda s: self.permit(s, now), now.mono_ms, fate=self.binding.fate(now))

    def settle(self, parcel: Parcel, outcome: Outcome, now: Now, draw: float) -> None:
        """
        Do what the answer to *parcel* means.
        """
        self.queueing.settle(parcel, outcome, mono_ms=now.mono_ms, draw=draw)

    def finish(self, now: Now) -> None:
        """
        Take nothing more, write everything and mark the stop as a clean one.
        """
        self.recording.shut()
        self.step(now, flush=True)
        self.books.close_day(now)
        self.books.add(Happened.STOPPED, now)
        self.consent.keep_floor(now, stopping=True)
        with self.rooms.outbox.transaction():
            self._store_counts(now, whole=True)
            self.rooms.outbox.set_number("clean", 1)
        self.rooms.outbox.checkpoint()

    def _take(self, now: Now) -> int:
        """
        Take finished rows and counted losses from the recording side; return how many rows wait for the disk.
        """
        with self.recording.lock:
            for stream in self.binding.streams.values():
                for outlet in stream.outlets:
                    if outlet.windows is not None:
                        outlet.windows.mono_ms = now.mono_ms
                        outlet.windows.close_idle()
                stream.take()
            held = self._held_rows()
            came, losses = self.recording.harvest(now.wall_ms, held_rows=held)
            unseen = self.recording.take_unseen()
            if now.wall_ms // DAY_MS != self._day:
                self._day = now.wall_ms // DAY_MS
                self.recording.forget_sources()
        self._came += came
        for stream in self.binding.streams.values():
            self._tell(stream, losses)
            if unseen and stream.grant is not None and not stream.record.ended:
                stream.miss(None, Reason.OVERFLOW)
        return held

    def _held_rows(self) -> int:
        return sum(stream.unsaved_rows for stream in self.binding.streams.values())

    def _tell(self, stream: Stream, losses: Counter[tuple[str, Reason]]) -> None:
        for outlet in stream.outlets:
            if outlet.windows is not None and outlet.windows.forgotten:
                self.recording.count("sources_forgotten", outlet.windows.forgotten)
                outlet.windows.forgotten = 0
            if outlet.windows is not None and outlet.windows.late:
                self.recording.count("late", outlet.windows.late)
                stream.miss(outlet.windows.late, Reason.LATE)
                outlet.windows.late = 0
            if not stream.record.ended:
                for (kind, reason), count in losses.items():
                    if kind == outlet.view.kind.name:
                        stream.miss(count, reason)

    def _advance(self, now: Now, *, flush: bool, close: bool) -> None:
        streams = list(self.binding.streams.values())
        self.binding.retention.note(now.floor_ms)
        closing = [stream for stream in streams if self._is_due(stream, now) or (close and stream.has_news)]
        plans = [plan for stream in closing if (plan := self._plan(stream, now)) is not None]
        flush = flush or (bool(plans) and self.recording.marks.is_new)  # marks say exactly what is on disk, or nothing
        planned = [plan.stream for plan in plans]
        unsaved = self._unsaved([stream for stream in streams if stream not in planned], now)
        journal, whole = (unsaved if flush else []), flush or not unsaved
        if plans or journal or (flush and self.recording.marks.is_new):
            rows = sum(plan.stream.open_rows for plan in plans) + sum(stream.unsaved_rows for stream, _ in journal)
            self.room.write(lambda: self._write(now, plans, journal, whole=whole), rows=rows)
        if flush:
            self._came = 0
            self._flush_at_ms = now.mono_ms + self.limits.flush_every_ms
        self._rests_until_ms = min(self._rests_until_ms, self._flush_at_ms)
        self._care(now)

    def _is_due(self, stream: Stream, now: Now) -> bool:
        """
        Tell whether to close the open batch of *stream*: full, at its cadence, wanted now, or ended.
        """
        slot = self.binding.slot(now)
        begun, stream.slot = stream.slot, slot if stream.slot is None else stream.slot
        queued = stream.row in self.rooms.outbox.queues
        if stream.record.ended:
            return stream.open_rows > 0 or (stream.record.has_news and not queued)
        if stream.open_rows >= self.limits.max_rows:
            return True
        if stream.purpose is not None and any(
            view.now and stream.rows.get(at) for at, view in enumerate(stream.purpose.views)
        ):
            return now.mono_ms >= self._now_at_ms
        if begun is None or slot == begun:
            return False
        # Night included: an empty batch goes out too, unless one is still waiting to.
        return stream.open_rows > 0 or not queued

    def _plan(self, stream: Stream, now: Now) -> _Plan | None:
        grant = self.binding.grant_of(stream, now)
        recipient = None if grant is None else self.binding.recipient_of(stream, grant, now)
        return None if grant is None or recipient is None else _Plan(stream, grant, recipient)

    def _unsaved(self, streams: Collection[Stream], now: Now) -> list[_Entry]:
        """
        Return what is new since the last flush; without a grant only the record of a stream is written, not its rows.
        """
        changed = [
            stream
            for stream in streams
            if stream.unsaved_rows or stream.changed or (self._came and stream.has_windows and not stream.record.ended)
        ]
        granted = [(stream, self.binding.grant_of(stream, now)) for stream in changed]
        return [(stream, grant) for stream, grant in granted if grant is not None or stream.changed]

    def _write(self, now: Now, plans: list[_Plan], journal: list[_Entry], *, whole: bool) -> None:
        """
        Seal and journal in one transaction, then destroy the keys of the batches that were sealed.
        """
        gone: set[tuple[int, int]] = set()
        try:
            for plan in plans:
                record = plan.stream.record
                self.consent.note_use(record.purpose, plan.recipient.kid, record.stream_id)
                gone.add(plan.stream.begin_next(self.rooms))
            prepare([stream for stream, grant in journal if grant is not None], self.rooms)
            with self.rooms.outbox.transaction():
                sealed = self._seal_and_journal(now, plans, journal)
                self._store_counts(now, whole=whole)
        except BaseException:
            for plan in plans:
                plan.stream.go_back()
            raise
        self.recording.marks.stored()
        for stream, grant in journal:
            if grant is not None:
                stream.mark_journalled()
            stream.changed = False
        for plan in plans:
            plan.stream.keep()
            plan.stream.slot = self.binding.slot(now)
            self._now_at_ms = now.mono_ms + NOW_EVERY_MS
        for purpose, size in sealed:
            self.books.sealed(purpose, 1, size)
        self.rooms.page.destroy(gone)

    def _seal_and_journal(self, now: Now, plans: list[_Plan], journal: list[_Entry]) -> list[tuple[str, int]]:
        memory = Memory() if len(plans) + len(journal) > 1 else None
        about = SealTimes(now.floor_ms, self.limits.max_rows, memory)
        sealed: list[tuple[str, int]] = []
        for plan in plans:
            held = plan.stream.seal(self.rooms, grant=plan.grant, recipient=plan.recipient, about=about)
            sealed += [(plan.stream.record.purpose, one.size) for one in held]
            plan.stream.rejournal_windows(self.rooms, memory)
        for stream, grant in journal:
            if grant is not None:
                stream.journal(self.rooms, grant=grant, memory=memory)
            stream.store(self.rooms, only_changed=True)
        return sealed

    def _store_counts(self, now: Now, *, whole: bool) -> None:
        """
        Write what was counted, for whoever reads beside this process; inside a transaction.
        """
        marked = self.recording.marks.store(self.rooms.outbox, whole=whole)
        for name, count in (self.recording.totals(with_marks=False) + marked + self.queueing.counts).items():
            self.rooms.outbox.set_number(f"count.{name}", count)
        self.rooms.outbox.set_number("ahead_ms", now.ahead_ms)
        if self.consent.is_fresh(now):
            self.rooms.outbox.set_number("heard_ms", self.consent.heard_at(now))

    def _care(self, now: Now) -> None:
        """
        Keep to quota, age and the room the file system leaves; store the floor.
        """
        allowed_bytes = self.room.allowed(now, held_bytes=self.rooms.outbox.held_bytes())
        self.queueing.recall(self.binding.fate(now))
        self.queueing.tidy()
        self.queueing.enforce(now.floor_ms, allowed_bytes=allowed_bytes)
        self.binding.retention.age(now.floor_ms, can_seal=lambda stream: self._plan(stream, now) is not None)
        for stream in list(self.binding.streams.values()):
            self.queueing.let_go(stream)
        self.consent.keep_floor(now)
