"""
The vault: every point a replacement of the root key can be cut at, and every way its files can be wrong.
"""

from __future__ import annotations

import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from edge_sdk import files
from edge_sdk.core.keys import (
    SECRET_BYTES,
    GenerationHpkeSeed,
    GenerationSigningSeed,
    LaneKey,
    LedgerKey,
    PseudonymKey,
    RootKey,
    RoutingSecret,
    StateKey,
    StreamSecret,
    unwrap,
    wrap,
)
from edge_sdk.errors import NotProvisioned, StorageError, VaultUnavailable
from edge_sdk.keystore import FileKeyStore
from edge_sdk.vault import Generation, Keyring, Lane, Vault, read_lane, write_lane

GRANTS = [bytes([number]) * 16 for number in range(4)]


class Cut(Exception):
    """The power goes."""


class CutStore:
    """A key store whose power goes before or after one of its steps."""

    method = "clear"

    def __init__(self, folder: Path, cut_at: str) -> None:
        self._store = FileKeyStore(folder)
        self.cut_at = cut_at

    def load(self) -> tuple[RootKey | None, RootKey | None]:
        return self._store.load()

    def stage(self, key: RootKey) -> None:
        self._step("stage", lambda: self._store.stage(key))

    def promote(self) -> None:
        self._step("promote", self._store.promote)

    def destroy(self) -> None:
        self._store.destroy()

    def _step(self, name: str, work: Callable[[], None]) -> None:
        if self.cut_at == f"before {name}":
            raise Cut
        work()
        if self.cut_at == f"after {name}":
            raise Cut


def lane_of(routing: RoutingSecret) -> Lane:
    return Lane(routing, "https://x.example", b"root", LaneKey(b"k" * 32), b"receipt")


def made(folder: Path) -> Vault:
    ring = Keyring(
        Generation(
            bytes(16),
            GenerationSigningSeed(secrets.token_bytes(SECRET_BYTES)),
            GenerationHpkeSeed(secrets.token_bytes(SECRET_BYTES)),
            57,
            StreamSecret(secrets.token_bytes(SECRET_BYTES)),
        ),
        StateKey(secrets.token_bytes(SECRET_BYTES)),
        LedgerKey(secrets.token_bytes(SECRET_BYTES)),
    )
    lane = lane_of(RoutingSecret(secrets.token_bytes(SECRET_BYTES)))
    return Vault.create(folder, FileKeyStore(folder), ring, lane, draw=secrets.token_bytes)


def reopened(folder: Path) -> Vault:
    return Vault.open(folder, FileKeyStore(folder), draw=secrets.token_bytes)


def names_of(vault: Vault) -> set[str]:
    return {entry.purpose for entry in vault.ring.purposes.values()}


def with_two_purposes(folder: Path) -> tuple[bytes, bytes]:
    vault = made(folder)
    return vault.add_purpose("kept", GRANTS[0]).ref, vault.add_purpose("gone", GRANTS[1]).ref


def test_every_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    made(tmp_path).write_state(b"state")
    assert {path.name for path in tmp_path.iterdir()} == {"root.key", "vault.bin", "state.bin", "lane.bin"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_key_added_is_there_after_a_restart_and_only_once(tmp_path: Path) -> None:
    vault = made(tmp_path)
    entry = vault.add_purpose("p", GRANTS[0])
    assert vault.add_purpose("p", GRANTS[0]) is entry
    assert reopened(tmp_path).ring.purposes[entry.ref].key.reveal() == entry.key.reveal()


def test_another_grant_has_another_key(tmp_path: Path) -> None:
    vault = made(tmp_path)
    first, second = vault.add_purpose("p", GRANTS[0]), vault.add_purpose("p", GRANTS[1])
    assert first.key.reveal() != second.key.reveal()


CUTS = ["before stage", "after stage", "before vault", "after vault", "before promote", "zeroed", "after promote"]


def destroy_with_a_cut(folder: Path, ref: bytes, cut_at: str) -> None:
    store = CutStore(folder, cut_at)
    vault = Vault.open(folder, store, draw=secrets.token_bytes)
    real = files.write

    def write(path: Path, content: bytes, mode: int = 0o600) -> None:
        if cut_at == "before vault":
            files.write_beside(path, content[: len(content) // 2])
            raise Cut
        real(path, content, mode)
        if cut_at == "after vault":
            raise Cut

    def take_place(path: Path) -> None:
        if cut_at == "zeroed" and path.name == "root.key":
            raise Cut
        files_take_place(path)

    files_take_place = files.take_place
    with mock.patch.object(files, "write", write), mock.patch.object(files, "take_place", take_place):
        vault.destroy_purposes([ref], pseudonyms=[])


@pytest.mark.parametrize("cut_at", CUTS)
def test_a_power_cut_in_a_root_key_replacement_leaves_all_keys_or_none_of_the_destroyed(
    tmp_path: Path, cut_at: str
) -> None:
    _, gone = with_two_purposes(tmp_path)
    with pytest.raises(Cut):
        destroy_with_a_cut(tmp_path, gone, cut_at)
    assert "kept" in names_of(reopened(tmp_path))
    done = cut_at in CUTS[3:]
    assert ("gone" in names_of(reopened(tmp_path))) is not done


@pytest.mark.parametrize("cut_at", CUTS)
def test_after_any_power_cut_the_vault_takes_and_keeps_new_keys(tmp_path: Path, cut_at: str) -> None:
    _, gone = with_two_purposes(tmp_path)
    with pytest.raises(Cut):
        destroy_with_a_cut(tmp_path, gone, cut_at)
    vault = reopened(tmp_path)
    vault.add_purpose("later", GRANTS[2])
    vault.destroy_purposes([gone], pseudonyms=[])
    assert names_of(reopened(tmp_path)) == {"kept", "later"}
    assert not (tmp_path / "root.key.new").exists()


@pytest.mark.parametrize("failing", ["stage", "vault", "promote"])
def test_a_disk_that_fails_in_a_replacement_takes_no_key_and_the_next_try_succeeds(
    tmp_path: Path, failing: str
) -> None:
    _, gone = with_two_purposes(tmp_path)
    vault = reopened(tmp_path)
    target = {"stage": "root.key", "vault": "vault.bin", "promote": "root.key"}[failing]
    verb = "write_beside" if failing != "promote" else "overwrite"
    real = getattr(files, verb)

    def fail(path: Path, *rest: object) -> object:
        if path.name == target:
            raise StorageError("EIO")
        return real(path, *rest)

    with mock.patch.object(files, verb, fail), pytest.raises(StorageError):
        vault.destroy_purposes([gone], pseudonyms=[])
    assert names_of(vault) == {"kept", "gone"}
    assert all(any(entry.key.reveal()) for entry in vault.ring.purposes.values())
    vault.save()
    assert "kept" in names_of(Vault.open(tmp_path, FileKeyStore(tmp_path), draw=secrets.token_bytes, finish=False))
    vault.destroy_purposes([gone], pseudonyms=[])
    assert names_of(reopened(tmp_path)) == {"kept"}


def test_a_cut_after_a_failed_promotion_and_a_second_replacement_loses_nothing(tmp_path: Path) -> None:
    kept, gone = with_two_purposes(tmp_path)
    vault = reopened(tmp_path)
    with mock.patch.object(FileKeyStore, "promote", side_effect=StorageError("EIO")):
        for _ in range(3):
            with pytest.raises(StorageError):
                vault.destroy_purposes([gone], pseudonyms=[])
            beside = Vault.open(tmp_path, FileKeyStore(tmp_path), draw=secrets.token_bytes, finish=False)
            assert "kept" in names_of(beside)
    vault.destroy_purposes([gone], pseudonyms=[])
    assert set(reopened(tmp_path).ring.purposes) == {kept}


def test_a_write_of_unknown_outcome_is_settled_before_another_key_is_staged(tmp_path: Path) -> None:
    _, gone = with_two_purposes(tmp_path)
    vault = reopened(tmp_path)
    real = files.sync_folder

    def fail_once_replaced(path: Path) -> None:
        real(path)
        if vault_was != (tmp_path / "vault.bin").read_bytes():
            raise StorageError("EIO")

    vault_was = (tmp_path / "vault.bin").read_bytes()
    with mock.patch.object(files, "sync_folder", fail_once_replaced), pytest.raises(StorageError):
        vault.destroy_purposes([gone], pseudonyms=[])
    with mock.patch.object(files, "write", side_effect=Cut), pytest.raises(Cut):
        vault.destroy_purposes([gone], pseudonyms=[])  # the power goes while the outcome is still unknown
    assert "kept" in names_of(reopened(tmp_path))


def test_a_promotion_whose_sync_failed_does_not_zero_the_new_key_when_repeated(tmp_path: Path) -> None:
    kept, gone = with_two_purposes(tmp_path)
    vault = reopened(tmp_path)
    real = files.sync_folder

    def fail_after_the_rename(path: Path) -> None:
        real(path)
        if not (tmp_path / "root.key.new").exists() and (tmp_path / "root.key").read_bytes() != root_was:
            raise StorageError("EIO")

    root_was = (tmp_path / "root.key").read_bytes()
    with mock.patch.object(files, "sync_folder", fail_after_the_rename), pytest.raises(StorageError):
        vault.destroy_purposes([gone], pseudonyms=[])
    vault.destroy_purposes([gone], pseudonyms=[])
    assert set(reopened(tmp_path).ring.purposes) == {kept}


def test_an_old_copy_of_the_vault_opens_with_nothing_that_is_left(tmp_path: Path) -> None:
    _, gone = with_two_purposes(tmp_path)
    vault = reopened(tmp_path)
    old = (tmp_path / "vault.bin").read_bytes()
    vault.destroy_purposes([gone], pseudonyms=[])
    (tmp_path / "vault.bin").write_bytes(old)
    with pytest.raises(VaultUnavailable, match=r"no key opens vault\.bin"):
        reopened(tmp_path)


def test_a_key_that_could_not_be_saved_is_handed_out_to_nobody(tmp_path: Path) -> None:
    vault = made(tmp_path)
    with mock.patch.object(files, "write", side_effect=StorageError("ENOSPC")), pytest.raises(StorageError):
        vault.add_purpose("p", GRANTS[0])
    assert names_of(vault) == set()


def test_a_pseudonym_key_that_could_not_be_saved_leaves_the_old_one(tmp_path: Path) -> None:
    vault = made(tmp_path)
    vault.put_pseudonym("p", 1, PseudonymKey(b"1" * 32))
    with mock.patch.object(files, "write", side_effect=StorageError("ENOSPC")), pytest.raises(StorageError):
        vault.put_pseudonym("p", 2, PseudonymKey(b"2" * 32))
    period, key = vault.ring.pseudonyms["p"]
    assert (period, bytes(key.reveal())) == (1, b"1" * 32)
    vault.put_pseudonym("p", 2, PseudonymKey(b"2" * 32))
    assert reopened(tmp_path).ring.pseudonyms["p"][0] == 2


def test_a_site_without_keys_names_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(NotProvisioned) as told:
        reopened(tmp_path)
    assert "edge-sdk init" in told.value.hint


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vault.bin", b""),
        ("vault.bin", b"garbage" * 50),
        ("root.key", b""),
        ("root.key", bytes(32)),
        ("root.key", b"\x01" * 32),
        ("root.key", None),
    ],
)
def test_a_damaged_vault_or_root_key_is_told_by_name(tmp_path: Path, name: str, content: bytes | None) -> None:
    made(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VaultUnavailable, match=r"no key opens vault\.bin"):
        reopened(tmp_path)


@pytest.mark.parametrize("at", range(0, 200, 13))
def test_one_flipped_bit_of_the_vault_is_noticed(tmp_path: Path, at: int) -> None:
    made(tmp_path)
    content = bytearray((tmp_path / "vault.bin").read_bytes())
    content[at] ^= 1
    (tmp_path / "vault.bin").write_bytes(content)
    with pytest.raises(VaultUnavailable):
        reopened(tmp_path)


def test_a_root_key_file_of_another_size_is_no_key_of_ours(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "root.key").write_bytes(bytes(33))
    with pytest.raises(StorageError, match=r"root\.key is larger than 32 bytes"):
        reopened(tmp_path)


def test_state_is_read_back_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    vault = made(tmp_path)
    assert vault.read_state() == b""
    vault.write_state(b"what was accepted")
    assert reopened(tmp_path).read_state() == b"what was accepted"
    assert b"accepted" not in (tmp_path / "state.bin").read_bytes()


def test_a_damaged_state_is_told_by_name(tmp_path: Path) -> None:
    vault = made(tmp_path)
    (tmp_path / "state.bin").write_bytes(b"x" * 100)
    with pytest.raises(StorageError, match=r"state\.bin is damaged"):
        vault.read_state()


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xa0", b"\xa1\x00\x01"])
def test_a_damaged_lane_set_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lane.bin").write_bytes(content)
    with pytest.raises(VaultUnavailable, match=r"lane\.bin is damaged"):
        read_lane(tmp_path)


def test_no_bit_of_a_lane_set_may_differ(tmp_path: Path) -> None:
    write_lane(tmp_path, lane_of(RoutingSecret(b"r" * 32)))
    written = (tmp_path / "lane.bin").read_bytes()
    for place in range(8 * len(written)):
        rotten = bytearray(written)
        rotten[place // 8] ^= 1 << place % 8
        (tmp_path / "lane.bin").write_bytes(rotten)
        with pytest.raises(StorageError):
            read_lane(tmp_path)


def test_the_lane_set_is_read_back(tmp_path: Path) -> None:
    write_lane(tmp_path, lane_of(RoutingSecret(b"r" * 32)))
    lane = read_lane(tmp_path)
    assert (bytes(lane.routing.reveal()), lane.address, lane.root, lane.receipt) == (
        b"r" * 32, "https://x.example", b"root", b"receipt",
    )  # fmt: skip


def test_files_of_a_newer_release_are_refused_by_name_and_number(tmp_path: Path) -> None:
    made(tmp_path)
    with mock.patch("edge_sdk.vault.FORMAT", 2):
        root, _ = FileKeyStore(tmp_path).load()
        assert root is not None
        ring = unwrap(root, (tmp_path / "vault.bin").read_bytes(), b"edge-sdk/vault/1")
        write_lane(tmp_path, read_lane_of_format_1(tmp_path))
    newer = bytes([ring[0], ring[1], 2]) + ring[3:]  # key 0 of the map comes first
    (tmp_path / "vault.bin").write_bytes(wrap(root, bytes(12), newer, b"edge-sdk/vault/1"))
    with pytest.raises(StorageError, match=r"vault\.bin has format 2, this release reads 1"):
        reopened(tmp_path)
    with pytest.raises(StorageError, match=r"lane\.bin has format 2, this release reads 1"):
        read_lane(tmp_path)


def read_lane_of_format_1(folder: Path) -> Lane:
    with mock.patch("edge_sdk.vault.FORMAT", 1):
        return read_lane(folder)


def test_destroyed_keys_are_zeroed_in_memory(tmp_path: Path) -> None:
    _, gone = with_two_purposes(tmp_path)
    vault = reopened(tmp_path)
    key = vault.ring.purposes[gone].key
    vault.destroy_purposes([gone], pseudonyms=[])
    with pytest.raises(RuntimeError, match="destroyed"):
        key.reveal()
