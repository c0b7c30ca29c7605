"""
Keys at rest, and the small files that only they open.

All keys are random and independent. They lie together in ``vault.bin``, encrypted under the root key; the root key
lies behind a ``keystore``. Destroying any key replaces the root key, so that an old copy of ``vault.bin`` on
the medium opens with nothing that is left. ``state.bin`` (statement) is under the state key. Apart lies the
lane set ``lane.bin``: what the device needs to deliver a wipe receipt after everything else is gone.

Files: vault.bin state.bin lane.bin, each with a ``.new`` beside it while it is replaced. Reads no clock and
draws nothing: random bytes come in as ``draw(count)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge_sdk import files
from edge_sdk.core import cbor
from edge_sdk.core.keys import (
    NONCE_BYTES,
    SECRET_BYTES,
    GenerationHpkeSeed,
    GenerationSigningSeed,
    LaneKey,
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
from edge_sdk.errors import Malformed, NotProvisioned, StorageError, Tampered, VaultUnavailable
from edge_sdk.floorpage import read_floor, write_floor
from edge_sdk.keystore import KeyStore

Draw = Callable[[int], bytes]

FORMAT = 1
MAX_KEYS = 1024  # of one kind: purposes x grants that still have something queued
_VAULT_AAD = b"edge-sdk/vault/1"
_STATE_AAD = b"edge-sdk/state/1"
_VAULT_LIMIT = 1 << 20
_STATE_LIMIT = 8 << 20  # it holds up to four policy texts
_REF_BYTES = 8


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
    key: LaneKey
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
        self._promotion_due = False  # vault.bin is under a key that is still only staged
        self._is_uncertain = False  # vault.bin may be under the staged key or the one in force
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
            NotProvisioned: when there is no ``vault.bin``.
            VaultUnavailable: when no key of the store opens it.
        """
        path = folder / "vault.bin"
        if not files.exists(path):
            raise NotProvisioned
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
        self._is_uncertain = False

    def replace_root(self) -> None:
        """
        Write the keyring under a new root key and destroy the old one: for keys that were destroyed.

        After a power cut: the old keyring under the old key, or the new one under the new key; :meth:`open` finishes
        the second. Until the old key's file is zeroed the destroyed key could still be had from old blocks.

        Raises:
            StorageError: when a step fails; asked for again, it goes on from where it was, and at every moment a key
                of the store opens what is there.
        """
        if self._is_uncertain:
            self.save()  # staging another key would overwrite the one vault.bin may be under
        self._finish_promotion()
        root = RootKey(self._draw(SECRET_BYTES))
        self._store.stage(root)
        self._is_uncertain = True
        files.write(self._folder / "vault.bin", self._sealed_under(root))
        self._is_uncertain = False
        old, self._root, self._promotion_due = self._root, root, True
        old.destroy()
        self._finish_promotion()

    def _finish_promotion(self) -> None:
        if self._promotion_due:
            self._store.promote()
            self._promotion_due = False

    def add_purpose(self, purpose: str, grant_id: bytes) -> PurposeEntry:
        """
        Return the key of *purpose* under *grant_id*, made and saved if it is new.

        After a power cut: the key is there or not; it is handed out only when it is.

        Raises:
            StorageError: it could not be saved, and there is none.
        """
        for entry in self.ring.purposes.values():
            if entry.purpose == purpose and entry.grant_id == grant_id:
                return entry
        if len(self.ring.purposes) >= MAX_KEYS:  # one more would be a vault that cannot be read back
            raise StorageError(f"{MAX_KEYS} keys are in use", hint="let the device reach its collector")
        entry = PurposeEntry(self._draw(_REF_BYTES), purpose, grant_id, PurposeKey(self._draw(SECRET_BYTES)))
        self.ring.purposes[entry.ref] = entry
        try:
            self.save()
        except StorageError:
            del self.ring.purposes[entry.ref]
            raise
        return entry

    def put_pseudonym(self, purpose: str, period: int, key: PseudonymKey) -> None:
        """
        Keep *key* for the pseudonyms of *purpose* in *period*; the one before it is destroyed.

        After a power cut: the old or the new key is there.

        Raises:
            StorageError: the old one stays.
        """
        before = self.ring.pseudonyms
        self.ring.pseudonyms = {**before, purpose: (period, key)}
        try:
            if purpose in before:
                self.replace_root()
            else:
                self.save()
        except StorageError:
            self.ring.pseudonyms = before
            raise
        if purpose in before:
            before[purpose][1].destroy()

    def destroy_purposes(self, refs: list[bytes], *, pseudonyms: list[str]) -> None:
        """
        Destroy purpose keys and pseudonym keys, and the root key with them.

        After a power cut: none or all of them are destroyed; asking again is harmless.

        Raises:
            StorageError: nothing counts as destroyed; ask again.
        """
        purposes, kept = self.ring.purposes, self.ring.pseudonyms
        self.ring.purposes = {ref: entry for ref, entry in purposes.items() if ref not in refs}
        self.ring.pseudonyms = {purpose: held for purpose, held in kept.items() if purpose not in pseudonyms}
        try:
            self.replace_root()
        except StorageError:
            self.ring.purposes, self.ring.pseudonyms = purposes, kept
            raise
        for ref in purposes.keys() - self.ring.purposes.keys():
            purposes[ref].key.destroy()
        for purpose in kept.keys() - self.ring.pseudonyms.keys():
            kept[purpose][1].destroy()

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

    def write_floor(self, floor_ms: int) -> None:
        """
        Keep the floor, beside ``state.bin``.

        After a power cut: kept, or the one before is.
        """
        write_floor(self._folder, self.ring.state, floor_ms, draw=self._draw)

    def read_floor(self) -> int:
        """
        Return the floor that was kept last, 0 where there is none.
        """
        return read_floor(self._folder, self.ring.state)

    def _sealed_under(self, root: RootKey) -> bytes:
        return wrap(root, self._draw(NONCE_BYTES), _encode_ring(self.ring), _VAULT_AAD)


def write_lane(folder: Path, lane: Lane) -> None:
    """
    Replace the lane set.

    After a power cut: the old or the new one.
    """
    files.write(folder / "lane.bin", _encode_lane(lane))


def _encode_lane(lane: Lane) -> bytes:
    content: dict[int, cbor.Value] = {
        0: FORMAT,
        1: lane.routing.reveal(),
        2: lane.address,
        3: lane.root,
        4: lane.receipt,
        5: lane.key.reveal(),
    }
    return cbor.encode(content | {6: hashlib.sha256(cbor.encode(content)).digest()})


def read_lane(folder: Path, name: str = "lane.bin") -> Lane:
    """
    Return the lane set of the generation in force, or the one kept under another name.
    """
    stored = files.read(folder / name, _STATE_LIMIT)
    try:
        fields = Fields(cbor.decode(stored, _STATE_LIMIT, "lane set"), "lane set")
        check_format("lane.bin", fields.take(0, "format", uint()), FORMAT)
        lane = Lane(
            routing=RoutingSecret(fields.take(1, "routing secret", octets(32))),
            address=fields.take(2, "address", text(2048)),
            root=fields.take(3, "root", octets(None, _STATE_LIMIT)),
            receipt=fields.take(4, "receipt", octets(None, _STATE_LIMIT)),
            key=LaneKey(fields.take(5, "lane key", octets(32))),
        )
        if _encode_lane(lane) != stored:  # with another routing secret no collector would know this device
            raise Malformed("lane set: its digest is another")
        return lane
    except (Malformed, ValueError) as error:  # ValueError: a key that is all zero
        raise VaultUnavailable("lane.bin is damaged", hint="enrol the site anew") from error


def check_format(name: str, found: int, reads: int) -> None:
    """
    Refuse a file of this site that another release wrote in a format of its own.

    Raises:
        StorageError: naming file and format.
    """
    if found != reads:
        raise StorageError(
            f"{name} has format {found}, this release reads {reads}",
            hint="install the release that wrote it, or a newer one",
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
    check_format("vault.bin", fields.take(0, "format", uint()), FORMAT)
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
