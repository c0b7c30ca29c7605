"""
The clock: the wall where it is believable, the floor where it is not, and nothing lifts the floor but a signed time.
"""

from __future__ import annotations

import time

import pytest

from edge_sdk import clock
from edge_sdk.clock import BEHIND_MS, Clock
from edge_sdk.core.batch import ClockQuality

YEAR_MS = 365 * 86_400_000


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the system clock as a test sets it, in milliseconds."""
    held = [1_790_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: held[0] * 1_000_000)
    return held


@pytest.fixture
def mono(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the monotonic clock as a test sets it, in milliseconds."""
    held = [60_000]
    monkeypatch.setattr(clock, "mono_ms", lambda: held[0])
    return held


def test_a_wall_above_the_floor_counts(wall: list[int], mono: list[int]) -> None:
    now = Clock(wall[0] - 5_000).now()
    assert (now.wall_ms, now.floor_ms, now.quality) == (wall[0], wall[0] - 5_000, ClockQuality.WALL)
    assert now.wall_s == wall[0] // 1000


def test_whole_milliseconds_move_no_reading(wall: list[int], mono: list[int]) -> None:
    held = Clock()
    power_on = held.now().origin_ms
    wall[0] += 1500
    mono[0] += 1499  # of the same second and a half, as each clock cuts it
    assert held.now().origin_ms == power_on
    wall[0] += 1  # by now one of them was moved
    assert held.now().origin_ms == power_on + 2


def test_a_clock_that_was_never_set_is_replaced_by_the_floor_and_says_so(wall: list[int], mono: list[int]) -> None:
    floor, wall[0] = wall[0], 0
    now = Clock(floor).now()
    assert (now.wall_ms, now.quality, now.astray_ms) == (floor, ClockQuality.FLOOR, floor)


def test_the_floor_goes_on_with_powered_on_time(wall: list[int], mono: list[int]) -> None:
    held = Clock(wall[0])
    wall[0], mono[0] = 0, mono[0] + 5_000
    assert held.now().floor_ms == 1_790_000_005_000


def test_a_spoofed_wall_never_lifts_the_floor(wall: list[int], mono: list[int]) -> None:
    held = Clock(wall[0])
    wall[0] += 100 * YEAR_MS
    assert held.now().floor_ms == 1_790_000_000_000
    wall[0] -= 200 * YEAR_MS
    assert held.now().floor_ms == 1_790_000_000_000


def test_a_signed_time_lifts_the_floor_and_an_older_one_does_not(wall: list[int], mono: list[int]) -> None:
    held = Clock(wall[0])
    held.raise_floor(wall[0] + 1_000)
    held.raise_floor(wall[0] - 1_000)
    assert held.now().floor_ms == wall[0] + 1_000


def test_without_a_floor_there_is_none(wall: list[int], mono: list[int]) -> None:
    held = Clock()
    mono[0] += 5_000
    assert held.now().floor_ms == 0


def test_a_wall_a_little_below_the_floor_was_set_and_the_floor_counts(wall: list[int], mono: list[int]) -> None:
    now = Clock(wall[0] + BEHIND_MS).now()
    assert (now.wall_ms, now.quality, now.astray_ms) == (wall[0] + BEHIND_MS, ClockQuality.WALL, None)
    assert Clock(wall[0] + BEHIND_MS + 1).now().quality is ClockQuality.FLOOR


def test_a_wall_far_off_a_signed_time_is_told_by_how_much(wall: list[int], mono: list[int]) -> None:
    held = Clock(wall[0])
    held.hear(wall[0] + YEAR_MS)
    assert (held.now().wall_ms, held.now().astray_ms) == (wall[0] + YEAR_MS, YEAR_MS)


def test_power_on_is_the_same_instant_however_long_the_board_slept(wall: list[int], mono: list[int]) -> None:
    held = Clock(wall[0] + YEAR_MS)
    awake = held.now()
    mono[0] += 8 * 3_600_000  # the monotonic clock runs on while the board is suspended
    assert (held.now().origin_ms, held.now().quality) == (awake.origin_ms, ClockQuality.FLOOR)


def test_the_real_clocks_run_forward() -> None:
    before = clock.mono_ms(), clock.wall_s()
    time.sleep(0.002)
    assert clock.mono_ms() > before[0]
    assert clock.wall_s() >= before[1] > 1_700_000_000
