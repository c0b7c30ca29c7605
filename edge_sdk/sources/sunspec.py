"""
The chain of models in the registers of a SunSpec device: common (1), inverter (101-103), inputs (160), meter (201).

Owns: finding the models, which of their registers mean what, scale factors, and what a device has not implemented.
Rules: reads through a function that is handed in, and is bounded whatever is answered: a chain that does not end, or a
model that is longer than there are registers, is Malformed. A value that is not implemented, or whose scale factor is
none, is left out of the reading, which makes it null in the row. Names that owners gave to inputs (IDStr) have no point
here, so nobody asks for them. Faults are told when they come and when they go.
Does not: talk to a bus (examples/sunspec_modbus.py does); judge ranges, which are the policy's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from edge_sdk.errors import Malformed
from edge_sdk.sources.registers import LAST, letters, number

Read = Callable[[range], Awaitable[Mapping[int, int]]]
MOST_REGISTERS: Final = 120  # in one answer
MOST_MODELS: Final = 64
MOST_INPUTS: Final = 16


class Form(Enum):
    """
    What the words of a point are: how many, and what stands for "not implemented".
    """

    INT16 = (1, -0x8000)
    UINT16 = (1, 0xFFFF)
    ACC32 = (2, 0)
    BITS32 = (2, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Point:
    """
    One field: its first register, its form, and the register of its scale factor, if it has one.

    In the tables below registers count from the first of the model, behind its id and length.
    """

    kind: str
    field: str
    first: int
    form: Form
    scale: int | None = None
    part: int = 0

    @property
    def span(self) -> range:
        """
        Return its own registers.
        """
        return range(self.first, self.first + self.form.value[0])

    @property
    def spans(self) -> tuple[range, ...]:
        """
        Return all registers that have to be read for it.
        """
        return (self.span,) if self.scale is None else (self.span, range(self.scale, self.scale + 1))

    def at(self, base: int) -> Point:
        """
        Return it in the model that begins at register *base*.
        """
        return replace(self, first=base + self.first, scale=None if self.scale is None else base + self.scale)


_INVERTER: Final = (
    Point("inverter", "grid_voltage", 8, Form.UINT16, 11),
    Point("inverter", "ac_power", 12, Form.INT16, 13),
    Point("inverter", "frequency", 14, Form.UINT16, 15),
    Point("inverter", "energy", 22, Form.ACC32, 24),
    Point("inverter", "temperature", 31, Form.INT16, 35),
    Point("inverter", "state", 36, Form.UINT16),
    Point("alarm", "events", 38, Form.BITS32),
)
_METER: Final = (
    Point("meter", "grid_power", 16, Form.INT16, 20),
    Point("meter", "exported", 36, Form.ACC32, 52),
    Point("meter", "imported", 44, Form.ACC32, 52),
)
_INPUT: Final = (  # registers count from the first of the input, scale factors from that of the model
    Point("input", "dc_voltage", 10, Form.UINT16, 1),
    Point("input", "dc_power", 11, Form.UINT16, 2),
    Point("input", "dc_energy", 12, Form.ACC32, 3),
)
_TABLES: Final = {101: _INVERTER, 102: _INVERTER, 103: _INVERTER, 201: _METER}
_LEAST: Final = {1: 65, 101: 50, 102: 50, 103: 50, 160: 8, 201: 105}  # registers of a model
FIELDS: Final = frozenset((point.kind, point.field) for point in (*_INVERTER, *_METER, *_INPUT))
_BASES: Final = (40000, 0, 50000)
_MARK: Final = 0x53756E53  # "SunS"
_INPUTS_AT, _FIRST_INPUT, _INPUT_LENGTH = 6, 8, 20
_MODEL_AT, _SERIAL_AT, _TEXT_LENGTH = 16, 48, 16
_STEEPEST: Final = 10  # powers of ten that a scale factor may name


def value(point: Point, registers: Mapping[int, int]) -> int | float | None:
    """
    Return what *registers* say of *point*, scaled; None where the device has not implemented it.
    """
    found = number(registers, point.span, signed=point.form is Form.INT16)
    if found == point.form.value[1]:
        return None
    if point.scale is None:
        return found
    exponent = number(registers, range(point.scale, point.scale + 1), signed=True)
    if abs(exponent) > _STEEPEST:
        return None
    scaled = Decimal(found).scaleb(exponent)
    return int(scaled) if scaled == scaled.to_integral_value() else float(scaled)


@dataclass(slots=True)
class Plant:
    """
    What was found in one device: its serial number, the maker's name for it, and its points.
    """

    serial: str
    model: str
    points: tuple[Point, ...]
    _events: int = 0

    def made(self, points: Collection[Point], registers: Mapping[int, int]) -> Iterator[tuple[str, dict[str, Any]]]:
        """
        Yield kind and fields of each reading in one answer to *points*.
        """
        for kind, part in sorted({(point.kind, point.part) for point in points}):
            mine = [point for point in points if (point.kind, point.part) == (kind, part)]
            told = {point.field: found for point in mine if (found := value(point, registers)) is not None}
            if kind == "input":
                yield kind, {"place": f"{self.serial}/{part}", "number": part, **told}
            elif kind != "alarm":
                yield kind, {"serial": self.serial, **({"model": self.model} if kind == "inverter" else {}), **told}
            elif self._have_changed(int(told.get("events", 0))):
                yield kind, {"serial": self.serial, "events": self._events}

    def _have_changed(self, events: int) -> bool:
        before, self._events = self._events, events
        return before != events


async def find(read: Read) -> Plant:
    """
    Return what is in the device that *read* asks.

    Args:
        read: answers one run of registers; Malformed where the device refuses them.

    Raises:
        Malformed: when it is no SunSpec device, or its models cannot be.
    """
    models = await _models(read, await _base(read))
    if not models or models[0][0] != 1:
        raise Malformed("a chain of models without the common model at its beginning")
    serial = await _text(read, models[0][1] + _SERIAL_AT)
    if not serial:
        raise Malformed("the serial number of a device")
    points = [point.at(base) for model, base, _ in models for point in _TABLES.get(model, ())]
    for base, length in ((base, length) for model, base, length in models if model == 160):
        points += await _inputs(read, base, length)
    return Plant(serial, await _text(read, models[0][1] + _MODEL_AT), tuple(points))


async def _base(read: Read) -> int:
    for base in _BASES:
        span = range(base, base + 2)
        try:
            found = number(await read(span), span)
        except Malformed:  # most devices have registers at one of these places only
            continue
        if found == _MARK:
            return span.stop
    raise Malformed("a device without the mark of SunSpec")


async def _models(read: Read, at: int) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    while len(found) < MOST_MODELS:
        head = await read(range(at, at + 2))
        model, length = head[at], head[at + 1]
        if model == LAST:
            return found
        if length < _LEAST.get(model, 0) or at + 2 + length + 2 > LAST:
            raise Malformed("a model that is shorter than its points or ends behind the last register")
        found.append((model, at + 2, length))
        at += 2 + length
    raise Malformed("a chain of models that does not end")


async def _text(read: Read, first: int) -> str:
    span = range(first, first + _TEXT_LENGTH)
    return letters(await read(span), span)


async def _inputs(read: Read, base: int, length: int) -> Iterable[Point]:
    span = range(base + _INPUTS_AT, base + _INPUTS_AT + 1)
    count = number(await read(span), span)
    if count == LAST:
        return ()
    if count > MOST_INPUTS or _FIRST_INPUT + count * _INPUT_LENGTH > length:
        raise Malformed("a model of more inputs than it has room for")
    return (
        replace(point.at(base), first=base + _FIRST_INPUT + place * _INPUT_LENGTH + point.first, part=place + 1)
        for place in range(count)
        for point in _INPUT
    )
