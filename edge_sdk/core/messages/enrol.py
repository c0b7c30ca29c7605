"""
The enrolment request: a new generation introduces itself to the authority.

Owns: ``EnrolRequest``, ``seal_enrol``, ``open_enrol``.
Rules: sealed to the root's enrolment key and padded to one size, so that whoever carries it sees no secret,
code or name; signed by the generation key inside, which proves that the sender has it and for whom it was
meant.
Does not: check the claim code (authority) or answer (the answer is the first downlink).
Neighbours: seal below; gateway and authority above.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.cose import key_id, parse1, public_key_of, sign1, verify1
from edge_sdk.core.documents import MAX_VERSION, HpkePublic
from edge_sdk.core.documents.root import hpke_public
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import GenerationSigningSeed, RoleSeed, RoutingSecret, StreamSecret
from edge_sdk.core.padding import pad_to, unpad
from edge_sdk.core.seal import open_sealed, seal
from edge_sdk.core.shape import Fields, exactly, octets, uint
from edge_sdk.errors import Malformed, Tampered

ENROL_BYTES: Final = 4096  # the request takes 1.6 KB with an X-Wing key
CLAIM_CODE: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}")

(
    _VERSION,
    _CODE,
    _SIGNING_KEY,
    _HPKE_ALG,
    _HPKE_KEY,
    _ROUTING,
    _STREAM,
    _ROOT_VERSION,
    _GENERATION,
) = range(9)


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """
    Hold what a new generation tells the authority, and only the authority.
    """

    code: str
    """The claim code in its written form: 16 Crockford base32 characters in four groups."""
    generation: bytes
    signing_key: bytes
    hpke: HpkePublic
    routing: RoutingSecret
    stream: StreamSecret
    root_version: int


def seal_enrol(
    request: EnrolRequest,
    *,
    seed: GenerationSigningSeed,
    recipient: HpkePublic,
    content_alg: int,
    cek: bytes,
    iv: bytes,
) -> bytes:
    """
    Return *request* signed by its generation key and sealed to the enrolment key.

    Args:
        seed: of ``request.signing_key``.
        recipient: the root's enrolment key.

    Raises:
        Malformed, Unsupported: as ``seal.seal``.
    """
    if public_key_of(seed.reveal()) != request.signing_key:
        raise ValueError("the request names another signing key than the one that signs it")
    payload = cbor.encode(
        {
            _VERSION: 1,
            _CODE: request.code,
            _SIGNING_KEY: request.signing_key,
            _HPKE_ALG: request.hpke.alg,
            _HPKE_KEY: request.hpke.key,
            _ROUTING: request.routing.reveal(),
            _STREAM: request.stream.reveal(),
            _ROOT_VERSION: request.root_version,
            _GENERATION: request.generation,
        }
    )
    signed = sign1(
        payload,
        seed=seed.reveal(),
        kid=key_id(request.signing_key),
        typ=labels.TYP_ENROL,
        external_aad=_aad(recipient.kid),
    )
    return seal(
        pad_to(signed, ENROL_BYTES),
        recipient=recipient,
        typ=labels.TYP_ENROL,
        batch_id=None,
        content_alg=content_alg,
        cek=cek,
        iv=iv,
    )


def open_enrol(data: bytes, *, seed: RoleSeed, alg: int) -> EnrolRequest:
    """
    Return what ``seal_enrol`` was given; the claim code is still to be checked.

    Args:
        seed: of the enrolment key.
        alg: of the enrolment key.

    Raises:
        Malformed: another structure or size.
        Tampered: sealed to another key, changed, or not signed by the key it names.
        Unsupported: this build does not speak *alg*.
    """
    padded, _ = open_sealed(data, seed=seed, alg=alg, typ=labels.TYP_ENROL)
    if len(padded) != ENROL_BYTES:
        raise Malformed(f"enrolment is not padded to {ENROL_BYTES} bytes")
    message = parse1(unpad(padded), limit=ENROL_BYTES, what="enrolment")
    if message.payload is None:
        raise Malformed("enrolment carries no payload")
    request = _decode(message.payload)
    aad = _aad(outer(data).kid)
    verify1(message, public_key=request.signing_key, typ=labels.TYP_ENROL, external_aad=aad)
    if message.kid != key_id(request.signing_key):
        raise Tampered("enrolment")
    return request


def _aad(kid: bytes) -> bytes:
    return cbor.encode([labels.PROFILES[labels.TYP_ENROL], kid])


def _decode(payload: bytes) -> EnrolRequest:
    fields = Fields(cbor.decode(payload, ENROL_BYTES, "enrolment"), "enrolment")
    fields.take(_VERSION, "version", exactly(1))
    alg = fields.take(_HPKE_ALG, "HPKE alg", uint())
    request = EnrolRequest(
        code=fields.take(_CODE, "claim code", _code),
        generation=fields.take(_GENERATION, "generation", octets(claims.ID_BYTES)),
        signing_key=fields.take(_SIGNING_KEY, "signing key", octets(claims.KEY_BYTES)),
        hpke=fields.take(_HPKE_KEY, "HPKE key", lambda key, where: hpke_public([alg, key], where)),
        routing=RoutingSecret(fields.take(_ROUTING, "routing secret", _secret)),
        stream=StreamSecret(fields.take(_STREAM, "stream secret", _secret)),
        root_version=fields.take(_ROOT_VERSION, "root version", uint(MAX_VERSION)),
    )
    fields.end()
    return request


def _code(value: object, where: str) -> str:
    if not isinstance(value, str) or CLAIM_CODE.fullmatch(value) is None:
        raise Malformed(f"{where} is not in its written form")
    return value


def _secret(value: object, where: str) -> bytes:
    secret = octets(claims.KEY_BYTES)(value, where)
    if not any(secret):
        raise Malformed(f"{where} is all zero")
    return secret
