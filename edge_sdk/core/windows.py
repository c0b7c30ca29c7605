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

import struct
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple

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
    slot_count,
)
from edge_sdk.core.policy import View
from edge_sdk.core.table import Row

_LIMB: Final = 1 << 62
_PACKED_PARTS: Final = 3  # of an entry of a snapshot whose numbers are packed


class _Trail:
    """
    One source's open windows and what the next one continues from.
    """

    __slots__ = ("carry", "carry_ms", "closed_until", "current", "packed", "previous", "tag")

    def __init__(self) -> None:
        self.current: Pane | None = None
        self.previous: Pane | None = None  # the window just before; there is none without a current one
        self.closed_until = 0
        self.carry: dict[int, int] = {}
        self.carry_ms = 0  # when what is carried was read, where windows were cut: a later one may begin before it
        self.tag: bytes | None = None  # what stands for the source in snapshots, once one was made
        # A pane, how many readings it had, and how it was stored then: the one before gets readings no more.
        self.packed: tuple[Pane | None, int, bytes] = None, 0, b""

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
        limit = self.mono_ms - 2 * self._every
        for trail in self._trails.values():
            for pane in trail.panes:
                pane[OPENED] = pane[OPENED] or self.mono_ms  # opened since the last look
            if trail.current is not None and trail.current[OPENED] <= limit:
                self._close_all(trail)  # with the one before, even if a straggler opened that later
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

    def snapshot(self, tag_of: Callable[[str], bytes]) -> list[Any]:
        """
        Return all open windows as plain values, raw sources replaced by their tags.
        """
        entries = []
        for source, trail in self._trails.items():
            for pane in trail.panes:
                if pane[BLOCK] is not None and pane[BLOCK].rows:
                    pane[BLOCK].fold()
            if trail.tag is None:
                trail.tag = tag_of(source) if isinstance(source, str) else source
            entries.append(_stored(trail, trail.tag))
        return entries

    def restore(self, entries: list[Any], tag_of: Callable[[str], bytes], mono_ms: int) -> None:
        """
        Continue from a snapshot: windows wait under their tags until their source is heard again, and are partial.
        """
        self._tag_of = tag_of
        self.mono_ms = mono_ms
        for entry in entries:
            kept = whole_trail(entry, slot_count(self._view))
            trail = _Trail()
            trail.closed_until, trail.carry = kept.closed_until, dict(kept.carry)
            panes = [
                [start, end, count, 1, mono_ms, kept.source, None, *slots]
                for start, end, count, _, *slots in kept.panes
            ]
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
        return [start, start + self._every, 0, partial, 0, shown, None, *self._gathering.empty]

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
        _dissolve(pane)
        gathered = iter(self._gathering.finish(pane, trail.carry, trail.carry_ms))
        values = [next(gathered) if view_field.window else pane[SOURCE] for view_field in self._view.fields]
        trail.closed_until = pane[END]
        # The count is of readings: one whose values were all invalid still counts.
        self._emit((pane[START], -pane[COUNT] if pane[PARTIAL] else pane[COUNT], *values))


def _dissolve(pane: Pane) -> None:
    if pane[BLOCK] is not None:
        pane[BLOCK].dissolve()
        pane[BLOCK] = None


def _show_nothing(_: str) -> None:
    return None


class KeptTrail(NamedTuple):
    """
    What a snapshot holds of one source; a pane is ``[start_ms, end_ms, count, partial, *slots]``.
    """

    tag: bytes
    source: str | bytes | None
    closed_until: int
    carry: list[Any]
    panes: list[list[Any]]


def whole_trail(stored: list[Any], slots: int) -> KeptTrail:
    """
    Return one entry of a snapshot.

    Args:
        slots: how many a pane of the view has.
    """
    if len(stored) > _PACKED_PARTS:
        tag, source, closed_until, carry, panes = stored
        return KeptTrail(tag, source, closed_until, carry, [[_whole(part) for part in pane] for pane in panes])
    tag, source, packed = stored
    closed_until, carried, *numbers = struct.unpack(f"<{len(packed) // 8}q", packed)
    carry = [numbers[at : at + 2] for at in range(0, 2 * carried, 2)]
    width = OPENED + slots
    panes = [numbers[at : at + width] for at in range(2 * carried, len(numbers), width)]
    return KeptTrail(tag, source, closed_until, carry, panes)


def _stored(trail: _Trail, tag: bytes) -> list[Any]:
    """
    Return a folded trail as a snapshot holds it: its numbers packed where they are all numbers of 64 bits.

    A flush stores every open window: eight bytes a number cost a tenth of what an array of them does.
    """
    panes = trail.panes
    source = panes[-1][SOURCE] if panes else None
    begun = [trail.closed_until, len(trail.carry), *chain.from_iterable(trail.carry.items())]
    try:
        packed = _packed(begun)
        if trail.previous is not None:
            packed += _packed_once(trail, trail.previous)
        if trail.current is not None:
            packed += _packed([*trail.current[:OPENED], *trail.current[SLOTS:]])
        return [tag, source, packed]
    except struct.error:  # texts, none yet, or a number beyond 64 bits
        kept = [[*pane[:OPENED], *map(_split, pane[SLOTS:])] for pane in panes]
        return [tag, source, trail.closed_until, [[at, value] for at, value in trail.carry.items()], kept]


def _packed_once(trail: _Trail, pane: Pane) -> bytes:
    was, count, packed = trail.packed
    if was is not pane or count != pane[COUNT]:  # one that is marked partial is closed with that
        packed = _packed([*pane[:OPENED], *pane[SLOTS:]])
        trail.packed = pane, pane[COUNT], packed
    return packed


def _packed(numbers: list[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


def _split(slot: Any) -> Any:
    """
    Return *slot* as a snapshot holds it: whole numbers of any size as (high, low), which no slot is otherwise.
    """
    return list(divmod(slot, _LIMB)) if isinstance(slot, int) and not -_LIMB <= slot < _LIMB else slot


def _whole(slot: Any) -> Any:
    return slot[0] * _LIMB + slot[1] if isinstance(slot, list) else slot
