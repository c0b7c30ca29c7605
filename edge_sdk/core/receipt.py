"""
What the other side signs when it has a batch, and what a device signs when it has erased.

Owns: ``Receipt`` with its acceptance, ``judge`` for every answer to an upload, the body of a wipe receipt.
Rules: only a signed receipt for this batch id and this body lets a batch be forgotten, only a signed 413 or
422 sets it aside; whatever else came back, with whatever status, means later. What a wipe could not do is
said.
Does not: send, store or erase; seal a wipe receipt (messages).
Neighbours: documents beside it, uplink above.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.claims import Role
from edge_sdk.core.cose import key_id, public_key_of, sign1
from edge_sdk.core.documents.root import Root, signed_by_role
from edge_sdk.core.keys import RoleSeed
from edge_sdk.core.shape import (
    Fields,
    array,
    boolean,
    exactly,
    list_of,
    octets,
    one_of,
    optional,
    seconds,
    text,
    uint,
)
from edge_sdk.errors import BadInput, Malformed, Tampered

RECEIPT_LIMIT: Final = 512  # a receipt takes 229 bytes
STORED: Final = 0
TOO_LARGE: Final = 413
UNPROCESSABLE: Final = 422

MAX_STORES: Final = 32
MAX_USES: Final = 64
MAX_USE_KIDS: Final = 64
MAX_USE_STREAMS: Final = 4096  # eleven years of daily pseudonym periods
WIPE_RECEIPT_LIMIT: Final = 1 << 18  # about 15,000 streams over all purposes
_NAME_CHARS: Final = 64

_VERSION, _BATCH, _BODY, _DOWNLINK, _RESULT, _UNUSED, _TIME = range(7)
_GENERATION, _NONCE, _SCOPE, _AT, _STORES, _USES, _FIRMWARE, _LEDGER, _SOFTWARE = range(1, 10)


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    Hold what the intake signs for one batch.
    """

    batch_id: bytes
    body_sha256: bytes
    at_s: int
    downlink_hash: bytes | None
    """SHA-256 of the downlink now waiting for this device, None if none is."""
    result: int = STORED
    """``STORED``, or a refusal: ``TOO_LARGE`` or ``UNPROCESSABLE``."""


class Kind(enum.Enum):
    """
    Name what becomes of a batch after one try.
    """

    ACKED = "acked"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Hold what one answer to an upload means.
    """

    kind: Kind
    downlink_hash: bytes | None
    why: str


def sign_receipt(receipt: Receipt, seed: RoleSeed) -> bytes:
    """
    Return *receipt* signed by a key of the receipt role.
    """
    payload = cbor.encode(
        {
            _VERSION: 1,
            _BATCH: receipt.batch_id,
            _BODY: receipt.body_sha256,
            _DOWNLINK: receipt.downlink_hash,
            _RESULT: receipt.result,
            _TIME: receipt.at_s,
        }
    )
    kid = key_id(public_key_of(seed.reveal()))
    return sign1(payload, seed=seed.reveal(), kid=kid, typ=labels.TYP_RECEIPT)


def accept_receipt(data: bytes, *, root: Root, batch_id: bytes, body_sha256: bytes) -> Receipt:
    """
    Return the receipt in *data* if it is for this batch and these bytes.

    Order:
        1 signature, 2 typ, 3 role, 4 batch id, 5 body hash.

    Raises:
        Malformed: another structure.
        Tampered: any check failed.
    """
    receipt = _decode_receipt(
        signed_by_role(
            data, root=root, role=Role.RECEIPT, typ=labels.TYP_RECEIPT, limit=RECEIPT_LIMIT, what="receipt"
        )
    )
    if receipt.batch_id != batch_id:
        raise Tampered("receipt check 4 (batch id)")
    if receipt.body_sha256 != body_sha256:
        raise Tampered("receipt check 5 (body)")
    return receipt


def judge(status: int, body: bytes, *, root: Root, batch_id: bytes, body_sha256: bytes) -> Outcome:
    """
    Return what an answer to an upload means; the signature decides, the status is only told.

    A captive portal answers 200 and a proxy 413, and neither may cost a batch.

    Args:
        status: the HTTP status.
        body: the answer's body, cut at ``RECEIPT_LIMIT`` + 1 bytes or more by whoever read it.
    """
    try:
        receipt = accept_receipt(body, root=root, batch_id=batch_id, body_sha256=body_sha256)
    except BadInput:
        return Outcome(Kind.LATER, None, f"status {status} without a receipt that verifies")
    if receipt.result == STORED:
        return Outcome(Kind.ACKED, receipt.downlink_hash, "receipt")
    return Outcome(Kind.REFUSED, receipt.downlink_hash, f"signed refusal {receipt.result}")


def _decode_receipt(payload: bytes) -> Receipt:
    fields = Fields(cbor.decode(payload, RECEIPT_LIMIT, "receipt"), "receipt")
    fields.take(_VERSION, "version", exactly(1))
    receipt = Receipt(
        batch_id=fields.take(_BATCH, "batch id", octets(claims.ID_BYTES)),
        body_sha256=fields.take(_BODY, "body hash", octets(claims.DIGEST_BYTES)),
        downlink_hash=fields.take(_DOWNLINK, "downlink hash", optional(octets(claims.DIGEST_BYTES))),
        result=fields.take(_RESULT, "result", one_of(STORED, TOO_LARGE, UNPROCESSABLE)),
        at_s=fields.take(_TIME, "time", seconds),
    )
    fields.end()
    return receipt


class Method(enum.StrEnum):
    """
    Name how a store was erased, in the words of NIST SP 800-88; "purge" is never claimed.
    """

    CLEAR = "clear"
    CE = "ce"
    CE_HW = "ce-hw"
    ABSENT = "absent"
    FAILED = "failed"


class Firmware(enum.StrEnum):
    """
    Name what the firmware said when it was told to clear its caches.
    """

    CLEARED = "cleared"
    FAILED = "failed"
    NOT_REACHABLE = "not reachable"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StoreErased:
    """
    Hold how one store ended, and whether that was verified.
    """

    name: str
    method: Method
    verified: bool
    items: int


@dataclass(frozen=True, slots=True)
class PurposeUse:
    """
    Hold where the data of one purpose went, so that it can be erased there too.
    """

    purpose: str
    recipients: tuple[bytes, ...]
    streams: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class WipeReceipt:
    """
    Hold what a device states about one erase; it attests, it does not prove.
    """

    generation: bytes
    nonce: bytes | None
    """Of the order; None for an erase asked for on the device."""
    scope: tuple[str, ...]
    """The purposes; empty: the whole account."""
    at_s: int
    stores: tuple[StoreErased, ...]
    uses: tuple[PurposeUse, ...]
    firmware: Firmware
    ledger_head: bytes
    ledger_length: int
    software: str


def wipe_receipt_value(receipt: WipeReceipt) -> cbor.Value:
    """
    Return *receipt* as the value a control message carries.
    """
    return {
        _VERSION: 1,
        _GENERATION: receipt.generation,
        _NONCE: receipt.nonce,
        _SCOPE: list(receipt.scope),
        _AT: receipt.at_s,
        _STORES: [[store.name, str(store.method), store.verified, store.items] for store in receipt.stores],
        _USES: [[use.purpose, list(use.recipients), list(use.streams)] for use in receipt.uses],
        _FIRMWARE: str(receipt.firmware),
        _LEDGER: [receipt.ledger_head, receipt.ledger_length],
        _SOFTWARE: receipt.software,
    }


def wipe_receipt_of(value: object, where: str = "wipe receipt") -> WipeReceipt:
    """
    Return the wipe receipt that a decoded *value* is.

    Raises:
        Malformed: it is none.
    """
    fields = Fields(value, where)
    fields.take(_VERSION, "version", exactly(1))
    ledger = fields.take(_LEDGER, "ledger", array(octets(claims.DIGEST_BYTES), uint()))
    receipt = WipeReceipt(
        generation=fields.take(_GENERATION, "generation", octets(claims.ID_BYTES)),
        nonce=fields.take(_NONCE, "nonce", optional(octets(claims.ID_BYTES))),
        scope=fields.take(_SCOPE, "scope", list_of(text(claims.PURPOSE_CHARS), MAX_USES)),
        at_s=fields.take(_AT, "time", seconds),
        stores=fields.take(_STORES, "stores", list_of(_store, MAX_STORES)),
        uses=fields.take(_USES, "uses", list_of(_use, MAX_USES)),
        firmware=fields.take(_FIRMWARE, "firmware", _firmware),
        ledger_head=ledger[0],
        ledger_length=ledger[1],
        software=fields.take(_SOFTWARE, "software", text(_NAME_CHARS)),
    )
    fields.end()
    return receipt


def encode_wipe_receipt(receipt: WipeReceipt) -> bytes:
    """
    Return *receipt* as bytes, for keeping until it is delivered.
    """
    return cbor.encode(wipe_receipt_value(receipt))


def decode_wipe_receipt(data: bytes) -> WipeReceipt:
    """
    Return what ``encode_wipe_receipt`` was given.

    Raises:
        Malformed: anything else.
    """
    return wipe_receipt_of(cbor.decode(data, WIPE_RECEIPT_LIMIT, "wipe receipt"))


def _store(value: object, where: str) -> StoreErased:
    shape = array(text(_NAME_CHARS), _method, boolean, uint())
    return StoreErased(*shape(value, where))


def _use(value: object, where: str) -> PurposeUse:
    kids = list_of(octets(claims.KID_BYTES), MAX_USE_KIDS)
    streams = list_of(octets(claims.ID_BYTES), MAX_USE_STREAMS)
    return PurposeUse(*array(text(claims.PURPOSE_CHARS), kids, streams)(value, where))


def _method(value: object, where: str) -> Method:
    if value not in tuple(Method):
        raise Malformed(f"{where} is no method of erasing")
    return Method(str(value))


def _firmware(value: object, where: str) -> Firmware:
    if value not in tuple(Firmware):
        raise Malformed(f"{where} is no answer of a firmware")
    return Firmware(str(value))
