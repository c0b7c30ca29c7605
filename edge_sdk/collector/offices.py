"""
Which keys sign today: the seeds of a collector folder that its root gives a role, read again after a rotation.

Rules: the root document in force is the one switch; a process that runs while another rotates it signs with
the new keys from its next act on. What devices check is signed for two roots, the one in force and the one
before, so that a device takes the step when it comes to it. A role of which fewer keys are here than its
threshold asks for signs nothing, and says so. Not here: making keys (``founding``, ``rotation``), the paths
of their files (``keyring``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from edge_sdk import files
from edge_sdk.collector.keyring import Places, read_enrolment, read_role
from edge_sdk.core.claims import Role
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.documents import Root, pinned_root
from edge_sdk.core.documents.root import ROOT_LIMIT
from edge_sdk.core.keys import RoleSeed
from edge_sdk.errors import Malformed, Refused, StorageError

DAILY_ROLES: Final = (Role.STATEMENT, Role.RECIPIENTS, Role.WIPE)
"""What an authority signs with; the root's seed stays on disk but for a rotation."""

Office = TypeVar("Office")


@dataclass(frozen=True, slots=True)
class AuthorityKeys:
    """
    The secrets an authority works with, by the root in force.

    ``roots`` are the roots known here, the one in force first; ``seeds`` are those of each daily role that
    are here, those of the root in force first; ``enrolment`` has the algorithm and seed of every enrolment
    key there was, by kid, because a device seals to the key of the root it pins.
    """

    roots: tuple[Root, ...]
    bundle: bytes
    seeds: Mapping[Role, tuple[RoleSeed, ...]]
    enrolment: Mapping[bytes, tuple[int, RoleSeed]]

    @property
    def root(self) -> Root:
        """
        Return the root in force.
        """
        return self.roots[0]

    def signers(self, role: Role, *, also_before: bool = True) -> list[RoleSeed]:
        """
        Return the seeds that sign a document of *role*: as many as its threshold asks for.

        Args:
            role: one of ``DAILY_ROLES``.
            also_before: sign for devices that still pin the root before, too.

        Raises:
            Refused: fewer keys of the role are here than its threshold asks for.
        """
        needed = self.root.roles[role].threshold
        chosen = self._of_root(self.root, role)
        if len(chosen) < needed:
            raise Refused(
                f"{len(chosen)} of the {needed} keys that sign for the {role.name.lower()} role are in this folder",
                hint="put the missing seed files into the authority folder for this act",
            )
        before = self._of_root(self.roots[1], role) if also_before and len(self.roots) > 1 else []
        known = {public_key_of(seed.reveal()) for seed in chosen}
        return chosen + [seed for seed in before if public_key_of(seed.reveal()) not in known]

    def _of_root(self, root: Root, role: Role) -> list[RoleSeed]:
        keys = root.roles[role]
        mine = [seed for seed in self.seeds[role] if public_key_of(seed.reveal()) in keys.keys]
        return mine[: keys.threshold]


@dataclass(frozen=True, slots=True)
class Signers:
    """
    The two role seeds an intake holds.
    """

    receipt: RoleSeed
    time: RoleSeed


def signed(sign: Callable[[Sequence[RoleSeed]], bytes], keys: AuthorityKeys, role: Role) -> bytes:
    """
    Return what *sign* makes of the seeds of *role*, for two roots where that fits.

    Raises:
        Malformed: it is too long under one root as well, or no device would take it.
        Refused: fewer keys of the role are here than its threshold asks for.
    """
    try:
        return sign(keys.signers(role))
    except Malformed:
        return sign(keys.signers(role, also_before=False))


class Posted(Generic[Office]):
    """
    What *read* makes of a collector's root, made again whenever the root document is another one.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """

    def __init__(self, places: Places, read: Callable[[Places, bytes], Office]) -> None:
        self._places = places
        self._read = read
        self._bundle = places.read_root()
        self._office = read(places, self._bundle)

    def __call__(self) -> Office:
        """
        Return it as of now.
        """
        bundle = self._places.read_root()
        if bundle != self._bundle:
            self._office = self._read(self._places, bundle)
            self._bundle = bundle
        return self._office


def authority_keys(places: Places, bundle: bytes) -> AuthorityKeys:
    """
    Return what an authority works with under the root in *bundle*.

    Raises:
        StorageError: a file fails, or does not hold what it should.
    """
    roots = [pinned_root(bundle)]
    while files.exists(path := places.earlier_root(roots[-1].version - 1)):
        roots.append(pinned_root(files.read(path, ROOT_LIMIT)))
    seeds = {}
    for role in DAILY_ROLES:
        kids = dict.fromkeys(kid for root in roots[:2] for kid in root.roles[role].by_kid)
        held = [read_role(places.authority, role, kid) for kid in kids]
        seeds[role] = tuple(seed for seed in held if seed is not None)
    enrolment = {}
    for root in roots:
        seed = read_enrolment(places.authority, root.enrolment)
        if seed is not None:
            enrolment[root.enrolment.kid] = (root.enrolment.alg, seed)
    return AuthorityKeys(tuple(roots), bundle, seeds, enrolment)


def intake_signers(places: Places, bundle: bytes) -> Signers:
    """
    Return what an intake signs with under the root in *bundle*.

    Raises:
        StorageError: a seed is not here, or its file does not hold it.
    """
    root = pinned_root(bundle)
    return Signers(receipt=_single(places, root, Role.RECEIPT), time=_single(places, root, Role.TIME))


def _single(places: Places, root: Root, role: Role) -> RoleSeed:
    for kid in root.roles[role].by_kid:
        seed = read_role(places.intake, role, kid)
        if seed is not None:
            return seed
    raise StorageError(
        f"no seed of the {role.name.lower()} role is in the intake folder", hint="restore it from your backup"
    )
