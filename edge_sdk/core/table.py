"""
Rows of one view as columns: delta per source, zigzag, varint (SPEC 6.2).

A row is a tuple: ``(at_ms, *values)`` for a view of every reading, ``(start_ms, count, *values)`` for windows, where
a negative count marks a partial window. A value is a scaled integer, text, the bytes of a pseudonym, or None when
the reading did not have it. Whole numbers lie within 2**62 of 0, so that every difference fits 64 bits. Columns are
plain loops on purpose: cleverer ones gained at most a fifth. One list of rows has one encoding, and the decoder takes
no other. Compression, sequence numbers and gaps belong to ``batch``; nothing here is secret or trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edge_sdk.core import cbor
from edge_sdk.core.policy import View
from edge_sdk.errors import Malformed

Row = tuple[Any, ...]

MAX_ROWS = 65_536  # of one table; a device closes a batch far earlier
_MAX_ZIGZAG = (1 << 64) - 1
_MAX_SHIFT = 63  # of the tenth byte; an eleventh would only make the integer grow
_MAX_TABLES_BYTES = 8 << 20


def encode_tables(views: Sequence[View], rows: Mapping[int, Sequence[Row]]) -> bytes:
    """
    Return the tables of one batch as deterministic CBOR.

    Args:
        views: the views of the purpose, in its order; a table names its view by position.
        rows: rows by position of their view; empty ones are left out.
    """
    return cbor.encode([_encode_table(views[at], at, rows[at]) for at in sorted(rows) if rows[at]])


def decode_tables(views: Sequence[View], encoded: bytes) -> dict[int, list[Row]]:
    """
    Return the rows that :func:`encode_tables` was given.

    Raises:
        Malformed: on anything it could not have written.
    """
    tables = cbor.decode(encoded, _MAX_TABLES_BYTES)
    if not isinstance(tables, list):
        raise Malformed("tables: no array")
    rows: dict[int, list[Row]] = {}
    previous = -1
    for table in tables:
        at = _view_position(table, previous, len(views))
        rows[at] = _decode_table(views[at], table)
        previous = at
    return rows


def pack(values: Iterable[int], groups: Iterable[int], group_count: int) -> bytes:
    """
    Return *values* as zigzag varints of the difference to the previous value of the same group.
    """
    last = [0] * group_count
    packed = bytearray()
    append = packed.append
    for group, value in zip(groups, values, strict=True):
        delta = value - last[group]
        last[group] = value
        zigzag = delta + delta if delta >= 0 else -delta - delta - 1
        while zigzag > 127:
            append(zigzag & 127 | 128)
            zigzag >>= 7
        append(zigzag)
    return bytes(packed)


def unpack(packed: bytes, groups: Sequence[int], group_count: int) -> list[int]:
    """
    Return the values :func:`pack` was given.

    Raises:
        Malformed: when bytes are missing, left over, not minimal or beyond 64 bits.
    """
    last = [0] * group_count
    values = []
    position, end = 0, len(packed)
    for group in groups:
        zigzag, shift, start = 0, 0, position
        while True:
            if position >= end or shift > _MAX_SHIFT:
                raise Malformed("column: ends early, or a varint is too long", position)
            byte = packed[position]
            position += 1
            zigzag |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if zigzag > _MAX_ZIGZAG or (byte == 0 and position - start > 1):
            raise Malformed("column: varint too large or not minimal", start)
        last[group] += zigzag >> 1 if not zigzag & 1 else -(zigzag >> 1) - 1
        values.append(last[group])
    if position != end:
        raise Malformed("column: bytes left over", position)
    return values


def _encode_table(view: View, at: int, rows: Sequence[Row]) -> list[Any]:
    columns = list(zip(*rows, strict=True))
    lead = 1 if view.every_ms is None else 2
    groups, group_count, words = _group(view, columns, lead)
    fields: list[Any] = []
    for position, view_field in enumerate(view.fields):
        column = columns[lead + position]
        if position == view.group:
            fields.append([words, pack(groups, [0] * len(rows), 1)])
        elif view_field.is_text:
            fields.append(_encode_text(column))
        else:
            fields.append(_encode_numbers(column, groups, group_count))
    leading = [pack(column, groups, group_count) for column in columns[:lead]]
    return [at, len(rows), leading, fields]


def _group(view: View, columns: Sequence[Sequence[Any]], lead: int) -> tuple[list[int], int, list[Any]]:
    if view.group is None:
        return [0] * len(columns[0]), 1, []
    index: dict[Any, int] = {}
    groups = [index.setdefault(word, len(index)) for word in columns[lead + view.group]]
    return groups, len(index), list(index)


def _encode_text(column: Sequence[Any]) -> list[Any]:
    index: dict[Any, int] = {None: 0}
    places = [index.setdefault(word, len(index)) for word in column]
    return [list(index)[1:], pack(places, [0] * len(places), 1)]


def _encode_numbers(column: Sequence[Any], groups: Sequence[int], group_count: int) -> Any:
    if None not in column:
        return pack(column, groups, group_count)
    present = bytearray((len(column) + 7) // 8)
    for position, value in enumerate(column):
        if value is not None:
            present[position >> 3] |= 1 << (position & 7)
    kept = [(group, value) for group, value in zip(groups, column, strict=True) if value is not None]
    return [bytes(present), pack([value for _, value in kept], [group for group, _ in kept], group_count)]


def _view_position(table: Any, previous: int, views: int) -> int:
    if not isinstance(table, list) or len(table) != 4:
        raise Malformed("table: no array of 4")
    at, count = table[0], table[1]
    if type(at) is not int or not previous < at < views:
        raise Malformed("table: view position out of order or range")
    if type(count) is not int or not 0 < count <= MAX_ROWS:
        raise Malformed("table: row count out of range")
    return at


def _decode_table(view: View, table: list[Any]) -> list[Row]:
    _, count, leading, fields = table
    lead = 1 if view.every_ms is None else 2
    if not isinstance(leading, list) or len(leading) != lead:
        raise Malformed("table: leading columns are not those of the view")
    if not isinstance(fields, list) or len(fields) != len(view.fields):
        raise Malformed("table: columns are not those of the view")
    groups, group_count = [0] * count, 1
    group_column: list[Any] | None = None
    if view.group is not None:
        words, groups = _decode_words(fields[view.group], count, missing=False)
        group_column, group_count = [words[place] for place in groups], len(words)
    columns = [unpack(_bytes(column), groups, group_count) for column in leading]
    for position, view_field in enumerate(view.fields):
        if group_column is not None and position == view.group:
            columns.append(group_column)
        elif view_field.is_text:
            words, places = _decode_words(fields[position], count, missing=True)
            columns.append([words[place] for place in places])
        else:
            columns.append(_decode_numbers(fields[position], groups, group_count))
    return list(zip(*columns, strict=True))


def _decode_words(column: Any, count: int, *, missing: bool) -> tuple[list[Any], list[int]]:
    if not isinstance(column, list) or len(column) != 2 or not isinstance(column[0], list):
        raise Malformed("text column: no pair of words and places")
    if not all(isinstance(word, str | bytes) for word in column[0]) or len(set(column[0])) != len(column[0]):
        raise Malformed("text column: a word is no text, or there twice")
    words = [None, *column[0]] if missing else list(column[0])
    places = unpack(_bytes(column[1]), [0] * count, 1)
    known = int(missing)
    for place in places:
        if not 0 <= place <= known:
            raise Malformed("text column: words are not in order of first use")
        known += place == known
    if known != len(words):
        raise Malformed("text column: words and places do not match")
    return words, places


def _decode_numbers(column: Any, groups: Sequence[int], group_count: int) -> list[Any]:
    if not isinstance(column, list):
        return unpack(_bytes(column), groups, group_count)
    if len(column) != 2:
        raise Malformed("number column: no pair of presence and values")
    present = _bytes(column[0])
    if len(present) != (len(groups) + 7) // 8 or int.from_bytes(present, "little") >> len(groups):
        raise Malformed("number column: presence bits are not one a row")
    held = [bool(present[position >> 3] >> (position & 7) & 1) for position in range(len(groups))]
    if all(held):
        raise Malformed("number column: presence bits where nothing is missing")
    kept = iter(unpack(_bytes(column[1]), [g for g, is_held in zip(groups, held, strict=True) if is_held], group_count))
    return [next(kept) if is_held else None for is_held in held]


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed("column: no bytes")
    return value
