"""
A quota of 1 MB for a week of readings, on a simulated clock: what finds no room is told row by row, no more goes.

Three weeks: without a network, with one for a few batches a day, and with the power cut every night besides. At the end
the site reaches its collector again; every reading of the purpose that takes all of them is there once, or in a gap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_sdk import opening
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.batch import Reason
from edge_sdk.outbox import _WAL_PAGES, PAGE_BYTES
from tests.fault.line_check import purposes_of
from tests.fault.line_plan import DAY_MS, Plan
from tests.fault.line_site import BEGIN_MS, Desk, ScriptedClock, config_for, make_site, open_desk, send
from tests.fault.sweep import Counts, Report, sweep

Enter = Callable[[str, Report], None]
EVERY_MS = 180_000
LOG_BYTES = (PAGE_BYTES + 24) * _WAL_PAGES
RECORDS_BYTES = 1 << 18  # streams, gaps, windows, messages: not under the quota, and bounded by their numbers


@dataclass(frozen=True)
class Span:
    """How long, with what quota, with how many batches a day, and whether the power goes every night."""

    days: int
    quota: str
    batches: int = 0
    is_cut: bool = False

    @property
    def most_bytes(self) -> int:
        number, unit = self.quota.split()
        return int(number) * {"KB": 1000, "MB": 1_000_000}[unit]

    def __str__(self) -> str:
        return f"{self.days} days, {self.quota}, {self.batches} batches a day" + ", power cuts" * self.is_cut


WEEKS = [Span(7, "1 MB"), Span(7, "1 MB", batches=12), Span(7, "1 MB", batches=8, is_cut=True)]
DAY = Span(1, "130 KB", batches=4, is_cut=True)


class Home:
    """A site with a quota, and what was recorded at it."""

    def __init__(self, place: Path, span: Span) -> None:
        make_site(place)
        site = place / "site.toml"
        site.write_text(site.read_text().replace('quota = "24 KB"', f'quota = "{span.quota}"'))
        self.place, self.span = place, span
        self.clock, self.plan = ScriptedClock(BEGIN_MS), Plan()
        self.unflushed: set[int] = set()

    def open(self) -> opening.Site:
        self.clock.reboot(5_000)
        return opening.open_site(config_for(self.place, self.place / "state"))[0]

    def record_a_day(self, site: opening.Site) -> None:
        self.plan.at_ms = self.clock.wall_ms
        self.plan.record(DAY_MS // EVERY_MS - 1, every_ms=EVERY_MS)
        for reading in self.plan.steps[-1].readings:
            self.clock.wall_ms = reading.at_ms
            site.line.recording.record(reading.kind, reading.fields, reading.at_ms)
            site.line.step(site.clock.now())
        held = site.line.rooms.outbox
        assert held.held_bytes() <= self.span.most_bytes, "more is held than the quota allows"
        most = 2 * self.span.most_bytes + LOG_BYTES + RECORDS_BYTES
        assert held.file_bytes() <= most, "the files grow beyond the quota"

    def reach(self, site: opening.Site, desk: Desk, *, most: int) -> None:
        operating.hear(self.place / "collector", now_s=self.clock.now_s)
        site.line.step(site.clock.now())
        send(site, desk, most=most)


def lived_through(span: Span, place: Path) -> Counts:
    home = Home(place / "home", span)
    with home.clock.installed(), open_desk(home.place / "collector", home.clock) as desk:
        site = home.open()
        send(site, desk, most=9)
        for _ in range(span.days):
            home.record_a_day(site)
            if span.batches:
                home.reach(site, desk, most=span.batches)
            if span.is_cut:
                site.line.step(site.clock.now(), flush=True)
                site.close()
                site = home.open()
        for _ in range(2):
            home.clock.wall_ms += 1000
            site.line.step(site.clock.now(), close=True, cut=True)
            home.reach(site, desk, most=100_000)
        assert not any(site.line.rooms.outbox.queues.values()), "batches were still waiting"
        site.close()
    return judged(home)


def judged(home: Home) -> Counts:
    with collecting.open_opener(home.place / "collector") as opener:
        mine = {stream for stream, purpose in purposes_of(opener).items() if purpose == "monitoring"}
        rows = [row for _, row in opener.rows() if row.stream in mine]
        gaps = [gap for gap in opener.gaps() if gap.stream in mine]
        assert not opener.forks()
        assert not opener.repeats()
    came = [int(str(row.scaled["number"])) for row in rows]
    assert len(set(came)) == len(came), "a reading arrived twice"
    holes = [gap for gap in gaps if gap.reason is None]
    assert not holes, f"{len(holes)} holes that nobody explains"
    arrived = {(row.stream, row.seq) for row in rows}
    told = {
        (gap.stream, number) for gap in gaps if gap.reason is Reason.QUOTA and gap.last is not None
        for number in range(gap.first, gap.last + 1)
    }  # fmt: skip
    assert not told & arrived, "rows are told as given up, and have arrived"
    produced = len(home.plan.readings)
    assert told, "there was room for everything: the quota was never met"
    return {
        "produced": produced,
        "delivered": len(came),
        "counted": len(told),
        "unexplained": abs(produced - len(came) - len(told)),
    }


def swept(spans: list[Span]) -> Report:
    return sweep(lambda: iter(spans), lived_through)


def test_a_quota_that_a_day_does_not_fit_is_told_row_by_row(entered: Enter) -> None:
    report = swept([DAY])
    entered("quota, a day (sample)", report)
    assert not report.violations, str(report)
    assert not report.counts["unexplained"]


@pytest.mark.slow
@pytest.mark.parametrize("span", WEEKS, ids=str)
def test_a_quota_of_1_mb_for_a_week_is_told_row_by_row(entered: Enter, span: Span) -> None:
    report = swept([span])
    entered("quota, 1 MB a week", report)
    assert not report.violations, str(report)
    assert not report.counts["unexplained"]
