"""
The messages of the shim socket, strictly: bytes of a firmware process into values, values for it into bytes.

Owns: wire version 1 (docs/shim_wire.md), a decoder of its own and the encoders of what goes down. Its own, because it
runs for every point: the pure-Python cbor2 of 32-bit boards takes several times as long, and both take more of CBOR
than the wire has. Bytes are taken apart by shim_bytes, points by shim_points.
Rules: one message, one definite array, shortest heads, nothing behind it; a message of an unknown type is None, any
other fault is Malformed with the name of the part and the offset, never a value.
Does not: read sockets, know field numbers (shim_ids) or make readings of points (sources.shim).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from edge_sdk.core.shim_bytes import COUNT32, MAX_COUNT, MAX_FIELD, MAX_SLOT, NATURAL, Reader, whole
from edge_sdk.core.shim_points import Run, Shapes
from edge_sdk.errors import Malformed

WIRE: Final = 1
MESSAGE_LIMIT: Final = 4096
MAX_POINTS: Final = 64
TTL_MS: Final = 120_000


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
    count: int
    runs: list[Run]


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

_BATCH: Final = 2
_USUAL_BATCH: Final = re.compile(  # up to its points, whose number comes last
    rb"\x85\x02(%b)(%b)(\x85(?:%b){5})([\x81-\x97]|\x98[\x18-\x40])" % (NATURAL, NATURAL, NATURAL), re.DOTALL
).match
_ARITY: Final = {1: 8, 2: 5, 3: 4, 4: 4, 5: 3, 6: 3}


class Decoder:
    """
    Makes messages of the bytes of one connection; remembers what they look like, and the last drops.
    """

    def __init__(self) -> None:
        self._shapes = Shapes()
        self._drops: tuple[bytes, Drops] = b"", Drops(0, 0, 0, 0, 0)

    def decode(self, message: bytes) -> Up | None:
        """
        Return what a shim says; None for a type that this version does not know.

        Raises:
            Malformed: empty, over 4096 bytes, or not as docs/shim_wire.md has it.
        """
        if not 0 < len(message) <= MESSAGE_LIMIT:
            raise Malformed(f"a shim message has 1 to {MESSAGE_LIMIT} bytes")
        reader = Reader(message)
        try:
            usual = _USUAL_BATCH(message)
            said = self._message(reader) if usual is None else self._usual_batch(reader, usual)
        except (IndexError, struct.error):
            raise Malformed("shim message is cut short", len(message)) from None
        if said is not None and reader.at != len(message):
            # Also how a string or number that is cut short shows: its end lies behind the message's.
            raise Malformed("shim message: its end is not where it should be", min(reader.at, len(message)))
        return said

    def _message(self, reader: Reader) -> Up | None:
        count = reader.head(4, 255, "message")
        kind = reader.head(0, COUNT32 - 1, "type")
        if kind not in _ARITY:
            return None
        if count != _ARITY[kind]:
            raise Malformed("shim message: number of elements", 0)
        if kind != _BATCH:
            return _read(reader, kind)
        first, t0_ms = reader.head(0, MAX_COUNT, "first"), reader.head(0, MAX_COUNT, "t0")
        drops = _drops(reader)
        count = reader.head(4, MAX_POINTS, "points")
        if not count:
            raise Malformed("shim message: a batch has a point", reader.at)
        return Batch(first, t0_ms, drops, count, self._shapes.read(reader, count))

    def _usual_batch(self, reader: Reader, found: re.Match[bytes]) -> Batch:
        first, t0_ms, drops, count = found.groups()
        if drops != self._drops[0]:
            reader.at = found.start(3)
            self._drops = drops, _drops(reader)
        reader.at = found.end()
        points = count[-1] & 0x7F  # of one byte the type, of two the head goes
        return Batch(whole(first), whole(t0_ms), self._drops[1], points, self._shapes.read(reader, points))


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


def _read(reader: Reader, kind: int) -> Up:
    head, text = reader.head, reader.text
    match kind:
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
            return Beat(head(0, MAX_COUNT, "first"), _drops(reader))


def _drops(reader: Reader) -> Drops:
    if reader.head(4, 5, "drops") != 5:
        raise Malformed("shim message: drops has 5 counters", reader.at)
    return Drops(*[reader.head(0, COUNT32 - 1, "drops") for _ in range(5)])


def _array(kind: int, *items: int) -> bytes:
    return bytes([0x80 + len(items) + 1]) + b"".join(map(_uint, (kind, *items)))


def _uint(number: int) -> bytes:
    if number < 24:
        return bytes([number])
    low = 24 if number < 1 << 8 else 25 if number < 1 << 16 else 26
    return bytes([low]) + number.to_bytes(1 << low - 24)
