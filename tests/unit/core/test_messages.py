from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge_sdk.core import cbor, claims, cose, labels, messages, seal
from edge_sdk.core.claims import Role
from edge_sdk.core.documents import STATEMENT_LIMIT, WIPE_LIMIT, HpkePublic
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import (
    GenerationHpkeSeed,
    GenerationSigningSeed,
    RoleSeed,
    RoutingSecret,
    StreamSecret,
)
from edge_sdk.core.messages.downlink import NO_KID, Nameless
from edge_sdk.core.padding import pad_to
from edge_sdk.core.receipt import Firmware, PurposeUse, WipeReceipt
from edge_sdk.errors import BadInput, Malformed, Tampered
from tests.vectors import world

ALG = claims.ALG_HPKE_X25519
ALGS = (claims.ALG_HPKE_X_WING, ALG)
CEK, IV = world.named("cek"), world.named("iv", 12)
CHANCE: dict[str, Any] = {"content_alg": claims.ALG_A256GCM, "cek": CEK, "iv": IV}
ENROLMENT = world.root().enrolment


def device_key(alg: int = ALG) -> HpkePublic:
    return HpkePublic(alg, seal.hpke_key_pair(world.HPKE_SEED, alg)[1])


def flips(data: bytes, accept: Callable[[bytes], object]) -> None:
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadInput):
            accept(bytes(flipped))


def sealed(plaintext: bytes, typ: str, recipient: seal.Addressee = ENROLMENT) -> bytes:
    named = {labels.TYP_CONTROL: world.BATCH_ID}
    return seal.seal(plaintext, recipient=recipient, typ=typ, batch_id=named.get(typ), **CHANCE)


# --- downlink

DOWNLINK = messages.Downlink(20_370, b"statement", b"wipe order")


def open_downlink(data: bytes) -> messages.Downlink:
    return messages.open_downlink(data, seed=world.HPKE_SEED, alg=ALG)


@pytest.mark.parametrize("alg", ALGS)
@pytest.mark.parametrize("downlink", [DOWNLINK, replace(DOWNLINK, wipe=None)])
def test_a_downlink_opens_to_what_was_sealed(alg: int, downlink: messages.Downlink) -> None:
    data = messages.seal_downlink(downlink, recipient=device_key(alg), **CHANCE)
    assert messages.open_downlink(data, seed=world.HPKE_SEED, alg=alg) == downlink


def test_a_downlink_has_one_length_whatever_it_says() -> None:
    longest = messages.Downlink(1 << 32, bytes(STATEMENT_LIMIT), bytes(WIPE_LIMIT))
    lengths = {
        len(messages.seal_downlink(downlink, recipient=device_key(), **CHANCE))
        for downlink in (DOWNLINK, longest, replace(DOWNLINK, wipe=None))
    }
    assert len(lengths) == 1


def test_downlinks_of_two_epochs_share_no_bytes_but_the_formats_own() -> None:
    one, two = (
        outer(messages.seal_downlink(DOWNLINK, recipient=device_key(), **(CHANCE | chance)))
        for chance in ({}, {"cek": world.named("other cek"), "iv": world.named("other iv", 12)})
    )
    assert one.kid == two.kid == NO_KID
    for part in ("iv", "ciphertext", "ek", "wrapped"):
        assert getattr(one, part) != getattr(two, part)


def test_a_downlink_for_another_device_is_refused() -> None:
    data = messages.seal_downlink(DOWNLINK, recipient=device_key(), **CHANCE)
    with pytest.raises(Tampered):
        messages.open_downlink(data, seed=GenerationHpkeSeed(world.named("other device")), alg=ALG)


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        pad_to(cbor.encode({0: 1, 1: 2, 2: b"s"}), 4095),
        pad_to(b"", 4096),
        pad_to(cbor.encode({0: 2, 1: 2, 2: b"s"}), 4096),
        pad_to(cbor.encode({0: 1, 1: 2}), 4096),
        pad_to(cbor.encode({0: 1, 1: 2, 2: b"s", 4: 0}), 4096),
        pad_to(cbor.encode({0: 1, 1: 1 << 33, 2: b"s"}), 4096),
    ],
)
def test_a_downlink_of_another_size_or_shape_is_malformed(plaintext: bytes) -> None:
    with pytest.raises(Malformed):
        open_downlink(sealed(plaintext, labels.TYP_DOWNLINK, Nameless(ALG, device_key().key)))


def test_a_downlink_that_names_its_key_is_malformed() -> None:
    plaintext = pad_to(cbor.encode({0: 1, 1: 2, 2: b"s"}), 4096)
    assert open_downlink(sealed(plaintext, labels.TYP_DOWNLINK, Nameless(ALG, device_key().key)))
    with pytest.raises(Malformed, match="names a key"):
        open_downlink(sealed(plaintext, labels.TYP_DOWNLINK, device_key()))


# --- enrolment

REQUEST = messages.EnrolRequest(
    code="ABCD-EFGH-JKMN-0123",
    generation=world.GENERATION,
    signing_key=world.SIGNING_KEY,
    hpke=device_key(),
    routing=RoutingSecret(world.named("routing")),
    stream=StreamSecret(world.named("streams")),
    root_version=1,
)


def seal_enrol(request: messages.EnrolRequest = REQUEST) -> bytes:
    return messages.seal_enrol(request, seed=world.SIGNING_SEED, recipient=ENROLMENT, **CHANCE)


def open_enrol(data: bytes) -> messages.EnrolRequest:
    return messages.open_enrol(data, seed=world.ENROLMENT_SEED, alg=ALG)


@pytest.mark.parametrize("alg", ALGS)
def test_an_enrolment_opens_to_what_was_sealed(alg: int) -> None:
    request = replace(REQUEST, hpke=device_key(alg))
    assert open_enrol(seal_enrol(request)) == request


def test_all_enrolments_have_one_length() -> None:
    lengths = {len(seal_enrol(replace(REQUEST, hpke=device_key(alg)))) for alg in ALGS}
    assert len(lengths) == 1


def test_nobody_on_the_way_sees_who_enrols() -> None:
    data = seal_enrol()
    told = [REQUEST.code.encode(), REQUEST.generation, REQUEST.signing_key, REQUEST.routing.reveal()]
    assert not [secret for secret in told if secret in data]


def test_a_request_naming_another_key_than_its_signer_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="another signing key"):
        seal_enrol(replace(REQUEST, signing_key=bytes(32)))


def enrol_payload(**changes: Any) -> dict[int, Any]:
    payload = {
        0: 1,
        1: REQUEST.code,
        2: REQUEST.signing_key,
        3: ALG,
        4: REQUEST.hpke.key,
        5: world.named("routing"),
        6: world.named("streams"),
        7: 1,
        8: world.GENERATION,
    }
    return payload | {int(key[1:]): value for key, value in changes.items()}


def hand_enrol(payload: dict[int, Any], **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "seed": world.SIGNING_SEED.reveal(),
        "kid": cose.key_id(world.SIGNING_KEY),
        "typ": labels.TYP_ENROL,
        "external_aad": cbor.encode(["edge-sdk/enrol/1", ENROLMENT.kid]),
    }
    signed = cose.sign1(cbor.encode(payload), **(arguments | changes))
    return sealed(pad_to(signed, 4096), labels.TYP_ENROL)


def test_what_a_dishonest_device_would_change_is_otherwise_good() -> None:
    assert open_enrol(hand_enrol(enrol_payload())) == REQUEST


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": world.named("not the key inside")},
        {"kid": bytes(8)},
        {"typ": labels.TYP_CONTROL},
        {"external_aad": cbor.encode(["edge-sdk/enrol/1", bytes(8)])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_enrolment_signed_otherwise_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Tampered):
        open_enrol(hand_enrol(enrol_payload(), **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"k0": 2},
        {"k1": "abcd-efgh-jkmn-0123"},
        {"k1": "ABCDEFGHJKMN0123"},
        {"k1": 5},
        {"k3": 57},
        {"k5": bytes(32)},
        {"k6": bytes(32)},
        {"k8": bytes(15)},
        {"k9": 0},
    ],
    ids=repr,
)
def test_an_enrolment_of_another_shape_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        open_enrol(hand_enrol(enrol_payload(**changes)))


def test_an_enrolment_of_another_size_or_detached_is_malformed() -> None:
    with pytest.raises(Malformed, match="padded"):
        open_enrol(sealed(pad_to(b"", 4095), labels.TYP_ENROL))
    with pytest.raises(Malformed, match="no payload"):
        open_enrol(hand_enrol(enrol_payload(), detached=True))


# --- control

WIPED = WipeReceipt(
    generation=world.GENERATION,
    nonce=None,
    scope=(),
    at_s=world.NOW_S,
    stores=(),
    uses=(PurposeUse(world.PURPOSE, (bytes(8),), tuple(bytes([at]) * 16 for at in range(250))),),
    firmware=Firmware.NONE,
    ledger_head=world.named("head"),
    ledger_length=3,
    software="edge-sdk 1.0",
)
BODIES = [
    messages.Withdrawal(world.PURPOSE, (world.GRANT_ID,)),
    messages.LedgerHead(),
    messages.EndedStream(world.STREAM_ID, world.PURPOSE, world.GRANT_ID, 100, 60, 40),
    messages.EndedStream(world.STREAM_ID, world.PURPOSE, world.GRANT_ID, 100, 60, None),
    WIPED,
]


def control(body: Any = BODIES[0], ledger: tuple[bytes, int] | None = None) -> messages.Control:
    return messages.Control(world.GENERATION, world.NOW_S, ledger, body)


def seal_control(message: messages.Control) -> bytes:
    return messages.seal_control(
        message, seed=world.SIGNING_SEED, recipient=ENROLMENT, message_id=world.BATCH_ID, **CHANCE
    )


def open_control(data: bytes, signing_key: bytes = world.SIGNING_KEY) -> messages.Control:
    return messages.open_control(data, seed=world.ENROLMENT_SEED, alg=ALG, signing_key=signing_key)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
@pytest.mark.parametrize("ledger", [None, (world.named("head"), 12)])
def test_a_control_message_opens_to_what_was_sealed(body: Any, ledger: tuple[bytes, int] | None) -> None:
    assert open_control(seal_control(control(body, ledger))) == control(body, ledger)


def test_control_messages_have_one_length_and_only_a_long_wipe_receipt_another() -> None:
    lengths = [len(seal_control(control(body))) for body in BODIES]
    assert len(set(lengths[:-1])) == 1
    assert lengths[-1] > lengths[0]


def test_the_sender_is_found_by_the_name_of_its_key() -> None:
    data = seal_control(control())
    kid = messages.peek_generation(data, seed=world.ENROLMENT_SEED, alg=ALG)
    assert kid == cose.key_id(world.SIGNING_KEY)


def test_a_control_message_from_another_generation_is_refused() -> None:
    with pytest.raises(Tampered):
        open_control(seal_control(control()), cose.public_key_of(world.named("other generation")))


def hand_control(payload: dict[int, Any], **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "seed": world.SIGNING_SEED.reveal(),
        "kid": cose.key_id(world.SIGNING_KEY),
        "typ": labels.TYP_CONTROL,
        "external_aad": cbor.encode(["edge-sdk/control/1", world.BATCH_ID, ENROLMENT.kid]),
    }
    signed = cose.sign1(cbor.encode(payload), **(arguments | changes))
    return sealed(pad_to(signed, 4096), labels.TYP_CONTROL)


HEAD: dict[int, Any] = {0: 1, 1: 2, 2: world.GENERATION, 3: world.NOW_S, 4: None, 5: None}


def test_a_hand_made_ledger_head_is_otherwise_good() -> None:
    assert open_control(hand_control(HEAD)) == control(messages.LedgerHead())


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": world.named("forger")},
        {"typ": labels.TYP_ENROL},
        {"external_aad": cbor.encode(["edge-sdk/control/1", bytes(16), ENROLMENT.kid])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_control_message_signed_otherwise_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Tampered):
        open_control(hand_control(HEAD, **changes))


@pytest.mark.parametrize(
    "changes",
    [{1: 4}, {1: 0}, {1: 3, 5: []}, {5: 1}, {4: [bytes(31), 1]}, {2: b""}, {6: 0}, {0: 2}, {1: 1}],
    ids=repr,
)
def test_a_control_message_of_another_shape_is_malformed(changes: dict[int, Any]) -> None:
    with pytest.raises(Malformed):
        open_control(hand_control(HEAD | changes))


def test_a_detached_control_message_is_malformed() -> None:
    with pytest.raises(Malformed, match="no payload"):
        open_control(hand_control(HEAD, detached=True))


@pytest.mark.parametrize(
    ("data", "accept"),
    [
        (seal_control(control()), open_control),
        (seal_enrol(), open_enrol),
        (messages.seal_downlink(DOWNLINK, recipient=device_key(), **CHANCE), open_downlink),
    ],
    ids=["control", "enrol", "downlink"],
)
def test_flipped_bits_outside_the_long_ciphertext_are_refused(data: bytes, accept: Callable[[bytes], object]) -> None:
    # Within the ciphertext one bit in 512: the cipher's tag covers them alike.
    start = data.index(outer(data).ciphertext)
    end = start + len(outer(data).ciphertext)
    for bit in range(len(data) * 8):
        if start <= bit // 8 < end and bit % 512:
            continue
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadInput):
            accept(bytes(flipped))


# --- time

NONCE = world.named("nonce", 16)


def answer(role: Role = Role.TIME) -> bytes:
    return messages.sign_time(messages.encode_time_request(NONCE), world.NOW_S, world.seeds(role)[0])


def test_the_answer_to_a_time_request_says_the_time() -> None:
    assert messages.accept_time(answer(), root=world.root(), nonce=NONCE) == world.NOW_S


def test_a_time_request_carries_a_nonce_and_nothing_else() -> None:
    request = messages.encode_time_request(NONCE)
    assert messages.parse_time_request(request) == NONCE
    assert len(request) == 21


def test_time_for_another_nonce_is_refused() -> None:
    with pytest.raises(Tampered, match="time check 4"):
        messages.accept_time(answer(), root=world.root(), nonce=bytes(16))


def test_time_by_another_role_is_refused() -> None:
    with pytest.raises(Tampered, match="time check 3"):
        messages.accept_time(answer(Role.RECEIPT), root=world.root(), nonce=NONCE)


@pytest.mark.parametrize("request_body", [b"", cbor.encode({0: 1}), cbor.encode({0: 1, 1: NONCE, 2: 0})])
def test_another_time_request_is_malformed_and_not_answered(request_body: bytes) -> None:
    with pytest.raises(Malformed):
        messages.sign_time(request_body, world.NOW_S, world.seeds(Role.TIME)[0])


def test_every_flipped_bit_of_signed_time_is_refused() -> None:
    flips(answer(), lambda data: messages.accept_time(data, root=world.root(), nonce=NONCE))


def test_the_seeds_of_messages_have_their_roles() -> None:
    assert isinstance(world.ENROLMENT_SEED, RoleSeed)
    assert isinstance(world.SIGNING_SEED, GenerationSigningSeed)
