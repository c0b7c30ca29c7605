"""
A household behind a bad network: its device, the proxy, its collector in a process of its own, on one simulated clock.

The device is driven call by call; its files, line, uplink and sockets are the real ones. The collector is what
``edge-sdk collector serve`` starts; its wall clock follows the device's (``clock.c``), so that weeks pass in seconds.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.core.retry import CEILING_S
from edge_sdk.core.units import DAY_MS
from edge_sdk.opening import Site
from edge_sdk.uplink import Trip
from tests import site as sites
from tests.fault.clock import WrongClock
from tests.fault.network.proxy import Proxy, proxying
from tests.fault.sweep import Report
from tests.gateway.device import Device
from tests.site import CANARY, DRAW, LocalSite, reading

TIMEOUT_MS: Final = 300
MEMORY_BYTES: Final = 16 << 20
"""What an answer may take of memory: its limit of a mebibyte, copies of it, and what was parsed of one read."""


@dataclass
class Account:
    """
    What one fault came to.
    """

    tries: int = 0
    recorded: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    counted: list[int] = field(default_factory=list)

    @property
    def report(self) -> Report:
        counts = {"produced": len(self.recorded), "delivered": len(self.arrived), "counted": len(self.counted)}
        return Report(self.tries, (), counts)


@dataclass
class Place:
    """
    The household, and how its days go by.
    """

    site: LocalSite
    device: Device
    proxy: Proxy
    clock: WrongClock
    number: int = 0
    opened: int = 0

    def record(self, count: int, *, batches: int = 1) -> list[int]:
        """
        Queue sealed batches of readings that carry a running number, and an alarm with the same number.
        """
        first = self.number
        self.device.parts.line.step(self.device.now)  # what was heard since the last one holds
        for _ in range(batches):
            for _ in range(count):
                now_ms = self.device.now.wall_ms
                line = self.device.parts.line
                assert line.recording.record("inverter", reading(self.number), now_ms)
                assert line.recording.record("alarm", {"serial": CANARY, "code": self.number % 1000}, now_ms)
                self.number += 1
            self.device.parts.line.step(self.device.now, flush=True, close=True)
        return list(range(first, self.number))

    def go(self) -> int:
        """
        Make the next request if there is one; return 0, or for how many milliseconds there is none.
        """
        trip = self.device.uplink.next_trip(self.device.now)
        if not isinstance(trip, Trip):
            return trip
        self.device.make(trip)
        return 0

    def wait(self, seconds: float) -> None:
        """
        Let time pass for both, and have the authority prepare each new day.
        """
        day = self.device.now.wall_ms // DAY_MS
        self.device.wait(seconds)
        self.clock.set(self.device.now.wall_s - wall_s())
        self.device.parts.line.step(self.device.now)
        if self.device.now.wall_ms // DAY_MS != day:
            with collecting.open_authority(self.site.collector) as authority:
                authority.upkeep(self.device.now.wall_s)

    def suffer(self, tries: int) -> int:
        """
        Make so many requests, or until nothing is queued, waiting as the uplink says; return how many seconds passed.
        """
        began, memory = self.device.now, tracemalloc.is_tracing()
        if not memory:
            tracemalloc.start()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        made = 0
        while made < tries and self.device.queue():
            if wait_ms := self.go():
                self.wait(max(wait_ms, self.device.uplink._not_before_ms - self.device.now.mono_ms) / 1000)
            else:
                made += 1
        taken = tracemalloc.get_traced_memory()[1] - before
        if not memory:
            tracemalloc.stop()
        assert taken < MEMORY_BYTES, f"an answer took {taken >> 20} MiB"
        return (self.device.now.mono_ms - began.mono_ms) // 1000

    def pass_hours(self, hours: float, *, step_s: float = 60) -> None:
        """
        Let time pass, making every request there is to make.
        """
        until_ms = self.device.now.mono_ms + int(hours * 3_600_000)
        while self.device.now.mono_ms < until_ms:
            while not self.go():
                pass
            self.wait(step_s)

    def heal(self) -> None:
        """
        Have a good network again, and let hours pass until all is delivered.
        """
        self.proxy.rules()
        self.drain()

    def drain(self) -> None:
        """
        Let hours pass until all is delivered, through the network as it is.
        """
        for _ in range(60):
            while not self.go():
                pass
            if not self.device.queue() and self.device.uplink._not_before_ms <= self.device.now.mono_ms:
                return
            self.wait(CEILING_S)
        raise AssertionError(f"not delivered: {self.device.uplink.last_error}")

    def rows(self) -> list[OpenedRow]:
        """
        Open what has arrived since this was last asked.
        """
        rows = self.site.rows()
        opened, self.opened = self.opened, len(rows)
        return rows[opened:]

    def check(self, account: Account) -> None:
        """
        Compare what has arrived with what was recorded, by value, and see that nobody misses anything.
        """
        rows = self.rows()
        account.arrived = sorted(int(str(row.fields["energy"])) for row in rows if row.purpose == "monitoring")
        for row in rows:
            if row.purpose == "monitoring":
                number = int(str(row.fields["energy"]))
                wanted = reading(number)
                assert {name: str(value) for name, value in row.fields.items()} == {
                    name: str(value) for name, value in wanted.items()
                }
        alarms = [row for row in rows if row.purpose == "alarms"]
        codes = sorted(int(str(row.fields["code"])) for row in alarms)
        assert codes == sorted(number % 1000 for number in account.recorded), "each alarm arrives, once"
        assert account.arrived == account.recorded, "each reading arrives, once"
        report = collecting.opener_report(self.site.collector)
        assert (list(report.gaps), list(report.forks)) == ([], [])
        assert self.device.parts.line.rooms.outbox.aside() == []
        assert CANARY.encode() not in self.proxy.said()


def times_asked(seconds: float) -> float:
    """
    Return how often a device asks in so long a time when nothing is answered well, one request a failure.
    """
    return 12 + seconds / (DRAW * CEILING_S)


@contextmanager
def settled(folder: Path, *, timeout_ms: int = TIMEOUT_MS, policy: str = "", outbox: str = "") -> Iterator[Place]:
    """
    Lend a household whose device has heard what it has to hear; *outbox* are lines of that table of site.toml.
    """
    site = sites.local_site(folder, granted=(), policy=policy) if policy else sites.local_site(folder)
    clock = WrongClock(folder)
    if outbox:
        site.edit(("[outbox]", f"[outbox]\n{outbox}"))
    with sites.serving(site, env=clock.environ) as port, proxying(folder, port) as proxy, sites.opened(site) as parts:
        place = Place(site, _device(site, parts, proxy, timeout_ms), proxy, clock)
        try:
            place.device.hear()
            yield place
        finally:
            place.device.close()


def _device(site: LocalSite, parts: Site, proxy: Proxy, timeout_ms: int) -> Device:
    return Device(site, parts, proxy.port, timeout_ms=timeout_ms)


def rule(fault: str, **more: Any) -> dict[str, Any]:
    """
    Return a rule for the proxy.
    """
    return {"fault": fault, **more}
