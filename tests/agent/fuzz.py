"""
``make test-fuzz``: bytes that atheris makes up, against what the agent does with the messages of a shim.

Each input is a few messages on one connection. Whatever they are: a message is taken or Malformed and nothing else;
what was taken is the one encoding of what it says, by an independent encoder; a connection that has learned what runs
look like (after one time here, not 32) says the same as one that has not; and every point that was handed in is in a
reading or counted. Begins with the vectors of the wire.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["edge_sdk.core", "edge_sdk.sources"]):
    from edge_sdk.core import shim_points
    from edge_sdk.core import shim_wire as wire
    from edge_sdk.core.shim_ids import Schema
    from edge_sdk.errors import Malformed
    from edge_sdk.policy_file import find_policy
    from edge_sdk.sources.shim import Readings

import cbor2

shim_points.LEARN_AFTER = 1  # type: ignore[misc]  # what takes a habit to be learnt is reached by one message

VECTORS: Final = Path(__file__).parents[1] / "vectors" / "shim_v1.json"
SCHEMA: Final = Schema(find_policy("strictest"))


def outcome(decoder: wire.Decoder, message: bytes) -> wire.Up | str | None:
    """Return what a message says, or what is wrong with it."""
    try:
        return decoder.decode(message)
    except Malformed as error:
        return str(error)


def points_of(said: wire.Batch) -> list[list[Any]]:
    """Return the points of a batch one by one."""
    return [
        [field, slot, offset_ms, value]
        for fields, slot, offset_ms, values in said.runs
        for field, value in zip(fields, values, strict=True)
    ]


def check(message: bytes, learned: wire.Up | str | None) -> None:
    """Hold what a connection made of a message against a new connection, and against its bytes."""
    fresh = outcome(wire.Decoder(), message)
    if not isinstance(fresh, wire.Batch):
        assert learned == fresh
        return
    assert isinstance(learned, wire.Batch)
    said, head = [(one.first, one.t0_ms, one.drops, one.count) for one in (learned, fresh)]
    assert said == head
    assert sorted(map(repr, points_of(learned))) == sorted(map(repr, points_of(fresh)))
    assert sum(len(run[0]) for run in learned.runs) == learned.count
    drops = [fresh.drops.full, fresh.drops.denied, fresh.drops.expired, fresh.drops.wiped, fresh.drops.invalid]
    assert cbor2.dumps([2, fresh.first, fresh.t0_ms, drops, points_of(fresh)]) == message


def feed(data: bytes) -> None:
    """Have one connection take the messages in *data*: two bytes of length before each."""
    decoder, counts = wire.Decoder(), Counter[str]()
    delivered: list[int] = []
    readings = Readings(SCHEMA, lambda _kind, _columns, _mono_ms, points: delivered.append(points), counts)
    came = lost = 0
    while len(data) > 2:
        size = int.from_bytes(data[:2]) % 4100
        message, data = data[2 : 2 + size], data[2 + size :]
        said = outcome(decoder, message)
        check(message, said)
        match said:
            case wire.Batch():
                came += said.count
                lost += readings.take(said.runs, t0=said.t0_ms, t0_ms=said.t0_ms, now_ms=len(data))
            case wire.Source():
                readings.declare(said)
            case wire.Text():
                readings.tell(said)
    readings.end()
    assert came == sum(delivered) + lost
    assert lost == counts["shim_no_source"] + counts["shim_unfit"]


def seeds() -> list[bytes]:
    """Return inputs to begin with: each vector, twice, behind a device for its points."""
    up = [bytes.fromhex(one["hex"]) for one in json.loads(VECTORS.read_text())["vectors"] if one["direction"] == "up"]
    device = cbor2.dumps([3, 0, 1, "x"])
    return [b"".join(len(one).to_bytes(2) + one for one in (device, message, message)) for message in up]


def main() -> None:
    """Run with the arguments of libFuzzer."""
    with TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / str(number)).write_bytes(seed)
        atheris.Setup([*sys.argv, "-max_len=4096", "-timeout=5", folder], feed)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
