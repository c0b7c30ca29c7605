"""
A disk without room: the least important goes with its gap, the write is tried once more, and then said so plainly.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from edge_sdk import files
from edge_sdk.core.batch import Gap, Reason
from edge_sdk.core.claims import Status
from edge_sdk.disk_room import LOOK_EVERY_MS
from edge_sdk.errors import DiskFull, StorageError
from edge_sdk.line import RETRY_MS
from edge_sdk.opening import Site
from edge_sdk.streams import Stream
from tests import site as sites
from tests.site import CANARY, LocalSite, later, reading
from tests.unit.test_line import hear, streams_of

SPARE = 250_000  # a quarter of the reserve below


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    site = sites.local_site(tmp_path)
    site.edit(('reserve = "1 KB"', 'reserve = "1 MB"'))
    return site


@pytest.fixture
def parts(site: LocalSite) -> Iterator[Site]:
    with sites.opened(site) as parts:
        yield parts


def record(parts: Site, count: int, *, first: int = 0) -> None:
    for number in range(first, first + count):
        assert parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)


def stream_of(parts: Site, purpose: str = "monitoring") -> Stream:
    (stream,) = streams_of(parts, purpose)
    return stream


def spans(parts: Site, purpose: str) -> list[tuple[int, int]]:
    queue = parts.line.rooms.outbox.queues.get(stream_of(parts, purpose).row, {})
    return [(held.first, held.last) for held in queue.values()]


@contextmanager
def full(parts: Site) -> Iterator[None]:
    """Have the database grow no further inside the block, whatever the file system has."""
    outbox = parts.line.rooms.outbox
    outbox.checkpoint()
    while (free := outbox._number("PRAGMA freelist_count")) > 0:
        outbox._db.execute("CREATE TABLE IF NOT EXISTS filler(content BLOB)")
        outbox._db.execute("INSERT INTO filler VALUES(zeroblob(?))", (900 * free,))
    outbox._db.execute(f"PRAGMA max_page_count={outbox._number('PRAGMA page_count')}")
    try:
        yield
    finally:
        outbox._db.execute("PRAGMA max_page_count=1073741823")


def test_on_a_full_disk_the_least_important_goes_first_then_the_oldest(parts: Site) -> None:
    for number in range(8):
        record(parts, 50, first=50 * number)
        parts.line.step(parts.clock.now(), flush=True)
    parts.line.step(parts.clock.now(), close=True, cut=True)  # a batch of improvement too, which counts less
    assert spans(parts, "improvement") == [(0, 0)]
    with full(parts):
        record(parts, 50, first=400)
        parts.line.step(parts.clock.now(), flush=True)
    assert spans(parts, "improvement") == []
    assert [gap for _, gap in stream_of(parts, "improvement").record.gaps] == [Gap(0, 0, None, Reason.QUOTA)]
    left = spans(parts, "monitoring")
    assert left[-1] == (400, 449)
    assert left[0][0] > 0
    assert [gap for _, gap in stream_of(parts).record.gaps] == [Gap(0, left[0][0] - 1, None, Reason.QUOTA)]
    assert parts.line.recording.totals()["disk_full"] >= 1


def test_where_nothing_can_make_room_the_error_says_what_to_do_and_the_rows_stay(site: LocalSite, parts: Site) -> None:
    record(parts, 50)
    with full(parts):
        (site.state / "spare.bin").unlink()
        with pytest.raises(DiskFull, match="SQLITE_FULL") as told:
            parts.line.step(parts.clock.now(), flush=True)
        assert "quota" in told.value.hint
        assert stream_of(parts).unsaved_rows == 50
    parts.line.step(parts.clock.now(), flush=True)
    assert stream_of(parts).unsaved_rows == 0


def test_a_write_is_tried_once_more_and_not_for_ever(parts: Site) -> None:
    tries = []

    def write() -> None:
        tries.append(1)
        raise DiskFull("outbox.db: SQLITE_FULL")

    with pytest.raises(DiskFull):
        parts.line.room.write(write, rows=1)
    assert len(tries) == 2


def test_another_error_evicts_nothing(parts: Site) -> None:
    record(parts, 50)
    parts.line.step(parts.clock.now())
    before = spans(parts, "monitoring")

    def write() -> None:
        raise StorageError("outbox.db: SQLITE_IOERR")

    with pytest.raises(StorageError):
        parts.line.room.write(write, rows=1)
    assert spans(parts, "monitoring") == before


def test_a_part_of_the_reserve_is_held_and_given_up_when_the_disk_is_full(site: LocalSite, parts: Site) -> None:
    spare = site.state / "spare.bin"
    assert spare.stat().st_size == SPARE
    assert spare.stat().st_blocks * 512 >= SPARE  # not a hole
    record(parts, 50)
    with full(parts):
        with pytest.raises(DiskFull):
            parts.line.step(parts.clock.now(), flush=True)
        assert not spare.exists()
    parts.line.step(later(parts.clock.now(), LOOK_EVERY_MS + RETRY_MS))
    assert spare.stat().st_size == SPARE


def test_a_full_disk_that_keeps_a_withdrawal_from_being_carried_out_gets_room_for_it(
    site: LocalSite, parts: Site
) -> None:
    spare = site.state / "spare.bin"
    real = os.open

    def refuse(path: Path, flags: int, mode: int = 0o777) -> int:
        if spare.exists() and flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "no room")
        return real(path, flags, mode)

    with mock.patch.object(files.os, "open", refuse):
        site.set_grant("improvement", Status.WITHDRAWN)
        hear(site, parts)
        parts.line.step(parts.clock.now())
        assert not spare.exists()
        parts.line.step(parts.clock.now())
    assert not [entry for entry in parts.line.rooms.vault.ring.purposes.values() if entry.purpose == "improvement"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_file_that_finds_no_room_says_what_to_do(tmp_path: Path, number: int) -> None:
    with (
        mock.patch.object(files.os, "fsync", side_effect=OSError(number, "full")),
        pytest.raises(DiskFull) as told,
    ):
        files.write(tmp_path / "file", b"content")
    assert "free space" in told.value.hint
    assert CANARY not in str(told.value)


def refused_once(parts: Site, said: int) -> list[str]:
    """Have SQLite call a write an I/O error once, while the file system answers a file with the error *said*."""
    calls: list[str] = []

    def write() -> None:
        calls.append("write")
        if len(calls) == 1:
            raise StorageError("outbox.db: SQLITE_IOERR_WRITE")

    with mock.patch.object(files.os, "posix_fallocate", side_effect=OSError(said, "refused")):
        parts.line.room.write(write, rows=1)
    return calls


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ENOSPC])
def test_what_sqlite_calls_an_error_of_the_medium_gets_room_where_the_file_system_lacks_it(
    parts: Site, number: int
) -> None:
    assert refused_once(parts, number) == ["write", "write"]
    assert parts.line.recording.totals()["disk_full"] == 1


def test_an_error_of_the_medium_costs_nothing_that_is_queued_and_stays_what_it_is(parts: Site) -> None:
    with pytest.raises(StorageError, match="SQLITE_IOERR_WRITE") as told:
        refused_once(parts, errno.EIO)
    assert not isinstance(told.value, DiskFull)
    assert "disk_full" not in parts.line.recording.totals()


def test_asking_the_file_system_leaves_no_file(site: LocalSite, parts: Site) -> None:
    def refuse() -> None:
        raise StorageError("outbox.db: SQLITE_IOERR_WRITE")

    before = sorted(site.state.iterdir())
    with pytest.raises(StorageError, match="SQLITE_IOERR_WRITE"):
        parts.line.room.write(refuse, rows=1)
    assert sorted(site.state.iterdir()) == before
