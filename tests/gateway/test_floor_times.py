"""
Rows of a board whose clock was not set arrive with the time they were measured at, once that can be known.

A board with clocks a test sets: true time, a system clock that is off it, a monotonic clock that runs on through
suspend. Everything else is real. The floor is two days old at the start, as after two days without power.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from edge_sdk import clock, opening
from edge_sdk.collector import folder as collecting
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.core.batch import ClockQuality, Reason
from edge_sdk.core.reading import Mono
from edge_sdk.line import Line
from edge_sdk.uplink import Errand
from tests import site as sites
from tests.site import LocalSite, reading

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
YEAR = 365 * DAY
TRUE_NS = time.time_ns


class Board:
    """The clocks of one board; ``system_ms`` is what its system clock shows."""

    def __init__(self) -> None:
        self.true_ms = TRUE_NS() // 1_000_000 + 2 * DAY
        self.off_ms = 0
        self.mono_ms = 40 * SECOND
        self.boot_id = secrets.token_bytes(16)

    @property
    def system_ms(self) -> int:
        return self.true_ms + self.off_ms

    def wait(self, ms: int) -> None:
        self.true_ms += ms
        self.mono_ms += ms

    def set_to_1970(self) -> None:
        self.off_ms = self.mono_ms - self.true_ms

    def synchronise(self) -> None:
        self.off_ms = 0

    def reboot(self, *, away_ms: int) -> None:
        self.true_ms += away_ms
        self.mono_ms = 40 * SECOND
        self.boot_id = secrets.token_bytes(16)


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    board = Board()
    monkeypatch.setattr(time, "time_ns", lambda: board.system_ms * 1_000_000)
    monkeypatch.setattr(clock, "mono_ms", lambda: board.mono_ms)
    monkeypatch.setattr(opening, "boot_id", lambda: board.boot_id)
    monkeypatch.setattr(sites, "wall_s", lambda: board.true_ms // 1000)
    return board


class Device:
    """A site on a board: what it recorded, and when that was."""

    def __init__(self, site: LocalSite, board: Board) -> None:
        self.site = site
        self.board = board
        self.true: dict[int, int] = {}

    @contextmanager
    def running(self) -> Iterator[Device]:
        with sites.opened(self.site) as self.parts:
            yield self

    @property
    def line(self) -> Line:
        return self.parts.line

    def step(self, **how: bool) -> None:
        self.line.step(self.parts.clock.now(), **how)

    def record(self, count: int = 1, *, at: Callable[[], int | Mono | None] = lambda: None, taken: int = 2) -> None:
        """Record readings ten seconds apart, the writer's looks between them."""
        for _ in range(count):
            number = len(self.true)
            self.true[number] = self.board.true_ms
            assert self.line.recording.record("inverter", reading(number), at()) == taken
            self.step()
            self.board.wait(10 * SECOND)
            self.step()

    def deliver(self) -> None:
        """Send all there is, and what a receipt leaves to tell."""
        self.step(close=True, cut=True)
        with sites.reached(self.site.collector) as collector:
            for _ in range(3):
                self.step()
                self.parts.uplink._not_before_ms = 0
                while not isinstance(trip := self.parts.uplink.next_trip(self.parts.clock.now()), int):
                    self.parts.uplink.settle(trip, collector.answer(trip.request), self.parts.clock.now())
        assert not self.line.rooms.outbox.queues

    def arrived(self, purpose: str = "monitoring") -> list[OpenedRow]:
        return [row for row in self.site.rows() if row.purpose == purpose]

    def errors(self) -> list[int]:
        """Return by how many milliseconds each row that arrived is off, in the order of recording."""
        rows = sorted(self.arrived(), key=lambda row: int(str(row.fields["energy"])))
        assert [int(str(row.fields["energy"])) for row in rows] == sorted(self.true)
        return [row.at_ms - self.true[int(str(row.fields["energy"]))] for row in rows]


@pytest.fixture
def device(site: LocalSite, board: Board) -> Device:
    return Device(site, board)


def qualities(site: LocalSite) -> list[int]:
    """Return how many qualities the rows of each stream came with."""
    with collecting.open_opener(site.collector) as opener, opener._store._database.read() as connection:
        found = connection.execute("SELECT count(DISTINCT clock || hex(coalesce(boot, ''))) FROM rows GROUP BY stream")
        return [count for (count,) in found]


def test_rows_of_a_boot_in_1970_have_their_true_time_once_the_clock_is_set(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.record(3)
        board.synchronise()
        device.record(3)
        device.deliver()
    assert device.errors() == [0] * 6
    assert {row.clock for row in device.arrived()} == {"wall"}
    assert device.site.gaps() == []


def test_rows_that_were_sealed_before_the_clock_was_set_are_put_right_by_a_batch_without_rows(
    device: Device, board: Board
) -> None:
    board.set_to_1970()
    with device.running():
        device.record(3)
        device.step(close=True, cut=True)
        board.synchronise()
        device.deliver()
    assert device.errors() == [0] * 3


def test_a_signed_time_does_the_same_to_the_second(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.record(3)
        device.deliver()  # asks for the time first, then sends
        assert device.parts.clock.now().quality is ClockQuality.WALL
        device.record(2)
        device.deliver()
    assert [abs(error) <= SECOND for error in device.errors()] == [True] * 5
    assert {row.clock for row in device.arrived()} == {"wall"}


def test_rows_of_a_boot_that_never_learns_the_time_arrive_marked_and_unmoved(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        floor_ms = device.parts.clock.now().floor_ms
        device.record(3)
        device.step(close=True, cut=True)
        device.record(2)
        device.line.finish(device.parts.clock.now())
    board.reboot(away_ms=HOUR)
    board.synchronise()
    with device.running():
        device.record(2)
        device.deliver()
    rows = sorted(device.arrived(), key=lambda row: int(str(row.fields["energy"])))
    assert [row.clock for row in rows] == ["floor"] * 5 + ["wall"] * 2
    assert [row.at_ms - floor_ms for row in rows[:5]] == [10 * SECOND * number for number in range(5)]
    assert device.errors()[5:] == [0, 0]


def test_rows_of_a_process_that_ended_are_put_right_by_the_next_of_the_same_boot(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.record(3)
        device.step(close=True)
        device.record(2)
        device.step(flush=True)  # and it is killed
    board.wait(30 * SECOND)
    with device.running():
        device.record(2)
        board.synchronise()
        device.deliver()
    assert device.errors() == [0] * 7
    assert {row.clock for row in device.arrived()} == {"wall"}


def test_a_process_killed_before_it_could_tell_what_its_boot_was_off_tells_it_at_the_next_start(
    device: Device, board: Board
) -> None:
    board.set_to_1970()
    with device.running():
        device.record(3)
        device.step(close=True)
        board.synchronise()
        device.step()  # knows it now, and is killed
    with device.running():
        device.deliver()
    assert device.errors() == [0] * 3


def test_what_a_boot_was_off_is_told_until_a_receipt(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.record(3)
        device.step(close=True)
        board.synchronise()
        device.step(close=True)  # the batch that tells it is queued; it is lost to the quota
        device.line.queueing.enforce(0, allowed_bytes=0)
        device.step(close=True)
        device.deliver()
        assert [s for s in device.line.binding.streams.values() if s.record.boot] == []
    assert {row.clock for row in device.arrived()} <= {"wall"}


def test_a_floor_that_is_raised_on_the_way_moves_no_row_twice(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.record(2)
        device.parts.clock.raise_floor(board.true_ms - DAY)
        device.step()
        device.record(2)
        board.synchronise()
        device.record(2)
        device.deliver()
    assert device.errors() == [0] * 6


@pytest.mark.parametrize("years", [-50, -9])
def test_a_clock_that_steps_years_back_and_forth_moves_no_row(device: Device, board: Board, years: int) -> None:
    with device.running():
        device.record(2)
        board.off_ms = years * YEAR
        device.step()
        device.record(2)
        board.synchronise()
        device.step()
        device.record(2)
        device.deliver()
    assert device.errors() == [0] * 6
    assert device.site.gaps() == []


def test_after_a_step_ahead_and_back_rows_and_windows_go_on(device: Device, board: Board) -> None:
    with device.running():
        device.record(2)
        board.off_ms = 20 * DAY
        device.step()
        device.record(2)  # nobody can tell that this clock is wrong
        board.synchronise()
        device.step()
        device.record(2)
        device.deliver()
        assert device.line.recording.totals()["late"] == 0
    assert device.errors() == [0, 0, 20 * DAY, 20 * DAY, 0, 0]
    assert sum(row.count or 0 for row in device.arrived("improvement")) == 6
    assert device.site.gaps() == []


@pytest.mark.parametrize("years", [1, 70])
def test_after_a_step_years_ahead_and_back_everything_goes_on(device: Device, board: Board, years: int) -> None:
    with device.running():
        device.record(2)
        board.off_ms = years * YEAR
        device.step()
        kept = len(device.true)
        device.record(2, taken=0)  # by this clock the statement has long expired
        board.synchronise()
        device.step()
        device.true = {number: at for number, at in device.true.items() if number < kept}
        device.record(2)
        device.deliver()
    assert device.errors() == [0] * 4
    assert sum(row.count or 0 for row in device.arrived("improvement")) == 4
    assert device.site.gaps() == []


def test_windows_that_a_spoofed_clock_closed_take_readings_after_a_restart(device: Device, board: Board) -> None:
    board.off_ms = 20 * DAY
    with device.running():
        device.record(2)
        device.line.finish(device.parts.clock.now())
    board.synchronise()
    with device.running():
        device.record(2)
        device.deliver()
        assert device.line.recording.totals()["late"] == 0
    assert sum(row.count or 0 for row in device.arrived("improvement")) == 4


@pytest.mark.parametrize("off_ms", [YEAR, -YEAR])
def test_readings_between_two_looks_are_timed_by_the_clock_before(device: Device, board: Board, off_ms: int) -> None:
    with device.running():
        device.step()
        board.off_ms = off_ms
        for number in range(3):
            device.true[number] = board.true_ms
            assert device.line.recording.record("inverter", reading(number)) == 2
            board.wait(100)
        device.step()
        board.synchronise()
        device.deliver()
    assert device.errors() == [0] * 3


@pytest.mark.parametrize("is_set", [True, False])
def test_a_board_that_slept_goes_on_in_time(device: Device, board: Board, is_set: bool) -> None:
    if not is_set:
        board.set_to_1970()
    with device.running():
        device.record(2)
        board.wait(8 * HOUR)  # suspended: no step in between
        device.record(2)
        board.synchronise()
        device.deliver()
    assert device.errors() == [0] * 4


def test_a_stream_has_one_clock(device: Device, board: Board) -> None:
    with device.running():
        device.record(1)
        board.set_to_1970()
        device.step()
        device.record(1)
        device.parts.clock.raise_floor(board.true_ms - DAY)
        device.step()
        device.record(1)
        board.synchronise()
        device.step()
        device.record(1)
        device.deliver()
    assert set(qualities(device.site)) == {1}
    assert len(qualities(device.site)) == 8  # four of each purpose


def test_a_time_of_an_unset_system_clock_is_put_right_with_it(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.record(2, at=lambda: board.system_ms)
        device.record(2, at=lambda: Mono(board.mono_ms))
        board.synchronise()
        device.step()
        device.record(1, at=lambda: board.system_ms)
        device.deliver()
    assert device.errors() == [0] * 5


def test_a_time_of_another_clock_is_lost_and_told_while_this_one_is_unset(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.record(2, at=lambda: board.true_ms, taken=0)
        device.record(1, at=lambda: board.true_ms - 10 * DAY, taken=0)
        device.true.clear()
        device.record(1)
        board.synchronise()
        device.deliver()
    told = [(gap.count, gap.reason) for gap in device.site.gaps() if gap.stream in {r.stream for r in device.arrived()}]
    assert told == [(3, Reason.CLOCK)]
    assert device.errors() == [0]


def test_after_a_signed_time_the_times_of_either_clock_are_right(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.parts.clock.hear(board.true_ms)
        device.step()
        device.record(2, at=lambda: board.system_ms)
        device.record(2, at=lambda: board.true_ms)
        device.deliver()
    assert device.errors() == [0] * 4


def test_windows_that_are_open_when_the_clock_is_set_are_partial_and_put_right(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.record(3)
        board.synchronise()
        device.step()
        device.record(2)
        device.deliver()
    rows = device.arrived("improvement")
    assert sum(row.count or 0 for row in rows) == 5
    assert {row.clock for row in rows} == {"wall"}
    before = [row for row in rows if (row.at_ms - board.true_ms) % HOUR != (rows[-1].at_ms - board.true_ms) % HOUR]
    assert sum(row.count or 0 for row in before) == 3  # their windows began by the floor, not at a full hour
    assert before[-1].partial
    assert all(-HOUR < row.at_ms - device.true[0] < HOUR for row in rows)


def test_a_board_whose_clock_is_unset_asks_for_the_time_and_sends_nothing(device: Device, board: Board) -> None:
    board.set_to_1970()
    with device.running():
        device.record(2)
        device.step(close=True)
        device.parts.uplink._not_before_ms = 0
        trip = device.parts.uplink.next_trip(device.parts.clock.now())
        assert not isinstance(trip, int)
        assert trip.errand is Errand.TIME
