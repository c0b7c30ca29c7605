"""
The next version of the root: new keys for some roles, signed by the root keys of both versions.

Rules: exactly one step; new seeds are on disk before the root that names them, and that file is the one
switch; what devices accepted before stays accepted by those that have not taken the step, because documents
are signed for both (``offices``); a role whose keys change starts its devices' version counters anew, which is
how a poisoned one is reset. Seeds that neither this root nor the one before names are removed, but for
enrolment seeds, which open what devices seal under the root they pin. Not here: telling devices
(``publishing``, at the same moment).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.collector.folder import open_authority
from edge_sdk.collector.keyring import Places, read_role, role_path, write_enrolment, write_role
from edge_sdk.collector.statements import Draw
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core.claims import Role
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.documents import HpkePublic, RoleKeys, Root, accept_root, pinned_root, sign_root
from edge_sdk.core.documents.root import MAX_ROLE_KEYS, ROOT_LIMIT, SINGLE_SIGNER_ROLES
from edge_sdk.core.keys import SECRET_BYTES, RoleSeed
from edge_sdk.core.seal import hpke_key_pair
from edge_sdk.errors import ConfigError, Refused

_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Rotation:
    """
    What the next root changes.

    ``roles`` get new keys, as many and with the threshold that ``keys`` and ``threshold`` say (None: as before;
    receipt and time always have one). ``enrolment``: a new enrolment key as well.
    """

    roles: Collection[Role] = ()
    enrolment: bool = False
    keys: int | None = None
    threshold: int | None = None


def rotate_root(folder: Path, rotation: Rotation, *, now_s: int, draw: Draw) -> Root:
    """
    Put the next root in force, sign anew what its changes concern, and publish both.

    Args:
        folder: of a collector.
        rotation: what changes; nothing at all gives the next version with the same keys.
        now_s: Unix seconds.
        draw: returns random bytes.

    Raises:
        ConfigError: so many keys with such a threshold are no role.
        Refused: fewer root keys are in the folder than the threshold asks for.
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: the old root is in force or the new one; the next upkeep completes what follows from it.
    """
    places = Places(folder)
    bundle = places.read_root()
    current = pinned_root(bundle)
    old = [seed for kid in current.roles[Role.ROOT].by_kid if (seed := read_role(places.authority, Role.ROOT, kid))]
    if len(old) < current.roles[Role.ROOT].threshold:
        raise Refused(
            f"{len(old)} of the {current.roles[Role.ROOT].threshold} root keys that must sign are in this folder",
            hint="put the missing seed files into the authority folder for this act",
        )
    fresh = {role: _seeds(current.roles[role], role, rotation, draw) for role in rotation.roles}
    successor = _successor(places, current, rotation, fresh, now_s=now_s, draw=draw)
    signing = {public_key_of(seed.reveal()): seed for seed in [*old, *fresh.get(Role.ROOT, [])]}
    next_bundle = sign_root(successor, list(signing.values()))
    accept_root(current, next_bundle)  # what no device would take must not become the root here
    for role, seeds in fresh.items():
        for seed in seeds:
            write_role(places.folder_of(role), role, seed)
    files.write(places.earlier_root(current.version), bundle)
    with closing(IntakeStore(places.store)) as intake:
        intake.put_document(f"root/{current.version}", bundle)
    files.write(places.root, next_bundle, _PUBLIC)
    _remove_outdated(places, current, successor)
    with open_authority(folder, draw=draw) as authority:
        authority.publish(now_s)
    return successor


def _seeds(keys: RoleKeys, role: Role, rotation: Rotation, draw: Draw) -> list[RoleSeed]:
    count = 1 if role in SINGLE_SIGNER_ROLES else rotation.keys or len(keys.keys)
    if not 1 <= _threshold(keys, role, rotation) <= count <= MAX_ROLE_KEYS:
        raise ConfigError(
            f"the {role.name.lower()} role cannot have {count} keys of which {_threshold(keys, role, rotation)} sign",
            hint=f"a role has 1 to {MAX_ROLE_KEYS} keys and a threshold within them",
        )
    return [RoleSeed(draw(SECRET_BYTES)) for _ in range(count)]


def _threshold(keys: RoleKeys, role: Role, rotation: Rotation) -> int:
    return 1 if role in SINGLE_SIGNER_ROLES else rotation.threshold or keys.threshold


def _successor(
    places: Places, current: Root, rotation: Rotation, fresh: Mapping[Role, list[RoleSeed]], *, now_s: int, draw: Draw
) -> Root:
    roles = dict(current.roles)
    for role, seeds in fresh.items():
        public = tuple(public_key_of(seed.reveal()) for seed in seeds)
        roles[role] = RoleKeys(_threshold(current.roles[role], role, rotation), public)
    enrolment = current.enrolment
    if rotation.enrolment:
        seed = RoleSeed(draw(SECRET_BYTES))
        enrolment = HpkePublic(current.enrolment.alg, hpke_key_pair(seed, current.enrolment.alg)[1])
        write_enrolment(places.authority, enrolment, seed)
    return Root(current.version + 1, max(now_s, current.iat_s), roles, enrolment, current.test)


def _remove_outdated(places: Places, current: Root, successor: Root) -> None:
    named = {kid for root in (current, successor) for kid in root.by_kid}
    version = current.version - 1
    while files.exists(path := places.earlier_root(version)):
        for role, keys in pinned_root(files.read(path, ROOT_LIMIT)).roles.items():
            for kid in keys.by_kid.keys() - named:
                seed_path = role_path(places.folder_of(role), role, kid)
                if files.exists(seed_path):
                    files.remove(seed_path)
        version -= 1
