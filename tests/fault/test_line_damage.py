"""
What a damaged medium took is told once, with its number; what it left arrives.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edge_sdk import opening
from edge_sdk.collector import folder as collecting
from edge_sdk.core.batch import Reason
from edge_sdk.errors import StorageError
from tests.fault.line_plan import Plan, Reading
from tests.fault.line_site import BEGIN_MS, WINDOW_MS, Desk, ScriptedClock, config_for, make_site, open_desk, send


class Household:
    """
    A site and its collector, worked by hand.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.clock = ScriptedClock(BEGIN_MS)
        self.plan = Plan()
        make_site(place)

    @contextmanager
    def opened(self) -> Iterator[tuple[opening.Site, Desk]]:
        """
        Start the site; it ends without a clean stop, as by a power cut.
        """
        with self.clock.installed(), open_desk(self.place / "collector", self.clock) as desk:
            self.clock.reboot(10_000)
            site, _ = opening.open_site(config_for(self.place, self.place / "state"))
            try:
                yield site, desk
            finally:
                site.close()

    def record(self, site: opening.Site, count: int, *, late_ms: int = 0) -> tuple[Reading, ...]:
        self.plan.at_ms = self.clock.wall_ms
        self.plan.record(count, late_ms=late_ms)
        readings = self.plan.steps[-1].readings
        for reading in readings:
            self.clock.wall_ms += 10_000
            site.line.recording.record(reading.kind, reading.fields, reading.at_ms)
        site.line.step(site.clock.now(), flush=True)
        return readings

    def drain(self, site: opening.Site, desk: Desk, *, cut: bool = True) -> None:
        self.clock.wall_ms += 1000
        site.line.step(site.clock.now(), close=True, cut=cut)
        send(site, desk, most=1000)

    def came(self) -> list[int]:
        rows = collecting.open_rows(self.place / "collector")
        return sorted(int(str(row.scaled["number"])) for row in rows if row.purpose == "monitoring")

    def told(self, reason: Reason) -> list[int | None]:
        gaps = collecting.opener_report(self.place / "collector").gaps
        return [gap.count for gap in gaps if gap.reason is reason]

    def damage_oldest_rows(self) -> None:
        """
        Overwrite what the first flush stored of one purpose.
        """
        oldest = "UPDATE pending SET body = zeroblob(length(body)) WHERE id = (SELECT min(id) FROM pending)"
        with closing(sqlite3.connect(self.place / "state" / "outbox.db")) as database, database:
            database.execute(oldest)


@pytest.fixture
def household(tmp_path: Path) -> Household:
    return Household(tmp_path / "household")


def test_damaged_rows_are_told_once_however_often_the_site_starts(household: Household) -> None:
    with household.opened() as (site, _):
        household.record(site, 4)
        household.record(site, 3)
    household.damage_oldest_rows()
    for _ in range(3):
        with household.opened():
            pass
    with household.opened() as (site, desk):
        household.drain(site, desk)
    lost = [count for count in household.told(Reason.DAMAGED) if count is not None]
    assert lost == [4]


def test_rows_beside_damaged_ones_arrive(household: Household) -> None:
    with household.opened() as (site, _):
        household.record(site, 4)
        household.record(site, 3)
    household.damage_oldest_rows()
    with household.opened() as (site, desk):
        household.drain(site, desk)
    assert household.came() in ([4, 5, 6], [0, 1, 2, 3, 4, 5, 6])  # one purpose lost its first rows, whichever it was


def test_a_lost_key_page_costs_the_open_batch_and_says_so(household: Household) -> None:
    with household.opened() as (site, desk):
        household.record(site, 4)
        household.drain(site, desk)
        household.record(site, 3)
    (household.place / "state" / "page.bin").unlink()
    with household.opened() as (site, desk):
        household.record(site, 2)
        household.drain(site, desk)
    assert household.came() == [0, 1, 2, 3, 7, 8]
    assert 3 in household.told(Reason.DAMAGED)


def test_losses_at_one_place_add_up_over_receipts(household: Household) -> None:
    with household.opened() as (site, desk):
        household.record(site, 2)
        household.clock.wall_ms += 3 * WINDOW_MS
        household.drain(site, desk, cut=False)
        for count in (2, 3):
            household.record(site, count, late_ms=9 * WINDOW_MS)
            household.drain(site, desk, cut=False)
    assert household.told(Reason.LATE) == [5]


def test_a_clean_stop_tells_of_no_power_cut(household: Household) -> None:
    with household.opened() as (site, _):
        household.record(site, 4)
        site.line.finish(site.clock.now())
    with household.opened() as (site, desk):
        household.drain(site, desk)
    assert household.told(Reason.POWER) == []


def test_an_unclean_stop_is_told_for_every_stream(household: Household) -> None:
    with household.opened() as (site, _):
        household.record(site, 4)
    with household.opened() as (site, desk):
        household.drain(site, desk)
    assert household.told(Reason.POWER) == [None, None, None]


def test_a_withdrawal_destroys_the_keys_of_a_queue_that_cannot_be_read(household: Household) -> None:
    with household.opened() as (site, desk):
        household.record(site, 4)
        household.drain(site, desk)
        rooms = site.line.rooms
        rooms.outbox.checkpoint()
        size = (household.place / "state" / "outbox.db").stat().st_size
        with (household.place / "state" / "outbox.db").open("r+b") as file:
            file.write(b"no database " * (size // 12))
        rooms.outbox.close()
        with contextlib.suppress(StorageError):
            site.line.withdraw("research", site.clock.now())
        assert "research" not in {entry.purpose for entry in rooms.vault.ring.purposes.values()}
