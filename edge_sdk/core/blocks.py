"""
Readings of one source on their way into windows: held together, and added up a column at a time.

A block holds the readings that lie in one open pane of every view that takes them; folding moves them into the slots of
each (``gathering``), and what several views add up, or hold alike, is there once. A block is in memory only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from edge_sdk.core.gathering import COUNT, END, SLOTS, START, Column, Pane, Slots, Taking, gather
from edge_sdk.core.policy import Kind

_BLOCK_ROWS: Final = 32  # beyond it a fold gains little; it is what stays in memory of each source
_BLOCKS_ROWS: Final = 8_192  # of all sources together, where a kind has very many


class Totals(NamedTuple):
    """
    The columns that are added up for any of several takers: their places, and what picks them.
    """

    places: tuple[int, ...]
    pick: Callable[[Sequence[Column]], Sequence[Column]]


def totals_of(takings: Sequence[Taking]) -> tuple[Totals, list[Taking]]:
    """
    Return what *takings* add up together, each column once, and them with each total named by its place there.
    """
    places = tuple(dict.fromkeys(at for taking in takings for _, at in taking.totals))
    kins: dict[object, tuple[object, ...]] = {}
    placed = [
        taking._replace(
            totals=tuple((slot, places.index(at)) for slot, at in taking.totals),
            kin=kins.setdefault(taking.kin, taking.kin),
        )
        for taking in takings
    ]
    if len(places) > 1:
        return Totals(places, itemgetter(*places)), placed
    return Totals(places, lambda columns: [columns[at] for at in places]), placed


def block_rows(kind: Kind) -> int:
    """
    Return how many readings of one source wait in a block at most.
    """
    return max(1, min(_BLOCK_ROWS, _BLOCKS_ROWS // kind.max_sources))


class Block:
    """
    Readings of one source that lie in one open pane of every view that takes them, between ``start`` and ``end``.

    Panes that hold the same and gather the same share their slots from here on. They stay alike, since a pane gets
    readings of one block at a time (``joining``), and a block begins with a copy.

    Args:
        source: as readings name it.
        takers: those panes, and how each is gathered.
        totals: what any of them adds up.
        home: where it stands until it is dissolved.

    ``takers`` is how many panes there are; ``finished`` is by what one of them was finished, and the row that it gave.
    """

    __slots__ = ("_home", "_panes", "_shared", "_source", "_totals", "end", "finished", "rows", "start", "takers")

    def __init__(
        self, source: str, takers: Sequence[tuple[Pane, Taking]], totals: Totals, home: dict[str, Block]
    ) -> None:
        self.takers = len(takers)
        self._panes: list[Pane] = []
        self.start, self.end = takers[0][0][START], takers[0][0][END]
        for pane, _ in takers:  # a block begins for each source and window: one loop, and no call
            self._panes.append(pane)
            if pane[START] > self.start:
                self.start = pane[START]
            if pane[END] < self.end:
                self.end = pane[END]
        self.rows: list[tuple[Any, ...]] = []
        self._source = source
        self._shared = _share(takers)
        self.finished: tuple[tuple[Any, ...], tuple[Any, ...]] | None = None
        self._totals = totals
        self._home = home

    def fold(self) -> None:
        """
        Move the readings into the slots of every pane.
        """
        if self.rows:
            times, *columns = zip(*self.rows, strict=True)
            self.rows.clear()
            self._add(times, columns)

    def gather(self, times: Column, columns: Sequence[Column]) -> None:
        """
        Move readings of the block that are columns already into the slots of every pane, after those that it holds.
        """
        self.fold()
        self._add(times, columns)

    def _add(self, times: Column, columns: Sequence[Column]) -> None:
        count = len(times)
        for pane in self._panes:
            pane[COUNT] += count
        try:
            sums = [*map(sum, self._totals.pick(columns))]
        except TypeError:  # a value is missing
            sums = []
        for slots, taking in self._shared:
            for slot, at in taking.totals if sums else ():
                slots[slot] += sums[at]
                slots[slot + 1] += count
            for field, at in taking.others if sums else taking.every:
                gather(slots, field, times, columns[at])

    def dissolve(self) -> None:
        """
        Fold, and take no more: a pane of it closes, or belongs to another block now.
        """
        self.fold()
        self.leave()

    def leave(self) -> None:
        """
        Take no more; what is held is folded when it is asked for.
        """
        if self._home.get(self._source) is self:
            del self._home[self._source]


def _share(takers: Sequence[tuple[Pane, Taking]]) -> list[tuple[Slots, Taking]]:
    """
    Have panes that are alike share one list of slots, each a new one; return those lists and how each is gathered.
    """
    shared: list[tuple[Slots, Taking]] = []
    for pane, taking in takers:
        for slots, other in shared:
            if other.kin is taking.kin and slots == pane[SLOTS]:
                pane[SLOTS] = slots
                break
        else:
            pane[SLOTS] = pane[SLOTS].copy()
            shared.append((pane[SLOTS], taking))
    return shared
