"""
Files: whole or not at all, private, bounded, and every error by name.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from edge_sdk import files
from edge_sdk.errors import StorageError
from tests.site import environ


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_written_file_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.write(tmp_path / "secret", b"key")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "secret") == 0o600


def test_a_made_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "state")
    assert mode_of(tmp_path / "state") == 0o700


def test_the_database_and_its_logs_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        connection = files.open_database(tmp_path / "x.db", page_bytes=1024)
        connection.execute("CREATE TABLE t(a)")
    finally:
        os.umask(before)
    assert {mode_of(path) for path in tmp_path.iterdir()} == {0o600}
    connection.close()


def test_until_it_takes_the_place_the_old_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, b"old")
    files.write_beside(path, b"new and longer")
    assert path.read_bytes() == b"old"
    files.take_place(path)
    assert path.read_bytes() == b"new and longer"
    assert os.listdir(tmp_path) == ["file"]


def test_a_left_over_temporary_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"a longer left-over than what follows")
    files.write(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_file_beyond_its_limit_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(11))
    assert len(files.read(tmp_path / "big", 11)) == 11
    with pytest.raises(StorageError, match="big is larger than 10 bytes"):
        files.read(tmp_path / "big", 10)


@pytest.mark.parametrize(
    ("name", "error"),
    [("absent", "cannot read absent: ENOENT"), ("folder", "cannot read folder: EISDIR")],
)
def test_what_cannot_be_read_is_told_by_name_and_reason(tmp_path: Path, name: str, error: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=error) as told:
        files.read(tmp_path / name, 10)
    assert str(tmp_path) not in str(told.value)


def test_a_write_into_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write x: ENOENT") as told:
        files.write(tmp_path / "none" / "x", b"")
    assert told.value.hint == "check the path, and that the folder above it is there"


def test_what_cannot_be_looked_at_is_an_error_and_not_absent(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(StorageError, match="cannot look for x: ELOOP"):
        files.exists(tmp_path / "circle" / "x")


@pytest.mark.parametrize("name", ["none", "none/x", "file/x", "n" * 300, "nul\0"])
def test_what_no_file_can_be_is_absent(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    assert not files.exists(tmp_path / name)


def test_a_full_file_system_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x.new").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="cannot write x: ENOSPC") as told:
        files.write(tmp_path / "x", b"content")
    assert "free space" in told.value.hint
    assert not (tmp_path / "x").exists()


def test_a_removed_file_is_zeroed_first(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"key" * 100)
    (tmp_path / "other-name").hardlink_to(path)
    files.remove(path)
    assert not path.exists()
    assert (tmp_path / "other-name").read_bytes() == bytes(300)


def test_removing_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    files.remove(tmp_path / "none")


def test_an_endless_line_comes_cut_and_the_next_line_whole(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"x" * 1000 + b"\nshort\n")
    lines = list(files.read_lines(tmp_path / "lines", 10))
    assert [len(line) for line in lines] == [11, 6]
    assert lines[1] == b"short\n"


def test_a_page_slot_leaves_the_other_alone(tmp_path: Path) -> None:
    page = files.Page(tmp_path / "page", 64, 2)
    page.write_slot(0, b"first")
    page.write_slot(1, b"second")
    page.write_slot(0, b"1")
    assert page.read_slot(0) == b"1".ljust(64, b"\x00")
    assert page.read_slot(1) == b"second".ljust(64, b"\x00")
    page.close()


def test_of_a_long_content_nothing_is_left_under_a_short_one(tmp_path: Path) -> None:
    page = files.Page(tmp_path / "page", 8192, 2)
    for content in (b"k" * 8192, b"1", b"k" * 4097, b"2", b"3", b"k" * 4096, b"4"):
        page.write_slot(1, content)
        assert page.read_slot(1).rstrip(b"\x00") == content
    page.close()


def test_a_page_opened_anew_overwrites_whole_what_it_finds(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"k" * 16384)
    page = files.Page(tmp_path / "page", 8192, 2)
    page.write_slot(0, b"1")
    assert page.read_slot(0).rstrip(b"\x00") == b"1"
    page.close()


def test_after_a_sync_that_failed_a_slot_is_written_whole(tmp_path: Path) -> None:
    page = files.Page(tmp_path / "page", 8192, 2)
    page.write_slot(0, b"1")
    with mock.patch.object(os, "fdatasync", side_effect=OSError(errno.EIO, "")), pytest.raises(StorageError):
        page.write_slot(0, b"k" * 8192)
    page.write_slot(0, b"2")
    assert page.read_slot(0).rstrip(b"\x00") == b"2"
    page.close()


def test_blocks_that_are_zeros_and_stay_so_are_not_written_again(tmp_path: Path) -> None:
    page = files.Page(tmp_path / "page", 8192, 2)
    with mock.patch.object(os, "pwrite", wraps=os.pwrite) as written:
        for content in (b"1", b"2", b"3" * 5000, b"4", b"5"):
            page.write_slot(0, content)
    assert [len(call.args[1]) for call in written.call_args_list] == [8192, 4096, 8192, 8192, 4096]
    page.close()


def test_a_slot_never_overflows_into_the_next(tmp_path: Path) -> None:
    page = files.Page(tmp_path / "page", 64, 2)
    with pytest.raises(ValueError, match="longer than a slot"):
        page.write_slot(0, bytes(65))
    page.close()


def test_a_page_of_the_wrong_size_starts_empty(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"truncated")
    page = files.Page(tmp_path / "page", 64, 2)
    assert page.read_slot(0) == page.read_slot(1) == bytes(64)
    page.close()


def test_a_second_lock_on_a_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    lock = files.FolderLock(tmp_path)
    with pytest.raises(StorageError, match="in use by another process") as told:
        files.FolderLock(tmp_path)
    assert "status" in told.value.hint
    lock.close()
    files.FolderLock(tmp_path).close()


def test_another_process_is_kept_off_a_locked_folder(tmp_path: Path) -> None:
    lock = files.FolderLock(tmp_path)
    script = "import sys, pathlib, edge_sdk.files as files; files.FolderLock(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, env=environ(), capture_output=True, text=True, check=False)
    assert "in use by another process" in done.stderr
    lock.close()
    assert subprocess.run(command, env=environ(), check=False).returncode == 0


def test_a_closed_lock_is_free_although_a_forked_child_lives_on(tmp_path: Path) -> None:
    lock = files.FolderLock(tmp_path)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:  # the child holds the descriptor until the parent says so
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    os.close(read_end)
    lock.close()
    try:
        files.FolderLock(tmp_path).close()
    finally:
        os.close(write_end)
        os.waitpid(child, 0)


def test_a_file_that_is_no_database_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StorageError, match=r"x\.db: SQLITE_NOTADB") as told:
        files.open_database(tmp_path / "x.db", page_bytes=1024)
    assert "damaged" in told.value.hint


def test_a_database_in_a_folder_with_odd_signs_opens_read_only(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c %41"
    folder.mkdir()
    files.open_database(folder / "x.db", page_bytes=1024).close()
    reader = files.open_database(folder / "x.db", page_bytes=1024, read_only=True)
    assert reader.execute("PRAGMA user_version").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("CREATE TABLE t(a)")
    reader.close()


def test_the_database_syncs_each_commit_and_writes_no_temporary_files(tmp_path: Path) -> None:
    connection = files.open_database(tmp_path / "x.db", page_bytes=1024)
    pragmas = ("journal_mode", "synchronous", "secure_delete", "temp_store", "page_size")
    found = [connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas]
    assert found == ["wal", 2, 1, 2, 1024]
    connection.close()


def test_headroom_counts_bytes_and_inodes(tmp_path: Path) -> None:
    free, inodes = files.headroom(tmp_path)
    assert free > 0
    assert inodes > 0 or inodes == -1


def test_what_the_kernel_does_not_say_is_empty(tmp_path: Path) -> None:
    assert files.read_system(tmp_path / "no-such-entry") == b""
