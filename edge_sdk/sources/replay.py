"""
Recorded readings: JSON Lines, or CSV with a header.

A JSON line is ``{"kind": "inverter", "at_ms": 1760000000000, "fields": {...}}``. A CSV has the columns ``kind`` and
``at_ms``; every other column is a field, an empty cell is an absent value, and a cell is read as the type the policy
declares, so that a serial of digits stays text. A line that is neither is counted and passed over; its content is in
no message.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge_sdk.core.policy import FieldType, Kind

MAX_LINE_BYTES = 1 << 20
_BYTE_ORDER_MARK: Final = "\ufeff"  # as spreadsheets write it
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    One recorded reading.
    """

    kind: str
    at_ms: int
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """
    A line that is no reading: its number, from 1, and what is wrong with it.
    """

    number: int
    why: str


def read_jsonl(lines: Iterable[bytes]) -> Iterator[Recorded | BadLine]:
    """
    Yield the reading of every line that is not empty.
    """
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE_BYTES:
            yield BadLine(number, f"longer than {MAX_LINE_BYTES} bytes")
        elif line.strip():
            yield _json_reading(number, line)


def read_csv(lines: Iterable[bytes], kinds: Mapping[str, Kind]) -> Iterator[Recorded | BadLine]:
    """
    Yield the reading of every row below the header.

    Args:
        lines: of the file, as bytes.
        kinds: as a policy declares them; of a field that none declares, what reads as a number is one.
    """
    rows = csv.reader(line.decode("utf-8", errors="surrogateescape").removeprefix(_BYTE_ORDER_MARK) for line in lines)
    types = {(kind.name, field.name): field.type for kind in kinds.values() for field in kind.fields}
    try:
        header = next(rows, [])
    except csv.Error:
        header = []
    if "kind" not in header or "at_ms" not in header:
        yield BadLine(1, "the header has no columns kind and at_ms")
        return
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            yield BadLine(rows.line_num, "not CSV")
            continue
        cells = dict(zip(header, row, strict=False))
        kind, at_ms = cells.pop("kind", ""), _number(cells.pop("at_ms", ""))
        if type(at_ms) is not int or not kind:
            yield BadLine(rows.line_num, "kind or at_ms is missing")
        else:
            named = {name: _cell(cell, types.get((kind, name))) for name, cell in cells.items() if cell != ""}
            yield Recorded(kind, at_ms, named)


def _json_reading(number: int, line: bytes) -> Recorded | BadLine:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested to exhaust the parser
        return BadLine(number, "not JSON")
    if not isinstance(value, dict) or value.keys() - {"kind", "at_ms", "fields"}:
        return BadLine(number, "not an object of kind, at_ms and fields")
    for name, wanted, what in (("kind", str, "text"), ("at_ms", int, "whole number"), ("fields", dict, "object")):
        if name not in value:
            return BadLine(number, f"{name} is missing")
        if type(value[name]) is not wanted:
            return BadLine(number, f"{name} is no {what}")
    return Recorded(value["kind"], value["at_ms"], value["fields"])


def _cell(cell: str, declared: FieldType | None) -> Any:
    match declared:
        case FieldType.TEXT | FieldType.ENUM | FieldType.IP | FieldType.MAC:
            return cell
        case FieldType.BOOL:
            return _TRUTH.get(cell.lower(), cell)
        case FieldType.LOCATION:
            return [_number(part.strip()) for part in cell.split(",")]
        case _:
            return _number(cell)


def _number(cell: str) -> Any:
    if _WHOLE.fullmatch(cell):
        return int(cell)
    return float(cell) if _DECIMAL.fullmatch(cell) else cell
