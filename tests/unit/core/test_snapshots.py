"""
What a flush stores of open windows comes back as it was, whatever they hold; so does what earlier builds stored.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.core import cbor
from edge_sdk.core.gathering import slot_count
from edge_sdk.core.policy import FieldType, View, Window
from edge_sdk.core.snapshots import KeptTrail, Packed, packed_trails, whole_trails
from tests.minimising import MINUTE_MS, NOON_MS, field, windowed

TAG = b"tag of a source!"
FIVE_MS = 5 * MINUTE_MS
VIEW = windowed(Window.DELTA)
SLOTS = st.none() | st.text(max_size=3) | st.integers(0, 3)
SLOTS |= st.integers(-(1 << 33), 1 << 33) | st.integers(-(1 << 90), 1 << 90)


def stored(trails: list[KeptTrail]) -> Any:
    """Return what a flush stores of *trails*, as it is read back."""
    return cbor.decode(cbor.encode(packed_trails(trails)), 1 << 20)


@st.composite
def some_trails(draw: st.DrawFn) -> list[KeptTrail]:
    slots = st.lists(SLOTS, min_size=slot_count(VIEW), max_size=slot_count(VIEW))
    trails = []
    for _ in range(draw(st.integers(0, 4))):
        panes = []
        for start in range(draw(st.integers(0, 2))):
            head = [start * FIVE_MS, (start + 1) * FIVE_MS, draw(st.integers(0, 99)), draw(st.integers(0, 1))]
            panes.append([*head, 0, None, None, draw(slots)])
        carry = draw(st.dictionaries(st.integers(0, 40), st.integers(-(1 << 53), 1 << 53), max_size=2))
        tag, shown = draw(st.binary(max_size=20)), draw(st.one_of(st.none(), st.text(max_size=3)))
        trails.append(KeptTrail(tag, shown, draw(st.integers(0, NOON_MS)), carry, panes))
    return trails


@given(some_trails())
def test_what_is_stored_comes_back_as_it_was(trails: list[KeptTrail]) -> None:
    assert whole_trails(VIEW, stored(trails)) == trails


@given(some_trails(), some_trails())
def test_what_is_packed_beside_others_is_what_it_is_alone(first: list[KeptTrail], second: list[KeptTrail]) -> None:
    packed: Packed = []
    beside = [packed_trails(trails, packed) for trails in (first, second, first)]
    assert beside == [packed_trails(trails) for trails in (first, second, first)]


def test_what_does_not_matter_after_a_restart_is_not_stored() -> None:
    """When a pane was opened is of a clock that is over; a block holds readings that were not folded."""
    head = [0, FIVE_MS, 1, 0]
    (kept,) = whole_trails(VIEW, stored([KeptTrail(TAG, None, 0, {}, [[*head, 777, "S", None, [1, 2, 3, 4, 5]]])]))
    assert kept.panes == [[*head, 0, None, None, [1, 2, 3, 4, 5]]]


def test_a_mean_of_a_source_more_takes_few_bytes() -> None:
    """The tag is 16 of them, its name none here; each window takes a sum, a count, and when it began."""
    view = windowed(Window.MEAN)
    trails = [KeptTrail(TAG, None, NOON_MS, {}, [[0, FIVE_MS, 30, 0, 0, None, None, [70_000, 30]]]) for _ in range(60)]
    assert slot_count(view) == 2
    assert len(cbor.encode(packed_trails(trails))) <= 60 * (16 + 1 + 1 + 8 + 4 + 8 + 4 + 4 + 4) + 40


@pytest.mark.parametrize(
    ("view", "older", "wanted"),
    [
        (  # all its numbers packed
            windowed(Window.SUM),
            "818350746167206f66206120736f7572636521614158700000000000000000000000000000000000a6d7c899010000e039dcc89901000002"
            "00000000000000000000000000000007000000000000000200000000000000e039dcc899010000c0cde0c8990100000100000000000000"
            "000000000000000005000000000000000100000000000000",
            KeptTrail(TAG, "A", 0, {}, [
                [NOON_MS, NOON_MS + FIVE_MS, 2, 0, 0, None, None, [7, 2]],
                [NOON_MS + FIVE_MS, NOON_MS + 2 * FIVE_MS, 1, 0, 0, None, None, [5, 1]],
            ]),
        ),
        (  # a value that is not there
            windowed(Window.MIN),
            "818550746167206f66206120736f75726365216141008082851b00000199c8d7a6001b00000199c8dc39e00100f6851b00000199c8dc39e0"
            "1b00000199c8e0cdc0010005",
            KeptTrail(TAG, "A", 0, {}, [
                [NOON_MS, NOON_MS + FIVE_MS, 1, 0, 0, None, None, [None]],
                [NOON_MS + FIVE_MS, NOON_MS + 2 * FIVE_MS, 1, 0, 0, None, None, [5]],
            ]),
        ),
        (  # what the next delta goes on from
            VIEW,
            "818350746167206f66206120736f7572636521614158b0e039dcc899010000010000000000000007000000000000000400000000000000e0"
            "39dcc899010000c0cde0c8990100000100000000000000000000000000000007000000000000004024ddc8990100000700000000000000"
            "4024ddc8990100000000000000000000c0cde0c899010000a061e5c8990100000100000000000000000000000000000009000000000000"
            "0020b8e1c899010000090000000000000020b8e1c8990100000000000000000000",
            KeptTrail(TAG, "A", NOON_MS + FIVE_MS, {0: 4}, [
                [NOON_MS + FIVE_MS, NOON_MS + 2 * FIVE_MS, 1, 0, 0, None, None,
                 [7, NOON_MS + FIVE_MS + MINUTE_MS, 7, NOON_MS + FIVE_MS + MINUTE_MS, 0]],
                [NOON_MS + 2 * FIVE_MS, NOON_MS + 3 * FIVE_MS, 1, 0, 0, None, None,
                 [9, NOON_MS + 2 * FIVE_MS + MINUTE_MS, 9, NOON_MS + 2 * FIVE_MS + MINUTE_MS, 0]],
            ]),
        ),
        (  # a sum beyond 64 bits
            windowed(Window.SUM, declared=field("value", FieldType.NUMBER, low=0, high=1 << 53)),
            "818550746167206f66206120736f75726365216141008081861b00000199c8d7a6001b00000199c8dc39e01908340082241b398000000000"
            "0834190834",
            KeptTrail(TAG, "A", 0, {}, [
                [NOON_MS, NOON_MS + FIVE_MS, 2100, 0, 0, None, None, [-2100 * ((1 << 53) - 1), 2100]],
            ]),
        ),
    ],
)  # fmt: skip
def test_what_an_earlier_build_stored_is_read(view: View, older: str, wanted: KeptTrail) -> None:
    entries = cbor.decode(bytes.fromhex(older), 1 << 20)
    assert isinstance(entries, list)
    assert whole_trails(view, entries) == [wanted]
