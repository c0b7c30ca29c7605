"""
Each profile through a real gateway to opened rows: marked readings of every kind it declares go in, and what comes out,
and lies on disks and on the wire in between, is what the profile lets leave and nothing else.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.cli.setup import local_places
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector.founding import Founding, init_collector
from edge_sdk.collector.statements import asks_for_transfer
from edge_sdk.config import Config
from edge_sdk.core.claims import ALG_HPKE_X25519, Mechanism
from edge_sdk.core.policy import Basis, FieldType, Policy, TextRule
from edge_sdk.core.terms import CROSS_BORDER
from edge_sdk.enrol import enrol
from edge_sdk.policy_file import PROFILES, find_policy, profile_text
from tests.gateway.device import Device
from tests.profiles.test_profiles import planted
from tests.site import SITE, LocalSite, found_in, opened, reached

MARKED = frozenset({FieldType.TEXT, FieldType.IP, FieldType.MAC})


@dataclass
class Played:
    """What one profile did with the marked readings."""

    policy: Policy
    site: LocalSite
    taken: int
    rows: list[Any]
    wire: bytes


def founded(folder: Path, policy: Policy) -> None:
    asked = [purpose.name for purpose in policy.purposes.values() if purpose.basis is Basis.CONSENT]
    places = local_places(policy)
    if any(asks_for_transfer(purpose) for purpose in policy.purposes.values()):
        asked.append(CROSS_BORDER)
    founding = Founding([policy], "EU", Mechanism.NONE, asked, test=True, alg=ALG_HPKE_X25519, elsewhere=places)
    init_collector(folder, founding, now_s=wall_s(), draw=secrets.token_bytes)


def play(folder: Path, name: str) -> Played:
    policy = find_policy(name)
    site = LocalSite(folder)
    (folder / "policy.toml").write_text(profile_text(name))
    (folder / "site.toml").write_text(SITE.replace("max_rows = 50", 'max_rows = 50\nsuite = "hpke-4-ke"'))
    founded(site.collector, policy)
    code = collecting.enrol_code(site.collector, now_s=wall_s())
    with reached(site.collector) as transport:
        asyncio.run(enrol(Config.read(site.toml), code, transport))
        with opened(site) as parts:
            device = Device(site, parts, port=9)
            device.transport = transport
            device.hear()
            parts.line.step(device.now)
            taken = 0
            for kind in policy.kinds.values():
                fields = {field.name: planted(field) for field in kind.fields} | {"owner_note": "CANARYnote"}
                taken += parts.line.recording.record(kind.name, fields, device.now.wall_ms)
            parts.line.step(device.now, flush=True, close=True, cut=True)
            device.deliver_all()
            device._loop.close()
        wire = b"".join(request.body + request.path.encode() for request in transport.requests)
    return Played(policy, site, taken, site.rows(), wire)


@pytest.fixture(scope="module", params=PROFILES)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp(request.param), request.param)


def marks(policy: Policy, *, kept: bool) -> set[str]:
    """Return the marked values of fields that some purpose keeps as they are, or that none does."""
    keeping = {
        (view.kind.name, entry.field.name)
        for purpose in policy.purposes.values()
        for view in purpose.views
        for entry in view.fields
        if entry.text is TextRule.KEEP
    }
    all_marks = {
        (kind.name, field.name): str(planted(field))
        for kind in policy.kinds.values()
        for field in kind.fields
        if field.type in MARKED
    }
    found = {mark for place, mark in all_marks.items() if place in keeping}
    return found if kept else {"CANARYnote", *all_marks.values()} - found


def test_rows_of_every_purpose_and_kind_arrive_with_exactly_the_fields_of_the_view(played: Played) -> None:
    arrived = {(row.purpose, row.kind): set(row.fields) for row in played.rows}
    assert arrived == {
        (purpose.name, view.kind.name): {entry.field.name for entry in view.fields}
        for purpose in played.policy.purposes.values()
        for view in purpose.views
    }
    assert played.taken == len(arrived)


def test_nothing_that_no_purpose_keeps_is_in_a_row(played: Played) -> None:
    told = repr([row.fields for row in played.rows])
    assert [mark for mark in marks(played.policy, kept=False) if mark in told] == []


def test_nothing_that_no_purpose_keeps_is_on_a_disk_of_device_or_collector(played: Played) -> None:
    needles = [mark.encode() for mark in marks(played.policy, kept=False)]
    assert found_in(played.site.folder, *needles) == []


def test_nothing_marked_is_on_the_wire(played: Played) -> None:
    every = marks(played.policy, kept=False) | marks(played.policy, kept=True)
    assert len(played.wire) > 1000
    assert [mark for mark in every if mark.encode() in played.wire] == []
