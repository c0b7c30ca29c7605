"""
Records of systems that speak JSON, as they were captured or come in, into readings by a table.

A captured line is ``{"at_ms": 1760000000000, "record": {...}}``: when it was heard, and what. A :class:`Shape` says by
what a kind of record is known and which of its values becomes which field; one record can be of several shapes. What a
shape does not name is not looked at. A value of the wrong type is handed on as it is: whether it is a valid value of
its field the line decides and counts, as for every reading.

Owns: lines to readings, paths into a record, the few ways to turn a value.
Rules: a line is JSON of bounded size or Malformed; turning a value never raises; nothing found is in a message.
Does not: know any system (aux_cloud and nanolux have their tables), open files or record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from edge_sdk.errors import Malformed

MAX_LINE_BYTES: Final = 262_144
MAX_ITEMS: Final = 64  # of one list, as of a path with "*"

_WHOLE: Final = 1 << 53  # beyond it a whole number is no binary64, and arithmetic with one may overflow

Turn = Callable[[object], object]
Reading = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Shape:
    """
    What one kind of record becomes.

    Args:
        kind: of the readings.
        known_by: a path that a record of this shape has.
        fields: of the reading: the path of each value, or the path and how the value is turned. A path is names with
            dots between them, a number for a place in a list, ``*`` for all places of one.
    """

    kind: str
    known_by: str
    fields: Mapping[str, str | tuple[str, Turn]]


def lines(capture: BinaryIO) -> Iterator[bytes]:
    """
    Yield the lines of a file, a pipe or a socket; of one that is too long as much as :func:`captured` refuses it for.
    """
    while line := capture.readline(MAX_LINE_BYTES + 1):
        yield line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):  # the rest of it is no line of its own
            line = capture.readline(MAX_LINE_BYTES + 1)


def captured(line: bytes) -> tuple[int, dict[str, Any]]:
    """
    Return when a captured line was heard (Unix ms), and its record.

    Raises:
        Malformed: it is no such line.
    """
    if len(line) > MAX_LINE_BYTES:
        raise Malformed(f"captured line: longer than {MAX_LINE_BYTES} bytes")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, nested to exhaust the parser, a number of 5,000 digits
        value = None  # raised below: as a cause, the parser's error would carry the line along
    if not isinstance(value, dict) or value.keys() != {"at_ms", "record"}:
        raise Malformed("captured line: not JSON, or not an object of at_ms and record")
    at_ms, record = value["at_ms"], value["record"]
    if type(at_ms) is not int or not isinstance(record, dict):
        raise Malformed("captured line: at_ms is no whole number or record no object")
    return at_ms, record


def readings(record: object, shapes: Iterable[Shape]) -> list[Reading]:
    """
    Return a reading for every shape that *record* has; a value that is not there is left out.
    """
    found = []
    for shape in shapes:
        if value_at(record, shape.known_by) is None:
            continue
        fields = {}
        for name, where in shape.fields.items():
            path, turn = (where, _as_it_is) if isinstance(where, str) else where
            if (value := value_at(record, path)) is not None:
                fields[name] = turn(value)
        found.append((shape.kind, fields))
    return found


def value_at(record: object, path: str) -> object:
    """
    Return what is at *path* in *record*, None when nothing is.
    """
    found = record
    name, _, rest = path.partition(".")
    while name:
        if name == "*":
            items = found[:MAX_ITEMS] if isinstance(found, list) else []
            within = [value_at(item, rest) for item in items]
            return [value for value in within if value is not None] or None
        found = _step(found, name)
        name, _, rest = rest.partition(".")
    return found


def thousandfold(value: Any) -> object:
    """
    Return kilowatts as watts; what is no number as it is.
    """
    return value * 1000 if _is_number(value) else value


def tenth(value: object) -> object:
    """
    Return tenths as units; what is no whole number as it is.
    """
    return value / 10 if type(value) is int and abs(value) < _WHOLE else value


def truth(value: object) -> object:
    """
    Return 0 and 1 as what they mean; anything else as it is.
    """
    return bool(value) if type(value) is int and value in (0, 1) else value


def total(value: object) -> object:
    """
    Return the sum of a list of numbers; what is none as it is.
    """
    return sum(value) if isinstance(value, list) and all(map(_is_number, value)) else value


def lowered(value: object) -> object:
    """
    Return a text in small letters; what is none as it is.
    """
    return value.lower() if isinstance(value, str) else value


def _as_it_is(value: object) -> object:
    return value


def _is_number(value: object) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < _WHOLE)


def _step(value: object, name: str) -> object:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdigit():
        place = int(name)
        return value[place] if place < min(len(value), MAX_ITEMS) else None
    return None
