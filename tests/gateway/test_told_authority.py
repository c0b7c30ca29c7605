"""
What a device tells its authority arrives there, once, and is kept until a receipt for it verifies.

The other side is real but for the answers a test scripts; the authority reads what came with its own upkeep.
"""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from edge_sdk.collector.casebook import Casebook, Withdrawn
from edge_sdk.collector.folder import open_authority
from edge_sdk.collector.keyring import Places
from edge_sdk.collector.registry import Registry
from edge_sdk.core.messages import EndedStream, Withdrawal
from edge_sdk.core.receipt import TOO_LARGE, UNPROCESSABLE
from edge_sdk.core.retry import CEILING_S
from edge_sdk.telling import KEPT_FREE, MAX_MESSAGES
from edge_sdk.uplink import Errand
from tests import site as sites
from tests.gateway.device import BATCHES, Device, receipt_seed, signed, wrong_seed
from tests.gateway.hostile import Exchange, Hostile, answer, hang, honest_but, raw, reset
from tests.site import LocalSite

CONTROL = "/v1/control"
TRIES = 6


def upkeep(device: Device) -> None:
    with open_authority(device.site.collector) as authority:
        authority.upkeep(device.now.wall_s)


def grants(site: LocalSite, purpose: str) -> list[str]:
    """Return the statuses the registry holds for the grants of *purpose*, oldest first."""
    with closing(Registry(Places(site.collector).registry)) as registry:
        return [grant.status for grant in registry.grants() if grant.purpose == purpose]


def withdrawals(site: LocalSite) -> list[Withdrawn]:
    with closing(Registry(Places(site.collector).registry)) as registry:
        return Casebook(registry.database).withdrawals()


def withdraw(device: Device) -> None:
    device.hear()
    device.parts.line.withdraw("improvement", device.now)


def tell_all(device: Device) -> None:
    """Let hours pass until nothing waits to be told."""
    for _ in range(TRIES):
        while not device.idle():
            device.go()
        if waiting(device) == 0:
            return
        device.wait(CEILING_S)
    raise AssertionError("not told")


def waiting(device: Device) -> int:
    """Return how many messages wait, sealed or not."""
    outbox = device.parts.line.rooms.outbox
    sealed = outbox._number("SELECT COUNT(*) FROM control")
    return sealed + len(device.parts.line.consent.held.to_tell)


def bodies(server: Hostile, path: str) -> list[bytes]:
    return [exchange.body for exchange in server.exchanges if exchange.path == path]


def test_a_withdrawal_on_the_device_withdraws_the_grant_at_the_authority(device: Device) -> None:
    withdraw(device)
    tell_all(device)
    upkeep(device)
    assert grants(device.site, "improvement") == ["withdrawn"]


def test_the_next_statement_confirms_the_withdrawal_to_the_device(device: Device) -> None:
    withdraw(device)
    tell_all(device)
    upkeep(device)
    device.parts.line.consent._heard_mono_ms = None
    device.hear()
    statement = device.parts.line.consent.statement
    assert statement is not None
    assert [grant.status for grant in statement.grants if grant.purpose == "improvement"] == ["withdrawn"]


def test_a_withdrawal_is_told_before_anything_else_is_asked_or_sent(device: Device, server: Hostile) -> None:
    device.record(3)
    withdraw(device)
    device.deliver_all()
    told = [path for path in server.paths() if path in (CONTROL, BATCHES)]
    assert told == [CONTROL, CONTROL, BATCHES]  # the withdrawal, and the stream that ended with it


def test_nothing_that_another_collector_serves_changes_by_a_withdrawal(device: Device, tmp_path: Path) -> None:
    other = sites.local_site(tmp_path / "other")
    withdraw(device)
    tell_all(device)
    upkeep(device)
    assert grants(other, "improvement") == ["given"]


def test_the_downlink_before_and_after_a_withdrawal_is_equally_long(device: Device, server: Hostile) -> None:
    withdraw(device)
    tell_all(device)
    upkeep(device)
    device.parts.line.consent._heard_mono_ms = None
    device.hear()
    answered = [each.answered for each in server.exchanges if each.path == "/v1/downlink"]
    assert len({len(response.body) for response in answered if response is not None}) == 1
    assert len(answered) >= 2


def test_neither_the_name_nor_the_grant_of_what_was_withdrawn_is_readable_on_the_wire(
    device: Device, server: Hostile
) -> None:
    device.record(3)
    device.hear()
    statement = device.parts.line.consent.statement
    assert statement is not None
    ids = [grant.id for grant in statement.grants if grant.purpose == "improvement"]
    withdraw(device)
    device.deliver_all()
    sent = b"".join(exchange.head + exchange.body for exchange in server.exchanges)
    assert bodies(server, CONTROL)
    assert [needle for needle in (b"improvement", b"withdraw", *ids) if needle in sent] == []


def test_a_batch_after_a_withdrawal_is_as_long_as_one_before_it(device: Device, server: Hostile) -> None:
    device.record(3)
    device.deliver_all()
    withdraw(device)
    tell_all(device)
    device.record(3)
    device.deliver_all()
    lengths = [len(body) for body in bodies(server, BATCHES)]
    assert lengths[-1] in lengths[:-1]


def half_close(exchange: Exchange) -> None:
    """Say that nothing more will be said, and stay."""
    exchange.socket.shutdown(socket.SHUT_WR)
    exchange.released.wait(0.6)
    raise ConnectionError


def by_another_key(exchange: Exchange) -> None:
    exchange.send(200, signed(exchange, wrong_seed()))


MISDEEDS = {
    "200 without a receipt": answer(200),
    "200 with a page": answer(200, b"<html>welcome</html>"),
    "200 by another key": by_another_key,
    "401": answer(401),
    "403": answer(403),
    "404": answer(404),
    "408": answer(408),
    "409": answer(409),
    "413": answer(413),
    "422": answer(422),
    "429": answer(429),
    "500": answer(500),
    "503": answer(503),
    "a redirect": answer(307, b"", "Location: http://127.0.0.1:9/"),
    "a reset": reset,
    "a half-closed connection": half_close,
    "silence": hang,
    "half an answer": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort"),
    "a lost receipt": honest_but(lambda response: type(response)(502, {}, b"")),
}


@pytest.mark.parametrize("name", MISDEEDS)
def test_a_message_without_a_receipt_is_kept_and_told_once(device: Device, server: Hostile, name: str) -> None:
    withdraw(device)
    server.next(CONTROL, MISDEEDS[name])
    trip = device.trip()
    assert trip.errand is Errand.CONTROL
    device.go()
    assert waiting(device) == 2  # the withdrawal, and the stream that ended with it
    tell_all(device)
    upkeep(device)
    assert len(withdrawals(device.site)) == 1
    sent = bodies(server, CONTROL)
    assert sent.count(trip.request.body) == 2  # the same message again, not another one
    assert len(set(sent)) == 2


@pytest.mark.parametrize("name", ["200 without a receipt", "404", "409", "500", "a reset"])
def test_a_message_that_is_never_receipted_does_not_keep_batches_from_leaving(
    device: Device, server: Hostile, name: str
) -> None:
    device.record(3)
    withdraw(device)
    server.always(CONTROL, MISDEEDS[name])
    for _ in range(TRIES):
        while not device.idle():
            device.go()
        device.wait(CEILING_S)
    assert len(device.site.rows()) == 3
    assert waiting(device) == 2


def test_a_signed_receipt_forgets_the_message(device: Device) -> None:
    withdraw(device)
    device.go()
    assert waiting(device) == 1
    device.go()
    assert waiting(device) == 0


@pytest.mark.parametrize(("status", "result"), [(413, TOO_LARGE), (422, UNPROCESSABLE)])
def test_a_signed_refusal_forgets_the_message(device: Device, server: Hostile, status: int, result: int) -> None:
    withdraw(device)
    server.next(CONTROL, lambda exchange: exchange.send(status, signed(exchange, receipt_seed(device.site), result)))
    device.go()
    assert waiting(device) == 1


@pytest.mark.parametrize("sealed", [False, True], ids=["unsealed", "sealed"])
def test_a_message_survives_a_restart(site: LocalSite, server: Hostile, sealed: bool) -> None:
    with sites.opened(site) as parts:
        first = Device(site, parts, server.port)
        withdraw(first)
        if sealed:
            server.next(CONTROL, answer(503))
            first.go()
        first.close()
    with sites.opened(site) as parts:
        second = Device(site, parts, server.port)
        assert waiting(second) == 2
        tell_all(second)
        upkeep(second)
        second.close()
    assert len(withdrawals(site)) == 1
    assert grants(site, "improvement") == ["withdrawn"]


def test_offline_messages_queue_up_to_a_number_and_a_withdrawal_finds_a_place(device: Device) -> None:
    consent, telling = device.parts.line.consent, device.parts.line.telling
    consent.tell_later([EndedStream(n.to_bytes(16), "research", bytes(16), 5, 3, 2) for n in range(MAX_MESSAGES)])
    telling.seal_waiting(device.now)
    queued = device.parts.line.rooms.outbox.controls()
    assert queued == MAX_MESSAGES - KEPT_FREE
    device.parts.line.withdraw("improvement", device.now)
    telling.seal_waiting(device.now)
    assert len([told for told in consent.held.to_tell if isinstance(told, EndedStream)]) >= KEPT_FREE
    assert not [told for told in consent.held.to_tell if isinstance(told, Withdrawal)]
    tell_all(device)
    assert waiting(device) == 0
