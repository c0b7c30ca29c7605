"""
Erasing a site with a firmware behind it: denied first, asked last, and never waited for too long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_sdk import Gateway
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.receipt import Firmware
from edge_sdk.errors import LifecycleRefused
from edge_sdk.opening import open_site
from edge_sdk.vault import read_lane
from edge_sdk.wipe import is_complete, pending_intent
from tests import site as sites
from tests.gateway.test_wipe import names_in, point, until
from tests.site import LocalSite, reading


@dataclass
class Ecu:
    """A firmware that notes what is left of the folder when it is told something."""

    folder: Path
    says: Firmware = Firmware.CLEARED
    never: threading.Event | None = None
    told: list[tuple[str, tuple[str, ...], bool, bool]] = field(default_factory=list)

    def deny(self, purposes: tuple[str, ...]) -> None:
        self._note("deny", purposes)

    def clear(self, purposes: tuple[str, ...], wait_ms: int) -> Firmware:
        self._note("clear", purposes)
        if self.never is not None:
            self.never.wait()
        return self.says

    def _note(self, what: str, purposes: tuple[str, ...]) -> None:
        keys = (self.folder / "root.key").exists()
        intent = (self.folder / "lane.bin").exists() and pending_intent(self.folder, read_lane(self.folder)) is not None
        self.told.append((what, purposes, keys, intent))


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    made = sites.local_site(tmp_path)
    with made.toml.open("a") as toml:
        toml.write('[firmware]\nwait = "1s"\n')
    return made


@pytest.fixture
def silent(site: LocalSite) -> Iterator[Ecu]:
    never = threading.Event()
    yield Ecu(site.state, never=never)
    never.set()


def test_a_firmware_is_denied_while_the_keys_are_there_and_cleared_when_they_are_gone(site: LocalSite) -> None:
    ecu = Ecu(site.state)
    receipt = Gateway.open(site.toml, firmware=ecu).wipe()
    assert ecu.told == [("deny", (), True, True), ("clear", (), False, True)]
    assert receipt.firmware is Firmware.CLEARED


def test_a_firmware_that_never_answers_keeps_nothing_from_being_erased(site: LocalSite, silent: Ecu) -> None:
    gateway = Gateway.open(site.toml, firmware=silent)
    gateway.record("inverter", reading(1))
    began = time.monotonic()
    receipt = gateway.wipe()
    assert time.monotonic() - began < 10
    assert receipt.firmware is Firmware.NOT_REACHABLE
    assert is_complete(receipt)
    assert names_in(site.state) == {"lock", "lane.0.bin"}


def test_a_firmware_that_could_not_clear_makes_an_erase_that_is_not_complete(site: LocalSite) -> None:
    receipt = Gateway.open(site.toml, firmware=Ecu(site.state, Firmware.FAILED)).wipe()
    assert not is_complete(receipt)


def test_without_a_link_a_site_with_a_firmware_says_that_it_was_not_reached(site: LocalSite) -> None:
    assert Gateway.open(site.toml).wipe().firmware is Firmware.NOT_REACHABLE


def test_an_erase_that_was_cut_off_asks_the_firmware_at_the_next_start(site: LocalSite) -> None:
    parts, _ = open_site(site.config)
    parts.begin_wipe(parts.clock.now(), None)
    parts.close()
    ecu = Ecu(site.state)
    with pytest.raises(LifecycleRefused, match="wiped"):
        Gateway.open(site.toml, firmware=ecu)
    assert [(what, keys) for what, _, keys, _ in ecu.told] == [("deny", True), ("clear", False)]


def erased_improvement(site: LocalSite, ecu: Ecu, meanwhile: Callable[[Gateway], None]) -> Firmware:
    with sites.serving(site):
        point(site.state / "lane.bin", site.config.address)
        (device,) = collecting.devices(site.collector)
        gateway = Gateway.open(site.toml, firmware=ecu)
        assert gateway.record("inverter", reading(1)) == 2
        operating.cancel(site.collector, device.generation, ["improvement"], not_before_s=None, now_s=wall_s())
        with gateway:  # now it asks for its downlink
            until(lambda: bool(ecu.told))
            meanwhile(gateway)
            until(lambda: bool(operating.endings(site.collector, now_s=wall_s()).erasures))
    (erasure,) = operating.endings(site.collector, now_s=wall_s()).erasures
    return erasure.receipt.firmware


def test_an_order_for_one_purpose_has_the_firmware_clear_that_purpose(site: LocalSite) -> None:
    ecu = Ecu(site.state)
    assert erased_improvement(site, ecu, lambda _: None) is Firmware.CLEARED
    assert [told[:2] for told in ecu.told] == [("deny", ("improvement",)), ("clear", ("improvement",))]


def test_the_line_goes_on_while_the_firmware_thinks_about_one_purpose(site: LocalSite, silent: Ecu) -> None:
    site.edit(('wait = "1s"', 'wait = "3s"'))

    def records_on(gateway: Gateway) -> None:
        began = time.monotonic()
        assert gateway.record("inverter", reading(2)) == 1
        gateway.flush()
        assert time.monotonic() - began < 2

    assert erased_improvement(site, silent, records_on) is Firmware.NOT_REACHABLE
