"""
One household and everything that can happen to its consent, in any order.

The device, its files, the collector and its authority are real; time is scripted and the uplink driven call by call.
What may be is worked out here a second time, plainly, from the statement in force; each check names its invariant.
Statements come in any order, are forged, foreign or of a generation before; the clock goes in any direction; uploads
are under way while consent ends; the power fails anywhere; the site is erased with the erase itself cut off at any
file, and enrolled anew.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_sdk import files, opening
from edge_sdk.clock import Now, wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import intake, operating
from edge_sdk.collector.reception import Reception
from edge_sdk.core.claims import Account, Status
from edge_sdk.core.documents import Grant, Statement
from edge_sdk.core.keys import epoch_of
from edge_sdk.enrol import enrol
from edge_sdk.errors import EdgeError, Refused, VaultUnavailable
from edge_sdk.lanes import deliver
from edge_sdk.transport import Request, Response
from edge_sdk.uplink import Errand, Trip
from tests import site as sites
from tests.site import reading

PURPOSES = ("improvement", "research")
STATUSES = (*3 * (Status.GIVEN,), Status.WITHDRAWN, Status.REFUSED, Status.RESTRICTED)  # what ends must have begun
YEAR_HOURS = 8766
DAY_MS = 86_400_000
RECEIPT_S = 30
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # no disk is needed: nothing here waits for one


class Cut(BaseException):
    """The power, gone."""


class Desk(sites.Reached):
    """The collector, in the time that passes in the test."""

    def __init__(self, reception: Reception, now_s: Callable[[], int]) -> None:
        super().__init__(reception)
        self._now_s = now_s

    def answer(self, request: Request) -> Response:
        asked = intake.Request(request.method, request.path, request.headers.get("Authorization"), request.body)
        answer = self._reception.answer(asked, self._now_s())
        return Response(answer.status, {}, answer.body)


class Household(RuleBasedStateMachine):
    """One device and everything that can happen to its consent."""

    @initialize()
    def found(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="edge-sdk-consent-", dir=MEMORY))
        self.site = sites.local_site(self.folder)
        self.papers: list[bytes] = []
        self.opened = ExitStack()
        self.true_ms, self.error_ms = wall_s() * 1000, 0
        self.opened.enter_context(self._clocks())
        reached = self.opened.enter_context(sites.reached(self.site.collector))
        self.transport = Desk(reached._reception, lambda: self.true_ms // 1000)
        self.loop = self.opened.enter_context(asyncio.Runner())
        self.running = ExitStack()
        self.number = 0
        self._begin_generation()

    # ------------------------------------------------------------------------------------------ what can happen

    @rule(purpose=st.sampled_from(PURPOSES), status=st.sampled_from(STATUSES), arrives=st.booleans())
    def the_authority_decides(self, purpose: str, status: Status, arrives: bool) -> None:
        generation = self.parts.line.rooms.vault.ring.generation.id
        with suppress(Refused):
            collecting.grant(self.site.collector, generation, purpose, status=status, now_s=self.true_ms // 1000)
            self.papers.append(operating.statement(self.site.collector, generation, now_s=self.true_ms // 1000))

        if arrives:
            self.a_statement_arrives(len(self.papers) - 1)

    @rule(account=st.sampled_from([Account.ACTIVE, Account.ACTIVE, Account.SUSPENDED]), arrives=st.booleans())
    def the_account_changes(self, account: Account, arrives: bool) -> None:
        generation = self.parts.line.rooms.vault.ring.generation.id
        operating.set_account(self.site.collector, generation, account, now_s=self.true_ms // 1000)
        self.papers.append(operating.statement(self.site.collector, generation, now_s=self.true_ms // 1000))

        if arrives:
            self.a_statement_arrives(len(self.papers) - 1)

    @rule(which=st.integers(0, 50))
    def a_statement_arrives(self, which: int) -> None:
        if self.papers:
            with suppress(EdgeError):
                self.parts.line.consent.accept_statement(self.papers[which % len(self.papers)], self.now)
            self.parts.line.step(self.now)

    @rule(which=st.integers(0, 50), at=st.integers(0, 1 << 16))
    def a_forged_statement_arrives(self, which: int, at: int) -> None:
        if not self.papers:
            return
        forged = bytearray(self.papers[which % len(self.papers)])
        forged[at % len(forged)] ^= 1
        before = self.parts.line.consent.statement
        with suppress(EdgeError):
            self.parts.line.consent.accept_statement(bytes(forged), self.now)
        assert self.parts.line.consent.statement is before, "I6: a forged statement counts"

    @rule(purpose=st.sampled_from(PURPOSES))
    def the_household_withdraws(self, purpose: str) -> None:
        if self.flying and self.flying_purpose in PURPOSES:
            purpose = self.flying_purpose
        granted = () if self.statement is None else self.statement.grants
        with suppress(Refused):
            self.parts.line.withdraw(purpose, self.now)
            self.denied |= {grant.id for grant in granted if grant.purpose == purpose}

    @rule(count=st.integers(1, 5), close=st.booleans(), cut=st.booleans())
    def readings_come(self, count: int, close: bool, cut: bool) -> None:
        most = 1 + sum(self._may_collect(purpose) for purpose in PURPOSES)
        for _ in range(count):
            self.number += 1
            fields = reading(self.number) | {"ssid": "home"}
            took = self.parts.line.recording.record("inverter", fields, self.now.wall_ms)
            assert took <= most, "I1: a reading was taken for a purpose without a grant"
        self.parts.line.step(self.now, flush=True, close=close, cut=cut)

    @rule(trips=st.integers(1, 12))
    def the_device_talks(self, trips: int) -> None:
        for _ in range(0 if self.flying else trips):
            if (trip := self._next_trip()) is None:
                return
            self._settle(trip, self._answered(trip))

    @rule(of_consent=st.booleans())
    def an_upload_begins(self, of_consent: bool) -> None:
        self.parts.line.step(self.now, flush=True, close=True, cut=True)
        for _ in range(0 if self.flying else 12):
            if (trip := self._next_trip()) is None:
                return
            answer = self._answered(trip)
            if trip.errand is Errand.BATCH and (self.flying_purpose in PURPOSES or not of_consent):
                self.flying = (trip, answer)
                return
            self._settle(trip, answer)

    @rule(arrives=st.booleans())
    def an_upload_ends(self, arrives: bool) -> None:
        if self.flying:
            (trip, answer), self.flying = self.flying, None
            self._settle(trip, answer if arrives else None)

    @rule(minutes=st.integers(1, 3000))
    def time_passes(self, minutes: int) -> None:
        self.true_ms += minutes * 60_000
        self.parts.line.step(self.now)

    @rule(hours=st.one_of(*3 * [st.integers(-20, 20)], st.integers(-60 * YEAR_HOURS, 10 * YEAR_HOURS)))
    def the_clock_steps(self, hours: int) -> None:
        self.error_ms = hours * 3_600_000
        self.parts.line.step(self.now)

    @rule(clean=st.booleans())
    def the_device_restarts(self, clean: bool) -> None:
        if clean:
            self.parts.line.finish(self.now)
        self.running.close()
        self._start()

    @rule(cuts=st.lists(st.integers(1, 14), max_size=3), seldom=st.integers(0, 5))
    def the_site_is_erased(self, cuts: list[int], seldom: int) -> None:
        if seldom:
            return
        self.parts.begin_wipe(self.now, None)
        self.running.close()
        for calls in cuts:
            with suppress(Cut, Refused, VaultUnavailable), _power_lost_after(calls):
                self._open_erased()
        with suppress(Refused, VaultUnavailable):
            self._open_erased()
        left = {path.name for path in self.site.state.iterdir()}
        assert left == {"lock", "lane.0.bin"}, f"I7: an erase ended and left {sorted(left)}"
        self._deliver_receipt()
        code = collecting.enrol_code(self.site.collector, now_s=self.true_ms // 1000)
        self.loop.run(enrol(self.site.config, code, self.transport))
        self._begin_generation()

    # ------------------------------------------------------------------------------------------ what must hold

    @invariant()
    def what_was_promised_holds(self) -> None:
        self.an_older_or_foreign_statement_never_counts()
        self.nothing_of_a_withdrawn_grant_is_left()
        self.an_upload_of_a_withdrawn_grant_is_broken_off()
        self.nothing_is_taken_without_a_grant()

    def nothing_is_taken_without_a_grant(self) -> None:
        line = self.parts.line
        for purpose in PURPOSES:
            if not self._may_collect(purpose):
                own = [stream for stream in line.binding.streams.values() if stream.record.purpose == purpose]
                taking = [stream for stream in own if stream.row in self._bound_rows()]
                assert taking == [], "I1: a purpose without a grant takes readings"
        if not self._may_collect("research"):
            assert not line.recording.allowed("inverter", "ssid"), "I1: a field is asked for without a grant"

    def an_older_or_foreign_statement_never_counts(self) -> None:
        generation = self.parts.line.rooms.vault.ring.generation.id
        version = 0 if self.statement is None else self.statement.version
        assert version >= self.newest, "I6: an older statement counts"
        assert self.statement is None or self.statement.generation == generation, "I6: a foreign statement counts"
        self.newest = version

    def nothing_of_a_withdrawn_grant_is_left(self) -> None:
        line = self.parts.line
        assert self.denied <= set(line.consent.held.denied), "I6: a withdrawal is forgotten"
        left = {s.row for s in line.binding.streams.values() if s.record.grant_id in self.ended}
        assert not left, "I6: a stream of an ended grant is left"
        keys = {entry.grant_id for entry in line.rooms.vault.ring.purposes.values()}
        assert not keys & self.ended, "I6: the key of an ended grant is left"
        refs = {entry.ref for entry in line.rooms.vault.ring.purposes.values()}
        rows = {row.id for row in line.rooms.outbox.streams() if row.ref not in refs}
        assert not rows, "I6: data of an ended grant is left"
        held = {entry.purpose for entry in line.rooms.vault.ring.purposes.values()}
        over = {purpose for purpose in PURPOSES if any(grant.id in self.ended for grant in self._deciding(purpose))}
        assert not held & over, "I6: what was collected before a purpose was withdrawn is left"

    def an_upload_of_a_withdrawn_grant_is_broken_off(self) -> None:
        if self.flying and self.flying_grant in self.ended:
            assert not self.uplink.may_go_on(self.flying[0], self.now), "I6: an upload goes on after the withdrawal"

    def teardown(self) -> None:
        if hasattr(self, "running"):
            self.running.close()
            self.opened.close()
            shutil.rmtree(self.folder)

    # ------------------------------------------------------------------------------------------ the plain reckoning

    @property
    def now(self) -> Now:
        return self.parts.clock.now()

    @property
    def statement(self) -> Statement | None:
        return self.parts.line.consent.statement

    @property
    def ended(self) -> set[bytes]:
        granted = () if self.statement is None else self.statement.grants
        over = {grant.id for grant in granted if grant.status in (Status.WITHDRAWN, Status.REFUSED)}
        return self.denied | over

    def _may_collect(self, purpose: str) -> bool:
        statement = self.statement
        if statement is None or statement.account != Account.ACTIVE or self.now.wall_s >= statement.exp_s:
            return False
        deciding = self._deciding(purpose)
        return bool(deciding) and all(g.status == Status.GIVEN and g.id not in self.denied for g in deciding)

    def _deciding(self, purpose: str) -> list[Grant]:
        """Return the newest grants of a purpose, of which the narrowest decides."""
        granted = () if self.statement is None else self.statement.grants
        own = [grant for grant in granted if grant.purpose == purpose]
        newest_s = max((grant.since_s for grant in own), default=0)
        return [grant for grant in own if grant.since_s == newest_s]

    def _bound_rows(self) -> set[int]:
        line = self.parts.line
        return {
            stream.row
            for stream in line.binding.streams.values()
            if line.binding._bound.get(stream.record.purpose) and not stream.record.ended
        }

    # ------------------------------------------------------------------------------------------ how it is done

    def _clocks(self) -> AbstractContextManager[Any]:
        """Have the package read the time that passes in the test, and a wall clock that may be wrong."""
        began_ms = self.true_ms - 60_000
        scripted = SimpleNamespace(
            time_ns=lambda: max(0, self.true_ms + self.error_ms) * 1_000_000,
            clock_gettime_ns=lambda _: (self.true_ms - began_ms) * 1_000_000,
            CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
        )
        return mock.patch("edge_sdk.clock.time", scripted)

    def _next_trip(self) -> Trip | None:
        self.uplink._not_before_ms = 0
        trip = self.uplink.next_trip(self.now)
        if not isinstance(trip, Trip):
            return None
        if trip.errand is Errand.BATCH and trip.parcel is not None:
            stream = self.parts.line.binding.streams[trip.parcel.held.stream]
            self.flying_grant = stream.record.grant_id
            assert self.flying_grant not in self.ended, "I6: a batch of an ended grant is sent"
            self.flying_purpose = stream.record.purpose
            assert self._may_collect(self.flying_purpose), "I1: a batch is sent without a grant"
            assert self.heard_ms is not None, "I6: sent before a downlink was opened"
            assert self.now.mono_ms - self.heard_ms < DAY_MS, "I6: sent, and nothing heard for a day"
            assert trip.epoch == epoch_of(self.now.wall_s)
        return trip

    def _answered(self, trip: Trip) -> Response:
        return self.loop.run(self.transport.send(trip.request))

    def _settle(self, trip: Trip, answer: Response | None) -> None:
        self.uplink.settle(trip, answer, self.now)
        if trip.errand is Errand.DOWNLINK and self.parts.line.consent._heard_mono_ms == self.now.mono_ms:
            self.heard_ms = self.now.mono_ms
        self.parts.line.step(self.now)

    def _open_erased(self) -> None:
        parts, _ = opening.open_site(self.site.config)
        parts.close()
        raise AssertionError("I7: a site opened although its erase had begun")

    def _deliver_receipt(self) -> None:
        operating.hear(self.site.collector, now_s=self.true_ms // 1000)  # it is not away for days

        async def delivered() -> None:
            trying = deliver(
                self.site.state,
                transport_to=lambda _: self.transport,
                chance=lambda: 0.0,
                draw=os.urandom,
                stopped=asyncio.Event(),
            )
            await asyncio.wait_for(trying, RECEIPT_S)

        self.loop.run(delivered())

    def _begin_generation(self) -> None:
        self.denied: set[bytes] = set()
        self.newest = 0
        self._start()

    def _start(self) -> None:
        self.flying: tuple[Trip, Response] | None = None
        self.flying_grant, self.flying_purpose = b"", ""
        self.heard_ms: int | None = None
        self.parts = self.running.enter_context(sites.opened(self.site))
        self.uplink = sites.uplink_of(self.parts)
        self.parts.line.step(self.now)


@contextmanager
def _power_lost_after(calls: int) -> Iterator[None]:
    """Lose the power instead of the so-many-th file that is changed as a whole."""
    left = calls

    def counted(real: Any) -> Any:
        def call(*arguments: Any, **how: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Cut
            return real(*arguments, **how)

        return call

    with ExitStack() as patched:
        for name in ("remove", "write", "overwrite", "move", "sync_folder"):
            patched.enter_context(mock.patch.object(files, name, counted(getattr(files, name))))
        yield
