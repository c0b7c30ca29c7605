"""
One block of readings for all windows of a kind: what several views gather is held, and added up, once.

A reading goes to the block of its source without another question while it lies in a pane that every view has open.
Else each view is asked for its pane (``windows``), and a block of those panes begins; a reading that is late for some
of the views is gathered by the others on the spot. Compiled code does the first for one reading, and has :meth:`join`
do the second; readings that come as columns are :meth:`gather_columns`'s.
Does not: open or close panes (windows), or know what is done with values (gathering).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

from edge_sdk.core.blocks import Block, totals_of
from edge_sdk.core.gathering import BLOCK, Column
from edge_sdk.core.windows import WindowSet

_ENOUGH: Final = 6  # readings of a source that cost less as columns than one after the other


class Joints:
    """
    The blocks of one kind as it is bound now, by source; all views hold those sources, so they bound the blocks too.

    Args:
        windows: of each view that gathers.
        columns: the fields whose values a row has, in its order.
        block_rows: how many readings of one source wait in a block at most.
    """

    def __init__(self, windows: Sequence[WindowSet], columns: Sequence[str], block_rows: int) -> None:
        self.open: dict[str, Block] = {}
        self._totals, takings = totals_of([one.taking(columns) for one in windows])
        self._takers = list(zip(windows, takings, strict=True))
        self._block_rows = block_rows

    def join(self, source: str, at_ms: int, row: tuple[Any, ...]) -> int:
        """
        Gather a reading that lies in no block; return how many views took it.
        """
        block = self._begin(source, at_ms)
        if block is None:
            return 0
        block.rows.append(row)
        if source not in self.open:
            block.fold()
        return block.takers

    def gather_columns(
        self, named: Collection[str], sources: Sequence[str], times: Sequence[int], columns: Sequence[Column]
    ) -> int:
        """
        Gather readings that come as columns; return how many of them any view took.

        Those of one source are added up together as far as its block reaches: where each has many, and they are in
        the order of their times. Else they go to their blocks one after the other.

        Args:
            named: each of the sources once, in the order in which they come first.
        """
        if len(sources) < _ENOUGH * len(named) or [*times] != sorted(times):
            return self._one_by_one(sources, times, columns)
        taken = 0
        for source, places in _places(sources, named):
            taken += self._gather_source(source, places, times, columns)
        return taken

    def _gather_source(
        self, source: str, places: Sequence[int], times: Sequence[int], columns: Sequence[Column]
    ) -> int:
        own = _pick(places)(times)
        at, late, count = 0, 0, len(own)
        while at < count:
            block = self.open.get(source)
            if block is None or not block.start <= own[at] < block.end:
                block = self._begin(source, own[at])
            if block is None:
                late += 1
                at += 1
                continue
            end = bisect_left(own, block.end, at) if source in self.open else at + 1
            block.gather(own[at:end], [*map(_pick(places[at:end]), columns)])
            at = end
        return count - late

    def _one_by_one(self, sources: Sequence[str], times: Sequence[int], columns: Sequence[Column]) -> int:
        blocks, block_rows, late = self.open, self._block_rows, 0
        for source, at_ms, row in zip(sources, times, zip(times, *columns, strict=True), strict=True):
            block = blocks.get(source)
            if block is not None and block.start <= at_ms < block.end:
                block.rows.append(row)
                if len(block.rows) >= block_rows:
                    block.fold()
            elif not self.join(source, at_ms, row):
                late += 1
        return len(times) - late

    def _begin(self, source: str, at_ms: int) -> Block | None:
        """
        Return a new block for a reading that lies in none, which stands where all views take it; None where none does.
        """
        standing = self.open.get(source)
        if standing is not None:
            standing.leave()
        takers = []
        for windows, taking in self._takers:
            pane = windows.roll(source, at_ms)
            if pane is not None:
                takers.append((pane, taking))
        if not takers:
            return None
        for pane, _ in takers:
            if pane[BLOCK] is not None:  # of an earlier binding, or the pane was left for another one
                pane[BLOCK].dissolve()
        block = Block(source, takers, self._totals, self.open)
        if len(takers) == len(self._takers):
            self.open[source] = block
            for pane, _ in takers:
                pane[BLOCK] = block
        return block


def _places(sources: Sequence[str], named: Collection[str]) -> Iterable[tuple[str, Sequence[int]]]:
    """
    Return each source and the places where it stands, in their order.
    """
    count, step = len(sources), len(named)
    turns = [*named] * (count // step + 1)
    if [*sources] == turns[:count]:  # as devices do that are asked one after the other
        return zip(named, [range(at, count, step) for at in range(step)], strict=True)
    places: dict[str, list[int]] = {source: [] for source in named}
    for at, source in enumerate(sources):
        places[source].append(at)
    return places.items()


def _pick(places: Sequence[int]) -> itemgetter[Any]:
    """
    Return what takes of a column the values at *places*, of which there is one at least.
    """
    if isinstance(places, range):
        return itemgetter(slice(places.start, places.stop, places.step))
    return itemgetter(*places) if len(places) > 1 else itemgetter(slice(places[0], places[0] + 1))
