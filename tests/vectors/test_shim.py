"""
The vectors of the shim socket, against the decoder, the encoders and the CDDL of docs/shim_wire.md.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from edge_sdk.core import shim_wire as wire
from edge_sdk.errors import Malformed
from tests.vectors import shim
from tests.vectors.test_cddl import VALIDATOR

VECTORS: Final[list[dict[str, Any]]] = json.loads(shim.PATH.read_text(encoding="utf-8"))["vectors"]
BY: Final = {
    (direction, expect): [pytest.param(bytes.fromhex(one["hex"]), id=one["name"]) for one in VECTORS
                          if one["direction"] == direction and one["expect"] == expect]
    for direction in ("up", "down") for expect in ("accepted", "refused", "ignored")
}  # fmt: skip

WRITTEN: Final = [name for name in shim.DOWN if "later" not in name]
# What CDDL cannot say: a number is finite, text has no control characters.
BEYOND_CDDL: Final = ("not a number", "infinite", "line break", "delete")


def test_the_file_is_what_the_script_writes() -> None:
    assert shim.PATH.read_text(encoding="utf-8") == shim.text()


def items_of(said: wire.Up) -> list[Any]:
    """
    Return a decoded message as the items it was made of.
    """
    match said:
        case wire.Hello():
            versions = [said.wire_min, said.wire_max, said.shim_version]
            return [1, *versions, said.schema_hash, said.boot_nonce, said.site, said.name]
        case wire.Batch():
            return [2, said.first, said.t0_ms, drops_of(said.drops), points_of(said)]
        case wire.Source():
            return [3, said.slot, said.kind, said.id]
        case wire.Text():
            return [4, said.slot, said.field, said.text]
        case wire.Wiped():
            return [5, said.wipe_id, int(said.failed)]
        case wire.Beat():
            return [6, said.first, drops_of(said.drops)]


def points_of(said: wire.Batch) -> list[list[Any]]:
    """
    Return the points of a batch one by one.
    """
    return [
        [field, slot, offset_ms, value]
        for fields, slot, offset_ms, values in said.runs
        for field, value in zip(fields, values, strict=True)
    ]


def drops_of(drops: wire.Drops) -> list[int]:
    return [drops.full, drops.denied, drops.expired, drops.wiped, drops.invalid]


@pytest.mark.parametrize("name", shim.UP)
def test_a_good_message_says_what_it_was_made_of(name: str) -> None:
    message = next(one for one in VECTORS if one["name"] == name)["hex"]
    said = wire.Decoder().decode(bytes.fromhex(message))
    assert said is not None
    # repr tells 1 from 1.0 and True, 0.0 from -0.0
    assert repr(items_of(said)) == repr(shim.UP[name])


@pytest.mark.parametrize("message", BY["up", "ignored"])
def test_an_unknown_type_is_passed_over(message: bytes) -> None:
    assert wire.Decoder().decode(message) is None


@pytest.mark.parametrize("message", BY["up", "refused"])
def test_a_wrong_message_is_refused(message: bytes) -> None:
    with pytest.raises(Malformed):
        wire.Decoder().decode(message)


@pytest.mark.parametrize("message", BY["up", "accepted"])
def test_no_message_that_is_cut_short_is_taken(message: bytes) -> None:
    for length in range(len(message)):
        with pytest.raises(Malformed):
            wire.Decoder().decode(message[:length])


@pytest.mark.parametrize("name", WRITTEN)
def test_the_encoders_write_the_vectors(name: str) -> None:
    message = bytes.fromhex(next(one for one in VECTORS if one["name"] == name)["hex"])
    kind, *items = shim.DOWN[name]
    match kind:
        case 16:
            made = wire.encode_welcome(wire.Result(items[1]), max_points=items[2], points_per_s=items[3])
        case 17:
            made = wire.encode_state(*items)
        case 18:
            made = wire.encode_wipe(*items)
        case _:
            made = wire.encode_bye(wire.Bye(items[0]))
    assert made == message


@pytest.mark.parametrize("message", BY["up", "accepted"])
def test_the_cddl_has_every_good_message_from_a_shim(message: bytes) -> None:
    # Not held against deterministic encoding: binary64 whatever shorter float would do (1.2).
    assert VALIDATOR.validate(message, "shim-up").valid


@pytest.mark.parametrize("name", WRITTEN)
def test_the_cddl_has_every_good_message_from_the_agent(name: str) -> None:
    message = bytes.fromhex(next(one for one in VECTORS if one["name"] == name)["hex"])
    assert VALIDATOR.validate(message, "shim-down", require_deterministic=True).valid


@pytest.mark.parametrize(
    "name", [name for name in (*shim.WRONG_UP, *shim.WRONG_DOWN) if not name.endswith(BEYOND_CDDL)]
)
def test_the_cddl_has_no_message_with_a_wrong_item(name: str) -> None:
    vector = next(one for one in VECTORS if one["name"] == name)
    assert not VALIDATOR.validate(bytes.fromhex(vector["hex"]), f"shim-{vector['direction']}").valid
