"""
What the queue holds, as memory knows it: its rows, and the order of sealed batches.

The order is kept here so that sending and evicting cost the same however long the queue is. It also remembers which
batches were receipted since the last write: they are out of it at once, and their rows go with whatever is written
next, so that a receipt costs no write of its own. Changes no file; ``outbox`` writes, and reads the order anew where a
write was not kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

MAX_RECEIPTED: Final = 64  # rows of receipted batches that wait for the next write


@dataclass(frozen=True, slots=True)
class StreamRow:
    """
    One stored stream: ``ref`` names the purpose key that opens ``record``.
    """

    id: int
    ref: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class PendingRow:
    """
    Rows of an open batch as one flush wrote them.
    """

    id: int
    stream: int
    batch: int
    rows: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """
    One sealed batch as the order in memory knows it; ``told`` is the newest gap it carries.
    """

    id: int
    stream: int
    first: int
    last: int
    told: int
    kept_ms: int
    size: int
    batch_id: bytes


class Order:
    """
    Sealed batches by stream, the oldest first, and their bytes in all.
    """

    def __init__(self) -> None:
        self.queues: dict[int, dict[int, Held]] = {}
        self.sealed_bytes = 0
        self.receipted: set[int] = set()  # rows to be deleted with the next write
        self._stubborn: set[int] = set()  # those that could not be

    def load(self, stored: Iterable[Held]) -> None:
        """
        Take the order as it is *stored*, less what was receipted since.
        """
        self.queues.clear()
        self.sealed_bytes = 0
        for held in stored:
            if held.id not in self.receipted:
                self.add(held)

    def add(self, held: Held) -> None:
        """
        Put a batch at the end of its queue.
        """
        self.queues.setdefault(held.stream, {})[held.id] = held
        self.sealed_bytes += held.size

    def take(self, held: Held) -> None:
        """
        Take a batch out, if it is still there.
        """
        queue = self.queues.get(held.stream, {})
        if queue.pop(held.id, None) is not None:
            self.sealed_bytes -= held.size
        if not queue:
            self.queues.pop(held.stream, None)

    def may_wait(self, held: Held) -> bool:
        """
        Tell whether the row of a receipted batch may wait for the next write.
        """
        return len(self.receipted) < MAX_RECEIPTED and held.id not in self._stubborn

    def receipt(self, held: Held) -> None:
        """
        Take out a batch that was receipted; its row goes with the next write.
        """
        self.take(held)
        self.receipted.add(held.id)

    def give_back(self) -> None:
        """
        Have receipted batches count as waiting, since their rows cannot be deleted; each is deleted by itself from now
        on. The order has to be loaded again.
        """
        self._stubborn |= self.receipted
        self.receipted.clear()

    def drop_stream(self, stream: int) -> None:
        """
        Take out every batch of *stream*.
        """
        self.sealed_bytes -= sum(held.size for held in self.queues.pop(stream, {}).values())

    def hand_over(self, stream: int, to: int) -> None:
        """
        Have the batches of *stream* belong to the stream *to*.
        """
        queue = self.queues.pop(stream, {})
        if queue:
            self.queues[to] = {number: replace(held, stream=to) for number, held in queue.items()}
