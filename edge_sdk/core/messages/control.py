"""
Control messages: what a device tells the authority and nobody else. They carry no reading.

Owns: ``Control`` with its bodies (withdrawal, wipe receipt, ledger head, ended stream, incident),
``seal_control``, ``open_control``.
Rules: signed by the generation key, sealed to the root's enrolment key, padded to at least one downlink's
size, named by a random id like a batch, so that the same signed receipt acknowledges both.
Does not: deliver, or look up the generation's key (the authority, between ``peek_generation`` and
``open_control``). Neighbours: seal and receipt below; the lane and the authority above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.cose import Sign1, key_id, parse1, public_key_of, sign1, verify1
from edge_sdk.core.documents import HpkePublic
from edge_sdk.core.envelope import LIMITS, outer
from edge_sdk.core.incidents import Incident, incident_of, incident_value
from edge_sdk.core.keys import GenerationSigningSeed, RoleSeed
from edge_sdk.core.padding import pad_to, padme, unpad
from edge_sdk.core.receipt import WipeReceipt, wipe_receipt_of, wipe_receipt_value
from edge_sdk.core.seal import open_sealed, seal
from edge_sdk.core.shape import Fields, Shape, array, exactly, list_of, octets, optional, seconds, text, uint
from edge_sdk.errors import Malformed, Tampered

CONTROL_BYTES: Final = 4096  # all but large wipe receipts have this one size
MAX_WITHDRAWN: Final = 24  # as many as a statement has grants

_VERSION, _KIND, _GENERATION, _AT, _LEDGER, _BODY = range(6)
_WITHDRAWAL, _WIPE_RECEIPT, _LEDGER_HEAD, _ENDED_STREAM, _INCIDENT = range(5)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """
    Hold a withdrawal made on the device.
    """

    purpose: str
    grants: tuple[bytes, ...]
    """The ids of the grants it ends."""


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """
    Report the ledger's head and nothing else.
    """


@dataclass(frozen=True, slots=True)
class EndedStream:
    """
    Hold the account of a stream that a withdrawal or wipe ended, which its recipient does not learn.
    """

    stream: bytes
    purpose: str
    grant: bytes
    rows: int
    """Rows accepted, which is the next row number."""
    receipted: int
    destroyed: int | None
    """Rows destroyed before they were receipted; None where that is not known."""


Body: TypeAlias = Withdrawal | WipeReceipt | LedgerHead | EndedStream | Incident


@dataclass(frozen=True, slots=True)
class Control:
    """
    Hold one control message.
    """

    generation: bytes
    at_s: int
    ledger: tuple[bytes, int] | None
    """Head and length of the ledger; None where there is none."""
    body: Body


def seal_control(
    message: Control,
    *,
    seed: GenerationSigningSeed,
    recipient: HpkePublic,
    message_id: bytes,
    content_alg: int,
    cek: bytes,
    iv: bytes,
) -> bytes:
    """
    Return *message* signed by its generation key and sealed to the authority.

    Args:
        recipient: the root's enrolment key.
        message_id: 16 random bytes, in clear.

    Raises:
        Malformed, Unsupported: as ``seal.seal``.
    """
    signed = sign1(
        _encode(message),
        seed=seed.reveal(),
        kid=key_id(public_key_of(seed.reveal())),
        typ=labels.TYP_CONTROL,
        external_aad=_aad(message_id, recipient.kid),
    )
    return seal(
        pad_to(signed, max(CONTROL_BYTES, padme(len(signed) + 1))),
        recipient=recipient,
        typ=labels.TYP_CONTROL,
        batch_id=message_id,
        content_alg=content_alg,
        cek=cek,
        iv=iv,
    )


def peek_generation(data: bytes, *, seed: RoleSeed, alg: int) -> bytes:
    """
    Return the kid of the generation key that a message claims to be signed by, to look the key up.

    Raises:
        Malformed, Tampered, Unsupported: as ``open_control``.
    """
    return _opened(data, seed, alg)[0].kid


def open_control(data: bytes, *, seed: RoleSeed, alg: int, signing_key: bytes) -> Control:
    """
    Return what ``seal_control`` was given.

    Args:
        seed: of the enrolment key.
        alg: of the enrolment key.
        signing_key: the Ed25519 public key of the generation it comes from.

    Raises:
        Malformed: another structure.
        Tampered: sealed to another key, changed, or not signed by *signing_key*.
        Unsupported: this build does not speak *alg*.
    """
    message, message_id = _opened(data, seed, alg)
    if message.payload is None:
        raise Malformed("control message carries no payload")
    if message.kid != key_id(signing_key):
        raise Tampered("control message")
    aad = _aad(message_id, outer(data).kid)
    payload = verify1(message, public_key=signing_key, typ=labels.TYP_CONTROL, external_aad=aad)
    return _decode(payload)


def _opened(data: bytes, seed: RoleSeed, alg: int) -> tuple[Sign1, bytes]:
    padded, message_id = open_sealed(data, seed=seed, alg=alg, typ=labels.TYP_CONTROL)
    assert message_id is not None  # the codec takes no control message without one
    return parse1(unpad(padded), limit=LIMITS[labels.TYP_CONTROL], what="control message"), message_id


def _aad(message_id: bytes, kid: bytes) -> bytes:
    return cbor.encode([labels.PROFILES[labels.TYP_CONTROL], message_id, kid])


def _encode(message: Control) -> bytes:
    kind, body = _body_value(message.body)
    return cbor.encode(
        {
            _VERSION: 1,
            _KIND: kind,
            _GENERATION: message.generation,
            _AT: message.at_s,
            _LEDGER: None if message.ledger is None else list(message.ledger),
            _BODY: body,
        }
    )


def _body_value(body: Body) -> tuple[int, cbor.Value]:
    match body:
        case Withdrawal():
            return _WITHDRAWAL, [body.purpose, list(body.grants)]
        case WipeReceipt():
            return _WIPE_RECEIPT, wipe_receipt_value(body)
        case LedgerHead():
            return _LEDGER_HEAD, None
        case EndedStream():
            counts = (body.rows, body.receipted, body.destroyed)
            return _ENDED_STREAM, [body.stream, body.purpose, body.grant, *counts]
        case Incident():
            return _INCIDENT, incident_value(body)
        case _:
            assert_never(body)


def _decode(payload: bytes) -> Control:
    what = "control message"
    fields = Fields(cbor.decode(payload, LIMITS[labels.TYP_CONTROL], what), what)
    fields.take(_VERSION, "version", exactly(1))
    shape = _BODIES[fields.take(_KIND, "kind", uint(len(_BODIES) - 1))]
    message = Control(
        generation=fields.take(_GENERATION, "generation", octets(claims.ID_BYTES)),
        at_s=fields.take(_AT, "time", seconds),
        ledger=fields.take(_LEDGER, "ledger", optional(_ledger)),
        body=fields.take(_BODY, "body", shape),
    )
    fields.end()
    return message


def _ledger(value: object, where: str) -> tuple[bytes, int]:
    head, length = array(octets(claims.DIGEST_BYTES), uint())(value, where)
    return head, length


def _withdrawal(value: object, where: str) -> Body:
    grants = list_of(octets(claims.ID_BYTES), MAX_WITHDRAWN, least=1)
    return Withdrawal(*array(text(claims.PURPOSE_CHARS), grants)(value, where))


def _ledger_head(value: object, where: str) -> Body:
    if value is not None:
        raise Malformed(f"{where} is not null")
    return LedgerHead()


def _ended_stream(value: object, where: str) -> Body:
    ids = octets(claims.ID_BYTES)
    shape = array(ids, text(claims.PURPOSE_CHARS), ids, uint(), uint(), optional(uint()))
    return EndedStream(*shape(value, where))


_BODIES: Final[tuple[Shape[Body], ...]] = (_withdrawal, wipe_receipt_of, _ledger_head, _ended_stream, incident_of)
