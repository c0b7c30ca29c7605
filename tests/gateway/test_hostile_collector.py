"""
An uplink against a collector that lies, stalls and breaks off: nothing is lost, nothing is believed, all is retried.

The uplink is driven call by call with a scripted clock; requests go over real sockets with the real transport.
"""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from edge_sdk.clock import Now
from edge_sdk.collector.keyring import Places, read_role
from edge_sdk.core.batch import Reason
from edge_sdk.core.claims import Role, Status
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.keys import RoleSeed, epoch_of
from edge_sdk.core.receipt import STORED, TOO_LARGE, UNPROCESSABLE, Kind, Outcome, Receipt, sign_receipt
from edge_sdk.core.retry import CEILING_S, RETRY_AFTER_CEILING_S
from edge_sdk.courier import drive
from edge_sdk.errors import UplinkError
from edge_sdk.http_transport import HttpTransport
from edge_sdk.opening import Site
from edge_sdk.outbox import Held
from edge_sdk.transport import Response
from edge_sdk.uplink import PATIENCE, Errand, Trip, Uplink
from tests import site as sites
from tests.gateway.hostile import Exchange, Hostile, Misdeed, answer, hang, honest_but, honestly, hostile, raw, reset
from tests.site import LocalSite, later, reading

BATCHES = "/v1/batches"
T = TypeVar("T")
DRAW = 0.5


class Device:
    """A site whose uplink a test drives; time passes only when it says so."""

    def __init__(self, site: LocalSite, parts: Site, port: int, *, timeout_ms: int = 2_000) -> None:
        self.site = site
        self.parts = parts
        self.uplink = Uplink(
            parts.line,
            routing=parts.uplink._routing,
            clock=parts.clock,
            chance=lambda: DRAW,
            draw=os.urandom,
            first_ms=0,
        )
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


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    return sites.local_site(tmp_path)


@pytest.fixture
def server(site: LocalSite) -> Iterator[Hostile]:
    with hostile(site.collector) as server:
        yield server


@pytest.fixture
def device(site: LocalSite, server: Hostile) -> Iterator[Device]:
    with sites.opened(site) as parts:
        device = Device(site, parts, server.port, timeout_ms=400)
        yield device
        device.close()


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


def test_the_plain_case_first_a_downlink_then_the_batch_and_its_receipt(device: Device, server: Hostile) -> None:
    device.record(3)
    device.hear()
    assert server.paths() == ["/v1/downlink"]  # the recipients document came with the enrolment
    device.go()
    assert server.paths() == ["/v1/downlink", BATCHES]
    assert device.queue() == []
    assert [row.fields["energy"] for row in device.site.rows()] == [0, 1, 2]


def wrong_seed() -> RoleSeed:
    return RoleSeed(b"\x07" * 32)


def other_batch(exchange: Exchange, site: LocalSite) -> bytes:
    return signed(exchange, receipt_seed(site), batch_id=bytes(16))


def other_body(exchange: Exchange, site: LocalSite) -> bytes:
    return signed(exchange, receipt_seed(site), more=b"\x00")


def other_key(exchange: Exchange, _: LocalSite) -> bytes:
    return signed(exchange, wrong_seed())


def other_role(exchange: Exchange, site: LocalSite) -> bytes:
    return signed(exchange, receipt_seed(site, Role.TIME))


def changed_receipt(exchange: Exchange, site: LocalSite) -> bytes:
    receipt = bytearray(signed(exchange, receipt_seed(site)))
    receipt[60] ^= 1
    return bytes(receipt)


FORGERIES: dict[str, Callable[[Exchange, LocalSite], bytes]] = {
    "for another batch": other_batch,
    "for another body": other_body,
    "signed by another key": other_key,
    "signed by another role": other_role,
    "changed in one bit": changed_receipt,
    "cut short": lambda exchange, site: signed(exchange, receipt_seed(site))[:-1],
    "longer by a byte": lambda exchange, site: signed(exchange, receipt_seed(site)) + b"\x00",
    "not there": lambda exchange, site: b"",
    "a captive portal's page": lambda exchange, site: b"<html>Please log in</html>",
    "a mebibyte and more": lambda exchange, site: bytes((1 << 20) + 1),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_receipt_that_does_not_verify_forgets_and_refuses_nothing(
    device: Device, server: Hostile, forgery: str
) -> None:
    device.record(3)
    device.hear()
    before = device.queue()
    for status in (200, 413, 422):
        server.next(BATCHES, forged(FORGERIES[forgery], device.site, status))
        device.go()
        assert device.queue() == before
        device.wait(CEILING_S)
    assert device.parts.line.rooms.outbox.aside() == []
    device.go()
    assert device.queue() == []
    assert len(device.site.rows()) == 3


@pytest.mark.parametrize(("status", "result"), [(413, TOO_LARGE), (422, UNPROCESSABLE), (200, TOO_LARGE)])
def test_a_signed_refusal_sets_the_batch_aside_and_tells_the_gap(
    device: Device, server: Hostile, status: int, result: int
) -> None:
    device.record(3, batches=2)
    device.hear()
    first = device.queue()[0]
    server.next(BATCHES, lambda exchange: exchange.send(status, signed(exchange, receipt_seed(device.site), result)))
    device.go()
    assert first not in device.queue()
    assert [row[2:5] for row in device.parts.line.rooms.outbox.aside()] == [(0, 2, "invalid")]
    gaps = [gap for s in device.parts.line.binding.streams.values() for _, gap in s.record.gaps]
    assert [(gap.first, gap.last, gap.reason) for gap in gaps] == [(0, 2, Reason.INVALID)]
    device.deliver_all()
    device.parts.line.step(device.now, close=True)
    device.deliver_all()
    assert [gap.reason for gap in device.site.gaps()] == [Reason.INVALID]
    assert len(device.site.rows()) == 3


def forged(receipt: Callable[[Exchange, LocalSite], bytes], site: LocalSite, status: int) -> Misdeed:
    return lambda exchange: exchange.send(status, receipt(exchange, site))


UNREACHED = {
    "500": answer(500),
    "502 with a page": answer(502, b"<html>bad gateway</html>"),
    "503": answer(503),
    "401": answer(401),
    "408": answer(408),
    "429": answer(429),
    "a reset": reset,
    "silence": hang,
    "an answer that is no HTTP": raw(b"220 smtp.example ESMTP\r\n\r\n"),
    "an answer cut in its head": raw(b"HTTP/1.1 200 OK\r\nContent-"),
    "an answer cut in its body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort"),
    "an endless header": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nshort"),
    "a negative length": raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
    "a broken chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
    "nothing": raw(b""),
}


@pytest.mark.parametrize("name", UNREACHED)
def test_without_an_answer_that_counts_the_batch_waits_and_is_delivered_later(
    device: Device, server: Hostile, name: str
) -> None:
    device.record(3)
    device.hear()
    before = device.queue()
    server.next(BATCHES, UNREACHED[name])
    device.go()
    assert device.queue() == before
    assert device.idle()
    assert device.uplink.last_error
    device.deliver_all()
    assert len(device.site.rows()) == 3


def test_nobody_listening_costs_nothing_but_time(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        device = Device(site, parts, 9)
        device.record(3)
        before = device.queue()
        for _ in range(8):
            device.go()
            assert device.idle()
            device.wait(CEILING_S)
        assert device.queue() == before
        assert device.uplink.last_error == "the collector could not be reached"
        device.close()


def wait_of(device: Device) -> float:
    """Return for how many seconds the uplink asks nothing."""
    started = device.now
    for step in range(0, 8_000_000, 100):
        device.now = later(started, step)
        if not device.idle():
            device.now = started
            return step / 1000
    raise AssertionError("it waits for good")


def test_waits_double_with_each_failure_up_to_the_ceiling(device: Device, server: Hostile) -> None:
    device.record(1)
    device.hear()
    server.next(BATCHES, *[answer(500)] * 12)
    waits = []
    for _ in range(12):
        device.go()
        waits.append(wait_of(device))
        device.wait(waits[-1] + 0.1)
    assert waits[:4] == pytest.approx([DRAW * 2, DRAW * 4, DRAW * 8, DRAW * 16], abs=0.2)
    assert waits[-1] == pytest.approx(DRAW * CEILING_S, abs=0.2)


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_retry_after_is_respected(device: Device, server: Hostile, status: int, as_date: bool) -> None:
    device.record(1)
    device.hear()
    date = email.utils.formatdate(device.now.wall_s + 120, usegmt=True)
    server.next(BATCHES, answer(status, b"", f"Retry-After: {date if as_date else 120}"))
    device.go()
    assert wait_of(device) == pytest.approx(120, abs=1.2)


@pytest.mark.parametrize("value", ["31536000", "9" * 18, "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_retry_after_silences_a_device_for_an_hour_at_most(device: Device, server: Hostile, value: str) -> None:
    device.record(1)
    device.hear()
    server.next(BATCHES, answer(503, b"", f"Retry-After: {value}"))
    device.go()
    assert wait_of(device) == pytest.approx(RETRY_AFTER_CEILING_S, abs=1)


@pytest.mark.parametrize("value", ["soon", "-5", "", "1.5", "9" * 400, "\u00e9"])
def test_a_retry_after_that_says_nothing_is_passed_over(device: Device, server: Hostile, value: str) -> None:
    device.record(1)
    device.hear()
    server.next(BATCHES, lambda exchange: exchange.send(503, b"", f"Retry-After: {value}"))
    device.go()
    assert wait_of(device) == pytest.approx(DRAW * 2, abs=0.2)


@pytest.mark.parametrize("name", ["409", "500", "a reset", "200 without a receipt"])
def test_one_bad_batch_never_blocks_the_next(device: Device, server: Hostile, name: str) -> None:
    misdeed = {
        "409": answer(409), "500": answer(500), "a reset": reset, "200 without a receipt": answer(200),
    }[name]  # fmt: skip
    device.record(1, batches=4)
    device.hear()
    bad = device.queue()[0]

    server.always(BATCHES, lambda exchange: (misdeed if bad.batch_id in exchange.body else honestly)(exchange))
    for _ in range(20):
        if not device.idle():
            device.go()
        device.wait(30)
    assert device.queue() == [bad]
    server.always(BATCHES, None)
    device.deliver_all()
    assert len(device.site.rows()) == 4


def test_a_receipt_that_is_lost_means_the_batch_is_sent_again_and_stored_once(
    device: Device, server: Hostile
) -> None:
    device.record(3)
    device.hear()
    server.next(BATCHES, honest_but(lambda response: replace(response, body=b"", status=502)))
    device.go()
    assert len(device.queue()) == 1
    device.deliver_all()
    assert len(device.site.rows()) == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(device: Device, server: Hostile, status: int, tmp_path: Path) -> None:
    elsewhere = sites.local_site(tmp_path / "elsewhere")
    device.record(1)
    device.hear()
    with hostile(elsewhere.collector) as other:
        server.next(BATCHES, answer(status, b"", f"Location: http://127.0.0.1:{other.port}{BATCHES}"))
        device.go()
        assert other.exchanges == []
    assert len(device.queue()) == 1


def test_a_gzip_bomb_is_not_inflated(device: Device, server: Hostile) -> None:
    device.record(1)
    device.hear()
    bomb = gzip.compress(bytes(50 << 20))
    assert len(bomb) < 1 << 20
    server.next(BATCHES, answer(200, bomb, "Content-Encoding: gzip"))
    response = device.go()
    assert response is not None
    assert response.body == bomb
    assert len(device.queue()) == 1


def test_cookies_are_neither_kept_nor_sent(device: Device, server: Hostile) -> None:
    device.record(1, batches=2)
    server.next("/v1/downlink", honest_but(lambda response: response))
    device.hear()
    server.next(BATCHES, answer(503, b"", "Set-Cookie: device=1; Path=/"))
    device.go()
    device.deliver_all()
    assert not any(b"cookie" in exchange.head.lower() for exchange in server.exchanges)


def test_two_devices_send_the_same_header_names_in_the_same_order_and_one_user_agent(
    device: Device, server: Hostile, tmp_path: Path
) -> None:
    device.record(2)
    device.deliver_all()
    other_site = sites.local_site(tmp_path / "other", granted=())
    with hostile(other_site.collector) as other_server, sites.opened(other_site) as parts:
        other = Device(other_site, parts, other_server.port)
        other.record(30)
        other.deliver_all()
        other.close()
        shapes = [
            {(exchange.path, tuple(exchange.header_names)) for exchange in each.exchanges}
            for each in (server, other_server)
        ]
        assert shapes[0] == shapes[1]
        assert {path: list(names) for path, names in shapes[0]} == {
            "/v1/downlink": [b"Host", b"User-Agent", b"Authorization"],
            "/v1/root/2": [b"Host", b"User-Agent", b"Authorization"],
            BATCHES: [b"Host", b"User-Agent", b"Authorization", b"Content-Type", b"Content-Length"],
        }
        agents = {e.header(b"User-Agent") for each in (server, other_server) for e in each.exchanges}
        assert agents == {b"edge-sdk/1"}


def test_nothing_is_sent_before_a_fresh_downlink_after_a_start(device: Device, server: Hostile) -> None:
    device.record(1)
    server.next("/v1/downlink", answer(404), answer(200, b""), answer(200, b"\x00" * 4_300), hang)
    for _ in range(4):
        assert device.trip().errand is Errand.DOWNLINK
        device.go()
        device.wait(CEILING_S)
    assert BATCHES not in server.paths()
    device.deliver_all()
    assert server.paths()[-2:] == [BATCHES, "/v1/root/2"]


def test_a_day_without_news_stops_sending_until_there_is_some(device: Device, server: Hostile) -> None:
    device.hear()
    device.record(1)
    device.wait(86_400)
    assert device.trip().errand is Errand.DOWNLINK


def downlink_of(device: Device, server: Hostile) -> bytes:
    device.make(device.trip())
    answered = server.exchanges[-1].answered
    assert answered is not None
    return answered.body


def test_yesterdays_downlink_opens_nothing_today(device: Device, server: Hostile) -> None:
    device.record(1)
    old = downlink_of(device, server)
    device.wait(86_400)
    server.next("/v1/downlink", answer(200, old))
    device.go()
    assert "of another day" in device.uplink.last_error
    assert not device.parts.line.consent.is_fresh(device.now)


def test_the_downlink_of_another_device_opens_nothing(device: Device, server: Hostile, tmp_path: Path) -> None:
    other_site = sites.local_site(tmp_path / "other", granted=())
    with hostile(other_site.collector) as other_server, sites.opened(other_site) as parts:
        other = Device(other_site, parts, other_server.port)
        foreign = downlink_of(other, other_server)
        other.close()
    server.next("/v1/downlink", answer(200, foreign))
    device.go()
    assert not device.parts.line.consent.is_fresh(device.now)
    assert "failed authentication" in device.uplink.last_error


def test_an_older_statement_in_todays_downlink_is_refused(device: Device, server: Hostile) -> None:
    old = downlink_of(device, server)
    device.site.set_grant("research", Status.GIVEN)
    device.parts.line.consent._heard_mono_ms = None
    device.go()
    assert device.parts.line.consent.statement is not None
    newest = device.parts.line.consent.statement.version
    assert newest > 1
    device.parts.line.consent._heard_mono_ms = None
    server.next("/v1/downlink", answer(200, old))
    device.go()
    assert device.parts.line.consent.statement.version == newest
    assert not device.parts.line.consent.is_fresh(device.now)


def test_a_receipt_announces_news_and_the_next_request_fetches_it(device: Device, server: Hostile) -> None:
    device.record(1, batches=2)
    device.hear()
    device.site.set_grant("research", Status.GIVEN)
    device.go()
    assert device.trip().errand is Errand.DOWNLINK
    device.go()
    device.parts.line.step(device.now)
    assert device.parts.line.recording.allowed("inverter", "ssid")


def test_tags_change_with_the_epoch_and_are_made_at_the_moment_of_sending(device: Device, server: Hostile) -> None:
    device.record(1)
    today = device.trip()
    device.wait(86_400)
    tomorrow = device.trip()
    assert (today.epoch, tomorrow.epoch) == (epoch_of(device.now.wall_s) - 1, epoch_of(device.now.wall_s))
    tags = [trip.request.headers["Authorization"].split(":")[0] for trip in (today, tomorrow)]
    assert tags[0] != tags[1]


def test_no_connection_carries_the_tags_of_two_epochs(device: Device, server: Hostile) -> None:
    midnight = (epoch_of(device.now.wall_s) + 1) * 86_400_000
    device.record(1)
    times = [device.now, device.now, replace_wall(device.now, midnight - 1), replace_wall(device.now, midnight + 1)]
    stopped = asyncio.Event()
    trips = 0

    async def on_writer(job: Callable[[Now], T]) -> T:
        nonlocal trips
        now = times[min(trips // 2, len(times) - 1)]
        trips += 1
        result = job(now)
        device.parts.line.consent._heard_mono_ms = None  # ask for the downlink over and over
        if trips == 2 * len(times):
            stopped.set()
        return result

    asyncio.run(drive(device.uplink, device.transport, on_writer=on_writer, stopped=stopped))
    by_connection: dict[int, set[bytes]] = {}
    for exchange in server.exchanges:
        by_connection.setdefault(exchange.connection, set()).add(exchange.header(b"Authorization")[:37])
    assert len({tag for tags in by_connection.values() for tag in tags}) == 2
    assert all(len(tags) == 1 for tags in by_connection.values())
    assert len(by_connection) == 2


def replace_wall(now: Now, wall_ms: int) -> Now:
    return later(now, wall_ms - now.wall_ms)


def test_a_collector_that_answers_each_batch_badly_is_given_time(device: Device, server: Hostile) -> None:
    device.record(1, batches=PATIENCE + 2)
    device.hear()
    server.next(BATCHES, *[answer(200)] * (PATIENCE + 2))
    for _ in range(PATIENCE):
        assert not device.idle()
        device.go()
    assert device.idle()
    device.deliver_all()
    assert len(device.site.rows()) == PATIENCE + 2


def test_the_last_trouble_is_told_and_forgotten_when_it_is_over(device: Device, server: Hostile) -> None:
    device.record(1)
    device.hear()
    server.next(BATCHES, reset, answer(503))
    device.go()
    assert device.uplink.last_error == "the collector could not be reached"
    device.wait(CEILING_S)
    device.go()
    assert device.uplink.last_error == "the collector answered 503"
    device.deliver_all()
    assert device.uplink.last_error == ""


def test_a_late_receipt_for_a_batch_that_is_gone_does_no_harm(device: Device, server: Hostile) -> None:
    device.record(1)
    device.hear()
    trip = device.trip()
    device.make(trip)
    assert trip.parcel is not None
    device.parts.line.settle(trip.parcel, Outcome(Kind.ACKED, None, "receipt"), device.now, DRAW)
    assert device.queue() == []


