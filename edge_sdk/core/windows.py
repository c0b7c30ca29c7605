"""
Values of many readings become one row: windows per source, by the reading's own time.

A window closes when its source reports from two windows on, or when it has been open for two lengths of monotonic
time, so a source that falls silent still reports and a replay of old readings is not cut. Readings for a closed
window are late and counted. First, last and delta go by the readings' own times too, so a reading that comes out of
order neither becomes the last nor looks like a counter that restarted. A window that did not see its whole length
(start, restart, consent or period change) is marked partial. What :meth:`WindowSet.snapshot` returns holds no raw
source: sources are keyed tags there. Sources remembered are bounded, whatever is invented outside.

What the open windows hold is plain lists (``gathering``), because compiled code adds to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge_sdk.core.gathering import (
    BLOCK,
    COUNT,
    END,
    OPENED,
    PARTIAL,
    SLOTS,
    SOURCE,
    START,
    Gathering,
    Pane,
)
from edge_sdk.core.policy import View
from edge_sdk.core.snapshots import KeptTrail, Packed, packed_trails, whole_trails
from edge_sdk.core.table import Row


class _Trail:
    """
    One source's open windows and what the next one continues from.
    """

    __slots__ = ("carry", "carry_ms", "closed_until", "current", "previous", "tag")

    def __init__(self) -> None:
        self.current: Pane | None = None
        self.previous: Pane | None = None  # the window just before; there is none without a current one
        self.closed_until = 0
        self.carry: dict[int, int] = {}
        self.carry_ms = 0  # when what is carried was read, where windows were cut: a later one may begin before it
        self.tag: bytes | None = None  # what stands for the source in snapshots, once one was made

    @property
    def panes(self) -> list[Pane]:
        """
        Return what is open, the older first, which is the order they close in.
        """
        if self.current is None:
            return []
        return [self.current] if self.previous is None else [self.previous, self.current]


class WindowSet:
    """
    The open windows of one view of one stream.

    Args:
        view: a view with ``every_ms``.
        emit: takes each finished row.
        show: by field name, what turns a text into what leaves; the source among them where it does.
        offset_ms: where in the day windows begin, from UTC midnight.

    ``mono_ms`` is the monotonic time as last told by the owner, 0 before that.
    """

    def __init__(
        self, view: View, *, emit: Callable[[Row], None], show: Mapping[str, Callable[[str], Any]], offset_ms: int = 0
    ) -> None:
        assert view.every_ms is not None
        self.mono_ms = 0
        self.late = 0
        self.forgotten = 0  # sources, for others: their windows were closed early
        self._view = view
        self._every = self.every_ms = view.every_ms
        self._emit = emit
        self._show_source = show.get(view.kind.source, _show_nothing)
        self._offset = offset_ms % view.every_ms
        self._gathering = Gathering(view, show)
        self.taking = self._gathering.taking
        self._source_places = [at for at, view_field in enumerate(view.fields) if not view_field.window]
        self._trails: dict[str | bytes, _Trail] = {}  # the longest unheard first
        self._most_trails = 2 * view.kind.max_sources  # the compiled gate lets that many in around a change of day
        self._tag_of: Callable[[str], bytes] | None = None
        self._since: int | None = None

    def roll(self, source: str, at_ms: int) -> Pane | None:
        """
        Return the pane a reading of *source* at *at_ms* belongs to, opening and closing what that takes.

        Returns:
            None when its window is closed already; the reading is counted as late.
        """
        if self._since is None:
            self._since = at_ms
        trail = self._trails.get(source) or self._adopt(source, at_ms)
        current, previous = trail.current, trail.previous
        start = (at_ms - self._offset) // self._every * self._every + self._offset
        if current is not None and start == current[START]:
            return current
        if previous is not None and start == previous[START]:
            return previous
        if start < trail.closed_until or (current is not None and start < current[START] - self._every):
            self.late += 1
            return None
        pane = self._new(source, start)
        if current is not None and start < current[START]:
            trail.previous = pane
            return pane
        self._advance(trail, start)
        trail.current = pane
        self._trails[source] = self._trails.pop(source)
        return pane

    def close_idle(self) -> None:
        """
        Close every window that has been open for two lengths of monotonic time.
        """
        mono_ms, limit = self.mono_ms, self.mono_ms - 2 * self._every
        for trail in self._trails.values():
            current, previous = trail.current, trail.previous
            if current is None:
                continue
            current[OPENED] = current[OPENED] or mono_ms  # opened since the last look
            if previous is not None:
                previous[OPENED] = previous[OPENED] or mono_ms
            if current[OPENED] <= limit:
                self._close_all(trail)  # with the one before, even if a straggler opened that later
            elif previous is not None and previous[OPENED] <= limit:
                self._close(trail, previous)
                trail.previous = None

    @property
    def has_open(self) -> bool:
        """
        Tell whether any window is open, of sources that were heard or that wait under their tags.
        """
        return any(trail.current is not None for trail in self._trails.values())

    def cut(self, *, goes_on: bool = False) -> None:
        """
        Close every window now, marked partial, and forget all sources: the stream ends.

        Args:
            goes_on: it does not end: counters go on from where they are, and a reading of the same window that comes
                later opens another one.
        """
        for trail in self._trails.values():
            began = trail.panes[0][START] if trail.panes else trail.closed_until
            panes = trail.panes
            self._cut(trail)
            trail.closed_until = began
            trail.carry_ms = max([trail.carry_ms, *map(self._gathering.counted_ms, panes)])
        if goes_on:
            self._since = None
        else:
            self.discard()

    def latest_ms(self) -> int:
        """
        Return up to when windows are open or closed, 0 when no source is remembered.
        """
        ends = [trail.current[END] if trail.current else trail.closed_until for trail in self._trails.values()]
        return max(ends, default=0)

    def discard(self) -> None:
        """
        Forget every window and source without a row.
        """
        for trail in self._trails.values():
            for pane in trail.panes:
                _dissolve(pane)
        self._trails.clear()
        self._since = None

    def snapshot(self, tag_of: Callable[[str], bytes], packed: Packed | None = None) -> list[Any]:
        """
        Return all open windows as plain values, raw sources replaced by their tags.

        Args:
            packed: what snapshots of other views made at this time hold; this one's is added.
        """
        kept = []
        for source, trail in self._trails.items():
            panes, shown = trail.panes, None
            for pane in panes:
                block, shown = pane[BLOCK], pane[SOURCE]
                if block is not None and block.rows:
                    block.fold()
            if trail.tag is None:
                trail.tag = tag_of(source) if isinstance(source, str) else source
            kept.append(KeptTrail(trail.tag, shown, trail.closed_until, trail.carry, panes))
        return packed_trails(kept, packed)

    def restore(self, stored: list[Any], tag_of: Callable[[str], bytes], mono_ms: int) -> None:
        """
        Continue from a snapshot: windows wait under their tags until their source is heard again, and are partial.
        """
        self._tag_of = tag_of
        self.mono_ms = mono_ms
        for kept in whole_trails(self._view, stored):
            trail = _Trail()
            trail.closed_until, trail.carry = kept.closed_until, dict(kept.carry)
            panes = list(kept.panes)
            for pane in panes:
                pane[PARTIAL], pane[OPENED], pane[SOURCE] = 1, mono_ms, kept.source
            trail.current = panes.pop() if panes else None
            trail.previous = panes.pop() if panes else None
            self._trails[kept.tag] = trail

    def _adopt(self, source: str, at_ms: int) -> _Trail:
        tag = self._tag_of(source) if self._tag_of is not None else None
        if tag is not None and tag in self._trails:
            trail = self._trails.pop(tag)
        else:
            if len(self._trails) >= self._most_trails:
                self._forget_one(at_ms)
            trail = _Trail()
        self._trails[source] = trail
        return trail

    def _forget_one(self, at_ms: int) -> None:
        """
        Make room for a source: forget the longest unheard one, if possible one without an open window.
        """
        silent = (source for source, trail in self._trails.items() if trail.current is None)
        source = next(silent, next(iter(self._trails)))
        self.forgotten += 1
        self._cut(self._trails.pop(source))
        self._since = max(self._since or at_ms, at_ms)  # if it comes back within a window, that one is partial

    def _new(self, source: str, start: int) -> Pane:
        assert self._since is not None
        partial = int(start < self._since)
        shown = self._show_source(source)
        # Not opened at the time last told: the board may have slept since then. The next look says when.
        return [start, start + self._every, 0, partial, 0, shown, None, self._gathering.empty]

    def _advance(self, trail: _Trail, start: int) -> None:
        if trail.previous is not None:
            self._close(trail, trail.previous)
            trail.previous = None
        if trail.current is not None:
            if trail.current[END] == start:
                trail.previous = trail.current
            else:
                self._close(trail, trail.current)

    def _cut(self, trail: _Trail) -> None:
        for pane in trail.panes:
            pane[PARTIAL] = 1
        self._close_all(trail)

    def _close_all(self, trail: _Trail) -> None:
        for pane in trail.panes:
            self._close(trail, pane)
        trail.previous = trail.current = None

    def _close(self, trail: _Trail, pane: Pane) -> None:
        block = pane[BLOCK]
        _dissolve(pane)
        # Of views whose windows end alike each emits the very row that the first of them made.
        by = (self._gathering.ends, id(pane[SLOTS]), pane[COUNT], pane[PARTIAL], pane[START], pane[SOURCE])
        finished = None if block is None or self._gathering.ends is None else block.finished
        if finished is None or finished[0] != by:
            finished = by, self._row(trail, pane)
            if block is not None:
                block.finished = finished
        trail.closed_until = pane[END]
        self._emit(finished[1])

    def _row(self, trail: _Trail, pane: Pane) -> Row:
        values = self._gathering.finish(pane[SLOTS], trail.carry, trail.carry_ms)
        for at in self._source_places:
            values.insert(at, pane[SOURCE])
        # The count is of readings: one whose values were all invalid still counts.
        return (pane[START], -pane[COUNT] if pane[PARTIAL] else pane[COUNT], *values)


def _dissolve(pane: Pane) -> None:
    if pane[BLOCK] is not None:
        pane[BLOCK].dissolve()
        pane[BLOCK] = None


def _show_nothing(_: str) -> None:
    return None
