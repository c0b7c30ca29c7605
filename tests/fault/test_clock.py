"""
A clock that is wrong, stepped or never set destroys nothing: what waits is there when the time is known again.

Real gateways and a real collector; the wall clock of the gateway alone is taken from it (``clock.c``).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.line import TICK_MS
from tests import site as sites
from tests.fault.clock import Boot, WrongClock, booted
from tests.fault.recorder import missing
from tests.gateway.test_wipe import point
from tests.site import LocalSite

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

YEAR_S = 31_557_600
DAY_S = 86_400
TO_1970_S = -60 * YEAR_S
WAIT_S = 60
STATEMENT_S = 45 * DAY_S
ERRORS = {
    "boots at 1970": [TO_1970_S, TO_1970_S, TO_1970_S],
    "ahead for longer than data is kept": [40 * DAY_S, 40 * DAY_S, 43 * DAY_S],
    "years ahead": [10 * YEAR_S, 10 * YEAR_S],
    "years back": [-3 * YEAR_S, -3 * YEAR_S],
    "ahead, then back": [10 * YEAR_S, TO_1970_S, 5 * YEAR_S, -YEAR_S],
    "right, spoofed, right": [0, 30 * YEAR_S, 0],
}


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    return WrongClock(tmp_path)


def numbers_at(site: LocalSite) -> list[int]:
    rows = collecting.open_rows(site.collector)
    return sorted(int(str(row.scaled["energy"])) for row in rows if row.purpose == "monitoring")


def record(boot: Boot, first: int, count: int) -> list[int]:
    """Record readings; return those that were taken: a clock years ahead closes a statement, and opens it no more."""
    taken = boot.record(first, count)["taken"]
    assert taken in (0, count)
    return list(range(first, first + taken))


def arrive(site: LocalSite, clock: WrongClock, numbers: list[int]) -> None:
    """Start with a collector in reach, and wait until every reading that was taken is with its recipient, once."""
    with sites.serving(site):
        point(site.state / "lane.bin", site.config.address)
        with booted(site, clock) as boot:
            ends = time.monotonic() + WAIT_S
            while boot.drain(5)["rows"] and time.monotonic() < ends:
                time.sleep(0.2)
            boot.end()
    assert numbers_at(site) == numbers


@pytest.mark.parametrize("errors", ERRORS.values(), ids=ERRORS)
def test_what_boots_with_a_wrong_clock_recorded_arrives(site: LocalSite, clock: WrongClock, errors: list[int]) -> None:
    taken: list[int] = []
    for number, error_s in enumerate(errors):
        clock.set(error_s)
        with booted(site, clock) as boot:
            taken += record(boot, 10 * number, 10)
            if number % 2:
                boot.end()
    assert taken or min(errors) > STATEMENT_S, "a clock that is behind, or a little ahead, closes nothing"
    clock.set(0)
    arrive(site, clock, taken)


@pytest.mark.parametrize("error_s", [TO_1970_S, -2 * YEAR_S, 40 * DAY_S, 10 * YEAR_S])
def test_a_clock_that_is_stepped_while_the_gateway_runs_destroys_nothing(
    site: LocalSite, clock: WrongClock, error_s: int
) -> None:
    with booted(site, clock) as boot:
        before = boot.record(0, 60)
        clock.set(error_s)
        time.sleep(2 * TICK_MS / 1000)  # the line looks once in that time
        during = boot.record(60, 60)
        clock.set(0)
        time.sleep(2 * TICK_MS / 1000)
        after = boot.record(120, 5)
        boot.end()
    assert before["rows"] <= during["rows"] <= after["rows"]
    assert before["keys"] <= during["keys"] <= after["keys"]
    taken = [*range(60), *range(60, 60 + during["taken"]), *range(120, 125)]
    arrive(site, clock, taken)


@pytest.mark.parametrize("error_s", [TO_1970_S, 40 * DAY_S])
def test_a_clock_that_stays_wrong_is_set_right_by_signed_time(
    site: LocalSite, clock: WrongClock, error_s: int
) -> None:
    clock.set(error_s)
    with booted(site, clock) as boot:
        taken = record(boot, 0, 20)
        boot.end()
    assert taken
    arrive(site, clock, taken)


def test_a_device_that_wakes_in_1970_can_be_enrolled(site: LocalSite, clock: WrongClock, tmp_path: Path) -> None:
    clock.set(TO_1970_S)
    code = collecting.enrol_code(site.collector, now_s=wall_s())
    with sites.serving(site):
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        argv = [sys.executable, "-m", "edge_sdk", "init", str(fresh), "--policy", str(site.folder / "policy.toml")]
        argv += ["--root", str(site.collector / "root.cose"), "--address", site.config.address, "--code", code]
        done = subprocess.run(argv, env=clock.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(collecting.devices(site.collector)) == 2
