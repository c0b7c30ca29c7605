"""
Deterministic CBOR: the one encoding of a value, and a decoder that takes no other.

Owns: ``encode`` and ``decode`` for whole numbers of 64 bits, byte strings, text, arrays, maps, booleans and
null.
Rules: limits before work, heads before values; one value has one encoding and everything else is Malformed
(tags, floats, indefinite lengths, long heads, repeated or unordered keys, trailing bytes). Keys are small
whole numbers or private claim numbers, for which the two published key orders agree.
Does not: know what a message means (shape does). Neighbours: shape above, cbor2 below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import cbor2

from edge_sdk.errors import Malformed

Value: TypeAlias = "int | bytes | str | bool | Sequence[Value] | Mapping[int, Value] | None"

MAX_DEPTH: Final = 12  # the deepest message of SPEC.md nests 6; twice that is room, not recursion to exhaust

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_LONG_HEADS: Final = {24: 1, 25: 2, 26: 4, 27: 8}  # additional information -> bytes of argument that follow
_SMALLEST: Final = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}  # below this a shorter head exists
_FALSE, _NULL = 20, 22
_BEYOND: Final = 1 << 64
_FLAT: Final = frozenset({int, bytes, str, bool, type(None)})


def encode(value: object) -> bytes:
    """
    Return the deterministic encoding of *value*.

    Raises:
        ValueError: *value* holds something that ``decode`` would not take back (a programmer's mistake).
    """
    encoded = cbor2.dumps(value, canonical=True)
    if _is_plain(value, MAX_DEPTH):
        return encoded
    try:
        _scan(encoded, "value")
    except Malformed as exc:
        raise ValueError(f"not encodable: {exc}") from exc
    return encoded


def decode(data: bytes, limit: int, what: str = "message") -> object:
    """
    Return the value that *data* encodes, if it is the one encoding of it.

    Args:
        data: bytes from outside.
        limit: longest accepted length in bytes.
        what: the name for error messages.

    Raises:
        Malformed: too long, not CBOR, or not deterministic.
    """
    if len(data) > limit:
        raise Malformed(f"{what} is longer than {limit} bytes")
    _scan(data, what)
    value: object = cbor2.loads(data)
    # One comparison settles what the scan cannot see cheaply: key order and repeated keys.
    if cbor2.dumps(value, canonical=True) != data:
        raise Malformed(f"{what} is not deterministically encoded")
    return value


def _is_plain(value: Any, depth: int) -> bool:
    """
    Tell whether *value* is of the subset beyond doubt, so that its encoding needs no second look.

    What an array holds is judged by the set of its types, and its numbers by the least and the greatest.
    """
    kind = type(value)
    if kind is dict:
        return all(type(key) is int and _is_short(key) for key in value) and _is_plain([*value.values()], depth)
    if kind is not list:
        return kind in _FLAT and _is_plain([value], 1)
    if not depth:
        return False
    kinds = set(map(type, value))
    if int in kinds:
        numbers = value if len(kinds) == 1 else [item for item in value if type(item) is int]
        if min(numbers) < -_BEYOND or max(numbers) >= _BEYOND:
            return False
    return kinds <= _FLAT or all(_is_plain(item, depth - 1) for item in value if type(item) not in _FLAT)


def _is_short(key: int) -> bool:
    return -24 <= key < 24 or -(1 << 32) <= key < -(1 << 16)


def _scan(data: bytes, what: str) -> None:
    """
    Walk the heads of *data* and refuse what the subset does not have, before anything is built from it.
    """
    at = 0
    open_items = [[1, 0]]  # per level: items still to come, and whether they belong to a map
    while open_items:
        level = open_items[-1]
        if not level[0]:
            open_items.pop()
            continue
        is_key = bool(level[1]) and level[0] % 2 == 0
        level[0] -= 1
        start = at
        major, argument, at = _head(data, at, what)
        if is_key and not _is_key(major, data[start] & 31):
            raise Malformed(f"{what} has a key outside the format", start)
        if major in (_BYTES, _TEXT):
            at = _skip_string(data, at, argument, what=what, is_text=major == _TEXT)
        elif major in (_ARRAY, _MAP):
            open_items.append(_level(major, argument, len(data) - at, what=what, at=start))
            if len(open_items) > MAX_DEPTH + 1:
                raise Malformed(f"{what} nests deeper than {MAX_DEPTH}", start)
    if at != len(data):
        raise Malformed(f"{what} has bytes after its end", at)


def _head(data: bytes, at: int, what: str) -> tuple[int, int, int]:
    if at >= len(data):
        raise Malformed(f"{what} is cut short", at)
    major, low = data[at] >> 5, data[at] & 31
    if major == _TAG or (major == _SIMPLE and not _FALSE <= low <= _NULL):
        raise Malformed(f"{what} has a tag, float or simple value", at)
    if low < 24:
        return major, low, at + 1
    width = _LONG_HEADS.get(low)
    if width is None:
        raise Malformed(f"{what} has an indefinite or reserved length", at)
    argument_bytes = data[at + 1 : at + 1 + width]
    if len(argument_bytes) < width:
        raise Malformed(f"{what} is cut short", at)
    argument = int.from_bytes(argument_bytes)
    if argument < _SMALLEST[low]:
        raise Malformed(f"{what} has a head longer than needed", at)
    return major, argument, at + 1 + width


def _is_key(major: int, low: int) -> bool:
    # One byte either way, or five bytes negative: for these, length-first and bytewise order agree.
    return (major in (_UNSIGNED, _NEGATIVE) and low < 24) or (major == _NEGATIVE and low == 26)


def _skip_string(data: bytes, at: int, length: int, *, what: str, is_text: bool) -> int:
    if length > len(data) - at:
        raise Malformed(f"{what} is cut short", at)
    if is_text:
        try:
            data[at : at + length].decode("utf-8")
        except UnicodeDecodeError as exc:
            # Not chained: the decoder's message quotes the bytes.
            raise Malformed(f"{what} has text that is not UTF-8", at + exc.start) from None
    return at + length


def _level(major: int, count: int, bytes_left: int, *, what: str, at: int) -> list[int]:
    items = count * 2 if major == _MAP else count
    if items > bytes_left:
        raise Malformed(f"{what} announces more items than it has bytes", at)
    return [items, int(major == _MAP)]
