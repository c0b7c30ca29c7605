"""
The root: who may sign what, pinned on the device and replaced one step at a time.

Owns: ``Root`` with its role keys, the check of a document's signers against it, and the numbers of the
acceptance checks (SPEC 5.1).
Rules: signature before anything else, then typ, then role threshold; a root is never fetched on trust, its
successor needs the thresholds of both and exactly the next version; no key serves two roles.
Does not: store the pinned root (config, vault) or fetch the next one (uplink).
Neighbours: cose below; the other documents, receipt and messages use ``check_signers``.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.claims import Role
from edge_sdk.core.cose import SignedDocument, key_id, parse1, parse_document, sign_document, verified_kids
from edge_sdk.core.keys import RoleSeed
from edge_sdk.core.shape import Fields, array, boolean, list_of, octets, one_of, seconds, uint
from edge_sdk.errors import ConsentRefused, Malformed, Tampered

ROOT_LIMIT: Final = 8192  # 6 roles of 8 keys are 1.7 KB, an X-Wing key 1.2 KB, 16 signatures 1.8 KB
MAX_VERSION: Final = (1 << 53) - 1  # exact in JSON and in a signed 64-bit column
MAX_ROLE_KEYS: Final = 8
CLOCK_SKEW_S: Final = 3600  # a wall clock within one hour of signed time counts as right (SPEC 8)
SINGLE_SIGNER_ROLES: Final = frozenset({Role.RECEIPT, Role.TIME})  # these sign alone, on line, per request


class Check(enum.IntEnum):
    """
    Number the acceptance checks, in the order they are made.
    """

    SIGNATURE = 1
    TYP = 2
    ROLE = 3
    AUDIENCE = 4
    GENERATION = 5
    VERSION = 6
    TIMES = 7


@dataclass(frozen=True, slots=True)
class HpkePublic:
    """
    Hold a public key that something can be sealed to.
    """

    alg: int
    key: bytes

    @property
    def kid(self) -> bytes:
        """
        Return the 8-byte name of the key.
        """
        return key_id(self.key)


@dataclass(frozen=True, slots=True)
class RoleKeys:
    """
    Hold the Ed25519 public keys of one role, and how many of them must sign.
    """

    threshold: int
    keys: tuple[bytes, ...]

    @property
    def by_kid(self) -> dict[bytes, bytes]:
        """
        Return the keys by their names.
        """
        return {key_id(key): key for key in self.keys}


@dataclass(frozen=True, slots=True)
class Root:
    """
    Hold one version of the root.
    """

    version: int
    iat_s: int
    roles: Mapping[Role, RoleKeys]
    enrolment: HpkePublic
    test: bool
    """True for a root made on one machine for trying out; it is shown with the root, and never changes."""

    @property
    def sha256(self) -> bytes:
        """
        Return the hash of the payload.
        """
        return hashlib.sha256(encode_root(self)).digest()

    @property
    def by_kid(self) -> dict[bytes, bytes]:
        """
        Return the keys of all roles by their names.
        """
        return {kid: key for role in self.roles.values() for kid, key in role.by_kid.items()}


def refusal(what: str, check: Check, why: str, *, hint: str = "") -> ConsentRefused:
    """
    Return the exception for a failed check, naming its number.
    """
    return ConsentRefused(f"{what} check {check.value} ({check.name.lower()}): {why}", hint=hint, check=check.value)


def check_signers(document: SignedDocument, *, root: Root, role: Role, typ: str, what: str) -> None:
    """
    Make checks 1 to 3: signature, typ, role threshold.

    Raises:
        Tampered: check 1.
        ConsentRefused: checks 2 and 3.
    """
    kids = _check_signatures(document, root.by_kid, what)
    if any(signature.typ != typ for signature in document.signatures):
        raise refusal(what, Check.TYP, "signed as something else")
    role_keys = root.roles[role]
    count = len(kids & role_keys.by_kid.keys())
    if count < role_keys.threshold:
        raise refusal(what, Check.ROLE, f"{count} of {role_keys.threshold} signatures of its role")


def signed_by_role(data: bytes, *, root: Root, role: Role, typ: str, limit: int, what: str) -> bytes:
    """
    Return the payload of a single COSE_Sign1 by one key of *role*, after checks 1 to 3.

    Raises:
        Malformed: another structure.
        Tampered: any of the three checks.
    """
    message = parse1(data, limit=limit, what=what)
    if message.payload is None:
        raise Malformed(f"{what} carries no payload")
    kids = _check_signatures(SignedDocument(message.payload, (message,)), root.by_kid, what)
    # An answer signed by the wrong hand, or as something else, is worth no more than an unsigned one.
    if message.typ != typ:
        raise Tampered(f"{what} check {Check.TYP.value} (typ)")
    if kids.isdisjoint(root.roles[role].by_kid):
        raise Tampered(f"{what} check {Check.ROLE.value} (role)")
    return message.payload


def encode_root(root: Root) -> bytes:
    """
    Return the payload of *root*.
    """
    roles: dict[int, cbor.Value] = {
        int(role): [keys.threshold, list(keys.keys)] for role, keys in root.roles.items()
    }
    return cbor.encode(
        {
            claims.IAT: root.iat_s,
            claims.VERSION: root.version,
            claims.ROLES: roles,
            claims.ENROLMENT: [root.enrolment.alg, root.enrolment.key],
            claims.TEST: root.test,
        }
    )


def sign_root(root: Root, seeds: Sequence[RoleSeed]) -> bytes:
    """
    Return the bundle of *root*; for a successor, *seeds* meet the thresholds of both roots.

    Raises:
        Malformed: no device would take this root.
    """
    payload = encode_root(root)
    _decode_root(payload)
    return sign_document(payload, typ=labels.TYP_ROOT, seeds=[seed.reveal() for seed in seeds])


def pinned_root(bundle: bytes) -> Root:
    """
    Return the root in a pinned file, which must meet its own threshold.

    The file itself is trusted; the check finds damage and unfinished signing.

    Raises:
        Malformed: not a root at all.
        Tampered, ConsentRefused: checks 1 to 3 against itself.
    """
    document = parse_document(bundle, limit=ROOT_LIMIT, what="root")
    root = _decode_root(document.payload)
    check_signers(document, root=root, role=Role.ROOT, typ=labels.TYP_ROOT, what="root")
    return root


def accept_root(current: Root, bundle: bytes) -> Root:
    """
    Return the successor of *current* in *bundle*.

    Order:
        1 to 3 against *current*, then 1 to 3 against the successor; 4 the test mark is the same (a root's
        audience); 6 exactly the next version; 7 not issued before *current*.

    Raises:
        Malformed: another structure.
        Tampered: check 1.
        ConsentRefused: any other check, by number.
    """
    document = parse_document(bundle, limit=ROOT_LIMIT, what="root")
    check_signers(document, root=current, role=Role.ROOT, typ=labels.TYP_ROOT, what="root")
    successor = _decode_root(document.payload)
    check_signers(document, root=successor, role=Role.ROOT, typ=labels.TYP_ROOT, what="root")
    if successor.test != current.test:
        raise refusal("root", Check.AUDIENCE, "a test root and a real one do not follow each other")
    if successor.version != current.version + 1:
        raise refusal("root", Check.VERSION, "not the next version", hint="fetch the versions one by one")
    if successor.iat_s < current.iat_s:
        raise refusal("root", Check.TIMES, "issued before the root it replaces")
    return successor


def keeps_versions(old: Root, new: Root, role: Role) -> bool:
    """
    Say whether the newest version seen of *role*'s documents still binds after *old* became *new*.

    It does while the role's keys stay; replacing them is how a poisoned counter is reset.
    """
    return set(old.roles[role].keys) == set(new.roles[role].keys)


def _check_signatures(document: SignedDocument, keys: Mapping[bytes, bytes], what: str) -> frozenset[bytes]:
    try:
        return verified_kids(document, keys, what)
    except Tampered as exc:
        raise Tampered(f"{what} check {Check.SIGNATURE.value} (signature)") from exc


def _decode_root(payload: bytes) -> Root:
    fields = Fields(cbor.decode(payload, ROOT_LIMIT, "root"), "root")
    root = Root(
        iat_s=fields.take(claims.IAT, "iat", seconds),
        version=fields.take(claims.VERSION, "version", uint(MAX_VERSION)),
        roles=fields.take(claims.ROLES, "roles", _roles),
        enrolment=fields.take(claims.ENROLMENT, "enrolment", hpke_public),
        test=fields.take(claims.TEST, "test mark", boolean),
    )
    fields.end()
    return root


def _roles(value: object, where: str) -> dict[Role, RoleKeys]:
    fields = Fields(value, where)
    roles = {role: fields.take(int(role), role.name.lower(), _role_keys) for role in Role}
    fields.end()
    keys = [key for role in roles.values() for key in role.keys]
    if len(set(keys)) != len(keys):
        raise Malformed(f"{where} give one key two roles, or list it twice")
    if any(roles[role].threshold != 1 for role in SINGLE_SIGNER_ROLES):
        raise Malformed(f"{where} ask for several signatures where one is made")
    return roles


def _role_keys(value: object, where: str) -> RoleKeys:
    keys = list_of(octets(claims.KEY_BYTES), MAX_ROLE_KEYS, least=1)
    threshold, listed = array(uint(MAX_ROLE_KEYS), keys)(value, where)
    if not 1 <= threshold <= len(listed):
        raise Malformed(f"{where} has a threshold its keys cannot meet")
    return RoleKeys(threshold, listed)


def hpke_public(value: object, where: str) -> HpkePublic:
    """
    Return the key in an array of algorithm and key bytes.

    Raises:
        Malformed: another algorithm, or a size that is not the algorithm's.
    """
    longest = max(claims.HPKE_KEY_BYTES.values())
    alg, key = array(one_of(*claims.HPKE_KEY_BYTES), octets(None, longest))(value, where)
    if len(key) != claims.HPKE_KEY_BYTES[alg]:
        raise Malformed(f"{where} is not a key of its algorithm's size")
    return HpkePublic(alg, key)
