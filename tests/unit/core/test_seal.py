from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from edge_sdk.core import cbor, claims, cose, labels, seal
from edge_sdk.core.consent import CollectGrant, SendGrant
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import RecipientSeed
from edge_sdk.core.padding import pad, padme
from edge_sdk.errors import BadInput, ConsentRefused, Malformed, Tampered, Unsupported
from tests.vectors import world

ALGS = (claims.ALG_HPKE_X_WING, claims.ALG_HPKE_X25519)
SEED = world.RECIPIENT_SEED
STREAM_SEED = world.named("stream")
STREAM_KEY = cose.public_key_of(STREAM_SEED)
PAYLOAD = cbor.encode({0: 1, 1: world.STREAM_ID, 9: STREAM_KEY})
CEK, IV = world.named("cek"), world.named("iv", 12)


def granted(alg: int = claims.ALG_HPKE_X25519) -> SendGrant:
    kid = world.recipient_key(alg).kid
    statement = world.statement(grants=(world.grant(recipients=(kid,)),))
    send = world.decision(statement=statement).send
    assert send is not None
    return send


def sealed(payload: bytes = PAYLOAD, *, alg: int = claims.ALG_HPKE_X25519, **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "grant": granted(alg),
        "recipient": world.recipient_key(alg),
        "stream_id": world.STREAM_ID,
        "signer": cose.Signer(STREAM_SEED),
        "batch_id": world.BATCH_ID,
        "content_alg": claims.ALG_A256GCM,
        "cek": CEK,
        "iv": IV,
    }
    return seal.seal_batch(payload, **(arguments | changes))


def opened(envelope: bytes, alg: int = claims.ALG_HPKE_X25519) -> seal.OpenedBatch:
    return seal.open_batch(envelope, recipient_seed=SEED, alg=alg)


@pytest.mark.parametrize("alg", ALGS)
@pytest.mark.parametrize("content_alg", claims.CONTENT_ALGS)
def test_a_sealed_batch_opens_to_its_payload(alg: int, content_alg: int) -> None:
    batch = opened(sealed(alg=alg, content_alg=content_alg), alg)
    assert batch == seal.OpenedBatch(world.BATCH_ID, world.STREAM_ID, STREAM_KEY, PAYLOAD)


def test_a_batch_is_sealed_under_a_grant_to_collect_too() -> None:
    collect = world.decision().collect
    assert isinstance(collect, CollectGrant)
    assert opened(sealed(grant=collect)).payload == PAYLOAD


def test_a_batch_is_not_sealed_to_a_key_the_grant_does_not_name() -> None:
    with pytest.raises(ConsentRefused, match="does not name this recipient"):
        sealed(recipient=world.recipient_key(key=world.named("another key")))


def test_what_was_opened_cannot_be_changed_after_its_signature_was_verified() -> None:
    batch = opened(sealed())
    for field in fields(batch):
        with pytest.raises(FrozenInstanceError):
            setattr(batch, field.name, b"")


def test_an_opened_batch_carries_nothing_beside_its_parts() -> None:
    with pytest.raises(TypeError):
        vars(opened(sealed()))


def test_sealing_twice_gives_two_envelopes_for_one_batch() -> None:
    one, two = sealed(), sealed()
    assert one != two
    assert opened(one) == opened(two)


def test_nobody_on_the_way_reads_payload_stream_or_signature() -> None:
    envelope = sealed()
    assert not [secret for secret in (PAYLOAD, world.STREAM_ID, STREAM_KEY, CEK) if secret in envelope]


def test_the_length_of_a_batch_is_a_padme_class() -> None:
    lengths = {len(outer(sealed(cbor.encode({7: bytes(size)}))).ciphertext) - 16 for size in range(400, 600)}
    assert lengths == {padme(length) for length in lengths}
    assert len(lengths) < 10


def test_another_recipient_cannot_open_it() -> None:
    with pytest.raises(Tampered):
        seal.open_batch(sealed(), recipient_seed=RecipientSeed(world.named("x")), alg=claims.ALG_HPKE_X25519)


@pytest.mark.parametrize(
    ("alg", "every"),
    [
        (claims.ALG_HPKE_X25519, 1),
        (claims.ALG_HPKE_X_WING, 7),  # of 14,000, at least one of each byte
        pytest.param(claims.ALG_HPKE_X_WING, 1, marks=pytest.mark.slow),
    ],
)
def test_every_flipped_bit_of_an_envelope_is_refused(alg: int, every: int) -> None:
    envelope = sealed(alg=alg)
    for bit in range(0, len(envelope) * 8, every):
        flipped = bytearray(envelope)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadInput):
            opened(bytes(flipped), alg)


def test_an_envelope_of_another_type_is_malformed() -> None:
    with pytest.raises(Malformed, match="another type"):
        seal.open_sealed(sealed(), seed=SEED, alg=claims.ALG_HPKE_X25519, typ=labels.TYP_CONTROL)


def test_an_envelope_of_another_algorithm_than_the_keys_is_malformed() -> None:
    with pytest.raises(Malformed, match="another algorithm"):
        opened(sealed(), claims.ALG_HPKE_X_WING)


# --- the inner signature


def hand_sealed(inner: bytes) -> bytes:
    """
    Seal what a dishonest device would.
    """
    return seal.seal(
        inner,
        recipient=world.recipient_key(),
        typ=labels.TYP_BATCH,
        batch_id=world.BATCH_ID,
        content_alg=claims.ALG_A256GCM,
        cek=CEK,
        iv=IV,
    )


def hand_signed(payload: bytes = PAYLOAD, **changes: Any) -> bytes:
    profile = labels.PROFILES[labels.TYP_BATCH]
    arguments: dict[str, Any] = {
        "seed": STREAM_SEED,
        "kid": world.STREAM_ID,
        "typ": labels.TYP_BATCH,
        "external_aad": cbor.encode([profile, world.BATCH_ID, world.recipient_key().kid]),
    }
    return hand_sealed(pad(cose.sign1(payload, **(arguments | changes))))


def test_what_a_dishonest_device_would_change_is_otherwise_good() -> None:
    assert opened(hand_signed()).payload == PAYLOAD


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": world.named("another stream")},
        {"kid": bytes(16)},
        {"typ": labels.TYP_CONTROL},
        {"external_aad": b""},
        {"external_aad": cbor.encode(["edge-sdk/batch/1", bytes(16), world.recipient_key().kid])},
        {"external_aad": cbor.encode(["edge-sdk/batch/1", world.BATCH_ID, bytes(8)])},
    ],
    ids=["seed", "stream", "typ", "nothing bound", "another batch", "another recipient"],
)
def test_a_batch_signed_otherwise_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Tampered):
        opened(hand_signed(**changes))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        cbor.encode([]),
        cbor.encode({}),
        cbor.encode({1: world.STREAM_ID}),
        cbor.encode({1: world.STREAM_ID, 9: bytes(31)}),
    ],
)
def test_a_payload_without_stream_and_key_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        opened(hand_signed(payload))


def test_a_detached_inner_signature_is_malformed() -> None:
    with pytest.raises(Malformed, match="no payload"):
        opened(hand_signed(detached=True))


@pytest.mark.parametrize("inner", [b"", pad(b"not a signature")])
def test_an_inside_that_is_no_signature_is_malformed(inner: bytes) -> None:
    with pytest.raises(Malformed):
        opened(hand_sealed(inner))


# --- algorithms and keys


def test_a_wrapped_key_of_wrong_length_for_its_cipher_is_refused() -> None:
    envelope = outer(sealed())
    _, public = seal.hpke_key_pair(SEED, claims.ALG_HPKE_X25519)
    info = cbor.encode(
        [
            "HPKE Recipient",
            envelope.content_alg,
            envelope.recipient_protected,
            cbor.encode(["edge-sdk/batch/1", envelope.kid]),
        ]
    )
    suite = hpke.Suite(*seal.SUITES[claims.ALG_HPKE_X25519])
    wrapped = suite.encrypt(CEK, x25519.X25519PublicKey.from_public_bytes(public), info=info)
    assert len(wrapped) == 32 + 48
    good = type(envelope)(
        **{name: getattr(envelope, name) for name in envelope.__slots__} | {"ek": wrapped[:32], "wrapped": wrapped[32:]}
    )
    assert opened(good.encode()).payload == PAYLOAD


@pytest.mark.parametrize(
    ("content_alg", "cipher"),
    [(claims.ALG_A256GCM, AESGCM), (claims.ALG_CHACHA20_POLY1305, ChaCha20Poly1305)],
)
def test_the_content_layer_is_the_one_of_rfc_9052(
    content_alg: int, cipher: type[AESGCM] | type[ChaCha20Poly1305]
) -> None:
    envelope = outer(sealed(content_alg=content_alg))
    bound = cbor.encode(["edge-sdk/batch/1", envelope.kid])
    aad = cbor.encode(["Encrypt", envelope.protected, bound])
    assert cipher(CEK).decrypt(IV, envelope.ciphertext, aad).startswith(cose.SIGN1_TAG)


@pytest.mark.parametrize("changes", [{"cek": bytes(31)}, {"iv": bytes(11)}])
def test_a_content_key_or_iv_of_wrong_length_is_a_mistake(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="content key"):
        sealed(**changes)


def test_an_algorithm_of_no_suite_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        seal.hpke_key_pair(SEED, 46)
    with pytest.raises(Unsupported):
        sealed(content_alg=1)
    stranger = world.recipient_key(key=world.named("y"), nbf_s=0)
    statement = world.statement(grants=(world.grant(recipients=(stranger.kid,)),))
    with pytest.raises(Unsupported):
        seal.seal(
            b"",
            recipient=type(stranger)(46, stranger.key, "o", "EU", "none", 0, 1),
            typ=labels.TYP_BATCH,
            batch_id=world.BATCH_ID,
            content_alg=claims.ALG_A256GCM,
            cek=CEK,
            iv=IV,
        )
    assert statement


@pytest.mark.parametrize("alg", ALGS)
def test_a_recipient_key_that_is_none_is_malformed(alg: int) -> None:
    null = bytes(claims.HPKE_KEY_BYTES[alg])  # for both suites a point that no secret comes of
    with pytest.raises(Malformed, match="recipient key"):
        seal.seal(
            b"",
            recipient=world.recipient_key(alg, key=null),
            typ=labels.TYP_BATCH,
            batch_id=world.BATCH_ID,
            content_alg=claims.ALG_A256GCM,
            cek=CEK,
            iv=IV,
        )


def test_of_the_keys_it_has_sealed_to_it_keeps_sixteen() -> None:
    for number in range(40):
        seal._public_key(claims.ALG_HPKE_X25519, world.named(f"key {number}"))
    assert seal._public_key.cache_info().currsize == 16


@pytest.mark.parametrize("alg", ALGS)
def test_a_key_pair_follows_from_its_seed(alg: int) -> None:
    _, public = seal.hpke_key_pair(SEED, alg)
    assert public == seal.hpke_key_pair(RecipientSeed(SEED.reveal()), alg)[1]
    assert len(public) == claims.HPKE_KEY_BYTES[alg]


def test_the_x_wing_key_of_the_drafts_first_vector_follows_from_its_seed() -> None:
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    _, public = seal.hpke_key_pair(RecipientSeed(seed), claims.ALG_HPKE_X_WING)
    assert public.hex().startswith("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5")


def test_this_build_has_x_wing() -> None:
    assert seal.x_wing_available()


class _WithoutMlKem:
    """
    Stand for ML-KEM in a build on an old OpenSSL, which no test machine has.
    """

    @staticmethod
    def from_seed_bytes(seed: bytes) -> None:
        raise UnsupportedAlgorithm("ML-KEM")

    from_public_bytes = from_seed_bytes


@pytest.mark.parametrize(
    "act",
    [
        lambda: seal.hpke_key_pair(SEED, claims.ALG_HPKE_X_WING),
        lambda: sealed(
            alg=claims.ALG_HPKE_X25519,
            grant=_grant_for(X_WING_KEY),
            recipient=X_WING_KEY,
        ),
    ],
)
def test_a_build_without_ml_kem_says_so(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    monkeypatch.setattr(seal.mlkem, "MLKEM768PrivateKey", _WithoutMlKem)
    monkeypatch.setattr(seal.mlkem, "MLKEM768PublicKey", _WithoutMlKem)
    seal._public_key.cache_clear()  # of the builds before this one
    assert not seal.x_wing_available()
    with pytest.raises(Unsupported, match="HPKE algorithm"):
        act()


X_WING_KEY = world.recipient_key(claims.ALG_HPKE_X_WING)


def _grant_for(key: Any) -> SendGrant:
    statement = world.statement(grants=(world.grant(recipients=(key.kid,)),))
    send = world.decision(statement=statement).send
    assert send is not None
    return send
