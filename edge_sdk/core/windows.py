"""
Values of many readings become one row: windows per source, by the reading's own time.

A window closes when its source reports from two windows on, or when it has been open for two lengths of monotonic
time, so a source that falls silent still reports and a replay of old readings is not cut. Readings for a closed
window are late and counted. A window that did not see its whole length (start, restart, consent or period change) is
marked partial. What :meth:`WindowSet.snapshot` returns holds no raw source: sources are keyed tags there.

State of an open window is a plain list, because compiled code adds to it:
``[start_ms, end_ms, count, partial, opened_mono_ms, source, *slots]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from edge_sdk.core.policy import View, ViewField, Window
from edge_sdk.core.table import Row
from edge_sdk.core.transforms import shape_mean, shape_number

START, END, COUNT, PARTIAL, OPENED, SOURCE, SLOTS = range(7)
_EMPTY: Final[dict[Window, tuple[Any, ...]]] = {
    Window.MEAN: (0, 0),
    Window.SUM: (0, 0),
    Window.COUNT: (0,),
    Window.MIN: (None,),
    Window.MAX: (None,),
    Window.FIRST: (None,),
    Window.LAST: (None,),
    Window.DELTA: (None, None, 0),  # first, last, increase
}

Pane = list[Any]


def slot_places(view: View) -> list[int]:
    """
    Return where in a pane the slots of each field of *view* begin; the source has none (-1).
    """
    places, place = [], SLOTS
    for view_field in view.fields:
        places.append(place if view_field.window else -1)
        place += len(_EMPTY[view_field.window]) if view_field.window else 0
    return places


def increase(modulus: int, previous: int, value: int) -> int:
    """
    Return how far a counter went from *previous* to *value*, through a wrap at *modulus* or a reset to 0.
    """
    step = value - previous
    if step >= 0:
        return step
    if modulus and -step > modulus // 2:
        return step + modulus
    return value  # it restarted at 0: what it shows now is what was counted since


class _Trail:
    """
    One source's open windows and what the next one continues from.
    """

    __slots__ = ("carry", "closed_until", "current", "previous")

    def __init__(self) -> None:
        self.current: Pane | None = None
        self.previous: Pane | None = None
        self.closed_until = 0
        self.carry: dict[int, int] = {}


class WindowSet:
    """
    The open windows of one view of one stream.

    Args:
        view: a view with ``every_ms``.
        emit: takes each finished row.
        show_source: turns a raw source into what the view says of it, None when the source does not leave.
        offset_ms: where in the day windows begin, from UTC midnight.
    """

    def __init__(
        self, view: View, *, emit: Callable[[Row], None], show_source: Callable[[str], Any], offset_ms: int = 0
    ) -> None:
        assert view.every_ms is not None
        self.open: dict[str, Pane] = {}
        self.mono_ms = 0
        self.late = 0
        self._view = view
        self._every = view.every_ms
        self._emit = emit
        self._show_source = show_source
        self._offset = offset_ms % view.every_ms
        self._places = slot_places(view)
        self._empty = [slot for view_field in view.fields if view_field.window for slot in _EMPTY[view_field.window]]
        self._trails: dict[str | bytes, _Trail] = {}
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
        trail = self._trails.get(source) or self._adopt(source)
        current, previous = trail.current, trail.previous
        start = (at_ms - self._offset) // self._every * self._every + self._offset
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
        trail.current = self.open[source] = pane
        return pane

    def close_idle(self) -> None:
        """
        Close every window that has been open for two lengths of monotonic time.
        """
        limit = self.mono_ms - 2 * self._every
        for source, trail in self._trails.items():
            for pane in (trail.previous, trail.current):
                if pane is not None and pane[OPENED] <= limit:
                    self._close(trail, pane)
                    self._let_go(source, trail, pane)

    def cut(self) -> None:
        """
        Close every window now, marked partial, and forget all sources: the stream ends.
        """
        for trail in self._trails.values():
            for pane in (trail.previous, trail.current):
                if pane is not None:
                    pane[PARTIAL] = 1
                    self._close(trail, pane)
        self.discard()

    def discard(self) -> None:
        """
        Forget every window and source without a row.
        """
        self.open.clear()
        self._trails.clear()
        self._since = None

    def forget_silent(self) -> None:
        """
        Forget sources without an open window, so that invented ones do not stay; counters start anew for them.
        """
        for source in [source for source, trail in self._trails.items() if trail.current is None]:
            if self._trails[source].previous is None:
                del self._trails[source]

    def snapshot(self, tag_of: Callable[[str], bytes]) -> list[Any]:
        """
        Return all open windows as plain values, raw sources replaced by their tags.
        """
        entries = []
        for source, trail in self._trails.items():
            panes = [pane for pane in (trail.previous, trail.current) if pane is not None]
            kept = [[*pane[:OPENED], *pane[SOURCE:]] for pane in panes]
            tag = tag_of(source) if isinstance(source, str) else source
            entries.append([tag, trail.closed_until, [[at, value] for at, value in trail.carry.items()], kept])
        return entries

    def restore(self, entries: list[Any], tag_of: Callable[[str], bytes], mono_ms: int) -> None:
        """
        Continue from a snapshot: windows wait under their tags until their source is heard again, and are partial.
        """
        self._tag_of = tag_of
        self.mono_ms = mono_ms
        for tag, closed_until, carry, kept in entries:
            trail = _Trail()
            trail.closed_until = closed_until
            trail.carry = dict(carry)
            panes = [[*pane[:OPENED], mono_ms, *pane[OPENED:]] for pane in kept]
            for pane in panes:
                pane[PARTIAL] = 1
            trail.current = panes.pop() if panes else None
            trail.previous = panes.pop() if panes else None
            self._trails[tag] = trail

    def _adopt(self, source: str) -> _Trail:
        tag = self._tag_of(source) if self._tag_of is not None else None
        trail = self._trails.pop(tag) if tag is not None and tag in self._trails else _Trail()
        self._trails[source] = trail
        return trail

    def _new(self, source: str, start: int) -> Pane:
        assert self._since is not None
        partial = int(start < self._since)
        return [start, start + self._every, 0, partial, self.mono_ms, self._show_source(source), *self._empty]

    def _advance(self, trail: _Trail, start: int) -> None:
        if trail.previous is not None:
            self._close(trail, trail.previous)
            trail.previous = None
        if trail.current is not None:
            if trail.current[END] == start:
                trail.previous = trail.current
            else:
                self._close(trail, trail.current)

    def _let_go(self, source: str | bytes, trail: _Trail, pane: Pane) -> None:
        if pane is trail.previous:
            trail.previous = None
        else:
            trail.current = None
            if isinstance(source, str):
                self.open.pop(source, None)

    def _close(self, trail: _Trail, pane: Pane) -> None:
        values = [
            pane[SOURCE] if place < 0 else self._finish(trail, view_field, pane, place)
            for view_field, place in zip(self._view.fields, self._places, strict=True)
        ]
        trail.closed_until = pane[END]
        if pane[COUNT]:  # a window opened by a reading whose values were all invalid still counts as one
            self._emit((pane[START], -pane[COUNT] if pane[PARTIAL] else pane[COUNT], *values))

    def _finish(self, trail: _Trail, view_field: ViewField, pane: Pane, place: int) -> Any:
        first = pane[place]
        match view_field.window:
            case Window.MEAN:
                return shape_mean(view_field, first, pane[place + 1]) if pane[place + 1] else None
            case Window.SUM:
                return shape_number(view_field, first) if pane[place + 1] else None
            case Window.COUNT:
                return first
            case Window.DELTA:
                return self._finish_delta(trail, view_field, pane, place)
            case _:  # min, max, first, last: the slot is the value
                pass
        return first if first is None or view_field.is_text else shape_number(view_field, first)

    def _finish_delta(self, trail: _Trail, view_field: ViewField, pane: Pane, place: int) -> int | None:
        first, last, increased = pane[place : place + 3]
        if first is None:
            return None
        if place in trail.carry:
            increased += increase(view_field.field.modulus, trail.carry[place], first)
        trail.carry[place] = last
        return shape_number(view_field, increased)
