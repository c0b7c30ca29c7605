"""
The lane of a wipe receipt against everything a collector, a proxy or a portal may answer: it is kept until a receipt
for it verifies, and is delivered once the other side answers properly.
"""

from __future__ import annotations

import secrets
import time
from email.utils import formatdate

import pytest

from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import intake, operating
from edge_sdk.collector.rotation import Rotation, rotate_root
from edge_sdk.core.claims import Account, Role
from edge_sdk.core.keys import authorization, epoch_of, route
from edge_sdk.core.receipt import TOO_LARGE, UNPROCESSABLE, WipeReceipt
from edge_sdk.vault import read_lane
from tests import site as sites
from tests.gateway.device import receipt_seed, signed
from tests.gateway.hostile import Exchange, Hostile, answer
from tests.gateway.test_told_authority import CONTROL, MISDEEDS
from tests.gateway.test_wipe import deliver, names_in, point, wiped
from tests.site import LocalSite

TIME = "/v1/time"
ANSWER_MS = 400
DAY_S = 86_400
LANE = "lane.0.bin"


@pytest.fixture
def receipt(site: LocalSite, server: Hostile) -> WipeReceipt:
    """Wipe the site; its receipt waits in the lane and would go to the server."""
    receipt = wiped(site)
    point(site.state / LANE, f"http://127.0.0.1:{server.port}")
    return receipt


def bodies(server: Hostile) -> list[bytes]:
    return [exchange.body for exchange in server.exchanges if exchange.path == CONTROL]


def heard(site: LocalSite) -> list[WipeReceipt]:
    """Return the receipts the authority has verified."""
    return [erasure.receipt for erasure in operating.endings(site.collector, now_s=wall_s()).erasures]


@pytest.mark.parametrize("name", MISDEEDS)
def test_a_receipt_that_is_answered_badly_is_delivered_by_the_next_good_answer(
    site: LocalSite, server: Hostile, receipt: WipeReceipt, name: str
) -> None:
    server.next(CONTROL, *[MISDEEDS[name]] * 3)
    deliver(site, answer_ms=ANSWER_MS)
    assert names_in(site.state) == {"lock"}
    assert heard(site) == [receipt]
    assert len(set(bodies(server))) == 1


@pytest.mark.parametrize("name", MISDEEDS)
def test_a_receipt_is_kept_as_long_as_it_is_answered_badly(
    site: LocalSite, server: Hostile, receipt: WipeReceipt, name: str
) -> None:
    kept = (site.state / LANE).read_bytes()
    server.always(CONTROL, MISDEEDS[name])
    deliver(site, answer_ms=100, timeout_s=0.4)
    assert bodies(server)
    assert (site.state / LANE).read_bytes() == kept


@pytest.mark.parametrize("header", ["2", "a date"])
def test_a_receipt_waits_as_long_as_it_is_asked_to(
    site: LocalSite, server: Hostile, receipt: WipeReceipt, header: str
) -> None:
    begun = time.monotonic()
    wish = header if header == "2" else formatdate(time.time() + 3, usegmt=True)
    server.next(CONTROL, answer(503, b"", f"Retry-After: {wish}"))
    deliver(site)
    assert time.monotonic() - begun >= 2
    assert len(bodies(server)) == 2  # no try before its time, though the back-off would have had many
    assert heard(site) == [receipt]


def test_a_lane_that_was_asked_to_wait_holds_up_no_other(
    site: LocalSite, server: Hostile, receipt: WipeReceipt
) -> None:
    server.next(CONTROL, answer(503, b"", "Retry-After: 3600"))
    deliver(site, timeout_s=0.5)
    kept = (site.state / LANE).read_bytes()
    (site.state / "lane.1.bin").write_bytes(kept)  # the same receipt a second time serves as another one
    server.next(CONTROL, answer(503, b"", "Retry-After: 3600"))
    deliver(site, timeout_s=2)
    assert names_in(site.state) == {"lock", LANE}
    assert heard(site) == [receipt]


def test_a_receipt_goes_to_the_address_the_site_had_last(site: LocalSite, server: Hostile) -> None:
    site.edit(("http://127.0.0.1:9", f"http://127.0.0.1:{server.port}"))  # the collector has moved since enrolment
    receipt = wiped(site)
    deliver(site)
    assert names_in(site.state) == {"lock"}
    assert heard(site) == [receipt]


@pytest.mark.parametrize("result", [TOO_LARGE, UNPROCESSABLE])
def test_not_even_a_signed_refusal_drops_a_receipt(
    site: LocalSite, server: Hostile, receipt: WipeReceipt, result: int
) -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.send(200, signed(exchange, receipt_seed(site), result))

    server.next(CONTROL, refuse)
    deliver(site)
    assert heard(site) == [receipt]
    assert len(bodies(server)) == 2


def test_a_receipt_that_was_stored_and_not_acknowledged_is_stored_once(
    site: LocalSite, server: Hostile, receipt: WipeReceipt
) -> None:
    server.next(CONTROL, MISDEEDS["a lost receipt"])
    deliver(site)
    assert len(bodies(server)) == 2
    assert heard(site) == [receipt]


@pytest.mark.parametrize("account", [Account.SUSPENDED, Account.CANCELLED])
def test_the_receipt_of_an_account_that_was_suspended_or_revoked_is_taken(
    site: LocalSite, server: Hostile, receipt: WipeReceipt, account: Account
) -> None:
    (device,) = collecting.devices(site.collector)
    if account == Account.CANCELLED:
        operating.cancel(site.collector, device.generation, not_before_s=None, now_s=wall_s())
    else:
        operating.set_account(site.collector, device.generation, account, now_s=wall_s())
    deliver(site)
    assert names_in(site.state) == {"lock"}
    assert heard(site) == [receipt]


@pytest.mark.parametrize("days", [1, 40, 400])
def test_the_receipt_of_a_revoked_account_is_taken_weeks_later(
    site: LocalSite, server: Hostile, receipt: WipeReceipt, days: int
) -> None:
    (device,) = collecting.devices(site.collector)
    operating.cancel(site.collector, device.generation, not_before_s=None, now_s=wall_s())
    lane = read_lane(site.state, LANE)
    then_s = wall_s() + days * DAY_S
    tag = authorization(route(lane.routing, epoch_of(then_s)), "POST", CONTROL, lane.receipt)
    with collecting.open_reception(site.collector, limits=intake.Limits()) as reception:
        for day in range(1, days + 1):
            reception.upkeep(wall_s() + day * DAY_S)
        answer = reception.answer(intake.Request("POST", CONTROL, tag, lane.receipt), then_s)
    assert answer.status == 200
    assert heard(site) == [receipt]


def test_the_lane_of_a_device_whose_clock_was_reset_asks_the_signed_time(
    site: LocalSite, server: Hostile, receipt: WipeReceipt, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(sites, "wall_s", lambda: true_ns() // 1_000_000_000)  # the collector's clock is right
    deliver(site)
    assert names_in(site.state) == {"lock"}
    assert server.paths() == [CONTROL, TIME, CONTROL]


def test_a_time_that_is_not_signed_moves_no_lane(
    site: LocalSite, server: Hostile, receipt: WipeReceipt, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(sites, "wall_s", lambda: true_ns() // 1_000_000_000)
    server.always(TIME, MISDEEDS["200 with a page"])
    deliver(site, timeout_s=0.4)
    assert names_in(site.state) == {"lock", LANE}
    assert len(set(bodies(server))) == 1


def test_a_receipt_is_acknowledged_by_the_keys_of_later_roots(
    site: LocalSite, server: Hostile, receipt: WipeReceipt
) -> None:
    for role in (Role.RECEIPT, Role.ROOT, Role.RECEIPT):
        rotate_root(site.collector, Rotation((role,), enrolment=False), now_s=wall_s(), draw=secrets.token_bytes)
    deliver(site)
    assert names_in(site.state) == {"lock"}
    assert server.paths() == [CONTROL, "/v1/root/2", "/v1/root/3", "/v1/root/4"]


def test_a_lane_that_cannot_be_read_keeps_no_other_from_being_delivered(
    site: LocalSite, server: Hostile, receipt: WipeReceipt
) -> None:
    good = (site.state / LANE).read_bytes()
    (site.state / LANE).write_bytes(b"damaged")
    (site.state / "lane.1.bin").write_bytes(good)
    deliver(site, timeout_s=3)
    assert names_in(site.state) == {"lock", LANE}
    assert heard(site) == [receipt]
