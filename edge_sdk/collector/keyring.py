"""
Where the private keys of a collector lie, and who may read which.

Three folders that can be moved to three machines: ``authority`` (role seeds but those of the intake, the
registry), ``intake`` (receipt and time seed, the store) and ``opener`` (recipient seeds, opened rows). A seed
is 32 bytes in a file of its own, 0600, named after its key, so that a rotation only adds files and a key that
lies elsewhere is simply not there; the root document beside the folders is public. Not here: what the keys
are used for (``offices`` says which of them sign).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.core import cbor
from edge_sdk.core.claims import HPKE_KEY_BYTES, Role
from edge_sdk.core.cose import key_id, public_key_of
from edge_sdk.core.documents import HpkePublic
from edge_sdk.core.documents.root import ROOT_LIMIT
from edge_sdk.core.keys import SECRET_BYTES, RecipientSeed, RoleSeed
from edge_sdk.core.seal import hpke_key_pair
from edge_sdk.errors import BadInput, ConfigError, StorageError

INTAKE_ROLES: Final = (Role.RECEIPT, Role.TIME)
_SEED_FILE_LIMIT: Final = 64
_RECIPIENTS: Final = "recipients.seeds"
_RECIPIENTS_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Places:
    """
    The paths inside one collector folder.
    """

    folder: Path

    @property
    def root(self) -> Path:
        """
        Return the path of the root document, the file that devices pin.
        """
        return self.folder / "root.cose"

    @property
    def authority(self) -> Path:
        """
        Return the folder of the authority.
        """
        return self.folder / "authority"

    @property
    def intake(self) -> Path:
        """
        Return the folder of the intake.
        """
        return self.folder / "intake"

    @property
    def opener(self) -> Path:
        """
        Return the folder of the opener.
        """
        return self.folder / "opener"

    @property
    def registry(self) -> Path:
        """
        Return the path of the authority's database.
        """
        return self.authority / "authority.db"

    @property
    def store(self) -> Path:
        """
        Return the path of the intake's database.
        """
        return self.intake / "intake.db"

    @property
    def opened(self) -> Path:
        """
        Return the path of the opener's database.
        """
        return self.opener / "opener.db"

    def earlier_root(self, version: int) -> Path:
        """
        Return the path of the root document that was in force before, by its version.
        """
        return self.authority / f"root-{version}.cose"

    def folder_of(self, role: Role) -> Path:
        """
        Return the folder where the seeds of *role* lie.
        """
        return self.intake if role in INTAKE_ROLES else self.authority

    def make(self) -> None:
        """
        Make the folders, 0700.

        Raises:
            ConfigError: when a collector is there already.
            StorageError: when a folder cannot be made.

        After a power cut: some folders may be there; without a root document they are no collector.
        """
        if files.exists(self.root):
            what = f"the folder {self.folder.name or '.'} already holds a collector"
            raise ConfigError(what, hint="choose another folder, or serve this one")
        for path in (self.folder, self.authority, self.intake, self.opener):
            files.make_folder(path)

    def read_root(self) -> bytes:
        """
        Return the root document.

        Raises:
            ConfigError: when there is none.
            StorageError: when it cannot be read.
        """
        if not files.exists(self.root):
            what = f"there is no collector in the folder {self.folder.name or '.'}"
            raise ConfigError(what, hint="make one with 'edge-sdk collector init'")
        return files.read(self.root, ROOT_LIMIT)


def write_role(folder: Path, role: Role, seed: RoleSeed) -> None:
    """
    Write the seed of one key of a role, in a file named after the key.

    After a power cut: the file is whole or not there.
    """
    files.write(role_path(folder, role, key_id(public_key_of(seed.reveal()))), seed.reveal())


def read_role(folder: Path, role: Role, kid: bytes) -> RoleSeed | None:
    """
    Return the seed of one key of a role, None when it is kept elsewhere.

    Raises:
        StorageError: when the file does not hold that key's seed.
    """
    path = role_path(folder, role, kid)
    if not files.exists(path):
        return None
    seed = files.read(path, _SEED_FILE_LIMIT)
    if len(seed) != SECRET_BYTES or not any(seed) or key_id(public_key_of(seed)) != kid:
        raise _damaged(path)
    return RoleSeed(seed)


def write_enrolment(folder: Path, public: HpkePublic, seed: RoleSeed) -> None:
    """
    Write the seed that opens what is sealed to one enrolment key.

    After a power cut: the file is whole or not there.
    """
    files.write(_enrolment_path(folder, public.kid), cbor.encode([public.alg, seed.reveal()]))


def read_enrolment(folder: Path, public: HpkePublic) -> RoleSeed | None:
    """
    Return the seed of an enrolment key, None when it is kept elsewhere.

    Raises:
        StorageError: when the file does not hold that key's seed.
    """
    path = _enrolment_path(folder, public.kid)
    if not files.exists(path):
        return None
    match _read_value(path, _SEED_FILE_LIMIT):
        case [public.alg, bytes(seed)] if len(seed) == SECRET_BYTES and any(seed):
            held = RoleSeed(seed)
            if hpke_key_pair(held, public.alg)[1] == public.key:
                return held
    raise _damaged(path)


def write_recipients(folder: Path, seeds: Mapping[bytes, tuple[int, RecipientSeed]]) -> None:
    """
    Write the seeds that open batches, by kid, with their HPKE algorithms.

    After a power cut: the file is whole, old or new.
    """
    value = [[kid, alg, seed.reveal()] for kid, (alg, seed) in sorted(seeds.items())]
    files.write(folder / _RECIPIENTS, cbor.encode(value))


def read_recipients(folder: Path) -> dict[bytes, tuple[int, RecipientSeed]]:
    """
    Return HPKE algorithm and seed of every recipient key held in *folder*, by kid.

    Raises:
        StorageError: when the file is not there or damaged.
    """
    path = folder / _RECIPIENTS
    listed = _read_value(path, _RECIPIENTS_LIMIT)
    seeds = {}
    for item in listed if isinstance(listed, list) else [None]:
        match item:
            case [bytes(kid), int(alg), bytes(seed)] if alg in HPKE_KEY_BYTES and len(seed) == SECRET_BYTES:
                seeds[kid] = (alg, RecipientSeed(seed))
            case _:
                raise _damaged(path)
    return seeds


def role_path(folder: Path, role: Role, kid: bytes) -> Path:
    """
    Return the path of one seed of a role.
    """
    return folder / f"{role.name.lower()}-{kid.hex()}.seed"


def _enrolment_path(folder: Path, kid: bytes) -> Path:
    return folder / f"enrolment-{kid.hex()}.seed"


def _read_value(path: Path, limit: int) -> object:
    try:
        return cbor.decode(files.read(path, limit), limit, path.name)
    except BadInput as exc:
        raise _damaged(path) from exc


def _damaged(path: Path) -> StorageError:
    return StorageError(f"{path.name} does not hold what it should", hint="restore it from your backup")
