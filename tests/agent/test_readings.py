"""
Points of a shim into readings: what is put together, in which order it is handed over, and that every point is in it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from edge_sdk.core.policy import FieldType, Policy
from edge_sdk.core.shim_ids import Schema
from edge_sdk.core.shim_points import Run
from edge_sdk.core.shim_wire import Source, Text
from edge_sdk.sources.shim import COMPLETE_AFTER_MS, Readings
from tests.minimising import field, kind_of

POWER, STATE, NOTE = field("power"), field("state", FieldType.ENUM, values=("off", "on")), field("note", FieldType.TEXT)
SCHEMA = Schema(Policy("p", "1", {"inverter": kind_of(POWER, STATE, NOTE)}, {}))
NUMBERS = {one.field.name: one.number for one in SCHEMA.fields}


class Taken:
    """One connection with two devices, and the readings it handed over, in order."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.made: list[tuple[dict[str, Any], int]] = []
        self.points = self.calls = 0
        self.readings = Readings(SCHEMA, self._deliver, self.counts)
        for slot in (0, 1):
            self.readings.declare(Source(slot, 1, f"device {slot}"))

    def _deliver(self, _: str, columns: Any, mono_ms: Any, points: int) -> None:
        self.calls += 1
        self.points += points
        for at, *values in zip(mono_ms, *columns.values(), strict=True):
            self.made.append((dict(zip(columns, values, strict=True)), at))

    def take(self, *runs: Run, now_ms: int = 0) -> int:
        return self.readings.take(runs, t0=1000, t0_ms=5000, now_ms=now_ms)


def run(slot: int, offset_ms: int, **values: Any) -> Run:
    return tuple(NUMBERS[name] for name in values), slot, offset_ms, tuple(values.values())


BOTH = run(0, 0, power=1.0, state=1)


def test_a_reading_is_handed_over_when_its_slot_has_another_time_and_not_before() -> None:
    taken = Taken()
    taken.take(BOTH)
    taken.readings.hand_over()
    assert taken.made == []
    taken.take((BOTH[0], 0, 10, (2.0, 0)))
    taken.readings.hand_over()
    assert taken.made == [({"serial": "device 0", "power": 1.0, "state": "on"}, 5000)]


def test_readings_of_the_same_fields_are_handed_over_together() -> None:
    taken = Taken()
    for offset_ms in range(5):
        taken.take((BOTH[0], 0, offset_ms, (float(offset_ms), 1)), (BOTH[0], 1, offset_ms, (0.0, 0)))
    taken.readings.end()
    assert (taken.calls, len(taken.made), taken.points) == (1, 10, 20)
    assert [(one["serial"], at) for one, at in taken.made[:3]] == [
        ("device 0", 5000), ("device 1", 5000), ("device 0", 5001),
    ]  # fmt: skip


def test_a_reading_that_came_in_parts_is_one_and_stands_in_its_place() -> None:
    taken = Taken()
    part = run(0, 10, power=2.0)
    taken.take(BOTH, part, run(0, 10, state=0), (part[0], 0, 20, (3.0,)))
    taken.readings.end()
    assert [one for one, _ in taken.made] == [
        {"serial": "device 0", "power": 1.0, "state": "on"},
        {"serial": "device 0", "power": 2.0, "state": "off"},
        {"serial": "device 0", "power": 3.0},
    ]
    assert taken.points == 5


def test_a_run_that_began_as_the_second_part_of_a_reading_is_read_by_its_own_fields() -> None:
    taken = Taken()
    second = run(0, 0, state=1)
    taken.take(run(0, 0, power=1.0), second, (second[0], 0, 10, (0,)))
    taken.readings.end()
    assert taken.made[1][0] == {"serial": "device 0", "state": "off"}


def test_a_text_goes_with_the_readings_after_it_and_with_none_before() -> None:
    taken = Taken()
    taken.take(BOTH)
    taken.readings.tell(Text(0, NUMBERS["note"], "new"))
    taken.take((BOTH[0], 0, 10, (2.0, 0)))
    taken.readings.tell(Text(0, NUMBERS["note"], ""))
    taken.take((BOTH[0], 0, 20, (3.0, 0)))
    taken.readings.end()
    assert [one.get("note") for one, _ in taken.made] == [None, "new", None]


def test_points_that_fit_nothing_leave_nothing_behind_for_the_reading_after_them() -> None:
    taken = Taken()
    taken.readings.tell(Text(0, NUMBERS["note"], "old"))
    assert taken.take(((99,), 0, 0, (1.0,))) == 1
    taken.readings.tell(Text(0, NUMBERS["note"], "new"))
    taken.take((BOTH[0], 0, 10, (2.0, 0)))
    taken.readings.end()
    assert [one["note"] for one, _ in taken.made] == ["new"]


@pytest.mark.parametrize("value", [2, -1, 1.0, True])
def test_what_is_no_place_among_labels_stays_and_is_for_the_policy_to_refuse(value: Any) -> None:
    taken = Taken()
    taken.take(run(0, 0, power=1.0, state=value), run(1, 0, power=1.0), run(1, 0, state=value))
    taken.readings.end()
    assert [one["state"] for one, _ in taken.made] == [value, value]


def test_a_field_that_is_not_of_the_kind_is_counted_and_the_rest_is_a_reading() -> None:
    taken = Taken()
    lost = taken.take(((NUMBERS["power"], 4000), 0, 0, (1.0, 5)), ((4001,), 0, 0, (1,)))
    taken.readings.end()
    assert taken.made == [({"serial": "device 0", "power": 1.0}, 5000)]
    assert (lost, taken.points, taken.counts["shim_unfit"]) == (2, 1, 2)


def test_a_second_of_silence_completes_a_reading() -> None:
    taken = Taken()
    taken.take(BOTH, now_ms=0)
    assert taken.readings.complete(COMPLETE_AFTER_MS - 1) == COMPLETE_AFTER_MS
    assert taken.made == []
    assert taken.readings.complete(COMPLETE_AFTER_MS) is None
    assert len(taken.made) == 1


def test_what_is_complete_and_not_handed_over_is_forgotten_with_the_rest_and_counted() -> None:
    taken = Taken()
    taken.take(BOTH, (BOTH[0], 0, 10, (2.0, 0)))
    assert taken.readings.discard() == 4
    taken.readings.end()
    assert taken.made == []
