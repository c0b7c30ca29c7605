"""
The intake's decisions, one request at a time, with no store and no socket.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.collector import intake
from edge_sdk.collector.intake import Answer, Arrival, Kept, Limits, Request, TagRow
from edge_sdk.core import keys, labels, seal
from edge_sdk.core.claims import ALG_A256GCM, ALG_HPKE_X25519
from edge_sdk.core.cose import parse1, public_key_of, verify1
from edge_sdk.core.documents import HpkePublic
from edge_sdk.errors import BadInput

NOW_S = 1_790_000_000
DAY_S = 86_400
SIGNER = keys.RoleSeed(bytes(range(32)))
SECRET = keys.RoutingSecret(b"\x07" * 32)
RECIPIENT = HpkePublic(ALG_HPKE_X25519, seal.hpke_key_pair(keys.RecipientSeed(b"\x05" * 32), ALG_HPKE_X25519)[1])
LIMITS = Limits(batch_bytes=600)


def sealed(size: int = 64, typ: str = labels.TYP_BATCH) -> bytes:
    batch_id = secrets.token_bytes(16) if typ in (labels.TYP_BATCH, labels.TYP_CONTROL) else None
    return seal.seal(
        bytes(size), recipient=RECIPIENT, typ=typ, batch_id=batch_id, content_alg=ALG_A256GCM,
        cek=secrets.token_bytes(32), iv=bytes(12),
    )  # fmt: skip


BODY = sealed()


def row(epoch: int) -> TagRow:
    route = keys.route(SECRET, epoch)
    return TagRow(epoch, route.tag, route.mac_key, 1000, 0, b"d" * 32)


def request(body: bytes = BODY, path: str = intake.BATCHES_PATH, *, epoch: int = NOW_S // DAY_S) -> Request:
    header = keys.authorization(keys.route(SECRET, epoch), "POST", path, body)
    return Request("POST", path, header, body)


TODAY = row(NOW_S // DAY_S)


def examine(request: Request, row: TagRow | None = TODAY) -> Arrival | Answer:
    return intake.examine(request, row, signer=SIGNER, now_s=NOW_S, limits=LIMITS)


def is_signed(answer: Answer) -> bool:
    try:
        message = parse1(answer.body, limit=512)
        verify1(message, public_key=public_key_of(SIGNER.reveal()), typ=labels.TYP_RECEIPT)
    except BadInput:
        return False
    return True


def test_a_good_batch_is_an_arrival_without_the_name_of_its_device() -> None:
    arrival = examine(request())
    assert isinstance(arrival, Arrival)
    assert arrival.digest == hashlib.sha256(BODY).digest()
    assert (arrival.kid, arrival.box, arrival.day) == (RECIPIENT.kid, intake.Box.BATCHES, NOW_S // DAY_S)


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_the_tags_of_yesterday_today_and_tomorrow_are_taken(days: int) -> None:
    epoch = NOW_S // DAY_S + days
    assert isinstance(examine(request(epoch=epoch), row(epoch)), Arrival)


@pytest.mark.parametrize("days", [-2, 2])
def test_the_tag_of_any_other_day_is_not(days: int) -> None:
    epoch = NOW_S // DAY_S + days
    assert examine(request(epoch=epoch), row(epoch)) == intake.UNKNOWN_TAG


def test_an_unknown_tag_and_a_wrong_mac_get_the_same_answer() -> None:
    wrong = request()
    assert wrong.authorization is not None
    flipped = wrong.authorization[:-1] + ("0" if wrong.authorization[-1] != "0" else "1")
    assert examine(wrong, None) == examine(dataclasses.replace(wrong, authorization=flipped)) == Answer(401)


@pytest.mark.parametrize("part", ["method", "path", "body"])
def test_a_mac_is_for_one_method_path_and_body(part: str) -> None:
    other: dict[str, Any] = {part: {"method": "PUT", "path": intake.CONTROL_PATH, "body": BODY + b"\x00"}[part]}
    assert examine(dataclasses.replace(request(), **other)) == intake.UNKNOWN_TAG


def test_a_row_of_another_tag_is_not_taken_for_this_one() -> None:
    other = dataclasses.replace(row(NOW_S // DAY_S), tag=b"x" * 16)
    assert examine(request(), other) == intake.UNKNOWN_TAG


@pytest.mark.parametrize("header", [None, "", "Edge", "Bearer abc", "Edge " + "0" * 97])
def test_a_header_of_another_form_claims_no_tag(header: str | None) -> None:
    strange = dataclasses.replace(request(), authorization=header)
    assert intake.claimed_tag(strange) is None
    assert examine(strange) == intake.UNKNOWN_TAG


def test_a_body_over_the_limit_is_refused_with_a_signature() -> None:
    answer = examine(request(sealed(900)))
    assert isinstance(answer, Answer)
    assert (answer.status, is_signed(answer)) == (413, True)


def test_no_limit_of_an_intake_stops_a_wipe_receipt() -> None:
    body = sealed(400_000, labels.TYP_CONTROL)
    assert isinstance(examine(request(body, intake.CONTROL_PATH)), Arrival)


def test_a_control_message_among_batches_is_refused_with_a_signature() -> None:
    answer = examine(request(sealed(typ=labels.TYP_CONTROL)))
    assert isinstance(answer, Answer)
    assert (answer.status, is_signed(answer)) == (422, True)


@pytest.mark.parametrize("typ", [labels.TYP_ENROL, labels.TYP_DOWNLINK])
def test_a_message_without_an_id_is_refused_unsigned(typ: str) -> None:
    assert examine(request(sealed(typ=typ))) == Answer(422)


@pytest.mark.parametrize("body", [b"", b"\xd8\x60", BODY[:-1], BODY + b"\x00", b"\xd8\x61" + BODY[2:]])
def test_what_is_no_envelope_is_refused_unsigned(body: bytes) -> None:
    assert examine(request(body)) == Answer(422)


def test_nobody_without_the_mac_key_gets_a_signed_refusal() -> None:
    large = request(sealed(900))
    stolen = dataclasses.replace(large, authorization=request().authorization)
    assert examine(stolen) == intake.UNKNOWN_TAG


@given(st.binary(max_size=300))
def test_any_body_is_an_arrival_or_an_answer(body: bytes) -> None:
    assert isinstance(examine(request(body)), Answer)


@given(st.text(max_size=120))
def test_any_header_is_no_way_in(header: str) -> None:
    assert examine(dataclasses.replace(request(), authorization=header)) == intake.UNKNOWN_TAG


@pytest.mark.parametrize(
    ("kept", "status", "signed"),
    [
        (Kept.STORED, 200, True),
        (Kept.DUPLICATE, 200, True),
        (Kept.CONFLICT, 409, False),
        (Kept.OVER_QUOTA, 429, False),
    ],
)
def test_only_what_is_kept_gets_a_receipt(kept: Kept, status: int, signed: bool) -> None:
    arrival = examine(request())
    assert isinstance(arrival, Arrival)
    answer = intake.conclude(arrival, kept, signer=SIGNER, now_s=NOW_S, limits=LIMITS)
    assert (answer.status, is_signed(answer)) == (status, signed)


def test_over_quota_says_how_long_to_wait() -> None:
    arrival = examine(request())
    assert isinstance(arrival, Arrival)
    answer = intake.conclude(arrival, Kept.OVER_QUOTA, signer=SIGNER, now_s=NOW_S, limits=LIMITS)
    assert answer.retry_after_s == LIMITS.wait_s
