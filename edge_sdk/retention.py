"""
How long what no batch carries may wait, how many streams there may be, and which keys are needed no more.

Sealed batches age in ``queueing``. Here age rows and windows that cannot be sealed (on hold, without a recipient, of
an edition no policy here has) and the gaps of streams that are over: by the floor, for ``keep_at_most``. What goes is
told as a gap of its stream; where the stream itself goes, to the authority. Keys that nothing stored needs are
destroyed. Called by the line and by ``binding`` on the writer's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from edge_sdk.consent_state import ConsentState
from edge_sdk.core.batch import Gap, Reason
from edge_sdk.core.messages import EndedStream
from edge_sdk.errors import StorageError
from edge_sdk.keypage import MAX_ENTRIES
from edge_sdk.recording import Recording
from edge_sdk.sealing import Rooms
from edge_sdk.streams import Stream

MAX_STREAMS: Final = 2048  # stored at once; each start, grant and pseudonym period may add one a purpose
_CROWDED_PAGE: Final = MAX_ENTRIES * 2 // 3  # open batches: from here on those that cannot be sealed make room


class Retention:
    """
    The ageing of one site's streams.
    """

    def __init__(
        self, rooms: Rooms, streams: dict[int, Stream], *, consent: ConsentState, recording: Recording
    ) -> None:
        self._rooms = rooms
        self._streams = streams
        self._consent = consent
        self._recording = recording

    def note(self, floor_ms: int) -> None:
        """
        Remember since when, by the floor, each stream has something that no batch carries; 0 where it has nothing.
        """
        for stream in self._streams.values():
            waits = _waits(stream)
            if waits != bool(stream.record.since_ms):
                stream.record.since_ms = floor_ms if waits else 0
                stream.changed = stream.changed or not stream.unsaved_rows  # else it is written with those rows

    def age(self, floor_ms: int, *, can_seal: Callable[[Stream], bool]) -> None:
        """
        Drop what has waited longer than its purpose allows and cannot be sealed now.

        Args:
            floor_ms: so that no spoofed clock drops anything.
            can_seal: whether grant and recipient are there to seal what a stream has.

        After a power cut: each stream's part is there, or gone and told.

        Raises:
            StorageError: what is left is dropped at the next call.
        """
        for stream in list(self._streams.values()):
            since_ms = stream.record.since_ms
            if since_ms and since_ms < floor_ms - stream.record.keep_ms and not can_seal(stream):
                self._drop(stream, Reason.TOO_OLD)
        if len(self._rooms.page.entries) > _CROWDED_PAGE:
            on_page = {row for row, _ in self._rooms.page.entries}
            stuck = [s for s in self._streams.values() if s.row in on_page and not can_seal(s)]
            for stream in sorted(stuck, key=lambda stream: stream.record.since_ms)[:1]:
                self._drop(stream, Reason.QUOTA)

    def make_place(self) -> None:
        """
        Make place for one more stream: of those that are over the least important, the oldest of them, goes.

        After a power cut: it is there, or gone; the authority is told of it before.

        Raises:
            StorageError: there is no place.
        """
        while len(self._streams) >= MAX_STREAMS:
            over = [stream for stream in self._streams.values() if stream.record.ended or stream.purpose is None]
            if not over:
                raise StorageError(f"{MAX_STREAMS} streams are open", hint="declare fewer purposes")
            self._forget(min(over, key=lambda stream: (_importance(stream), stream.row)))
            self._recording.count("streams_dropped")

    def prune(self, granted: Collection[bytes], *, declared: Collection[str]) -> None:
        """
        Destroy the keys of grants that are over and of which nothing is stored any more.

        Args:
            granted: ids of the grants in force.
            declared: purposes of the policy in force.

        After a power cut: none or all of them are destroyed.

        Raises:
            StorageError: none is; the next call tries again.
        """
        ring = self._rooms.vault.ring
        used = {row.ref for row in self._rooms.outbox.streams()}
        gone = [e.ref for e in ring.purposes.values() if e.ref not in used and e.grant_id not in granted]
        left = {entry.purpose for entry in ring.purposes.values() if entry.ref not in gone}
        names = [purpose for purpose in ring.pseudonyms if purpose not in left and purpose not in declared]
        if gone or names:
            self._rooms.vault.destroy_purposes(gone, pseudonyms=names)

    def _drop(self, stream: Stream, reason: Reason) -> None:
        if stream.open_rows or stream.has_open_windows:
            rows = drop_open(stream, self._rooms, reason)
            self._recording.count(f"{reason.name.lower()}_rows", rows)
        elif stream.row not in self._rooms.outbox.queues:  # one that is over, with gaps that nobody will ever be told
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._consent.tell_later([account(stream, self._rooms)])
        with self._rooms.outbox.transaction():
            self._rooms.outbox.drop_stream(stream.row)
        self._streams.pop(stream.row, None)
        self._rooms.page.destroy({place for place in self._rooms.page.entries if place[0] == stream.row})


def drop_open(stream: Stream, rooms: Rooms, reason: Reason) -> int:
    """
    Lose the open batch and the open windows of *stream*, told as a gap of numbered rows; return how many those were.

    Nothing may be collected for the stream meanwhile.

    After a power cut: all of it is still there, or gone and told.

    Raises:
        StorageError: nothing was dropped.
    """
    record, rows, first = stream.record, stream.open_rows, stream.record.next_seq
    with stream.or_as_before(), rooms.outbox.transaction():
        if rows:
            record.tell(Gap(first, first + rows - 1, None, reason))
        record.next_seq += rows
        record.lost += rows
        if stream.has_open_windows:
            record.tell(Gap(record.next_seq, None, None, reason))
        record.since_ms = 0
        rooms.outbox.drop_pending(stream.row)
        rooms.outbox.drop_partial(stream.row)
        stream.store(rooms)
    stream.forget_open()
    stream.changed = False
    rooms.page.destroy({(stream.row, record.batch)})
    return rows


def account(stream: Stream, rooms: Rooms) -> EndedStream:
    """
    Return what the authority is told of a stream that is about to be destroyed, which its recipient does not learn.
    """
    record = stream.record
    queued = sum(held.last - held.first + 1 for held in rooms.outbox.queues.get(stream.row, {}).values())
    rows, destroyed = record.next_seq + stream.open_rows, queued + stream.open_rows
    receipted = max(0, rows - destroyed - record.lost)
    return EndedStream(record.stream_id, record.purpose, record.grant_id, rows, receipted, destroyed)


def _waits(stream: Stream) -> bool:
    is_over = stream.record.ended or stream.purpose is None
    return bool(stream.open_rows or stream.has_open_windows or (is_over and stream.record.has_news))


def _importance(stream: Stream) -> int:
    return stream.purpose.importance if stream.purpose is not None else -1
