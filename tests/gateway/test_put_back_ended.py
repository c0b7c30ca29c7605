"""
A folder that is put back from before a withdrawal or a cancellation learns of it before it sends anything.

Real gateways; the collector runs as a process of its own while consent ends, and then as a server that keeps every
request of the folder that was put back.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_sdk import Gateway
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.claims import Status
from edge_sdk.errors import LifecycleRefused
from tests import site as sites
from tests.gateway.hostile import Hostile, hostile
from tests.gateway.test_wipe import deliver, point
from tests.site import LocalSite, reading

WAIT_S = 40
ROOTS = ("/v1/recipients", "/v1/root/2")  # public documents
BATCHES, CONTROL, DOWNLINK = "/v1/batches", "/v1/control", "/v1/downlink"


@pytest.fixture
def image(site: LocalSite) -> Path:
    """A copy of the folder of a running device, with batches of both recipients queued, rows pending, windows open."""
    with sites.opened(site) as parts:
        now = parts.clock.now()
        for count in (120, 7):
            for number in range(count):
                assert parts.line.recording.record("inverter", reading(number), now.wall_ms) == 2
            parts.line.step(now, flush=True, close=count == 120, cut=count == 120)
        queued = {stream.record.purpose for stream in parts.line.binding.streams.values() if stream.record.next_seq}
        assert queued == {"improvement", "monitoring"}
        return shutil.copytree(site.state, site.folder / "image")


def until(holds: Callable[[], object]) -> None:
    ends = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def put_back(site: LocalSite, image: Path) -> Iterator[Hostile]:
    """Put the image back, and lend a collector that keeps what the folder sends to it."""
    shutil.rmtree(site.state)
    shutil.copytree(image, site.state)
    with hostile(site.collector) as server:
        here = site.config.address
        site.edit((here, f"http://127.0.0.1:{server.port}"))
        yield server


def purposes_at_the_openers(site: LocalSite) -> set[str]:
    return {row.purpose for row in site.rows()}


def withdraw_on_the_device(site: LocalSite) -> None:
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        gateway.withdraw("improvement")
        until(lambda: operating.endings(site.collector, now_s=wall_s()).withdrawals)


def withdraw_at_the_authority(site: LocalSite) -> None:
    site.set_grant("improvement", Status.WITHDRAWN)


def cancel(site: LocalSite) -> None:
    """Cancel the account; the device erases itself and its receipt is acknowledged."""
    (device,) = collecting.devices(site.collector)
    operating.cancel(site.collector, device.generation, not_before_s=None, now_s=wall_s())
    with sites.serving(site):
        point(site.state / "lane.bin", site.config.address)
        with Gateway.open(site.toml):
            until(lambda: {path.name for path in site.state.iterdir()} == {"lock"})


@pytest.mark.parametrize("withdraw", [withdraw_on_the_device, withdraw_at_the_authority])
def test_a_folder_put_back_from_before_a_withdrawal_sends_nothing_of_it(
    site: LocalSite, image: Path, withdraw: Callable[[LocalSite], None]
) -> None:
    withdraw(site)
    before = [row for row in site.rows() if row.purpose == "improvement"]
    with put_back(site, image) as server, Gateway.open(site.toml) as gateway:
        assert gateway.drain(timeout_s=WAIT_S, cut=True) == 0
        assert server.paths()[0] == DOWNLINK
        assert BATCHES in server.paths()
    assert [row for row in site.rows() if row.purpose == "improvement"] == before
    assert "monitoring" in purposes_at_the_openers(site)


def test_a_folder_put_back_from_before_a_withdrawal_destroys_its_keys_and_data(site: LocalSite, image: Path) -> None:
    withdraw_at_the_authority(site)
    with put_back(site, image), Gateway.open(site.toml) as gateway:
        assert gateway.drain(timeout_s=WAIT_S) == 0
        line = gateway._running.site.line
        assert [e for e in line.rooms.vault.ring.purposes.values() if e.purpose == "improvement"] == []
        assert [s for s in line.binding.streams.values() if s.record.purpose == "improvement"] == []


def test_a_folder_put_back_from_before_a_cancellation_erases_itself_and_sends_no_batch(
    site: LocalSite, image: Path
) -> None:
    cancel(site)
    with put_back(site, image) as server:
        point(site.state / "lane.bin", site.config.address)
        with Gateway.open(site.toml) as gateway:
            until(lambda: not (site.state / "vault.bin").exists())
            until(lambda: {path.name for path in site.state.iterdir()} == {"lock"})
            with pytest.raises(LifecycleRefused):
                gateway.record("inverter", reading(1))
        assert set(server.paths()) <= {DOWNLINK, CONTROL, *ROOTS}
        assert server.paths()[0] == DOWNLINK
    assert site.rows() == []


def test_a_folder_put_back_from_before_an_erase_on_the_device_sends_no_batch(site: LocalSite, image: Path) -> None:
    with sites.serving(site):
        point(site.state / "lane.bin", site.config.address)
        Gateway.open(site.toml).wipe()
        deliver(site)
        until(lambda: operating.endings(site.collector, now_s=wall_s()).erasures)
    with put_back(site, image) as server, Gateway.open(site.toml) as gateway:
        assert gateway.drain(timeout_s=2) > 0
        assert gateway.record("inverter", reading(1)) == 0
        assert set(server.paths()) <= {DOWNLINK, "/v1/recipients", *ROOTS}
    assert site.rows() == []
