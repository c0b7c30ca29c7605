"""
Keys at rest, and the small files that only they open.

All keys are random and independent. They lie together in ``vault.bin``, encrypted under the root key; the root key
lies behind a :class:`KeyStore`. Destroying any key replaces the root key, so that an old copy of ``vault.bin`` on
the medium opens with nothing that is left. ``state.bin`` (statement, floor) is under the state key. Apart lies the
lane set ``lane.bin``: what the device needs to deliver a wipe receipt after everything else is gone.

Files: root.key vault.bin state.bin lane.bin, each with a ``.new`` beside it while it is replaced. Reads no clock and
draws nothing: random bytes come in as ``draw(count)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge_sdk import files
from edge_sdk.core import cbor
from edge_sdk.core.keys import (
    NONCE_BYTES,
    SECRET_BYTES,
    GenerationHpkeSeed,
    GenerationSigningSeed,
    LedgerKey,
    PseudonymKey,
    PurposeKey,
    RootKey,
    RoutingSecret,
    StateKey,
    StreamSecret,
    unwrap,
    wrap,
)
from edge_sdk.core.shape import Fields, array, list_of, octets, text, uint
from edge_sdk.errors import Malformed, StorageError, Tampered, VaultUnavailable

Draw = Callable[[int], bytes]

FORMAT = 1
MAX_KEYS = 1024  # of one kind: purposes x grants that still have something queued
_VAULT_AAD = b"edge-sdk/vault/1"
_STATE_AAD = b"edge-sdk/state/1"
_VAULT_LIMIT = 1 << 20
_STATE_LIMIT = 8 << 20  # it holds up to four policy texts
_REF_BYTES = 8


class KeyStore(Protocol):
    """
    Where the root key is kept: a file today, a TPM or secure element behind the same four calls.
    """

    method: str
    """What destroying a key amounts to, in the words of a wipe receipt: clear, ce or ce-hw."""

    def load(self) -> tuple[RootKey | None, RootKey | None]:
        """
        Return the key in force, and one that was staged and not promoted; None for what is not there.
        """

    def stage(self, key: RootKey) -> None:
        """
        Keep *key* durably beside the one in force.
        """

    def promote(self) -> None:
        """
        Destroy the key in force and put the staged one in its place.
        """

    def destroy(self) -> None:
        """
        Destroy all keys kept here.
        """


class FileKeyStore:
    """
    Keeps the root key in a 0600 file: whoever copies the medium copies the key.
    """

    method = "clear"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "root.key"
        self._staged = folder / ("root.key" + files.TEMPORARY)

    def load(self) -> tuple[RootKey | None, RootKey | None]:
        """
        Return the key in force and a staged one.
        """
        return _read_key(self._path), _read_key(self._staged)

    def stage(self, key: RootKey) -> None:
        """
        Write *key* beside the one in force.

        After a power cut: the key in force is untouched.
        """
        files.write_beside(self._path, key.reveal())
        files.sync_folder(self._path.parent)

    def promote(self) -> None:
        """
        Zero the old key file, then rename the staged one to it.

        After a power cut: the staged key is whole; the old one is whole, zeroed or gone.
        """
        if files.exists(self._path):
            files.overwrite(self._path)
        files.take_place(self._path)

    def destroy(self) -> None:
        """
        Zero and remove both files.
        """
        files.remove(self._path)
        files.remove(self._staged)


@dataclass(slots=True)
class Generation:
    """
    The secrets one generation of a site is made of; the next owner's are others.
    """

    id: bytes
    signing: GenerationSigningSeed
    hpke: GenerationHpkeSeed
    hpke_alg: int
    streams: StreamSecret


@dataclass(slots=True)
class PurposeEntry:
    """
    The key of one purpose under one grant; ``ref`` names it in the outbox without saying which purpose it is.
    """

    ref: bytes
    purpose: str
    grant_id: bytes
    key: PurposeKey


@dataclass(slots=True)
class Lane:
    """
    What a wipe receipt needs to be delivered: where to, as whom, and whom to believe.
    """

    routing: RoutingSecret
    address: str
    root: bytes
    receipt: bytes = b""


@dataclass(slots=True)
class Keyring:
    """
    Every key of ``vault.bin``. ``pseudonyms`` holds period number and key by purpose.
    """

    generation: Generation
    state: StateKey
    ledger: LedgerKey
    purposes: dict[bytes, PurposeEntry] = field(default_factory=dict)
    pseudonyms: dict[str, tuple[int, PseudonymKey]] = field(default_factory=dict)


class Vault:
    """
    The keys of one site, opened.
    """

    def __init__(self, folder: Path, store: KeyStore, root: RootKey, ring: Keyring, *, draw: Draw) -> None:
        self._folder = folder
        self._store = store
        self._root = root
        self._draw = draw
        self.ring = ring

    @classmethod
    def create(cls, folder: Path, store: KeyStore, ring: Keyring, lane: Lane, *, draw: Draw) -> Vault:
        """
        Write a new vault and its lane set.

        After a power cut: without ``vault.bin`` the site is not provisioned, and creating starts over.
        """
        root = RootKey(draw(SECRET_BYTES))
        write_lane(folder, lane)
        store.stage(root)
        store.promote()
        vault = cls(folder, store, root, ring, draw=draw)
        files.write(folder / "vault.bin", vault._sealed_under(root))
        return vault

    @classmethod
    def open(cls, folder: Path, store: KeyStore, *, draw: Draw, finish: bool = True) -> Vault:
        """
        Open the vault, finishing a root-key replacement that a power cut interrupted unless only reading.

        Raises:
            VaultUnavailable: when no key of the store opens ``vault.bin``.
        """
        path = folder / "vault.bin"
        if not files.exists(path):
            raise VaultUnavailable("this site has no keys", hint="enrol it with 'edge-sdk init'")
        sealed = files.read(path, _VAULT_LIMIT)
        in_force, staged = store.load()
        for root in (in_force, staged):
            try:
                ring = None if root is None else _decode_ring(unwrap(root, sealed, _VAULT_AAD))
            except Tampered:
                continue
            if root is None or ring is None:
                continue
            if root is staged and finish:
                store.promote()
            return cls(folder, store, root, ring, draw=draw)
        raise VaultUnavailable("no key opens vault.bin", hint="the medium is damaged or files were mixed: enrol anew")

    def save(self) -> None:
        """
        Write the keyring under the root key in force: for keys that were added, none destroyed.

        After a power cut: the old or the new keyring.
        """
        files.write(self._folder / "vault.bin", self._sealed_under(self._root))

    def replace_root(self) -> None:
        """
        Write the keyring under a new root key and destroy the old one: for keys that were destroyed.

        After a power cut: the old keyring under the old key, or the new one under the new key; :meth:`open` finishes
        the second. Until the old key's file is zeroed the destroyed key could still be had from old blocks.
        """
        root = RootKey(self._draw(SECRET_BYTES))
        self._store.stage(root)
        files.write(self._folder / "vault.bin", self._sealed_under(root))
        self._store.promote()
        self._root.destroy()
        self._root = root

    def add_purpose(self, purpose: str, grant_id: bytes) -> PurposeEntry:
        """
        Return the key of *purpose* under *grant_id*, made and saved if it is new.
        """
        for entry in self.ring.purposes.values():
            if entry.purpose == purpose and entry.grant_id == grant_id:
                return entry
        entry = PurposeEntry(self._draw(_REF_BYTES), purpose, grant_id, PurposeKey(self._draw(SECRET_BYTES)))
        self.ring.purposes[entry.ref] = entry
        self.save()
        return entry

    def destroy_purposes(self, refs: list[bytes], *, pseudonyms: list[str]) -> None:
        """
        Destroy purpose keys and pseudonym keys, and the root key with them.

        After a power cut: none or all of them are destroyed; asking again is harmless.
        """
        for ref in refs:
            self.ring.purposes.pop(ref).key.destroy()
        for purpose in pseudonyms:
            if purpose in self.ring.pseudonyms:
                self.ring.pseudonyms.pop(purpose)[1].destroy()
        self.replace_root()

    def read_state(self) -> bytes:
        """
        Return what :meth:`write_state` was given last, empty when there is none or it does not open.
        """
        path = self._folder / "state.bin"
        if not files.exists(path):
            return b""
        try:
            return unwrap(self.ring.state, files.read(path, _STATE_LIMIT), _STATE_AAD)
        except Tampered as error:
            raise StorageError("state.bin is damaged", hint="wipe this site and enrol it anew") from error

    def write_state(self, content: bytes) -> None:
        """
        Replace ``state.bin``.

        After a power cut: the old or the new content.
        """
        files.write(self._folder / "state.bin", wrap(self.ring.state, self._draw(NONCE_BYTES), content, _STATE_AAD))

    def _sealed_under(self, root: RootKey) -> bytes:
        return wrap(root, self._draw(NONCE_BYTES), _encode_ring(self.ring), _VAULT_AAD)


def _read_key(path: Path) -> RootKey | None:
    if not files.exists(path):
        return None
    held = files.read(path, SECRET_BYTES)
    if len(held) != SECRET_BYTES or not any(held):  # a cut overwrite leaves zeros: that key is gone
        return None
    return RootKey(held)


def write_lane(folder: Path, lane: Lane) -> None:
    """
    Replace the lane set.

    After a power cut: the old or the new one.
    """
    content: cbor.Value = {0: FORMAT, 1: lane.routing.reveal(), 2: lane.address, 3: lane.root, 4: lane.receipt}
    files.write(folder / "lane.bin", cbor.encode(content))


def read_lane(folder: Path) -> Lane:
    """
    Return the lane set.
    """
    try:
        stored = files.read(folder / "lane.bin", _STATE_LIMIT)
        fields = Fields(cbor.decode(stored, _STATE_LIMIT, "lane set"), "lane set")
    except Malformed as error:
        raise VaultUnavailable("lane.bin is damaged", hint="enrol the site anew") from error
    return Lane(
        routing=RoutingSecret(fields.take(1, "routing secret", octets(32))),
        address=fields.take(2, "address", text(2048)),
        root=fields.take(3, "root", octets(None, _STATE_LIMIT)),
        receipt=fields.take(4, "receipt", octets(None, _STATE_LIMIT)),
    )


def _encode_ring(ring: Keyring) -> bytes:
    generation = ring.generation
    return cbor.encode(
        {
            0: FORMAT,
            1: [
                generation.id,
                generation.signing.reveal(),
                generation.hpke.reveal(),
                generation.hpke_alg,
                generation.streams.reveal(),
            ],
            2: ring.state.reveal(),
            3: ring.ledger.reveal(),
            4: [[e.ref, e.purpose, e.grant_id, e.key.reveal()] for e in ring.purposes.values()],
            5: [[purpose, period, key.reveal()] for purpose, (period, key) in ring.pseudonyms.items()],
        }
    )


def _decode_ring(encoded: bytes) -> Keyring:
    fields = Fields(cbor.decode(encoded, _VAULT_LIMIT, "vault"), "vault")
    if fields.take(0, "format", uint()) != FORMAT:
        raise StorageError("vault.bin has a format this release does not read", hint="install its release")
    secret = octets(SECRET_BYTES)
    generation = fields.take(1, "generation", array(octets(16), secret, secret, uint(), secret))
    purposes = fields.take(4, "purposes", list_of(array(octets(_REF_BYTES), text(64), octets(16), secret), MAX_KEYS))
    pseudonyms = fields.take(5, "pseudonyms", list_of(array(text(64), uint(), secret), MAX_KEYS))
    return Keyring(
        generation=Generation(
            generation[0],
            GenerationSigningSeed(generation[1]),
            GenerationHpkeSeed(generation[2]),
            generation[3],
            StreamSecret(generation[4]),
        ),
        state=StateKey(fields.take(2, "state key", secret)),
        ledger=LedgerKey(fields.take(3, "ledger key", secret)),
        purposes={ref: PurposeEntry(ref, name, grant_id, PurposeKey(key)) for ref, name, grant_id, key in purposes},
        pseudonyms={name: (period, PseudonymKey(key)) for name, period, key in pseudonyms},
    )
