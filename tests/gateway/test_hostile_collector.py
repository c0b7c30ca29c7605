"""
An uplink against a collector that lies, stalls and breaks off: nothing is lost, nothing is believed, all is retried.

The uplink is driven call by call with a scripted clock; requests go over real sockets with the real transport.
"""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from edge_sdk.core.batch import Reason
from edge_sdk.core.claims import Role
from edge_sdk.core.receipt import TOO_LARGE, UNPROCESSABLE
from edge_sdk.core.retry import CEILING_S, RETRY_AFTER_CEILING_S, SPREAD
from tests import site as sites
from tests.gateway.device import BATCHES, Device, receipt_seed, signed, wrong_seed
from tests.gateway.hostile import Exchange, Hostile, Misdeed, answer, hang, honest_but, honestly, raw, reset
from tests.site import DRAW, LocalSite, later

T = TypeVar("T")


def test_the_plain_case_first_a_downlink_then_the_batch_and_its_receipt(device: Device, server: Hostile) -> None:
    device.record(3)
    device.hear()
    assert server.paths() == ["/v1/downlink"]  # the recipients document came with the enrolment
    device.go()
    assert server.paths() == ["/v1/downlink", BATCHES]
    assert device.queue() == []
    assert [row.fields["energy"] for row in device.site.rows()] == [0, 1, 2]


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
    assert wait_of(device) == pytest.approx(120 * (1 + DRAW * SPREAD), abs=1.2)


@pytest.mark.parametrize("value", ["31536000", "9" * 18, "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_retry_after_silences_a_device_for_an_hour_and_a_quarter_at_most(
    device: Device, server: Hostile, value: str
) -> None:
    device.record(1)
    device.hear()
    server.next(BATCHES, answer(503, b"", f"Retry-After: {value}"))
    device.go()
    assert wait_of(device) == pytest.approx(RETRY_AFTER_CEILING_S * (1 + DRAW * SPREAD), abs=1)


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


def test_a_receipt_that_is_lost_means_the_batch_is_sent_again_and_stored_once(device: Device, server: Hostile) -> None:
    device.record(3)
    device.hear()
    server.next(BATCHES, honest_but(lambda response: replace(response, body=b"", status=502)))
    device.go()
    assert len(device.queue()) == 1
    device.deliver_all()
    assert len(device.site.rows()) == 3


def test_an_operator_who_stands_at_the_device_is_tried_for_before_the_wait_is_over(device: Device) -> None:
    device.hear()
    device.record(3)
    device.uplink.settle(device.trip(), None, device.now)
    assert device.idle()
    device.uplink.hurry_once()
    assert device.idle(), "whoever drains waits as everybody does"
    device.parts.line.queueing.hurry()
    device.uplink.hurry_once(although_failed=True)
    device.go()
    assert device.queue() == []
