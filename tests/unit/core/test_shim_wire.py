"""
The decoder of the shim socket meets bytes that nobody has thought of; the vectors are in tests/vectors/test_shim.py.
"""

from __future__ import annotations

import math
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_sdk.core import shim_wire as wire
from edge_sdk.errors import Malformed

INTS = st.one_of(st.integers(-300, 300), st.integers(-(1 << 63), (1 << 63) - 1))
VALUES = st.one_of(INTS, st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
POINTS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 60), st.integers(0, 4095)),
        st.one_of(st.integers(0, 30), st.integers(0, 65535)),
        st.one_of(st.integers(0, 70000), st.integers(-(1 << 31), (1 << 31) - 1)),
        VALUES,
    ),
    min_size=1,
    max_size=64,
)


def batch(points: Any) -> bytes:
    return cbor2.dumps([2, 5, 6, [1, 2, 3, 4, 5], [list(point) for point in points]])


@given(POINTS)
def test_every_point_comes_out_as_it_went_in(points: list[wire.Point]) -> None:
    said = wire.decode_up(batch(points))
    assert isinstance(said, wire.Batch)
    assert repr(said.points) == repr(points)


@given(st.binary(max_size=64))
@example(b"\x85\x02")
def test_any_bytes_are_a_message_or_malformed(message: bytes) -> None:
    try:
        wire.decode_up(message)
    except Malformed:
        return


@given(POINTS, st.data())
def test_a_batch_with_one_byte_changed_is_malformed_or_what_its_bytes_say(
    points: list[wire.Point], chance: st.DataObject
) -> None:
    message = bytearray(batch(points[:4]))
    at = chance.draw(st.integers(0, len(message) - 1))
    message[at] = chance.draw(st.integers(0, 255))
    try:
        said = wire.decode_up(bytes(message))
    except Malformed:
        return
    if isinstance(said, wire.Batch):
        # No leniency: what was taken is the one encoding of what it was taken for.
        drops = [said.drops.full, said.drops.denied, said.drops.expired, said.drops.wiped, said.drops.invalid]
        again = cbor2.dumps([2, said.first, said.t0_ms, drops, [list(point) for point in said.points]])
        assert again == bytes(message)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", [1, 3000])
def test_a_value_that_is_no_finite_number_is_refused_in_any_point(value: float, field: int) -> None:
    whole = batch([(field, 0, 0, 0.5)])
    half = cbor2.dumps(0.5)
    eight = {"nan": "7ff8000000000000", "inf": "7ff0000000000000", "-inf": "fff0000000000000"}[str(value)]
    with pytest.raises(Malformed, match="finite"):
        wire.decode_up(whole.replace(half, b"\xfb" + bytes.fromhex(eight)))


@pytest.mark.parametrize("number", [0, 23, 24, 255, 256, 65535, 65536, (1 << 32) - 1])
def test_what_goes_down_has_the_shortest_heads(number: int) -> None:
    assert wire.encode_state(number, number & 0xFFFFF, number) == cbor2.dumps([17, number, number & 0xFFFFF, number])


def test_a_refusal_names_the_part_and_the_place_and_nothing_that_was_sent() -> None:
    with pytest.raises(Malformed) as refused:
        wire.decode_up(cbor2.dumps([3, 0, 1, "SECRET\n408000123456"]))
    assert "id" in str(refused.value)
    assert refused.value.at_byte is not None
    assert "SECRET" not in str(refused.value)
