"""
One stream on the device: its open batch, its windows, its gaps.

A stream is one purpose under one grant in one pseudonym period. Its rows wait in memory, are journalled under the
open batch's own key at each flush, and leave memory when they are sealed; from then on the device cannot read them.
What is stored about a stream is under its purpose key. Sequencing (when to journal, seal or end) is the line's; SQL
is the outbox's; nothing here reads a clock.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from edge_sdk.core import cbor
from edge_sdk.core.batch import Gap, Reason
from edge_sdk.core.compile import Outlet
from edge_sdk.core.consent import CollectGrant
from edge_sdk.core.documents import RecipientKey
from edge_sdk.core.keys import NONCE_BYTES, SECRET_BYTES, BatchKey, source_tag_key, unwrap, wrap
from edge_sdk.core.pending import decode_pending, encode_pending
from edge_sdk.core.policy import Purpose
from edge_sdk.core.reading import AHEAD_MS
from edge_sdk.core.table import Memory, Row
from edge_sdk.errors import BadInput
from edge_sdk.order import Held, PendingRow
from edge_sdk.sealing import Rooms, Sealing, SealTimes
from edge_sdk.stream_record import Record, copy_of, new_record, seal_record
from edge_sdk.vault import PurposeEntry

_TAG_BYTES = 16
JOURNAL_ROWS: Final = 20_000  # of one stored blob: its decoder reads at most 65,536
_BODY_LIMIT = 8 << 20
UNKNOWN: Final = -(1 << 62)  # the timing of rows of a boot that is over: no boot now has it


@dataclass(frozen=True, slots=True)
class _Mark:
    rows: dict[int, list[Row]]
    journalled: dict[int, int]
    record: Record
    key: BatchKey | None


class Stream:
    """
    A stored stream and what of it is still open.
    """

    def __init__(self, row: int, entry: PurposeEntry, record: Record, purpose: Purpose | None) -> None:
        self.row = row
        self.entry = entry
        self.record = record
        self.purpose = purpose
        self.outlets: list[Outlet] = []
        self.rows: dict[int, list[Row]] = {}
        self.journalled: dict[int, int] = {}
        self.slot: int | None = None
        self.grant: CollectGrant | None = None
        self.changed = False
        self.unreadable: list[int] = []  # stored rows told as damaged, still to be dropped
        self.unknown = (0, False)  # rows and windows stored of an edition that no policy here has: only to be dropped
        self.batch_key: BatchKey | None = None
        self._mark: _Mark | None = None
        self._writing: Record | None = None  # the record as last given to a transaction
        self._written: Record | None = None  # and as one left it that is durable, where no other was begun since

    @property
    def open_rows(self) -> int:
        """
        Return how many rows the open batch has.
        """
        return self.unknown[0] or sum(map(len, self.rows.values()))

    @property
    def has_news(self) -> bool:
        """
        Tell whether a batch would say anything: rows or gaps.
        """
        return self.open_rows > 0 or self.record.has_news

    @property
    def unsaved_rows(self) -> int:
        """
        Return how many of them no flush has written yet.
        """
        return sum(map(len, self.rows.values())) - sum(self.journalled.values())

    @property
    def has_windows(self) -> bool:
        """
        Tell whether a view of this stream gathers windows.
        """
        return any(outlet.windows is not None for outlet in self.outlets)

    @property
    def has_open_windows(self) -> bool:
        """
        Tell whether any window is open.
        """
        return self.unknown[1] or any(o.windows is not None and o.windows.has_open for o in self.outlets)

    def take(self) -> None:
        """
        Move finished rows from the outlets to the open batch. Callers hold the record lock.
        """
        for at, outlet in enumerate(self.outlets):
            if outlet.rows:
                self.rows.setdefault(at, []).extend(outlet.rows)
                outlet.rows.clear()

    def is_ahead_of(self, wall_ms: int) -> bool:
        """
        Tell whether windows were closed, or are open, for a time that no reading may have at *wall_ms*.
        """
        windows = [outlet.windows for outlet in self.outlets if outlet.windows is not None]
        return any(one.latest_ms() > wall_ms + AHEAD_MS + one.every_ms for one in windows)

    def cut(self, *, goes_on: bool = False) -> None:
        """
        Close the open windows as partial rows of the open batch; where the stream *goes_on*, so do its counters.
        Callers hold the record lock.
        """
        for outlet in self.outlets:
            if outlet.windows is not None:
                outlet.windows.cut(goes_on=goes_on)
        self.take()

    @property
    def timing(self) -> int | None:
        """
        Return what the rows are timed by: None for the wall, or the floor at the board's power-on.
        """
        if self.record.boot is None:
            return None
        return UNKNOWN if self.record.line is None else self.record.line[1]

    def synchronise(self, truth_ms: int) -> None:
        """
        Have it told how far the boot that the rows are timed by was off; *truth_ms*: the true time at power-on.
        """
        if self.record.line is not None:
            self.changed = True
            self.record.synchronise(truth_ms)

    def tell(self, gap: Gap) -> None:
        """
        Add a gap; it is told with every batch until a receipt covers it.
        """
        self.changed = True
        self.record.tell(gap)

    def miss(self, count: int | None, reason: Reason) -> None:
        """
        Add a gap of rows that never got a number, at the place of the next row.
        """
        self.tell(Gap(self.record.next_seq + self.open_rows, None, count, reason))

    def told(self, number: int) -> bool:
        """
        Drop the gaps that a receipted batch told; return whether there were any.
        """
        dropped = self.record.told(number, next_row=self.record.next_seq + self.open_rows)
        self.changed = self.changed or dropped
        return dropped

    def store(self, rooms: Rooms, *, only_changed: bool = False) -> None:
        """
        Write the record, with *only_changed* where it is not what is on the medium; inside a transaction.
        """
        if not only_changed or self.record != self._written:
            self._writing, self._written = copy_of(self.record), None
            rooms.outbox.put_stream(self.row, seal_record(self.entry, self.record, rooms.draw))

    def journal(self, rooms: Rooms, *, grant: CollectGrant, memory: Memory | None = None) -> None:
        """
        Write rows not yet saved, and the open windows, under the open batch's key, which :func:`prepare` has put on the
        page; inside a transaction. *memory* is of what is written with them.
        """
        assert self.batch_key is not None
        assert self.purpose is not None
        fresh = {at: rows[self.journalled.get(at, 0) :] for at, rows in self.rows.items()}
        for at, rows in fresh.items():
            for start in range(0, len(rows), JOURNAL_ROWS):
                part = rows[start : start + JOURNAL_ROWS]
                body = self._wrap(encode_pending(self.purpose.views, at, part, memory), "pending", rooms)
                rooms.outbox.put_pending(self.row, self.record.batch, len(part), body)
        self._journal_windows(rooms, memory)

    def mark_journalled(self) -> None:
        """
        Remember that every row in memory is saved, once the transaction is durable.
        """
        self.journalled = {at: len(rows) for at, rows in self.rows.items()}
        self._written = self._writing

    def seal(self, rooms: Rooms, *, grant: CollectGrant, recipient: RecipientKey, about: SealTimes) -> list[Held]:
        """
        Seal the open batch, one or more of about ``about.max_rows`` rows, and begin the next; inside a transaction.

        Pending rows go, open windows are journalled anew under the next batch's key, which is on the page already.
        """
        assert self.purpose is not None
        held = Sealing(rooms, self.row, self.entry, self.record, self.purpose, grant, recipient, about).seal(self.rows)
        self.rows, self.journalled = {}, {}
        rooms.outbox.drop_pending(self.row)
        self.store(rooms)
        return held

    def begin_next(self, rooms: Rooms) -> tuple[int, int]:
        """
        Turn to the next batch number and return the place whose key is to be destroyed once that is durable.

        Where windows are open the next batch's key is put on the page here, before the transaction. Until
        :meth:`keep` all of it can be taken back.
        """
        self._mark = _Mark(self.rows, self.journalled, copy_of(self.record), self.batch_key)
        gone = (self.row, self.record.batch)
        self.record.batch += 1
        self.record.since_ms = 0
        self.batch_key = None
        if self.has_windows and not self.record.ended:
            prepare([self], rooms)
        return gone

    def keep(self) -> None:
        """
        Forget how to go back: the transaction is durable.
        """
        if self._mark is not None and self._mark.key is not None:
            self._mark.key.destroy()
        self._mark = None
        self.changed = False

    def go_back(self) -> None:
        """
        Be as before :meth:`begin_next`: the transaction was not kept.
        """
        if self._mark is not None:
            self.rows, self.journalled = self._mark.rows, self._mark.journalled
            self.record, self.batch_key = self._mark.record, self._mark.key
            self._mark = None

    @contextlib.contextmanager
    def or_as_before(self) -> Iterator[None]:
        """
        Take back what the block did to the record when it raises.
        """
        record, changed = copy_of(self.record), self.changed
        try:
            yield
        except BaseException:
            self.record, self.changed = record, changed
            raise

    def forget_open(self) -> None:
        """
        Forget the open batch and the open windows; nothing may be collected for this stream meanwhile.
        """
        self.rows, self.journalled, self.unknown, self.batch_key = {}, {}, (0, False), None
        for outlet in self.outlets:
            if outlet.windows is not None:
                outlet.windows.discard()

    def rejournal_windows(self, rooms: Rooms, memory: Memory | None) -> None:
        """
        Write the open windows under the new batch's key, or forget them when there are none; inside a transaction.
        """
        if self.has_windows and not self.record.ended:
            self._journal_windows(rooms, memory)
        else:
            rooms.outbox.drop_partial(self.row)

    def reload(self, rooms: Rooms, mono_ms: int) -> None:
        """
        Read the open batch back after a start; what cannot be read becomes a gap, and its rows are ``unreadable``.

        Rows of an edition that no policy here has any more are not damaged: they wait for it.
        """
        if self.purpose is None:
            self.unknown = (rooms.outbox.pending_rows(self.row), rooms.outbox.partial(self.row) is not None)
            return
        wrapped = rooms.page.entries.get((self.row, self.record.batch))
        if wrapped is not None:
            try:
                self.batch_key = BatchKey(unwrap(self.entry.key, wrapped, self._place_aad(rooms)))
            except BadInput:
                self.batch_key = None
        for pending in rooms.outbox.pending(self.row):
            self._reload_rows(rooms, pending)
        self.mark_journalled()
        self._reload_windows(rooms, mono_ms)

    def source_tagger(self) -> Callable[[str], bytes]:
        """
        Return the function that stands in for raw sources in journalled windows.
        """
        # The key is derived for each that has none yet: most flushes have no such source.
        return lambda source: hmac.new(
            source_tag_key(self.entry.key), source.encode("utf-8"), hashlib.sha256
        ).digest()[:_TAG_BYTES]

    def _reload_rows(self, rooms: Rooms, pending: PendingRow) -> None:
        assert self.purpose is not None
        try:
            if self.batch_key is None:
                raise BadInput("no key for these rows")
            plain = unwrap(self.batch_key, pending.body, self._body_aad("pending", rooms))
            for at, rows in decode_pending(self.purpose.views, plain).items():
                self.rows.setdefault(at, []).extend(rows)
        except BadInput:
            self.miss(pending.rows, Reason.DAMAGED)
            self.unreadable.append(pending.id)

    def _reload_windows(self, rooms: Rooms, mono_ms: int) -> None:
        stored = rooms.outbox.partial(self.row)
        if stored is None or not self.has_windows:
            return
        try:
            if self.batch_key is None:
                raise BadInput("no key for these windows")
            plain = unwrap(self.batch_key, stored[1], self._body_aad("partial", rooms))
            kept = cbor.decode(plain, _BODY_LIMIT, "windows")
        except BadInput:
            self.miss(None, Reason.DAMAGED)
            return
        assert isinstance(kept, list)  # authenticated: only this code wrote it
        for at, snapshot in kept:
            windows = self.outlets[at].windows if at < len(self.outlets) else None
            if windows is not None:
                windows.restore(snapshot, self.source_tagger(), mono_ms)

    def _journal_windows(self, rooms: Rooms, memory: Memory | None) -> None:
        tag_of = self.source_tagger()
        packed = None if memory is None else memory.windows
        with rooms.record_lock:
            snapshots: list[cbor.Value] = [
                [at, outlet.windows.snapshot(tag_of, packed)]
                for at, outlet in enumerate(self.outlets)
                if outlet.windows is not None
            ]
        if snapshots:
            body = self._wrap(cbor.encode(snapshots), "partial", rooms)
            rooms.outbox.put_partial(self.row, self.record.batch, body)

    def _wrap(self, body: bytes, table: str, rooms: Rooms) -> bytes:
        assert self.batch_key is not None
        return wrap(self.batch_key, rooms.draw(NONCE_BYTES), body, self._body_aad(table, rooms))

    def _body_aad(self, table: str, rooms: Rooms) -> bytes:
        return _aad(table, rooms.vault.ring.generation.id, self.row, self.record.batch)

    def wrapped(self, key: BatchKey, rooms: Rooms) -> bytes:
        """
        Return *key* as the key page has it for the open batch.
        """
        return wrap(self.entry.key, rooms.draw(NONCE_BYTES), key.reveal(), self._place_aad(rooms))

    def _place_aad(self, rooms: Rooms) -> bytes:
        return _aad("page", rooms.vault.ring.generation.id, self.row, self.record.batch)


@lru_cache(maxsize=64)  # the same for each flush of an open batch
def _aad(table: str, generation: bytes, row: int, batch: int) -> bytes:
    return cbor.encode([table, generation, row, batch])


def prepare(streams: Iterable[Stream], rooms: Rooms) -> None:
    """
    Put a key for the open batch of each of *streams* on the key page where it has none.

    After a power cut: keys without rows, which the next start destroys, or none of them.

    Raises:
        StorageError: no stream has a key that it had not.
    """
    keys = {stream: BatchKey(rooms.draw(SECRET_BYTES)) for stream in streams if stream.batch_key is None}
    if keys:
        rooms.page.put_all({(s.row, s.record.batch): s.wrapped(key, rooms) for s, key in keys.items()})
    for stream, key in keys.items():
        stream.batch_key = key  # only now: rows under a key that is nowhere would be lost


def new_stream(rooms: Rooms, entry: PurposeEntry, purpose: Purpose, *, period: int, timing: int | None) -> Stream:
    """
    Store and return a new stream; inside a transaction.

    Args:
        timing: the floor at the board's power-on, where rows are timed by the floor.
    """
    line = None if timing is None else (rooms.boot_id, timing)
    record = new_record(entry, purpose, rooms.draw, period=period, line=line)
    row = rooms.outbox.add_stream(entry.ref, seal_record(entry, record, rooms.draw))
    return Stream(row, entry, record, purpose)
