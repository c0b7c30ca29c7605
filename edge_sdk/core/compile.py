"""
A policy as straight-line Python: one function per kind for exactly the purposes that may collect now.

As dataclasses and attrs do, the text of a function is written once per shape and executed with its constants bound.
The function checks each declared field with one comparison (the strict twin is ``reading.check``), then appends one
row per view, or adds to one window per view. It does no I/O, keeps nothing else, and forgets the reading when it
returns. Which purposes are bound is decided by who holds a :class:`CollectGrant`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from edge_sdk.core import reading, transforms
from edge_sdk.core.consent import CollectGrant
from edge_sdk.core.policy import NUMERIC, FieldType, Kind, TextRule, View, ViewField, Window
from edge_sdk.core.policy import Field as PolicyField
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.table import Row
from edge_sdk.core.units import BINARY64_INTEGER
from edge_sdk.core.windows import COUNT, END, START, WindowSet, increase, slot_places

Minimiser = Callable[[Mapping[str, Any], int], int]


@dataclass(slots=True)
class Outlet:
    """
    Where the rows of one view of one stream go: ``rows`` takes finished ones, ``windows`` what is still open.
    """

    view: View
    rows: list[Row] = field(repr=False)  # what a reading said has no voice
    names: Mapping[str, Pseudonyms] = field(default_factory=dict, repr=False)
    windows: WindowSet | None = field(default=None, repr=False)


@dataclass(slots=True)
class Tally:
    """
    What one kind dropped, by reason; counts only, never what it was.
    """

    unknown_fields: int = 0
    invalid_values: int = 0
    invalid_readings: int = 0
    too_many_sources: int = 0


def make_outlet(view: View, *, names: Mapping[str, Pseudonyms], offset_ms: int = 0) -> Outlet:
    """
    Return an empty outlet for *view*; nothing reaches it before :func:`compile_kind` binds it.

    Args:
        names: pseudonyms by field name, for the fields whose rule asks for one.
        offset_ms: where in the UTC day windows begin.
    """
    outlet = Outlet(view, [], names)
    if view.every_ms is not None:
        outlet.windows = WindowSet(
            view, emit=outlet.rows.append, show_source=_source_shower(view, names), offset_ms=offset_ms
        )
    return outlet


def compile_kind(kind: Kind, granted: Sequence[tuple[Outlet, CollectGrant]], tally: Tally) -> Minimiser:
    """
    Return the function ``minimise(fields, at_ms)`` that feeds one reading of *kind* to the outlets.

    Args:
        granted: each outlet with the permission to collect for its purpose.
        tally: counts what is dropped.

    It returns how many outlets took the reading; 0 when the reading was dropped, which *tally* then counts. Values
    of a declared field that are None count as absent.
    """
    if not all(isinstance(grant, CollectGrant) for _, grant in granted):
        raise TypeError("an outlet without a grant to collect")
    outlets = [outlet for outlet, _ in granted]
    text = _write(kind, tuple(outlet.view for outlet in outlets))
    bound: dict[str, Any] = {
        "tally": tally,
        "sources": set(),
        "check": reading.check,
        "declared": kind.fields,
        "names_declared": frozenset(declared.name for declared in kind.fields),
        "increase": increase,
        "shape": transforms.shape_number,
        "clip": transforms.clip,
    }
    for at, outlet in enumerate(outlets):
        bound[f"append_{at}"] = outlet.rows.append
        bound[f"fields_{at}"] = outlet.view.fields
        if outlet.windows is not None:
            bound[f"open_{at}"] = outlet.windows.open
            bound[f"roll_{at}"] = outlet.windows.roll
        for place, view_field in enumerate(outlet.view.fields):
            if view_field.is_text:
                bound[f"text_{at}_{place}"] = _text_maker(view_field, outlet.names)
    exec(_compiled(text, kind.name), bound)  # noqa: S102 - the text is ours; names from the policy appear only through repr()
    minimise: Minimiser = bound["minimise"]
    return minimise


def forget_sources(minimise: Minimiser) -> None:
    """
    Let new sources take the places of old ones, so that invented serials block real ones for a day at most.
    """
    minimise.__globals__["sources"].clear()


@lru_cache(maxsize=256)
def _compiled(text: str, kind_name: str) -> Any:
    return compile(text, f"<policy kind {kind_name}>", "exec")


def _text_maker(view_field: ViewField, names: Mapping[str, Pseudonyms]) -> Callable[[str], Any]:
    if view_field.text is TextRule.PSEUDONYM:
        return names[view_field.field.name]
    return transforms.text_rule(view_field)


def _source_shower(view: View, names: Mapping[str, Pseudonyms]) -> Callable[[str], Any]:
    if view.group is None:
        return lambda _: None
    return _text_maker(view.fields[view.group], names)


class _Names(NamedTuple):
    """
    Names that a written function uses for its fields: ``f0`` is the canonical value of the first declared one.
    """

    of_field: Mapping[str, str]
    source: str


@lru_cache(maxsize=256)
def _write(kind: Kind, views: tuple[View, ...]) -> str:
    names = _Names({declared.name: f"f{at}" for at, declared in enumerate(kind.fields)}, "")
    names = names._replace(source=names.of_field[kind.source])
    lines = ["def minimise(fields, at_ms):", "    get = fields.get", "    missing = 0"]
    for at, declared in enumerate(kind.fields):
        lines += _write_check(kind, declared, at)
    lines += _write_gate(kind, names)
    lines.append(f"    taken = {sum(view.every_ms is None for view in views)}")  # windows may find it late
    for at, view in enumerate(views):
        lines += _write_row(at, view, names) if view.every_ms is None else _write_window(at, view, names)
    lines.append("    return taken")
    return "\n".join(lines)


def _write_check(kind: Kind, declared: PolicyField, at: int) -> list[str]:
    costs_reading = kind.on_invalid == "reading"
    lines = [
        f"    v = get({declared.name!r})",
        "    if v is None:",
        f"        f{at} = None; missing += 1",
        *_write_fast(declared, at),
        "    else:",
        f"        f{at} = check(declared[{at}], v)",
        f"        if f{at} is None:",
        "            tally.invalid_values += 1",
    ]
    if costs_reading:
        lines += ["            tally.invalid_readings += 1", "            return 0"]
    return lines


def _write_fast(declared: PolicyField, at: int) -> list[str]:
    """
    Write the usual case of one field as a single comparison; what it lets in, ``reading.check`` lets in alike.
    """
    if declared.type in NUMERIC:
        low, high = _sure_floats(declared)
        least, most = _sure_integers(declared)
        multiplier, divisor = declared.step.multiplier(), declared.step.divisor()
        scaled = "v" if multiplier == 1 else f"v * {multiplier}"
        scaled = scaled if divisor == 1 else f"{scaled} / {divisor}"
        lines = [f"    elif type(v) is float and {low!r} <= v <= {high!r}:", f"        f{at} = round({scaled})"]
        whole = "v" if multiplier == 1 == divisor else f"round({scaled})"
        return [*lines, f"    elif type(v) is int and {least} <= v <= {most}:", f"        f{at} = {whole}"]
    if declared.type is FieldType.TEXT:
        return [f"    elif type(v) is str and len(v) <= {declared.max_length} and v.isascii():", f"        f{at} = v"]
    return []


def _sure_floats(declared: PolicyField) -> tuple[float, float]:
    """
    Return floats between which everything is in range once it is quantised.

    Near 2**53 steps the float of a bound may quantise to the integer beyond it; the few left out are checked.
    """
    step = declared.step
    low, high = (float(step.decimal(bound)) for bound in (declared.low, declared.high))
    while step.quantise(low) < declared.low:
        low = math.nextafter(low, math.inf)
    while step.quantise(high) > declared.high:
        high = math.nextafter(high, -math.inf)
    return low, high


def _sure_integers(declared: PolicyField) -> tuple[int, int]:
    low, high = (declared.step.decimal(bound) for bound in (declared.low, declared.high))
    return max(math.ceil(low), 1 - BINARY64_INTEGER), min(math.floor(high), BINARY64_INTEGER - 1)


def _write_gate(kind: Kind, names: _Names) -> list[str]:
    return [
        f"    if len(fields) + missing != {len(kind.fields)}:",
        "        tally.unknown_fields += len(fields.keys() - names_declared)",
        f"    if {names.source} is None:",
        "        tally.invalid_readings += 1",
        "        return 0",
        f"    if {names.source} not in sources:",
        f"        if len(sources) >= {kind.max_sources}:",
        "            tally.too_many_sources += 1",
        "            return 0",
        f"        sources.add({names.source})",
    ]


def _write_row(at: int, view: View, names: _Names) -> list[str]:
    values = [_value(at, place, view_field, names) for place, view_field in enumerate(view.fields)]
    return [f"    append_{at}(({', '.join(['at_ms', *values])},))"]


def _value(at: int, place: int, view_field: ViewField, names: _Names) -> str:
    name = names.of_field[view_field.field.name]
    if view_field.is_text:
        if view_field.text is TextRule.KEEP:
            return name
        return f"None if {name} is None else text_{at}_{place}({name})"
    if view_field.clip is not None:
        return f"None if {name} is None else shape(fields_{at}[{place}], clip(fields_{at}[{place}], {name}))"
    if view_field.band:
        return f"None if {name} is None else shape(fields_{at}[{place}], {name})"
    if view_field.factor == 1:
        return name
    return f"None if {name} is None else ({name} + {view_field.factor // 2}) // {view_field.factor}"


def _write_window(at: int, view: View, names: _Names) -> list[str]:
    source = names.source
    lines = [
        f"    w = open_{at}.get({source})",
        f"    if w is None or not w[{START}] <= at_ms < w[{END}]:",
        f"        w = roll_{at}({source}, at_ms)",
        "    if w is not None:",
        f"        taken += 1; w[{COUNT}] += 1",
    ]
    for (place, view_field), slot in zip(enumerate(view.fields), slot_places(view), strict=True):
        if view_field.window is not None:
            lines += _write_slot(at, place, view_field, slot, names.of_field[view_field.field.name])
    return lines


def _write_slot(at: int, place: int, view_field: ViewField, slot: int, name: str) -> list[str]:
    value = name
    if view_field.is_text:
        value = f"text_{at}_{place}({name})"
    elif view_field.clip is not None:
        value = f"clip(fields_{at}[{place}], {name})"
    lines = [f"        if {name} is not None:"]
    if value != name:
        lines.append(f"            x = {value}")
        value = "x"
    return [*lines, *(f"            {line}" for line in _slot_lines(view_field, slot, value))]


def _slot_lines(view_field: ViewField, slot: int, value: str) -> list[str]:
    match view_field.window:
        case Window.MEAN | Window.SUM:
            return [f"w[{slot}] += {value}; w[{slot + 1}] += 1"]
        case Window.COUNT:
            return [f"w[{slot}] += 1"]
        case Window.MIN:
            return [f"if w[{slot}] is None or {value} < w[{slot}]: w[{slot}] = {value}"]
        case Window.MAX:
            return [f"if w[{slot}] is None or {value} > w[{slot}]: w[{slot}] = {value}"]
        case Window.FIRST:
            return [f"if w[{slot}] is None or at_ms < w[{slot + 1}]: w[{slot}] = {value}; w[{slot + 1}] = at_ms"]
        case Window.LAST:
            return [f"if w[{slot}] is None or at_ms >= w[{slot + 1}]: w[{slot}] = {value}; w[{slot + 1}] = at_ms"]
        case _:  # delta
            pass
    first, first_at, last, last_at, total = (f"w[{at}]" for at in range(slot, slot + 5))
    after, before = (
        f"{total} += increase({view_field.field.modulus}, {step})" for step in (f"{last}, {value}", f"{value}, {first}")
    )
    return [
        f"if {first} is None: {first} = {last} = {value}; {first_at} = {last_at} = at_ms",
        f"elif at_ms >= {last_at}: {after}; {last} = {value}; {last_at} = at_ms",
        f"elif at_ms < {first_at}: {before}; {first} = {value}; {first_at} = at_ms",
    ]
