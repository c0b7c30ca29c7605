"""
Values of many readings become one row: windows per source, by the reading's own time.

A window closes when its source reports from two windows on, or when it has been open for two lengths of monotonic
time, so a source that falls silent still reports and a replay of old readings is not cut. Readings for a closed
window are late and counted. First, last and delta go by the readings' own times too, so a reading that comes out of
order neither becomes the last nor looks like a counter that restarted. A window that did not see its whole length
(start, restart, consent or period change) is marked partial. What :meth:`WindowSet.snapshot` returns holds no raw
source: sources are keyed tags there. Sources remembered are bounded, whatever is invented outside.

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
    Window.FIRST: (None, 0),  # and when it was
    Window.LAST: (None, 0),
    Window.DELTA: (None, 0, None, 0, 0),  # first and when, last and when, increase between them
}
_WIDEST = (1 << 62) - 1  # between two values of this size lies a difference that a column can hold
_LIMB = 1 << 62

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

    __slots__ = ("carry", "carry_ms", "closed_until", "current", "previous")

    def __init__(self) -> None:
        self.current: Pane | None = None
        self.previous: Pane | None = None  # the window just before; there is none without a current one
        self.closed_until = 0
        self.carry: dict[int, int] = {}
        self.carry_ms = 0  # when what is carried was read, where windows were cut: a later one may begin before it

    @property
    def panes(self) -> list[Pane]:
        """
        Return what is open, the older first, which is the order they close in.
        """
        return [pane for pane in (self.previous, self.current) if pane is not None]


class WindowSet:
    """
    The open windows of one view of one stream.

    Args:
        view: a view with ``every_ms``.
        emit: takes each finished row.
        show_source: turns a raw source into what the view says of it, None when the source does not leave.
        offset_ms: where in the day windows begin, from UTC midnight.

    ``mono_ms`` is the monotonic time as last told by the owner, 0 before that.
    """

    def __init__(
        self, view: View, *, emit: Callable[[Row], None], show_source: Callable[[str], Any], offset_ms: int = 0
    ) -> None:
        assert view.every_ms is not None
        self.open: dict[str, Pane] = {}
        self.mono_ms = 0
        self.late = 0
        self._view = view
        self._every = self.every_ms = view.every_ms
        self._emit = emit
        self._show_source = show_source
        self._offset = offset_ms % view.every_ms
        self._places = slot_places(view)
        self._deltas = [
            place for entry, place in zip(view.fields, self._places, strict=True) if entry.window is Window.DELTA
        ]
        self._empty = [slot for view_field in view.fields if view_field.window for slot in _EMPTY[view_field.window]]
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
        if current is not None and start == current[START]:  # it waited under its tag since a restart
            self.open[source] = current
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
        trail.current = self.open[source] = pane
        self._trails[source] = self._trails.pop(source)
        return pane

    def close_idle(self) -> None:
        """
        Close every window that has been open for two lengths of monotonic time.
        """
        limit = self.mono_ms - 2 * self._every
        for source, trail in self._trails.items():
            for pane in trail.panes:
                pane[OPENED] = pane[OPENED] or self.mono_ms  # opened before anyone told the time
            if trail.current is not None and trail.current[OPENED] <= limit:
                self._close_all(trail)  # with the one before, even if a straggler opened that later
                self._shut(source)
            elif trail.previous is not None and trail.previous[OPENED] <= limit:
                self._close(trail, trail.previous)
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
            heard_ms = [pane[place + 3] for pane in trail.panes for place in self._deltas if pane[place] is not None]
            self._cut(trail)
            trail.closed_until, trail.carry_ms = began, max([trail.carry_ms, *heard_ms])
        if goes_on:
            self.open.clear()
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
        self.open.clear()
        self._trails.clear()
        self._since = None

    def snapshot(self, tag_of: Callable[[str], bytes]) -> list[Any]:
        """
        Return all open windows as plain values, raw sources replaced by their tags.
        """
        entries = []
        for source, trail in self._trails.items():
            kept = [[*pane[:OPENED], pane[SOURCE], *map(_split, pane[SLOTS:])] for pane in trail.panes]
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
            panes = [
                [start, end, count, 1, mono_ms, source, *map(whole_slot, slots)]
                for start, end, count, _, source, *slots in kept
            ]
            trail.current = panes.pop() if panes else None
            trail.previous = panes.pop() if panes else None
            self._trails[tag] = trail

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
        self._cut(self._trails.pop(source))
        self._shut(source)
        self._since = max(self._since or at_ms, at_ms)  # if it comes back within a window, that one is partial

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

    def _shut(self, source: str | bytes) -> None:
        if isinstance(source, str):
            self.open.pop(source, None)

    def _cut(self, trail: _Trail) -> None:
        for pane in trail.panes:
            pane[PARTIAL] = 1
        self._close_all(trail)

    def _close_all(self, trail: _Trail) -> None:
        for pane in trail.panes:
            self._close(trail, pane)
        trail.previous = trail.current = None

    def _close(self, trail: _Trail, pane: Pane) -> None:
        values = [
            pane[SOURCE] if place < 0 else self._finish(trail, view_field, pane, place)
            for view_field, place in zip(self._view.fields, self._places, strict=True)
        ]
        trail.closed_until = pane[END]
        # The count is of readings: one whose values were all invalid still counts.
        self._emit((pane[START], -pane[COUNT] if pane[PARTIAL] else pane[COUNT], *values))

    def _finish(self, trail: _Trail, view_field: ViewField, pane: Pane, place: int) -> Any:
        first = pane[place]
        match view_field.window:
            case Window.MEAN:
                return shape_mean(view_field, first, pane[place + 1]) if pane[place + 1] else None
            case Window.SUM:
                return _fitting(shape_number(view_field, first)) if pane[place + 1] else None
            case Window.COUNT:
                return first
            case Window.DELTA:
                return self._finish_delta(trail, view_field, pane, place)
            case _:  # min, max, first, last: the slot is the value
                pass
        return first if first is None or view_field.is_text else shape_number(view_field, first)

    def _finish_delta(self, trail: _Trail, view_field: ViewField, pane: Pane, place: int) -> int | None:
        first, first_ms, last, last_ms, increased = pane[place : place + 5]
        if first is None:
            return None
        if place in trail.carry and first_ms < trail.carry_ms:  # of the time before a cut, and told by it
            increased = 0
            first, first_ms = last, last_ms
        if place in trail.carry and first_ms >= trail.carry_ms:
            increased += increase(view_field.field.modulus, trail.carry[place], first)
        if last_ms >= trail.carry_ms:
            trail.carry[place] = last
        return _fitting(shape_number(view_field, increased))


def _fitting(value: int) -> int | None:
    # Only sums of absurd values come here beyond it; a column could not hold them, and no false value may leave.
    return value if -_WIDEST <= value <= _WIDEST else None


def _split(slot: Any) -> Any:
    """
    Return *slot* as a snapshot holds it: whole numbers of any size as (high, low), which no slot is otherwise.
    """
    return list(divmod(slot, _LIMB)) if isinstance(slot, int) and not -_LIMB <= slot < _LIMB else slot


def whole_slot(slot: Any) -> Any:
    """
    Return a slot as the pane had it before :meth:`WindowSet.snapshot`.
    """
    return slot[0] * _LIMB + slot[1] if isinstance(slot, list) else slot
