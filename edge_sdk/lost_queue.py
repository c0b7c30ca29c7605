"""
What a start does where the queue is gone, or is no database any more: it begins anew, and tells so.

A gateway that nobody visits must not stand still over one bad page. What waited is lost; each stream that opens at
this start tells a gap of reason *damaged* whose number nobody knows, and the site counts it. A queue that SQLite does
not read is removed: nobody would open what is left of it in the time its purposes allow.

Called by ``opening``; what is damaged inside a queue that does open, single rows or batches, is told where it is met.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.core.batch import Reason
from edge_sdk.events import Event, tell
from edge_sdk.outbox import Outbox
from edge_sdk.sealing import Rooms
from edge_sdk.streams import Stream

_FILES: Final = ("outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db-journal")
_LOST: Final = "lost"  # in the queue itself, so that it is told however often a start is cut off
COUNT: Final = "queues_lost"


def open_queue(folder: Path, *, was_started: bool) -> Outbox:
    """
    Open the queue in *folder*, or begin a new one where there is none.

    Args:
        was_started: whether this site has had a queue; without one it is lost.

    After a power cut: the queue as it was, or a new one that knows that it takes the place of another.

    Raises:
        DatabaseDamaged: to be removed, and opened again.
        StorageError: the medium refuses, or another release wrote it.
    """
    outbox = Outbox(folder)
    try:
        outbox.first_control()  # with what opening has read, one look into every table: better met now than later
        outbox.aside()
        if "clean" not in outbox.numbers():  # it was just made: nothing was open, so no stop of it was an unclean one
            with outbox.transaction():
                outbox.set_number("clean", 1)
                outbox.set_number(_LOST, 1 if was_started else None)
    except BaseException:
        outbox.close()
        raise
    return outbox


def remove_queue(folder: Path) -> None:
    """
    Remove a queue that SQLite does not read; nothing has it open.

    After a power cut: it is there, or there is none.
    """
    for name in _FILES:
        files.remove(folder / name)


def tell_lost(rooms: Rooms, streams: Iterable[Stream]) -> bool:
    """
    Have *streams* tell what was lost with a queue, if one was; return whether they do now.

    After a power cut: told, or told at the next start.

    Raises:
        StorageError: told at the next start.
    """
    fresh = [stream for stream in streams if not stream.record.ended]
    if not rooms.outbox.number(_LOST) or not fresh:
        return False
    tell(Event.QUEUE_LOST, streams=len(fresh))
    for stream in fresh:
        stream.miss(None, Reason.DAMAGED)
    with rooms.outbox.transaction():
        for stream in fresh:
            stream.store(rooms)
        rooms.outbox.set_number(_LOST, None)
        rooms.outbox.set_number(f"count.{COUNT}", 1)  # with the telling, since the site may end before it counts
    return True
