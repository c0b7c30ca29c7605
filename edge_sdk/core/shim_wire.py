"""
The messages of the shim socket, strictly: bytes of a firmware process into values, values for it into bytes.

Owns: wire version 1 (docs/shim_wire.md), a decoder of its own and the encoders of what goes down. Its own, because it
runs for every point: the pure-Python cbor2 of 32-bit boards takes several times as long, and both take more of CBOR
than the wire has.
Rules: one message, one definite array, shortest heads, nothing behind it; a message of an unknown type is None, any
other fault is Malformed with the name of the part and the offset, never a value.
Does not: read sockets, know field numbers (shim_ids) or make readings of points (sources.shim).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from edge_sdk.errors import Malformed

WIRE: Final = 1
MESSAGE_LIMIT: Final = 4096
MAX_POINTS: Final = 64
MAX_FIELD: Final = (1 << 12) - 1
MAX_SLOT: Final = (1 << 16) - 1
MAX_COUNT: Final = (1 << 53) - 1
COUNT32: Final = 1 << 32  # drop counters wrap here
TTL_MS: Final = 120_000

Value: TypeAlias = int | float | bool
Point: TypeAlias = tuple[int, int, int, Value]  # field number, source slot, ms after the batch's t0, value


class Result(IntEnum):
    """
    What a WELCOME says.
    """

    ACCEPTED = 0
    WIRE_VERSION = 1
    SCHEMA = 2
    UNKNOWN_SITE = 3
    BUSY = 4
    NOT_PROVISIONED = 5


class Bye(IntEnum):
    """
    Why the agent closes a connection.
    """

    STOPPING = 0
    PROTOCOL = 1
    RATE = 2
    SCHEMA = 3
    WIPED = 4


@dataclass(frozen=True, slots=True)
class Hello:
    """
    What a shim says of itself when it has connected.
    """

    wire_min: int
    wire_max: int
    shim_version: int
    schema_hash: bytes
    boot_nonce: bytes
    site: str
    name: str


@dataclass(frozen=True, slots=True)
class Drops:
    """
    Points a shim dropped since its boot, by reason; each counts modulo 2^32.
    """

    full: int
    denied: int
    expired: int
    wiped: int
    invalid: int


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Points, and how many this shim had sent before them since its boot.
    """

    first: int
    t0_ms: int
    drops: Drops
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Source:
    """
    Which device a slot is.
    """

    slot: int
    kind: int
    id: str


@dataclass(frozen=True, slots=True)
class Text:
    """
    A text that every later reading of a slot carries; an empty one takes it back.
    """

    slot: int
    field: int
    text: str


@dataclass(frozen=True, slots=True)
class Wiped:
    """
    What the firmware says of the caches it was asked to clear.
    """

    wipe_id: int
    failed: bool


@dataclass(frozen=True, slots=True)
class Beat:
    """
    The counters of a shim that has no points to send.
    """

    first: int
    drops: Drops


Up: TypeAlias = Hello | Batch | Source | Text | Wiped | Beat

_POINT: Final = 0x84  # head of an array of 4
_DOUBLE: Final = 0xFB
_UNUSUAL: Final = 24
_BINARY64: Final = struct.Struct(">d").unpack_from
# Values in their usual forms: how to read what follows the head, its width, and from which value on that form is due.
_USUAL: Final = {
    24: (struct.Struct(">B").unpack_from, 1, 24),
    25: (struct.Struct(">H").unpack_from, 2, 1 << 8),
    26: (struct.Struct(">I").unpack_from, 4, 1 << 16),
    _DOUBLE: (_BINARY64, 8, math.nan),  # never due by its size
}
_SHORTEST: Final = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
_ARITY: Final = {1: 8, 2: 5, 3: 4, 4: 4, 5: 3, 6: 3}


def decode_up(message: bytes) -> Up | None:
    """
    Return what a shim says; None for a type that this version does not know.

    Raises:
        Malformed: empty, over 4096 bytes, or not as docs/shim_wire.md has it.
    """
    if not 0 < len(message) <= MESSAGE_LIMIT:
        raise Malformed(f"a shim message has 1 to {MESSAGE_LIMIT} bytes")
    try:
        reader = _Reader(message)
        count = reader.head(4, 255, "message")
        kind = reader.head(0, COUNT32 - 1, "type")
        if kind not in _ARITY:
            return None
        if count != _ARITY[kind]:
            raise Malformed("shim message: number of elements", 0)
        said = _read(reader, kind)
    except (IndexError, struct.error):
        raise Malformed("shim message is cut short", len(message)) from None
    if reader.at != len(message):
        # Also how a string or number that is cut short shows: its end lies behind the message's.
        raise Malformed("shim message: its end is not where it should be", min(reader.at, len(message)))
    return said


def encode_welcome(result: Result, *, max_points: int, points_per_s: int) -> bytes:
    """
    Return the answer to a HELLO, with what the shim may send.
    """
    return _array(16, WIRE, result, max_points, points_per_s)


def encode_state(generation: int, mask: int, ttl_ms: int = TTL_MS) -> bytes:
    """
    Return which purposes are granted for the next *ttl_ms* milliseconds.
    """
    return _array(17, generation, mask, ttl_ms)


def encode_wipe(wipe_id: int, scope_mask: int) -> bytes:
    """
    Return the request to clear what the firmware holds for the purposes of *scope_mask*.
    """
    return _array(18, wipe_id, scope_mask)


def encode_bye(reason: Bye) -> bytes:
    """
    Return the last message of a connection.
    """
    return _array(19, reason)


class _Reader:
    """
    Takes a message apart from the front; an IndexError or struct.error where it ends too early.
    """

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def head(self, major: int, most: int, what: str) -> int:
        """
        Return the argument of a shortest head of *major*, at most *most*.
        """
        start, data = self.at, self.data
        low = data[start] & 31
        if data[start] >> 5 != major or low > 27:
            raise Malformed(f"shim message: {what} has another type", start)
        self.at += 1
        if low > 23:
            width = 1 << low - 24
            argument = int.from_bytes(data[self.at : self.at + width])
            self.at += width
            if argument < _SHORTEST[low]:
                raise Malformed(f"shim message: {what} has a head longer than needed, or is cut short", start)
            low = argument
        if low > most:
            raise Malformed(f"shim message: {what} is out of its range", start)
        return low

    def integer(self, bits: int, what: str) -> int:
        """
        Return a whole number of so many bits, sign included.
        """
        major = self.data[self.at] >> 5
        argument = self.head(major & 1, (1 << bits - 1) - 1, what)
        return -1 - argument if major else argument

    def octets(self, size: int, what: str) -> bytes:
        """
        Return a byte string of *size* bytes.
        """
        if self.head(2, size, what) != size:
            raise Malformed(f"shim message: {what} is shorter than {size} bytes", self.at)
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self, least: int, most: int, what: str) -> str:
        """
        Return text of *least* to *most* bytes without control characters.
        """
        size = self.head(3, most, what)
        start, self.at = self.at, self.at + size
        raw = self.data[start : self.at]
        if size < least or any(byte < 32 or byte == 127 for byte in raw):
            raise Malformed(f"shim message: {what} is too short, or has a control character", start)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed(f"shim message: {what} is not UTF-8", start) from None

    def point(self) -> Point:
        """
        Return one point.
        """
        if self.data[self.at] != _POINT:
            raise Malformed("shim message: a point is an array of 4", self.at)
        self.at += 1
        names = self.head(0, MAX_FIELD, "field"), self.head(0, MAX_SLOT, "slot")
        return *names, self.integer(32, "dt"), self.value()

    def value(self) -> Value:
        """
        Return a whole number of 64 bits, a finite binary64 or a truth.
        """
        form = self.data[self.at]
        if form in (0xF4, 0xF5):
            self.at += 1
            return form == 0xF5
        if form != _DOUBLE:
            return self.integer(64, "value")
        number: float = _BINARY64(self.data, self.at + 1)[0]
        if not math.isfinite(number):
            raise Malformed("shim message: a value is no finite number", self.at)
        self.at += 9
        return number

    def drops(self) -> Drops:
        """
        Return the counters of dropped points.
        """
        if self.head(4, 5, "drops") != 5:
            raise Malformed("shim message: drops has 5 counters", self.at)
        return Drops(*[self.head(0, COUNT32 - 1, "drops") for _ in range(5)])


def _read(reader: _Reader, kind: int) -> Up:
    head, text = reader.head, reader.text
    match kind:
        case 2:
            first, t0_ms, drops = head(0, MAX_COUNT, "first"), head(0, MAX_COUNT, "t0"), reader.drops()
            return Batch(first, t0_ms, drops, _points(reader))
        case 1:
            versions = head(0, 255, "wire_min"), head(0, 255, "wire_max"), head(0, COUNT32 - 1, "shim version")
            names = reader.octets(8, "schema hash"), reader.octets(8, "boot nonce")
            return Hello(*versions, *names, text(1, 64, "site"), text(0, 32, "name"))
        case 3:
            return Source(head(0, MAX_SLOT, "slot"), head(0, MAX_FIELD, "kind"), text(1, 64, "id"))
        case 4:
            return Text(head(0, MAX_SLOT, "slot"), head(0, MAX_FIELD, "field"), text(0, 128, "text"))
        case 5:
            return Wiped(head(0, COUNT32 - 1, "wipe id"), bool(head(0, 1, "result")))
        case _:
            return Beat(head(0, MAX_COUNT, "first"), reader.drops())


def _points(reader: _Reader) -> list[Point]:  # noqa: C901 - runs for every point: no call but for what is unusual
    """
    Return the points of a batch.

    The usual forms are read here without a call for each number; where one is unusual, or wrong, the reader says.
    """
    count = reader.head(4, MAX_POINTS, "points")
    if not count:
        raise Malformed("shim message: a batch has a point", reader.at)
    data, at = reader.data, reader.at
    points: list[Point] = []
    add, value = points.append, 0.0
    for _ in range(count):
        start, field, slot = at, data[at + 1], data[at + 2]
        at += 3
        if field == 24 and slot > 23:
            field, slot, at = slot, data[at], at + 1
        elif field > 23:
            slot = _UNUSUAL
        offset_ms, form = data[at], data[at + 1]
        at += 2
        if offset_ms > 23:
            if offset_ms == 24 and form > 23:
                offset_ms, form, at = form, data[at], at + 1
            elif offset_ms == 25 and form:
                offset_ms, form, at = form << 8 | data[at], data[at + 1], at + 2
            else:
                slot = _UNUSUAL
        if slot < 24 and data[start] == _POINT:
            if form < 24:
                add((field, slot, offset_ms, form))
                continue
            if (read := _USUAL.get(form)) is not None:
                unpack, width, least = read
                value = unpack(data, at)[0]
                if value >= least or (form == _DOUBLE and value - value == 0.0):
                    add((field, slot, offset_ms, value))
                    at += width
                    continue
        reader.at = start
        add(reader.point())
        at = reader.at
    reader.at = at
    return points


def _array(kind: int, *items: int) -> bytes:
    return bytes([0x80 + len(items) + 1]) + b"".join(map(_uint, (kind, *items)))


def _uint(number: int) -> bytes:
    if number < 24:
        return bytes([number])
    low = 24 if number < 1 << 8 else 25 if number < 1 << 16 else 26
    return bytes([low]) + number.to_bytes(1 << low - 24)
