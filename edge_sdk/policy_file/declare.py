"""
Kinds and their fields: from tables of the file to values of the core.

Numbers become scaled integers here, so every bound must be a whole multiple of the field's resolution. A
field that is wrong stays known by name, so that no view of it is called wrong a second time. What a purpose
may have of a field is the business of ``views``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from edge_sdk.core.policy import NUMERIC, Field, FieldType, Kind
from edge_sdk.core.units import Step
from edge_sdk.policy_file.problems import NAME, NAME_RULE, Place, listed, one_of
from edge_sdk.policy_file.tables import (
    BINARY64_INTEGER,
    FieldTable,
    KindTable,
    descriptions,
    read_table,
    spoken,
)

MAX_KINDS = 64
MAX_FIELDS = 256
MAX_FLAGS = 62  # a set of flags is one non-negative integer below 2**62
MAX_VALUES = 256
SOURCE_TYPES = frozenset({FieldType.TEXT, FieldType.MAC, FieldType.IP})
_DECIMALS = 30  # digits behind the point looked at; a step has at most 12

_KEYS_OF_TYPE: Mapping[FieldType, frozenset[str]] = {
    FieldType.NUMBER: frozenset({"unit", "min", "max", "resolution"}),
    FieldType.INTEGER: frozenset({"unit", "min", "max"}),
    FieldType.COUNTER: frozenset({"unit", "max", "resolution", "wraps_at"}),
    FieldType.TEXT: frozenset({"max_length"}),
    FieldType.ENUM: frozenset({"values"}),
    FieldType.FLAGS: frozenset({"values"}),
}


@dataclass(frozen=True, slots=True)
class Declared:
    """
    What is known of a kind while the file is read; ``None`` stands for what is declared but wrong.
    """

    kind: Kind | None
    source: str | None
    fields: Mapping[str, Field | None]


def read_kinds(raw: object, place: Place) -> dict[str, Declared]:
    """
    Return every kind of the file by name.
    """
    kinds = {}
    for name, table, at in named_tables(raw, place, limit=MAX_KINDS, what="kind"):
        kinds[name] = _read_kind(name, table, at)
    return kinds


def named_tables(raw: object, place: Place, *, limit: int, what: str) -> Iterator[tuple[str, Any, Place]]:
    """
    Yield name, content and place of each entry of a table whose keys are names, noting bad names and numbers.
    """
    if not isinstance(raw, dict) or not raw:
        found = "is empty" if raw == {} else f"is {spoken(raw)}"
        place.wrong("", found, f"write a table that names at least one {what}")
        return
    if len(raw) > limit:
        place.wrong("", f"names {len(raw)} {what}s", f"at most {limit} are possible")
        return
    for name, entry in raw.items():
        if re.fullmatch(NAME, name) is None:
            place.wrong(name, f"is no name for a {what}", NAME_RULE)
            continue
        yield name, entry, place.at(name)


def _read_kind(name: str, raw: Any, place: Place) -> Declared:
    table = read_table(KindTable, raw, place)
    fields: dict[str, Field | None] = {}
    if isinstance(raw, dict) and "fields" in raw:
        below = place.at("fields")
        for field_name, entry, at in named_tables(raw["fields"], below, limit=MAX_FIELDS, what="field"):
            fields[field_name] = _read_field(field_name, entry, at)
    if table is None:
        return Declared(None, _likely_source(raw, fields), fields)
    _check_source(table, fields, place)
    sound = tuple(field for field in fields.values() if field is not None)
    kind = Kind(name, table.source, table.max_sources, sound, table.on_invalid)
    return Declared(kind, _likely_source(raw, fields), fields)


def _likely_source(raw: Any, fields: Mapping[str, Field | None]) -> str | None:
    source = raw.get("source") if isinstance(raw, dict) else None
    if not isinstance(source, str) or source not in fields:
        return None
    field = fields[source]
    return source if field is None or field.type in SOURCE_TYPES else None


def _check_source(table: KindTable, fields: Mapping[str, Field | None], place: Place) -> None:
    if table.source not in fields:
        place.wrong("source", "names a field that is not declared", one_of(table.source, fields))
        return
    field = fields[table.source]
    if field is not None and field.type not in SOURCE_TYPES:
        types = listed(sorted(SOURCE_TYPES))
        place.wrong("source", f"names a field of type {field.type}", f"name one whose type is one of {types}")


def _read_field(name: str, raw: object, place: Place) -> Field | None:
    table = read_table(FieldTable, raw, place)
    if table is None:
        return None
    before = place.count
    _check_keys(table, place)
    values = _values(table, place)
    step = _step(table, place)
    if step is None or place.count > before:
        return None
    low, high, modulus = _bounds(table, step, place)
    if place.count > before:
        return None
    return Field(name, table.cls, table.type, table.unit, low, high, step, table.max_length, values, modulus)


def _check_keys(table: FieldTable, place: Place) -> None:
    takes = _KEYS_OF_TYPE.get(table.type, frozenset())
    for key in descriptions(FieldTable):
        if key in table.model_fields_set and key not in takes and key not in ("type", "cls"):
            place.wrong(key, f"does not go with type {table.type}", _advice_for(key, table.type, takes))


def _advice_for(key: str, kind: FieldType, takes: frozenset[str]) -> str:
    if kind is FieldType.INTEGER and key == "resolution":
        return 'leave it out (an integer counts in steps of 1), or write type = "number"'
    if kind is FieldType.COUNTER and key == "min":
        return 'leave it out (a counter starts at 0), or write type = "number"'
    if key == "wraps_at":
        return 'leave it out, or write type = "counter"'
    beside = f"; beside class and type it takes {listed(sorted(takes))}" if takes else ""
    return f"leave it out{beside}"


def _values(table: FieldTable, place: Place) -> tuple[str, ...]:
    if table.type not in (FieldType.ENUM, FieldType.FLAGS):
        return ()
    values = tuple(table.values or ())
    limit = MAX_FLAGS if table.type is FieldType.FLAGS else MAX_VALUES
    if not values:
        what = "the name of every bit, lowest first" if table.type is FieldType.FLAGS else "every label"
        place.wrong("values", "is missing", f'write {what}, such as values = ["off", "on"]')
    if len(values) > limit:
        place.wrong("values", f"has {len(values)} names", f"type {table.type} takes at most {limit}")
    if len(set(values)) < len(values):
        place.wrong("values", "names something twice", "write each name once")
    return values


def _step(table: FieldTable, place: Place) -> Step | None:
    if table.resolution is None:
        if table.type is FieldType.NUMBER:
            place.wrong("resolution", "is missing", f"write {descriptions(FieldTable)['resolution']}")
            return None
        return Step(1, 0)
    return read_step("resolution", table.resolution, place)


def read_step(key: str, number: int | Decimal, place: Place) -> Step | None:
    """
    Return the step that *number* spells; None when it is none, noted at *key*.
    """
    try:
        return Step.parse(str(number))
    except ValueError:
        place.wrong(key, "is no step", "write 10^-12 to 10^12 in at most 6 digits, such as 0.1")
        return None


def _bounds(table: FieldTable, step: Step, place: Place) -> tuple[int, int, int]:
    if table.type not in NUMERIC:
        return 0, 0, 0
    most = widest(step)
    modulus = read_scaled("wraps_at", table.wraps_at, step, place) or 0
    if table.wraps_at is not None and table.wraps_at <= 0:
        place.wrong("wraps_at", "is not above 0", "write the number at which the counter starts again from 0")
    low = read_scaled("min", table.min, step, place)
    high = read_scaled("max", table.max, step, place)
    if low is None:
        low = 0 if table.type is FieldType.COUNTER else -most
    if high is None:
        high = modulus - 1 if modulus > 0 else most
    if not low < high:
        place.wrong("max", "is not above the smallest possible number", "write min below max")
    if 0 < modulus <= high:
        place.wrong("max", "is not below wraps_at", "leave max out: a counter ends one step below wraps_at")
    return low, high, modulus


def widest(step: Step) -> int:
    """
    Return the largest scaled integer at *step* that binary64 holds, as a scaled integer and as a value.
    """
    return min(BINARY64_INTEGER - 1, int((BINARY64_INTEGER - 1) / _fraction(step)))


def read_scaled(key: str, number: int | Decimal | None, step: Step, place: Place) -> int | None:
    """
    Return *number* in steps of *step*; None when it is None, or no whole number of steps (noted at *key*).
    """
    if number is None:
        return None
    exact = _exact(number)
    if exact is None or (exact / _fraction(step)).denominator != 1:
        multiple = f"write a multiple of {step.text(1)}"
        place.wrong(key, "is no whole multiple of the field's resolution", multiple)
        return None
    scaled = int(exact / _fraction(step))
    if abs(scaled) >= BINARY64_INTEGER:
        place.wrong(key, "is more steps of the field's resolution than 2^53", "write a coarser resolution")
        return None
    return scaled


def _exact(number: int | Decimal) -> Fraction | None:
    # A Decimal such as 1e-999999 is cheap to hold and ruinous to expand.
    if isinstance(number, Decimal) and number and int(number.normalize().as_tuple().exponent) < -_DECIMALS:
        return None
    return Fraction(number)


def _fraction(step: Step) -> Fraction:
    return Fraction(step.mantissa) * Fraction(10) ** step.exponent
