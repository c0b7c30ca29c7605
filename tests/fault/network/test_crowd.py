"""
Real gateways whose power comes back at once, and one real collector: they come apart, and everything arrives.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from edge_sdk import Gateway
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.enrol import enrol
from tests import site as sites
from tests.fault.network.proxy import Proxy, proxying
from tests.fault.sweep import Report
from tests.site import CANARY, LocalSite, reading

Enter = Callable[[str, Report], None]
COUNT: Final = 16
ROWS: Final = 20
JITTER_S: Final = 6
WAIT_S: Final = 90


def neighbours(site: LocalSite, folder: Path) -> list[LocalSite]:
    """Enrol as many devices as there are with the collector of *site*; each has readings that wait to be sent."""
    sites_there = []
    with sites.reached(site.collector) as transport:
        for number in range(COUNT):
            one = LocalSite(folder / str(number))
            one.folder.mkdir()
            for name in ("site.toml", "policy.toml"):
                shutil.copy(site.folder / name, one.folder / name)
            (one.folder / "collector").symlink_to(site.collector)
            one.edit(('jitter = "1ms"', f'jitter = "{JITTER_S}s"'), ("max_rows = 50", f"max_rows = {ROWS}"))
            asyncio.run(enrol(one.config, collecting.enrol_code(site.collector, now_s=wall_s()), transport))
            with Gateway.open(one.toml) as gateway:
                for row in range(ROWS):
                    gateway.record("inverter", reading(number * ROWS + row))
                gateway.flush()
            sites_there.append(one)
    return sites_there


def queued(gateway: Gateway) -> int:
    return sum(purpose.queued_batches for purpose in gateway.status().purposes)


def arrivals(proxy: Proxy, gateways: int) -> list[dict[str, object]]:
    """Wait until each gateway's batch was seen; return every request."""
    seen: list[dict[str, object]] = []
    ends = time.monotonic() + WAIT_S
    while sum(request["path"] == "/v1/batches" for request in seen) < gateways:
        assert time.monotonic() < ends, f"after {WAIT_S} s only {len(seen)} requests"
        time.sleep(0.2)
        seen += proxy.seen()
    return seen


@pytest.mark.slow
def test_gateways_whose_power_comes_back_at_once_come_apart(
    site: LocalSite, tmp_path: Path, entered: Enter, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder := tmp_path / "street").mkdir()
    street = neighbours(site, folder)
    with sites.serving(site) as port, proxying(tmp_path, port) as proxy, ExitStack() as opened:
        for one in street:
            one.edit(("http://127.0.0.1:9", f"http://127.0.0.1:{proxy.port}"))
        gateways = [opened.enter_context(Gateway.open(one.toml)) for one in street]
        seen = arrivals(proxy, COUNT)
        ends = time.monotonic() + WAIT_S
        while any(map(queued, gateways)) and time.monotonic() < ends:
            time.sleep(0.2)
        said = proxy.said()
    firsts: dict[object, float] = {}
    for request in seen:
        firsts.setdefault(request["connection"], float(str(request["at"])))
    a_second = Counter(int(at) for at in firsts.values())
    with capsys.disabled():
        print(f"\n{COUNT} real gateways, jitter {JITTER_S} s: at most {max(a_second.values())} new ones in a second")
    assert max(firsts.values()) - min(firsts.values()) > JITTER_S / 3
    assert max(a_second.values()) <= COUNT / 2
    rows = [row for row in site.rows() if row.purpose == "monitoring"]
    assert sorted(int(str(row.fields["energy"])) for row in rows) == list(range(COUNT * ROWS))
    assert [gap for gap in collecting.opener_report(site.collector).gaps if gap.reason is None] == []
    assert CANARY.encode() not in said
    counts = {"produced": COUNT * ROWS, "delivered": len(rows), "counted": 0}
    entered("network, real gateways that come back at once", Report(len(seen), (), counts))
