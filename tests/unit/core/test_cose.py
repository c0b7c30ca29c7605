from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_sdk.core import cbor, cose, labels
from edge_sdk.errors import BadInput, Malformed, Tampered
from tests.vectors.world import named

SEED, OTHER = named("signer"), named("other signer")
KEY = cose.public_key_of(SEED)
KID = cose.key_id(KEY)
TYP = labels.TYP_RECEIPT
PAYLOAD = cbor.encode({0: 1})
HEADER = cbor.encode({1: -19, 4: KID, 16: TYP})


def signed(**changes: Any) -> bytes:
    arguments: dict[str, Any] = {"seed": SEED, "kid": KID, "typ": TYP}
    return cose.sign1(PAYLOAD, **(arguments | changes))


def verified(data: bytes, **changes: Any) -> bytes:
    arguments: dict[str, Any] = {"public_key": KEY, "typ": TYP}
    return cose.verify1(cose.parse1(data, limit=999), **(arguments | changes))


def test_what_was_signed_verifies_to_its_payload() -> None:
    assert verified(signed()) == PAYLOAD


def test_external_data_is_bound_but_not_carried() -> None:
    data = signed(external_aad=b"bound")
    assert b"bound" not in data
    assert verified(data, external_aad=b"bound") == PAYLOAD


def test_a_detached_signature_verifies_with_the_payload_from_elsewhere() -> None:
    data = signed(detached=True)
    assert PAYLOAD not in data
    assert verified(data, payload=PAYLOAD) == PAYLOAD


@pytest.mark.parametrize(
    "changes",
    [
        {"public_key": cose.public_key_of(OTHER)},
        {"public_key": bytes(31)},
        {"typ": labels.TYP_TIME},
        {"external_aad": b"other"},
        {"payload": b"other"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_key_typ_aad_or_payload_does_not_verify(changes: dict[str, object]) -> None:
    with pytest.raises(Tampered):
        verified(signed(), **changes)


def test_a_detached_signature_without_its_payload_does_not_verify() -> None:
    with pytest.raises(Tampered):
        verified(signed(detached=True))


def test_the_signature_is_the_one_of_rfc_9052() -> None:
    message = cose.parse1(signed(external_aad=b"bound"), limit=999)
    to_be_signed = cbor.encode(["Signature1", message.protected, b"bound", PAYLOAD])
    Ed25519PrivateKey.from_private_bytes(SEED).public_key().verify(message.signature, to_be_signed)


def test_every_flipped_bit_of_a_signature_is_refused() -> None:
    data = signed()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadInput):
            verified(bytes(flipped))


def parts(
    protected: object = HEADER,
    unprotected: object = None,
    payload: object = PAYLOAD,
    signature: object = bytes(64),
) -> bytes:
    return cbor.encode([protected, {} if unprotected is None else unprotected, payload, signature])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        parts(),
        b"\xd1" + parts(),
        b"\xd2" + parts(unprotected={1: -19}),
        b"\xd2" + parts(unprotected=[]),
        b"\xd2" + parts(signature=bytes(63)),
        b"\xd2" + parts(payload="text"),
        b"\xd2" + parts(protected=b""),
        b"\xd2" + parts(protected=cbor.encode({1: -8, 4: KID, 16: TYP})),
        b"\xd2" + parts(protected=cbor.encode({1: -19, 4: KID})),
        b"\xd2" + parts(protected=cbor.encode({1: -19, 4: KID[:7], 16: TYP})),
        b"\xd2" + parts(protected=cbor.encode({1: -19, 4: "k" * 8, 16: TYP})),
        b"\xd2" + parts(protected=cbor.encode({1: -19, 4: KID, 16: 60})),
        b"\xd2" + parts(protected=cbor.encode({1: -19, 4: KID, 15: {}, 16: TYP})),
        b"\xd2" + cbor.encode([HEADER, {}, PAYLOAD]),
        b"\xd2" + parts(payload=bytes(1000)),
    ],
)
def test_another_structure_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        cose.parse1(data, limit=999)


def test_a_stream_id_is_a_kid_too() -> None:
    assert cose.parse1(signed(kid=bytes(16)), limit=999).kid == bytes(16)


def test_a_document_carries_its_payload_once() -> None:
    bundle = cose.sign_document(PAYLOAD * 20, typ=TYP, seeds=[SEED, OTHER])
    assert bundle.count(PAYLOAD * 20) == 1
    assert cose.parse_document(bundle, limit=999, what="document").payload == PAYLOAD * 20


def test_adding_a_signature_does_not_make_another_document() -> None:
    bundles = [cose.sign_document(PAYLOAD, typ=TYP, seeds=seeds) for seeds in ([SEED], [SEED, OTHER])]
    one, two = (cose.parse_document(bundle, limit=999, what="document") for bundle in bundles)
    assert one.sha256 == two.sha256


@pytest.mark.parametrize("seeds", [[], [SEED, SEED], [named(str(number)) for number in range(17)]])
def test_a_document_has_1_to_16_different_signers(seeds: list[bytes]) -> None:
    with pytest.raises(ValueError, match="1 to 16"):
        cose.sign_document(PAYLOAD, typ=TYP, seeds=seeds)


def bundle_of(*payloads: object) -> bytes:
    header = [cbor.encode({1: -19, 4: bytes([number]) * 8, 16: TYP}) for number in range(len(payloads))]
    return cbor.encode([[header[at], {}, payload, bytes(64)] for at, payload in enumerate(payloads)])


@pytest.mark.parametrize(
    "bundle",
    [
        cbor.encode({}),
        cbor.encode([]),
        cbor.encode([1]),
        bundle_of(None),
        bundle_of(PAYLOAD, PAYLOAD),
        bundle_of(None, PAYLOAD),
        bundle_of(*[PAYLOAD] + [None] * 16),
        cbor.encode([[HEADER, {}, PAYLOAD, bytes(64)], [HEADER, {}, None, bytes(64)]]),
    ],
)
def test_another_bundle_is_malformed(bundle: bytes) -> None:
    with pytest.raises(Malformed):
        cose.parse_document(bundle, limit=9999, what="document")


def test_the_known_signers_of_a_document_are_found_and_strangers_passed_over() -> None:
    bundle = cose.sign_document(PAYLOAD, typ=TYP, seeds=[OTHER, SEED])
    document = cose.parse_document(bundle, limit=999, what="document")
    assert cose.verified_kids(document, {KID: KEY}, "document") == {KID}


def test_a_document_signed_by_strangers_only_is_refused() -> None:
    document = cose.parse_document(cose.sign_document(PAYLOAD, typ=TYP, seeds=[OTHER]), limit=999, what="document")
    with pytest.raises(Tampered, match="document"):
        cose.verified_kids(document, {KID: KEY}, "document")


def test_one_bad_signature_by_a_known_key_spoils_the_document() -> None:
    bundle = cose.sign_document(PAYLOAD, typ=TYP, seeds=[OTHER, SEED])
    document = cose.parse_document(bundle[:-1] + bytes([bundle[-1] ^ 1]), limit=999, what="document")
    with pytest.raises(Tampered, match="document"):
        cose.verified_kids(document, {KID: KEY, cose.key_id(cose.public_key_of(OTHER)): KEY}, "document")
