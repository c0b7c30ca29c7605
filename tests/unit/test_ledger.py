"""
The ledger: what was written comes back in order, what was tampered with is named, what was torn is told.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.core.keys import LedgerKey
from edge_sdk.errors import BadInput, StorageError
from edge_sdk.ledger import LAWFUL, Entry, Happened, Ledger, check_head, read_ledger

KEY = LedgerKey(bytes(range(1, 33)))
AT_S = 1_790_000_000


def opened(folder: Path, *, minimal: bool = False) -> Ledger:
    return Ledger(folder, KEY, draw=random.Random(1).randbytes, minimal=minimal)


def entries(folder: Path) -> list[Entry]:
    return list(read_ledger(folder, KEY))


def written(folder: Path, count: int = 6) -> Ledger:
    ledger = opened(folder)
    for number in range(count):
        ledger.add(Happened.STATEMENT, AT_S + number, purpose="monitoring", counts=(number,))
    return ledger


def records(path: Path) -> list[bytes]:
    """Return the framed records of one file."""
    content, found = path.read_bytes(), []
    while content:
        length = 4 + int.from_bytes(content[:4])
        found.append(content[:length])
        content = content[length:]
    return found


def test_entries_come_back_in_order_by_value(tmp_path: Path) -> None:
    written(tmp_path, 3)
    assert entries(tmp_path) == [
        Entry(number, AT_S + number, Happened.STATEMENT, "monitoring", (number,)) for number in range(3)
    ]


def test_a_restart_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    head = written(tmp_path, 3).head
    again = opened(tmp_path)
    assert again.head == head
    again.add(Happened.STARTED, AT_S)
    assert [entry.number for entry in entries(tmp_path)] == [0, 1, 2, 3]


def test_an_empty_ledger_has_no_entries_and_a_head_of_its_own(tmp_path: Path) -> None:
    assert opened(tmp_path).head[1] == 0
    assert entries(tmp_path) == []


def test_nothing_in_the_file_can_be_read_without_the_key(tmp_path: Path) -> None:
    written(tmp_path)
    assert b"monitoring" not in (tmp_path / "ledger.bin").read_bytes()
    with pytest.raises(BadInput, match="entry 0 was changed"):
        list(read_ledger(tmp_path, LedgerKey(bytes(range(2, 34)))))


def _flip(found: list[bytes]) -> None:
    found[2] = found[2][:-1] + bytes([found[2][-1] ^ 1])


def _flip_number(found: list[bytes]) -> None:
    found[2] = found[2][:11] + bytes([found[2][11] ^ 1]) + found[2][12:]


def _flip_length(found: list[bytes]) -> None:
    found[2] = bytes([found[2][0] ^ 128]) + found[2][1:]


def _remove(found: list[bytes]) -> None:
    del found[2]


def _remove_first(found: list[bytes]) -> None:
    del found[0]


def _swap(found: list[bytes]) -> None:
    found[2], found[3] = found[3], found[2]


@pytest.mark.parametrize(
    ("tamper", "named"),
    [(_flip, 2), (_flip_number, 2), (_flip_length, 2), (_remove, 2), (_remove_first, 0), (_swap, 2)],
)
def test_what_was_tampered_with_is_found_and_named(
    tmp_path: Path, tamper: Callable[[list[bytes]], None], named: int
) -> None:
    written(tmp_path)
    found = records(tmp_path / "ledger.bin")
    tamper(found)
    (tmp_path / "ledger.bin").write_bytes(b"".join(found))
    with pytest.raises(BadInput, match=f"ledger entry {named} was"):
        entries(tmp_path)


def test_entries_cut_off_the_end_are_found_by_what_the_authority_was_told(tmp_path: Path) -> None:
    told = written(tmp_path).head
    check_head(tmp_path, KEY, told)
    (tmp_path / "ledger.bin").write_bytes(b"".join(records(tmp_path / "ledger.bin")[:4]))
    with pytest.raises(BadInput, match="ends before entry 4: 2 entries were cut off"):
        check_head(tmp_path, KEY, told)


def test_a_ledger_cut_off_and_written_on_is_not_the_one_the_authority_knows(tmp_path: Path) -> None:
    told = written(tmp_path).head
    (tmp_path / "ledger.bin").write_bytes(b"".join(records(tmp_path / "ledger.bin")[:4]))
    other = opened(tmp_path)
    for _ in range(4):
        other.add(Happened.STARTED, AT_S)
    with pytest.raises(BadInput, match="entry 5 is not the one"):
        check_head(tmp_path, KEY, told)


def test_what_was_told_earlier_holds_when_the_ledger_has_grown(tmp_path: Path) -> None:
    ledger = written(tmp_path, 3)
    told = ledger.head
    ledger.add(Happened.STOPPED, AT_S)
    check_head(tmp_path, KEY, told)


@pytest.mark.parametrize("torn", [1, 3, 4, 20, 60])
def test_a_torn_tail_is_cut_off_and_told(tmp_path: Path, torn: int) -> None:
    written(tmp_path, 2)
    path = tmp_path / "ledger.bin"
    kept = len(records(path)[0])
    path.write_bytes(path.read_bytes()[: kept + torn])
    assert len(entries(tmp_path)) == 1  # a reader beside sees what is whole
    opened(tmp_path)
    assert [(entry.number, entry.happened) for entry in entries(tmp_path)] == [
        (0, Happened.STATEMENT),
        (1, Happened.TORN),
    ]
    assert entries(tmp_path)[1].counts == (torn,)


def test_a_last_entry_whose_bytes_did_not_all_arrive_is_cut_off_and_told(tmp_path: Path) -> None:
    written(tmp_path, 2)
    path = tmp_path / "ledger.bin"
    path.write_bytes(path.read_bytes()[:-30] + bytes(30))  # the size was kept, the last block was not
    opened(tmp_path)
    assert [entry.happened for entry in entries(tmp_path)] == [Happened.STATEMENT, Happened.TORN]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Have a ledger turn its files early: each entry costs a sync."""
    monkeypatch.setattr("edge_sdk.ledger.MAX_BYTES", 1 << 12)
    return 1 << 12


def test_two_files_bound_it_however_much_happens(tmp_path: Path, small: int) -> None:
    ledger = written(tmp_path, 200)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"ledger.bin", "ledger.old"}
    assert max(sizes.values()) < small + 256
    kept = entries(tmp_path)
    assert [entry.number for entry in kept] == list(range(kept[0].number, ledger.head[1]))
    assert kept[0].happened is Happened.ROTATED
    check_head(tmp_path, KEY, ledger.head)


def test_an_older_file_that_was_taken_away_is_found(tmp_path: Path, small: int) -> None:
    written(tmp_path, small // 60)
    (tmp_path / "ledger.old").unlink()
    with pytest.raises(BadInput, match="before it"):
        entries(tmp_path)


def test_a_rotation_cut_off_after_the_move_goes_on(tmp_path: Path) -> None:
    ledger = written(tmp_path, 100)
    (tmp_path / "ledger.bin").rename(tmp_path / "ledger.old")
    again = opened(tmp_path)
    assert again.head == ledger.head
    again.add(Happened.STARTED, AT_S)
    assert [entry.number for entry in entries(tmp_path)] == list(range(101))


def test_minimal_mode_keeps_only_what_law_needs(tmp_path: Path) -> None:
    ledger = opened(tmp_path, minimal=True)
    for happened in Happened:
        ledger.add(happened, AT_S)
    assert {entry.happened for entry in entries(tmp_path)} == LAWFUL


def test_a_disk_that_refuses_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    ledger = written(tmp_path, 2)
    head, kept = ledger.head, (tmp_path / "ledger.bin").read_bytes()
    (tmp_path / "ledger.bin").unlink()
    (tmp_path / "ledger.bin").mkdir()
    with pytest.raises(StorageError):
        ledger.add(Happened.STARTED, AT_S)
    (tmp_path / "ledger.bin").rmdir()
    (tmp_path / "ledger.bin").write_bytes(kept)
    assert ledger.head == head
    ledger.add(Happened.STARTED, AT_S)
    assert len(entries(tmp_path)) == 3
