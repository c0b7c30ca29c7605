"""
Somebody who copied the state folder, and later gets hold of the device: what do the keys left on it open?

Owns the attack. A copy is taken before an ending, without the root key (who copies that has the keys themselves);
every stretch of ciphertext in it is a Locked. Afterwards every key that the device still has is tried on each of
them, without the authentication that a wrong aad would spoil: a key opens a stretch when it makes the same key stream.
Keys are whatever the vault, the page and the lane still yield and, where a folder is small, any 32 bytes in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from edge_sdk.core import cbor
from edge_sdk.core.keys import NONCE_BYTES, SECRET_BYTES, BatchKey, SecretBytes, unwrap
from edge_sdk.errors import EdgeError
from edge_sdk.keypage import KeyPage
from edge_sdk.keystore import FileKeyStore
from edge_sdk.ledger import _PLACE_BYTES, _all_records
from edge_sdk.opening import draw
from edge_sdk.vault import _STATE_AAD, _VAULT_AAD, Keyring, Vault, read_lane

SMALL_BYTES: Final = 64 << 10
_FIRST_BLOCK: Final = (2).to_bytes(4)  # AES-GCM encrypts the first block of a plaintext under counter 2


@dataclass(frozen=True, slots=True)
class Locked:
    """
    One ciphertext of a copy: where it lay, whose it was, its first counter block and what its own key makes of it.
    """

    place: str
    purpose: str
    counter: bytes
    key_stream: bytes


@dataclass(frozen=True, slots=True)
class Copy:
    """
    A state folder as somebody has it: ciphertexts, and by name the keys that opened them (which he has not).
    """

    locked: tuple[Locked, ...]
    keys: dict[str, bytes]

    def opened_by(self, keys: Iterable[bytes]) -> set[tuple[str, str]]:
        """
        Return place and purpose of everything that any of *keys* opens.
        """
        counters = b"".join(one.counter for one in self.locked)
        wanted = {one.key_stream: one for one in self.locked}
        opened = set()
        for key in keys:
            made = _blocks(key, counters)
            for at in range(0, len(made), 16):
                if (one := wanted.get(made[at : at + 16])) is not None:
                    opened.add((one.place, one.purpose))
        return opened

    def keys_lying_in(self, folder: Path, names: Iterable[str]) -> set[tuple[str, str]]:
        """
        Return which of the keys called *names* lie in the clear in which file of *folder*.
        """
        found = set()
        for path in folder.iterdir():
            octets = path.read_bytes() if path.is_file() else b""
            found |= {(name, path.name) for name in names if self.keys[name] in octets}
        return found


def copy_of(state: Path) -> Copy:
    """
    Return what a copy of *state* holds; the site is stopped.
    """
    store = FileKeyStore(state)
    root = store.load()[0]
    assert root is not None
    ring = Vault.open(state, store, draw=draw, finish=False).ring
    batch_keys, purposes = _page_keys(state, ring)
    locked = [
        _lock("vault.bin", (state / "vault.bin").read_bytes(), root, aad=_VAULT_AAD),
        _lock("state.bin", (state / "state.bin").read_bytes(), ring.state, aad=_STATE_AAD),
        *(_lock("ledger", r[_PLACE_BYTES:], ring.ledger, aad=r[:_PLACE_BYTES]) for r in _all_records(state)),
    ]
    for table, row, aad, body in _query(state, "SELECT 'record', id, ref, record FROM stream") + _query(
        state, "SELECT 'sealed', stream, batch_id, body FROM sealed"
    ):
        purpose, key = purposes[row]
        locked.append(_lock(table, body, key, aad=aad, purpose=purpose))
    for table in ("pending", "partial"):
        for row, batch, body in _query(state, f"SELECT stream, batch, body FROM {table}"):
            aad = cbor.encode([table, ring.generation.id, row, batch])
            locked.append(_lock(table, body, batch_keys[row, batch], aad=aad, purpose=purposes[row][0]))
    keys = {
        "root": root.reveal(),
        "state": ring.state.reveal(),
        "ledger": ring.ledger.reveal(),
        "signing": ring.generation.signing.reveal(),
        "hpke": ring.generation.hpke.reveal(),
        "streams": ring.generation.streams.reveal(),
        **{f"pseudonym {name}": key.reveal() for name, (_, key) in ring.pseudonyms.items()},
        **{f"purpose {entry.purpose}": entry.key.reveal() for entry in ring.purposes.values()},
        **{f"batch {purposes[row][0]} {row}": key.reveal() for (row, _), key in batch_keys.items()},
    }
    return Copy(tuple(locked), keys)


def keys_left(state: Path) -> Iterator[bytes]:
    """
    Yield every key that what is left of the device yields.
    """
    for store_key in FileKeyStore(state).load():
        if store_key is not None:
            yield store_key.reveal()
    for lane in state.glob("lane*.bin"):
        held = read_lane(state, lane.name)
        yield from (held.routing.reveal(), held.key.reveal())
    try:
        ring = Vault.open(state, FileKeyStore(state), draw=draw, finish=False).ring
    except EdgeError:
        return
    generation = ring.generation
    yield from (generation.signing.reveal(), generation.hpke.reveal(), generation.streams.reveal())
    yield from (ring.state.reveal(), ring.ledger.reveal())
    yield from (entry.key.reveal() for entry in ring.purposes.values())
    yield from (key.reveal() for _, key in ring.pseudonyms.values())
    yield from (key.reveal() for key in _page_keys(state, ring)[0].values())


def anything_in(state: Path) -> Iterator[bytes]:
    """
    Yield every 32 bytes that lie together anywhere in a small folder.
    """
    for path in state.iterdir():
        octets = path.read_bytes()
        assert len(octets) <= SMALL_BYTES, f"{path.name} is too large to be looked through"
        yield from (octets[at : at + SECRET_BYTES] for at in range(len(octets) - SECRET_BYTES + 1))


def rows_in(state: Path) -> dict[str, int]:
    """
    Return how many rows of each purpose lie in the queue and open with the keys that are there.
    """
    ring = Vault.open(state, FileKeyStore(state), draw=draw, finish=False).ring
    purposes = _purposes(state, ring)
    counts = dict.fromkeys((entry.purpose for entry in ring.purposes.values()), 0)
    for table in ("SELECT stream, rows FROM pending", "SELECT stream, last - first + 1 FROM sealed"):
        for row, count in _query(state, table):
            if row in purposes:
                counts[purposes[row][0]] += count
    return counts


def _purposes(state: Path, ring: Keyring) -> dict[int, tuple[str, SecretBytes]]:
    streams = _query(state, "SELECT id, ref FROM stream")
    return {row: (ring.purposes[ref].purpose, ring.purposes[ref].key) for row, ref in streams if ref in ring.purposes}


def _page_keys(
    state: Path, ring: Keyring
) -> tuple[dict[tuple[int, int], SecretBytes], dict[int, tuple[str, SecretBytes]]]:
    """
    Return the batch keys that the purpose keys open on the page, and purpose and key by stream.
    """
    purposes = _purposes(state, ring)
    found: dict[tuple[int, int], SecretBytes] = {}
    if not (state / "page.bin").exists():
        return found, purposes
    for slot in (0, 1):
        _, entries = KeyPage._read(KeyPage(state, read_only=True), slot) or (0, {})
        for (row, batch), wrapped in entries.items():
            if row in purposes:
                aad = cbor.encode(["page", ring.generation.id, row, batch])
                found[row, batch] = BatchKey(unwrap(purposes[row][1], wrapped, aad))
    return found, purposes


def _query(state: Path, text: str) -> list[tuple[Any, ...]]:
    if not (state / "outbox.db").exists():
        return []
    with closing(sqlite3.connect((state / "outbox.db").as_uri() + "?mode=ro", uri=True)) as database:
        return database.execute(text).fetchall()


def _lock(place: str, wrapped: bytes, key: SecretBytes, *, aad: bytes, purpose: str = "") -> Locked:
    unwrap(key, wrapped, aad)  # raises where this is not its key, and the attack would prove nothing
    counter = wrapped[:NONCE_BYTES] + _FIRST_BLOCK
    return Locked(place, purpose, counter, _blocks(key.reveal(), counter))


def _blocks(key: bytes, counters: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counters)
