"""
Everything that takes bytes from outside, one function each, and inputs to begin with.

``ALL`` is by name: signed documents and COSE, everything sealed, receipts, the downlink and time, what the intake is
asked and stores, the payload an opener decodes, the policy cache, policy files, recorded files, and what sources of
other makers parse. Names with ``past its signature`` take a payload, which is signed properly before it is decoded:
made up bytes would never get there. Beyond what :data:`ALLOWED` lists, nothing may be raised, and what has one encoding
only must come out of it as it went in. The shim's wire has a target of its own (``tests/agent/fuzz.py``), what the
agent says to the shim another one (``tests/shim``).

Inputs to begin with are the vectors and what is composed here: they are committed as what makes them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from edge_sdk.collector import intake
from edge_sdk.core import cbor, claims, envelope, keys, labels
from edge_sdk.core.batch import decode_batch
from edge_sdk.core.messages import encode_time_request
from edge_sdk.core.pending import decode_pending
from edge_sdk.core.policy import Policy, View, purpose_digest
from edge_sdk.core.policy_cbor import decode_policy, encode_policy
from edge_sdk.core.table import decode_tables, encode_tables
from edge_sdk.errors import BadInput, ConfigError, Refused
from edge_sdk.policy_file import find_policy, load_policy, profile_text
from edge_sdk.sources import apsystems_local, apsystems_upload, aux_cloud, nanolux, opendtu, records, replay
from edge_sdk.sources.apsystems_frame import Frames
from tests.vectors import world
from tests.vectors.decoders import DECODERS, SIGNED
from tests.vectors.vector import FOLDER, PAYLOAD, read

Take = Callable[[bytes], object]
ALLOWED: Final = (BadInput, Refused, ConfigError)
LENGTH: Final = 8192  # of an input: the longest enrolment or downlink has 6144
PROFILE: Final = "strictest"
TAG: Final = world.named("tag", 16)
MAC_KEY: Final = world.named("mac key")
PATHS: Final = {"/v1/batches": labels.TYP_BATCH, "/v1/control": labels.TYP_CONTROL}


@functools.cache
def policy() -> Policy:
    """Return a policy whose views payloads are read by."""
    return find_policy(PROFILE)


def views_of(digest: bytes) -> tuple[View, ...]:
    """Return the views of the purpose with *digest*, or of any."""
    purposes = list(policy().purposes.values())
    return next((one for one in purposes if purpose_digest(one) == digest), purposes[-1]).views


def canonical(name: str, decode: Take, encode: Callable[[Any], bytes]) -> Take:
    """Have *decode* checked against *encode*: there is one encoding of everything."""

    def take(data: bytes) -> object:
        value = decode(data)
        assert encode(value) == data, f"{name}: a second encoding was taken"
        return value

    return take


def ask_intake(data: bytes) -> object:
    """Ask the intake what it makes of a request; its MAC is good where the first byte is odd."""
    path = list(PATHS)[len(data) % 2]
    row = intake.TagRow(
        epoch=keys.epoch_of(world.NOW_S), tag=TAG, mac_key=MAC_KEY, quota_bytes=1 << 20, used_bytes=0, downlink_hash=b""
    )
    head, body = data[:160].decode("latin-1"), data[1:]
    if data[:1] and data[0] % 2:
        head = keys.authorization(keys.Route(TAG, MAC_KEY, 0), "POST", path, body)
    request = intake.Request("POST", path, head, body)
    intake.claimed_tag(request)
    return intake.examine(request, row, signer=world.seeds(claims.Role.RECEIPT)[0], now_s=world.NOW_S, limits=LIMITS)


LIMITS: Final = intake.Limits()


def parse_frames(data: bytes) -> object:
    """Feed a stream of an ECU in two pieces, and parse each frame as whatever it may be."""
    frames = Frames()
    found = [*frames.feed(data[: len(data) // 2]), *frames.feed(data[len(data) // 2 :])]
    for frame in found:
        for parse in (
            apsystems_local.parse_system,
            apsystems_local.parse_inverters,
            apsystems_local.parse_signals,
            apsystems_upload.parse_upload,
        ):
            refuses_or_returns(parse, frame)
    return found


def hear_opendtu(data: bytes) -> object:
    """Take a topic and a payload a line."""
    gathering = opendtu.Gathering("solar")
    for line in data.split(b"\n"):
        topic, _, payload = line.partition(b" ")
        gathering.add("solar/" + topic.decode("latin-1"), payload, retained=False, now_s=0.0)
    return list(gathering.readings(1e6))


def take_captured(data: bytes) -> object:
    """Take a captured record as what either of two clouds sends."""
    at_ms, record = records.captured(data)
    return [*nanolux.controller_readings(record, at_ms), *records.readings(record, aux_cloud.SHAPES)]


def refuses_or_returns(take: Take, data: bytes) -> object:
    """Return what *take* says, None where it refuses in one of the allowed ways."""
    try:
        return take(data)
    except ALLOWED:
        return None


def _past(what: str) -> Take:
    sign = SIGNED[what][1]
    return lambda payload: DECODERS[what](sign(payload))


ALL: Final[Mapping[str, Take]] = {
    **DECODERS,
    **{f"{what}, past its signature": _past(what) for what in SIGNED},
    "envelope": canonical("envelope", envelope.outer, lambda outer: outer.encode()),
    "cbor": canonical("cbor", lambda data: cbor.decode(data, 4096), cbor.encode),
    "intake": ask_intake,
    "batch payload": lambda data: decode_batch(data, views_of),
    "tables": lambda data: decode_tables(views_of(b""), data),
    "pending rows": lambda data: decode_pending(views_of(b""), data),
    "policy cache": decode_policy,
    "policy file": lambda data: load_policy(data.decode("utf-8", "replace"), where="policy.toml"),
    "recorded lines": lambda data: list(replay.read_jsonl(data.splitlines(keepends=True))),
    "recorded table": lambda data: list(replay.read_csv(data.splitlines(keepends=True), policy().kinds)),
    "captured record": take_captured,
    "ECU stream": parse_frames,
    "ECU parameter file": apsystems_local.parse_parameters,
    "OpenDTU messages": hear_opendtu,
}


def seeds() -> Iterator[tuple[str, bytes]]:
    """
    Yield a decoder's name and an input that it takes, or nearly takes.
    """
    paths = sorted(FOLDER.glob("*.vec"))
    vectors = [read(path)[1] for path in paths]
    for name, decode in DECODERS.items():
        named = [read(path)[1] for path in paths if path.name.split("-")[0].split(".")[0] in name]
        taken = [message for message in vectors if len(message) < LENGTH and _takes(decode, message)]
        yield from ((name, message) for message in [*taken[:8], *named[:8]] if len(message) < LENGTH)
    head = keys.authorization(keys.Route(TAG, MAC_KEY, 0), "POST", "/v1/batches", b"")
    yield from (("authorization", head.encode()), ("request", bytes(64)), ("sealed batch", vectors[0]))
    yield "wrapped key", keys.wrap(keys.RootKey(world.named("root key")), bytes(12), bytes(32), b"")
    yield from (("time request", encode_time_request(bytes(16))), ("batch payload", PAYLOAD))
    yield "tables", encode_tables(views_of(b""), {})
    yield "pending rows", cbor.encode([0, 3, [0, 1, 2, 3, 4, 5]])
    yield from ((f"{what}, past its signature", payload) for what, (payload, _) in SIGNED.items())
    yield from (("intake", b"\x01" + message) for message in vectors if message.startswith(envelope.ENCRYPT_TAG))
    yield "policy cache", encode_policy(policy())
    yield "policy file", profile_text(PROFILE).encode()
    yield "recorded lines", b'{"kind": "inverter", "at_ms": 1, "fields": {"power": 1.5, "on": true}}\n'
    yield "recorded table", b"kind,at_ms,power,place\ninverter,1,1.5,x\n"
    record = {"licenceEnds": 10**9, "lamps": [{"power": 1}], "inverterId": "1"}
    yield "captured record", json.dumps({"at_ms": 1, "record": record}).encode()
    yield "ECU stream", apsystems_upload.compose_upload("20260101120000", {"ecu_id": "216000000001"}, [])
    yield "ECU parameter file", b"1,1,20260101120000\n801000000001,1,50.0,120,1,2,3,4\n"
    yield "OpenDTU messages", b"114180000001/0/power 12.5\n114180000001/0/yieldtotal 7"


def _takes(decode: Take, message: bytes) -> bool:
    return refuses_or_returns(decode, message) is not None
