"""
The list that a queue is held against: batches by id, rows and size, and the rules of SPEC and ``queueing``, plainly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from edge_sdk.core.batch import Reason
from edge_sdk.queueing import MAX_ASIDE, NOW_TRIES
from tests.models.plant import IMPORTANCE, KEEP_MS


@dataclass(eq=False)
class Batch:
    """One sealed batch as the list has it; ``tells`` are the losses its gaps speak of."""

    number: int
    purpose: str
    stream: bytes
    id: bytes
    first: int
    last: int
    size: int
    kept_ms: int
    digest: bytes
    tells: list[Batch]
    tries: int = 0
    until_ms: int = 0
    is_rotten: bool = False
    lost: Reason | None = None
    is_told: bool = False

    @property
    def rows(self) -> set[int]:
        return set(range(self.first, self.last + 1))


@dataclass
class Listed:
    """The reference: everything there is, oldest first."""

    queued: list[Batch] = field(default_factory=list)
    aside: list[Batch] = field(default_factory=list)
    lost: list[Batch] = field(default_factory=list)
    receipted: list[Batch] = field(default_factory=list)
    open: Counter[str] = field(default_factory=Counter)
    rotten: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    closed: set[str] = field(default_factory=set)

    def has_again(self, batch_ids: set[bytes]) -> None:
        """Take back what was receipted and is found all the same: it goes again, and is stored once."""
        again = [one for one in self.receipted if one.id in batch_ids]
        self.queued = sorted([*self.queued, *again], key=lambda one: one.number)
        self.receipted.clear()

    def size(self, pending_bytes: int) -> int:
        return pending_bytes + sum(one.size for one in (*self.queued, *self.aside))

    def next(self, mono_ms: int) -> Batch | None:
        """Return which goes next: of each stream the oldest that was never tried, then what is wanted now, then age."""
        heads: list[Batch] = []
        for stream in {one.stream for one in self.queued}:
            ready = [one for one in self.queued if one.stream == stream and one.until_ms <= mono_ms]
            heads += [one for one in ready if not one.tries][:1] or ready[:1]
        return min(heads, key=self._place, default=None)

    def _place(self, one: Batch) -> tuple[bool, bool, bool, int]:
        return one.tries >= NOW_TRIES, one.purpose != "alarms", one.tries > 0, self.queued.index(one)

    def lose(self, one: Batch, reason: Reason, *, keep: bool) -> None:
        self.queued.remove(one)
        one.lost = reason
        self.lost.append(one)
        if keep:
            self.aside = sorted([*self.aside, one], key=lambda one: one.number)[-MAX_ASIDE:]

    def shrink(self, limit: int, pending_bytes: int) -> None:
        while self.aside and self.size(pending_bytes) > limit:
            del self.aside[0]
        while self.queued and self.size(pending_bytes) > limit:
            least = min(IMPORTANCE[one.purpose] for one in self.queued)
            self.lose(next(o for o in self.queued if IMPORTANCE[o.purpose] == least), Reason.QUOTA, keep=False)

    def age(self, floor_ms: int) -> None:
        """Drop what is too old, up to the first of a stream that is not: who came later is not older."""
        spared: set[bytes] = set()
        for one in list(self.queued):
            if one.kept_ms >= floor_ms - KEEP_MS[one.purpose]:
                spared.add(one.stream)
            elif one.stream not in spared:
                self.lose(one, Reason.TOO_OLD, keep=False)

    def destroy(self, purpose: str) -> None:
        for some in (self.queued, self.aside, self.lost, self.receipted):
            some[:] = [one for one in some if one.purpose != purpose]
        for counted in (self.open, self.rotten, self.unread):
            del counted[purpose]
        self.closed.add(purpose)
