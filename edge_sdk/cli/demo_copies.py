"""
What a copy of a state folder gives to whoever comes by other keys later.

The copy is what someone took off the device before something was destroyed; the keys are those the device still has
afterwards, or every 32 bytes that stand anywhere in its files. Each is tried as each kind of key: as root key on the
vault, as purpose key on every stream, as ledger key on the ledger. What opens is counted, nothing is shown. The root
key lies beside what it opens only in the file key store; :func:`without_root_key` is the copy as any other store
leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.core.keys import SECRET_BYTES, LedgerKey, PurposeKey, RootKey
from edge_sdk.errors import BadInput, NotProvisioned, StorageError, VaultUnavailable
from edge_sdk.keystore import FileKeyStore
from edge_sdk.ledger import read_ledger
from edge_sdk.order import Held
from edge_sdk.outbox import Outbox
from edge_sdk.sealing import unseal_body
from edge_sdk.stream_record import open_record
from edge_sdk.vault import Keyring, PurposeEntry, Vault

_FILE_LIMIT: Final = 1 << 28
_ROOT_KEY: Final = "root.key"


@dataclass(frozen=True, slots=True)
class Opened:
    """
    What opened in a copy: ``batches`` are (opened, queued) by the purpose key that should open them.
    """

    keys: int
    vault: bool
    ledger: bool
    batches: Mapping[bytes, tuple[int, int]]

    @property
    def count(self) -> int:
        """
        Return how many queued batches came out of their wrapping.
        """
        return sum(opened for opened, _ in self.batches.values())

    @property
    def of(self) -> int:
        """
        Return how many there are.
        """
        return sum(queued for _, queued in self.batches.values())

    @property
    def nothing(self) -> bool:
        """
        Tell whether no key opened anything.
        """
        return not (self.vault or self.ledger or self.count)


@dataclass(slots=True)
class _Given:
    """
    A key store with the root key someone tries.
    """

    root: RootKey
    method: str = "none"

    def load(self) -> tuple[RootKey | None, RootKey | None]:
        """
        Return the key that is tried.
        """
        return self.root, None

    def stage(self, _: RootKey) -> None:
        """
        Keep nothing: whoever tries keys writes none.
        """

    def promote(self) -> None:
        """
        Do nothing.
        """

    def destroy(self) -> None:
        """
        Do nothing.
        """


def take(folder: Path, to: Path) -> Path:
    """
    Copy every file of *folder* into the new folder *to* and return it.
    """
    files.make_folder(to)
    for path in files.tree(folder):
        files.write(to / path.name, files.read(path, _FILE_LIMIT))
    return to


def take_one(path: Path, to: Path) -> Path:
    """
    Copy one file into the new folder *to* and return that folder.
    """
    files.make_folder(to)
    files.write(to / path.name, files.read(path, _FILE_LIMIT))
    return to


def without_root_key(copy: Path) -> bytes:
    """
    Take the root key out of a copy and return it.
    """
    key = files.read(copy / _ROOT_KEY, SECRET_BYTES)
    files.remove(copy / _ROOT_KEY)
    return key


def keys_of(folder: Path) -> list[bytes]:
    """
    Return every secret that a device can use, by its own root key.

    Raises:
        NotProvisioned: it has none any more.
    """
    vault = Vault.open(folder, FileKeyStore(folder), draw=_nothing_drawn, finish=False)
    return [files.read(folder / _ROOT_KEY, SECRET_BYTES), *_secrets(vault.ring)]


def everything_in(folder: Path) -> list[bytes]:
    """
    Return each run of as many bytes as a key has, out of every file of *folder*.
    """
    found: set[bytes] = set()
    for path in files.tree(folder):
        content = files.read(path, _FILE_LIMIT)
        found |= {content[at : at + SECRET_BYTES] for at in range(len(content) - SECRET_BYTES + 1)}
    return sorted(found)


def opens(copy: Path, keys: Iterable[bytes]) -> Opened:
    """
    Try *keys*, and every key that they open, on everything in *copy*.
    """
    tried = [key for key in dict.fromkeys(keys) if any(key)]  # nothing but zeros is no key
    rings = [ring for key in tried if (ring := _ring(copy, key)) is not None]
    tried += [secret for ring in rings for secret in _secrets(ring) if secret not in tried]
    with closing(Outbox(copy, read_only=True)) as outbox:
        batches: dict[bytes, tuple[int, int]] = {}
        for row in outbox.streams():
            entry = next(_entries(row.ref, row.record, tried), None)
            held = list(outbox.queues.get(row.id, {}).values())
            came = sum(_comes_out(entry, one, outbox) for one in held) if entry is not None else 0
            opened, queued = batches.get(row.ref, (0, 0))
            batches[row.ref] = opened + came, queued + len(held)
    return Opened(len(tried), bool(rings), any(_reads_ledger(copy, key) for key in tried), batches)


def purposes_in(copy: Path, root_key: bytes) -> dict[bytes, str]:
    """
    Return which purpose each purpose key of a copy is for, with the root key it had.
    """
    ring = _ring(copy, root_key)
    return {} if ring is None else {entry.ref: entry.purpose for entry in ring.purposes.values()}


def _secrets(ring: Keyring) -> list[bytes]:
    generation = ring.generation
    held = [generation.signing, generation.hpke, generation.streams, ring.state, ring.ledger]
    named = [entry.key for entry in ring.purposes.values()] + [key for _, key in ring.pseudonyms.values()]
    return [secret.reveal() for secret in (*held, *named)]


def _ring(copy: Path, key: bytes) -> Keyring | None:
    try:
        return Vault.open(copy, _Given(RootKey(key)), draw=_nothing_drawn, finish=False).ring
    except (NotProvisioned, VaultUnavailable, BadInput):
        return None


def _entries(ref: bytes, record: bytes, keys: Iterable[bytes]) -> Iterator[PurposeEntry]:
    for key in keys:
        entry = PurposeEntry(ref, "", b"", PurposeKey(key))
        try:
            open_record(entry, record)
        except BadInput:
            continue
        yield entry


def _comes_out(entry: PurposeEntry, held: Held, outbox: Outbox) -> bool:
    try:
        unseal_body(entry, held, outbox.sealed_body(held))
    except (BadInput, StorageError):
        return False
    return True


def _reads_ledger(copy: Path, key: bytes) -> bool:
    try:
        return next(read_ledger(copy, LedgerKey(key)), None) is not None
    except (BadInput, StorageError):
        return False


def _nothing_drawn(_: int) -> bytes:
    raise RuntimeError("whoever tries keys draws none")
