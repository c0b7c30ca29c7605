"""
The queue of a site beside a list that says the same, in any order of what can happen to either.

The site is real: its folder, SQLite, keys, streams. The list knows batches only by id, rows and size, and its rules are
those of SPEC and ``queueing`` written once more, plainly: which batch goes next, what an answer does to it, whom quota
and age take, what a withdrawal destroys, what is left after a stop, a kill, a damaged row. After every step both are
compared, the file by a second reader too. There rows of receipted batches may wait for the next write, the next step at
the latest; what a kill leaves of them is queued again. Each batch that left without a receipt must be told as lost,
until a receipt covers the batch that told it, and nothing else may be told.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_sdk.core.batch import Reason
from edge_sdk.core.receipt import Kind, Outcome
from edge_sdk.core.retry import CEILING_S, FIRST_S
from edge_sdk.outbox import Held, Outbox
from edge_sdk.queueing import Parcel
from edge_sdk.sealing import unseal_body
from edge_sdk.streams import Stream
from tests import site as sites
from tests.models.listed import Batch, Listed
from tests.models.plant import CONSENTED, IMPORTANCE, KEEP_MS, MEMORY, POLICY, kill
from tests.site import DRAW, later

OUTCOMES: Final = {
    Kind.ACKED: Outcome(Kind.ACKED, None, "receipt"),
    Kind.REFUSED: Outcome(Kind.REFUSED, None, "signed refusal"),
    Kind.LATER: Outcome(Kind.LATER, None, "status 500"),
}
ANSWERS: Final = (Kind.ACKED, Kind.ACKED, Kind.REFUSED, Kind.LATER)  # a queue that nobody takes from has little to show
MOST_RECEIPTED: Final = 64  # rows of receipted batches that may wait for the next write


class OutboxBesideAList(RuleBasedStateMachine):
    """A site that is driven call by call, and the list."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.site = sites.local_site(self.folder, granted=CONSENTED, policy=POLICY)
        self.listed = Listed()
        self.known: set[bytes] = set()
        self.under_way: tuple[Parcel, Batch] | None = None

    @initialize()
    def start(self) -> None:
        self.opened = ExitStack()
        self.parts = self.opened.enter_context(sites.opened(self.site))
        if not hasattr(self, "now"):
            self.now = later(self.parts.clock.now(), 1)
        self.parts.line.consent.count_as_heard(self.now.mono_ms)
        self.parts.line.step(self.now)
        self.look()

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            self.opened.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------------------------------- what happens

    @rule(purpose=st.sampled_from(list(IMPORTANCE)), rows=st.integers(1, 4), close=st.sampled_from([True, True, False]))
    def record(self, purpose: str, rows: int, close: bool) -> None:
        for _ in range(rows):
            taken = self.parts.line.recording.record(purpose, {"serial": "a", "value": rows}, self.now.wall_ms)
            assert taken == (purpose not in self.listed.closed)
            self.listed.open[purpose] += taken
        self.step(flush=True, close=close)

    @rule(sure=st.integers(0, 2))
    def seal_all(self, sure: int) -> None:
        if sure == 0:
            self.step(close=True)

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        self.now = later(self.now, 60_000 * minutes)
        self.parts.line.consent.count_as_heard(self.now.mono_ms)

    @rule(kind=st.sampled_from(ANSWERS))
    def send(self, kind: Kind) -> None:
        self.take()
        if self.under_way is not None:
            self.answer(kind)

    @rule(sure=st.integers(0, 5))
    def deliver_many(self, sure: int) -> None:
        """Have more batches receipted in a row than rows may wait for the next write."""
        if sure == 0 and self.under_way is None:
            for _ in range(MOST_RECEIPTED + 2 - len(self.listed.queued)):
                self.record("operation", 1, close=True)
                self.look()
            for _ in range(MOST_RECEIPTED + 2):
                self.send(Kind.ACKED)

    @rule()
    def take(self) -> None:
        """Take the next batch under way; damaged ones before it are set aside."""
        parcel = self.parts.line.next_parcel(self.now)
        while (expected := self.listed.next(self.now.mono_ms)) is not None and expected.is_rotten:
            self.listed.lose(expected, Reason.DAMAGED, keep=True)
        assert (parcel and parcel.held.batch_id) == (expected and expected.id), "another batch is next"
        if parcel is not None and expected is not None:
            assert hashlib.sha256(parcel.body).digest() == expected.digest
            self.under_way = parcel, expected

    @precondition(lambda self: self.under_way is not None)
    @rule(kind=st.sampled_from(ANSWERS))
    def answer(self, kind: Kind) -> None:
        """Settle the batch under way, whatever became of it meanwhile."""
        assert self.under_way is not None
        (parcel, one), self.under_way = self.under_way, None
        self.parts.line.settle(parcel, OUTCOMES[kind], self.now, DRAW)
        if one not in self.listed.queued:
            return
        match kind:
            case Kind.ACKED:
                self.listed.queued.remove(one)
                self.listed.receipted.append(one)
                for told in one.tells:
                    told.is_told = True
            case Kind.REFUSED:
                self.listed.lose(one, Reason.INVALID, keep=True)
            case Kind.LATER:
                one.until_ms = self.now.mono_ms + int(1000 * DRAW * min(CEILING_S, FIRST_S * 2**one.tries))
                one.tries += 1

    @rule(share=st.sampled_from([0.3, 0.7, 0.8, 0.9, 0.95, 1.0]))
    def run_out_of_room(self, share: float) -> None:
        outbox = self.parts.line.rooms.outbox
        limit = int(share * outbox.held_bytes())
        self.parts.line.queueing.enforce(0, allowed_bytes=limit)
        self.listed.shrink(limit, outbox.pending_bytes)

    @precondition(lambda self: self.listed.queued)
    @rule(chance=st.data(), sure=st.integers(0, 3))
    def grow_old(self, chance: st.DataObject, sure: int) -> None:
        if sure:
            return
        oldest = chance.draw(st.sampled_from(self.listed.queued[:3]), label="too old by a millisecond")
        floor_ms = oldest.kept_ms + KEEP_MS[oldest.purpose] + 1
        self.parts.line.queueing.enforce(floor_ms, allowed_bytes=1 << 40)
        self.listed.age(floor_ms)

    @precondition(lambda self: self.listed.queued)
    @rule(chance=st.data())
    def rot(self, chance: st.DataObject) -> None:
        one = chance.draw(st.sampled_from(self.listed.queued), label="rotten")
        self._write("UPDATE sealed SET body = zeroblob(LENGTH(body)) WHERE batch_id = ?", one.id)
        one.is_rotten = True

    @rule(purpose=st.sampled_from(list(IMPORTANCE)))
    def rot_what_is_open(self, purpose: str) -> None:
        for stream in self._streams(purpose):
            self._write("UPDATE pending SET body = zeroblob(LENGTH(body)) WHERE stream = ?", stream.row)
        self.listed.rotten[purpose] = self.listed.open[purpose]

    @rule(purpose=st.sampled_from(CONSENTED), sure=st.integers(0, 2))
    def withdraw(self, purpose: str, sure: int) -> None:
        if sure == 0 and purpose not in self.listed.closed:
            self.parts.line.withdraw(purpose, self.now)
            self.listed.destroy(purpose)
            self.listed.receipted.clear()

    @rule(is_clean=st.booleans(), sure=st.integers(0, 2))
    def start_again(self, is_clean: bool, sure: int) -> None:
        """Stop, or be killed: go on with what the folder held at that moment."""
        if sure:
            return
        if is_clean:
            self.parts.line.finish(self.now)
            self.listed.receipted.clear()
            self.look()
            self.opened.close()
        else:
            kill(self.site, self.opened)
        self.under_way = None
        for one in self.listed.queued:
            one.tries = one.until_ms = 0
        for purpose, rows in self.listed.rotten.items():
            self.listed.open[purpose] -= rows
            self.listed.unread[purpose] += rows
        self.listed.rotten.clear()
        if not is_clean:
            self.listed.has_again({one.batch_id for one in self._found()})
        self.start()

    def step(self, *, flush: bool = False, close: bool = False) -> None:
        """Have the line do what is due; no row of a receipted batch waits longer than that."""
        self.parts.line.step(self.now, flush=flush, close=close)
        self.listed.receipted.clear()

    # --------------------------------------------------------------------------------------------- what holds

    def look(self) -> None:
        """Take batches that were sealed meanwhile into the list: all rows of an open batch, or none."""
        outbox = self.parts.line.rooms.outbox
        rows: Counter[str] = Counter()
        for held in _all_of(outbox):
            if held.batch_id not in self.known:
                one = self._batch(held, self.parts.line.binding.streams[held.stream])
                rows[one.purpose] += len(one.rows)
                self.listed.queued.append(one)
                self.known.add(one.id)
        for purpose, sealed in rows.items():
            assert sealed in (0, self.listed.open[purpose])
            if sealed:
                self.listed.open[purpose] = self.listed.rotten[purpose] = 0

    @invariant()
    def both_have_the_same(self) -> None:
        if not hasattr(self, "parts"):
            return
        self.look()
        outbox = self.parts.line.rooms.outbox
        beside = Outbox(self.site.state, read_only=True)
        try:
            written = {one.batch_id for one in _all_of(beside)}
            self.listed.receipted = [one for one in self.listed.receipted if one.id in written]
            assert len(self.listed.receipted) <= MOST_RECEIPTED, "too many rows of receipted batches wait"
            for read, waiting in ((outbox, []), (beside, self.listed.receipted)):
                listed = sorted([*self.listed.queued, *waiting], key=lambda one: one.number)
                assert [(o.batch_id, o.first, o.last, o.size) for o in _all_of(read)] == [
                    (one.id, one.first, one.last, one.size) for one in listed
                ], "other batches than the list has"
                assert [(first, last, size) for _, _, first, last, _, size in read.aside()] == [
                    (one.first, one.last, one.size) for one in self.listed.aside
                ]
                assert read.order.sealed_bytes == sum(one.size for one in listed)
                assert read.aside_bytes == sum(one.size for one in self.listed.aside)
            assert outbox.pending_bytes == beside.pending_bytes
            assert {name: rows for _, name, rows in self._pending(beside)} == {
                name: rows for name, rows in self.listed.open.items() if rows
            }
        finally:
            beside.close()

    @invariant()
    def every_batch_opens_to_what_it_was(self) -> None:
        for one, held, stream in self._matched():
            if not one.is_rotten:
                body = unseal_body(stream.entry, held, self.parts.line.rooms.outbox.sealed_body(held))
                assert hashlib.sha256(body).digest() == one.digest

    @invariant()
    def what_is_lost_is_told_and_nothing_else(self) -> None:
        if not hasattr(self, "parts"):
            return
        said: dict[tuple[bytes, Reason], set[int]] = {}
        counted: Counter[str] = Counter()
        for stream in self.parts.line.binding.streams.values():
            for _, gap in stream.record.gaps:
                if gap.last is not None:
                    rows = said.setdefault((stream.record.stream_id, gap.reason), set())
                    rows.update(range(gap.first, gap.last + 1))
                elif gap.reason is Reason.DAMAGED:
                    counted[stream.record.purpose] += gap.count or 0
        ever, untold = self._losses(everything=True), self._losses(everything=False)
        assert all(rows <= said.get(place, set()) for place, rows in untold.items()), "a loss is not told"
        assert all(rows <= ever.get(place, set()) for place, rows in said.items())
        assert all(counted[purpose] <= self.listed.unread[purpose] for purpose in IMPORTANCE)

    @invariant()
    def of_a_withdrawn_purpose_nothing_is_left(self) -> None:
        if hasattr(self, "parts"):
            held = {entry.purpose for entry in self.parts.line.rooms.vault.ring.purposes.values()}
            streams = {stream.record.purpose for stream in self.parts.line.binding.streams.values()}
            assert not (held | streams) & self.listed.closed, "something of a withdrawn purpose is left"

    # ------------------------------------------------------------------------------------------------ looking

    def _batch(self, held: Held, stream: Stream) -> Batch:
        body = unseal_body(stream.entry, held, self.parts.line.rooms.outbox.sealed_body(held))
        record = stream.record
        return Batch(
            number=len(self.known),
            purpose=record.purpose,
            stream=record.stream_id,
            id=held.batch_id,
            first=held.first,
            last=held.last,
            size=held.size,
            kept_ms=held.kept_ms,
            digest=hashlib.sha256(body).digest(),
            tells=[one for one in self.listed.lost if one.stream == record.stream_id],
        )

    def _losses(self, *, everything: bool) -> dict[tuple[bytes, Reason], set[int]]:
        found: dict[tuple[bytes, Reason], set[int]] = {}
        for one in self.listed.lost:
            if one.lost is not None and one.rows and (everything or not one.is_told):
                found.setdefault((one.stream, one.lost), set()).update(one.rows)
        return found

    def _found(self) -> list[Held]:
        beside = Outbox(self.site.state, read_only=True)
        try:
            return _all_of(beside)
        finally:
            beside.close()

    def _matched(self) -> Iterator[tuple[Batch, Held, Stream]]:
        by_id = {one.id: one for one in self.listed.queued}
        queues = self.parts.line.rooms.outbox.queues if hasattr(self, "parts") else {}
        for row, queue in queues.items():
            for held in queue.values():
                yield by_id[held.batch_id], held, self.parts.line.binding.streams[row]

    def _pending(self, outbox: Outbox) -> list[tuple[int, str, int]]:
        found = [(row, stream.record.purpose) for row, stream in self.parts.line.binding.streams.items()]
        return [(row, name, outbox.pending_rows(row)) for row, name in found if outbox.pending_rows(row)]

    def _streams(self, purpose: str) -> list[Stream]:
        return [one for one in self.parts.line.binding.streams.values() if one.record.purpose == purpose]

    def _write(self, query: str, *values: Any) -> None:
        self.parts.line.rooms.outbox._db.execute(query, values)


def _all_of(outbox: Outbox) -> list[Held]:
    return sorted((one for queue in outbox.queues.values() for one in queue.values()), key=lambda one: one.id)
