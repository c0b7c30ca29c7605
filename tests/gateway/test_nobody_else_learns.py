"""
Two purposes at two recipients, two devices at one collector: what a withdrawal changes for everyone else, nothing.

The same day is lived twice by copies of the same two devices, with the same readings at the same instants. In the
second of the two worlds one device withdraws one purpose. Everything but that purpose's own batches and what is sealed
to the authority is compared: when, how many, how large, and what its recipient reads. A changed statement makes every
device of the collector fetch its downlink once, whoever's it was.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_sdk.clock import Now, wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector.intake import Limits
from edge_sdk.core.batch import ClockQuality
from edge_sdk.core.consent import Standing
from edge_sdk.core.units import DAY_MS, HOUR_MS, MINUTE_MS
from edge_sdk.enrol import enrol
from tests import site as sites
from tests.gateway.household import HELD, POLICY, Household
from tests.site import LocalSite

STEP_H = 1 / 6
DAY_H = 20
WITHDRAWN_AT_H = 8
OTHER, OWN = "operator-eu", "research-eu"
DOWNLINK = "/v1/downlink"
HALF_STEP_MS = 5 * MINUTE_MS


@dataclass(frozen=True)
class World:
    """One day of two devices at one collector; ``withdrawn_ms`` is when the first withdrew, if it did."""

    one: Household
    two: Household
    withdrawn_ms: int

    def rows(self, purpose: str) -> list[tuple[int, object]]:
        return [(row.at_ms, row.fields["energy"]) for row in self.one.rows(purpose)]


def two_devices(folder: Path) -> tuple[LocalSite, LocalSite]:
    """Return two enrolled sites at the collector of the first."""
    one = sites.local_site(folder, granted=(HELD,), policy=POLICY)
    second = one.folder / "second"
    second.mkdir()
    text = one.toml.read_text().replace("collector/root.cose", "../collector/root.cose")
    (second / "site.toml").write_text(text)
    shutil.copy(one.folder / "policy.toml", second / "policy.toml")
    two = LocalSite(second)
    with sites.reached(one.collector) as transport:
        asyncio.run(enrol(two.config, collecting.enrol_code(one.collector, now_s=wall_s()), transport))
    return one, two


def early() -> Now:
    """Return an instant shortly after midnight: the whole day is one epoch."""
    at_ms = ((wall_s() * 1000 - 2 * HOUR_MS) // DAY_MS + 1) * DAY_MS + 2 * HOUR_MS  # the next two o'clock: within a day
    return Now(10**12, at_ms, at_ms, ClockQuality.WALL)


def live(one: LocalSite, two: LocalSite, began: Now, stack: ExitStack, *, withdraws: bool) -> World:
    """Live through one day; devices are served one after the other at every instant."""
    reception = stack.enter_context(collecting.open_reception(one.collector, limits=Limits()))
    reception.upkeep(began.wall_s)
    homes = [Household(site, stack.enter_context(sites.opened(site)), reception, began) for site in (one, two)]
    for step in range(int(DAY_H / STEP_H)):
        for home in homes:
            home.record(3)
            home.step(STEP_H)
            if withdraws and home is homes[0] and step == WITHDRAWN_AT_H / STEP_H:
                home.parts.line.withdraw(HELD, home.now)
            home.send()
        if step % 6 == 0:
            reception.upkeep(homes[0].now.wall_s)  # what devices tell is read hourly
    return World(homes[0], homes[1], began.wall_ms + int((WITHDRAWN_AT_H + STEP_H) * HOUR_MS))


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, World]]:
    top = tmp_path_factory.mktemp("worlds")
    two_devices(top / "made")
    began = early()
    with ExitStack() as stack:
        found = []
        for name, withdraws in (("as before", False), ("withdrawn", True)):
            shutil.copytree(top / "made", top / name)
            plant = top / name / "plant"
            found.append(live(LocalSite(plant), Second(plant), began, stack, withdraws=withdraws))
        yield found[0], found[1]


class Second(LocalSite):
    """The second site of a world, whose collector is the first one's."""

    @property
    def toml(self) -> Path:
        return self.folder / "second" / "site.toml"

    @property
    def state(self) -> Path:
        return self.folder / "second" / "state"


def test_the_purpose_itself_ends_at_once(worlds: tuple[World, World]) -> None:
    before, after = worlds
    assert after.one.parts.line.binding.decisions[HELD].because == Standing.ENDED
    assert [at_ms for at_ms, _ in before.one.batches_to(OWN) if at_ms > after.withdrawn_ms]
    assert [at_ms for at_ms, _ in after.one.batches_to(OWN) if at_ms > after.withdrawn_ms] == []


def test_the_authority_is_told(worlds: tuple[World, World]) -> None:
    for world, told in zip(worlds, (False, True), strict=True):
        assert any(request.path == "/v1/control" for request in world.one.asked) == told


def test_batches_to_another_recipient_are_as_many_as_large_and_at_the_same_time(worlds: tuple[World, World]) -> None:
    before, after = worlds
    assert len(before.one.batches_to(OTHER)) > DAY_H / 2
    assert after.one.batches_to(OTHER) == before.one.batches_to(OTHER)


def test_another_recipient_reads_the_same(worlds: tuple[World, World]) -> None:
    before, after = worlds
    assert len(before.rows("billing")) > 300
    assert after.rows("billing") == before.rows("billing")


def test_no_gap_tells_a_recipient_of_it(worlds: tuple[World, World]) -> None:
    for world in worlds:
        assert world.one.site.gaps() == []


def requests(home: Household, *, downlinks: bool) -> list[tuple[int, str, int]]:
    """Return when, what and how large (ms, path, bytes) each request was: fetches of a downlink, or all others."""
    asked = zip(home.asked_ms, home.asked, strict=True)
    found = [(at_ms, request.path, len(request.body)) for at_ms, request in asked]
    return [entry for entry in found if (entry[1] == DOWNLINK) == downlinks]


def test_another_device_sends_the_same_at_the_same_time(worlds: tuple[World, World]) -> None:
    before, after = (requests(world.two, downlinks=False) for world in worlds)
    assert len(before) > DAY_H
    assert after == before


def test_that_a_statement_changed_shows_on_every_device_alike(worlds: tuple[World, World]) -> None:
    """The authority seals all downlinks afresh, so that the intake does not see whose statement it was."""
    for home_before, home_after in ((worlds[0].one, worlds[1].one), (worlds[0].two, worlds[1].two)):
        before, after = (requests(home, downlinks=True) for home in (home_before, home_after))
        assert after[: len(before)] == before
        assert [at_ms > worlds[1].withdrawn_ms for at_ms, _, _ in after[len(before) :]] == [True]


def test_the_withdrawn_recipient_learns_of_it_by_silence_alone(worlds: tuple[World, World]) -> None:
    before, after = worlds
    until = [entry for entry in before.one.batches_to(OWN) if entry[0] <= after.withdrawn_ms - HALF_STEP_MS]
    assert after.one.batches_to(OWN) == until
