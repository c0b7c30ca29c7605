"""
Readings that come as columns: the same rows, counts and limits as one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.core.reading import AHEAD_MS, EARLIEST_MS, Mono
from edge_sdk.opening import Site
from edge_sdk.recording import Recording
from tests import site as sites
from tests.site import CANARY, reading

SEVERAL = 6


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


def bound(parts: Site, recording: Recording) -> None:
    """Have *recording* collect what the line of *parts* does."""
    binding, now = parts.line.binding, parts.clock.now()
    granted = []
    for stream in binding.streams.values():
        grant = binding.grant_of(stream, now)
        assert grant is not None
        granted += [(outlet, grant) for outlet in stream.outlets]
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
