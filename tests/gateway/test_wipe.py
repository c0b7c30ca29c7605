"""
Erasing a whole site: what is gone afterwards, what is left, and who hears of it.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import Gateway
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.claims import Account
from edge_sdk.core.receipt import Method, WipeReceipt
from edge_sdk.enrol import enrol
from edge_sdk.errors import EdgeError, LifecycleRefused, NotProvisioned, StorageError, VaultUnavailable
from edge_sdk.http_transport import HttpTransport
from edge_sdk.keystore import FileKeyStore
from edge_sdk.lanes import _forget as forget_lane
from edge_sdk.lanes import deliver as deliver_receipts
from edge_sdk.lanes import waiting
from edge_sdk.opening import draw, open_site
from edge_sdk.outbox import Outbox
from edge_sdk.vault import Vault, read_lane, write_lane
from edge_sdk.wipe import STORES, is_complete
from tests import site as sites
from tests.site import CANARY, LocalSite, found_in, reading

NAMES = {name for _, names in STORES for name in names} | {"root.key"}
LEFT = {"lock", "lane.bin", "wipe.bin", *(f"lane.{number}.bin" for number in range(8))}
WAIT_S = 20


def busy(site: LocalSite) -> Gateway:
    """Return a gateway with sealed batches queued, rows in memory and on disk, and windows open."""
    gateway = Gateway.open(site.toml)
    for number in range(120):
        gateway.record("inverter", reading(number))
    gateway.flush()
    for number in range(7):
        gateway.record("inverter", reading(1000 + number))
    return gateway


def wiped(site: LocalSite) -> WipeReceipt:
    return busy(site).wipe()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def deliver(site: LocalSite, *, timeout_s: float = WAIT_S, answer_ms: int = 2000) -> None:
    """Deliver what waits, as a second `edge-sdk wipe` does."""

    async def within() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().call_later(timeout_s, stopped.set)
        await deliver_receipts(
            site.state,
            transport_to=lambda url: HttpTransport(url, timeout_ms=answer_ms, proxy="", pins=()),
            chance=lambda: 0.0,
            draw=draw,
            stopped=stopped,
        )

    asyncio.run(within())


def enrol_again(site: LocalSite) -> None:
    code = collecting.enrol_code(site.collector, now_s=wall_s())
    with sites.reached(site.collector) as transport:
        asyncio.run(enrol(site.config, code, transport))


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)


def test_the_lists_of_files_name_everything_a_run_leaves(site: LocalSite) -> None:
    gateway = busy(site)
    running = names_in(site.state)
    gateway.close()
    assert {"outbox.db", "policy.bin"} <= running
    assert running | names_in(site.state) <= NAMES | LEFT


def test_after_a_wipe_only_the_lock_and_the_lane_are_left(site: LocalSite) -> None:
    assert is_complete(wiped(site))
    assert names_in(site.state) == {"lock", "lane.0.bin"}


def test_after_a_wipe_no_file_holds_a_serial(site: LocalSite) -> None:
    wiped(site)
    assert found_in(site.state, CANARY.encode()) == []


def test_a_wipe_says_of_each_store_how_it_was_erased(site: LocalSite) -> None:
    receipt = wiped(site)
    assert [store.name for store in receipt.stores] == ["root key", *(name for name, _ in STORES)]
    assert {store.method for store in receipt.stores} <= {Method.CLEAR, Method.ABSENT}
    assert [use.purpose for use in receipt.uses] == ["alarms", "improvement", "monitoring"]


def test_a_copy_made_before_opens_with_nothing_that_is_left(site: LocalSite, tmp_path: Path) -> None:
    gateway = busy(site)
    copy = shutil.copytree(site.state, tmp_path / "copy")
    gateway.wipe()
    for key in ("root.key", "root.key.new"):
        (copy / key).unlink(missing_ok=True)
    for left in site.state.iterdir():
        shutil.copy(left, copy / left.name)
        if left.name == "lane.0.bin":
            shutil.copy(left, copy / "lane.bin")
    with pytest.raises(VaultUnavailable):
        Vault.open(copy, FileKeyStore(copy), draw=draw)
    lane = read_lane(copy, "lane.0.bin")
    for secret in (lane.routing.reveal(), lane.key.reveal()):
        (copy / "root.key").write_bytes(secret)
        with pytest.raises(VaultUnavailable):
            Vault.open(copy, FileKeyStore(copy), draw=draw)


def test_the_queue_of_a_copy_made_before_holds_no_serial(site: LocalSite, tmp_path: Path) -> None:
    gateway = busy(site)
    copy = shutil.copytree(site.state, tmp_path / "copy")
    gateway.wipe()
    assert found_in(copy, CANARY.encode()) == []
    outbox = Outbox(copy)
    assert outbox.streams()
    outbox.close()


def test_nothing_is_recorded_after_a_wipe(site: LocalSite) -> None:
    gateway = busy(site)
    gateway.wipe()
    with pytest.raises(LifecycleRefused, match="wiped"):
        gateway.record("inverter", reading(1))
    with pytest.raises(LifecycleRefused, match="wiped"):
        gateway.flush()
    with pytest.raises(LifecycleRefused, match="wiped"):
        gateway.wipe()
    gateway.close()


def test_a_wiped_site_does_not_open(site: LocalSite) -> None:
    wiped(site)
    with pytest.raises(EdgeError, match="not provisioned"):
        open_site(site.config)


def test_the_authority_gets_the_receipt_and_verifies_it(site: LocalSite) -> None:
    with sites.serving(site):
        gateway = Gateway.open(site.toml)
        gateway.record("inverter", reading(1))
        head = gateway._running.site.line.books.ledger.head
        receipt = gateway.wipe()
        point(site.state / "lane.0.bin", site.config.address)
        deliver(site)
        assert names_in(site.state) == {"lock"}
    (erasure,) = operating.endings(site.collector, now_s=wall_s()).erasures
    assert erasure.receipt == receipt
    assert receipt.ledger_length == head[1] + 1
    assert operating.cases(site.collector, now_s=wall_s())[receipt.generation].erased_s is not None


def test_a_receipt_that_cannot_be_delivered_waits(site: LocalSite) -> None:
    wiped(site)
    kept = (site.state / "lane.0.bin").read_bytes()
    deliver(site, timeout_s=0.5)
    assert (site.state / "lane.0.bin").read_bytes() == kept


def test_a_program_started_again_after_a_wipe_delivers_the_receipt_before_it_is_refused(site: LocalSite) -> None:
    receipt = wiped(site)
    with sites.serving(site):
        point(site.state / "lane.0.bin", site.config.address)
        with pytest.raises(NotProvisioned):
            Gateway.open(site.toml)
    assert names_in(site.state) == {"lock"}
    (erasure,) = operating.endings(site.collector, now_s=wall_s()).erasures
    assert erasure.receipt == receipt


def test_a_program_that_reaches_nobody_is_refused_in_time_and_keeps_the_receipt(site: LocalSite) -> None:
    wiped(site)
    kept = (site.state / "lane.0.bin").read_bytes()
    with pytest.raises(NotProvisioned):
        Gateway.open(replace(site.config, timeout_ms=200))
    assert (site.state / "lane.0.bin").read_bytes() == kept


def test_a_waiting_receipt_is_delivered_by_the_generation_enrolled_next(site: LocalSite) -> None:
    receipt = wiped(site)
    enrol_again(site)
    with sites.serving(site):
        path = site.state / "lane.0.bin"
        point(path, site.config.address)
        with Gateway.open(site.toml):
            until(lambda: not path.exists())
    (erasure,) = operating.endings(site.collector, now_s=wall_s()).erasures
    assert erasure.receipt == receipt


def point(path: Path, url: str) -> None:
    """Give a waiting lane set another address: each test's collector listens on a port of its own."""
    lane = read_lane(path.parent, path.name)
    lane.address = url
    scratch = path.parent.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    write_lane(scratch, lane)
    shutil.copy(scratch / "lane.bin", path)


def test_a_new_generation_shares_nothing_with_the_one_before(site: LocalSite) -> None:
    before, lane_before = secrets_of(site)
    wiped(site)
    enrol_again(site)
    after, lane_after = secrets_of(site)
    assert not (before | lane_before) & (after | lane_after)


def secrets_of(site: LocalSite) -> tuple[set[bytes], set[bytes]]:
    ring = Vault.open(site.state, FileKeyStore(site.state), draw=draw).ring
    lane = read_lane(site.state)
    generation = ring.generation
    held = {generation.id, generation.signing.reveal(), generation.hpke.reveal(), generation.streams.reveal()}
    held |= {ring.state.reveal(), ring.ledger.reveal(), (site.state / "root.key").read_bytes()}
    return held, {lane.routing.reveal(), lane.key.reveal()}


def test_enrolling_finishes_an_erase_that_was_cut_off_and_keeps_its_receipt(site: LocalSite) -> None:
    parts, _ = open_site(site.config)
    parts.begin_wipe(parts.clock.now(), None)
    parts.close()
    enrol_again(site)
    assert (site.state / "lane.0.bin").exists()
    with sites.opened(site) as again:
        assert again.line.rooms.vault.ring.generation.id != parts.line.rooms.vault.ring.generation.id


def test_what_cannot_be_erased_is_reported_as_failed(site: LocalSite) -> None:
    gateway = busy(site)
    (site.state / "ledger.old").mkdir()  # nothing that overwrites a file gets hold of it
    receipt = gateway.wipe()
    assert not is_complete(receipt)
    assert [store.name for store in receipt.stores if store.method is Method.FAILED] == ["ledger"]
    assert names_in(site.state) == {"lock", "lane.0.bin", "ledger.old"}


def test_a_wipe_is_done_however_many_receipts_wait_and_only_the_next_enrolment_is_held_up(site: LocalSite) -> None:
    first = read_lane(site.state)
    first.receipt = b"of an earlier generation"
    for number in range(8):
        write_lane(site.state, first)
        (site.state / "lane.bin").rename(site.state / f"lane.{number}.bin")
    first.receipt = b""
    write_lane(site.state, first)
    assert is_complete(busy(site).wipe())
    assert names_in(site.state) == {"lock", "lane.bin", *(f"lane.{number}.bin" for number in range(8))}
    assert len(waiting(site.state)) == 9
    with pytest.raises(StorageError, match="9 wipe receipts wait"):
        enrol_again(site)
    assert read_lane(site.state).receipt


def test_a_receipt_that_found_no_place_is_delivered_from_where_it_lies(site: LocalSite) -> None:
    for number in range(8):
        (site.state / f"lane.{number}.bin").mkdir()  # unreadable, for ever
    receipt = busy(site).wipe()
    with sites.serving(site):
        point(site.state / "lane.bin", site.config.address)
        deliver(site, timeout_s=3)
    (erasure,) = operating.endings(site.collector, now_s=wall_s()).erasures
    assert erasure.receipt == receipt
    assert not (site.state / "lane.bin").exists()


def test_a_receipt_signed_for_late_does_not_take_the_lane_set_of_the_next_generation(site: LocalSite) -> None:
    place = site.state / "lane.bin"
    before = place.read_bytes()
    forget_lane(place, b"the receipt of a generation before")
    assert place.read_bytes() == before


def test_an_order_is_carried_out_and_told_in_an_asyncio_program_too(site: LocalSite) -> None:
    async def program() -> None:
        async with Gateway.open(site.toml) as gateway:
            running = asyncio.create_task(gateway.run())
            gateway.record("inverter", reading(1))
            operating.cancel(site.collector, device.generation, not_before_s=None, now_s=wall_s())
            await asyncio.wait_for(running, WAIT_S)
            while names_in(site.state) != {"lock"}:
                await asyncio.sleep(0.05)

    with sites.serving(site):
        point(site.state / "lane.bin", site.config.address)
        (device,) = collecting.devices(site.collector)
        asyncio.run(asyncio.wait_for(program(), WAIT_S))
    (order,) = operating.endings(site.collector, now_s=wall_s()).orders
    assert order.confirmed_s is not None


def test_what_stops_the_line_does_not_stop_the_delivery_of_its_receipt(site: LocalSite) -> None:
    gateway = busy(site)
    running: Any = gateway._running
    delivered: list[bool] = []

    async def note(stopped: asyncio.Event) -> None:
        delivered.append(stopped.is_set())

    running.deliver_receipts = note
    running._stopped = asyncio.Event()
    running._stopped.set()  # as the event loop leaves it for a moment
    running._wipe_and_deliver(None)
    assert delivered == [False]


def test_a_signed_order_makes_a_running_gateway_erase_itself(site: LocalSite) -> None:
    with sites.serving(site):
        point(site.state / "lane.bin", site.config.address)
        (device,) = collecting.devices(site.collector)
        gateway = Gateway.open(site.toml)
        gateway.record("inverter", reading(1))
        operating.cancel(site.collector, device.generation, not_before_s=None, now_s=wall_s())
        with gateway:  # now it asks for its downlink
            until(lambda: not (site.state / "vault.bin").exists())
            until(lambda: names_in(site.state) == {"lock"})
            with pytest.raises(LifecycleRefused):
                gateway.record("inverter", reading(2))
    (order,) = operating.endings(site.collector, now_s=wall_s()).orders
    assert order.confirmed_s is not None
    assert collecting.devices(site.collector)[0].account == Account.CANCELLED


def test_an_order_to_erase_one_purpose_leaves_the_others_running(site: LocalSite) -> None:
    with sites.serving(site):
        (device,) = collecting.devices(site.collector)
        gateway = Gateway.open(site.toml)
        gateway.record("inverter", reading(1))
        operating.cancel(site.collector, device.generation, ["improvement"], not_before_s=None, now_s=wall_s())
        with gateway:  # now it asks for its downlink
            until(lambda: bool(operating.endings(site.collector, now_s=wall_s()).erasures))
            assert gateway.record("inverter", reading(2)) == 1
    (erasure,) = operating.endings(site.collector, now_s=wall_s()).erasures
    assert erasure.receipt.scope == ("improvement",)
    assert is_complete(erasure.receipt)
