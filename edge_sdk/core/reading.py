"""
What a valid value is, field type by field type: the strict and slow definition.

The compiler writes the usual case of each type as one comparison and calls :func:`check` for the rest, so this is
the only place that says what is let in. A value that is not valid is None here and is counted by its caller; it
never appears in a message.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_sdk.core.policy import Field, FieldType

EARLIEST_MS = 946_684_800_000  # 2000-01-01: no gateway of this kind is older; 1970 means an unset clock
AHEAD_MS = 86_400_000  # a reading may be a day ahead of our clock: a source's zone mistake, not 2100
LOCATION_DECIMALS = 5  # 1.1 m; a household needs no better
MAX_LABEL = 64  # characters in a label of an enum

_IP_CHARACTERS = 64  # 39 for IPv6, and a zone behind it
_MAC_CHARACTERS = 17

_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Mono:
    """
    A time on this machine's monotonic clock, in milliseconds, for sources that have no wall clock.
    """

    ms: int


def check(field: Field, value: object) -> int | str | None:
    """
    Return *value* in canonical form: a scaled integer or text; None when it is not valid for *field*.
    """
    return _CHECKS[field.type](field, value)


def places_of_labels(field: Field) -> Mapping[str, int]:
    """
    Return what :func:`check` makes of each label of an enum.
    """
    return {label: place for label in field.values if (place := _enum(field, label)) is not None}


def _number(field: Field, value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # The plain number inside a subclass (numpy, enums), whatever that makes of arithmetic.
    plain = float.__float__(value) if isinstance(value, float) else int.__int__(value)
    try:
        scaled = field.step.quantise(plain)
    except (ValueError, OverflowError):  # NaN, infinities, integers beyond binary64
        return None
    return scaled if field.low <= scaled <= field.high else None


def _text(field: Field, value: object) -> str | None:
    if isinstance(value, bytes):
        if len(value) > field.max_length:
            return None
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            return None
    plain = _plain_text(value, field.max_length)
    if plain is None:
        return None
    try:
        size = len(plain.encode("utf-8"))
    except UnicodeEncodeError:  # lone surrogates: bytes that were no UTF-8 when they were read
        return None
    return plain if size <= field.max_length else None


def _enum(field: Field, value: object) -> int | None:
    plain = _plain_text(value, MAX_LABEL)
    return field.values.index(plain) if plain in field.values else None


def _flags(field: Field, value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    plain = int.__int__(value)
    return plain if 0 <= plain < 1 << len(field.values) else None


def _bool(_: Field, value: object) -> int | None:
    return int(value) if isinstance(value, bool) else None


def _ip(_: Field, value: object) -> str | None:
    plain = _plain_text(value, _IP_CHARACTERS)
    if plain is None:
        return None
    try:
        # By way of its bytes: a zone (fe80::1%eth0) is any text at all and means something on this board only.
        return str(ipaddress.ip_address(ipaddress.ip_address(plain).packed))
    except ValueError:
        return None


def _mac(_: Field, value: object) -> str | None:
    plain = _plain_text(value, _MAC_CHARACTERS)
    if plain is None:
        return None
    canonical = plain.lower().replace("-", ":")
    return canonical if _MAC.fullmatch(canonical) else None


def _location(_: Field, value: object) -> str | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    degrees = [part for part in value if isinstance(part, int | float) and not isinstance(part, bool)]
    if len(degrees) != 2 or not (-90 <= degrees[0] <= 90 and -180 <= degrees[1] <= 180):
        return None
    return place_text([float(part) for part in degrees], LOCATION_DECIMALS)


def place_text(degrees: Sequence[float], decimals: int) -> str:
    """
    Return a location as text with so many decimals of a degree; 0 has no sign.
    """
    return ",".join(f"{round(part, decimals) + 0.0:.{decimals}f}" for part in degrees)


def _plain_text(value: object, longest: int) -> str | None:
    """
    Return the text inside *value*, as exactly str (an enum of texts shows another one), if it is not too long.
    """
    return str.__str__(value) if isinstance(value, str) and len(value) <= longest else None


_CHECKS: Mapping[FieldType, Callable[[Field, object], int | str | None]] = {
    FieldType.NUMBER: _number,
    FieldType.INTEGER: _number,
    FieldType.COUNTER: _number,
    FieldType.TEXT: _text,
    FieldType.ENUM: _enum,
    FieldType.FLAGS: _flags,
    FieldType.BOOL: _bool,
    FieldType.IP: _ip,
    FieldType.MAC: _mac,
    FieldType.LOCATION: _location,
}
