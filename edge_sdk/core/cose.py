"""
Signatures: one COSE_Sign1, and the bundle of several over one payload.

Owns: ``Signer``, ``sign1``/``parse1``/``verify1`` and ``SignedDocument``; the name of a key (``key_id``).
Rules: Ed25519 only (alg -19), protected header exactly {alg, kid, typ}, unprotected header empty, tag
compared as bytes; verifying raises and returns the payload, never a boolean; parsing alone trusts nothing.
Does not: know roles or thresholds (documents), or what a payload says.
Neighbours: cbor, shape, labels, claims below.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.shape import Fields, array, exactly, octets, optional, text
from edge_sdk.errors import Malformed, Tampered

SIGN1_TAG: Final = b"\xd2"  # tag 18, compared as a byte so that no other tag can stand for it
MAX_SIGNATURES: Final = 16
_TYP_CHARS: Final = 64
_HEADER_LIMIT: Final = 128  # {alg, kid of 16 bytes, typ of 64 characters} takes 90


@dataclass(frozen=True, slots=True)
class Sign1:
    """
    Hold one parsed, unverified COSE_Sign1.
    """

    protected: bytes
    kid: bytes
    typ: str
    payload: bytes | None
    """None where the payload travels elsewhere (detached)."""
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """
    Hold one parsed, unverified bundle: one payload under 1 to 16 signatures by different keys.
    """

    payload: bytes
    signatures: tuple[Sign1, ...]

    @property
    def sha256(self) -> bytes:
        """
        Return the hash of the payload: adding a signature does not make another document.
        """
        return hashlib.sha256(self.payload).digest()


class Signer:
    """
    Sign with one key, whose public half is computed once: that takes as long as a signature.

    Args:
        seed: the 32-byte Ed25519 seed.
    """

    __slots__ = ("_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()

    def sign1(
        self, payload: bytes, *, kid: bytes, typ: str, external_aad: bytes = b"", detached: bool = False
    ) -> bytes:
        """
        Return a tagged COSE_Sign1 over *payload*; arguments as for :func:`sign1`.
        """
        protected, signature = self.signed_parts(payload, kid=kid, typ=typ, external_aad=external_aad)
        return SIGN1_TAG + cbor.encode([protected, {}, None if detached else payload, signature])

    def signed_parts(self, payload: bytes, *, kid: bytes, typ: str, external_aad: bytes) -> tuple[bytes, bytes]:
        """
        Return protected header and signature.
        """
        header: dict[int, cbor.Value] = {
            claims.HEADER_ALG: claims.ALG_ED25519,
            claims.HEADER_KID: kid,
            claims.HEADER_TYP: typ,
        }
        protected = cbor.encode(header)
        return protected, self._key.sign(_to_be_signed(protected, external_aad, payload))


def public_key_of(seed: bytes) -> bytes:
    """
    Return the Ed25519 public key of a 32-byte seed.
    """
    return Signer(seed).public_key


@lru_cache(maxsize=64)  # each answer is held against the names of all keys of the root
def key_id(public_key: bytes) -> bytes:
    """
    Return the 8-byte name of a public key, the same for every device that knows the key.
    """
    return hashlib.sha256(labels.KEY_ID + public_key).digest()[: claims.KID_BYTES]


def sign1(
    payload: bytes, *, seed: bytes, kid: bytes, typ: str, external_aad: bytes = b"", detached: bool = False
) -> bytes:
    """
    Return a tagged COSE_Sign1 over *payload*.

    Args:
        seed: the signer's 32-byte Ed25519 seed.
        kid: 8 bytes (a key) or 16 (a stream).
        external_aad: bound by the signature, not carried.
        detached: leave the payload out; the reader must have it from elsewhere.
    """
    return Signer(seed).sign1(payload, kid=kid, typ=typ, external_aad=external_aad, detached=detached)


def parse1(data: bytes, *, limit: int, what: str = "signature") -> Sign1:
    """
    Return the parts of a tagged COSE_Sign1 without trusting any.

    Args:
        limit: longest accepted length in bytes.

    Raises:
        Malformed: not exactly the one structure this release writes.
    """
    if data[:1] != SIGN1_TAG:
        raise Malformed(f"{what} lacks tag 18", 0)
    return _parse_parts(cbor.decode(data[1:], limit, what), what, limit)


def verify1(
    message: Sign1, *, public_key: bytes, typ: str, external_aad: bytes = b"", payload: bytes | None = None
) -> bytes:
    """
    Return the payload of *message* if *public_key* signed it as *typ*.

    Args:
        payload: the payload, where the message is detached.

    Raises:
        Tampered: another key, typ, payload or external_aad.
    """
    signed = message.payload if payload is None else payload
    if signed is None or (message.payload is not None and message.payload != signed) or message.typ != typ:
        raise Tampered("signature")
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(message.signature, _to_be_signed(message.protected, external_aad, signed))
    except (InvalidSignature, ValueError) as exc:
        raise Tampered("signature") from exc
    return signed


def sign_document(payload: bytes, *, typ: str, seeds: Sequence[bytes]) -> bytes:
    """
    Return the bundle of *payload* signed by each of *seeds*; the first signature carries the payload.
    """
    if not 1 <= len(seeds) <= MAX_SIGNATURES or len(set(seeds)) != len(seeds):
        raise ValueError(f"a document takes 1 to {MAX_SIGNATURES} different signers")
    bundle: list[cbor.Value] = []
    for index, seed in enumerate(seeds):
        signer = Signer(seed)
        kid = key_id(signer.public_key)
        protected, signature = signer.signed_parts(payload, kid=kid, typ=typ, external_aad=b"")
        bundle.append([protected, {}, None if index else payload, signature])
    return cbor.encode(bundle)


def parse_document(data: bytes, *, limit: int, what: str) -> SignedDocument:
    """
    Return payload and signatures of a bundle without trusting any.

    Raises:
        Malformed: another structure, one key signing twice, a payload not in the first place only.
    """
    value = cbor.decode(data, limit, what)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SIGNATURES:
        raise Malformed(f"{what} is not an array of 1 to {MAX_SIGNATURES} signatures")
    signatures = tuple(_parse_parts(item, what, limit) for item in value)
    payload = signatures[0].payload
    if payload is None or any(signature.payload is not None for signature in signatures[1:]):
        raise Malformed(f"{what} does not carry its payload in the first signature only")
    if len({signature.kid for signature in signatures}) != len(signatures):
        raise Malformed(f"{what} is signed twice by one key")
    return SignedDocument(payload, signatures)


def verified_kids(document: SignedDocument, keys: Mapping[bytes, bytes], what: str) -> frozenset[bytes]:
    """
    Return the kids among *keys* that signed *document*, each under the typ it claims.

    Signatures by unknown keys are passed over, so that a document can be signed for two roots at once.

    Args:
        keys: kid to public key.

    Raises:
        Tampered: no signature is by a known key, or one that claims to be does not verify.
    """
    known = [signature for signature in document.signatures if signature.kid in keys]
    if not known:
        raise Tampered(what)
    for signature in known:
        try:
            verify1(signature, public_key=keys[signature.kid], typ=signature.typ, payload=document.payload)
        except Tampered as exc:
            raise Tampered(what) from exc
    return frozenset(signature.kid for signature in known)


def _to_be_signed(protected: bytes, external_aad: bytes, payload: bytes) -> bytes:
    return cbor.encode(["Signature1", protected, external_aad, payload])


def _parse_parts(value: object, what: str, limit: int) -> Sign1:
    header_bytes, body = octets(None, _HEADER_LIMIT, least=1), optional(octets(None, limit))
    shape = array(header_bytes, _empty_map, body, octets(claims.SIGNATURE_BYTES))
    protected, _, payload, signature = shape(value, what)
    header = Fields(cbor.decode(protected, _HEADER_LIMIT, f"{what} header"), f"{what} header")
    header.take(claims.HEADER_ALG, "alg", exactly(claims.ALG_ED25519))
    kid = header.take(claims.HEADER_KID, "kid", _kid)
    typ = header.take(claims.HEADER_TYP, "typ", text(_TYP_CHARS))
    header.end()
    return Sign1(protected=protected, kid=kid, typ=typ, payload=payload, signature=signature)


def _kid(value: object, where: str) -> bytes:
    if not isinstance(value, bytes) or len(value) not in (claims.KID_BYTES, claims.ID_BYTES):
        raise Malformed(f"{where} is not a key or stream id")
    return value


def _empty_map(value: object, where: str) -> None:
    if value != {} or not isinstance(value, dict):
        raise Malformed(f"{where} (unprotected header) is not an empty map")
