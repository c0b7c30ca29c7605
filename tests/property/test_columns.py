"""
Every column kind round-trips; any bytes into the decoders of tables and batches give a value or BadInput; merged gaps
lose no counted row.
"""

from __future__ import annotations

import zlib
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_sdk.core import cbor
from edge_sdk.core.batch import MAX_GAPS, MAX_TABLES_BYTES, Batch, Gap, Reason, decode_batch, encode_batch, merge_gaps
from edge_sdk.core.policy import FieldType, TextRule, View, ViewField, Window
from edge_sdk.core.table import Grouped, Memory, Row, decode_tables, encode_tables, unpack
from edge_sdk.errors import BadInput, Malformed
from tests.minimising import SERIAL, field, keep, kind_of, view_of
from tests.vectors import world

NUMBER, NOTE = field("number"), field("note", FieldType.TEXT)
HIDDEN = ViewField(NOTE, text=TextRule.PSEUDONYM)
KIND = kind_of(NUMBER, NOTE)
EDGE = (1 << 62) - 1

NUMBERS = st.integers(-EDGE, EDGE) | st.integers(-300, 300)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["A", "B", ""])
NAMES = st.sampled_from([bytes([number]) * 16 for number in range(4)]) | st.binary(min_size=16, max_size=16)
KINDS_OF_COLUMN: dict[str, tuple[ViewField, st.SearchStrategy[Any]]] = {
    "number": (ViewField(NUMBER), NUMBERS | st.none()),
    "text": (keep(NOTE), TEXTS | st.none()),
    "pseudonym": (HIDDEN, NAMES | st.none()),
    "source": (keep(SERIAL), TEXTS),
    "source pseudonym": (ViewField(SERIAL, text=TextRule.PSEUDONYM), NAMES),
    "count of texts": (ViewField(NOTE, Window.COUNT), st.integers(0, 100)),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[View], dict[int, list[Row]]]:
    views, rows = [], {}
    for at in range(draw(st.integers(1, 3))):
        columns = draw(st.lists(st.sampled_from(list(KINDS_OF_COLUMN)), min_size=1, max_size=4, unique=True))
        columns = [name for name in columns if name != "source" or "source pseudonym" not in columns]
        every_ms = draw(st.none() | st.just(1000))
        views.append(view_of(KIND, *(KINDS_OF_COLUMN[name][0] for name in columns), every_ms=every_ms))
        lead = [st.integers(0, 1 << 53)] + ([st.integers(-99, 99)] if every_ms else [])
        row = st.tuples(*lead, *(KINDS_OF_COLUMN[name][1] for name in columns))
        if found := draw(st.lists(row, max_size=12)):
            rows[at] = found
    return views, rows


VIEWS = [
    view_of(KIND, keep(SERIAL), ViewField(NUMBER), keep(NOTE)),
    view_of(KIND, ViewField(NUMBER), HIDDEN, every_ms=1000),
]
SOME_ROWS: dict[int, list[Row]] = {
    0: [(5, "A", 7, "x"), (6, "B", None, None), (7, "A", 8, "x")],
    1: [(0, -3, None, b"n" * 16), (1000, 2, 5, None)],
}


@given(st.lists(st.tuples(st.integers(0, 5), NUMBERS)))
def test_numbers_of_any_groups_come_back(pairs: list[tuple[int, int]]) -> None:
    groups = [group for group, _ in pairs]
    values = [value for _, value in pairs]
    assert unpack(Grouped(groups).pack(tuple(values)), groups, 6) == values


@given(st.lists(tables(), min_size=2, max_size=3), st.data())
def test_what_is_encoded_together_is_what_is_encoded_apart(
    made: list[tuple[list[View], dict[int, list[Row]]]], data: st.DataObject
) -> None:
    memory = Memory()
    for views, rows in data.draw(st.lists(st.sampled_from(made), min_size=2, max_size=6)):
        batch = Batch(bytes(16), 0, sum(map(len, rows.values())) - 1, bytes(32), bytes(32), tables=rows)
        assert encode_batch(batch, views, memory) == encode_batch(batch, views)


@given(tables())
def test_rows_of_every_kind_of_column_come_back(made: tuple[list[View], dict[int, list[Row]]]) -> None:
    views, rows = made
    assert decode_tables(views, encode_tables(views, rows)) == rows


def takes_only_its_own_writing(encoded: bytes) -> None:
    try:
        rows = decode_tables(VIEWS, encoded)
    except BadInput:
        return
    assert encode_tables(VIEWS, rows) == encoded


@given(st.binary(max_size=200))
def test_any_bytes_are_tables_or_bad_input(encoded: bytes) -> None:
    takes_only_its_own_writing(encoded)


LEAVES = st.integers(-3, 70_000) | st.binary(max_size=6) | st.text("ab", max_size=2) | st.none() | st.booleans()
NESTED = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5), max_leaves=25)


@st.composite
def nearly_tables(draw: st.DrawFn) -> list[Any]:
    """Sound tables, some parts of which are replaced by anything."""
    value: Any = cbor.decode(encode_tables(VIEWS, SOME_ROWS), 1 << 20)
    for _ in range(draw(st.integers(1, 3))):
        part: Any = value
        while isinstance(part, list) and part:
            at = draw(st.integers(0, len(part) - 1))
            if not isinstance(part[at], list) or draw(st.booleans()):
                part[at] = draw(NESTED)
                break
            part = part[at]
    return list(value)


@given(nearly_tables())
def test_sound_tables_with_any_part_replaced_are_tables_or_bad_input(value: list[Any]) -> None:
    takes_only_its_own_writing(cbor.encode(value))


@given(st.lists(NESTED, max_size=4))
def test_any_array_is_tables_or_bad_input(value: list[Any]) -> None:
    takes_only_its_own_writing(cbor.encode(value))


SOUND = Batch(world.STREAM_ID, 0, 4, world.DIGEST, world.named("key"), tables=SOME_ROWS)


def reads(payload: bytes) -> None:
    try:
        batch = decode_batch(payload, {world.DIGEST: VIEWS}.get)
    except BadInput:
        return
    assert batch.last - batch.first + 1 == sum(map(len, batch.tables.values()))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_batch_or_bad_input(payload: bytes) -> None:
    reads(payload)


@given(st.integers(0, 12), NESTED)
@example(11, None)
def test_a_sound_batch_with_any_key_replaced_is_a_batch_or_bad_input(key: int, value: Any) -> None:
    payload = cbor.decode(encode_batch(SOUND, VIEWS), 1 << 20)
    assert isinstance(payload, dict)
    reads(cbor.encode(payload | {key: value}))


@given(st.binary(max_size=300))
def test_any_bytes_inflate_to_tables_or_are_bad_input(content: bytes) -> None:
    payload = cbor.decode(encode_batch(SOUND, VIEWS), 1 << 20)
    assert isinstance(payload, dict)
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    reads(cbor.encode(payload | {7: content}))
    reads(cbor.encode(payload | {7: squeeze.compress(content) + squeeze.flush()}))


@pytest.mark.parametrize("beyond", [1, 10, 50 << 20])
def test_a_bomb_of_any_size_stops_at_the_limit(beyond: int) -> None:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = squeeze.compress(bytes(MAX_TABLES_BYTES + beyond)) + squeeze.flush()
    payload = cbor.decode(encode_batch(SOUND, VIEWS), 1 << 20)
    assert isinstance(payload, dict)
    with pytest.raises(Malformed, match="inflate beyond"):
        decode_batch(cbor.encode(payload | {7: bomb}), {world.DIGEST: VIEWS}.get)


# --- gaps


@st.composite
def one_gap(draw: st.DrawFn) -> Gap:
    first, reason = draw(st.integers(0, 60)), draw(st.sampled_from(Reason))
    form = draw(st.sampled_from(["range", "count", "unknown"]))
    last = first + draw(st.integers(0, 3)) if form == "range" else None
    return Gap(first, last, draw(st.integers(0, 50)) if form == "count" else None, reason)


def told(gaps: Any) -> tuple[Counter[Reason], set[Reason]]:
    """Return the rows counted by reason, and the reasons with losses of unknown size: by the words of the format."""
    counted: Counter[Reason] = Counter()
    unknown = set()
    for gap in gaps:
        if gap.last is not None:
            counted[gap.reason] += gap.last - gap.first + 1
        elif gap.count is not None:
            counted[gap.reason] += gap.count
        else:
            unknown.add(gap.reason)
    return +counted, unknown


LIMITS = st.integers(2 * len(Reason), MAX_GAPS)


@given(st.lists(one_gap(), max_size=150), LIMITS)
def test_merging_loses_no_counted_row_and_keeps_to_the_limit(gaps: list[Gap], limit: int) -> None:
    merged = merge_gaps(gaps, limit)
    assert len(merged) <= limit
    assert told(merged) == told(gaps)


@given(st.lists(one_gap(), max_size=150), LIMITS)
def test_merged_gaps_name_no_place_before_the_first_and_no_row_that_was_not_lost(gaps: list[Gap], limit: int) -> None:
    ranged = {(gap.reason, at) for gap in gaps if gap.last is not None for at in range(gap.first, gap.last + 1)}
    places = {(gap.reason, gap.first) for gap in gaps}
    for gap in merge_gaps(gaps, limit):
        assert (gap.reason, gap.first) in places
        if gap.last is not None:
            assert all((gap.reason, at) in ranged for at in range(gap.first, gap.last + 1))


@given(st.lists(one_gap(), max_size=80), LIMITS)
def test_merging_what_is_merged_changes_nothing(gaps: list[Gap], limit: int) -> None:
    merged = merge_gaps(gaps, limit)
    assert merge_gaps(merged, limit) == merged


@given(st.lists(one_gap(), max_size=40), st.randoms())
def test_at_one_place_a_reason_is_told_once_with_a_count(gaps: list[Gap], chance: Any) -> None:
    shuffled = list(gaps)
    chance.shuffle(shuffled)
    merged = merge_gaps(shuffled)
    places = [(gap.reason, gap.first) for gap in merged if gap.last is None and gap.count is not None]
    assert len(places) == len(set(places))
    assert all(left.first <= right.first for left, right in pairwise(merged))
