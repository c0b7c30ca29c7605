from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from edge_sdk.core import cbor, claims, envelope, labels
from edge_sdk.errors import Malformed

OUTER = envelope.Outer(
    typ=labels.TYP_BATCH,
    content_alg=claims.ALG_A256GCM,
    batch_id=b"b" * 16,
    iv=b"i" * 12,
    ciphertext=b"c" * 40,
    kid=b"k" * 8,
    kem_alg=claims.ALG_HPKE_X25519,
    ek=b"e" * 32,
    wrapped=b"w" * 48,
)
X_WING = replace(OUTER, kem_alg=claims.ALG_HPKE_X_WING, ek=b"e" * 1120)


@pytest.mark.parametrize(
    "outer",
    [
        OUTER,
        X_WING,
        replace(OUTER, content_alg=claims.ALG_CHACHA20_POLY1305),
        replace(OUTER, typ=labels.TYP_CONTROL),
        replace(OUTER, typ=labels.TYP_DOWNLINK, batch_id=None),
        replace(OUTER, typ=labels.TYP_ENROL, batch_id=None),
    ],
)
def test_what_is_encoded_decodes_to_itself(outer: envelope.Outer) -> None:
    assert envelope.outer(outer.encode()) == outer


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": labels.TYP_STATEMENT},
        {"typ": labels.TYP_DOWNLINK},
        {"batch_id": None},
        {"batch_id": b"b" * 15},
        {"content_alg": 1},
        {"iv": b"i" * 11},
        {"ciphertext": b"c" * 15},
        {"kid": b"k" * 16},
        {"kem_alg": 46},
        {"ek": b"e" * 33},
        {"ek": b"e" * 1120},
        {"wrapped": b"w" * 47},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_part_out_of_its_range_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        envelope.outer(replace(OUTER, **changes).encode())


def test_an_x_wing_envelope_with_a_short_key_is_malformed() -> None:
    with pytest.raises(Malformed, match="ek"):
        envelope.outer(replace(X_WING, ek=b"e" * 32).encode())


def rebuilt(at: int, part: object) -> bytes:
    """
    Return the envelope with one of its four parts replaced.
    """
    parts: Any = cbor.decode(OUTER.encode()[2:], 4096)
    parts[at] = part
    return envelope.ENCRYPT_TAG + cbor.encode(parts)


RECIPIENT = [OUTER.recipient_protected, {-4: OUTER.ek}, OUTER.wrapped]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OUTER.encode()[2:],
        b"\xd8\x61" + OUTER.encode()[2:],
        OUTER.encode() + b"\x00",
        rebuilt(0, b""),
        rebuilt(0, cbor.encode({1: 3, 5: b"i", 16: labels.TYP_BATCH, -70010: b"b" * 16})),
        rebuilt(1, {5: b"i" * 12, 4: b"k" * 8}),
        rebuilt(1, {}),
        rebuilt(3, []),
        rebuilt(3, [RECIPIENT, RECIPIENT]),
        rebuilt(3, [[*RECIPIENT, []]]),
        rebuilt(3, [[b"", *RECIPIENT[1:]]]),
        rebuilt(3, [[cbor.encode({1: 50, 4: b"k" * 8, -5: b"psk"}), *RECIPIENT[1:]]]),
        rebuilt(3, [[RECIPIENT[0], {-4: OUTER.ek, 4: b"k"}, OUTER.wrapped]]),
        cbor.encode([]),
    ],
)
def test_another_structure_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        envelope.outer(data)


def test_an_envelope_longer_than_the_caller_takes_is_malformed() -> None:
    with pytest.raises(Malformed, match="longer than 99 bytes"):
        envelope.outer(OUTER.encode(), 99)


def test_a_downlink_longer_than_downlinks_are_is_malformed() -> None:
    long = replace(OUTER, typ=labels.TYP_DOWNLINK, batch_id=None, ciphertext=bytes(6144))
    with pytest.raises(Malformed, match="longer than 6144 bytes"):
        envelope.outer(long.encode())


@pytest.mark.parametrize(
    ("typ", "longest"),
    [
        (labels.TYP_BATCH, 1_310_720),
        (labels.TYP_CONTROL, 524_288),
        (labels.TYP_ENROL, 6_144),
        (labels.TYP_DOWNLINK, 6_144),
    ],
)
def test_an_envelope_of_each_type_is_taken_up_to_its_longest_and_not_a_byte_beyond(typ: str, longest: int) -> None:
    named = OUTER.batch_id if typ in (labels.TYP_BATCH, labels.TYP_CONTROL) else None
    around = len(replace(OUTER, typ=typ, batch_id=named, ciphertext=bytes(longest - 500)).encode()) - (longest - 500)
    largest = replace(OUTER, typ=typ, batch_id=named, ciphertext=bytes(longest - around))
    assert len(largest.encode()) == longest
    assert len(envelope.outer(largest.encode()).ciphertext) == longest - around
    with pytest.raises(Malformed):
        envelope.outer(replace(largest, ciphertext=bytes(longest - around + 1)).encode())


def test_a_sealed_nothing_is_a_tag_of_sixteen_bytes() -> None:
    assert envelope.outer(replace(OUTER, ciphertext=b"t" * 16).encode()).ciphertext == b"t" * 16


def test_what_was_read_of_an_envelope_cannot_be_changed_afterwards() -> None:
    for field in fields(OUTER):
        with pytest.raises(FrozenInstanceError):
            setattr(OUTER, field.name, None)


def test_an_envelope_carries_nothing_beside_its_parts() -> None:
    with pytest.raises(TypeError):
        vars(OUTER)


def test_of_what_it_encoded_for_other_keys_it_remembers_sixteen() -> None:
    for number in range(40):
        envelope.binding(labels.TYP_BATCH, number.to_bytes(8))
        envelope.recipient_header(claims.ALG_HPKE_X25519, number.to_bytes(8))
    assert envelope.binding.cache_info().currsize == 16
    assert envelope.recipient_header.cache_info().currsize == 16


def test_both_layers_bind_profile_and_recipient() -> None:
    bound = envelope.binding(labels.TYP_BATCH, OUTER.kid)
    assert cbor.decode(bound, 99) == ["edge-sdk/batch/1", OUTER.kid]
    assert cbor.decode(envelope.content_aad(OUTER.protected, bound), 999) == [
        "Encrypt",
        OUTER.protected,
        bound,
    ]
    assert cbor.decode(envelope.recipient_structure(3, OUTER.recipient_protected, bound), 999) == [
        "HPKE Recipient",
        3,
        OUTER.recipient_protected,
        bound,
    ]
