"""
Consent under any order of events: whatever happens, nothing is taken, kept or sent that no grant in force allows.

The device, its files, the collector and its authority are real; time is scripted and the uplink driven call by call.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edge_sdk.clock import Now, wall_s
from edge_sdk.collector import operating
from edge_sdk.core.claims import Status
from edge_sdk.core.keys import epoch_of
from edge_sdk.errors import ConsentRefused, Refused
from edge_sdk.uplink import Errand, Trip, Uplink
from tests import site as sites
from tests.site import later, reading

PURPOSES = ("improvement", "research")
STATUSES = (Status.GIVEN, Status.WITHDRAWN, Status.REFUSED)


class Household(RuleBasedStateMachine):
    """One device and everything that can happen to its consent."""

    @initialize()
    def found(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="edge-sdk-consent-"))
        self.site = sites.local_site(self.folder)
        self.papers: list[bytes] = []
        self.denied: set[bytes] = set()
        self.newest = 0
        self.ahead_ms = 0
        self.opened = ExitStack()
        self.transport = self.opened.enter_context(sites.reached(self.site.collector))
        self.loop = self.opened.enter_context(asyncio.Runner())
        self.running = ExitStack()
        self.now: Now
        self._start()

    @rule(purpose=st.sampled_from(PURPOSES), status=st.sampled_from(STATUSES))
    def the_authority_decides(self, purpose: str, status: Status) -> None:
        try:
            self.site.set_grant(purpose, status)
        except Refused:
            return
        generation = self.parts.line.rooms.vault.ring.generation.id
        self.papers.append(operating.statement(self.site.collector, generation, now_s=wall_s()))

    @rule(which=st.integers(0, 50))
    def a_statement_arrives(self, which: int) -> None:
        if not self.papers:
            return
        with suppress(ConsentRefused):
            self.parts.line.consent.accept_statement(self.papers[which % len(self.papers)], self.now)
        self.parts.line.step(self.now)

    @rule(purpose=st.sampled_from(PURPOSES))
    def the_household_withdraws(self, purpose: str) -> None:
        statement = self.parts.line.consent.statement
        granted = () if statement is None else statement.grants
        try:
            self.parts.line.withdraw(purpose, self.now)
        except ConsentRefused:
            return
        self.denied |= {grant.id for grant in granted if grant.purpose == purpose}

    @rule(count=st.integers(1, 5), close=st.booleans())
    def readings_come(self, count: int, close: bool) -> None:
        for number in range(count):
            self.parts.line.recording.record("inverter", reading(number) | {"ssid": "home"}, self.now.wall_ms)
        self.parts.line.step(self.now, flush=True, close=close)

    @rule()
    def windows_are_cut(self) -> None:
        self.parts.line.step(self.now, flush=True, close=True, cut=True)

    @rule(trips=st.integers(1, 12))
    def the_device_talks(self, trips: int) -> None:
        for _ in range(trips):
            self.uplink._not_before_ms = 0
            trip = self.uplink.next_trip(self.now)
            if not isinstance(trip, Trip):
                return
            self._judge(trip)
            self.uplink.settle(trip, self.loop.run(self.transport.send(trip.request)), self.now)
            self.parts.line.step(self.now)

    @rule(minutes=st.integers(1, 600))
    def time_passes(self, minutes: int) -> None:
        self.now = later(self.now, minutes * 60_000)
        self.parts.line.step(self.now)

    @rule(hours=st.integers(-20, 20))
    def the_clock_steps(self, hours: int) -> None:
        floor_ms, wall_ms = self.now.floor_ms, self.now.wall_ms + hours * 3_600_000
        self.now = Now(self.now.mono_ms, max(wall_ms, floor_ms), floor_ms)
        self.parts.line.step(self.now)

    @rule(clean=st.booleans())
    def the_device_restarts(self, clean: bool) -> None:
        if clean:
            self.parts.line.finish(self.now)
        self.running.close()
        self._start()

    @invariant()
    def nothing_is_taken_without_a_grant(self) -> None:
        line = self.parts.line
        for purpose in PURPOSES:
            if line.binding.decisions[purpose].collect is None:
                own = [stream.record for stream in line.binding.streams.values() if stream.record.purpose == purpose]
                assert [record for record in own if not record.ended] == []
        assert line.recording.allowed("inverter", "ssid") == (line.binding.decisions["research"].collect is not None)

    @invariant()
    def an_older_statement_never_counts(self) -> None:
        statement = self.parts.line.consent.statement
        version = 0 if statement is None else statement.version
        assert version >= self.newest
        self.newest = version

    @invariant()
    def nothing_of_a_withdrawn_grant_is_left(self) -> None:
        line = self.parts.line
        assert self.denied <= set(line.consent.held.denied)
        left = {s.row for s in line.binding.streams.values() if s.record.grant_id in self.denied}
        assert left & set(line.rooms.outbox.queues) == set()
        assert [row for row in left if line.rooms.outbox.pending(row) or line.rooms.outbox.partial(row)] == []
        open_purposes = {d.collect.grant_id for d in line.binding.decisions.values() if d.collect is not None}
        assert open_purposes & self.denied == set()

    def teardown(self) -> None:
        if hasattr(self, "running"):
            self.running.close()
            self.opened.close()
            shutil.rmtree(self.folder)

    def _judge(self, trip: Trip) -> None:
        """Look at a request before it leaves."""
        if trip.errand is not Errand.BATCH or trip.parcel is None:
            return
        stream = self.parts.line.binding.streams[trip.parcel.held.stream]
        assert stream.record.grant_id not in self.denied
        assert self.parts.line.consent._heard_mono_ms is not None, "sent before a downlink was opened"
        assert self.parts.line.consent.is_fresh(self.now)
        assert trip.epoch == epoch_of(self.now.wall_s)

    def _start(self) -> None:
        self.parts = self.running.enter_context(sites.opened(self.site))
        self.now = later(self.parts.clock.now(), 1)
        self.uplink = Uplink(
            self.parts.line,
            routing=self.parts.uplink._routing,
            clock=self.parts.clock,
            chance=lambda: 0.5,
            draw=os.urandom,
            first_ms=0,
        )
        self.parts.line.step(self.now)


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Household,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_in_any_order_of_events_nothing_goes_that_no_grant_allows() -> None:
    run(5, 50)


@pytest.mark.slow
def test_in_ten_thousand_steps_nothing_goes_that_no_grant_allows() -> None:
    run(100, 100)
