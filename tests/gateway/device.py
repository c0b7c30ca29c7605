"""
A device that a test drives call by call: the real line and uplink, real sockets, and time that passes when told to.
"""

from __future__ import annotations

import asyncio
import hashlib

from edge_sdk.collector.keyring import Places, read_role
from edge_sdk.core.claims import Role
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.keys import RoleSeed
from edge_sdk.core.receipt import STORED, Receipt, sign_receipt
from edge_sdk.core.retry import CEILING_S
from edge_sdk.errors import UplinkError
from edge_sdk.http_transport import HttpTransport
from edge_sdk.opening import Site
from edge_sdk.order import Held
from edge_sdk.transport import Response
from edge_sdk.uplink import Trip
from tests.gateway.hostile import Exchange
from tests.site import LocalSite, later, reading, uplink_of

BATCHES = "/v1/batches"


class Device:
    """A site whose uplink a test drives; time passes only when it says so."""

    def __init__(self, site: LocalSite, parts: Site, port: int, *, timeout_ms: int = 2_000) -> None:
        self.site = site
        self.parts = parts
        self.uplink = uplink_of(parts)
        self.now = later(parts.clock.now(), 1)
        self.transport = HttpTransport(f"http://127.0.0.1:{port}", timeout_ms=timeout_ms)
        self._loop = asyncio.Runner()

    def record(self, count: int, *, batches: int = 1) -> None:
        """Queue *batches* sealed batches of *count* readings each."""
        for batch in range(batches):
            for number in range(count):
                assert self.parts.line.recording.record("inverter", reading(number, f"s{batch}"), self.now.wall_ms)
            self.parts.line.step(self.now, flush=True, close=True)

    def queue(self) -> list[Held]:
        return sorted(
            (held for queue in self.parts.line.rooms.outbox.queues.values() for held in queue.values()),
            key=lambda held: held.id,
        )

    def trip(self) -> Trip:
        trip = self.uplink.next_trip(self.now)
        assert isinstance(trip, Trip), f"nothing to do for {trip} ms"
        return trip

    def idle(self) -> bool:
        return not isinstance(self.uplink.next_trip(self.now), Trip)

    def go(self) -> Response | None:
        """Make one trip."""
        return self.make(self.trip())

    def make(self, trip: Trip) -> Response | None:
        try:
            response = self._loop.run(self.transport.send(trip.request))
        except UplinkError:
            response = None
        self.uplink.settle(trip, response, self.now)
        return response

    def hear(self) -> None:
        """Fetch what has to be there before anything is sent."""
        while (trip := self.uplink.next_trip(self.now)) and isinstance(trip, Trip) and trip.parcel is None:
            self.make(trip)

    def wait(self, seconds: float) -> None:
        self.now = later(self.now, int(seconds * 1000))

    def deliver_all(self) -> None:
        """Let hours pass until all is delivered."""
        for _ in range(50):
            while isinstance(self.uplink.next_trip(self.now), Trip):
                self.go()
            if not self.queue():
                return
            self.wait(CEILING_S)
        raise AssertionError("not delivered")

    def close(self) -> None:
        self._loop.run(self.transport.close())
        self._loop.close()


def receipt_seed(site: LocalSite, role: Role = Role.RECEIPT) -> RoleSeed:
    places = Places(site.collector)
    kid = next(iter(pinned_root(places.read_root()).roles[role].by_kid))
    seed = read_role(places.intake, role, kid)
    assert seed is not None
    return seed


BATCH_ID_LABEL = b"\x3a\x00\x01\x11\x79\x50"  # -70010 and the head of a byte string of 16


def signed(
    exchange: Exchange, seed: RoleSeed, result: int = STORED, *, batch_id: bytes = b"", more: bytes = b""
) -> bytes:
    """Return a receipt for what came, or for another batch id, or for a body with *more* at its end."""
    label = exchange.body.index(BATCH_ID_LABEL)
    found = batch_id or exchange.body[label + 6 : label + 22]
    digest = hashlib.sha256(exchange.body + more).digest()
    return sign_receipt(Receipt(found, digest, 1_790_000_000, None, result), seed)


def wrong_seed() -> RoleSeed:
    return RoleSeed(b"\x07" * 32)
