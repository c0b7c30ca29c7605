"""
Check decoded values against the shape a message must have.

Owns: small checks (``uint``, ``octets``, ``text`` ...), ``record`` for maps as a whole, ``Fields`` for maps
taken apart key by key into typed values.
Rules: closed by default: a key nobody took is Malformed, a size out of range is Malformed; messages name the
message and the field, never what was found in it.
Does not: decode bytes (cbor) or know any message (documents, receipt, messages). Neighbours: cbor beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from edge_sdk.errors import Malformed

T = TypeVar("T")
Shape: TypeAlias = Callable[[object, str], T]

UINT64: Final = (1 << 64) - 1
MAX_SECONDS: Final = 1 << 40  # year 36812: later than any honest instant, and no overflow in milliseconds


def uint(most: int = UINT64) -> Shape[int]:
    """
    Return a check for a whole number from 0 to *most*.
    """
    return integer(least=0, most=most)


def seconds(value: object, where: str) -> int:
    """
    Return *value* if it is an instant in Unix seconds.

    Raises:
        Malformed: it is anything else.
    """
    return uint(MAX_SECONDS)(value, where)


def integer(least: int = -(1 << 64), most: int = UINT64) -> Shape[int]:
    """
    Return a check for a whole number from *least* to *most*.
    """

    def check(value: object, where: str) -> int:
        # A bool is an int to Python, never to the format.
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Malformed(f"{where} is not a whole number within its range")
        return value

    return check


def exactly(wanted: int) -> Shape[int]:
    """
    Return a check for the one whole number *wanted*.
    """
    return integer(wanted, wanted)


def one_of(*allowed: int) -> Shape[int]:
    """
    Return a check for one of a few whole numbers.
    """

    def check(value: object, where: str) -> int:
        number = integer()(value, where)
        if number not in allowed:
            raise Malformed(f"{where} is none of the numbers allowed")
        return number

    return check


def octets(size: int | None = None, most: int = 0, *, least: int = 0) -> Shape[bytes]:
    """
    Return a check for a byte string of exactly *size* bytes, or of *least* to *most* where *size* is None.
    """
    shortest, longest = (least, most) if size is None else (size, size)

    def check(value: object, where: str) -> bytes:
        if not isinstance(value, bytes) or not shortest <= len(value) <= longest:
            raise Malformed(f"{where} is not a byte string of its size")
        return value

    return check


def text(most: int) -> Shape[str]:
    """
    Return a check for printable text of 1 to *most* characters.

    Unprintable text is refused here so that no name from outside can steer a terminal or break a log line.
    """

    def check(value: object, where: str) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= most or not value.isprintable():
            raise Malformed(f"{where} is not printable text of its size")
        return value

    return check


def boolean(value: object, where: str) -> bool:
    """
    Return *value* if it is true or false.

    Raises:
        Malformed: it is anything else.
    """
    if not isinstance(value, bool):
        raise Malformed(f"{where} is not true or false")
    return value


def optional(shape: Shape[T]) -> Shape[T | None]:
    """
    Return a check for null or *shape*.
    """

    def check(value: object, where: str) -> T | None:
        return None if value is None else shape(value, where)

    return check


def list_of(shape: Shape[T], most: int, *, least: int = 0) -> Shape[tuple[T, ...]]:
    """
    Return a check for an array of *least* to *most* items, each of *shape*.
    """

    def check(value: object, where: str) -> tuple[T, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise Malformed(f"{where} is not an array of {least} to {most} items")
        return tuple(shape(item, f"{where}[{index}]") for index, item in enumerate(value))

    return check


def array(*shapes: Shape[Any]) -> Shape[tuple[Any, ...]]:
    """
    Return a check for an array with exactly one item per shape, in their order.
    """

    def check(value: object, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(shapes):
            raise Malformed(f"{where} is not an array of {len(shapes)} items")
        pairs = zip(shapes, value, strict=True)
        return tuple(shape(item, f"{where}[{index}]") for index, (shape, item) in enumerate(pairs))

    return check


def record(
    required: Mapping[int, Shape[Any]], optional: Mapping[int, Shape[Any]] | None = None
) -> Shape[dict[int, Any]]:
    """
    Return a check for a map with all keys of *required*, any of *optional* and no other.
    """

    def check(value: object, where: str) -> dict[int, Any]:
        fields = Fields(value, where)
        taken = {key: fields.take(key, f"key {key}", shape) for key, shape in required.items()}
        for key, shape in (optional or {}).items():
            if key in fields:
                taken[key] = fields.take(key, f"key {key}", shape)
        fields.end()
        return taken

    return check


class Fields:
    """
    Take a decoded map apart, one named key at a time, and refuse what is left over.

    Args:
        value: what the decoder returned.
        where: the name of the message, for error messages.
    """

    __slots__ = ("_left", "_where")

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise Malformed(f"{where} is not a map")
        self._left: dict[object, object] = dict(value)
        self._where = where

    def __contains__(self, key: int) -> bool:
        return key in self._left

    def take(self, key: int, name: str, shape: Shape[T]) -> T:
        """
        Return the value of a key that must be there.

        Raises:
            Malformed: it is missing or has another shape.
        """
        if key not in self._left:
            raise Malformed(f"{self._where} lacks {name}")
        return shape(self._left.pop(key), f"{self._where} {name}")

    def maybe(self, key: int, name: str, shape: Shape[T]) -> T | None:
        """
        Return the value of a key that may be there, or None.

        Raises:
            Malformed: it is there with another shape.
        """
        return self.take(key, name, shape) if key in self._left else None

    def end(self) -> None:
        """
        Refuse a map that holds keys nobody took.

        Raises:
            Malformed: at least one key is unknown.
        """
        if self._left:
            raise Malformed(f"{self._where} has {len(self._left)} unknown keys")
