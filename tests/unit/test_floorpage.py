"""
The floor is kept in place, hourly, and nothing but the floor is written for it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_sdk.consent_state import FLOOR_EVERY_MS
from edge_sdk.core.keys import StateKey
from edge_sdk.floorpage import SLOT_BYTES, read_floor, write_floor
from tests import site as sites
from tests.site import later

KEY = StateKey(b"s" * 32)


def keep(folder: Path, *floors: int) -> None:
    for floor_ms in floors:
        write_floor(folder, KEY, floor_ms, draw=os.urandom)


def test_the_newest_floor_comes_back(tmp_path: Path) -> None:
    assert read_floor(tmp_path, KEY) == 0
    keep(tmp_path, 1_000, 2_000, 3_000)
    assert read_floor(tmp_path, KEY) == 3_000
    assert (tmp_path / "floor.bin").stat().st_size == 2 * SLOT_BYTES


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("at", [0, 20, SLOT_BYTES - 1])
def test_a_torn_or_damaged_slot_leaves_the_other_one(tmp_path: Path, slot: int, at: int) -> None:
    keep(tmp_path, 1_000, 2_000)
    held = bytearray((tmp_path / "floor.bin").read_bytes())
    held[slot * SLOT_BYTES + at] ^= 1
    (tmp_path / "floor.bin").write_bytes(held)
    assert read_floor(tmp_path, KEY) == (2_000 if slot == 0 else 1_000)
    keep(tmp_path, 3_000)
    assert read_floor(tmp_path, KEY) == 3_000


def test_another_key_reads_no_floor(tmp_path: Path) -> None:
    keep(tmp_path, 1_000)
    assert read_floor(tmp_path, StateKey(b"t" * 32)) == 0


def test_an_hour_of_power_costs_one_small_page_and_no_document_is_written_again(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path)
    with sites.opened(site) as parts:
        parts.line.step(parts.clock.now())
        state, inode = (site.state / "state.bin").read_bytes(), (site.state / "floor.bin").stat().st_ino
        now = later(parts.clock.now(), FLOOR_EVERY_MS + 1)
        parts.line.step(now)
        assert (site.state / "state.bin").read_bytes() == state
        assert (site.state / "floor.bin").stat().st_ino == inode
        assert parts.line.rooms.vault.read_floor() == now.floor_ms
    with sites.opened(site) as parts:
        assert parts.clock.now().floor_ms >= now.floor_ms


def test_a_clean_stop_keeps_what_passed_since_the_last_hour(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path)
    with sites.opened(site) as parts:
        now = later(parts.clock.now(), FLOOR_EVERY_MS // 2)
        parts.line.finish(now)
    with sites.opened(site) as parts:
        assert parts.clock.now().floor_ms >= now.floor_ms
