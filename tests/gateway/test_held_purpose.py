"""
A purpose on hold for 30 days: nothing of it leaves, and when the hold is lifted everything does, in order and once.

Line, uplink, collector and documents are the real ones; the days are simulated, by both sides at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_sdk.clock import Now
from edge_sdk.collector import folder as collecting
from edge_sdk.collector.intake import Limits
from edge_sdk.collector.intake import Request as Handed
from edge_sdk.collector.reception import Reception
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.core.claims import Status
from edge_sdk.core.consent import Decision, Queue, Standing
from edge_sdk.core.documents import RecipientKey
from edge_sdk.core.envelope import outer
from edge_sdk.core.units import DAY_MS, HOUR_MS
from edge_sdk.opening import Site
from edge_sdk.transport import Request, Response
from edge_sdk.uplink import Errand, Trip, Uplink
from tests import site as sites
from tests.site import LocalSite, later, reading

POLICY = """
[policy]
name = "held"
version = "1"

[kinds.inverter]
source = "serial"
max_sources = 8
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 16 }
power = { class = "telemetry", type = "number", unit = "W", min = -100, max = 10000, resolution = 0.1 }
energy = { class = "telemetry", type = "counter", unit = "Wh" }
state = { class = "telemetry", type = "enum", values = ["off", "on"] }

[purposes.billing]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
keep_at_most = "90d"
[purposes.billing.views.inverter.fields]
energy = "keep"

[purposes.study]
basis = "consent"
dpv = "dpv:ResearchAndDevelopment"
recipient = "research-eu"
regions = ["EU"]
keep_at_most = "90d"
[purposes.study.views.inverter.fields]
energy = "keep"
power = { round = 0.1 }
"""
HELD = "study"
DAYS = 30
STEP_H = 6
BEFORE = 120  # readings accepted before the hold: two full batches and an open one
DRAW = 0.5


@dataclass
class Household:
    """A device and its collector on one simulated clock, and every request that was made."""

    site: LocalSite
    parts: Site
    reception: Reception
    now: Now
    asked: list[Request] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self.uplink = Uplink(
            self.parts.line, routing=self.parts.uplink._routing, clock=self.parts.clock, chance=lambda: DRAW,
            draw=os.urandom, first_ms=0,
        )  # fmt: skip

    def record(self, count: int = 1) -> list[int]:
        """Record readings that carry a running number; return for how many purposes each was taken."""
        taken = []
        for _ in range(count):
            taken.append(self.parts.line.recording.record("inverter", reading(self.number), self.now.wall_ms))
            self.number += 1
        return taken

    def step(self, hours: int) -> None:
        """Let time pass, on both sides, and do what is due."""
        before = self.now
        self.now = later(self.now, hours * HOUR_MS)
        if self.now.wall_ms // DAY_MS != before.wall_ms // DAY_MS:
            self.reception.upkeep(self.now.wall_s)
        self.parts.line.step(self.now)

    def send(self) -> None:
        """Make every request there is to make."""
        while isinstance(trip := self.uplink.next_trip(self.now), Trip):
            self.asked.append(trip.request)
            self.uplink.settle(trip, self.answer(trip.request), self.now)
            assert trip.errand is Errand.ROOT or not self.uplink.last_error

    def answer(self, request: Request) -> Response:
        handed = Handed(request.method, request.path, request.headers.get("Authorization"), request.body)
        answer = self.reception.answer(handed, self.now.wall_s)
        return Response(answer.status, {}, answer.body)

    def say(self, purpose: str, status: Status) -> None:
        """Record a consent event at the authority, at the simulated time."""
        (device,) = collecting.devices(self.site.collector)
        collecting.grant(self.site.collector, device.generation, purpose, status=status, now_s=self.now.wall_s)

    def hear(self) -> None:
        """Have the device hear what waits for it, whatever it heard before."""
        self.parts.line.consent._heard_mono_ms = None
        self.send()
        self.parts.line.step(self.now)

    def pretend_fresh(self) -> None:
        """Count a downlink as heard now: what holds is then nothing but the statement itself."""
        self.parts.line.consent.count_as_heard(self.now.mono_ms)

    def sent_to(self, operator: str) -> int:
        """Return how many batches went to a recipient, by the key named in their envelopes."""
        kids = {key.kid for key in self.recipients() if key.operator == operator}
        return sum(outer(request.body).kid in kids for request in self.asked if request.path == "/v1/batches")

    def recipients(self) -> tuple[RecipientKey, ...]:
        document = self.parts.line.consent.recipients
        assert document is not None
        return document.keys

    def rows(self, purpose: str) -> list[OpenedRow]:
        return [row for row in self.site.rows() if row.purpose == purpose]

    def energies(self, purpose: str) -> list[object]:
        return [row.fields["energy"] for row in self.rows(purpose)]

    def decision(self) -> Decision:
        return self.parts.line.binding.decisions[HELD]


@contextmanager
def household(folder: Path) -> Iterator[Household]:
    site = sites.local_site(folder, granted=(HELD,), policy=POLICY)
    with sites.opened(site) as parts, collecting.open_reception(site.collector, limits=Limits()) as reception:
        yield Household(site, parts, reception, later(parts.clock.now(), 1))


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
