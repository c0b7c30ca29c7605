"""
Two plants at one collector on a clock that the tests move: what their recipients open, and what the intake is handed.

Everything is real: enrolment, line, seal, documents, the collector's databases; only the socket is left out.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_sdk.clock import Now, wall_s
from edge_sdk.collector import enrol_code, open_reception
from edge_sdk.collector.founding import Founding, init_collector
from edge_sdk.collector.intake import Limits
from edge_sdk.collector.intake import Request as Handed
from edge_sdk.collector.keyring import Places, read_recipients
from edge_sdk.collector.reception import Reception
from edge_sdk.collector.store import IntakeStore
from edge_sdk.config import Config
from edge_sdk.core import cbor, keys
from edge_sdk.core.batch import Batch, ClockQuality, decode_batch
from edge_sdk.core.claims import ALG_HPKE_X_WING, Mechanism
from edge_sdk.core.envelope import outer
from edge_sdk.core.policy import Purpose, purpose_digest
from edge_sdk.core.seal import open_batch
from edge_sdk.core.units import DAY_MS, HOUR_MS, MINUTE_MS
from edge_sdk.enrol import enrol
from edge_sdk.opening import Site, open_site
from edge_sdk.policy_file import load_policy
from edge_sdk.transport import Request, Response
from edge_sdk.uplink import Errand, Trip

POLICY: Final = """
[policy]
name = "plant"
version = "1"

[kinds.inverter]
source = "serial"
max_sources = 8
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 24 }
power = { class = "telemetry", type = "number", unit = "W", min = 0, max = 100000, resolution = 0.001 }
heat = { class = "telemetry", type = "number", unit = "C", min = -60, max = 1000, resolution = 0.00001 }
lan_ip = { class = "network_identifier", type = "ip" }
mac = { class = "network_identifier", type = "mac" }
ssid = { class = "network_identifier", type = "text", max_length = 32 }

[purposes.care]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
keep_at_most = "30d"
[purposes.care.views.inverter.fields]
serial = { pseudonym = "1d" }
mac = { pseudonym = "1d" }
power = "keep"

[purposes.study]
basis = "consent"
dpv = "dpv:ResearchAndDevelopment"
recipient = "research-eu"
regions = ["EU"]
keep_at_most = "30d"
[purposes.study.views.inverter]
every = "7min"
[purposes.study.views.inverter.fields]
serial = { pseudonym = "1d" }
mac = { window = "last", pseudonym = "1d" }
heat = { window = "mean" }
"""
SITE: Final = """
[site]
name = "test"
policy = "policy.toml"
[collector]
address = "http://127.0.0.1:9"
root = "../collector/root.cose"
jitter = "1ms"
[batch]
cipher = "a256gcm"
[outbox]
reserve = "1 KB"
reserve_inodes = 0
"""
BATCHES_A_DAY: Final = 3


@dataclass
class OpenedStream:
    """What a recipient reads of one stream: what its batches say, and the byte strings they say it with."""

    purpose: Purpose
    batches: list[Batch] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)

    def take(self, payload: bytes, batch: Batch) -> None:
        """
        Add one batch: every byte string in it, its tables inflated, but what its purpose declares.

        Declared for every device alike are the digest, in which order sources were heard, and of windows where they
        begin and how many readings they count (a grid of times deflates to the same bits everywhere). Between the
        parts stand whole numbers: row numbers and lengths.
        """
        self.batches.append(batch)
        content = cbor.decode(payload, 1 << 20)
        assert isinstance(content, dict)
        assert set(content) == {0, 1, 2, 3, 4, 5, 6, 7, 9}
        assert (content[0], content[4], content[5], content[6]) == (1, batch.digest, 0, [])
        self.parts += [content[1], content[9]]
        tables = cbor.decode(zlib.decompress(content[7], -zlib.MAX_WBITS), 1 << 20)
        assert isinstance(tables, list)
        for at, _, leading, columns in tables:
            view = self.purpose.views[at]
            self.parts += leading if view.every_ms is None else []
            for view_field, column in zip(view.fields, columns, strict=True):
                self.parts += column[0] if view_field.is_text else [column]


@dataclass
class Plant:
    """One device, and everything the intake was handed of it, by epoch."""

    folder: Path
    collector: Path
    chance: random.Random
    envelopes: dict[int, list[bytes]] = field(default_factory=dict)
    asked: dict[int, list[Request]] = field(default_factory=dict)
    told: dict[int, list[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return Config.read(self.folder / "site.toml")

    def serials(self) -> list[str]:
        return [f"{self.folder.name}-CANARY-{number}" for number in range(3)]

    def readings(self, at_ms: int) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield readings of half an hour that share nothing but the serials with those of another day."""
        for number, serial in enumerate(self.serials()):
            when = at_ms
            while (when := when + self.chance.randrange(40_000, 90_000)) < at_ms + 30 * MINUTE_MS:
                fields = {
                    "serial": serial,
                    "power": self.chance.randrange(10**8) / 1000,
                    "heat": self.chance.randrange(10**8) / 100_000,
                    "lan_ip": f"192.168.77.{20 + number}",
                    "mac": f"02:00:5e:10:0{number}:{len(self.folder.name):02x}",
                    "ssid": f"{self.folder.name}-CANARY-ssid",
                }
                yield fields, when

    def day(self, site: Site, reception: Reception, now: Now) -> None:
        """Live through one day from *now* on: readings, batches and uploads, a few hours apart."""
        for hours in range(0, 4 * BATCHES_A_DAY, 4):
            later = shifted(now, hours * HOUR_MS)
            site.line.step(later)
            for fields, at_ms in self.readings(later.wall_ms):
                assert site.line.recording.record("inverter", fields, at_ms) == 2
            site.line.step(later, close=True, cut=True)
            self._send(site, reception, later)

    def _send(self, site: Site, reception: Reception, now: Now) -> None:
        while isinstance(trip := site.uplink.next_trip(now), Trip):
            epoch = keys.epoch_of(now.wall_s)
            self.asked.setdefault(epoch, []).append(trip.request)
            if trip.parcel is not None:
                self.envelopes.setdefault(epoch, []).append(trip.request.body)
            response = answered(reception, trip.request, now.wall_s)
            wanted = 404 if trip.errand is Errand.ROOT else 200  # there is no newer root
            assert response.status == wanted, trip.request.path
            site.uplink.settle(trip, response, now)

    def published(self, epoch: int) -> list[bytes]:
        """Return what the authority hands the intake of this device for one epoch."""
        secret = keys.RoutingSecret(routing_of(self))
        route = keys.route(secret, epoch)
        with closing(IntakeStore(Places(self.collector).store)) as store:
            row = store.tag_row(route.tag, (epoch,))
            assert row is not None
            downlink = store.downlink(row)
            assert downlink is not None
            return [row.tag, row.mac_key, row.downlink_hash, downlink]

    def streams(self, *, epochs: Iterable[int]) -> list[OpenedStream]:
        """Return what the recipients open, stream by stream."""
        seeds = read_recipients(Places(self.collector).opener)
        policy = load_policy(POLICY, where="policy.toml")
        purposes = {purpose_digest(purpose): purpose for purpose in policy.purposes.values()}
        streams: dict[bytes, OpenedStream] = {}
        for body in (body for epoch in epochs for body in self.envelopes[epoch]):
            alg, seed = seeds[outer(body).kid]
            opened = open_batch(body, recipient_seed=seed, alg=alg)
            batch = decode_batch(opened.payload, lambda digest: purposes[digest].views)
            stream = streams.setdefault(opened.stream_id, OpenedStream(purposes[batch.digest]))
            stream.take(opened.payload, batch)
        return [stream for stream in streams.values() if any(batch.tables for batch in stream.batches)]


class ByHand:
    """A transport of one reception, at the real time: for enrolling."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def send(self, request: Request) -> Response:
        return answered(self._reception, request, wall_s())

    async def close(self) -> None:
        pass


def answered(reception: Reception, request: Request, now_s: int) -> Response:
    handed = Handed(request.method, request.path, request.headers.get("Authorization"), request.body)
    answer = reception.answer(handed, now_s)
    return Response(answer.status, {}, answer.body)


def routing_of(plant: Plant) -> bytes:
    from edge_sdk.vault import read_lane

    return read_lane(plant.config.folder).routing.reveal()


def shifted(now: Now, ms: int) -> Now:
    return Now(now.mono_ms + ms, now.wall_ms + ms, now.floor_ms + ms, ClockQuality.WALL)


def next_noon() -> Now:
    noon_ms = (wall_s() * 1000 // DAY_MS + 1) * DAY_MS + 6 * HOUR_MS
    return Now(10**12, noon_ms, noon_ms, ClockQuality.WALL)


@contextmanager
def founded(folder: Path) -> Iterator[Reception]:
    """Lend the reception of a new collector in *folder*."""
    policies = [load_policy(POLICY, where="policy.toml")]
    founding = Founding(policies, "EU", Mechanism.NONE, ("study",), test=True, alg=ALG_HPKE_X_WING)
    init_collector(folder, founding, now_s=wall_s(), draw=secrets.token_bytes)
    with open_reception(folder, limits=Limits()) as reception:
        yield reception


def enrolled(folder: Path, collector: Path, reception: Reception) -> Plant:
    """Return a new plant in *folder*, enrolled and never started."""
    folder.mkdir()
    (folder / "policy.toml").write_text(POLICY)
    (folder / "site.toml").write_text(SITE)
    plant = Plant(folder, collector, random.Random(folder.name))
    code = enrol_code(collector, now_s=wall_s())
    asyncio.run(enrol(plant.config, code, ByHand(reception)))
    return plant


def two_days(plant: Plant, reception: Reception) -> tuple[int, int]:
    """Have *plant* live through two days; return their epochs."""
    site, _ = open_site(plant.config)
    try:
        for now in (next_noon(), shifted(next_noon(), DAY_MS)):
            reception.upkeep(now.wall_s)
            plant.day(site, reception, now)
            epoch = keys.epoch_of(now.wall_s)
            plant.told[epoch] = plant.published(epoch)
    finally:
        site.close()
    first, second = sorted(plant.envelopes)
    return first, second
