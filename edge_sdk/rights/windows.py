"""
Open windows as the device still has them, in exact values: the journal's snapshot told field by field.

What a window holds before it is over is finer than what will leave of it: sums, extremes, the times of first and
last. The household may see all of it. Sources are what the view makes of them, or the keyed tag they wait under.
Pure; reading the journal is the package's ``__init__``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeAlias

from edge_sdk.core.gathering import COUNT, END, SLOTS, START, Pane, slot_places
from edge_sdk.core.policy import FieldType, View, ViewField, Window
from edge_sdk.core.snapshots import KeptTrail, whole_trails

Exact: TypeAlias = Decimal | int | str | bool | list[str] | None
"""A value at the resolution of its field; bytes of a pseudonym as hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """
    One window that is not over: ``fields`` holds, by field, what was gathered so far. ``source`` is as it would leave.
    """

    start_ms: int
    end_ms: int
    readings: int
    source: Exact
    fields: dict[str, dict[str, Exact]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenSource:
    """
    What is open of one source of one view. ``goes_on_from`` are the counter readings its next window starts at.
    """

    kind: str
    tag: bytes
    closed_until_ms: int
    goes_on_from: dict[str, Exact] = field(repr=False)
    windows: tuple[OpenWindow, ...]


def open_sources(view: View, snapshot: Sequence[Any]) -> tuple[OpenSource, ...]:
    """
    Return what ``WindowSet.snapshot`` of *view* holds.
    """
    by_place = {place: entry for place, entry in zip(slot_places(view.fields), view.fields, strict=True) if place >= 0}
    return tuple(
        OpenSource(
            kind=view.kind.name,
            tag=kept.tag,
            closed_until_ms=kept.closed_until,
            goes_on_from={by_place[at].field.name: _exact(by_place[at], value) for at, value in kept.carry.items()},
            windows=tuple(_window(view, kept, pane) for pane in kept.panes),
        )
        for kept in whole_trails(view, snapshot)
    )


def _window(view: View, kept: KeptTrail, pane: Pane) -> OpenWindow:
    fields, at = {}, 0
    for entry in view.fields:
        if entry.window is not None:
            names = _GATHERED[entry.window]
            fields[entry.field.name] = _told(entry, dict(zip(names, pane[SLOTS][at : at + len(names)], strict=True)))
            at += len(names)
    shown = None if view.group is None else _exact(view.fields[view.group], kept.source)
    return OpenWindow(pane[START], pane[END], pane[COUNT], shown, fields)


_GATHERED: Final[Mapping[Window, tuple[str, ...]]] = {
    Window.MEAN: ("sum", "values"),
    Window.SUM: ("sum", "values"),
    Window.COUNT: ("values",),
    Window.MIN: ("lowest",),
    Window.MAX: ("highest",),
    Window.FIRST: ("first", "first_at_ms"),
    Window.LAST: ("last", "last_at_ms"),
    Window.DELTA: ("first", "first_at_ms", "last", "last_at_ms", "risen"),
}


def _told(entry: ViewField, slots: dict[str, Any]) -> dict[str, Exact]:
    plain = ("values", "first_at_ms", "last_at_ms")
    return {name: slot if name in plain else _exact(entry, slot) for name, slot in slots.items()}


def _exact(entry: ViewField, value: Any) -> Exact:
    if value is None:
        return None
    if not isinstance(value, int):
        return value.hex() if isinstance(value, bytes) else str(value)
    match entry.field.type:
        case FieldType.BOOL:
            return bool(value)
        case FieldType.ENUM:
            return entry.field.values[value]
        case FieldType.FLAGS:
            return [label for bit, label in enumerate(entry.field.values) if value >> bit & 1]
        case _:
            return entry.field.step.decimal(value)
