"""
The outer format of everything sealed: one COSE_Encrypt with one HPKE recipient.

Owns: the strict codec ``outer`` and ``encode_outer``, and the byte strings that bind a message to its type,
key and algorithms.
Rules: tag compared as bytes, size before structure, structure before use; exactly the headers named here, so
a message that decodes is the only encoding of itself.
Does not: encrypt, decrypt or pad (seal). The intake needs this room and no key.
Neighbours: cbor, shape, labels, claims below; seal, intake above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.shape import Fields, array, exactly, octets, one_of, text
from edge_sdk.errors import Malformed

ENCRYPT_TAG: Final = b"\xd8\x60"  # tag 96, the one byte pair that a flipped bit would otherwise get away with
ENVELOPE_LIMIT: Final = 5 << 18  # 1.25 MiB: a batch payload of 1 MiB, padded and sealed
LIMITS: Final = {
    labels.TYP_BATCH: ENVELOPE_LIMIT,
    labels.TYP_CONTROL: 1 << 19,  # the longest wipe receipt, padded
    labels.TYP_ENROL: 6144,  # 4096 padded bytes and the seal
    labels.TYP_DOWNLINK: 6144,
}
IV_BYTES: Final = 12
WRAPPED_BYTES: Final = 48  # a content key of 32 bytes and a tag of 16
CONTENT_TAG_BYTES: Final = 16
EK_BYTES: Final = {claims.ALG_HPKE_X_WING: 1120, claims.ALG_HPKE_X25519: 32}
_HEADER_LIMIT: Final = 128
_TYP_CHARS: Final = 64
_NAMED: Final = frozenset({labels.TYP_BATCH, labels.TYP_CONTROL})  # these are receipted, so they need an id


@dataclass(frozen=True, slots=True)
class Outer:
    """
    Hold what everybody on the way can read of a sealed message.
    """

    typ: str
    content_alg: int
    batch_id: bytes | None
    """16 random bytes of a batch or control message; None for the other types."""
    iv: bytes
    ciphertext: bytes
    kid: bytes
    kem_alg: int
    ek: bytes
    wrapped: bytes

    @property
    def protected(self) -> bytes:
        """
        Return the protected header of the content layer.
        """
        return content_header(self.typ, self.content_alg, self.batch_id)

    @property
    def recipient_protected(self) -> bytes:
        """
        Return the protected header of the recipient layer.
        """
        return recipient_header(self.kem_alg, self.kid)

    def encode(self) -> bytes:
        """
        Return the message.
        """
        recipient = self.recipient_protected, self.ek, self.wrapped
        return encode_outer(self.protected, self.iv, self.ciphertext, recipient=recipient)


def encode_outer(protected: bytes, iv: bytes, ciphertext: bytes, *, recipient: tuple[bytes, bytes, bytes]) -> bytes:
    """
    Return the message of these parts.

    Args:
        recipient: its protected header, encapsulated key and wrapped content key.
    """
    header, ek, wrapped = recipient
    to_recipient: cbor.Value = [header, {claims.HEADER_EK: ek}, wrapped]
    return ENCRYPT_TAG + cbor.encode([protected, {claims.HEADER_IV: iv}, ciphertext, [to_recipient]])


def content_header(typ: str, content_alg: int, batch_id: bytes | None) -> bytes:
    """
    Return the protected header of the content layer.
    """
    header: dict[int, cbor.Value] = {claims.HEADER_ALG: content_alg, claims.HEADER_TYP: typ}
    if batch_id is not None:
        header[claims.BATCH_ID] = batch_id
    return cbor.encode(header)


@lru_cache(maxsize=16)  # batch after batch goes to the same few keys
def recipient_header(kem_alg: int, kid: bytes) -> bytes:
    """
    Return the protected header of the recipient layer.
    """
    return cbor.encode({claims.HEADER_ALG: kem_alg, claims.HEADER_KID: kid})


@lru_cache(maxsize=16)
def binding(typ: str, kid: bytes) -> bytes:
    """
    Return what both layers bind without carrying it: the profile of *typ* and the recipient.
    """
    return cbor.encode([labels.PROFILES[typ], kid])


def content_aad(protected: bytes, external_aad: bytes) -> bytes:
    """
    Return the Enc_structure that authenticates the content layer (RFC 9052, 5.3).
    """
    return cbor.encode(["Encrypt", protected, external_aad])


def recipient_structure(content_alg: int, recipient_protected: bytes, extra: bytes) -> bytes:
    """
    Return the Recipient_structure that HPKE takes as info (SPEC 4.2).
    """
    return cbor.encode(["HPKE Recipient", content_alg, recipient_protected, extra])


def outer(data: bytes, limit: int = ENVELOPE_LIMIT) -> Outer:
    """
    Return what is readable of a sealed message.

    Order:
        size, tag, structure, headers, sizes of each part, size for its type.

    Raises:
        Malformed: anything but the one form of one of the four types.
    """
    if data[: len(ENCRYPT_TAG)] != ENCRYPT_TAG:
        raise Malformed("envelope lacks tag 96", 0)
    value = cbor.decode(data[len(ENCRYPT_TAG) :], limit, "envelope")
    body = octets(None, limit, least=CONTENT_TAG_BYTES)
    shape = array(octets(None, _HEADER_LIMIT), _iv, body, array(_recipient))
    protected, iv, ciphertext, recipients = shape(value, "envelope")
    typ, content_alg, batch_id = _content(protected)
    if len(data) > LIMITS[typ]:
        raise Malformed(f"envelope is longer than {LIMITS[typ]} bytes")
    (kem_alg, kid, ek, wrapped) = recipients[0]
    return Outer(
        typ=typ,
        content_alg=content_alg,
        batch_id=batch_id,
        iv=iv,
        ciphertext=ciphertext,
        kid=kid,
        kem_alg=kem_alg,
        ek=ek,
        wrapped=wrapped,
    )


def _content(protected: bytes) -> tuple[str, int, bytes | None]:
    fields = Fields(cbor.decode(protected, _HEADER_LIMIT, "envelope header"), "envelope header")
    content_alg = fields.take(claims.HEADER_ALG, "alg", one_of(*claims.CONTENT_ALGS))
    typ = fields.take(claims.HEADER_TYP, "typ", text(_TYP_CHARS))
    if typ not in LIMITS:
        raise Malformed("envelope header typ is none of the types that are sealed")
    named = octets(claims.ID_BYTES)
    batch_id = fields.take(claims.BATCH_ID, "id", named) if typ in _NAMED else None
    fields.end()
    return typ, content_alg, batch_id


def _iv(value: object, where: str) -> bytes:
    fields = Fields(value, where)
    iv = fields.take(claims.HEADER_IV, "iv", octets(IV_BYTES))
    fields.end()
    return iv


def _recipient(value: object, where: str) -> tuple[int, bytes, bytes, bytes]:
    shape = array(octets(None, _HEADER_LIMIT), _ek, octets(WRAPPED_BYTES))
    protected, ek, wrapped = shape(value, where)
    header = Fields(cbor.decode(protected, _HEADER_LIMIT, f"{where} header"), f"{where} header")
    alg = header.take(claims.HEADER_ALG, "alg", one_of(*EK_BYTES))
    kid = header.take(claims.HEADER_KID, "kid", octets(claims.KID_BYTES))
    header.end()
    exactly(EK_BYTES[alg])(len(ek), f"{where} length of ek")
    return alg, kid, ek, wrapped


def _ek(value: object, where: str) -> bytes:
    fields = Fields(value, where)
    ek = fields.take(claims.HEADER_EK, "ek", octets(None, max(EK_BYTES.values())))
    fields.end()
    return ek
