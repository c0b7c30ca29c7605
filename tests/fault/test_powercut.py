"""
The power-cut model: it finds what programs lose that do not sync, and clears those that do.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fault import scripts
from tests.fault.content import EMPTY, Content
from tests.fault.folder import FileEntry, FolderState
from tests.fault.powercut import states
from tests.fault.recorder import Recording, missing, record
from tests.fault.sweep import Report, sweep, sweep_states

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

Files = dict[str, bytes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "recorded"
    made.mkdir()
    return made


def recorded(folder: Path, script: str, *more: str) -> Recording:
    recording = record([sys.executable, "-c", script, str(folder), *more], folder)
    assert recording.run.returncode == 0, recording.run.stderr.decode()
    return recording


def files(state: FolderState) -> Files:
    return {path: one.content.octets() for path, one in state.entries.items() if isinstance(one, FileEntry)}


def last_cut(folder: Path, steps: str) -> list[Files]:
    """
    Return the folders that a power cut after the last of *steps* could leave.
    """
    recording = recorded(folder, scripts.LINE_OF_STEPS, steps + ",mark end")
    return [files(state) for state in states(recording.calls, recording.initial) if state.marks]


def rows_are_kept(state: FolderState, folder: Path) -> None:
    if not state.marks:
        return
    database = sqlite3.connect(folder / "state.db")
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = {row[0] for row in database.execute("SELECT n FROM t WHERE length(b) = 300")}
    finally:
        database.close()
    assert {int(mark) for mark in state.marks[1:]} <= kept


def swept_rows(folder: Path, mode: str, sync: str, *, rows: int) -> Report:
    recording = recorded(folder, scripts.SQLITE, mode, sync, str(rows))
    return sweep_states(recording.calls, recording.initial, rows_are_kept)


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_sqlite_that_syncs_loses_no_committed_row(folder: Path, mode: str) -> None:
    # In DELETE mode FULL does not sync the folder after the journal is gone, so a commit may be undone.
    report = swept_rows(folder, mode, "FULL" if mode == "WAL" else "EXTRA", rows=24)
    assert not report.violations, str(report)
    assert report.checked > 300


@pytest.mark.parametrize(
    ("mode", "sync"), [("WAL", "NORMAL"), ("WAL", "OFF"), ("DELETE", "FULL"), ("DELETE", "OFF")]
)
def test_sqlite_that_does_not_sync_is_caught(folder: Path, mode: str, sync: str) -> None:
    assert swept_rows(folder, mode, sync, rows=6).violations


def whole_and_promised(state: FolderState, folder: Path) -> None:
    if state.marks:
        octets = (folder / "key").read_bytes()
        assert len(octets) == 5000
        assert len(set(octets)) == 1  # not two texts of 5000 bytes: pytest would draw their difference for minutes
        assert octets[0] >= int(state.marks[-1])


def test_a_file_replaced_with_every_sync_holds_in_each_state(folder: Path) -> None:
    recording = recorded(folder, scripts.REPLACE, "file folder")
    report = sweep_states(recording.calls, recording.initial, whole_and_promised)
    assert not report.violations, str(report)


@pytest.mark.parametrize("steps", ["file", "folder", "none"])
def test_a_file_replaced_without_one_of_the_syncs_is_caught(folder: Path, steps: str) -> None:
    recording = recorded(folder, scripts.REPLACE, steps)
    assert sweep_states(recording.calls, recording.initial, whole_and_promised).violations


def test_a_synced_file_may_still_be_without_a_name(folder: Path) -> None:
    assert {} in last_cut(folder, "new a,write a 0 x 9,sync a")


def test_a_synced_name_may_still_be_without_bytes(folder: Path) -> None:
    assert {"a": b""} in last_cut(folder, "new a,write a 0 x 9,sync .")


def test_what_both_syncs_covered_stays(folder: Path) -> None:
    recording = recorded(folder, scripts.LINE_OF_STEPS, "new a,write a 0 x 9,sync a,sync .,mark done,new b")
    after = [files(state) for state in states(recording.calls, recording.initial) if state.marks]
    assert all(found["a"] == b"x" * 9 for found in after)


def test_a_rename_may_be_kept_without_the_bytes(folder: Path) -> None:
    (folder / "key").write_bytes(b"old")
    assert {"key": b""} in last_cut(folder, "new fresh,write fresh 0 x 9,rename fresh key")


def test_a_write_with_o_dsync_stays_and_one_without_may_not(folder: Path) -> None:
    script = (
        "import os, sys; from fault_mark import mark; os.chdir(sys.argv[1]);"
        "one = os.open('a', os.O_WRONLY | os.O_DSYNC); os.write(one, b'xx'); mark('one');"
        "os.pwrite(os.open('a', os.O_WRONLY), b'yy', 2)"
    )
    (folder / "a").write_bytes(b"....")
    recording = recorded(folder, script)
    after = [files(state)["a"] for state in states(recording.calls, recording.initial) if state.marks]
    assert set(after) == {b"xx..", b"xxyy"}


def test_a_rename_is_never_kept_by_half(folder: Path) -> None:
    (folder / "old").write_bytes(b"1")
    (folder / "there").mkdir()
    found = last_cut(folder, "rename old there/new")
    assert sorted(found, key=str) == [{"old": b"1"}, {"there/new": b"1"}]


def test_a_rename_is_kept_by_a_sync_of_either_folder(folder: Path) -> None:
    (folder / "old").write_bytes(b"1")
    (folder / "there").mkdir()
    assert last_cut(folder, "rename old there/new,sync there") == [{"there/new": b"1"}]


def test_a_name_that_was_moved_on_does_not_come_back(folder: Path) -> None:
    (folder / "there").mkdir()
    recording = recorded(
        folder, scripts.LINE_OF_STEPS, "new a,sync a,rename a there/b,sync there,mark moved,sync .,new c"
    )
    after = [files(state) for state in states(recording.calls, recording.initial) if state.marks]
    assert all("a" not in found and "there/b" in found for found in after)


def test_a_deleted_file_may_come_back_until_the_folder_is_synced(folder: Path) -> None:
    (folder / "a").write_bytes(b"1")
    recording = recorded(folder, scripts.LINE_OF_STEPS, "unlink a,mark gone,sync .,mark for good")
    found = [(state.marks, files(state)) for state in states(recording.calls, recording.initial)]
    assert (("gone",), {"a": b"1"}) in found
    assert [one for marks, one in found if len(marks) == 2] == [{}]


def test_a_later_write_may_be_kept_without_an_earlier_one(folder: Path) -> None:
    (folder / "a").write_bytes(b"....")
    assert {"a": b"..yy"} in last_cut(folder, "write a 0 x 2,write a 2 y 2")


def test_a_truncation_may_be_lost(folder: Path) -> None:
    (folder / "a").write_bytes(b"long before")
    assert {"a": b"zzng before"} in last_cut(folder, "new a,write a 0 z 2")


def test_new_size_may_be_kept_without_the_bytes(folder: Path) -> None:
    (folder / "a").write_bytes(b"1")
    assert {"a": b"1" + bytes(9)} in last_cut(folder, "write a 1 x 9")


def test_a_write_is_torn_at_sectors_only(folder: Path) -> None:
    (folder / "a").write_bytes(b"." * 20000)
    found = [one["a"] for one in last_cut(folder, "write a 100 x 15000")]
    edges = {number for one in found for number in range(1, 20000) if one[number] != one[number - 1]}
    assert all(edge % 512 == 0 for edge in edges - {100, 15100})
    assert len(found) == 7  # none, all, two cuts from both sides, one page missing


def test_one_folder_with_two_promises_is_given_twice(folder: Path) -> None:
    recording = recorded(folder, scripts.LINE_OF_STEPS, "new a,mark one,mark two")
    empty = [state.marks for state in states(recording.calls, recording.initial) if not state.entries]
    assert empty == [(), ("one", "two")]


def test_the_choice_of_states_is_the_seeds(folder: Path) -> None:
    recording = recorded(folder, scripts.SQLITE, "WAL", "OFF", "6")
    one, again, other = (
        [state.digest for state in states(recording.calls, recording.initial, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 13000), st.integers(0, 9000)), max_size=8), st.randoms()
)
def test_pages_give_the_bytes_that_one_string_would(
    steps: list[tuple[bool, int, int]], rng: random.Random
) -> None:
    octets, content = b"", EMPTY
    for write, at, length in steps:
        fresh = rng.randbytes(length) if write else b""
        if fresh:
            octets = octets[:at].ljust(at, b"\0") + fresh + octets[at + length :]
            content = content.write(at, fresh)
        else:
            octets = octets[:at].ljust(at, b"\0")
            content = content.resize(at)
    assert content.octets() == octets
    assert content.digest == Content.of(octets).digest


def test_a_sweep_reports_each_item_that_raised() -> None:
    def odd_fails(item: int, _: Path) -> None:
        assert item % 2 == 0, item

    report = sweep(lambda: range(7), odd_fails, workers=2)
    assert (report.checked, [one.label for one in report.violations]) == (7, ["1", "3", "5"])


def test_a_short_sweep_takes_each_so_many_th_item() -> None:
    def fails(item: int, _: Path) -> None:
        raise ValueError(item)

    report = sweep(lambda: range(10), fails, every=3, workers=2)
    assert [one.label for one in report.violations] == ["0", "3", "6", "9"]


def test_a_sweep_whose_worker_dies_is_an_error() -> None:
    def dies(item: int, _: Path) -> None:
        if item == 3:
            os._exit(1)

    with pytest.raises(RuntimeError, match="died"):
        sweep(lambda: range(7), dies, workers=2)
