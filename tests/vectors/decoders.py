"""
Every decoder of core with the arguments of the test world, and good payloads with a piece changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from edge_sdk.core import cbor, claims, cose, documents, envelope, keys, labels, messages, padding, receipt, seal
from edge_sdk.core.claims import Role
from tests.vectors import world

ROOT = world.root()
ALG = claims.ALG_HPKE_X25519
Decoder = Callable[[bytes], object]

DEVICE: dict[str, Any] = {"root": ROOT, "audience": world.AUDIENCE, "generation": world.GENERATION}


def mac_checked(data: bytes) -> None:
    keys.check_mac(world.named("mac"), data[:32], "POST", "/" + data[32:].decode("latin-1"), data)


DECODERS: dict[str, Decoder] = {
    "cbor": lambda data: cbor.decode(data, 4096),
    "sign1": lambda data: cose.parse1(data, limit=4096),
    "bundle": lambda data: cose.parse_document(data, limit=4096, what="document"),
    "pinned root": documents.pinned_root,
    "next root": lambda data: documents.accept_root(ROOT, data),
    "recipients": lambda data: documents.accept_recipients(data, root=ROOT, newest=None, now_s=world.NOW_S),
    "kept recipients": lambda data: documents.reread_recipients(data, root=ROOT),
    "statement": lambda data: documents.accept_statement(data, newest=None, now_s=world.NOW_S, **DEVICE),
    "kept statement": lambda data: documents.reread_statement(data, **DEVICE),
    "wipe order": lambda data: documents.accept_wipe(data, executed=(), now_s=world.NOW_S, **DEVICE),
    "receipt": lambda data: receipt.accept_receipt(
        data, root=ROOT, batch_id=world.BATCH_ID, body_sha256=world.named("body")
    ),
    "wipe receipt": receipt.decode_wipe_receipt,
    "padding": padding.unpad,
    "envelope": envelope.outer,
    "sealed batch": lambda data: seal.open_batch(data, recipient_seed=world.RECIPIENT_SEED, alg=ALG),
    "downlink": lambda data: messages.open_downlink(data, seed=world.HPKE_SEED, alg=ALG),
    "enrolment": lambda data: messages.open_enrol(data, seed=world.ENROLMENT_SEED, alg=ALG),
    "control": lambda data: messages.open_control(
        data, seed=world.ENROLMENT_SEED, alg=ALG, signing_key=world.SIGNING_KEY
    ),
    "sender of control": lambda data: messages.peek_generation(data, seed=world.ENROLMENT_SEED, alg=ALG),
    "time request": messages.parse_time_request,
    "time": lambda data: messages.accept_time(data, root=ROOT, nonce=world.named("nonce", 16)),
    "authorization": lambda data: keys.parse_authorization(data.decode("latin-1")),
    "request": mac_checked,
    "wrapped key": lambda data: keys.unwrap(keys.RootKey(world.named("root key")), data, b""),
}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=64) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.integers(0, 23), inner, max_size=6),
    max_leaves=24,
)


# --- past the signature: payloads with a piece changed, properly signed


def near(value: object) -> st.SearchStrategy[Any]:
    """
    Return values that could stand where *value* does: of its type and about its size.
    """
    match value:
        case bool():
            return st.booleans()
        case int():
            return st.integers(0, 2 * abs(value) + 2)
        case bytes():
            return st.binary(min_size=len(value), max_size=len(value))
        case str():
            return st.text(min_size=1, max_size=24) | st.sampled_from(["withdrawn", "paused", "contract"])
        case list():
            return st.just(value[1:]) | st.just(value * 2)
        case None:
            return st.binary(min_size=32, max_size=32)
        case _:
            return VALUES


@st.composite
def changed(draw: st.DrawFn, payload: bytes) -> bytes:
    """
    Return the encoding of *payload* with one value in it, at any depth, replaced, removed or added.
    """
    value: Any = cbor.decode(payload, 1 << 16)
    place = value
    while True:
        slots = list(place) if isinstance(place, dict) else list(range(len(place)))
        deeper = [slot for slot in slots if isinstance(place[slot], dict | list)]
        if not deeper or draw(st.booleans()):
            break
        place = place[draw(st.sampled_from(deeper))]
    if slots and draw(st.integers(0, 3)):
        slot = draw(st.sampled_from(slots))
        if draw(st.integers(0, 7)) == 0:
            del place[slot]
        else:
            place[slot] = draw(VALUES if draw(st.integers(0, 3)) == 0 else near(place[slot]))
    elif isinstance(place, dict):
        place[draw(st.integers(0, 23))] = draw(VALUES)
    else:
        place.append(draw(VALUES))
    return cbor.encode(value)


def signed_by(role: Role, typ: str) -> Callable[[bytes], bytes]:
    revealed = [seed.reveal() for seed in world.seeds(role)]
    return lambda payload: cose.sign_document(payload, typ=typ, seeds=revealed)


def sealed_batch(payload: bytes) -> bytes:
    send = world.decision().send
    assert send is not None
    return seal.seal_batch(
        payload,
        grant=send,
        recipient=world.recipient_key(),
        stream_id=world.STREAM_ID,
        signer=cose.Signer(world.named("stream")),
        batch_id=world.BATCH_ID,
        content_alg=claims.ALG_A256GCM,
        cek=world.named("cek"),
        iv=world.named("iv", 12),
    )


def single(role: Role, typ: str) -> Callable[[bytes], bytes]:
    seed = world.seeds(role)[0].reveal()
    kid = cose.key_id(cose.public_key_of(seed))
    return lambda payload: cose.sign1(payload, seed=seed, kid=kid, typ=typ)


SIGNED: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "next root": (
        documents.encode_root(world.root(version=2)),
        signed_by(Role.ROOT, labels.TYP_ROOT),
    ),
    "recipients": (
        documents.encode_recipients(world.recipients()),
        signed_by(Role.RECIPIENTS, labels.TYP_RECIPIENTS),
    ),
    "statement": (
        documents.encode_statement(world.statement()),
        signed_by(Role.STATEMENT, labels.TYP_STATEMENT),
    ),
    "wipe order": (documents.encode_wipe(world.wipe_order()), signed_by(Role.WIPE, labels.TYP_WIPE)),
    "receipt": (
        cbor.encode({0: 1, 1: world.BATCH_ID, 2: world.named("body"), 3: None, 4: 0, 6: world.NOW_S}),
        single(Role.RECEIPT, labels.TYP_RECEIPT),
    ),
    "time": (
        cbor.encode({0: 1, 1: world.named("nonce", 16), 2: world.NOW_S}),
        single(Role.TIME, labels.TYP_TIME),
    ),
    "sealed batch": (
        cbor.encode({0: 1, 1: world.STREAM_ID, 9: cose.public_key_of(world.named("stream"))}),
        sealed_batch,
    ),
}
