"""
What a start finds of the streams: rows that still open, the batches that wait, and what was lost.

Each open batch goes over to a new stream here, with its rows, its windows and its place on the key page: whatever
folder this is, the last one, an older image or one of two copies, no number of a stream is used for other rows than
those it was used for before. The stream before is kept for as long as it has something to send or tell. All of it is
one transaction. Called once, by ``binding``; which stream a purpose writes to from then on is decided there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edge_sdk.core.batch import Reason
from edge_sdk.core.compile import Outlet
from edge_sdk.core.policy import Purpose
from edge_sdk.errors import BadInput
from edge_sdk.events import Event, tell
from edge_sdk.order import StreamRow
from edge_sdk.sealing import Rooms
from edge_sdk.stream_record import ID_BYTES, open_record, seal_record, succeed
from edge_sdk.streams import Stream


@dataclass(slots=True)
class Found:
    """
    What was found: streams by row, whether the last stop was an unclean one, how many records and rows were damaged.
    """

    streams: dict[int, Stream] = field(default_factory=dict)
    unclean: bool = False
    damaged: int = 0
    damaged_rows: int = 0


def take_up(
    rooms: Rooms, *, editions: Mapping[bytes, Purpose], outlets_of: Callable[[Purpose], list[Outlet]], mono_ms: int
) -> Found:
    """
    Take up the stored streams; tell a power gap where the last stop was not a clean one.

    Args:
        editions: every purpose that data may still belong to, by digest.
        outlets_of: makes the outlets of one, empty.

    After a power cut: the same again, from where it was before.

    Raises:
        StorageError: nothing has changed.
    """
    outbox = rooms.outbox
    found = Found(unclean=not outbox.number("clean"))
    before: list[Stream] = []
    lost = []
    for stored in outbox.streams():
        stream, old = _open(stored, rooms, editions, found)
        if stream is None:
            lost.append(stored.id)
            continue
        if stream.purpose is not None and (not stream.record.ended or outbox.partial(stored.id) is not None):
            stream.outlets = outlets_of(stream.purpose)
        stream.reload(rooms, mono_ms)
        found.damaged_rows += len(stream.unreadable)
        if found.unclean and not stream.record.ended:
            stream.miss(None, Reason.POWER)
        found.streams[stream.row] = stream
        before += [] if old is None else [old]
    _drop_old_keys(rooms, found.streams)
    with outbox.transaction():
        for row in lost:
            outbox.drop_stream(row)
        for stream in found.streams.values():
            if not stream.record.ended or stream.unreadable:
                outbox.drop_unreadable(stream.unreadable)  # in the step in which they are told, or they would be again
                stream.store(rooms)
        kept = {_keep_ended(rooms, old): old for old in before}
        outbox.set_number("clean", 0)
    found.streams |= {row: old for row, old in kept.items() if row is not None}
    for stream in found.streams.values():
        stream.unreadable.clear()
        stream.changed = False
    return found


def _open(
    stored: StreamRow, rooms: Rooms, editions: Mapping[bytes, Purpose], found: Found
) -> tuple[Stream | None, Stream | None]:
    """
    Return the stream that a stored open batch belongs to from now on, and what is left of the one before.
    """
    entry = rooms.vault.ring.purposes.get(stored.ref)
    if entry is None:
        return None, None  # its key is destroyed: what is left of it opens with nothing
    try:
        record = open_record(entry, stored.record)
    except BadInput:
        tell(Event.DAMAGED_STREAM, stream=stored.id)
        found.damaged += 1
        return None, None
    if record.line is not None and record.line[0] != rooms.boot_id:
        record.line = None  # that boot is over, and nobody will learn what it was off
    old = None if record.ended else succeed(record, rooms.draw(ID_BYTES))
    purpose = editions.get(record.digest)
    left = None if old is None else Stream(stored.id, entry, old, purpose)
    return Stream(stored.id, entry, record, purpose), left


def _keep_ended(rooms: Rooms, stream: Stream) -> int | None:
    """
    Store what is left of a stream whose open batch went over to another under its row; inside a transaction.

    Returns:
        Its new row; None where it has nothing left to send or tell, and nothing of it is kept.
    """
    record = stream.record
    if stream.row not in rooms.outbox.queues and not record.has_news and record.line is None:
        return None
    row = rooms.outbox.add_stream(stream.entry.ref, seal_record(stream.entry, record, rooms.draw))
    rooms.outbox.hand_over(stream.row, row)
    stream.row = row
    return row


def _drop_old_keys(rooms: Rooms, streams: Mapping[int, Stream]) -> None:
    """
    Destroy the batch keys that no stored rows are under, also where a stream has read its own: rows to come would be
    under a key that the next start does not find.
    """
    with_rows = {
        (row, stream.record.batch)
        for row, stream in streams.items()
        if rooms.outbox.pending(row) or rooms.outbox.partial(row) is not None
    }
    rooms.page.destroy(set(rooms.page.entries) - with_rows)
    for row, stream in streams.items():
        if (row, stream.record.batch) not in with_rows and stream.batch_key is not None:
            stream.batch_key.destroy()
            stream.batch_key = None
