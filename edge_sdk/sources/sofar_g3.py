"""
What the holding registers of a SOFAR G3 inverter mean, in the words of the profile ``sofar_monitor``.

Owns: the table of points and the readings that are made of them.
Rules: pure; a message names what was read, never what was found there. Faults are told when they come and when they
go: a poll in which nothing changed makes no reading of them. A battery is told by the serial number of its inverter,
since its registers have none.
Does not: ask anybody (examples/sofar_solarman.py does); judge ranges, which are the policy's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge_sdk.errors import Malformed
from edge_sdk.sources.registers import letters, number

MOST_REGISTERS: Final = 60  # in one answer: sticks cut longer ones off
SERIAL: Final = (range(0x0445, 0x044D), range(0x0470, 0x0472))  # of 16 characters, or of 20


@dataclass(frozen=True, slots=True)
class Point:
    """
    One field of a reading: its registers, and in what one step of them is told: *step* is in hundredths, 0 for text.
    """

    kind: str
    field: str
    span: range
    step: int = 100
    signed: bool = False


def _word(kind: str, field: str, register: int, step: int = 100, *, signed: bool = False) -> Point:
    return Point(kind, field, range(register, register + 1), step, signed)


POINTS: Final = (
    _word("inverter", "state", 0x0404),
    *(_word("alarm", f"fault_{place}", 0x0404 + place) for place in range(1, 7)),
    _word("inverter", "temperature", 0x041A, signed=True),
    Point("inverter", "firmware", range(0x0453, 0x0457), 0),
    _word("inverter", "frequency", 0x0484, 1),
    _word("inverter", "ac_power", 0x0485, 1000, signed=True),
    _word("meter", "grid_power", 0x0488, 1000, signed=True),
    _word("inverter", "grid_voltage", 0x048D, 10),
    _word("meter", "load_power", 0x04AF, 1000, signed=True),
    _word("inverter", "pv_voltage_1", 0x0584, 10),
    _word("inverter", "pv_power_1", 0x0586, 1000),
    _word("inverter", "pv_voltage_2", 0x0587, 10),
    _word("inverter", "pv_power_2", 0x0589, 1000),
    _word("battery", "power", 0x0606, 1000, signed=True),
    _word("battery", "temperature", 0x0607, signed=True),
    _word("battery", "soc", 0x0608),
    _word("battery", "soh", 0x0609),
    _word("battery", "cycles", 0x060A),
    Point("inverter", "energy", range(0x0686, 0x0688), 10_000),
    Point("meter", "load_energy", range(0x068A, 0x068C), 10_000),
)


def serial_number(registers: Mapping[int, int]) -> str:
    """
    Return the inverter's serial number; Malformed when it has none.
    """
    found = "".join(letters(registers, span) for span in SERIAL)
    if not found:
        raise Malformed("the serial number of an inverter")
    return found


def value(point: Point, registers: Mapping[int, int]) -> int | float | str:
    """
    Return what *registers* say of *point*, in the unit of its field.
    """
    if not point.step:
        return letters(registers, point.span)
    steps = number(registers, point.span, signed=point.signed) * point.step
    return steps / 100 if steps % 100 else steps // 100


class Readings:
    """
    Makes readings of answers, and remembers which faults were told.
    """

    def __init__(self) -> None:
        self._faults: tuple[Any, ...] = ()

    def made(
        self, serial: str, points: Collection[Point], registers: Mapping[int, int]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """
        Yield kind and fields of each reading in one answer to *points*.
        """
        for kind in sorted({point.kind for point in points}):
            fields = {point.field: value(point, registers) for point in points if point.kind == kind}
            if kind != "alarm" or self._have_changed(tuple(fields.values())):
                yield kind, {"serial": serial, **fields}

    def _have_changed(self, faults: tuple[Any, ...]) -> bool:
        before, self._faults = self._faults, faults
        return before != faults and any((*before, *faults))
