"""
A purpose on hold for 30 days: nothing of it leaves, and when the hold is lifted everything does, in order and once.

Line, uplink, collector and documents are the real ones; the days are simulated, by both sides at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.collector import folder as collecting
from edge_sdk.collector.intake import Limits
from edge_sdk.core.claims import Status
from edge_sdk.core.consent import Queue, Standing
from edge_sdk.core.units import DAY_MS, HOUR_MS
from edge_sdk.uplink import Errand, Trip
from tests import site as sites
from tests.gateway.household import HELD, Household, household
from tests.site import later

DAYS = 30
STEP_H = 6
BEFORE = 120  # readings accepted before the hold: two full batches and an open one


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Household]:
    with household(tmp_path) as home:
        home.send()
        yield home


def queue_up(home: Household) -> list[int]:
    """Accept readings for both purposes and send none of them; return their numbers."""
    first = home.number
    assert set(home.record(BEFORE)) == {2}
    home.parts.line.step(home.now, flush=True)
    return list(range(first, home.number))


def restrict(home: Household) -> None:
    home.say(HELD, Status.RESTRICTED)
    home.parts.line.consent._heard_mono_ms = None
    trip = home.uplink.next_trip(home.now)
    assert isinstance(trip, Trip)
    assert trip.errand is Errand.DOWNLINK  # before a batch leaves
    home.uplink.settle(trip, home.answer(trip.request), home.now)
    home.parts.line.step(home.now)
    assert home.decision().because == Standing.RESTRICTED
    assert home.decision().queue is Queue.HOLD


def test_a_restricted_purpose_sends_nothing_for_30_days_and_then_everything_in_order_and_once(home: Household) -> None:
    queued = queue_up(home)
    restrict(home)
    for _ in range(DAYS * 24 // STEP_H):
        home.step(STEP_H)
        assert home.record() == [1]  # for the other purpose alone
        home.send()
    assert home.sent_to("research-eu") == 0
    assert home.sent_to("operator-eu") > DAYS
    assert home.rows(HELD) == []

    home.say(HELD, Status.GIVEN)
    home.hear()
    home.send()
    assert home.energies(HELD) == queued
    assert [row.scaled["power"] for row in home.rows(HELD)] == [1000 + number for number in queued]

    again = home.number
    assert home.record(3) == [2, 2, 2]
    home.parts.line.step(home.now, close=True)
    home.send()
    assert home.energies(HELD) == [*queued, again, again + 1, again + 2]
    assert home.energies("billing") == list(range(home.number))
    assert home.site.gaps() == []


def test_a_hold_that_ends_in_a_withdrawal_sends_nothing_of_what_was_held(home: Household) -> None:
    queue_up(home)
    restrict(home)
    home.step(24)
    home.say(HELD, Status.WITHDRAWN)
    home.hear()
    home.send()
    assert home.sent_to("research-eu") == 0
    assert home.rows(HELD) == []


def test_purposes_whose_statement_has_expired_send_nothing_for_30_days_and_then_everything_in_order_and_once(
    home: Household,
) -> None:
    statement = home.parts.line.consent.statement
    assert statement is not None
    home.now = later(home.now, 1000 * statement.exp_s - home.now.wall_ms - HOUR_MS)
    home.pretend_fresh()
    home.step(0)
    queued = queue_up(home)
    before = len(home.asked)
    home.step(2)
    collected = []
    for _ in range(DAYS * 24 // STEP_H):
        home.step(STEP_H)
        home.pretend_fresh()
        home.parts.line.step(home.now)
        assert home.record() == [1]  # a contract goes on being kept, consent is not taken for granted
        collected.append(home.number - 1)
        assert home.decision().because == Standing.EXPIRED
        home.send()
    assert {request.path for request in home.asked[before:]} <= {"/v1/root/2", "/v1/recipients"}
    assert [row.purpose for row in home.site.rows()] == []

    home.hear()
    home.send()
    home.parts.line.step(home.now, close=True)
    home.send()
    assert home.energies(HELD) == queued
    assert home.energies("billing") == [*queued, *collected]
    assert home.site.gaps() == []


def test_a_hold_survives_a_restart_and_nothing_of_it_is_sent_twice(tmp_path: Path) -> None:
    with household(tmp_path) as home:
        home.send()
        queued = queue_up(home)
        restrict(home)
        now, site = home.now, home.site
        home.parts.line.finish(now)
    with sites.opened(site) as parts, collecting.open_reception(site.collector, limits=Limits()) as reception:
        again = Household(site, parts, reception, later(now, DAY_MS), number=len(queued))
        again.step(0)
        again.send()
        assert again.rows(HELD) == []
        again.say(HELD, Status.GIVEN)
        again.hear()
        again.send()
        assert again.energies(HELD) == queued
        assert again.energies("billing") == queued
