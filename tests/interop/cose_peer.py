"""
HPKE-4-KE both ways with cwt, an implementation of COSE-HPKE that shares no code with this one.

cwt speaks no X-Wing; that suite is the JavaScript reader's (``js_reader``). Each direction also with what must fail:
another recipient bound, another profile.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from edge_sdk.core import cbor, claims, envelope, labels, seal
from edge_sdk.errors import Tampered
from tests.interop import peers
from tests.vectors import world
from tests.vectors.vector import ALG, FOLDER, read

PUBLIC: Final = world.recipient_key().key
KID: Final = world.recipient_key().kid
KEY: Final = {"kid": KID.hex(), "public": PUBLIC.hex(), "seed": world.RECIPIENT_SEED.reveal().hex()}
BOUND: Final = envelope.binding(labels.TYP_BATCH, KID)
OTHERWISE: Final = [
    cbor.encode([labels.PROFILES[labels.TYP_BATCH], bytes(8)]),
    cbor.encode(["edge-sdk/batch/2", KID]),
    b"",
]
PLAINTEXT: Final = bytes(range(256)) * 9
CHANCE: Final[dict[str, Any]] = {"cek": world.named("cek"), "iv": world.named("iv", 12)}


def ours(content_alg: int) -> bytes:
    return seal.seal(
        PLAINTEXT, recipient=world.recipient_key(), typ=labels.TYP_BATCH, batch_id=world.BATCH_ID,
        content_alg=content_alg, **CHANCE,
    )  # fmt: skip


def opened_by_cwt(messages: list[bytes], bound: bytes = BOUND) -> list[Any]:
    asked = [{"key": KEY, "message": message.hex(), "bound": bound.hex()} for message in messages]
    return peers.python("cwt_program.py", {"open": asked})


def sealed_by_cwt(content_alg: int, bound: bytes = BOUND) -> bytes:
    protected = {"1": content_alg, "16": labels.TYP_BATCH, "-70010": f"hex:{world.BATCH_ID.hex()}"}
    key = {name: value for name, value in KEY.items() if name != "seed"}
    asked = {
        "key": key,
        "protected": protected,
        "iv": CHANCE["iv"].hex(),
        "plaintext": PLAINTEXT.hex(),
        "bound": bound.hex(),
    }
    return bytes.fromhex(peers.python("cwt_program.py", {"seal": [asked]})[0])


CONTENT_ALGS: Final = sorted({claims.ALG_A256GCM, claims.ALG_CHACHA20_POLY1305})


@pytest.mark.parametrize("content_alg", CONTENT_ALGS)
def test_cwt_opens_what_is_sealed_here(content_alg: int) -> None:
    assert opened_by_cwt([ours(content_alg)]) == [PLAINTEXT.hex()]


@pytest.mark.parametrize("content_alg", CONTENT_ALGS)
def test_what_cwt_seals_is_opened_here(content_alg: int) -> None:
    message = sealed_by_cwt(content_alg)
    found = seal.open_sealed(message, seed=world.RECIPIENT_SEED, alg=ALG, typ=labels.TYP_BATCH)
    assert found == (PLAINTEXT, world.BATCH_ID)


def test_cwt_opens_the_committed_vectors() -> None:
    messages = [read(FOLDER / f"{name}.vec")[1] for name in ("batch", "rows")]
    here = [
        seal.open_sealed(one, seed=world.RECIPIENT_SEED, alg=ALG, typ=labels.TYP_BATCH)[0].hex() for one in messages
    ]
    assert opened_by_cwt(messages) == here


@pytest.mark.parametrize("bound", OTHERWISE, ids=["other recipient", "other profile", "nothing bound"])
def test_neither_opens_what_is_bound_otherwise(bound: bytes) -> None:
    assert opened_by_cwt([ours(claims.ALG_A256GCM)], bound) == [None]
    message = sealed_by_cwt(claims.ALG_A256GCM, bound)
    with pytest.raises(Tampered, match="envelope"):
        seal.open_sealed(message, seed=world.RECIPIENT_SEED, alg=ALG, typ=labels.TYP_BATCH)
