"""
The text of a minimiser: what a kind and the views bound to it say, as straight-line Python for one reading.

Checks each declared field with one comparison (the strict twin is ``reading.check``), then makes one row for each view,
or one for the block that all windows share. What several views have alike, a value or a whole row, is made once;
pseudonyms never are. Names from a policy appear only through ``repr()``. ``columns`` writes the same for many readings
at once; ``compile`` has it executed. Does not execute anything, or know of grants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from edge_sdk.core.blocks import block_rows
from edge_sdk.core.policy import NUMERIC, FieldType, Kind, TextRule, View, ViewField
from edge_sdk.core.policy import Field as PolicyField
from edge_sdk.core.units import BINARY64_INTEGER


class _Names(NamedTuple):
    """
    Names that a written function uses for its fields: ``f0`` is the canonical value of the first declared one.
    """

    of_field: Mapping[str, str]
    source: str


@lru_cache(maxsize=256)
def write_one(kind: Kind, views: tuple[View, ...]) -> str:
    """
    Return the text of ``minimise(fields, at_ms)``.
    """
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


def rules_of(views: tuple[View, ...]) -> dict[tuple[int, int], int]:
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
    usual = [
        (" and ".join((f"type(v{at}) is {case.type}", *case.conditions)), f"f{at} = {case.canonical}")
        for case in usual_cases(declared, f"v{at}", at)
    ]
    usual.append((f"v{at} is None", f"f{at} = None; missing += 1"))
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


class Usual(NamedTuple):
    """
    One usual case of a field, as text: the type of such a value, what else is true of it, and its canonical form.
    """

    type: str
    conditions: tuple[str, ...]
    canonical: str


def usual_cases(declared: PolicyField, v: str, at: int) -> list[Usual]:
    """
    Return the usual cases of the field declared at place *at* for a value that the text calls *v*.

    ``reading.check`` does the same. Beside a float value the factor is a float: the same product, and Python has a
    faster one for two floats. Two comparisons are faster than a chain, and no number that is none passes them.
    """
    match declared.type:
        case declared_type if declared_type in NUMERIC:
            low, high = sure_floats(declared)
            least, most = sure_integers(declared)
            whole, part = scaled(v, declared, int), scaled(v, declared, float)
            return [
                Usual("float", (f"{low!r} <= {v}", f"{v} <= {high!r}"), f"({part}).__round__()"),
                Usual("int", (f"{least} <= {v}", f"{v} <= {most}"), v if whole == v else f"round({whole})"),
            ]
        case FieldType.TEXT:
            return [Usual("str", (f"len({v}) <= {declared.max_length}", f"{v}.isascii()"), v)]
        case FieldType.ENUM:
            return [Usual("str", (f"{v} in labels_{at}",), f"labels_{at}[{v}]")]
        case FieldType.FLAGS:
            return [Usual("int", (f"0 <= {v}", f"{v} < {1 << len(declared.values)}"), v)]
        case FieldType.BOOL:
            return [Usual("bool", (), f"int({v})")]
        case _:  # addresses and places are parsed
            return []


def scaled(v: str, declared: PolicyField, as_number: type) -> str:
    """
    Return what *v* is in steps, not rounded yet.
    """
    multiplier, divisor = as_number(declared.step.multiplier()), as_number(declared.step.divisor())
    steps = v if multiplier == 1 else f"{v} * {multiplier!r}"
    return steps if divisor == 1 else f"{steps} / {divisor!r}"


def sure_floats(declared: PolicyField) -> tuple[float, float]:
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


def sure_integers(declared: PolicyField) -> tuple[int, int]:
    """
    Return integers between which everything is in range.
    """
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
    rules, made, lines = rules_of(views), set(), []
    rows: dict[str, list[int]] = {}
    for at, view in enumerate(views):
        if view.every_ms is not None:
            continue
        values = ["at_ms"]
        for place, view_field in enumerate(view.fields):
            number, name = rules[at, place], names.of_field[view_field.field.name]
            text = value_text(number, view_field, name)
            if text != name and f"x{number}" not in made:
                made.add(f"x{number}")
                lines.append(f"    x{number} = None if {name} is None else {text}")
            values.append(name if text == name else f"x{number}")
        rows.setdefault(f"({', '.join(values)},)", []).append(at)
    for row, takers in rows.items():
        lines += [f"    row = {row}", *(f"    append_{at}(row)" for at in takers)]
    return lines


def value_text(number: int, view_field: ViewField, name: str) -> str:
    """
    Return what makes of the canonical value *name* what leaves by *view_field*, which has *number*.
    """
    if view_field.is_text:
        return name if view_field.text is TextRule.KEEP else f"text_{number}({name})"
    if view_field.clip is not None:
        return f"shape(field_{number}, clip(field_{number}, {name}))"
    if view_field.band:
        return f"shape(field_{number}, {name})"
    if view_field.factor == 1:
        return name
    return f"({name} + {view_field.factor // 2}) // {view_field.factor}"


def gathered(kind: Kind, views: Sequence[View]) -> list[str]:
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
    values = ["at_ms", *(names.of_field[name] for name in gathered(kind, views))]
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
