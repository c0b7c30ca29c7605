"""
The outbox: memory in step with disk whatever fails, damaged files by name, nothing beyond its bounds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.errors import StorageError
from edge_sdk.order import MAX_RECEIPTED, Held
from edge_sdk.outbox import FORMAT, Outbox

Order = tuple[dict[int, list[Held]], int, int, int]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path)
    with box.transaction():
        box.add_stream(b"ref-of-1", b"record")
        box.add_stream(b"ref-of-2", b"record")
    yield box
    box.close()


def put(box: Outbox, stream: int, first: int, *, size: int = 100) -> Held:
    with box.transaction():
        return box.put_sealed(
            stream=stream, span=(first, first + 9), told=0, kept_ms=first, batch_id=bytes(16), body=bytes(size)
        )


def order(box: Outbox) -> Order:
    queues = {row: list(queue.values()) for row, queue in box.queues.items()}
    return queues, box.order.sealed_bytes, box.pending_bytes, box.aside_bytes


def order_on_disk(folder: Path) -> Order:
    other = Outbox(folder, read_only=True)
    try:
        return order(other)
    finally:
        other.close()

def fill(box: Outbox) -> None:
    """Let no page be added to the file any more, as on a full disk."""
    pages = box._db.execute("PRAGMA page_count").fetchone()[0]
    box._db.execute(f"PRAGMA max_page_count={pages}")

def test_what_was_committed_is_there_after_a_restart(outbox: Outbox, tmp_path: Path) -> None:
    held = put(outbox, 1, 0)
    with outbox.transaction():
        outbox.put_pending(2, 0, 3, b"rows")
        outbox.put_partial(2, 0, b"windows")
        outbox.set_number("count.acked", 7)
    outbox.close()
    again = Outbox(tmp_path)
    assert [row.ref for row in again.streams()] == [b"ref-of-1", b"ref-of-2"]
    assert again.queues == {1: {held.id: held}}
    assert again.sealed_body(held) == bytes(100)
    assert [(row.batch, row.rows, row.body) for row in again.pending(2)] == [(0, 3, b"rows")]
    assert again.partial(2) == (0, b"windows")
    assert again.numbers() == {"count.acked": 7}
    assert again.pending_rows(2) == 3
    again.close()

def test_a_failed_transaction_leaves_the_order_as_the_disk_has_it(outbox: Outbox, tmp_path: Path) -> None:
    held = put(outbox, 1, 0)
    put(outbox, 2, 0)
    before = order(outbox)

    def change_everything_and_fail() -> None:
        with outbox.transaction():
            outbox.drop_sealed(held)
            outbox.put_sealed(stream=1, span=(10, 19), told=0, kept_ms=0, batch_id=bytes(16), body=b"x")
            outbox.put_pending(2, 0, 1, b"rows")
            outbox.drop_stream(2)
            raise LookupError

    with pytest.raises(LookupError):
        change_everything_and_fail()
    assert order(outbox) == before == order_on_disk(tmp_path)


def test_a_full_disk_is_an_error_by_name_and_keeps_memory_in_step(outbox: Outbox, tmp_path: Path) -> None:
    put(outbox, 1, 0)
    fill(outbox)
    before = order(outbox)
    with pytest.raises(StorageError, match=r"outbox\.db: SQLITE_FULL") as told:
        put(outbox, 1, 10, size=50_000)
    assert "free space" in told.value.hint
    assert order(outbox) == before == order_on_disk(tmp_path)


def test_on_a_full_disk_room_made_by_dropping_is_used_again(outbox: Outbox, tmp_path: Path) -> None:
    first = put(outbox, 1, 0, size=20_000)
    fill(outbox)
    with outbox.transaction():
        outbox.drop_sealed(first)
    put(outbox, 1, 10, size=15_000)
    assert order(outbox) == order_on_disk(tmp_path)


def test_a_receipted_batch_is_out_of_the_order_at_once_and_its_row_goes_with_the_next_write(
    outbox: Outbox, tmp_path: Path
) -> None:
    first, second = put(outbox, 1, 0), put(outbox, 1, 10)
    outbox.receipted(first)
    assert order(outbox) == ({1: [second]}, 100, 0, 0)
    assert order_on_disk(tmp_path)[0] == {1: [first, second]}, "after a power cut it would be sent again"
    third = put(outbox, 2, 0)
    assert order(outbox) == ({1: [second], 2: [third]}, 200, 0, 0) == order_on_disk(tmp_path)


def test_a_write_that_fails_brings_no_receipted_batch_back(outbox: Outbox, tmp_path: Path) -> None:
    first, second = put(outbox, 1, 0), put(outbox, 1, 10)
    outbox.receipted(first)
    with pytest.raises(RuntimeError), outbox.transaction():
        raise RuntimeError
    assert order(outbox)[0] == {1: [second]}
    assert put(outbox, 1, 20).id > second.id
    assert order(outbox) == order_on_disk(tmp_path)


def test_receipts_wait_for_a_write_up_to_a_number(outbox: Outbox, tmp_path: Path) -> None:
    held = [put(outbox, 1, first) for first in range(MAX_RECEIPTED + 1)]
    for one in held:
        outbox.receipted(one)
    assert order(outbox) == ({}, 0, 0, 0) == order_on_disk(tmp_path)


def test_a_receipted_row_that_cannot_be_deleted_fails_one_other_write_and_waits_no_more(
    outbox: Outbox, tmp_path: Path
) -> None:
    first = put(outbox, 1, 0)
    outbox._db.execute("CREATE TEMP TRIGGER bad BEFORE DELETE ON sealed BEGIN SELECT RAISE(ABORT, 'bad page'); END")
    outbox.receipted(first)
    with pytest.raises(StorageError):
        put(outbox, 1, 10)
    second = put(outbox, 1, 10)
    assert order(outbox) == ({1: [first, second]}, 200, 0, 0) == order_on_disk(tmp_path)
    with pytest.raises(StorageError):
        outbox.receipted(first)
    assert order(outbox)[0] == {1: [first, second]}
    outbox._db.execute("DROP TRIGGER bad")
    outbox.receipted(first)
    assert order(outbox) == ({1: [second]}, 100, 0, 0) == order_on_disk(tmp_path)


def test_the_queue_of_a_stream_is_in_the_order_of_arrival(outbox: Outbox) -> None:
    numbers = [put(outbox, stream, first).id for stream, first in ((1, 0), (2, 0), (1, 10), (2, 10))]
    assert [list(queue) for queue in outbox.queues.values()] == [[numbers[0], numbers[2]], [numbers[1], numbers[3]]]


def test_no_number_is_given_twice_after_the_newest_batch_is_gone(outbox: Outbox, tmp_path: Path) -> None:
    held = put(outbox, 1, 0)
    with outbox.transaction():
        outbox.set_aside(held, "damaged")
    outbox.close()
    again = Outbox(tmp_path)
    assert put(again, 1, 10).id > held.id
    again.close()


def test_a_dropped_stream_takes_all_it_had(outbox: Outbox, tmp_path: Path) -> None:
    first = put(outbox, 1, 0)
    put(outbox, 1, 10)
    other = put(outbox, 2, 0)
    with outbox.transaction():
        outbox.set_aside(first, "invalid")
        outbox.put_pending(1, 0, 1, b"rows")
        outbox.put_partial(1, 0, b"windows")
        outbox.drop_stream(1)
    assert order(outbox) == ({2: [other]}, 100, 0, 0) == order_on_disk(tmp_path)
    assert outbox.pending(1) == []
    assert outbox.partial(1) is None
    assert outbox.aside() == []


def test_what_is_set_aside_counts_until_it_is_dropped(outbox: Outbox, tmp_path: Path) -> None:
    held = put(outbox, 1, 0, size=300)
    with outbox.transaction():
        outbox.set_aside(held, "invalid")
    assert (outbox.order.sealed_bytes, outbox.aside_bytes, outbox.held_bytes()) == (0, 300, 300)
    assert order(outbox) == order_on_disk(tmp_path)
    with outbox.transaction():
        outbox.drop_aside(outbox.aside()[0][0])
    assert outbox.held_bytes() == 0


def test_a_batch_that_is_no_longer_there_is_a_storage_error(outbox: Outbox) -> None:
    held = put(outbox, 1, 0)
    with outbox.transaction():
        outbox.drop_sealed(held)
    with pytest.raises(StorageError, match="no longer in the outbox"):
        outbox.sealed_body(held)


def test_a_newer_format_is_refused_by_number(tmp_path: Path) -> None:
    Outbox(tmp_path).close()
    with sqlite3.connect(tmp_path / "outbox.db") as connection:
        connection.execute(f"PRAGMA user_version={FORMAT + 1}")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(StorageError, match=f"format {FORMAT + 1}, this release reads {FORMAT}") as told:
            Outbox(tmp_path, read_only=read_only)
        assert "newer" in told.value.hint


@pytest.mark.parametrize("read_only", [False, True])
def test_garbage_in_its_place_is_told_by_name(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "outbox.db").write_bytes(b"garbage " * 1000)
    with pytest.raises(StorageError, match=r"outbox\.db: SQLITE_NOTADB"):
        Outbox(tmp_path, read_only=read_only)


def test_a_missing_queue_is_told_by_name_to_who_only_reads(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"outbox\.db: SQLITE_CANTOPEN"):
        Outbox(tmp_path, read_only=True)
    assert not (tmp_path / "outbox.db").exists()


def test_every_page_overwritten_in_turn_gives_a_storage_error_or_an_answer(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    with box.transaction():
        box.add_stream(b"ref-of-1", b"record" * 100)
    for first in range(0, 100, 10):
        put(box, 1, first, size=3000)
    box.checkpoint()
    box.close()
    whole = (tmp_path / "outbox.db").read_bytes()
    named = 0
    for at in range(0, len(whole), 1024):
        (tmp_path / "outbox.db").write_bytes(whole[:at] + b"\xa5" * 1024 + whole[at + 1024 :])
        for left_over in tmp_path.glob("outbox.db-*"):
            left_over.unlink()
        try:
            damaged = Outbox(tmp_path)
        except StorageError:
            named += 1
            continue
        try:
            damaged.streams()
            for held in [held for queue in damaged.queues.values() for held in queue.values()]:
                damaged.sealed_body(held)
        except StorageError:
            named += 1
        damaged.close()
    assert named > 0


def test_the_log_is_cut_when_asked(outbox: Outbox, tmp_path: Path) -> None:
    put(outbox, 1, 0, size=5000)
    assert (tmp_path / "outbox.db-wal").stat().st_size > 5000
    outbox.checkpoint()
    assert (tmp_path / "outbox.db-wal").stat().st_size == 0
    assert outbox.file_bytes() > 5000


def test_dropped_bytes_are_overwritten_on_disk(outbox: Outbox, tmp_path: Path) -> None:
    with outbox.transaction():
        held = outbox.put_sealed(
            stream=1, span=(0, 0), told=0, kept_ms=0, batch_id=bytes(16), body=b"find-me" * 300
        )
    with outbox.transaction():
        outbox.drop_sealed(held)
    outbox.checkpoint()
    assert b"find-me" not in (tmp_path / "outbox.db").read_bytes()


def test_windows_as_long_as_before_are_written_over_where_they_are(outbox: Outbox, tmp_path: Path) -> None:
    log, grown = tmp_path / "outbox.db-wal", []
    for body in (bytes(4400), bytes([1]) * 4400, bytes([2]) * 4400, bytes([3]) * 4500):
        before = log.stat().st_size
        with outbox.transaction():
            outbox.put_partial(1, 0, body)
        grown.append(log.stat().st_size - before)
    assert grown[1] == grown[2] < grown[3]  # of another length its pages are freed, zeroed and taken again
    assert outbox.partial(1) == (0, bytes([3]) * 4500)


@pytest.mark.parametrize("length", [4400, 100])
def test_windows_that_were_written_over_are_nowhere_on_disk(outbox: Outbox, tmp_path: Path, length: int) -> None:
    for body in (b"\xc5" * 4400, bytes(length)):
        with outbox.transaction():
            outbox.put_partial(1, 0, body)
    outbox.checkpoint()
    assert not any(b"\xc5" * 16 in path.read_bytes() for path in tmp_path.iterdir())
