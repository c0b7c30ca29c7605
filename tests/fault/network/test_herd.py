"""
Ten thousand devices that come back at once do not arrive at once: counted at the collector, second by second.

Power that comes back to a town, a collector that was away for an hour, one that told everybody the same time to come
back, and midnight, which all of them see in the same second. Simulated time, the uplinks as they ship (``herd``);
real gateways are in ``test_crowd``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

import pytest

from edge_sdk import uplink as uplinks
from edge_sdk.clock import Now
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.keys import RoutingSecret
from edge_sdk.core.receipt import Outcome
from edge_sdk.transport import Response
from tests import site as sites
from tests.fault.network.herd import HOUR_MS, Collector, Herd, numbered
from tests.fault.sweep import Report
from tests.gateway.device import Device, receipt_seed
from tests.gateway.hostile import answer, hostile
from tests.site import DRAW, LocalSite

Enter = Callable[[str, Report], None]
Fault = Callable[[int], Response | int | None]
MIDNIGHT_MS: Final = 20_776 * 24 * HOUR_MS
JITTER_S: Final = 30  # the default of site.toml
SLOW: Final = pytest.mark.slow
FEW: Final = [pytest.param(10_000, marks=SLOW)]
BACK: Final = 2 * HOUR_MS


@dataclass
class Town:
    """The devices of one collector."""

    site: LocalSite

    def live(self, count: int, *, hour: int, until_ms: int, fault: Fault, backlog: int = 1) -> tuple[Herd, Collector]:
        """Have the power come back at *hour* of the day, and hours pass."""
        root = pinned_root((self.site.collector / "root.cose").read_bytes())
        collector = Collector(receipt_seed(self.site), fault)
        start = Now(mono_ms=1000, wall_ms=MIDNIGHT_MS + hour * HOUR_MS, floor_ms=MIDNIGHT_MS)
        herd = Herd(
            count, collector, parcels=numbered(), start=start, root=root, backlog=backlog, first_ms=JITTER_S * 1000
        )
        herd.run(until_ms)
        return herd, collector


@pytest.fixture
def town(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> Town:
    judge = uplinks.judge
    known: dict[tuple[int, bytes, bytes], Outcome] = {}

    @functools.wraps(judge)
    def judge_once(status: int, body: bytes, **about: Any) -> Outcome:  # the devices share what they send
        key = status, body, about["batch_id"]
        if key not in known:
            known[key] = judge(status, body, **about)
        return known[key]

    route, routes = uplinks.route, dict[tuple[int, int], Any]()

    def route_once(secret: RoutingSecret, epoch: int) -> Any:
        known = routes.get((id(secret), epoch))
        if known is None:
            known = routes[id(secret), epoch] = route(secret, epoch)
        return known

    monkeypatch.setattr(uplinks, "judge", judge_once)
    monkeypatch.setattr(uplinks, "route", route_once)  # pure, and asked for at each request
    return Town(site)


def nothing(_: int) -> None:
    return None


def during(first_ms: int, last_ms: int, what: Response | int) -> Fault:
    return lambda at_ms: what if first_ms <= at_ms < last_ms else None


def told(capsys: pytest.CaptureFixture[str], name: str, count: int, seconds: list[int], over_s: float) -> int:
    """Print what arrived in each second, and return the most."""
    peak, mean = max(seconds), sum(seconds) / over_s
    with capsys.disabled():
        print(f"\n{name}: {count} devices, {sum(seconds)} requests in {over_s:.0f} s, {mean:.1f}/s, at most {peak}/s")
    return peak


def delivered(herd: Herd) -> int:
    return sum(not member.desk.waiting for member in herd.members)


@pytest.mark.parametrize("count", FEW)
def test_power_that_comes_back_to_a_town(town: Town, capsys: pytest.CaptureFixture[str], count: int) -> None:
    herd, collector = town.live(count, hour=9, until_ms=2 * JITTER_S * 1000, fault=nothing, backlog=6)
    firsts = collector.first_a_second()
    peak = told(capsys, "power back, first requests", count, firsts, JITTER_S)
    assert len(firsts) <= JITTER_S + 1
    assert peak <= 2 * count / JITTER_S + 10
    told(capsys, "power back, with a backlog of six", count, list(collector.a_second(0, 60_000).values()), JITTER_S)
    assert delivered(herd) == count


@pytest.mark.parametrize("count", FEW)
def test_a_collector_that_was_away_for_an_hour(town: Town, capsys: pytest.CaptureFixture[str], count: int) -> None:
    herd, collector = town.live(count, hour=9, until_ms=3 * HOUR_MS, fault=during(HOUR_MS, BACK, 0))
    after = collector.a_second(BACK, BACK + HOUR_MS // 4)
    peak = told(capsys, "collector back after an hour", count, list(after.values()), 900)
    assert peak <= count / 100 + 5
    assert delivered(herd) >= 0.99 * count


@pytest.mark.parametrize(
    ("wish", "count"),
    [("date", 100), pytest.param("seconds", 200, marks=SLOW), pytest.param("date", 10_000, marks=SLOW)],
)
def test_all_are_told_when_to_come_back_and_do_not_come_in_one_second(
    town: Town, capsys: pytest.CaptureFixture[str], count: int, wish: str
) -> None:
    wishes = {"date": formatdate((MIDNIGHT_MS + 9 * HOUR_MS + BACK) // 1000, usegmt=True), "seconds": "600"}
    closed = during(HOUR_MS, BACK, Response(503, {"retry-after": wishes[wish]}, b""))
    herd, collector = town.live(count, hour=9, until_ms=3 * HOUR_MS, fault=closed)
    after = collector.a_second(BACK - 1000, BACK + HOUR_MS // 4)
    peak = told(capsys, f"Retry-After, {wish}", count, list(after.values()), 900)
    assert peak <= count / 100 + 5
    assert delivered(herd) >= 0.99 * count


@pytest.mark.parametrize("count", [100, *FEW])
def test_midnight_comes_to_all_and_they_do_not_ask_in_one_second(
    town: Town, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    _, collector = town.live(count, hour=23, until_ms=2 * HOUR_MS, fault=nothing)
    after = collector.a_second(HOUR_MS - 1000, 2 * HOUR_MS)
    peak = told(capsys, "after midnight", count, list(after.values()), 3600)
    assert peak <= count / 200 + 5
    asked = [at_ms for at_ms, path in collector.arrivals if path.startswith("/v1/root") and at_ms >= HOUR_MS]
    assert len(asked) == count, "each asks for the next root once a day"


def test_a_device_of_the_herd_asks_when_a_whole_device_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = sites.local_site(tmp_path, granted=())
    with hostile(site.collector) as server, sites.opened(site) as parts:
        device = Device(site, parts, server.port)
        device.hear()
        device.record(1, batches=4)
        first_ms = device.now.mono_ms
        server.always("/v1/batches", answer(413))
        whole = times_of(device)
        device.close()
    collector = Collector(receipt_seed(site), lambda _: Response(413, {}, b""))
    root = pinned_root((site.collector / "root.cose").read_bytes())
    start = Now(mono_ms=first_ms, wall_ms=MIDNIGHT_MS + HOUR_MS, floor_ms=MIDNIGHT_MS)
    monkeypatch.setattr("tests.fault.network.herd.ROUND_TRIP_MS", 0)
    herd = Herd(1, collector, parcels=numbered(), start=start, root=root, backlog=4, first_ms=0)
    (member,) = herd.members
    member.uplink._chance = lambda: DRAW
    member.uplink._root_asked = start.wall_s // 86_400
    member.desk.heard_ms, member.next_batch_ms = start.mono_ms, 1 << 62
    herd.run(HOUR_MS)
    assert [at_ms for at_ms, _ in collector.arrivals] == pytest.approx(whole, abs=50)


def times_of(device: Device) -> list[int]:
    """Return when a device asks in an hour, in milliseconds."""
    began_ms, times = device.now.mono_ms, []
    while device.now.mono_ms < began_ms + HOUR_MS:
        if device.idle():
            until = [device.uplink._not_before_ms, *device.parts.line.queueing._waiting.values()]
            device.wait(min((ms - device.now.mono_ms for ms in until if ms > device.now.mono_ms), default=1000) / 1000)
        else:
            times.append(device.now.mono_ms - began_ms)
            device.go()
    return times
