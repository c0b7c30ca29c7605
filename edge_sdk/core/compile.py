"""
A policy as straight-line Python: one function per kind for exactly the purposes that may collect now.

As dataclasses and attrs do, the text of a function is written once per shape and executed with its constants bound.
The function checks each declared field with one comparison (the strict twin is ``reading.check``), then appends one
row per view, or adds to the block of one window per view (``gathering``). What several views have alike, a value or a
whole row, is made once; pseudonyms never are. It does no I/O, keeps nothing else, and forgets the reading when it
returns. Which purposes are bound is decided by who holds a :class:`CollectGrant`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from edge_sdk.core import reading, transforms
from edge_sdk.core.consent import CollectGrant
from edge_sdk.core.gathering import block_rows
from edge_sdk.core.joining import Joints
from edge_sdk.core.policy import NUMERIC, FieldType, Kind, TextRule, View, ViewField
from edge_sdk.core.policy import Field as PolicyField
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.table import Row
from edge_sdk.core.units import BINARY64_INTEGER
from edge_sdk.core.windows import WindowSet

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
        show = {
            view_field.field.name: _text_maker(view_field, names) for view_field in view.fields if view_field.is_text
        }
        outlet.windows = WindowSet(view, emit=outlet.rows.append, show=show, offset_ms=offset_ms)
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
    views = tuple(outlet.view for outlet in outlets)
    bound: dict[str, Any] = {
        "tally": tally,
        "sources": set(),
        "check": reading.check,
        "declared": kind.fields,
        "itemgetter": itemgetter,
        "names_declared": frozenset(declared.name for declared in kind.fields),
        "shape": transforms.shape_number,
        "clip": transforms.clip,
    }
    for at, declared in enumerate(kind.fields):
        if declared.type is FieldType.ENUM:
            bound[f"labels_{at}"] = reading.places_of_labels(declared)
    for at, outlet in enumerate(outlets):
        bound[f"append_{at}"] = outlet.rows.append
    joints = Joints([outlet.windows for outlet in outlets if outlet.windows is not None], _gathered(kind, views))
    bound |= {"blocks": joints.open, "join": joints.join}
    for (at, place), number in _rules(views).items():
        view_field = views[at].fields[place]
        bound[f"field_{number}"] = view_field
        if view_field.is_text:
            bound[f"text_{number}"] = _text_maker(view_field, outlets[at].names)
    text = _write(kind, views)
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
    lines = [*_write_names(kind), "def minimise(fields, at_ms):", *_write_fetch(kind), "    missing = 0"]
    for at, declared in enumerate(kind.fields):
        lines += _write_check(kind, declared, at)
    lines += _write_gate(kind, names)
    lines.append(f"    taken = {sum(view.every_ms is None for view in views)}")  # windows may find it late
    lines += _write_rows(views, names)
    lines += _write_windows(kind, views, names)
    lines.append("    return taken")
    return "\n".join(lines)


def _rules(views: tuple[View, ...]) -> dict[tuple[int, int], int]:
    """
    Return a number for each field of each view, the same for fields that leave alike; a pseudonym has its own.
    """
    numbers: dict[ViewField | tuple[int, int], int] = {}
    return {
        (at, place): numbers.setdefault(
            (at, place) if view_field.text is TextRule.PSEUDONYM else view_field, len(numbers)
        )
        for at, view in enumerate(views)
        for place, view_field in enumerate(view.fields)
    }


def _write_names(kind: Kind) -> list[str]:
    """
    Write the names as constants of the text, so that they are the very strings that a program writes.
    """
    one = len(kind.fields) == 1
    return [
        f"names = {tuple(declared.name for declared in kind.fields)!r}",
        "fetch = (lambda fields: (fields[names[0]],))" if one else "fetch = itemgetter(*names)",
    ]


def _write_fetch(kind: Kind) -> list[str]:
    """
    Write what takes every declared field out of a reading: in one grip where none can be missing.

    Of a dict only: what others do where a key is missing is their own affair.
    """
    taken = "".join(f"v{at}, " for at in range(len(kind.fields)))
    return [
        f"    if type(fields) is dict and len(fields) == {len(kind.fields)}:",
        "        try:",
        f"            {taken}= fetch(fields)",
        "        except KeyError:",
        f"            {taken}= map(fields.get, names)",
        "    else:",
        f"        {taken}= map(fields.get, names)",
    ]


def _write_check(kind: Kind, declared: PolicyField, at: int) -> list[str]:
    usual = [*_usual_cases(declared, at), (f"v{at} is None", f"f{at} = None; missing += 1")]
    lines = []
    for number, (condition, then) in enumerate(usual):
        lines += [f"    {'elif' if number else 'if'} {condition}:", f"        {then}"]
    lines += [
        "    else:",
        f"        f{at} = check(declared[{at}], v{at})",
        f"        if f{at} is None:",
        "            tally.invalid_values += 1",
    ]
    if kind.on_invalid == "reading":
        lines += ["            tally.invalid_readings += 1", "            return 0"]
    return lines


def _usual_cases(declared: PolicyField, at: int) -> list[tuple[str, str]]:
    """
    Return the usual cases of one field, each as one comparison and what it does; ``reading.check`` does the same.

    Beside a float value the factor is a float: the same product, and Python has a faster one for two floats.
    """
    v = f"v{at}"
    match declared.type:
        case declared_type if declared_type in NUMERIC:
            low, high = _sure_floats(declared)
            least, most = _sure_integers(declared)
            whole, part = _scaled(v, declared, int), _scaled(v, declared, float)
            return [
                (f"type({v}) is float and {low!r} <= {v} <= {high!r}", f"f{at} = ({part}).__round__()"),
                (f"type({v}) is int and {least} <= {v} <= {most}", f"f{at} = {v if whole == v else f'round({whole})'}"),
            ]
        case FieldType.TEXT:
            return [(f"type({v}) is str and len({v}) <= {declared.max_length} and {v}.isascii()", f"f{at} = {v}")]
        case FieldType.ENUM:
            return [(f"type({v}) is str and {v} in labels_{at}", f"f{at} = labels_{at}[{v}]")]
        case FieldType.FLAGS:
            return [(f"type({v}) is int and 0 <= {v} < {1 << len(declared.values)}", f"f{at} = {v}")]
        case FieldType.BOOL:
            return [(f"type({v}) is bool", f"f{at} = int({v})")]
        case _:  # addresses and places are parsed
            return []


def _scaled(v: str, declared: PolicyField, as_number: type) -> str:
    multiplier, divisor = as_number(declared.step.multiplier()), as_number(declared.step.divisor())
    scaled = v if multiplier == 1 else f"{v} * {multiplier!r}"
    return scaled if divisor == 1 else f"{scaled} / {divisor!r}"


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


def _write_rows(views: tuple[View, ...], names: _Names) -> list[str]:
    """
    Write the rows of views without windows; a value or row that several of them have is made once.
    """
    rules, made, lines = _rules(views), set(), []
    rows: dict[str, list[int]] = {}
    for at, view in enumerate(views):
        if view.every_ms is not None:
            continue
        values = ["at_ms"]
        for place, view_field in enumerate(view.fields):
            number, name = rules[at, place], names.of_field[view_field.field.name]
            text = _value(number, view_field, name)
            if text != name and f"x{number}" not in made:
                made.add(f"x{number}")
                lines.append(f"    x{number} = None if {name} is None else {text}")
            values.append(name if text == name else f"x{number}")
        rows.setdefault(f"({', '.join(values)},)", []).append(at)
    for row, takers in rows.items():
        lines += [f"    row = {row}", *(f"    append_{at}(row)" for at in takers)]
    return lines


def _value(number: int, view_field: ViewField, name: str) -> str:
    if view_field.is_text:
        return name if view_field.text is TextRule.KEEP else f"text_{number}({name})"
    if view_field.clip is not None:
        return f"shape(field_{number}, clip(field_{number}, {name}))"
    if view_field.band:
        return f"shape(field_{number}, {name})"
    if view_field.factor == 1:
        return name
    return f"({name} + {view_field.factor // 2}) // {view_field.factor}"


def _gathered(kind: Kind, views: Sequence[View]) -> list[str]:
    """
    Return the names of the fields that any window gathers.
    """
    wanted = {view_field.field.name for view in views for view_field in view.fields if view_field.window}
    return [declared.name for declared in kind.fields if declared.name in wanted]


def _write_windows(kind: Kind, views: tuple[View, ...], names: _Names) -> list[str]:
    """
    Write what puts a reading into the block that all views with windows share.
    """
    takers = sum(view.every_ms is not None for view in views)
    if not takers:
        return []
    values = ["at_ms", *(names.of_field[name] for name in _gathered(kind, views))]
    return [
        f"    row = ({', '.join(values)},)",
        f"    block = blocks.get({names.source})",
        "    if block is not None and block.start <= at_ms < block.end:",
        f"        taken += {takers}",
        "        block.rows.append(row)",
        f"        if len(block.rows) >= {block_rows(kind)}:",
        "            block.fold()",
        "    else:",
        f"        taken += join({names.source}, at_ms, row)",
    ]
