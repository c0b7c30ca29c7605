"""
A wipe reaches the firmware and its answer the receipt; and one household's wipe is no other's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.receipt import Firmware, WipeReceipt
from edge_sdk.enrol import enrol
from edge_sdk.errors import FolderInUse
from edge_sdk.http_transport import HttpTransport
from edge_sdk.opening import open_site
from edge_sdk.wipe import is_complete
from tests.agent.house import (
    ALARM,
    ALARMS,
    FIELDS,
    IMPROVEMENT,
    INVERTER,
    MONITORING,
    House,
    agent,
    second_site,
    until,
    warmed,
)
from tests.agent.shim import Shim
from tests.agent.test_accounts import monitored, sent
from tests.cli.command import run
from tests.gateway.test_wipe import names_in, point
from tests.site import CANARY, LocalSite, found_in, local_site, serving

ALL = MONITORING | ALARMS | IMPROVEMENT
ACCOUNT = 0xFFFFF


def with_firmware(site: LocalSite, wait: str = "10s") -> LocalSite:
    with site.toml.open("a") as toml:
        toml.write(f'[firmware]\nwait = "{wait}"\n')
    return site


@contextmanager
def collecting_for(site: LocalSite) -> Iterator[None]:
    """Run the collector of a site, and have the site's lane know where it is."""
    with serving(site):
        point(site.state / "lane.bin", site.config.address)
        yield


def receipt_of(site: LocalSite) -> WipeReceipt:
    """Return the receipt that the authority has by now."""

    def erasures() -> Any:
        return operating.endings(site.collector, now_s=wall_s()).erasures

    until(lambda: bool(erasures()), "the receipt is with the authority")
    receipt: WipeReceipt = erasures()[-1].receipt
    return receipt


def wiped_by_hand(site: LocalSite) -> None:
    said = run("wipe", "--config", site.toml, "--confirm", site.config.name)
    assert said.code == 0, said.err


@pytest.mark.parametrize(("result", "firmware"), [(0, Firmware.CLEARED), (1, Firmware.FAILED)])
def test_the_receipt_says_what_the_firmware_said(tmp_path: Path, result: int, firmware: Firmware) -> None:
    site = with_firmware(local_site(tmp_path))
    with collecting_for(site), agent(tmp_path, site) as house, house.shim() as shim:
        shim.wait_mask(ALL)
        shim.source(0, INVERTER, CANARY)
        sent(shim, range(5))
        wiped_by_hand(site)
        shim.wait_mask(0)
        asked = shim.hear_type(18)
        assert asked[2] == ACCOUNT
        shim.say([5, asked[1], result])
        assert shim.hear_type(19) == [19, 4]
        receipt = receipt_of(site)
        assert receipt.firmware is firmware
        assert is_complete(receipt) is (firmware is Firmware.CLEARED)
        assert found_in(site.state, CANARY.encode()) == []
        assert shim.connect()[2] == 5
        assert house.stop()[0] == 0


def test_a_firmware_that_is_silent_is_asked_again_and_holds_up_the_wipe_no_longer_than_its_time(tmp_path: Path) -> None:
    site = with_firmware(local_site(tmp_path), "3s")
    with collecting_for(site), agent(tmp_path, site) as house, house.shim() as shim:
        shim.wait_mask(ALL)
        wiped_by_hand(site)
        asked = [shim.hear_type(18), shim.hear_type(18)]
        assert asked[0] == asked[1]
        assert receipt_of(site).firmware is Firmware.NOT_REACHABLE


def test_a_shim_that_was_away_is_asked_when_it_comes_back(tmp_path: Path) -> None:
    site = with_firmware(local_site(tmp_path))
    with collecting_for(site), agent(tmp_path, site), House(tmp_path, [site]).shim() as shim:
        shim.wait_mask(ALL)
        wiped_by_hand(site)
        shim.hear_type(18)
        shim.come_in()
        shim.say([5, shim.hear_type(18)[1], 0])
        assert receipt_of(site).firmware is Firmware.CLEARED


def test_a_wipe_that_was_cut_off_asks_the_firmware_at_the_next_start(tmp_path: Path) -> None:
    site = with_firmware(warmed(local_site(tmp_path)))
    parts, _ = open_site(site.config)
    parts.begin_wipe(parts.clock.now(), None)
    parts.close()
    with agent(tmp_path, site) as house, house.shim() as shim:
        assert shim.hear_type(17)[2] == 0
        shim.say([5, shim.hear_type(18)[1], 0])
        assert shim.hear_type(19) == [19, 4]
        until(lambda: "vault.bin" not in names_in(site.state), "the keys are gone")
        assert house.stop()[0] == 0


def test_an_order_for_one_purpose_denies_that_one_and_the_others_go_on(tmp_path: Path) -> None:
    site = with_firmware(local_site(tmp_path))
    with collecting_for(site), agent(tmp_path, site) as house, house.shim() as shim:
        shim.wait_mask(ALL)
        shim.source(0, INVERTER, CANARY)
        shim.source(1, ALARM, CANARY)
        (device,) = collecting.devices(site.collector)
        operating.cancel(site.collector, device.generation, ["improvement"], not_before_s=None, now_s=wall_s())
        shim.send([[FIELDS["alarm.code"], 1, 0, 1]])  # the receipt for it tells of the order
        asked = shim.hear_type(18)
        assert asked[2] == IMPROVEMENT
        sent(shim, range(3))
        shim.say([5, asked[1], 0])
        shim.wait_mask(ALL & ~IMPROVEMENT)
        assert receipt_of(site).firmware is Firmware.CLEARED
        assert house.stop()[0] == 0
    assert monitored(site) == [0, 1, 2]


def enrolled_anew(site: LocalSite) -> bool:
    """Enrol the site's folder as another household, if the erase of the last one has let go of it."""

    async def introduce() -> None:
        transport = HttpTransport(site.config.address)
        await enrol(site.config, collecting.enrol_code(site.collector, now_s=wall_s()), transport)
        await transport.close()

    try:
        asyncio.run(introduce())
    except FolderInUse:
        return False
    return True


@pytest.mark.slow  # the agent tries a site anew every ten seconds; test_accounts.py has the rule itself
def test_firmware_that_outlives_a_wipe_owes_the_next_household_nothing(tmp_path: Path) -> None:
    site = with_firmware(local_site(tmp_path))
    with collecting_for(site), agent(tmp_path, site) as house, house.shim() as shim:
        fed(shim, CANARY)
        wiped_by_hand(site)
        shim.say([5, shim.hear_type(18)[1], 0])
        assert shim.hear_type(19) == [19, 4]
        until(lambda: "vault.bin" not in names_in(site.state), "the keys are gone")
        until(lambda: enrolled_anew(site), "the folder has a new household")
        shim.come_in()
        fed(shim, CANARY)
        assert house.stop()[0] == 0
        counts = house.counts()
    assert counts["recorded"] == 10
    assert "shim_lost" not in counts


def fed(shim: Shim, canary: str) -> None:
    shim.wait_mask(ALL)
    shim.source(0, INVERTER, canary)
    sent(shim, range(10))


def test_wiping_one_household_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    sites = [with_firmware(warmed(second_site(tmp_path, name))) for name in ("north", "south", "west")]
    canaries = ["CANARY-NORTH", "CANARY-SOUTH", "CANARY-WEST"]
    with agent(tmp_path, *sites) as house:
        shims = [house.shim(number) for number in range(3)]
        for shim, canary in zip(shims, canaries, strict=True):
            shim.come_in()
            fed(shim, canary)
        kept = [len(shim.heard) for shim in shims]
        wiped_by_hand(sites[1])
        shims[1].say([5, shims[1].hear_type(18)[1], 0])
        assert shims[1].hear_type(19) == [19, 4]
        until(lambda: names_in(sites[1].state) <= {"lock", "lane.0.bin"}, "nothing is left of it")
        for number in (0, 2):
            sent(shims[number], range(100, 110))
        assert house.stop()[0] == 0
        for number in (0, 2):  # nobody asked them to clear anything, and nothing was denied
            rest = shims[number].heard[kept[number] :]
            assert [items for items in rest if items[0] in (17, 18)] == []
            shims[number].link.close()
        shims[1].link.close()
    for number in (0, 2):
        assert monitored(sites[number]) == [*range(10), *range(100, 110)]
        serials = {row.fields["serial"] for row in sites[number].rows() if row.purpose == "monitoring"}
        assert serials == {canaries[number]}
    assert sites[1].rows() == []
    assert found_in(sites[1].state, *[canary.encode() for canary in canaries]) == []
