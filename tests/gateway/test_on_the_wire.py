"""
What a device does on the wire whoever answers: no redirects, no cookies, no news older than a day, one tag a day.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from edge_sdk.clock import Now
from edge_sdk.core.claims import Status
from edge_sdk.core.keys import epoch_of
from edge_sdk.core.receipt import Kind, Outcome
from edge_sdk.core.retry import CEILING_S
from edge_sdk.courier import drive
from edge_sdk.uplink import PATIENCE, Errand
from tests import site as sites
from tests.gateway.device import BATCHES, Device
from tests.gateway.hostile import Hostile, answer, hang, honest_but, hostile, reset
from tests.site import DRAW, later

T = TypeVar("T")


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
    assert device.parts.line.recording.totals()["documents_refused"] == 1


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

    async def watch(job: Callable[[Now], T | None]) -> T:
        while (found := await on_writer(job)) is None:
            await asyncio.sleep(0.001)
        return found

    asyncio.run(drive(device.uplink, device.transport, on_writer=on_writer, watch=watch, stopped=stopped))
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


