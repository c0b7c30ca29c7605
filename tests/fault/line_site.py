"""
A whole site and its collector in one process, on a clock that a test moves.

Owns the policy that the line's fault tests run under, the scripted clock, the founding of collector and site, and
the desk that hands the uplink's requests to the real reception without a socket. What the run does with them is
line_script.py's matter, what must hold afterwards line_check.py's.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Final
from unittest import mock

from edge_sdk import opening
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import intake
from edge_sdk.collector.founding import Founding, init_collector
from edge_sdk.collector.reception import Reception
from edge_sdk.config import Config
from edge_sdk.core.claims import ALG_HPKE_X_WING, Mechanism
from edge_sdk.enrol import enrol
from edge_sdk.policy_file import load_policy
from edge_sdk.transport import Request, Response
from edge_sdk.uplink import Errand, Trip

BEGIN_MS: Final = 1_772_388_000_000  # 2026-03-01 18:00 UTC: the run crosses midnight, so a period of pseudonyms ends
FOUNDED_MS: Final = BEGIN_MS - 3_600_000
SERIALS: Final = ("CANARY408000000001", "CANARY408000000002")
METER: Final = "CANARYMETER77"
WINDOW_MS: Final = 300_000

POLICY: Final = """
[policy]
name = "fault"
version = "1"

[kinds.inverter]
source = "serial"
max_sources = 8
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 32 }
power = { class = "telemetry", type = "number", unit = "W", min = -1000, max = 100000, resolution = 0.1 }
number = { class = "telemetry", type = "integer", min = 0, max = 1000000 }
bit = { class = "telemetry", type = "integer", min = 0, max = 1099511627776 }

[kinds.meter]
source = "serial"
max_sources = 8
[kinds.meter.fields]
serial = { class = "device_identifier", type = "text", max_length = 32 }
number = { class = "telemetry", type = "integer", min = 0, max = 1000000 }
bit = { class = "telemetry", type = "integer", min = 0, max = 1099511627776 }

[purposes.monitoring]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator"
regions = ["EU"]
importance = 5
keep_at_most = "30d"
[purposes.monitoring.views.inverter.fields]
serial = "keep"
power = { round = 1 }
number = "keep"
[purposes.monitoring.views.meter.fields]
number = "keep"

[purposes.statistics]
basis = "legitimate_interest"
dpv = "dpv:ServiceOptimisation"
recipient = "operator"
regions = ["EU"]
importance = 9
keep_at_most = "30d"
[purposes.statistics.views.inverter]
every = "5min"
[purposes.statistics.views.inverter.fields]
serial = { pseudonym = "1d" }
bit = { window = "sum", round = 1 }
[purposes.statistics.views.meter]
every = "5min"
[purposes.statistics.views.meter.fields]
bit = { window = "sum", round = 1 }

[purposes.research]
basis = "consent"
dpv = "dpv:ResearchAndDevelopment"
recipient = "institute"
regions = ["EU"]
importance = 1
keep_at_most = "30d"
[purposes.research.views.inverter.fields]
serial = { pseudonym = "1d" }
power = { round = 10 }
number = "keep"
"""

# The next edition: what needs no consent is kept for less long, and has other digests.
NEXT_POLICY: Final = POLICY.replace('keep_at_most = "30d"', 'keep_at_most = "20d"', 2)

SITE: Final = """
[site]
name = "fault"
policy = "policy.toml"
[collector]
address = "http://127.0.0.1:9"
root = "collector/root.cose"
[batch]
max_rows = 12
max_age = "40min"
flush_every = "12h"
cipher = "a256gcm"
[outbox]
quota = "24 KB"
reserve = "1 KB"
reserve_inodes = 0
"""


class ScriptedClock:
    """
    Stands in for the board's clocks: wall and monotonic time move together, by hand; a boot starts at one minute.
    """

    def __init__(self, wall_ms: int) -> None:
        self.wall_ms = wall_ms
        self._boot_wall_ms = wall_ms - 60_000

    def reboot(self, off_ms: int) -> None:
        """
        Be without power for *off_ms*: the wall goes on, monotonic time begins anew.
        """
        self.wall_ms += off_ms
        self._boot_wall_ms = self.wall_ms - 60_000

    @property
    def now_s(self) -> int:
        return self.wall_ms // 1000

    @contextmanager
    def installed(self) -> Iterator[None]:
        """
        Have the package read this clock, and no other, inside the block.
        """
        scripted = SimpleNamespace(
            time_ns=lambda: self.wall_ms * 1_000_000,
            clock_gettime_ns=lambda _: (self.wall_ms - self._boot_wall_ms) * 1_000_000,
            CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
        )
        with mock.patch("edge_sdk.clock.time", scripted):
            yield


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """
    Have a site draw from a seed, so that two runs make the same calls; what HPKE draws stays random.
    """
    source = random.Random(seed)
    with mock.patch.object(opening, "draw", source.randbytes), mock.patch.object(opening, "chance", source.random):
        yield


def make_site(place: Path) -> None:
    """
    Make ``collector/``, ``state/`` (enrolled), ``site.toml`` and ``policy.toml`` in *place*.
    """
    introduce(place, found(place), ScriptedClock(FOUNDED_MS))


def found(place: Path) -> str:
    """
    Make all of a site but its state, and return the claim code it may enrol with.
    """
    clock = ScriptedClock(FOUNDED_MS)
    place.mkdir(parents=True, exist_ok=True)
    (place / "policy.toml").write_text(POLICY)
    (place / "site.toml").write_text(SITE)
    founding = Founding(
        policies=[load_policy(POLICY, where="policy.toml")],
        region="EU",
        mechanism=Mechanism.NONE,
        granted=["research"],
        test=True,
        alg=ALG_HPKE_X_WING,
    )
    init_collector(place / "collector", founding, now_s=clock.now_s, draw=random.Random(1).randbytes)
    return collecting.enrol_code(place / "collector", now_s=clock.now_s)


def introduce(
    place: Path,
    code: str,
    clock: ScriptedClock,
    *,
    state: Path | None = None,
    answered: Callable[[], None] = lambda: None,
) -> None:
    """
    Enrol the site in *place* with *code*.

    Args:
        state: its folder, where that is not ``state``.
        answered: called after each answer of the collector, before the device looks at it.
    """
    drawn = random.Random(2).randbytes  # so that the phase of its batches is the same in every run of the tests
    read = config_for(place, state or place / "state")
    with (
        clock.installed(),
        mock.patch("edge_sdk.enrol.draw", drawn),
        open_desk(place / "collector", clock, answered=answered) as desk,
    ):
        asyncio.run(enrol(read, code, desk))


def config_for(place: Path, state: Path) -> Config:
    """
    Return the configuration in *place*, with its state in *state*.
    """
    read = Config.read(place / "site.toml")
    return dataclasses.replace(read, folder=state, limits=dataclasses.replace(read.limits, folder=state))


class Desk:
    """
    The collector, one call away; a Transport for whoever awaits, a function for whoever does not.
    """

    def __init__(self, reception: Reception, clock: ScriptedClock, answered: Callable[[], None]) -> None:
        self._reception = reception
        self._clock = clock
        self._answered = answered

    def answer(self, request: Request) -> Response:
        asked = intake.Request(request.method, request.path, request.headers.get("Authorization"), request.body)
        answer = self._reception.answer(asked, self._clock.now_s)
        self._answered()
        return Response(answer.status, {}, answer.body)

    async def send(self, request: Request) -> Response:
        return self.answer(request)

    async def close(self) -> None:
        return None


@contextmanager
def open_desk(collector: Path, clock: ScriptedClock, *, answered: Callable[[], None] = lambda: None) -> Iterator[Desk]:
    """
    Lend the collector in *collector*; *answered* is called after each of its answers.
    """
    with collecting.open_reception(collector, limits=intake.Limits()) as reception:
        yield Desk(reception, clock, answered)


def send(site: opening.Site, desk: Desk, *, most: int, stored: Callable[[], None] = lambda: None) -> int:
    """
    Make at most *most* trips and return how many batches among them were answered.

    Args:
        stored: called between the answer to a batch and what the device makes of it.
    """
    site.uplink.hurry_once()
    batches = 0
    for _ in range(most):
        trip = site.uplink.next_trip(site.clock.now())
        if not isinstance(trip, Trip):
            break
        response = desk.answer(trip.request)
        if trip.errand is Errand.BATCH:
            assert response.status == 200, f"a batch was answered {response.status}"
            batches += 1
            stored()
        site.uplink.settle(trip, response, site.clock.now())
        if trip.errand is not Errand.BATCH:
            site.line.step(site.clock.now())
    return batches


def open_waiting(collector: Path) -> None:
    """
    Open what has arrived, as an opener does now and then.
    """
    with collecting.open_opener(collector):
        pass
