"""
The vectors of everything sealed, from the inside out, and of the encoding itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from edge_sdk.core import cbor, claims, cose, documents, labels, messages, seal
from edge_sdk.core.claims import Role
from edge_sdk.core.messages.downlink import Nameless
from edge_sdk.core.padding import pad, pad_to
from tests.vectors import world
from tests.vectors.vector import (
    ALG,
    AUTHORITY,
    CHANCE,
    NOW_S,
    OPENER,
    PAYLOAD,
    STREAM_SEED,
    Vector,
    flipped,
)


def sealed_batch(alg: int = ALG) -> bytes:
    """
    Return a good batch.
    """
    kid = world.recipient_key(alg).kid
    collect = world.decision(statement=world.statement(grants=(world.grant(recipients=(kid,)),))).collect
    assert collect is not None
    return seal.seal_batch(
        PAYLOAD,
        grant=collect,
        recipient=world.recipient_key(alg),
        stream_id=world.STREAM_ID,
        signer=cose.Signer(STREAM_SEED),
        batch_id=world.BATCH_ID,
        **CHANCE,
    )


def hand_sealed(inner: bytes) -> bytes:
    """
    Return any inside in a good batch envelope.
    """
    return seal.seal(inner, recipient=world.recipient_key(), typ=labels.TYP_BATCH, batch_id=world.BATCH_ID, **CHANCE)


def hand_signed(payload: bytes = PAYLOAD, **changes: Any) -> bytes:
    """
    Return a batch of *payload* whose inner signature is made as *changes* say.
    """
    aad = cbor.encode([labels.PROFILES[labels.TYP_BATCH], world.BATCH_ID, world.recipient_key().kid])
    arguments: dict[str, Any] = {
        "seed": STREAM_SEED,
        "kid": world.STREAM_ID,
        "typ": labels.TYP_BATCH,
        "external_aad": aad,
    }
    return hand_sealed(pad(cose.sign1(payload, **(arguments | changes))))


def batches() -> Iterator[Vector]:
    """
    Return the vectors of sealed batches, from the inside out.
    """
    common: dict[str, Any] = {"what": "batch", "arguments": OPENER, "sealed": True}
    profile = labels.PROFILES[labels.TYP_BATCH]
    kid = world.recipient_key().kid
    yield Vector("batch", make=sealed_batch, comment="HPKE-4-KE, A256GCM, a power gap and no rows", **common)
    yield Vector(
        "batch-x-wing",
        make=lambda: sealed_batch(claims.ALG_HPKE_X_WING),
        comment="HPKE-9-KE",
        **(common | {"arguments": OPENER | {"alg": str(claims.ALG_HPKE_X_WING)}}),
    )
    other_batch = cbor.encode([profile, bytes(16), kid])
    other_kid = cbor.encode([profile, world.BATCH_ID, bytes(8)])
    refused: dict[str, tuple[str, str, Callable[[], bytes]]] = {
        "other-signer": ("Tampered", "signature", lambda: hand_signed(seed=world.named("forger"))),
        "other-stream": ("Tampered", "batch", lambda: hand_signed(kid=bytes(16))),
        "other-batch": ("Tampered", "signature", lambda: hand_signed(external_aad=other_batch)),
        "other-recipient": ("Tampered", "signature", lambda: hand_signed(external_aad=other_kid)),
        "other-typ": ("Tampered", "signature", lambda: hand_signed(typ=labels.TYP_CONTROL)),
        "detached": ("Malformed", "batch carries no payload", lambda: hand_signed(detached=True)),
        "no-padding": ("Malformed", "padding", lambda: hand_sealed(b"")),
        "no-signature": ("Malformed", "batch lacks tag 18", lambda: hand_sealed(pad(b"inside"))),
    }
    for name, (error, check, make) in refused.items():
        yield Vector(f"batch-{name}", make=make, comment=name.replace("-", " "), error=error, check=check, **common)


def envelopes(batch: bytes) -> Iterator[Vector]:
    """
    Return the vectors of the outer form, made of one good batch.
    """
    value: Any = cbor.decode(batch[2:], 1 << 16)
    header, iv, ciphertext, (recipient,) = value

    def rebuilt(*parts: object) -> Callable[[], bytes]:
        return lambda: batch[:2] + cbor.encode(list(parts))

    common: dict[str, Any] = {"what": "batch", "arguments": OPENER}
    twice_alg = cbor.encode({1: 50, 4: recipient[0][-8:], 5: b""})
    refused: dict[str, tuple[str, str, Callable[[], bytes]]] = {
        "tag": ("Malformed", "envelope lacks tag 96", lambda: b"\xd8\x61" + batch[2:]),
        "trailing-byte": ("Malformed", "bytes after its end", lambda: batch + b"\x00"),
        "indefinite": ("Malformed", "indefinite", lambda: batch[:2] + b"\x9f" + batch[3:] + b"\xff"),
        "long-head": ("Malformed", "head longer", lambda: batch[:2] + b"\x98\x04" + batch[3:]),
        "iv-flipped": ("Tampered", "envelope", rebuilt(header, {5: flipped(iv[5])}, ciphertext, [recipient])),
        "extra-unprotected": ("Malformed", "unknown keys", rebuilt(header, iv | {4: b""}, ciphertext, [recipient])),
        "extra-recipient-header": (
            "Malformed",
            "unknown keys",
            rebuilt(header, iv, ciphertext, [[twice_alg, *recipient[1:]]]),
        ),
        "second-recipient": ("Malformed", "1 items", rebuilt(header, iv, ciphertext, [recipient, recipient])),
        "no-recipient": ("Malformed", "1 items", rebuilt(header, iv, ciphertext, [])),
        "short-ek": (
            "Malformed",
            "length of ek",
            rebuilt(header, iv, ciphertext, [[recipient[0], {-4: bytes(31)}, recipient[2]]]),
        ),
        "other-content-alg": (
            "Tampered",
            "envelope",
            rebuilt(header.replace(b"\x01\x03", b"\x01\x18\x18"), iv, ciphertext, [recipient]),
        ),
        "other-batch-id": (
            "Tampered",
            "envelope",
            rebuilt(header.replace(world.BATCH_ID, bytes(16)), iv, ciphertext, [recipient]),
        ),
    }
    for name, (error, check, make) in refused.items():
        yield Vector(f"envelope-{name}", make=make, comment=name.replace("-", " "), error=error, check=check, **common)


def sealed_messages() -> Iterator[Vector]:
    """
    Return the vectors of downlink, enrolment and control.
    """
    device_key = documents.HpkePublic(ALG, seal.hpke_key_pair(world.HPKE_SEED, ALG)[1])
    enrolment = world.root().enrolment
    device = {"seed": world.HPKE_SEED.reveal().hex(), "alg": str(ALG)}
    request = messages.EnrolRequest(
        code="ABCD-EFGH-JKMN-0123",
        generation=world.GENERATION,
        signing_key=world.SIGNING_KEY,
        hpke=device_key,
        routing=world.ROUTING,
        stream=world.STREAM_SECRET,
        root_version=1,
    )
    control = messages.Control(world.GENERATION, NOW_S, (world.named("head"), 3), messages.LedgerHead())
    statement = documents.sign_statement(world.statement(), world.seeds(Role.STATEMENT))
    down = messages.Downlink(20_370, statement)

    def down_of(size: int, recipient: seal.Addressee) -> bytes:
        inner = cbor.encode({0: 1, 1: down.epoch, 2: statement})
        return seal.seal(pad_to(inner, size), recipient=recipient, typ=labels.TYP_DOWNLINK, batch_id=None, **CHANCE)

    yield Vector(
        "downlink",
        "downlink",
        lambda: messages.seal_downlink(down, recipient=device_key, **CHANCE),
        "a statement and no wipe order",
        arguments=device,
        sealed=True,
    )
    yield Vector(
        "downlink-size",
        "downlink",
        lambda: down_of(2048, Nameless(ALG, device_key.key)),
        "padded to another size",
        error="Malformed",
        check="not padded to 4096",
        arguments=device,
        sealed=True,
    )
    yield Vector(
        "downlink-named",
        "downlink",
        lambda: down_of(4096, device_key),
        "names the device's key in clear",
        error="Malformed",
        check="downlink names a key in clear",
        arguments=device,
        sealed=True,
    )
    yield Vector(
        "enrol",
        "enrol",
        lambda: messages.seal_enrol(request, seed=world.SIGNING_SEED, recipient=enrolment, **CHANCE),
        "a new generation",
        arguments=AUTHORITY,
        sealed=True,
    )
    sent: dict[str, Any] = {"recipient": enrolment, "message_id": world.BATCH_ID, **CHANCE}
    by = AUTHORITY | {"signing_key": world.SIGNING_KEY.hex()}
    yield Vector(
        "control",
        "control",
        lambda: messages.seal_control(control, seed=world.SIGNING_SEED, **sent),
        "a ledger head",
        arguments=by,
        sealed=True,
    )
    yield Vector(
        "control-other-generation",
        "control",
        lambda: messages.seal_control(control, seed=world.SIGNING_SEED, **sent),
        "signed by another generation than the one looked up",
        error="Tampered",
        check="control message",
        arguments=by | {"signing_key": cose.public_key_of(world.named("other")).hex()},
        sealed=True,
    )


NOT_CBOR: Final = {
    "tag": ("c000", "tag, float or simple"),
    "float": ("f90000", "tag, float or simple"),
    "indefinite-array": ("9f01ff", "indefinite"),
    "long-head": ("1801", "longer than needed"),
    "text-key": ("a1616101", "key outside the format"),
    "two-byte-key": ("a1181801", "key outside the format"),
    "repeated-key": ("a200010002", "not deterministically encoded"),
    "unordered-keys": ("a201010000", "not deterministically encoded"),
    "not-utf8": ("61ff", "not UTF-8"),
    "cut-short": ("4201", "cut short"),
    "trailing-byte": ("0000", "bytes after its end"),
    "bomb": ("9bffffffffffffffff", "more items than it has bytes"),
    "too-deep": ("81" * 13 + "00", "nests deeper"),
}


def encodings() -> Iterator[Vector]:
    """
    Return the vectors of the encoding itself.
    """
    for name, (hexed, check) in NOT_CBOR.items():
        make = bytes.fromhex(hexed)
        yield Vector(
            f"cbor-{name}",
            "cbor",
            lambda made=make: made,
            name.replace("-", " "),
            error="Malformed",
            check=check,
        )
