"""
What an erase leaves, what it says of each store, and what it does where a medium or a key store refuses.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk import files
from edge_sdk.core import claims
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import RootKey
from edge_sdk.core.messages import Control
from edge_sdk.core.receipt import Firmware, Method, StoreErased
from edge_sdk.errors import StorageError
from edge_sdk.vault import Lane, read_lane, write_lane
from edge_sdk.wipe import begin, is_complete, pending_intent, reserve
from tests.unit.erasing import draft_with, erased, intent_with, lane_set, store_named, told, with_key
from tests.vectors import world

OF_EACH = {
    "keys": ("vault.bin", "page.bin"),
    "queue": ("outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db-journal", "spare.bin"),
    "statement": ("state.bin", "floor.bin", "policy.bin"),
    "ledger": ("ledger.bin", "ledger.old"),
    "requests": ("request", "answer"),
}
ROOT_KEY = StoreErased("root key", Method.CLEAR, verified=True, items=1)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    """Begin an erase in a folder that has a root key, and nothing else yet."""
    lane = lane_set()
    write_lane(tmp_path, lane)
    with_key(tmp_path)
    begin(tmp_path, lane, intent_with(), draw=os.urandom)
    return lane


def test_of_all_files_a_site_can_have_only_the_lane_set_is_left(tmp_path: Path, lane: Lane) -> None:
    for name in (name for names in OF_EACH.values() for name in names):
        (tmp_path / name).write_bytes(b"of a household")
        (tmp_path / f"{name}.new").write_bytes(b"a replacement that a power cut left")
    finished = erased(tmp_path, lane)
    assert names_in(tmp_path) == {"lane.bin"}
    stores = [StoreErased(name, Method.CLEAR, True, 2 * len(names)) for name, names in OF_EACH.items()]
    assert finished.receipt.stores == (ROOT_KEY, *stores)
    assert is_complete(finished.receipt)


def test_a_store_that_cannot_be_looked_at_is_failed_and_never_absent(tmp_path: Path, lane: Lane) -> None:
    (tmp_path / "circle").symlink_to("circle")
    finished = erased(tmp_path, lane, stores=[("queue", ("circle/outbox.db",))])
    assert store_named("queue", finished).method is Method.FAILED
    assert not is_complete(finished.receipt)


def test_a_store_of_which_there_is_nothing_is_absent(tmp_path: Path, lane: Lane) -> None:
    finished = erased(tmp_path, lane)
    stores = [StoreErased(name, Method.ABSENT, True, 0) for name in OF_EACH]
    assert finished.receipt.stores == (ROOT_KEY, *stores)
    assert is_complete(finished.receipt)


def test_what_a_caller_names_is_erased_and_nothing_else(tmp_path: Path, lane: Lane) -> None:
    for name in ("mine", "ours"):
        (tmp_path / name).write_bytes(b"of a household")
    finished = erased(tmp_path, lane, stores=[("one", ("mine", "never made"))])
    assert store_named("one", finished) == StoreErased("one", Method.CLEAR, True, 1)
    assert names_in(tmp_path) == {"lane.bin", "ours"}


# --- the order


def test_the_root_key_goes_while_everything_it_opens_is_there(tmp_path: Path, lane: Lane) -> None:
    seen: list[set[str]] = []

    class Noting(Held):
        def destroy(self) -> None:
            seen.append(names_in(tmp_path))

    (tmp_path / "vault.bin").write_bytes(b"under the root key")
    erased(tmp_path, lane, key_store=Noting())
    assert seen == [{"lane.bin", "wipe.bin", "root.key", "vault.bin"}]


def test_the_firmware_is_asked_when_the_files_are_gone_and_the_intent_is_not(tmp_path: Path, lane: Lane) -> None:
    seen: list[set[str]] = []

    def clear() -> Firmware:
        seen.append(names_in(tmp_path))
        return Firmware.CLEARED

    (tmp_path / "vault.bin").write_bytes(b"under the root key")
    assert erased(tmp_path, lane, clear=clear).receipt.firmware is Firmware.CLEARED
    assert seen == [{"lane.bin", "wipe.bin"}]


# --- the receipt


def test_the_authority_reads_what_came_of_the_erase(tmp_path: Path, lane: Lane) -> None:
    uses = {"monitoring": ([b"k" * 8], [b"s" * 16])}
    draft = replace(draft_with(uses), scope=("monitoring",))
    finished = erased(tmp_path, lane, intent=replace(intent_with(), draft=draft))
    kept = finished.receipt
    assert replace(kept, stores=()) == draft
    assert told(lane) == Control(world.GENERATION, world.NOW_S, (world.named("head"), 9), kept)


def test_the_receipt_is_sealed_under_drawn_bytes(tmp_path: Path, lane: Lane) -> None:
    drawn: list[bytes] = []

    def draw(length: int) -> bytes:
        drawn.append(os.urandom(length))
        return drawn[-1]

    erased(tmp_path, lane, draw=draw)
    envelope = outer(lane.receipt)
    assert sorted(map(len, drawn)) == [12, 16, 32]
    assert (envelope.batch_id in drawn, envelope.iv in drawn) == (True, True)
    assert envelope.content_alg == claims.ALG_A256GCM


def test_with_the_receipt_on_the_medium_the_intent_goes(tmp_path: Path, lane: Lane) -> None:
    finished = erased(tmp_path, lane)
    assert finished.is_stored is True
    assert read_lane(tmp_path).receipt == lane.receipt
    assert not (tmp_path / "wipe.bin").exists()


def test_the_signing_key_ends_with_the_erase(tmp_path: Path, lane: Lane) -> None:
    intent = intent_with()
    erased(tmp_path, lane, intent=intent)
    with pytest.raises(RuntimeError, match="destroyed"):
        intent.signing.reveal()


def test_where_the_medium_takes_no_receipt_the_intent_stays(tmp_path: Path, lane: Lane) -> None:
    (tmp_path / "lane.bin").unlink()
    (tmp_path / "lane.bin").mkdir()  # nothing takes the place of a folder
    finished = erased(tmp_path, lane)
    assert finished.is_stored is False
    assert told(lane).body == finished.receipt
    assert pending_intent(tmp_path, lane) is not None


def test_an_intent_that_does_not_go_makes_no_stored_receipt_undone(tmp_path: Path, lane: Lane) -> None:
    (tmp_path / "wipe.bin").unlink()
    (tmp_path / "wipe.bin").mkdir()  # nothing that overwrites a file gets hold of it
    assert erased(tmp_path, lane).is_stored is True
    assert read_lane(tmp_path).receipt == lane.receipt


def test_an_erase_that_was_done_before_its_receipt_was_stored_is_done_again(tmp_path: Path, lane: Lane) -> None:
    (tmp_path / "vault.bin").write_bytes(b"under the root key")
    erased(tmp_path, lane)
    begin(tmp_path, lane, intent_with(), draw=os.urandom)
    again = erased(tmp_path, lane)
    assert is_complete(again.receipt)
    assert store_named("keys", again).method is Method.ABSENT


# --- what refuses


class Held:
    """
    Stand for a TPM or secure element, which no test machine has: it keeps what it is told to, and nothing more.
    """

    method = "ce-hw"

    def __init__(self, in_force: RootKey | None = None, staged: RootKey | None = None) -> None:
        self._held = in_force, staged

    def load(self) -> tuple[RootKey | None, RootKey | None]:
        return self._held

    def stage(self, key: RootKey) -> None:
        self._held = self._held[0], key

    def promote(self) -> None:
        self._held = self._held[1], None

    def destroy(self) -> None:
        """Do nothing: what is held at the start stays."""


class Refusing(Held):
    """One that cannot destroy a key."""

    def destroy(self) -> None:
        raise StorageError("the element does not answer")


class Silent(Held):
    """One that cannot say whether there still is a key."""

    def load(self) -> tuple[RootKey | None, RootKey | None]:
        raise StorageError("the element does not answer")


KEY = RootKey(b"k" * 32)


@pytest.mark.parametrize(
    "store",
    [Held(in_force=KEY), Held(staged=KEY), Refusing(), Silent()],
    ids=["still in force", "still staged", "does not destroy", "does not say"],
)
def test_a_root_key_that_may_still_be_there_has_failed(tmp_path: Path, lane: Lane, store: Held) -> None:
    finished = erased(tmp_path, lane, key_store=store)
    assert store_named("root key", finished) == StoreErased("root key", Method.FAILED, False, 1)
    assert not is_complete(finished.receipt)


def test_a_key_is_erased_as_its_store_says_that_it_erases(tmp_path: Path, lane: Lane) -> None:
    finished = erased(tmp_path, lane, key_store=Held())
    assert store_named("root key", finished) == StoreErased("root key", Method.CE_HW, True, 1)


def test_a_file_that_does_not_go_has_failed_and_the_others_go(tmp_path: Path, lane: Lane) -> None:
    (tmp_path / "ledger.bin").mkdir()  # nothing that overwrites a file gets hold of it
    for name in ("ledger.old", "answer"):
        (tmp_path / name).write_bytes(b"of a household")
    finished = erased(tmp_path, lane)
    assert store_named("ledger", finished) == StoreErased("ledger", Method.FAILED, False, 2)
    assert not is_complete(finished.receipt)
    assert names_in(tmp_path) == {"lane.bin", "ledger.bin"}


def test_a_file_that_went_but_was_not_overwritten_has_failed(tmp_path: Path, lane: Lane) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ledger.bin").symlink_to(tmp_path / "elsewhere")  # takes no zeros, and is removed all the same
    finished = erased(tmp_path, lane)
    assert not (tmp_path / "ledger.bin").exists()
    assert store_named("ledger", finished) == StoreErased("ledger", Method.FAILED, False, 1)


def test_a_file_that_somebody_writes_again_meanwhile_has_failed(
    tmp_path: Path, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = files.remove

    def remove_and_write_again(path: Path) -> None:
        remove(path)
        if path.name == "answer":
            path.write_bytes(b"of a household")

    (tmp_path / "answer").write_bytes(b"of a household")
    monkeypatch.setattr(files, "remove", remove_and_write_again)  # another program, at the one moment that counts
    assert store_named("requests", erased(tmp_path, lane)) == StoreErased("requests", Method.FAILED, False, 1)


@pytest.mark.parametrize(
    ("method", "verified", "firmware", "complete"),
    [
        (Method.CLEAR, True, Firmware.NONE, True),
        (Method.ABSENT, True, Firmware.CLEARED, True),
        (Method.CLEAR, True, Firmware.NOT_REACHABLE, True),
        (Method.CLEAR, True, Firmware.FAILED, False),
        (Method.CLEAR, False, Firmware.NONE, False),
        (Method.FAILED, True, Firmware.NONE, False),
        (Method.FAILED, False, Firmware.FAILED, False),
    ],
)
def test_complete_is_what_was_erased_and_verified_everywhere(
    method: Method, verified: bool, firmware: Firmware, complete: bool
) -> None:
    good, other = StoreErased("keys", Method.CLEAR, True, 1), StoreErased("queue", method, verified, 1)
    for stores in ((good, other), (other, good)):
        assert is_complete(replace(draft_with({}), stores=stores, firmware=firmware)) is complete


def test_reserved_or_not_an_intent_is_put_on_disk(tmp_path: Path) -> None:
    for folder, prepare in ((tmp_path / "one", reserve), (tmp_path / "other", lambda _: None)):
        folder.mkdir()
        prepare(folder)
        begin(folder, lane_set(), intent_with(), draw=os.urandom)
        assert pending_intent(folder, lane_set()) is not None
