"""
A site and its collector on this machine, made once a run and copied: enrolling takes a second, copying nothing.

Everything is real: files, keys, documents, the collector's databases. :func:`local_site` gives a folder with
``site.toml``, ``policy.toml``, ``state`` and ``collector``, enrolled and never started; :func:`serving` runs the
collector's own process for it; :class:`Reached` is a transport that reaches the collector without a socket.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_sdk.clock import Clock, Now, wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import intake
from edge_sdk.collector.founding import Founding, init_collector
from edge_sdk.collector.reception import Reception
from edge_sdk.config import Config
from edge_sdk.core.claims import ALG_HPKE_X_WING, Mechanism, Status
from edge_sdk.enrol import enrol
from edge_sdk.opening import Site, open_site
from edge_sdk.policy_file import load_policy
from edge_sdk.transport import Request, Response
from edge_sdk.uplink import Uplink
from tests.inverter import ENERGY, STATE, head, power

CANARY = "CANARY-4080001"  # a serial that must be found nowhere it has no business
SSID = 'ssid = { class = "network_identifier", type = "text", max_length = 32 }'
POLICY = head("plant", power("power"), ENERGY, STATE, SSID) + """
[kinds.alarm]
source = "serial"
max_sources = 8
[kinds.alarm.fields]
serial = { class = "device_identifier", type = "text", max_length = 16 }
code = { class = "telemetry", type = "integer", min = 0, max = 1000 }

[kinds.meter]
source = "serial"
max_sources = 8
[kinds.meter.fields]
serial = { class = "device_identifier", type = "text", max_length = 16 }
power = { class = "telemetry", type = "number", unit = "W", min = -100, max = 10000, resolution = 0.1 }

[purposes.monitoring]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
importance = 10
keep_at_most = "30d"
[purposes.monitoring.views.inverter.fields]
serial = "keep"
power = { round = 0.1 }
energy = "keep"
state = "keep"

[purposes.alarms]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
importance = 30
keep_at_most = "30d"
[purposes.alarms.views.alarm]
send = "now"
[purposes.alarms.views.alarm.fields]
serial = "keep"
code = "keep"

[purposes.improvement]
basis = "consent"
dpv = "dpv:ServiceOptimisation"
recipient = "research-eu"
regions = ["EU"]
importance = 1
keep_at_most = "14d"
[purposes.improvement.views.inverter]
every = "1h"
[purposes.improvement.views.inverter.fields]
serial = { pseudonym = "30d" }
power = { window = "mean", round = 10 }
energy = { window = "delta", round = 10 }

[purposes.research]
basis = "consent"
dpv = "dpv:ResearchAndDevelopment"
recipient = "research-eu"
regions = ["EU"]
importance = 1
keep_at_most = "14d"
[purposes.research.views.inverter.fields]
serial = { pseudonym = "30d" }
ssid = "keep"
[purposes.research.views.meter.fields]
power = { round = 10 }
"""
SITE = """
[site]
name = "test"
policy = "policy.toml"
[collector]
address = "http://127.0.0.1:9"
root = "collector/root.cose"
timeout = "2s"
jitter = "1ms"
[batch]
max_rows = 50
[outbox]
reserve = "1 KB"
reserve_inodes = 0
"""
DRAW = 0.5  # of every chance, where a test leaves none
SLOWNESS = 10 if os.environ.get("EDGE_TEST_FEW") == "1" else 1  # of an emulated machine: see tests/arm.py
START_S = 30 * SLOWNESS


@dataclass(frozen=True)
class LocalSite:
    """One enrolled site and its collector, in a folder of its own."""

    folder: Path

    @property
    def toml(self) -> Path:
        return self.folder / "site.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def collector(self) -> Path:
        return self.folder / "collector"

    @property
    def config(self) -> Config:
        return Config.read(self.toml)

    def edit(self, *changes: tuple[str, str], file: str = "site.toml") -> None:
        """Replace, in one file, each text that must be there once."""
        path = self.folder / file
        text = path.read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
            text = text.replace(old, new)
        path.write_text(text)

    def rows(self) -> list[Any]:
        """Open everything that arrived."""
        return list(collecting.open_rows(self.collector))

    def gaps(self) -> list[Any]:
        """Return what the opener misses and why."""
        return list(collecting.opener_report(self.collector).gaps)

    def set_grant(self, purpose: str, status: Status) -> None:
        """Record a consent event of the device; its next downlink tells it."""
        device = collecting.devices(self.collector)[0]
        collecting.grant(self.collector, device.generation, purpose, status=status, now_s=wall_s())


class Reached:
    """A transport to the collector of a folder, without a socket; what passes is kept."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        return self.answer(request)

    async def close(self) -> None:
        pass

    def answer(self, request: Request) -> Response:
        asked = intake.Request(request.method, request.path, request.headers.get("Authorization"), request.body)
        answer = self._reception.answer(asked, wall_s())
        return Response(answer.status, {}, answer.body)


@functools.cache
def _template(granted: tuple[str, ...], policy: str, alg: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="edge-sdk-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "policy.toml").write_text(policy)
    (folder / "site.toml").write_text(SITE)
    founding = Founding(
        policies=[load_policy(policy, where="policy.toml")],
        region="EU",
        mechanism=Mechanism.NONE,
        granted=granted,
        test=True,
        alg=alg,
    )
    init_collector(folder / "collector", founding, now_s=wall_s(), draw=secrets.token_bytes)
    code = collecting.enrol_code(folder / "collector", now_s=wall_s())
    with reached(folder / "collector") as transport:
        asyncio.run(enrol(Config.read(folder / "site.toml"), code, transport))
    return folder


@contextmanager
def reached(collector: Path) -> Iterator[Reached]:
    """Lend a transport that reaches the collector in *collector* within this process."""
    with collecting.open_reception(collector, limits=intake.Limits()) as reception:
        yield Reached(reception)


def local_site(
    folder: Path,
    *,
    granted: Iterable[str] = ("improvement",),
    policy: str = POLICY,
    alg: int = ALG_HPKE_X_WING,
) -> LocalSite:
    """Make an enrolled site in *folder*/plant."""
    target = folder / "plant"
    shutil.copytree(_template(tuple(sorted(granted)), policy, alg), target)
    return LocalSite(target)


@contextmanager
def opened(site: LocalSite) -> Iterator[Site]:
    """Lend the parts of a site without its threads: the test drives the line and the uplink itself."""
    parts, _ = open_site(site.config)
    try:
        yield parts
    finally:
        parts.close()


def uplink_of(
    parts: Site, *, clock: Clock | None = None, chance: Callable[[], float] = lambda: DRAW, first_ms: int = 0
) -> Uplink:
    """Return an uplink for the line of *parts* that draws what the test says, beside the one that its threads have."""
    routing, asked = parts.uplink._routing, clock or parts.clock
    return Uplink(parts.line, routing=routing, clock=asked, chance=chance, draw=os.urandom, first_ms=first_ms)


@contextmanager
def serving(site: LocalSite, *, env: dict[str, str] | None = None) -> Iterator[int]:
    """Run the collector's own process, tell the site its address, lend its port."""
    command = [sys.executable, "-m", "edge_sdk", "collector", "serve", str(site.collector), "--port", "0"]
    pipe, chosen = subprocess.PIPE, env or environ()
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=chosen) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            port = int(line.rsplit(":", 1)[1])
            text = site.toml.read_text().splitlines()
            site.toml.write_text(
                "\n".join(f'address = "http://127.0.0.1:{port}"' if row.startswith("address") else row for row in text)
            )
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=START_S)


def environ() -> dict[str, str]:
    """Return the environment in which a child finds the package as this process does."""
    paths = [path for path in sys.path if path] if os.environ.get("EDGE_TEST_WHEEL") != "1" else []
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)} if paths else dict(os.environ)


def later(now: Now, ms: int) -> Now:
    """Return the instant *ms* after *now* by every clock."""
    return replace(now, mono_ms=now.mono_ms + ms, wall_ms=now.wall_ms + ms, floor_ms=now.floor_ms + ms)


def reading(number: int, serial: str = CANARY) -> dict[str, Any]:
    """Return the fields of an inverter reading that carries its *number* as energy."""
    return {"serial": serial, "power": 100.0 + number / 10, "energy": number, "state": "on"}


def readings_file(path: Path, count: int, *, at_ms: int) -> Path:
    """Write *count* readings as JSON Lines, a second apart."""
    lines = [
        json.dumps({"kind": "inverter", "at_ms": at_ms + 1000 * number, "fields": reading(number)})
        for number in range(count)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def found_in(folder: Path, *needles: bytes) -> list[str]:
    """Return the names of the files under *folder* that hold any of *needles*."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if any(n in path.read_bytes() for n in needles)]
