"""
The key page: two slots that alternate, a torn one is passed over, a destroyed key is in neither.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from unittest import mock

import pytest

from edge_sdk import files
from edge_sdk.errors import StorageError
from edge_sdk.keypage import MAX_ENTRIES, SLOT_BYTES, KeyPage

KEY = b"wrapped-key-of-sixty-bytes".ljust(60, b"=")


def reopened(folder: Path) -> dict[tuple[int, int], bytes]:
    page = KeyPage(folder)
    page.close()
    return page.entries


def test_a_new_page_is_empty_and_preallocated(tmp_path: Path) -> None:
    assert reopened(tmp_path) == {}
    assert (tmp_path / "page.bin").stat().st_size == 2 * SLOT_BYTES


def test_keys_are_there_after_a_restart(tmp_path: Path) -> None:
    page = KeyPage(tmp_path)
    page.put(1, 0, KEY)
    page.put(2, 7, KEY[::-1])
    page.close()
    assert reopened(tmp_path) == {(1, 0): KEY, (2, 7): KEY[::-1]}


@pytest.mark.parametrize("torn_at", range(0, SLOT_BYTES, 997))
def test_a_slot_torn_by_a_power_cut_leaves_the_one_before_in_force(tmp_path: Path, torn_at: int) -> None:
    page = KeyPage(tmp_path)
    for number in range(80):
        page.put(1, number, KEY)
    before = (tmp_path / "page.bin").read_bytes()
    page.put(2, 0, KEY)
    page.close()
    after = (tmp_path / "page.bin").read_bytes()
    start = 0 if before[:SLOT_BYTES] != after[:SLOT_BYTES] else SLOT_BYTES
    torn = after[: start + torn_at] + before[start + torn_at : start + SLOT_BYTES] + after[start + SLOT_BYTES :]
    (tmp_path / "page.bin").write_bytes(torn)
    expected = {(1, number): KEY for number in range(80)}
    assert reopened(tmp_path) in (expected, {**expected, (2, 0): KEY})


def test_a_destroyed_key_is_in_neither_slot(tmp_path: Path) -> None:
    page = KeyPage(tmp_path)
    page.put(1, 0, KEY)
    page.put(2, 0, KEY[::-1])
    page.destroy({(1, 0)})
    page.close()
    assert KEY not in (tmp_path / "page.bin").read_bytes()
    assert reopened(tmp_path) == {(2, 0): KEY[::-1]}


def test_destroying_what_is_not_there_writes_nothing(tmp_path: Path) -> None:
    page = KeyPage(tmp_path)
    page.put(1, 0, KEY)
    before = (tmp_path / "page.bin").read_bytes()
    page.destroy({(3, 0)})
    page.close()
    assert (tmp_path / "page.bin").read_bytes() == before


def test_the_page_takes_all_it_announces_and_then_refuses(tmp_path: Path) -> None:
    page = KeyPage(tmp_path)
    for number in range(MAX_ENTRIES):
        page.put(1 << 40, (1 << 40) + number, KEY)
    with pytest.raises(StorageError, match="too many batches are open"):
        page.put(2, 0, KEY)
    page.put(1 << 40, 1 << 40, KEY[::-1])  # one that is there may be replaced
    page.close()
    assert len(reopened(tmp_path)) == MAX_ENTRIES


@pytest.mark.parametrize("damage", [b"\xff" * 100, b"EKP1" + bytes(200)])
def test_a_page_damaged_in_both_slots_is_empty_not_an_error(tmp_path: Path, damage: bytes) -> None:
    page = KeyPage(tmp_path)
    page.put(1, 0, KEY)
    page.close()
    (tmp_path / "page.bin").write_bytes(damage.ljust(SLOT_BYTES, b"\x00") * 2)
    assert reopened(tmp_path) == {}


def test_a_slot_with_a_good_checksum_and_another_content_is_passed_over(tmp_path: Path) -> None:
    page = KeyPage(tmp_path)
    page.put(1, 0, KEY)
    page.close()
    head = b"EKP1" + (9).to_bytes(8) + (1).to_bytes(4)
    forged = head + hashlib.sha256(head + b"\x07").digest()[:16] + b"\x07"
    stored = (tmp_path / "page.bin").read_bytes()
    (tmp_path / "page.bin").write_bytes(forged.ljust(SLOT_BYTES, b"\x00") + stored[SLOT_BYTES:])
    assert reopened(tmp_path) == {(1, 0): KEY}


def test_a_key_that_could_not_be_written_is_not_there(tmp_path: Path) -> None:
    page = KeyPage(tmp_path)
    page.put(1, 0, KEY)
    with mock.patch.object(files.Page, "write_slot", side_effect=StorageError("EIO")), pytest.raises(StorageError):
        page.put(2, 0, KEY)
    assert page.entries == {(1, 0): KEY}
    page.close()


def test_failed_writes_never_touch_the_slot_in_force(tmp_path: Path) -> None:
    page = KeyPage(tmp_path)
    page.put(1, 0, KEY)

    def tear(self: files.Page, slot: int, content: bytes) -> None:
        with open(tmp_path / "page.bin", "r+b") as file:
            file.seek(slot * SLOT_BYTES)
            file.write(b"torn" * 100)
        raise StorageError("EIO")

    with mock.patch.object(files.Page, "write_slot", tear):
        for _ in range(3):
            with pytest.raises(StorageError):
                page.put(2, 0, KEY)
    page.close()
    assert reopened(tmp_path) == {(1, 0): KEY}


def test_a_destruction_the_disk_refused_is_made_up_for_by_the_next_write(tmp_path: Path) -> None:
    page = KeyPage(tmp_path)
    page.put(1, 0, KEY)
    page.put(2, 0, KEY[::-1])
    with mock.patch.object(files.Page, "write_slot", side_effect=StorageError("EIO")), pytest.raises(StorageError):
        page.destroy({(1, 0)})
    page.put(3, 0, KEY[::-1])
    page.close()
    assert KEY not in (tmp_path / "page.bin").read_bytes()


def slots_of(folder: Path) -> list[bytes]:
    octets = (folder / "page.bin").read_bytes()
    return [octets[:SLOT_BYTES], octets[SLOT_BYTES:]]


@pytest.mark.parametrize("torn_at", [0, 512, 4096])
def test_a_destroy_cut_off_between_its_writes_is_finished_at_the_next_start(tmp_path: Path, torn_at: int) -> None:
    page = KeyPage(tmp_path)
    for number in range(80):
        page.put(1, number, KEY)
    before = slots_of(tmp_path)
    page.destroy({(1, number) for number in range(80)})
    page.close()
    after = slots_of(tmp_path)
    second = page._count % 2
    after[second] = after[second][:torn_at] + before[second][torn_at:]
    (tmp_path / "page.bin").write_bytes(b"".join(after))
    again = KeyPage(tmp_path)
    again.destroy(set())
    again.close()
    assert not any(KEY in slot for slot in slots_of(tmp_path))


def test_a_page_without_destroyed_keys_is_not_written_at_a_start(tmp_path: Path) -> None:
    page = KeyPage(tmp_path)
    page.put(1, 0, KEY)
    page.put(2, 0, KEY)
    page.close()
    before = slots_of(tmp_path)
    again = KeyPage(tmp_path)
    again.destroy(set())
    again.close()
    assert slots_of(tmp_path) == before
