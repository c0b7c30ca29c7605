"""
The intake's file: kept once, charged once, tables as wholes, nothing of a device in it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_sdk.collector.intake import Arrival, Box, Kept, TagRow
from edge_sdk.collector.store import CONTROL_BYTES, PRUNED_AT_ONCE, IntakeStore, TagEntry
from edge_sdk.core.envelope import LIMITS
from edge_sdk.core.labels import TYP_CONTROL

DAY = 20_000
KID = b"k" * 8


@pytest.fixture
def store(tmp_path: Path) -> Iterator[IntakeStore]:
    store = IntakeStore(tmp_path / "intake.db")
    store.publish({DAY: [entry(b"t")]}, oldest_epoch=DAY - 1)
    yield store
    store.close()


def entry(name: bytes, quota_bytes: int = 100, downlink: bytes = b"sealed") -> TagEntry:
    return TagEntry(name * 16, b"m" * 32, quota_bytes, downlink, hashlib.sha256(downlink).digest())


def row(store: IntakeStore, name: bytes = b"t", epoch: int = DAY) -> TagRow:
    found = store.tag_row(name * 16, (epoch,))
    assert found is not None
    return found


def arrival(store: IntakeStore, name: bytes, body: bytes, *, box: Box = Box.BATCHES, day: int = DAY) -> Arrival:
    return Arrival(box, name * 16, KID, hashlib.sha256(body).digest(), body, day, row(store))


def test_the_same_batch_twice_is_stored_once(store: IntakeStore) -> None:
    assert store.keep(arrival(store, b"1", b"body")) is Kept.STORED
    assert store.keep(arrival(store, b"1", b"body")) is Kept.DUPLICATE
    assert [kept.body for kept in store.bodies(Box.BATCHES)] == [b"body"]


def test_another_body_under_the_same_id_is_a_conflict_and_changes_nothing(store: IntakeStore) -> None:
    store.keep(arrival(store, b"1", b"body"))
    assert store.keep(arrival(store, b"1", b"other")) is Kept.CONFLICT
    assert [kept.body for kept in store.bodies(Box.BATCHES)] == [b"body"]


def test_a_control_message_and_a_batch_may_share_an_id(store: IntakeStore) -> None:
    store.keep(arrival(store, b"1", b"body"))
    assert store.keep(arrival(store, b"1", b"word", box=Box.CONTROL)) is Kept.STORED


def test_batches_that_used_up_the_quota_leave_room_for_the_longest_wipe_receipt(store: IntakeStore) -> None:
    assert store.keep(arrival(store, b"1", bytes(100))) is Kept.STORED
    assert store.keep(arrival(store, b"2", b"x")) is Kept.OVER_QUOTA
    longest = bytes(LIMITS[TYP_CONTROL])
    assert store.keep(arrival(store, b"3", longest, box=Box.CONTROL)) is Kept.STORED


def test_control_messages_have_a_quota_too_and_a_new_table_does_not_lift_it(store: IntakeStore) -> None:
    large = bytes(CONTROL_BYTES - 1)
    assert store.keep(arrival(store, b"1", large, box=Box.CONTROL)) is Kept.STORED
    store.publish({DAY: [entry(b"t")]}, oldest_epoch=DAY - 1)
    assert store.keep(arrival(store, b"2", b"xx", box=Box.CONTROL)) is Kept.OVER_QUOTA
    assert store.keep(arrival(store, b"3", bytes(100))) is Kept.STORED


def test_an_erased_batch_is_not_read_again_and_not_stored_again(store: IntakeStore, tmp_path: Path) -> None:
    body = b"what a household asked to be deleted"
    first = arrival(store, b"1", body)
    store.keep(first)
    store.erase([b"1" * 16])
    assert list(store.bodies(Box.BATCHES)) == []
    assert not [path.name for path in tmp_path.iterdir() if body in path.read_bytes()]
    assert store.keep(first) is Kept.DUPLICATE


def test_a_tag_stores_up_to_its_quota_and_no_byte_more(store: IntakeStore) -> None:
    assert store.keep(arrival(store, b"1", bytes(60))) is Kept.STORED
    assert store.keep(arrival(store, b"2", bytes(41))) is Kept.OVER_QUOTA
    assert store.keep(arrival(store, b"3", bytes(40))) is Kept.STORED


def test_a_repeat_costs_no_quota_and_is_answered_even_when_it_is_used_up(store: IntakeStore) -> None:
    store.keep(arrival(store, b"1", bytes(100)))
    assert store.keep(arrival(store, b"1", bytes(100))) is Kept.DUPLICATE


def test_a_republished_table_keeps_what_a_tag_has_used(store: IntakeStore) -> None:
    store.keep(arrival(store, b"1", bytes(60)))
    store.publish({DAY: [entry(b"t", downlink=b"anew"), entry(b"u")]}, oldest_epoch=DAY - 1)
    assert row(store).used_bytes == 60
    assert store.downlink(row(store)) == b"anew"


def test_a_tag_that_is_not_in_the_new_table_is_gone(store: IntakeStore) -> None:
    old = row(store)
    store.publish({DAY: [entry(b"u")]}, oldest_epoch=DAY - 1)
    assert store.tag_row(b"t" * 16, (DAY,)) is None
    assert store.downlink(old) is None
    assert store.keep(Arrival(Box.BATCHES, b"1" * 16, KID, bytes(32), b"b", DAY, old)) is Kept.OVER_QUOTA


def test_a_tag_is_found_only_in_the_epochs_asked_for(store: IntakeStore) -> None:
    assert store.tag_row(b"t" * 16, (DAY - 1, DAY + 1)) is None


def test_an_added_row_is_found_and_the_others_stay(store: IntakeStore) -> None:
    store.add({DAY: entry(b"v"), DAY + 1: entry(b"w")})
    assert [row(store, *where).epoch for where in ((b"t", DAY), (b"v", DAY), (b"w", DAY + 1))]


def test_old_epochs_go_when_new_ones_are_published(store: IntakeStore) -> None:
    store.publish({DAY + 2: [entry(b"u")]}, oldest_epoch=DAY + 1)
    assert store.tag_row(b"t" * 16, (DAY,)) is None


def test_bodies_come_in_order_of_arrival_and_by_key(store: IntakeStore) -> None:
    for name in (b"1", b"2", b"3"):
        store.keep(arrival(store, name, name))
    kept = list(store.bodies(Box.BATCHES, kid=KID))
    assert [body.body for body in kept] == [b"1", b"2", b"3"]
    assert [body.body for body in store.bodies(Box.BATCHES, after=kept[0].number)] == [b"2", b"3"]
    assert list(store.bodies(Box.BATCHES, kid=b"o" * 8)) == []


def test_more_bodies_than_a_page_all_come(store: IntakeStore) -> None:
    store.publish({DAY: [entry(b"t", quota_bytes=10_000)]}, oldest_epoch=DAY - 1)
    for number in range(150):
        body = number.to_bytes(2)
        store.keep(Arrival(Box.BATCHES, body * 8, KID, hashlib.sha256(body).digest(), body, DAY, row(store)))
    assert [body.body for body in store.bodies(Box.BATCHES)] == [n.to_bytes(2) for n in range(150)]


def test_a_body_no_opener_took_is_never_pruned(store: IntakeStore) -> None:
    store.keep(arrival(store, b"1", b"body"))
    assert store.prune(DAY + 1000) == 0
    assert len(list(store.bodies(Box.BATCHES))) == 1


def test_an_id_is_remembered_for_ninety_days(store: IntakeStore) -> None:
    store.keep(arrival(store, b"1", b"body"))
    store.mark_taken(body.number for body in store.bodies(Box.BATCHES))
    assert store.prune(DAY + 90) == 0
    assert store.prune(DAY + 91) == 1


def test_numbers_are_not_given_twice_even_when_the_last_body_was_pruned(store: IntakeStore) -> None:
    store.keep(arrival(store, b"1", b"body"))
    (first,) = store.bodies(Box.BATCHES)
    store.mark_taken([first.number])
    store.prune(DAY + 91)
    store.publish({DAY: [entry(b"t")]}, oldest_epoch=DAY)
    store.keep(arrival(store, b"2", b"next"))
    assert [body.body for body in store.bodies(Box.BATCHES, after=first.number)] == [b"next"]


def test_a_document_is_replaced_by_name(store: IntakeStore) -> None:
    store.put_document("recipients", b"one")
    store.put_document("recipients", b"two")
    assert (store.document("recipients"), store.document("root/1")) == (b"two", None)


def test_a_stored_body_cannot_be_joined_to_the_tag_that_brought_it(store: IntakeStore, tmp_path: Path) -> None:
    store.keep(arrival(store, b"1", b"body"))
    store.close()
    connection = sqlite3.connect(tmp_path / "intake.db")
    columns = {name for (_, name, *_) in connection.execute("PRAGMA table_info(arrivals)")}
    connection.close()
    assert columns == {"number", "box", "id", "kid", "digest", "body", "epoch", "taken"}


def fill(path: Path, count: int) -> None:
    """Lay taken batches of long ago into the file, many in one transaction."""
    rows = (
        (number.to_bytes(16), KID, number.to_bytes(32), bytes(3000), DAY - 200 + number * 200 // count)
        for number in range(count)
    )
    with sqlite3.connect(path) as database:
        database.executemany(
            "INSERT INTO arrivals (box, id, kid, digest, body, epoch, taken) VALUES ('batches', ?, ?, ?, ?, ?, 1)",
            rows,
        )
    database.close()


def steps(store: IntakeStore, act: Callable[[], object]) -> int:
    """Return how many instructions of SQLite's machine *act* takes, in tens."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    with store._database.read() as connection:
        connection.set_progress_handler(count, 10)
        act()
        connection.set_progress_handler(None, 10)
    return taken


@pytest.mark.parametrize(
    "act",
    [
        lambda store: list(store.bodies(Box.CONTROL)),
        lambda store: store.mark_heard(store.newest()),
        lambda store: store.newest(),
        lambda store: store.prune(DAY - 150),
    ],
    ids=["control messages", "marking them", "newest", "pruning nothing"],
)
def test_what_is_done_each_hour_does_not_look_through_the_batches(
    store: IntakeStore, act: Callable[[IntakeStore], object]
) -> None:
    store.keep(arrival(store, b"1", b"word", box=Box.CONTROL))
    fill(store._database.path, 4000)
    assert steps(store, lambda: act(store)) < 40


def test_what_is_old_goes_in_pieces_so_that_others_are_answered_between(store: IntakeStore) -> None:
    fill(store._database.path, 4000)
    gone = [store.prune(DAY) for _ in range(6)]
    assert gone == [PRUNED_AT_ONCE] * 4 + [200, 0]  # 110 of 200 days are over 90 days old
    assert len(list(store.bodies(Box.BATCHES))) == 1800


def test_a_file_without_the_indexes_gets_them(tmp_path: Path) -> None:
    IntakeStore(tmp_path / "old.db").close()
    with sqlite3.connect(tmp_path / "old.db") as database:
        database.execute("DROP INDEX arrivals_control")
        database.execute("DROP INDEX arrivals_taken")
    database.close()
    store = IntakeStore(tmp_path / "old.db")
    assert (list(store.bodies(Box.CONTROL)), store.prune(DAY)) == ([], 0)
    store.close()
