"""
Rows of one view as columns: delta per source, zigzag, varint (SPEC 6.2).

A row is a tuple: ``(at_ms, *values)`` for a view of every reading, ``(start_ms, count, *values)`` for windows, where
a negative count marks a partial window. A value is a scaled integer, text, the bytes of a pseudonym, or None when
the reading did not have it. Whole numbers lie within 2**62 of 0, so that every difference fits 64 bits. A column is
packed as a whole where its differences are small, else its varints come from a table; what purposes share is
packed once. One list of rows has one encoding, and the decoder takes no other. Compression, sequence numbers and gaps
belong to ``batch``; nothing here is secret or trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter, sub
from typing import Any, Final

from edge_sdk.core import cbor
from edge_sdk.core.policy import View
from edge_sdk.errors import Malformed

Row = tuple[Any, ...]

MAX_ROWS = 65_536  # of one table; a device closes a batch far earlier
_MAX_ZIGZAG = (1 << 64) - 1
_MAX_SHIFT = 63  # of the tenth byte; an eleventh would only make the integer grow
_MAX_TABLES_BYTES = 8 << 20


def encode_tables(views: Sequence[View], rows: Mapping[int, Sequence[Row]], memory: Memory | None = None) -> bytes:
    """
    Return the tables of one batch as deterministic CBOR.

    Args:
        views: the views of the purpose, in its order; a table names its view by position.
        rows: rows by position of their view; empty ones are left out.
        memory: of what is encoded together with them.
    """
    tables = [_encode_table(views[at], at, rows[at], memory) for at in sorted(rows) if rows[at]]
    return cbor.encode(tables) if memory is None else memory.encoded(tables)


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


class _Varints(dict[int, bytes]):
    """
    Differences as zigzag varints; those not there yet are made when they are asked for.
    """

    def __missing__(self, delta: int) -> bytes:
        zigzag = delta + delta if delta >= 0 else -delta - delta - 1
        if 127 < zigzag < 1 << 14:
            varint = bytes((zigzag & 127 | 128, zigzag >> 7))
        elif 1 << 14 <= zigzag < 1 << 21:
            varint = bytes((zigzag & 127 | 128, zigzag >> 7 & 127 | 128, zigzag >> 14))
        else:
            varint = _varint(zigzag)
        self[delta] = varint
        return varint


def _varint(zigzag: int) -> bytes:
    """
    Return the varint of a number of any length.
    """
    made = bytearray()
    while zigzag > 127:
        made.append(zigzag & 127 | 128)
        zigzag >>= 7
    made.append(zigzag)
    return bytes(made)


_NEAR: Final = 512  # differences of neighbours are mostly smaller
_FEW: Final = 64  # for fewer rows, what they need is made sooner than the table is copied
_SHORT: Final[Mapping[int, bytes]] = {delta: _Varints()[delta] for delta in range(-_NEAR, _NEAR)}
_SMALL: Final = bytes(range(64)) + bytes(range(192, 256))  # as signed bytes those whose varint is one byte
_ZIGZAG: Final = bytes(2 * byte if byte < 128 else 511 - 2 * byte for byte in range(256))


def _varints(deltas: Sequence[int], varint: Callable[[int], bytes] | None = None) -> bytes:
    """
    Return *deltas* as zigzag varints: all together where each fits a byte or all are the same, else each from a table.
    """
    try:
        signed = struct.pack(f"{len(deltas)}b", *deltas)
    except struct.error:  # one does not fit; where all are alike, none does
        if deltas.count(deltas[0]) == len(deltas):
            return _Varints()[deltas[0]] * len(deltas)
    else:
        if not signed.translate(None, _SMALL):
            return signed.translate(_ZIGZAG)
    return b"".join(map(varint or _Varints(_SHORT).__getitem__, deltas))


def _alike(values: Sequence[int], varint: Callable[[int], bytes]) -> bytes:
    """
    Return *values*, one at least, as zigzag varints: together where each takes two bytes, or each three, as those of
    one kind mostly do; else as differences are.
    """
    least, most, count = min(values), max(values), len(values)
    if least >= 1 << 6 and most < 1 << 13:
        return struct.pack(f"<{count}H", *[value << 1 & 127 | 128 | value >> 6 << 8 for value in values])
    if least >= 1 << 13 and most < 1 << 20:
        wide = [value << 1 & 127 | 128 | (value >> 6 & 127 | 128) << 8 | value >> 13 << 16 for value in values]
        packed = bytearray(struct.pack(f"<{count}I", *wide))
        del packed[3::4]
        return bytes(packed)
    return _varints(values, varint)


class Grouped:
    """
    Rows of one table by the group each belongs to, for packing its columns.

    Args:
        words: what says the group of each row.
        memory: columns packed already; more are added.
    """

    def __init__(self, words: Sequence[Any], memory: dict[tuple[int, ...], bytes] | None = None) -> None:
        self.words, self.groups = _places(words)
        # Behind the last row that is the first of its group; such values are differences to 0.
        self._begun = self.groups.index(len(self.words) - 1) + 1 if self.words else 0
        self._before: itemgetter[Any] | None = None
        turns = list(range(len(self.words))) * (len(words) // max(1, len(self.words)) + 1)
        if self.groups != turns[: len(words)]:
            self._before = _previous(self.groups, len(self.words))
        self._varint = _Varints(_SHORT if len(words) >= _FEW else ()).__getitem__
        self._memory = memory

    def pack(self, column: tuple[int, ...]) -> bytes:
        """
        Return *column* as zigzag varints of the difference to the previous value of the same group.
        """
        packed = None if self._memory is None else self._memory.get(column)
        if packed is None:
            if self._before is None:  # the groups take turns, as devices do that are asked one after the other
                deltas = [*column[: self._begun], *map(sub, column[self._begun :], column)]
            else:
                deltas = list(map(sub, column, self._before((*column, 0))))
            first, rest = deltas[: self._begun], deltas[self._begun :]
            packed = _alike(first, self._varint) if first else b""
            packed += _varints(rest, self._varint) if rest else b""
            if self._memory is not None:
                self._memory[column] = packed
        return packed


def _previous(groups: Sequence[int], count: int) -> itemgetter[Any]:
    """
    Return what takes of a column, with a 0 behind it, the value before each in its group; 0 where there is none.
    """
    last = [len(groups)] * count
    before = []
    for row, group in enumerate(groups):
        before.append(last[group])
        last[group] = row
    return itemgetter(*before, len(groups), len(groups))  # of two places or more it gives a tuple


class Memory:
    """
    What was packed so far, for tables that are encoded at one time: purposes that share a column pack it once, and
    those that share all rows of a view pack and deflate them once, and open windows that hold the same.

    It holds what readings said: let it go with the transaction.
    """

    def __init__(self) -> None:
        self._grouped: dict[tuple[Any, ...], Grouped] = {}
        self._tables: dict[tuple[Any, ...], list[tuple[Sequence[Row], list[Any]]]] = {}
        self._encoded: list[tuple[list[Any], bytes]] = []
        self.deflated: dict[bytes, bytes] = {}
        self.windows: list[tuple[list[Sequence[int]], Sequence[list[Any]], list[Any]]] = []  # as snapshots packs them

    def table(self, view: View, rows: Sequence[Row]) -> list[Any]:
        """
        Return the columns of *rows*: those of equal rows of a like view, where there are any.
        """
        like = self._tables.setdefault(_shape(view), [])
        for known, columns in like:
            if known == rows:  # other rows differ in the first, and equal ones are made of the same objects
                return columns
        columns = _encode_columns(view, rows, self)
        like.append((rows, columns))
        return columns

    def encoded(self, stored: list[Any]) -> bytes:
        """
        Return tables or rows as deterministic CBOR, equal ones made once: they hold no booleans or floats.
        """
        for known, encoded in self._encoded:
            if known == stored:
                return encoded
        self._encoded.append((stored, cbor.encode(stored)))
        return self._encoded[-1][1]

    def grouped(self, words: tuple[Any, ...]) -> Grouped:
        """
        Return the rows grouped by *words*.
        """
        grouped = self._grouped.get(words)
        if grouped is None:
            grouped = self._grouped[words] = Grouped(words, {})
        return grouped


def pack_places(places: Sequence[int]) -> bytes:
    """
    Return *places* among words as a column packs them: of one group.
    """
    return _varints(list(map(sub, places, (0, *places))))


def _places(words: Sequence[Any], known: Sequence[Any] = ()) -> tuple[list[Any], list[int]]:
    """
    Return *known* and the words beside them in order of first use, and the place of each word among them.
    """
    index = {word: place for place, word in enumerate(dict.fromkeys((*known, *words)))}
    return list(index), list(map(index.__getitem__, words))


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


def _encode_table(view: View, at: int, rows: Sequence[Row], memory: Memory | None) -> list[Any]:
    columns = _encode_columns(view, rows, None) if memory is None else memory.table(view, rows)
    return [at, len(rows), *columns]


def _shape(view: View) -> tuple[Any, ...]:
    """
    Return what of *view* the encoding of its rows depends on.
    """
    return _lead(view), view.group, *(view_field.is_text for view_field in view.fields)


def _lead(view: View) -> int:
    return 1 if view.every_ms is None else 2


def _encode_columns(view: View, rows: Sequence[Row], memory: Memory | None) -> list[Any]:
    columns = list(zip(*rows, strict=True))
    lead = _lead(view)
    words = (None,) * len(rows) if view.group is None else columns[lead + view.group]
    grouped = Grouped(words) if memory is None else memory.grouped(words)
    fields: list[Any] = []
    for position, view_field in enumerate(view.fields):
        column = columns[lead + position]
        if position == view.group:
            fields.append([grouped.words, pack_places(grouped.groups)])
        elif view_field.is_text:
            fields.append(_encode_text(column))
        else:
            fields.append(_encode_numbers(column, grouped))
    leading = [grouped.pack(column) for column in columns[:lead]]
    return [leading, fields]


def _encode_text(column: Sequence[Any]) -> list[Any]:
    words, places = _places(column, known=(None,))
    return [words[1:], pack_places(places)]


def _encode_numbers(column: tuple[Any, ...], grouped: Grouped) -> Any:
    try:
        return grouped.pack(column)
    except TypeError:  # None among the numbers
        pass
    present = bytearray((len(column) + 7) // 8)
    for position, value in enumerate(column):
        if value is not None:
            present[position >> 3] |= 1 << (position & 7)
    kept = [(group, value) for group, value in zip(grouped.groups, column, strict=True) if value is not None]
    return [bytes(present), Grouped([group for group, _ in kept]).pack(tuple(value for _, value in kept))]


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
    lead = _lead(view)
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
