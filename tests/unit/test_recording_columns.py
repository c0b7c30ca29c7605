"""
Readings that come as columns, or many at once: the same rows, counts and limits as one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from edge_sdk.core.reading import AHEAD_MS, EARLIEST_MS, Mono
from edge_sdk.errors import BadInput
from edge_sdk.opening import Site
from edge_sdk.recording import MANY, Recording
from tests import site as sites
from tests.site import CANARY, reading

SEVERAL = 6
BASE_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
HOURLY = """
[policy]
name = "hourly"
version = "1"
[kinds.inverter]
source = "serial"
max_sources = 8
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 16 }
power = { class = "telemetry", type = "number", unit = "W", min = -100, max = 10000, resolution = 0.1 }
[purposes.monitoring]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
importance = 10
keep_at_most = "30d"
[purposes.monitoring.views.inverter]
every = "1h"
[purposes.monitoring.views.inverter.fields]
serial = "keep"
power = { window = "mean" }
"""


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Site]:
    with sites.opened(sites.local_site(tmp_path)) as parts:
        yield parts


def columns_of(readings: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [one[name] for one in readings] for name in readings[0]}


def times(parts: Site, count: int = SEVERAL) -> list[int]:
    return [parts.clock.now().mono_ms + at for at in range(count)]


def rows_of(parts: Site) -> list[Any]:
    return [list(outlet.rows) for s in parts.line.binding.streams.values() for outlet in s.outlets]


def rows_made(parts: Site) -> list[Any]:
    """Return what came out since the last call, windows closed."""
    parts.line.binding.cut()
    made = [list(rows) for stream in parts.line.binding.streams.values() for rows in stream.rows.values()]
    for stream in parts.line.binding.streams.values():
        stream.rows.clear()
    return made


@pytest.mark.parametrize("count", [1, SEVERAL])
@pytest.mark.parametrize("is_known", [False, True])
def test_they_become_the_rows_they_become_one_by_one(tmp_path: Path, count: int, is_known: bool) -> None:
    readings = [reading(7) | {"power": number / 10} for number in range(count)]
    made = []
    with sites.opened(sites.local_site(tmp_path)) as parts:
        mono_ms = times(parts, count)
        parts.line.recording.record("inverter", reading(7), Mono(mono_ms[0]))
        rows_made(parts)
        for by_column in (True, False):
            parts.line.recording.forget_sources()
            if is_known:
                parts.line.recording.record("inverter", reading(7), Mono(mono_ms[0]))
            if by_column:
                parts.line.recording.record_columns("inverter", columns_of(readings), mono_ms)
            else:
                for one, at in zip(readings, mono_ms, strict=True):
                    parts.line.recording.record("inverter", one, Mono(at))
            made.append(rows_made(parts))
    assert any(made[0])
    assert made[0] == made[1]


def test_what_is_wrong_with_one_of_them_is_counted_as_one_by_one(parts: Site) -> None:
    readings = [reading(number) for number in range(SEVERAL)]
    readings[3]["power"] = "much"
    readings[5]["serial"] = None
    parts.line.recording.record_columns("inverter", columns_of(readings), times(parts))
    parts.line.step(parts.clock.now())
    counts = parts.line.recording.totals()
    assert (counts["recorded"], counts["invalid_values"], counts["invalid_readings"]) == (6, 1, 1)


@pytest.mark.parametrize(("kind", "reason"), [("meter", "no_grant"), (CANARY, "unknown_kind")])
def test_without_a_grant_each_of_them_is_refused_and_counted(parts: Site, kind: str, reason: str) -> None:
    parts.line.recording.record_columns(kind, {"serial": [CANARY] * SEVERAL}, times(parts))
    assert parts.line.recording.totals() == {reason: SEVERAL}
    assert not any(rows_of(parts))


@pytest.mark.parametrize("end", ["too early", "too late"])
def test_of_those_at_the_edge_of_the_time_range_only_the_ones_inside_are_taken(parts: Site, end: str) -> None:
    now = parts.clock.now()
    parts.line.step(now)
    edge = EARLIEST_MS - 3 if end == "too early" else now.wall_ms + AHEAD_MS - 2
    mono_ms = [edge + at - now.origin_ms for at in range(SEVERAL)]
    parts.line.recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), mono_ms)
    assert parts.line.recording.totals()["clock"] == 3


def make(room: int, wake_after: int) -> tuple[Recording, list[None]]:
    woken: list[None] = []
    return Recording(room=room, wake_after=wake_after, wake=lambda: woken.append(None)), woken


def bound(parts: Site, recording: Recording, *, only_windows: bool = False) -> None:
    """Have *recording* collect what the line of *parts* does, or what it gathers in windows."""
    binding, now = parts.line.binding, parts.clock.now()
    granted = []
    for stream in binding.streams.values():
        grant = binding.grant_of(stream, now)
        assert grant is not None
        granted += [(outlet, grant) for outlet in stream.outlets if outlet.windows is not None or not only_windows]
    recording.bind(binding.policy, granted)
    recording.turn(now)
    recording.harvest(now.wall_ms, held_rows=0)


def test_what_finds_no_room_is_counted_and_the_rest_is_taken(parts: Site) -> None:
    recording, woken = make(10, 100)
    bound(parts, recording)
    for _ in range(3):
        recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))
    assert recording.harvest(parts.clock.now().wall_ms, held_rows=0)[0] == 10
    assert recording.totals()["overflow"] == 8
    assert woken


def test_the_writer_is_woken_once_when_so_many_wait(parts: Site) -> None:
    recording, woken = make(1000, 3 * SEVERAL - 2)
    bound(parts, recording)
    told = []
    for _ in range(5):
        recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))
        told.append(len(woken))
    assert told == [0, 0, 1, 1, 1]


def test_readings_that_only_windows_gather_wake_nobody_before_half_of_the_room_is_taken(parts: Site) -> None:
    recording, woken = make(20 * SEVERAL, 2 * SEVERAL)
    bound(parts, recording, only_windows=True)
    told = []
    for _ in range(12):
        recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))
        told.append(len(woken))
    assert told == [0] * 9 + [1, 1, 1]


def test_nothing_is_taken_after_the_entry_is_shut(parts: Site) -> None:
    recording = parts.line.recording
    for _ in range(2):
        recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))
    before = rows_of(parts)
    recording.shut()
    recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))
    assert rows_of(parts) == before


def test_a_rebinding_between_two_of_them_counts_at_once(parts: Site) -> None:
    recording = parts.line.recording
    for _ in range(2):
        recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))
    before = rows_of(parts)
    with recording.lock:
        recording.bind(parts.line.binding.policy, [])
    recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))
    assert rows_of(parts) == before
    assert recording.totals()["no_grant"] == SEVERAL


def test_columns_compiled_ahead_follow_every_binding(parts: Site) -> None:
    recording = parts.line.recording
    recording.compile_ahead()
    for _ in range(2):
        recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))
        parts.line.binding.erase(["monitoring"])
        recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))
        parts.line.step(parts.clock.now())
    assert recording.totals() == {"no_grant": 2 * SEVERAL, "recorded": 2 * SEVERAL}


def test_a_line_that_steps_beside_them_loses_and_doubles_nothing(parts: Site) -> None:
    def record() -> None:
        for _ in range(100):
            parts.line.recording.record_columns("inverter", columns_of([reading(1)] * SEVERAL), times(parts))

    thread = threading.Thread(target=record)
    thread.start()
    while thread.is_alive():
        parts.line.step(parts.clock.now(), flush=True)
    thread.join()
    parts.line.step(parts.clock.now(), flush=True)
    assert parts.line.recording.totals()["recorded"] == 100 * SEVERAL


def walls(parts: Site, count: int = SEVERAL) -> list[int]:
    return [parts.clock.now().wall_ms + at for at in range(count)]


UNLIKE = {
    "alike": [reading(1)] * SEVERAL,
    "few": [reading(1)] * 2,
    "more than one part": [reading(at % 7) for at in range(3 * MANY + 1)],
    "with fields of their own": [reading(1), reading(2) | {"more": 1}, reading(3), reading(4), reading(5)],
    "as many fields, but others": [reading(1), *[{**reading(2), "more": 1, "power": 1}] * 4, {"serial": "a"}],
    "wrong in one": [reading(1)] * 4 + [reading(1) | {"power": "much"}],
    "a mapping that is no dict": [reading(1)] * 4 + [MappingProxyType(reading(1))],
    "empty": [{}] * SEVERAL,
    "none": [],
}


@pytest.mark.parametrize("what", UNLIKE)
def test_many_at_once_become_what_they_become_one_by_one(tmp_path: Path, what: str) -> None:
    many, made, counts, taken = UNLIKE[what], [], [], []
    for at_once in (True, False):
        with sites.opened(sites.local_site(tmp_path / str(at_once), granted=())) as parts:
            recording = parts.line.recording
            readings = list(zip([BASE_MS + at for at in range(len(many))], many, strict=True))
            if at_once:
                taken.append(recording.record_many("inverter", readings))
            else:
                taken.append(sum(recording.record("inverter", fields, at) > 0 for at, fields in readings))
            made.append(rows_made(parts))
            parts.line.step(parts.clock.now())
            counts.append(recording.totals(with_marks=False))
    assert made[0] == made[1]
    assert counts[0] == counts[1]
    assert taken[0] == taken[1]


@pytest.mark.parametrize("at", ["now", 1.5, True], ids=["a text", "a float", "a truth"])
def test_a_time_among_many_that_is_no_int_is_the_programmers_mistake(parts: Site, at: Any) -> None:
    readings = [*zip(walls(parts), [reading(1)] * SEVERAL, strict=True), (at, reading(1))]
    with pytest.raises(TypeError, match="at_ms"):
        parts.line.recording.record_many("inverter", readings)


def test_many_readings_of_a_closed_window_are_not_counted_as_taken(tmp_path: Path) -> None:
    with sites.opened(sites.local_site(tmp_path, granted=(), policy=HOURLY)) as parts:
        hours = [BASE_MS, BASE_MS + 3 * HOUR_MS, BASE_MS]
        taken = [
            parts.line.recording.record_many("inverter", [(at, {"serial": "a", "power": 1.0})] * SEVERAL)
            for at in (hours[0], *hours)
        ]
    assert taken == [SEVERAL, SEVERAL, SEVERAL, 0]


def test_many_readings_by_a_clock_that_was_set_back_are_placed_as_one_by_one(parts: Site) -> None:
    recording, now = parts.line.recording, parts.clock.now()
    with recording.lock:
        recording.turn(replace(now, astray_ms=7_000))
    recording.record_many("inverter", [(now.wall_ms + at, reading(1)) for at in range(SEVERAL)])
    assert [row[0] for row in rows_of(parts)[0]] == [now.wall_ms + 7_000 + at for at in range(SEVERAL)]


def test_strictly_many_are_taken_up_to_the_one_that_is_wrong(parts: Site) -> None:
    readings = list(zip(walls(parts), [reading(1)] * SEVERAL, strict=True))
    readings[3] = (readings[3][0], {"serial": None})
    with pytest.raises(BadInput, match="invalid_readings 1"):
        parts.line.recording.record_many_strictly("inverter", readings)
    assert parts.line.recording.record_many_strictly("inverter", readings[:3]) == 3
    parts.line.step(parts.clock.now())
    assert parts.line.recording.totals(with_marks=False)["recorded"] == 7
