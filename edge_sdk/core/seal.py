"""
Seal to one HPKE public key, and open again.

Owns: the suites, ``seal``/``open_sealed`` for every envelope, ``seal_batch``/``open_batch`` with the inner
signature.
Rules: the public API of ``cryptography`` only; content key, iv and ids come in, HPKE draws its ephemeral key
itself; a batch is sealed only under a grant that names the recipient; nothing is negotiated.
Does not: choose recipients (documents), keep keys (vault) or read payloads (batch).
Neighbours: envelope, padding, cose, consent below; line, opener, messages above.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.consent import CollectGrant, SendGrant
from edge_sdk.core.cose import Signer, parse1, verify1
from edge_sdk.core.documents import HpkePublic
from edge_sdk.core.envelope import (
    EK_BYTES,
    ENVELOPE_LIMIT,
    IV_BYTES,
    binding,
    content_aad,
    content_header,
    encode_outer,
    outer,
    recipient_header,
    recipient_structure,
)
from edge_sdk.core.keys import SECRET_BYTES, RecipientSeed, SecretBytes
from edge_sdk.core.padding import pad, unpad
from edge_sdk.core.shape import octets
from edge_sdk.errors import ConsentRefused, Malformed, Tampered, Unsupported

__all__ = [
    "CONTENT",
    "SUITES",
    "Addressee",
    "HpkePublic",
    "OpenedBatch",
    "hpke_key_pair",
    "open_batch",
    "open_sealed",
    "seal",
    "seal_batch",
    "x_wing_available",
]

PrivateKey: TypeAlias = hpke.MLKEM768X25519PrivateKey | x25519.X25519PrivateKey

SUITES: Final[Mapping[int, tuple[hpke.KEM, hpke.KDF, hpke.AEAD]]] = {
    claims.ALG_HPKE_X_WING: (hpke.KEM.MLKEM768_X25519, hpke.KDF.SHAKE256, hpke.AEAD.AES_256_GCM),
    claims.ALG_HPKE_X25519: (hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305),
}
CONTENT: Final[Mapping[int, type[AESGCM] | type[ChaCha20Poly1305]]] = {
    claims.ALG_A256GCM: AESGCM,
    claims.ALG_CHACHA20_POLY1305: ChaCha20Poly1305,
}
_MLKEM_SEED_BYTES: Final = 64
_MLKEM_PUBLIC_BYTES: Final = 1184
_PAYLOAD_STREAM: Final = 1
_PAYLOAD_STREAM_KEY: Final = 9


class Addressee(Protocol):
    """
    Describe anything that can be sealed to: a recipient key, the enrolment key, a generation's key.
    """

    @property
    def alg(self) -> int:
        """
        Return the number of the HPKE algorithm.
        """
        ...

    @property
    def key(self) -> bytes:
        """
        Return the public key.
        """
        ...

    @property
    def kid(self) -> bytes:
        """
        Return the 8 bytes that name the key in clear.
        """
        ...


@dataclass(frozen=True, slots=True)
class OpenedBatch:
    """
    Hold a batch whose seal and inner signature were good; whose stream it is, the opener still has to check.
    """

    batch_id: bytes
    stream_id: bytes
    stream_key: bytes
    payload: bytes


def x_wing_available() -> bool:
    """
    Say whether this build of ``cryptography`` has ML-KEM; builds on OpenSSL before 3.5 do not.
    """
    try:
        mlkem.MLKEM768PrivateKey.from_seed_bytes(bytes(_MLKEM_SEED_BYTES))
    except UnsupportedAlgorithm:
        return False
    return True


def hpke_key_pair(seed: SecretBytes, alg: int) -> tuple[PrivateKey, bytes]:
    """
    Return private key and public key bytes of a 32-byte seed.

    Raises:
        Unsupported: *alg* is in no suite, or not in this build.
    """
    if alg == claims.ALG_HPKE_X25519:
        private = x25519.X25519PrivateKey.from_private_bytes(seed.reveal())
        return private, private.public_key().public_bytes_raw()
    if alg != claims.ALG_HPKE_X_WING:
        raise _unspoken()
    # X-Wing names its private key by 32 bytes and expands them into the two it is made of.
    expanded = hashlib.shake_256(seed.reveal()).digest(_MLKEM_SEED_BYTES + SECRET_BYTES)
    try:
        post_quantum = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
    except UnsupportedAlgorithm as exc:
        raise _unspoken() from exc
    classic = x25519.X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
    public = post_quantum.public_key().public_bytes_raw() + classic.public_key().public_bytes_raw()
    return hpke.MLKEM768X25519PrivateKey(post_quantum, classic), public


def seal(
    plaintext: bytes,
    *,
    recipient: Addressee,
    typ: str,
    batch_id: bytes | None,
    content_alg: int,
    cek: bytes,
    iv: bytes,
) -> bytes:
    """
    Return *plaintext* sealed to *recipient*.

    Args:
        plaintext: already padded.
        batch_id: 16 random bytes for batches and control messages, None for the other types.
        cek: 32 random bytes, used once.
        iv: 12 bytes.

    Raises:
        Malformed: the recipient's key is no key.
        Unsupported: an algorithm this release or build does not speak.
    """
    if len(cek) != SECRET_BYTES or len(iv) != IV_BYTES:
        raise ValueError("a content key has 32 bytes and an iv 12")
    bound = binding(typ, recipient.kid)
    protected = content_header(typ, content_alg, batch_id)
    ciphertext = _cipher(content_alg, cek).encrypt(iv, plaintext, content_aad(protected, bound))
    to_recipient = recipient_header(recipient.alg, recipient.kid)
    ek, wrapped = _wrap(cek, recipient, recipient_structure(content_alg, to_recipient, bound))
    return encode_outer(protected, iv, ciphertext, recipient=(to_recipient, ek, wrapped))


def open_sealed(data: bytes, *, seed: SecretBytes, alg: int, typ: str) -> tuple[bytes, bytes | None]:
    """
    Return the padded plaintext of an envelope, and its id where its type has one.

    Args:
        seed: of the HPKE key it was sealed to.
        alg: of that key.
        typ: the one type that is expected here.

    Raises:
        Malformed: not an envelope, or one of another type or algorithm.
        Tampered: sealed to another key, or changed.
        Unsupported: this build does not speak *alg*.
    """
    envelope = outer(data)
    if envelope.typ != typ:
        raise Malformed("envelope is of another type")
    if envelope.kem_alg != alg:
        raise Malformed("envelope is sealed with another algorithm than the key's")
    private, _ = hpke_key_pair(seed, alg)
    bound = binding(typ, envelope.kid)
    info = recipient_structure(envelope.content_alg, envelope.recipient_protected, bound)
    try:
        cek = _suite(alg).decrypt(envelope.ek + envelope.wrapped, private, info=info)
        cipher = _cipher(envelope.content_alg, cek)
        plaintext = cipher.decrypt(envelope.iv, envelope.ciphertext, content_aad(envelope.protected, bound))
    except (InvalidTag, ValueError) as exc:
        raise Tampered("envelope") from exc
    return plaintext, envelope.batch_id


def seal_batch(
    payload: bytes,
    *,
    grant: CollectGrant | SendGrant,
    recipient: Addressee,
    stream_id: bytes,
    signer: Signer,
    batch_id: bytes,
    content_alg: int,
    cek: bytes,
    iv: bytes,
) -> bytes:
    """
    Return *payload* signed by its stream, padded and sealed.

    Args:
        grant: of now; it names who may receive.
        signer: of the stream; its public half is in *payload*.

    Raises:
        ConsentRefused: the grant does not name *recipient*.
        Malformed, Unsupported: as ``seal``.
    """
    if recipient.kid not in grant.recipients:
        raise ConsentRefused(
            "the grant does not name this recipient key",
            hint="have the statement renewed after the recipients document changed",
        )
    aad = _batch_aad(batch_id, recipient.kid)
    inner = signer.sign1(payload, kid=stream_id, typ=labels.TYP_BATCH, external_aad=aad)
    return seal(
        pad(inner),
        recipient=recipient,
        typ=labels.TYP_BATCH,
        batch_id=batch_id,
        content_alg=content_alg,
        cek=cek,
        iv=iv,
    )


def open_batch(envelope: bytes, *, recipient_seed: RecipientSeed, alg: int) -> OpenedBatch:
    """
    Return the payload of a sealed batch, its inner signature verified with the key inside.

    The signature binds payload, stream, batch id and recipient together; that the key is one the authority
    certified is the opener's to check.

    Raises:
        Malformed: another structure, outside or inside.
        Tampered: another key, or changed, or signed by another key than the payload names.
        Unsupported: this build does not speak *alg*.
    """
    padded, batch_id = open_sealed(envelope, seed=recipient_seed, alg=alg, typ=labels.TYP_BATCH)
    assert batch_id is not None  # the codec takes no batch without one
    message = parse1(unpad(padded), limit=ENVELOPE_LIMIT, what="batch")
    if message.payload is None:
        raise Malformed("batch carries no payload")
    stream_id, stream_key = _stream_of(message.payload)
    aad = _batch_aad(batch_id, outer(envelope).kid)
    payload = verify1(message, public_key=stream_key, typ=labels.TYP_BATCH, external_aad=aad)
    if message.kid != stream_id:
        raise Tampered("batch")
    return OpenedBatch(batch_id=batch_id, stream_id=stream_id, stream_key=stream_key, payload=payload)


def _batch_aad(batch_id: bytes, kid: bytes) -> bytes:
    return cbor.encode([labels.PROFILES[labels.TYP_BATCH], batch_id, kid])


def _stream_of(payload: bytes) -> tuple[bytes, bytes]:
    # Only what the signature needs; the whole shape is checked by core.batch, once it is known whose it is.
    value = cbor.decode(payload, ENVELOPE_LIMIT, "batch payload")
    if not isinstance(value, dict):
        raise Malformed("batch payload is not a map")
    stream_id = octets(claims.ID_BYTES)(value.get(_PAYLOAD_STREAM), "batch payload stream")
    stream_key = octets(claims.KEY_BYTES)(value.get(_PAYLOAD_STREAM_KEY), "batch payload stream key")
    return stream_id, stream_key


def _wrap(cek: bytes, recipient: Addressee, info: bytes) -> tuple[bytes, bytes]:
    try:
        sealed = _suite(recipient.alg).encrypt(cek, _public_key(recipient.alg, recipient.key), info=info)
    except ValueError as exc:
        raise Malformed(
            "recipient key", hint="the recipients document or root holds a key that is none"
        ) from exc
    length = EK_BYTES[recipient.alg]
    return sealed[:length], sealed[length:]


@lru_cache(maxsize=16)  # batch after batch goes to the same few keys, and reading one takes a third of using it
def _public_key(alg: int, key: bytes) -> hpke.MLKEM768X25519PublicKey | x25519.X25519PublicKey:
    if alg == claims.ALG_HPKE_X25519:
        return x25519.X25519PublicKey.from_public_bytes(key)
    try:
        post_quantum = mlkem.MLKEM768PublicKey.from_public_bytes(key[:_MLKEM_PUBLIC_BYTES])
    except UnsupportedAlgorithm as exc:
        raise _unspoken() from exc
    classic = x25519.X25519PublicKey.from_public_bytes(key[_MLKEM_PUBLIC_BYTES:])
    return hpke.MLKEM768X25519PublicKey(post_quantum, classic)


def _suite(alg: int) -> hpke.Suite:
    if alg not in SUITES:
        raise _unspoken()
    return hpke.Suite(*SUITES[alg])


def _cipher(content_alg: int, cek: bytes) -> AESGCM | ChaCha20Poly1305:
    if content_alg not in CONTENT:
        raise Unsupported("content algorithm is in no suite")
    return CONTENT[content_alg](cek)


def _unspoken() -> Unsupported:
    return Unsupported(
        "HPKE algorithm is in no suite of this build",
        hint="install the wheel of cryptography, or let the policy allow HPKE-4-KE",
    )
