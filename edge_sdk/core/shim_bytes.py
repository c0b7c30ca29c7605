"""
The bytes of a shim message from the front: heads, numbers and texts in the one form docs/shim_wire.md 1.2 allows.

Owns: that form and the limits of its numbers; what is wrong, and at which byte. Never says a value.
Does not: know the messages (shim_wire), or read points fast (shim_points).
"""

from __future__ import annotations

import math
import struct
from typing import Final, TypeAlias

from edge_sdk.errors import Malformed

MAX_FIELD: Final = (1 << 12) - 1
MAX_SLOT: Final = (1 << 16) - 1
MAX_COUNT: Final = (1 << 53) - 1
COUNT32: Final = 1 << 32  # drop counters wrap here

Value: TypeAlias = int | float | bool
Point: TypeAlias = tuple[int, int, int, Value]  # field number, source slot, ms after the batch's t0, value

_DOUBLE: Final = 0xFB
_POINT: Final = 0x84  # head of an array of 4
_BINARY64: Final = struct.Struct(">d").unpack_from
_SHORTEST: Final = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}

# Patterns of the usual forms, shortest heads only; the reader has the others.
NATURAL16: Final = rb"(?:[\x00-\x17]|\x18[\x18-\xff]|\x19(?!\x00)..)"
NATURAL: Final = rb"(?:[\x00-\x17]|\x18[\x18-\xff]|\x19(?!\x00)..|\x1a(?!\x00\x00)....)"
WHOLE: Final = (
    rb"(?:[\x00-\x17\x20-\x37\xf4\xf5]|[\x18\x38][\x18-\xff]|[\x19\x39](?!\x00)..|\x1a(?!\x00\x00)....)"
)


def whole(raw: bytes) -> int:
    """
    Return the whole number or truth that the bytes of a usual form say.
    """
    head = raw[0]
    if head < 24:
        return head
    if head > 0xF3:
        return head == 0xF5
    argument = int.from_bytes(raw[1:]) if len(raw) > 1 else head & 31
    return argument if head < 0x20 else -1 - argument


class Reader:
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
