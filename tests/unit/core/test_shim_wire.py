"""
The decoder of the shim socket meets bytes that nobody has thought of; the vectors are in tests/vectors/test_shim.py.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_sdk.core import shim_wire as wire
from edge_sdk.core.shim_bytes import Point
from edge_sdk.core.shim_points import LEARN_AFTER, MAX_SHAPES
from edge_sdk.errors import Malformed
from tests.vectors.test_shim import points_of

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
def test_every_point_comes_out_as_it_went_in(points: list[Point]) -> None:
    said = wire.Decoder().decode(batch(points))
    assert isinstance(said, wire.Batch)
    assert repr(points_of(said)) == repr([list(point) for point in points])


@given(st.binary(max_size=64))
@example(b"\x85\x02")
def test_any_bytes_are_a_message_or_malformed(message: bytes) -> None:
    try:
        wire.Decoder().decode(message)
    except Malformed:
        return


@given(POINTS, st.data())
def test_a_batch_with_one_byte_changed_is_malformed_or_what_its_bytes_say(
    points: list[Point], chance: st.DataObject
) -> None:
    message = bytearray(batch(points[:4]))
    at = chance.draw(st.integers(0, len(message) - 1))
    message[at] = chance.draw(st.integers(0, 255))
    try:
        said = wire.Decoder().decode(bytes(message))
    except Malformed:
        return
    if isinstance(said, wire.Batch):
        # No leniency: what was taken is the one encoding of what it was taken for.
        drops = [said.drops.full, said.drops.denied, said.drops.expired, said.drops.wiped, said.drops.invalid]
        again = cbor2.dumps([2, said.first, said.t0_ms, drops, points_of(said)])
        assert again == bytes(message)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", [1, 3000])
def test_a_value_that_is_no_finite_number_is_refused_in_any_point(value: float, field: int) -> None:
    whole = batch([(field, 0, 0, 0.5)])
    half = cbor2.dumps(0.5)
    eight = {"nan": "7ff8000000000000", "inf": "7ff0000000000000", "-inf": "fff0000000000000"}[str(value)]
    with pytest.raises(Malformed, match="finite"):
        wire.Decoder().decode(whole.replace(half, b"\xfb" + bytes.fromhex(eight)))


@pytest.mark.parametrize("number", [0, 23, 24, 255, 256, 65535, 65536, (1 << 32) - 1])
def test_what_goes_down_has_the_shortest_heads(number: int) -> None:
    assert wire.encode_state(number, number & 0xFFFFF, number) == cbor2.dumps([17, number, number & 0xFFFFF, number])


def test_a_refusal_names_the_part_and_the_place_and_nothing_that_was_sent() -> None:
    with pytest.raises(Malformed) as refused:
        wire.Decoder().decode(cbor2.dumps([3, 0, 1, "SECRET\n408000123456"]))
    assert "id" in str(refused.value)
    assert refused.value.at_byte is not None
    assert "SECRET" not in str(refused.value)


RUNS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.one_of(st.integers(1, 60), st.integers(200, 300)),
                st.one_of(st.integers(-300, 70000), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)),
            ),
            min_size=1,
            max_size=6,
            unique_by=lambda one: one[0],
        ),
        st.one_of(st.integers(0, 30), st.integers(250, 300)),
        st.integers(-300, 70000),
    ),
    min_size=1,
    max_size=8,
)


def in_any_order(said: wire.Up | None) -> list[str] | None:
    return sorted(map(repr, points_of(said))) if isinstance(said, wire.Batch) else None


def outcome(decoder: wire.Decoder, message: bytes) -> list[str] | str | None:
    try:
        return in_any_order(decoder.decode(message))
    except Malformed as error:
        return str(error)


def taught(message: bytes) -> wire.Decoder:
    """Return a decoder that has met the runs of a message often enough to know them."""
    decoder = wire.Decoder()
    for _ in range(LEARN_AFTER):
        decoder.decode(message)
    return decoder


def flat(runs: Any) -> list[tuple[int, int, int, Any]]:
    return [(field, slot, offset_ms, value) for fields, slot, offset_ms in runs for field, value in fields][:64]


@given(RUNS, st.data())
def test_what_was_learned_changes_no_message(runs: Any, chance: st.DataObject) -> None:
    message = batch(flat(runs))
    decoder = taught(message)
    assert outcome(decoder, message) == sorted(repr(list(point)) for point in flat(runs))
    wrong = bytearray(message)
    at = chance.draw(st.integers(0, len(message) - 1))
    wrong[at] = chance.draw(st.integers(0, 255))
    for altered in (bytes(wrong), message[:at], message + b"\x00"):
        assert outcome(decoder, altered) == outcome(wire.Decoder(), altered)


def test_other_values_in_a_learned_run_come_out_as_they_went_in() -> None:
    decoder = taught(batch([(2, 1, 0, 1.5), (3, 1, 0, 5), (300, 1, 0, -1), (40, 1, 0, 0.0), (2, 2, 7, 2.5)]))
    for values in ((-0.5, 70000, 1, 1e300), (0.0, 0, -300, -0.0), (1.0, 255, True, 2.0), (3.5, -1, 24, 4.5)):
        points = [(field, 1, 30, value) for field, value in zip((2, 3, 300, 40), values, strict=True)]
        assert outcome(decoder, batch(points)) == sorted(repr(list(point)) for point in points)


def test_a_reading_that_messages_cut_anywhere_comes_out_whole() -> None:
    decoder = wire.Decoder()
    points = [(1 + n % 10, n // 10 % 3, 40 * (n // 10), n / 2) for n in range(6400)]
    said = [point for at in range(0, 6400, 64) for point in points_of(decoder.decode(batch(points[at : at + 64])))]
    assert sorted(map(repr, said)) == sorted(repr(list(point)) for point in points)


def test_numbers_of_every_width_come_out_of_one_learned_run() -> None:
    decoder = taught(batch([(field, 1, 0, 0) for field in range(1, 5)]))
    for values in product((0, 200, 60_000, 70_000), repeat=4):
        points = [(field, 1, 0, value) for field, value in enumerate(values, 1)]
        assert outcome(decoder, batch(points)) == sorted(repr(list(point)) for point in points)


def test_what_is_remembered_of_runs_is_bounded() -> None:
    decoder = wire.Decoder()
    for number in range(3 * MAX_SHAPES):
        for slot in range(LEARN_AFTER):
            decoder.decode(batch([(1 + number, slot, 0, 1.5), (200, slot, 0, 2)]))
    for number in range(400):
        decoder.decode(batch([(1000 + number, 0, 0, 1.5), (200, 0, 0, 2)]))
    for slot in range(1200):
        for field in (1, 24):
            decoder.decode(batch([(field, slot, 0, 1.5), (200, slot, 0, 2)]))
    sizes = [len(one) for one in vars(decoder._shapes).values()]
    assert max(sizes) <= 1_024
    assert 0 < len(decoder._shapes._known) <= MAX_SHAPES
