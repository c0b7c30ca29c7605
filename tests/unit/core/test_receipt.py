from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from edge_sdk.core import cbor, labels, receipt
from edge_sdk.core.claims import Role
from edge_sdk.core.cose import key_id, public_key_of, sign1
from edge_sdk.core.receipt import (
    Firmware,
    Kind,
    Method,
    Outcome,
    PurposeUse,
    Receipt,
    StoreErased,
    WipeReceipt,
)
from edge_sdk.errors import BadInput, Malformed, Tampered
from tests.vectors import world

ROOT = world.root()
BODY = world.named("body")
HASH = world.named("downlink")
RECEIPT = Receipt(world.BATCH_ID, BODY, world.NOW_S, HASH)
SIGNER = world.seeds(Role.RECEIPT)[0]


def signed(role: Role = Role.RECEIPT, **changes: Any) -> bytes:
    return receipt.sign_receipt(replace(RECEIPT, **changes), world.seeds(role)[0])


def accept(data: bytes) -> Receipt:
    return receipt.accept_receipt(data, root=ROOT, batch_id=world.BATCH_ID, body_sha256=BODY)


def judge(status: int, body: bytes) -> Outcome:
    return receipt.judge(status, body, root=ROOT, batch_id=world.BATCH_ID, body_sha256=BODY)


@pytest.mark.parametrize("changes", [{}, {"downlink_hash": None}, {"result": 413}])
def test_a_receipt_is_read_as_it_was_signed(changes: dict[str, Any]) -> None:
    assert accept(signed(**changes)) == replace(RECEIPT, **changes)


def test_any_key_of_the_role_signs_receipts() -> None:
    assert accept(receipt.sign_receipt(RECEIPT, world.seeds(Role.RECEIPT, 2)[1])) == RECEIPT


def test_a_receipt_by_a_stranger_is_refused() -> None:
    data = receipt.sign_receipt(RECEIPT, world.seeds(Role.RECEIPT, edition=" stranger")[0])
    with pytest.raises(Tampered, match=r"receipt check 1 .signature."):
        accept(data)


def test_a_receipt_signed_as_something_else_is_refused() -> None:
    payload = cbor.encode({0: 1, 1: world.BATCH_ID, 2: BODY, 3: None, 4: 0, 6: world.NOW_S})
    kid = key_id(public_key_of(SIGNER.reveal()))
    data = sign1(payload, seed=SIGNER.reveal(), kid=kid, typ=labels.TYP_TIME)
    with pytest.raises(Tampered, match=r"receipt check 2 .typ."):
        accept(data)


def test_a_receipt_by_another_role_is_refused() -> None:
    with pytest.raises(Tampered, match=r"receipt check 3 .role."):
        accept(signed(Role.TIME))


def test_a_receipt_for_another_batch_is_refused() -> None:
    with pytest.raises(Tampered, match=r"check 4 .batch id."):
        accept(signed(batch_id=bytes(16)))


def test_a_receipt_for_other_bytes_is_refused() -> None:
    with pytest.raises(Tampered, match=r"check 5 .body."):
        accept(signed(body_sha256=bytes(32)))


def test_every_flipped_bit_of_a_receipt_is_refused() -> None:
    data = signed()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadInput):
            accept(bytes(flipped))


def test_a_detached_receipt_is_malformed() -> None:
    kid = key_id(public_key_of(SIGNER.reveal()))
    data = sign1(b"", seed=SIGNER.reveal(), kid=kid, typ=labels.TYP_RECEIPT, detached=True)
    with pytest.raises(Malformed, match="no payload"):
        accept(data)


@pytest.mark.parametrize("result", [1, 200, 500])
def test_a_receipt_with_another_result_is_malformed(result: int) -> None:
    with pytest.raises(Malformed, match="result"):
        accept(signed(result=result))


@pytest.mark.parametrize("status", [200, 201, 413, 500])
def test_a_signed_receipt_acknowledges_whatever_status_a_proxy_made_of_it(status: int) -> None:
    assert judge(status, signed()) == Outcome(Kind.ACKED, HASH, "receipt")


@pytest.mark.parametrize("result", [413, 422])
def test_a_signed_refusal_refuses(result: int) -> None:
    assert judge(200, signed(result=result)) == Outcome(Kind.REFUSED, HASH, f"signed refusal {result}")


@pytest.mark.parametrize("status", [200, 204, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503])
@pytest.mark.parametrize("body", [b"", b"<html>Welcome", signed(batch_id=bytes(16)), signed(Role.TIME)])
def test_every_other_answer_means_later(status: int, body: bytes) -> None:
    outcome = judge(status, body)
    assert (outcome.kind, outcome.downlink_hash) == (Kind.LATER, None)
    assert outcome.why == f"status {status} without a receipt that verifies"


WIPED = WipeReceipt(
    generation=world.GENERATION,
    nonce=world.named("wipe nonce", 16),
    scope=(),
    at_s=world.NOW_S,
    stores=(
        StoreErased("outbox", Method.CE, True, 12),
        StoreErased("log", Method.FAILED, False, 1),
    ),
    uses=(PurposeUse(world.PURPOSE, (bytes(8),), (world.STREAM_ID,)),),
    firmware=Firmware.NOT_REACHABLE,
    ledger_head=world.named("head"),
    ledger_length=40,
    software="edge-sdk 1.0",
)


@pytest.mark.parametrize("changes", [{}, {"nonce": None}, {"scope": ("monitoring",)}, {"uses": ()}])
def test_a_wipe_receipt_is_read_as_it_was_written(changes: dict[str, Any]) -> None:
    made = replace(WIPED, **changes)
    assert receipt.decode_wipe_receipt(receipt.encode_wipe_receipt(made)) == made


@pytest.mark.parametrize(
    "changes",
    [
        {"stores": (StoreErased("outbox", cast(Method, "purge"), True, 0),)},
        {"firmware": "asleep"},
        {"generation": b""},
        {"software": ""},
        {"uses": (PurposeUse(world.PURPOSE, (b"kid",), ()),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_wipe_receipt_that_says_what_none_can_say_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        receipt.decode_wipe_receipt(receipt.encode_wipe_receipt(replace(WIPED, **changes)))
