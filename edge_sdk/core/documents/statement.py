"""
The statement: what one household allows, signed for one generation of one device.

Owns: ``Statement`` and ``Grant``, their acceptance, the audience of a device.
Rules: checks in the order of SPEC 5.1, signature first; words for basis, status and account pass as they are,
because refusing a statement over a new word would leave an older, perhaps wider one in force.
Does not: decide (consent) or remember the newest version (vault).
Neighbours: documents.root, documents.times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.claims import Role
from edge_sdk.core.cose import SignedDocument, parse_document, sign_document
from edge_sdk.core.documents.root import MAX_VERSION, Check, Root, check_signers, refusal
from edge_sdk.core.documents.times import Newest, check_times, check_version
from edge_sdk.core.keys import RoleSeed
from edge_sdk.core.shape import Fields, list_of, octets, seconds, text, uint
from edge_sdk.errors import Malformed

STATEMENT_LIMIT: Final = 3200  # statement and wipe order share one downlink of 4096 bytes; 24 grants fit
STATEMENT_VALID_S: Final = 45 * 86400  # the authority's default: a month offline and two weeks to notice
MAX_GRANTS: Final = 24
MAX_DIGESTS: Final = 8  # editions of one purpose that a grant may cover
MAX_GRANT_RECIPIENTS: Final = 8

_ID, _PURPOSE, _BASIS, _STATUS, _DIGESTS, _RECIPIENTS, _SINCE = range(7)


@dataclass(frozen=True, slots=True)
class Grant:
    """
    Hold one consent event, or one standing of another basis, for one purpose.
    """

    id: bytes
    purpose: str
    basis: str
    """A word of ``policy.Basis``."""
    status: str
    """A word of ``claims.Status``."""
    digests: tuple[bytes, ...]
    """The editions of the purpose it covers."""
    recipients: tuple[bytes, ...]
    """The kids that batches of the purpose may be sealed to."""
    since_s: int
    """When the status took effect; of several grants the newest counts."""


@dataclass(frozen=True, slots=True)
class Statement:
    """
    Hold one version of what a household allows.
    """

    audience: bytes
    generation: bytes
    version: int
    iat_s: int
    nbf_s: int
    exp_s: int
    account: str
    """A word of ``claims.Account``."""
    grants: tuple[Grant, ...]

    @property
    def sha256(self) -> bytes:
        """
        Return the hash of the payload.
        """
        return hashlib.sha256(encode_statement(self)).digest()


def audience_of(signing_key: bytes) -> bytes:
    """
    Return the 16 bytes that name the device whose generation has this Ed25519 public key.
    """
    return hashlib.sha256(labels.AUDIENCE + signing_key).digest()[: claims.ID_BYTES]


def encode_statement(statement: Statement) -> bytes:
    """
    Return the payload of *statement*.
    """
    grants: list[cbor.Value] = [
        {
            _ID: grant.id,
            _PURPOSE: grant.purpose,
            _BASIS: str(grant.basis),
            _STATUS: str(grant.status),
            _DIGESTS: list(grant.digests),
            _RECIPIENTS: list(grant.recipients),
            _SINCE: grant.since_s,
        }
        for grant in statement.grants
    ]
    return cbor.encode(
        {
            claims.AUD: statement.audience,
            claims.EXP: statement.exp_s,
            claims.NBF: statement.nbf_s,
            claims.IAT: statement.iat_s,
            claims.GENERATION: statement.generation,
            claims.VERSION: statement.version,
            claims.ACCOUNT: str(statement.account),
            claims.GRANTS: grants,
        }
    )


def sign_statement(statement: Statement, seeds: Sequence[RoleSeed]) -> bytes:
    """
    Return the bundle of *statement*.

    Raises:
        Malformed: no device would take this statement.
    """
    payload = encode_statement(statement)
    _decode_statement(payload)
    bundle = sign_document(payload, typ=labels.TYP_STATEMENT, seeds=[seed.reveal() for seed in seeds])
    if len(bundle) > STATEMENT_LIMIT:
        raise Malformed(f"statement is longer than {STATEMENT_LIMIT} bytes", hint="drop grants that are over")
    return bundle


def accept_statement(
    bundle: bytes, *, root: Root, audience: bytes, generation: bytes, newest: Newest | None, now_s: int
) -> Statement:
    """
    Return the statement in *bundle*.

    Args:
        audience, generation: this device's own.
        newest: version and payload hash of the newest accepted before, None if there is none.
        now_s: the larger of wall and floor.

    Order:
        1 signature, 2 typ, 3 role threshold, 4 audience, 5 generation, 6 version, 7 times.

    Raises:
        Malformed: another structure.
        Tampered: check 1.
        Equivocation: check 6, the same version with another content.
        ConsentRefused: any other check, by number.
    """
    document = _signed(bundle, root)
    statement = _addressed(document, audience, generation)
    check_version("statement", statement.version, document.sha256, newest=newest)
    times = (statement.nbf_s, statement.exp_s)
    check_times("statement", iat_s=statement.iat_s, valid=times, now_s=now_s)
    return statement


def reread_statement(bundle: bytes, *, root: Root, audience: bytes, generation: bytes) -> Statement:
    """
    Return a statement that was accepted before and kept; checks 1 to 5 are made again.

    Version and times were checked on arrival; whether it has expired since is for ``decide`` to weigh.

    Raises:
        Malformed, Tampered, ConsentRefused: as ``accept_statement``.
    """
    return _addressed(_signed(bundle, root), audience, generation)


def check_addressee(what: str, *, audience: tuple[bytes, bytes], generation: tuple[bytes, bytes]) -> None:
    """
    Make checks 4 and 5: each pair is what the document says and what this device is.

    Raises:
        ConsentRefused: the document is for another device, or for another generation of it.
    """
    if audience[0] != audience[1]:
        raise refusal(what, Check.AUDIENCE, "made for another device")
    if generation[0] != generation[1]:
        raise refusal(what, Check.GENERATION, "made for another generation of this device")


def _signed(bundle: bytes, root: Root) -> SignedDocument:
    document = parse_document(bundle, limit=STATEMENT_LIMIT, what="statement")
    check_signers(document, root=root, role=Role.STATEMENT, typ=labels.TYP_STATEMENT, what="statement")
    return document


def _addressed(document: SignedDocument, audience: bytes, generation: bytes) -> Statement:
    statement = _decode_statement(document.payload)
    check_addressee(
        "statement",
        audience=(statement.audience, audience),
        generation=(statement.generation, generation),
    )
    return statement


def _decode_statement(payload: bytes) -> Statement:
    fields = Fields(cbor.decode(payload, STATEMENT_LIMIT, "statement"), "statement")
    statement = Statement(
        audience=fields.take(claims.AUD, "aud", octets(claims.ID_BYTES)),
        exp_s=fields.take(claims.EXP, "exp", seconds),
        nbf_s=fields.take(claims.NBF, "nbf", seconds),
        iat_s=fields.take(claims.IAT, "iat", seconds),
        generation=fields.take(claims.GENERATION, "generation", octets(claims.ID_BYTES)),
        version=fields.take(claims.VERSION, "version", uint(MAX_VERSION)),
        account=fields.take(claims.ACCOUNT, "account", text(claims.WORD_CHARS)),
        grants=fields.take(claims.GRANTS, "grants", list_of(_grant, MAX_GRANTS)),
    )
    fields.end()
    if len({grant.id for grant in statement.grants}) != len(statement.grants):
        raise Malformed("statement gives one grant id twice")
    return statement


def _grant(value: object, where: str) -> Grant:
    fields = Fields(value, where)
    digests = list_of(octets(claims.DIGEST_BYTES), MAX_DIGESTS, least=1)
    recipients = list_of(octets(claims.KID_BYTES), MAX_GRANT_RECIPIENTS)
    grant = Grant(
        id=fields.take(_ID, "id", octets(claims.ID_BYTES)),
        purpose=fields.take(_PURPOSE, "purpose", text(claims.PURPOSE_CHARS)),
        basis=fields.take(_BASIS, "basis", text(claims.WORD_CHARS)),
        status=fields.take(_STATUS, "status", text(claims.WORD_CHARS)),
        digests=fields.take(_DIGESTS, "digests", digests),
        recipients=fields.take(_RECIPIENTS, "recipients", recipients),
        since_s=fields.take(_SINCE, "since", seconds),
    )
    fields.end()
    return grant
