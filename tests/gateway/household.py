"""
A device and its collector on one simulated clock: days pass in seconds, on both sides at once.

Line, uplink, collector and documents are the real ones; requests go to the collector without a socket. Two purposes
that take each reading as it is, one that rests on a contract and one on consent, for two recipients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge_sdk.clock import Now
from edge_sdk.collector import folder as collecting
from edge_sdk.collector.intake import Limits
from edge_sdk.collector.intake import Request as Handed
from edge_sdk.collector.reception import Reception
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.core.claims import Status
from edge_sdk.core.consent import Decision
from edge_sdk.core.envelope import outer
from edge_sdk.core.units import DAY_MS, HOUR_MS
from edge_sdk.opening import Site
from edge_sdk.transport import Request, Response
from edge_sdk.uplink import Errand, Trip
from tests import site as sites
from tests.inverter import ENERGY, STATE, head, power
from tests.site import LocalSite, later, reading

POLICY = head("held", power("power"), ENERGY, STATE) + """
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


@dataclass
class Household:
    """A device and its collector on one simulated clock, and every request that was made."""

    site: LocalSite
    parts: Site
    reception: Reception
    now: Now
    asked: list[Request] = field(default_factory=list)
    asked_ms: list[int] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self.uplink = sites.uplink_of(self.parts)

    def record(self, count: int = 1) -> list[int]:
        """Record readings that carry a running number; return for how many purposes each was taken."""
        taken = []
        for _ in range(count):
            taken.append(self.parts.line.recording.record("inverter", reading(self.number), self.now.wall_ms))
            self.number += 1
        return taken

    def step(self, hours: float) -> None:
        """Let time pass, on both sides, and do what is due."""
        before = self.now
        self.now = later(self.now, int(hours * HOUR_MS))
        if self.now.wall_ms // DAY_MS != before.wall_ms // DAY_MS:
            self.reception.upkeep(self.now.wall_s)
        self.parts.line.step(self.now)

    def send(self) -> None:
        """Make every request there is to make."""
        while isinstance(trip := self.uplink.next_trip(self.now), Trip):
            self.asked.append(trip.request)
            self.asked_ms.append(self.now.wall_ms)
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
        return len(self.batches_to(operator))

    def batches_to(self, operator: str) -> list[tuple[int, int]]:
        """Return when each batch went to a recipient (ms), and its size."""
        document = self.parts.line.consent.recipients
        assert document is not None
        kids = {key.kid for key in document.keys if key.operator == operator}
        asked = zip(self.asked_ms, self.asked, strict=True)
        batches = [(at_ms, request.body) for at_ms, request in asked if request.path == "/v1/batches"]
        return [(at_ms, len(body)) for at_ms, body in batches if outer(body).kid in kids]

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
