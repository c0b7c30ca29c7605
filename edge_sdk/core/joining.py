"""
One block of readings for all windows of a kind: what several views gather is held, and added up, once.

A reading goes to the block of its source without another question while it lies in a pane that every view has open.
Else each view is asked for its pane (``windows``), and a block of those panes begins; a reading that is late for some
of the views is gathered by the others on the spot. Compiled code does the first, :meth:`Joints.join` the second.
Does not: open or close panes (windows), or know what is done with values (gathering).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_sdk.core.blocks import Block, totals_of
from edge_sdk.core.gathering import BLOCK
from edge_sdk.core.windows import WindowSet


class Joints:
    """
    The blocks of one kind as it is bound now, by source; all views hold those sources, so they bound the blocks too.

    Args:
        windows: of each view that gathers.
        columns: the fields whose values a row has, in its order.
    """

    def __init__(self, windows: Sequence[WindowSet], columns: Sequence[str]) -> None:
        self.open: dict[str, Block] = {}
        self._totals, takings = totals_of([one.taking(columns) for one in windows])
        self._takers = list(zip(windows, takings, strict=True))

    def join(self, source: str, at_ms: int, row: tuple[Any, ...]) -> int:
        """
        Gather a reading that lies in no block; return how many views took it.
        """
        standing = self.open.get(source)
        if standing is not None:
            standing.leave()
        rolled = [(windows.roll(source, at_ms), taking) for windows, taking in self._takers]
        takers = [(pane, taking) for pane, taking in rolled if pane is not None]
        if not takers:
            return 0
        for pane, _ in takers:
            if pane[BLOCK] is not None:  # of an earlier binding, or the pane was left for another one
                pane[BLOCK].dissolve()
        block = Block(source, row, takers, self._totals, self.open)
        if len(takers) == len(self._takers):
            self.open[source] = block
            for pane, _ in takers:
                pane[BLOCK] = block
        else:
            block.fold()
        return len(takers)
