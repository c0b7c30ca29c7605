"""
SPEC.md's CDDL describes what this implementation writes, and nothing looser.

The CDDL is taken out of SPEC.md and docs/shim_wire.md and held against real messages by an independent checker
(cddl-verifier).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.core import cbor, claims, documents, envelope, labels, messages, receipt, seal
from edge_sdk.core.claims import Mechanism, Role
from edge_sdk.core.incidents import Incident
from edge_sdk.core.keys import RecipientSeed, RoleSeed
from edge_sdk.core.padding import unpad
from edge_sdk.core.policy import (
    Basis,
    Field,
    FieldClass,
    FieldType,
    Kind,
    Purpose,
    View,
    ViewField,
    Window,
    canonical_purpose,
)
from edge_sdk.core.terms import Reach
from edge_sdk.core.units import Step
from edge_sdk.errors import BadInput, ConsentRefused
from tests.vectors import rows, world
from tests.vectors.decoders import DECODERS, SIGNED, changed
from tests.vectors.vector import ALG, CHANCE, FOLDER, NONCE, PAYLOAD, read

cddl_verifier = pytest.importorskip("cddl_verifier", reason="needs cddl-verifier, of the extra `test`")

SPEC: Final = Path(__file__).parents[2] / "SPEC.md"
SHIM_WIRE: Final = SPEC.parent / "docs" / "shim_wire.md"
TEXTS: Final = [path.read_text(encoding="utf-8") for path in (SPEC, SHIM_WIRE)]
CDDL: Final = "\n".join(block for text in TEXTS for block in re.findall(r"^```cddl\n(.*?)^```$", text, re.M | re.S))
VALIDATOR: Final = cddl_verifier.Validator(CDDL)

WIPED: Final = receipt.WipeReceipt(
    generation=world.GENERATION,
    nonce=world.named("wipe nonce", 16),
    scope=(),
    at_s=world.NOW_S,
    stores=(receipt.StoreErased("outbox", receipt.Method.CE, True, 12),),
    uses=(receipt.PurposeUse(world.PURPOSE, (bytes(8),), (world.STREAM_ID,)),),
    firmware=receipt.Firmware.NOT_REACHABLE,
    ledger_head=world.named("head"),
    ledger_length=40,
    software="edge-sdk 1.0",
)


PRELUDE: Final = """
    any uint nint int bstr bytes tstr text tdate time number biguint bignint bigint integer unsigned decfrac bigfloat
    eb64url eb64legacy eb16 encoded-cbor uri b64url b64legacy regexp mime-message cbor-any float16 float32 float64
    float16-32 float32-64 float false true bool nil null undefined
"""


def vector(name: str) -> bytes:
    return read(FOLDER / f"{name}.vec")[1]


def inside(name: str, typ: str, seed: Any) -> bytes:
    padded, _ = seal.open_sealed(vector(name), seed=seed, alg=ALG, typ=typ)
    return unpad(padded)


def payload_of(name: str) -> bytes:
    return seal.open_batch(vector(name), recipient_seed=world.RECIPIENT_SEED, alg=ALG).payload


def inflated(payload: bytes) -> bytes:
    fields: Any = cbor.decode(payload, 1 << 20)
    return zlib.decompress(fields[7], -zlib.MAX_WBITS)


def controls() -> Iterator[tuple[str, bytes]]:
    bodies = {
        "withdrawal": messages.Withdrawal(world.PURPOSE, (world.GRANT_ID,)),
        "wipe receipt": WIPED,
        "ledger head": messages.LedgerHead(),
        "ended stream": messages.EndedStream(world.STREAM_ID, world.PURPOSE, world.GRANT_ID, 9, 4, None),
        "incident": Incident("rollback", "statement", world.NOW_S, world.NOW_S, 1, False, 259_200, bytes(32)),
        "incident without a limit": Incident("forged", "a later word", world.NOW_S, world.NOW_S, 9, True, None),
    }
    for name, body in bodies.items():
        message = messages.Control(world.GENERATION, world.NOW_S, (world.named("head"), 3), body)
        sealed = messages.seal_control(
            message,
            seed=world.SIGNING_SEED,
            recipient=world.root().enrolment,
            message_id=world.BATCH_ID,
            **CHANCE,
        )
        padded, _ = seal.open_sealed(sealed, seed=world.ENROLMENT_SEED, alg=ALG, typ=labels.TYP_CONTROL)
        yield f"control-inside {name}", unpad(padded)


REACH = Reach(home=("EU",), transfer=(Mechanism.CONSENT, Mechanism.SCC), retention_ms=31_536_000_000)


def purpose() -> Purpose:
    power = Field("power", FieldClass.TELEMETRY, FieldType.NUMBER, "W", -1000, 1_000_000, Step(1, -1))
    serial = Field("serial", FieldClass.DEVICE_IDENTIFIER, FieldType.TEXT)
    kind = Kind("inverter", "serial", 64, (power, serial))
    fields = (ViewField(power, window=Window.MEAN, clip=(0, 900), factor=10), ViewField(serial))
    return Purpose(
        name=world.PURPOSE,
        basis=Basis.CONTRACT,
        dpv="dpv:ServiceMonitoring",
        recipient="operator-eu",
        regions=("EU",),
        importance=1,
        keep_at_most_ms=86_400_000,
        clauses=(),
        views=(View(kind, fields, every_ms=300_000),),
    )


def samples() -> dict[str, bytes]:
    """
    Return real messages by rule; what follows the rule's name only tells them apart.
    """
    outer = envelope.outer(vector("batch"))
    bound = envelope.binding(labels.TYP_BATCH, outer.kid)
    partial = documents.sign_wipe(
        world.wipe_order(purposes=("research",), not_before_s=world.NOW_S), world.seeds(Role.WIPE)
    )
    stream = ["edge-sdk/stream/1", world.PURPOSE, world.GRANT_ID, 3]
    return {
        "root": vector("root"),
        "root pinned": vector("pinned-root"),
        "recipients": vector("recipients"),
        "recipients two": vector("recipients-two"),
        "statement": vector("statement"),
        "statement words": vector("statement-unknown-words"),
        "wipe-order": vector("wipe"),
        "wipe-order partial": partial,
        "receipt": vector("receipt"),
        "receipt refusal": vector("receipt-refusal"),
        "time-answer": vector("time"),
        "time-request": messages.encode_time_request(NONCE),
        "envelope batch": vector("batch"),
        "envelope x-wing": vector("batch-x-wing"),
        "envelope downlink": vector("downlink"),
        "envelope enrol": vector("enrol"),
        "envelope control": vector("control"),
        "batch-inside": inside("batch", labels.TYP_BATCH, world.RECIPIENT_SEED),
        "batch-payload": PAYLOAD,
        "batch-payload rows": payload_of("rows"),
        "tables": inflated(payload_of("rows")),
        "canonical-purpose rows": rows.CANONICAL,
        "enrol-inside": inside("enrol", labels.TYP_ENROL, world.ENROLMENT_SEED),
        "downlink-inside": inside("downlink", labels.TYP_DOWNLINK, world.HPKE_SEED),
        **dict(controls()),
        "wipe-receipt": receipt.encode_wipe_receipt(WIPED),
        "canonical-purpose": cbor.encode(canonical_purpose(purpose())),
        "canonical-purpose bound": cbor.encode(canonical_purpose(replace(purpose(), reach=REACH))),
        "stream-derivation": cbor.encode(stream),
        "binding": bound,
        "enc-structure": envelope.content_aad(outer.protected, bound),
        "recipient-structure": envelope.recipient_structure(3, outer.recipient_protected, bound),
        "batch-binding": cbor.encode(["edge-sdk/batch/1", world.BATCH_ID, outer.kid]),
        "control-binding": cbor.encode(["edge-sdk/control/1", world.BATCH_ID, outer.kid]),
    }


SAMPLES: Final = samples()


def matches(rule: str, message: bytes) -> bool:
    """
    Say whether *message* is what *rule* describes, deterministically encoded.
    """
    return bool(VALIDATOR.validate(message, rule, require_deterministic=True).valid)


def broken(message: bytes) -> bytes:
    """
    Return *message* with one item too many in its outermost array, or one key too many in its map.
    """
    tag = next((tag for tag in (b"\xd2", b"\xd8\x60") if message.startswith(tag)), b"")
    value: Any = cbor.decode(message[len(tag) :], 1 << 20)
    if isinstance(value, dict):
        value[23] = 0
    else:
        value.append(0)
    return tag + cbor.encode(value)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_real_message_matches_its_rule(name: str) -> None:
    assert matches(name.split(maxsplit=1)[0], SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_with_something_added_does_not_match(name: str) -> None:
    assert not matches(name.split(maxsplit=1)[0], broken(SAMPLES[name]))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_matches_no_rule_of_another(name: str) -> None:
    rules = {sample.split()[0] for sample in SAMPLES} - {name.split(maxsplit=1)[0]}
    assert {rule for rule in rules if matches(rule, SAMPLES[name])} == set()


RULE_OF_WHAT: Final = {
    "pinned-root": "root",
    "root": "root",
    "recipients": "recipients",
    "statement": "statement",
    "wipe": "wipe-order",
    "receipt": "receipt",
    "time": "time-answer",
    "batch": "envelope",
    "downlink": "envelope",
    "enrol": "envelope",
    "control": "envelope",
}
HEADS: Final = {path.stem: read(path)[0] for path in sorted(FOLDER.glob("*.vec"))}
ACCEPTED: Final = [name for name, head in HEADS.items() if head["expect"] == "accepted"]
OUTER_FAULTS: Final = [
    name for name, head in HEADS.items() if name.startswith("envelope-") and head["error"] == "Malformed"
]


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_vector_that_is_accepted_matches_the_rule_of_its_message(name: str) -> None:
    assert matches(RULE_OF_WHAT[HEADS[name]["what"]], vector(name))


@pytest.mark.parametrize("name", OUTER_FAULTS)
def test_no_envelope_of_another_form_matches(name: str) -> None:
    assert not matches("envelope", vector(name))


RULES: Final = {
    "next root": "root",
    "recipients": "recipients",
    "statement": "statement",
    "wipe order": "wipe-order",
    "receipt": "receipt",
    "time": "time-answer",
}


@pytest.mark.parametrize("what", RULES)
@given(chance=st.data())
def test_the_decoder_takes_nothing_that_the_cddl_does_not_describe(what: str, chance: st.DataObject) -> None:
    payload, sign = SIGNED[what]
    message = sign(chance.draw(changed(payload)))
    try:
        DECODERS[what](message)
    except (BadInput, ConsentRefused):
        return
    assert matches(RULES[what], message)


def test_no_rule_has_a_name_of_the_prelude() -> None:
    """RFC 8610 puts these in every specification: a second rule of that name is an error for some tools."""
    prelude = set(re.findall(r"[a-z0-9-]+", PRELUDE))
    assert prelude & set(re.findall(r"^([a-z0-9-]+)(?:<[^>]*>)? *=", CDDL, re.M)) == set()


def test_no_rule_takes_anything() -> None:
    rules = re.sub(r';.*|"[^"]*"', "", CDDL)
    assert not re.search(r"\bany\b|#(?![0-9])", rules)


def test_every_typ_has_a_rule() -> None:
    typs = {value for name, value in vars(labels).items() if name.startswith("TYP_")}
    assert {typ for typ in typs if f'"{typ}"' not in CDDL} == set()


def test_the_numbers_of_the_specification_are_those_of_the_code() -> None:
    text = SPEC.read_text(encoding="utf-8")
    for typ, limit in envelope.LIMITS.items():
        word = typ.removeprefix("application/edge-sdk.").removesuffix("+cose")
        line = next(line for line in text.splitlines() if line.startswith(f"| `{word}` |"))
        assert line.endswith(f"| {limit} |")
        assert f"`{labels.PROFILES[typ]}`" in line
    assert f"{documents.CLOCK_SKEW_S} s ahead" in text
    assert f"at most {documents.STATEMENT_LIMIT} bytes" in text
    assert f"at most {documents.WIPE_LIMIT} bytes" in text
    for alg, size in envelope.EK_BYTES.items():
        assert f"{{1: {alg}, 4: kid}}, {{-4: bytes .size {size}}}" in CDDL
    assert claims.ALG_ED25519 == -19


def test_the_seeds_of_the_samples_have_their_roles() -> None:
    assert isinstance(world.RECIPIENT_SEED, RecipientSeed)
    assert isinstance(world.ENROLMENT_SEED, RoleSeed)
