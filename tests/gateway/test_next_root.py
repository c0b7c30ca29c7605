"""
A device and a collector whose root changes: one step at a time, nothing forged taken, and the work goes on.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_sdk.collector.keyring import Places, read_role
from edge_sdk.collector.rotation import Rotation, rotate_root
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.core.claims import Role, Status
from edge_sdk.core.documents import pinned_root, sign_root, sign_statement
from edge_sdk.core.keys import RoleSeed
from edge_sdk.core.retry import CEILING_S
from edge_sdk.uplink import Errand
from tests import site as sites
from tests.gateway.device import Device
from tests.gateway.hostile import Hostile, answer
from tests.site import LocalSite

ALL = (Role.ROOT, Role.STATEMENT, Role.RECIPIENTS, Role.WIPE, Role.RECEIPT, Role.TIME)
PURPOSES = ("improvement", "research")


def rotate(device: Device, *roles: Role, enrolment: bool = False) -> None:
    rotation = Rotation(roles, enrolment=enrolment)
    rotate_root(device.site.collector, rotation, now_s=device.now.wall_s, draw=secrets.token_bytes)


def version(device: Device) -> int:
    return device.parts.line.consent.root.version


def settle_down(device: Device, times: int = 8) -> None:
    """Make every trip there is to make, time and again."""
    for _ in range(times):
        device.wait(CEILING_S)
        device.parts.line.step(device.now)
        for _ in range(40):
            if device.idle():
                break
            device.go()


def watched(site: LocalSite) -> list[OpenedRow]:
    """Return the rows of the purpose without windows: others come whenever a window closes."""
    return [row for row in site.rows() if row.purpose == "monitoring"]


@pytest.mark.parametrize("role", ALL)
def test_a_device_goes_on_after_the_keys_of_a_role_have_changed(device: Device, role: Role) -> None:
    rotate(device, role)
    device.record(3)
    settle_down(device)
    assert version(device) == 2
    assert device.queue() == []
    assert len(watched(device.site)) == 3


def test_a_device_takes_several_roots_one_after_the_other(device: Device, server: Hostile) -> None:
    for role in (Role.STATEMENT, Role.RECEIPT, Role.ROOT):
        rotate(device, role)
    device.record(3)
    settle_down(device)
    assert version(device) == 4
    assert len(watched(device.site)) == 3
    asked = [path for path in server.paths() if path.startswith("/v1/root/")]
    # Once each; where a midnight falls between, the device asks for the one to come again.
    assert list(dict.fromkeys(asked)) == [f"/v1/root/{number}" for number in (2, 3, 4, 5)]
    assert len(asked) <= 5


def test_the_next_root_survives_a_restart(site: LocalSite, server: Hostile) -> None:
    for start in range(2):
        with sites.opened(site) as parts:
            device = Device(site, parts, server.port)
            assert version(device) == 1 + start
            if start == 0:
                rotate(device, *ALL)
            else:
                device.wait(4 * CEILING_S)  # later than all that the first one waited
            device.record(3)
            settle_down(device, 3)
            assert version(device) == 2
            device.close()
    assert len(watched(site)) == 6


def test_a_receipt_by_a_key_of_the_next_root_counts_once_the_step_is_taken(device: Device) -> None:
    device.hear()
    rotate(device, Role.RECEIPT)
    device.record(3, batches=2)
    device.go()
    assert len(device.queue()) == 2
    settle_down(device)
    assert version(device) == 2
    assert device.queue() == []


def test_a_withdrawal_is_told_although_receipts_come_by_a_key_of_the_next_root(device: Device, server: Hostile) -> None:
    device.hear()
    rotate(device, Role.RECEIPT)
    device.parts.line.withdraw("improvement", device.now)
    settle_down(device)
    assert version(device) == 2
    assert device.parts.line.telling.next_message() is None


def test_a_withdrawal_reaches_an_authority_whose_enrolment_key_has_changed(device: Device) -> None:
    rotate(device, enrolment=True)
    device.parts.line.withdraw("improvement", device.now)
    settle_down(device)
    assert version(device) == 2
    assert device.parts.line.telling.next_message() is None


def forged_root(device: Device) -> bytes:
    """Return a next root that somebody else signs."""
    current = pinned_root(Places(device.site.collector).read_root())
    return sign_root(replace(current, version=current.version + 1), [RoleSeed(b"\x07" * 32)])


def skipped_root(device: Device) -> bytes:
    """Return the root after the next one."""
    rotate(device, Role.STATEMENT)
    rotate(device, Role.STATEMENT)
    return Places(device.site.collector).read_root()


FORGERIES: dict[str, Callable[[Device], bytes]] = {
    "signed by nobody the device knows": forged_root,
    "the one after the next": skipped_root,
    "the same again": lambda device: Places(device.site.collector).read_root(),
    "garbage": lambda device: b"\x84\x00" * 200,
    "nothing": lambda device: b"",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_next_root_that_fails_a_check_changes_nothing(device: Device, server: Hostile, name: str) -> None:
    device.record(3)
    device.hear()
    before = device.parts.line.consent.root
    server.always("/v1/root/2", answer(200, FORGERIES[name](device)))
    settle_down(device)
    assert "/v1/root/2" in server.paths()
    assert device.parts.line.consent.root == before
    assert len(watched(device.site)) == 3


def test_new_keys_for_statements_start_their_versions_anew(device: Device) -> None:
    device.hear()
    poisoned = replace_version(device)
    rotate(device, Role.STATEMENT)
    settle_down(device)
    statement = device.parts.line.consent.statement
    assert version(device) == 2
    assert statement is not None
    assert statement.version < poisoned
    device.record(3)
    settle_down(device)
    assert len(watched(device.site)) == 3


def replace_version(device: Device) -> int:
    """Have the device accept a statement of the highest version there is, as whoever stole the keys would."""
    consent = device.parts.line.consent
    assert consent.statement is not None
    highest = 2**31
    places = Places(device.site.collector)
    seeds = [read_role(places.authority, Role.STATEMENT, kid) for kid in consent.root.roles[Role.STATEMENT].by_kid]
    stolen = [seed for seed in seeds if seed is not None]
    bundle = sign_statement(replace(consent.statement, version=highest), stolen)
    consent.accept_statement(bundle, device.now)
    return highest


def test_a_grant_given_after_new_keys_for_statements_opens_its_purpose(device: Device) -> None:
    device.hear()
    rotate(device, Role.STATEMENT)
    device.site.set_grant("research", Status.GIVEN)
    settle_down(device)
    device.parts.line.consent._heard_mono_ms = None
    settle_down(device)
    assert device.parts.line.recording.allowed("inverter", "ssid")


def test_the_next_root_is_asked_for_once_a_day_when_there_is_nothing_else(device: Device) -> None:
    device.hear()
    settle_down(device)
    assert device.idle()
    device.wait(86_400)
    device.hear()
    errands = []
    while not device.idle():
        errands.append(device.trip().errand)
        device.go()
    assert errands.count(Errand.ROOT) <= 1
