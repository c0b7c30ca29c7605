"""
Readings of one source on their way into windows: held together, and added up a column at a time.

A block holds the readings that lie in one open pane of every view that takes them; folding moves them into the slots of
each (``gathering``), and what several views add up, or hold alike, is made once. A block is in memory only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from edge_sdk.core.gathering import COUNT, END, SLOTS, START, Column, Finished, Pane, Taking, gather
from edge_sdk.core.policy import Kind

_BLOCK_ROWS: Final = 32  # beyond it a fold gains little; it is what stays in memory of each source
_BLOCKS_ROWS: Final = 8_192  # of all sources together, where a kind has very many


class Totals(NamedTuple):
    """
    The columns that are added up for any of several takers: their places, and what picks them.
    """

    places: tuple[int, ...]
    pick: Callable[[Sequence[Column]], Sequence[Column]]


def totals_of(takings: Sequence[Taking]) -> Totals:
    """
    Return what *takings* add up together, each column once.
    """
    places = tuple(dict.fromkeys(at for taking in takings for _, at in taking.totals))
    if len(places) > 1:
        return Totals(places, itemgetter(*places))
    return Totals(places, lambda columns: [columns[at] for at in places])


def block_rows(kind: Kind) -> int:
    """
    Return how many readings of one source wait in a block at most.
    """
    return max(1, min(_BLOCK_ROWS, _BLOCKS_ROWS // kind.max_sources))


class Block:
    """
    Readings of one source that lie in one open pane of every view that takes them, between ``start`` and ``end``.

    Panes that hold the same and gather the same are twins: a fold goes through the first of them, and the others get
    what it holds then. They stay alike, since a pane gets readings of one block at a time (``joining``).

    Args:
        source: as readings name it.
        row: the first of them.
        takers: those panes, and how each is gathered.
        totals: what any of them adds up.
        home: where it stands until it is dissolved.

    ``finished`` is what a twin came to, for the others; None where there are none.
    """

    __slots__ = ("_home", "_source", "_totals", "_twins", "end", "finished", "rows", "start")

    def __init__(
        self, source: str, row: tuple[Any, ...], takers: Sequence[tuple[Pane, Taking]], totals: Totals,
        home: dict[str, Block],
    ) -> None:  # fmt: skip
        self.start = max(pane[START] for pane, _ in takers)
        self.end = min(pane[END] for pane, _ in takers)
        self.rows = [row]
        self._source = source
        self._twins = _twins(takers)
        self.finished = Finished() if len(self._twins) < len(takers) else None
        self._totals = totals
        self._home = home

    def fold(self) -> None:
        """
        Move the readings into the slots of every pane.
        """
        if not self.rows:
            return
        times, *columns = zip(*self.rows, strict=True)
        count = len(times)
        self.rows.clear()
        try:
            sums = dict(zip(self._totals.places, map(sum, self._totals.pick(columns)), strict=True))
        except TypeError:  # a value is missing
            sums = {}
        for pane, taking, others in self._twins:
            pane[COUNT] += count
            for slot, at in taking.totals if sums else ():
                pane[slot] += sums[at]
                pane[slot + 1] += count
            for field, at in taking.others if sums else taking.every:
                gather(pane, field, times, columns[at])
            for twin in others:
                twin[COUNT] += count
                twin[SLOTS:] = pane[SLOTS:]

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


def _twins(takers: Sequence[tuple[Pane, Taking]]) -> list[tuple[Pane, Taking, list[Pane]]]:
    found: list[tuple[Pane, Taking, list[Pane]]] = []
    for pane, taking in takers:
        alike = (one[2] for one in found if one[1].kin is taking.kin and one[0][SLOTS:] == pane[SLOTS:])
        others = next(alike, None)
        if others is None:
            found.append((pane, taking, []))
        else:
            others.append(pane)
    return found
