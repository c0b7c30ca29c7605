"""
The recipients: which keys batches may be sealed to, whose they are and where.

Owns: ``Recipients`` and ``RecipientKey``, their acceptance, and the choice of one key for a purpose.
Rules: one public document for all devices, signed by its own role; a key is used only inside its own times
and only where the grant lists it, so neither this document nor a statement alone can redirect data.
Does not: decide whether anything may leave (consent) or seal (seal). Neighbours: documents.root below.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.claims import Role
from edge_sdk.core.cose import SignedDocument, key_id, parse_document, sign_document
from edge_sdk.core.documents.root import MAX_VERSION, Root, check_signers, hpke_public
from edge_sdk.core.documents.times import Newest, check_times, check_version
from edge_sdk.core.keys import RoleSeed
from edge_sdk.core.shape import Fields, list_of, seconds, text, uint
from edge_sdk.errors import ConsentRefused, Malformed

RECIPIENTS_LIMIT: Final = 65536  # 32 X-Wing keys with their names are 45 KB
MAX_RECIPIENT_KEYS: Final = 32
OPERATOR_CHARS: Final = 64
REGION_CHARS: Final = 16

_ALG, _KEY, _OPERATOR, _REGION, _MECHANISM, _NBF, _EXP = range(7)


@dataclass(frozen=True, slots=True)
class RecipientKey:
    """
    Hold one certified key and the operator behind it.
    """

    alg: int
    key: bytes
    operator: str
    region: str
    mechanism: str
    """A word of ``claims.Mechanism``; one that this release does not know lets nothing leave its region."""
    nbf_s: int
    exp_s: int

    @property
    def kid(self) -> bytes:
        """
        Return the 8-byte name of the key.
        """
        return key_id(self.key)


@dataclass(frozen=True, slots=True)
class Recipients:
    """
    Hold one version of the recipients document.
    """

    version: int
    iat_s: int
    nbf_s: int
    exp_s: int
    keys: tuple[RecipientKey, ...]

    @property
    def sha256(self) -> bytes:
        """
        Return the hash of the payload.
        """
        return hashlib.sha256(encode_recipients(self)).digest()


def encode_recipients(recipients: Recipients) -> bytes:
    """
    Return the payload of *recipients*.
    """
    keys: list[cbor.Value] = [
        {
            _ALG: key.alg,
            _KEY: key.key,
            _OPERATOR: key.operator,
            _REGION: key.region,
            _MECHANISM: key.mechanism,
            _NBF: key.nbf_s,
            _EXP: key.exp_s,
        }
        for key in recipients.keys
    ]
    return cbor.encode(
        {
            claims.EXP: recipients.exp_s,
            claims.NBF: recipients.nbf_s,
            claims.IAT: recipients.iat_s,
            claims.VERSION: recipients.version,
            claims.RECIPIENTS: keys,
        }
    )


def sign_recipients(recipients: Recipients, seeds: Sequence[RoleSeed]) -> bytes:
    """
    Return the bundle of *recipients*.

    Raises:
        Malformed: no device would take this document.
    """
    payload = encode_recipients(recipients)
    _decode_recipients(payload)
    return sign_document(payload, typ=labels.TYP_RECIPIENTS, seeds=[seed.reveal() for seed in seeds])


def accept_recipients(bundle: bytes, *, root: Root, newest: Newest | None, now_s: int) -> Recipients:
    """
    Return the recipients document in *bundle*.

    Args:
        newest: version and payload hash of the newest accepted before, None if there is none.
        now_s: the larger of wall and floor.

    Order:
        1 signature, 2 typ, 3 role threshold, 6 version, 7 times.

    Raises:
        Malformed: another structure.
        Tampered: check 1.
        Equivocation: check 6, the same version with another content.
        ConsentRefused: any other check, by number.
    """
    document = _signed(bundle, root)
    recipients = _decode_recipients(document.payload)
    check_version("recipients", recipients.version, document.sha256, newest=newest)
    times = (recipients.nbf_s, recipients.exp_s)
    check_times("recipients", iat_s=recipients.iat_s, valid=times, now_s=now_s)
    return recipients


def reread_recipients(bundle: bytes, *, root: Root) -> Recipients:
    """
    Return a document that was accepted before and kept; only checks 1 to 3 are made again.

    Raises:
        Malformed, Tampered, ConsentRefused: as ``accept_recipients``.
    """
    return _decode_recipients(_signed(bundle, root).payload)


def recipient_for(
    recipients: Recipients,
    *,
    operator: str,
    regions: Collection[str],
    kids: Collection[bytes],
    algs: Collection[int],
    now_s: int,
) -> RecipientKey:
    """
    Return the newest key of *operator* in one of *regions* that is granted, spoken here and within its times.

    Raises:
        ConsentRefused: there is none.
    """
    usable = [
        key
        for key in recipients.keys
        if key.operator == operator
        and key.region in regions
        and key.alg in algs
        and key.nbf_s <= now_s < key.exp_s
        and key.kid in kids  # last: it is a hash, and this is asked for at every step
    ]
    if not usable:
        raise ConsentRefused(
            "no certified recipient key fits the purpose",
            hint="compare the policy's recipient and regions with the recipients document and the grant",
        )
    return max(usable, key=lambda key: (key.nbf_s, key.kid))


def _signed(bundle: bytes, root: Root) -> SignedDocument:
    document = parse_document(bundle, limit=RECIPIENTS_LIMIT, what="recipients")
    check_signers(document, root=root, role=Role.RECIPIENTS, typ=labels.TYP_RECIPIENTS, what="recipients")
    return document


def _decode_recipients(payload: bytes) -> Recipients:
    fields = Fields(cbor.decode(payload, RECIPIENTS_LIMIT, "recipients"), "recipients")
    recipients = Recipients(
        exp_s=fields.take(claims.EXP, "exp", seconds),
        nbf_s=fields.take(claims.NBF, "nbf", seconds),
        iat_s=fields.take(claims.IAT, "iat", seconds),
        version=fields.take(claims.VERSION, "version", uint(MAX_VERSION)),
        keys=fields.take(claims.RECIPIENTS, "keys", list_of(_recipient_key, MAX_RECIPIENT_KEYS)),
    )
    fields.end()
    if len({key.key for key in recipients.keys}) != len(recipients.keys):
        raise Malformed("recipients list one key twice")
    return recipients


def _recipient_key(value: object, where: str) -> RecipientKey:
    fields = Fields(value, where)
    alg = fields.take(_ALG, "alg", uint())
    key = fields.take(_KEY, "key", lambda item, what: hpke_public([alg, item], what).key)
    recipient = RecipientKey(
        alg=alg,
        key=key,
        operator=fields.take(_OPERATOR, "operator", text(OPERATOR_CHARS)),
        region=fields.take(_REGION, "region", text(REGION_CHARS)),
        mechanism=fields.take(_MECHANISM, "mechanism", text(claims.WORD_CHARS)),
        nbf_s=fields.take(_NBF, "nbf", seconds),
        exp_s=fields.take(_EXP, "exp", seconds),
    )
    fields.end()
    return recipient
