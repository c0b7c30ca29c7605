"""
Signed time: asked for where the system clock cannot be right, believed only when it answers this very question.

The system clock is what a test says; monotonic time is the machine's own. The collector keeps the true time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from edge_sdk.beside import status_beside
from edge_sdk.clock import Clock
from edge_sdk.collector.keyring import Places, read_role
from edge_sdk.core.batch import ClockQuality
from edge_sdk.core.claims import ID_BYTES, Role
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.keys import RoleSeed, epoch_of
from edge_sdk.core.messages import encode_time_request, sign_time
from edge_sdk.status import status_of
from edge_sdk.uplink import Errand
from tests import site as sites
from tests.gateway.device import BATCHES, Device
from tests.gateway.hostile import Exchange, Hostile, answer, reset
from tests.site import LocalSite

TIME = "/v1/time"
YEAR_MS = 365 * 86_400_000
TRUE_NS = time.time_ns


class SystemClock:
    """The system clock of the device; the collector, which shares the process, does not read it."""

    def __init__(self) -> None:
        self.off_ms: int | None = 0

    def ms(self) -> int:
        return 0 if self.off_ms is None else TRUE_NS() // 1_000_000 + self.off_ms

    def set_to_1970(self) -> None:
        self.off_ms = None


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> SystemClock:
    """Lend the device a system clock; the collector asks `wall_s`, which is told the true time."""
    system = SystemClock()
    monkeypatch.setattr(time, "time_ns", lambda: system.ms() * 1_000_000)
    monkeypatch.setattr(sites, "wall_s", true_s)
    return system


def true_s() -> int:
    return TRUE_NS() // 1_000_000_000


class Board(Device):
    """A device that looks at its clocks before each trip, as the writer does."""

    def look(self) -> None:
        self.now = self.parts.clock.now()

    def run(self, trips: int = 20) -> None:
        """Make trips, waits skipped, until nothing is left to do."""
        for _ in range(trips):
            self.look()
            self.uplink._not_before_ms = 0
            if self.idle():
                return
            self.go()


@pytest.fixture
def boot(site: LocalSite, server: Hostile, wall: SystemClock) -> Iterator[Callable[[], Board]]:
    """Lend a way to start the device, whatever its clock says by then."""
    opened = []

    def start() -> Board:
        context = sites.opened(site)
        board = Board(site, context.__enter__(), server.port, timeout_ms=400)
        opened.append((context, board))
        board.look()
        return board

    yield start
    for context, board in opened:
        board.close()
        context.__exit__(None, None, None)


def test_a_device_that_boots_in_1970_asks_for_the_time_first(
    boot: Callable[[], Board], wall: SystemClock, server: Hostile
) -> None:
    wall.set_to_1970()
    board = boot()
    assert board.now.quality is ClockQuality.FLOOR
    board.run()
    assert server.paths()[:2] == [TIME, "/v1/downlink"]


def test_after_the_answer_tag_and_downlink_are_of_the_right_day(boot: Callable[[], Board], wall: SystemClock) -> None:
    wall.set_to_1970()
    board = boot()
    board.go()
    board.look()
    trip = board.trip()
    assert (trip.errand, trip.epoch) == (Errand.DOWNLINK, epoch_of(true_s()))
    board.make(trip)
    assert board.parts.line.consent.is_fresh(board.now)


def test_a_device_that_boots_in_1970_delivers_with_the_time_it_was_told(
    boot: Callable[[], Board], wall: SystemClock, site: LocalSite
) -> None:
    wall.set_to_1970()
    board = boot()
    board.go()
    board.look()
    board.parts.line.step(board.now)  # as the writer does each second
    board.record(3)
    board.run()
    assert [abs(row.at_ms // 1000 - true_s()) < 60 for row in site.rows()] == [True] * 3


def test_a_request_for_the_time_carries_no_tag(boot: Callable[[], Board], wall: SystemClock, server: Hostile) -> None:
    wall.set_to_1970()
    boot().go()
    assert server.exchanges[0].header(b"Authorization") == b""


def time_seed(site: LocalSite, role: Role) -> RoleSeed:
    places = Places(site.collector)
    kid = next(iter(pinned_root(places.read_root()).roles[role].by_kid))
    seed = read_role(places.intake, role, kid)
    assert seed is not None
    return seed


FORGERIES: dict[str, Callable[[Exchange, LocalSite], bytes]] = {
    "to another question": lambda exchange, site: sign_time(
        encode_time_request(bytes(ID_BYTES)), true_s() + 10**8, time_seed(site, Role.TIME)
    ),
    "by another key": lambda exchange, site: sign_time(exchange.body, true_s() + 10**8, RoleSeed(b"\x07" * 32)),
    "by another role": lambda exchange, site: sign_time(
        exchange.body, true_s() + 10**8, time_seed(site, Role.RECEIPT)
    ),
    "of garbage": lambda exchange, site: b"\x84\x40" * 60,
    "of nothing": lambda exchange, site: b"",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_an_answer_that_fails_a_check_moves_no_clock(
    boot: Callable[[], Board], wall: SystemClock, server: Hostile, site: LocalSite, name: str
) -> None:
    wall.set_to_1970()
    board = boot()
    before = board.now
    server.next(TIME, lambda exchange: exchange.send(200, FORGERIES[name](exchange, site)))
    board.go()
    after = board.parts.clock.now()
    assert after.quality is ClockQuality.FLOOR
    assert 0 <= after.wall_ms - before.wall_ms < 60_000
    board.run()
    assert board.now.quality is ClockQuality.WALL


@pytest.mark.parametrize("misdeed", [answer(404), answer(503), reset], ids=["404", "503", "a reset"])
def test_without_an_answer_the_question_is_asked_again(
    boot: Callable[[], Board], wall: SystemClock, server: Hostile, misdeed: Callable[[Exchange], None]
) -> None:
    wall.set_to_1970()
    board = boot()
    server.next(TIME, misdeed)
    board.go()
    assert board.idle()
    board.run()
    assert server.paths()[:3] == [TIME, TIME, "/v1/downlink"]


@pytest.mark.parametrize("years", [-9, 1, 9, 70])
def test_a_system_clock_that_is_years_off_is_corrected_and_delivers(
    boot: Callable[[], Board], wall: SystemClock, server: Hostile, site: LocalSite, years: int
) -> None:
    board = boot()
    board.record(3)
    wall.off_ms = years * YEAR_MS
    board.look()
    board.run()
    assert TIME in server.paths()
    assert abs(board.now.wall_s - true_s()) < 60
    board.parts.line.step(board.now)
    board.run()
    assert len(site.rows()) == 3


@pytest.mark.parametrize("years", [-9, 1, 9, 70])
def test_a_step_of_years_destroys_nothing(boot: Callable[[], Board], wall: SystemClock, years: int) -> None:
    board = boot()
    board.record(3, batches=2)
    queued, entries = board.queue(), set(board.parts.line.rooms.vault.ring.purposes)
    wall.off_ms = years * YEAR_MS
    for _ in range(3):
        board.look()
        board.parts.line.step(board.now, flush=True)
    assert [held for held in queued if held not in board.queue()] == []
    assert entries <= set(board.parts.line.rooms.vault.ring.purposes)


def test_an_answer_never_lifts_the_floor(boot: Callable[[], Board], wall: SystemClock, server: Hostile) -> None:
    wall.set_to_1970()
    board = boot()
    before = board.now

    def in_ten_years(exchange: Exchange) -> None:
        exchange.send(200, sign_time(exchange.body, true_s() + 315_360_000, time_seed(board.site, Role.TIME)))

    server.next(TIME, in_ten_years)
    board.go()
    board.look()
    assert board.now.wall_ms - before.wall_ms > 9 * YEAR_MS
    assert 0 <= board.now.floor_ms - before.floor_ms < 60_000


def test_the_time_that_was_told_is_forgotten_at_the_next_start() -> None:
    first = Clock(1)
    first.hear(4_000_000_000_000)
    assert first.now().wall_ms >= 4_000_000_000_000
    assert Clock(first.now().floor_ms).now().wall_ms < 4_000_000_000_000


def test_a_device_that_is_not_known_asks_ever_more_rarely(boot: Callable[[], Board], server: Hostile) -> None:
    board = boot()
    for path in ("/v1/downlink", BATCHES):
        server.always(path, answer(401))
    for _ in range(3600):
        if not board.idle():
            board.go()
        board.wait(1)
    assert len(server.exchanges) < 60


def test_a_floor_ahead_of_the_true_time_is_said_plainly_and_hammers_nobody(
    boot: Callable[[], Board], server: Hostile
) -> None:
    board = boot()
    board.parts.clock.raise_floor(1000 * true_s() + 70 * 3_600_000)  # a statement of a signer whose clock was wrong
    assert status_of(board.parts, board.parts.clock.now()).why == standing(board)
    board.run(8)
    board.look()
    board.parts.line.step(board.now, flush=True)
    assert TIME in server.paths()
    for status in (status_of(board.parts, board.now), status_beside(board.site.config)):
        first = status.why.splitlines()[0]
        assert first.startswith("clock: a signed document has put this device 3 days ahead")
        assert "edge-sdk wipe --confirm test" in first
    before = len(server.exchanges)
    board.uplink._not_before_ms = 0
    for _ in range(3600):
        if not board.idle():
            board.go()
        board.wait(1)
    assert len(server.exchanges) - before < 60


def test_a_floor_a_little_ahead_is_nothing_to_say(boot: Callable[[], Board], server: Hostile) -> None:
    board = boot()
    board.parts.clock.raise_floor(1000 * true_s() + 3_600_000)
    board.parts.clock.hear(1000 * true_s())
    assert board.parts.clock.now().ahead_ms >= 3_590_000
    assert not status_of(board.parts, board.parts.clock.now()).is_ahead


def standing(board: Board) -> str:
    """Return what there was to say before anything was heard."""
    return replace(status_of(board.parts, board.parts.clock.now()), clock_ahead_ms=0).why
