from __future__ import annotations

from typing import Any

import pytest

from edge_sdk.core import cbor
from edge_sdk.core.pending import decode_pending, encode_pending
from edge_sdk.core.policy import FieldType, TextRule, ViewField, Window
from edge_sdk.core.table import Memory, Row, encode_tables
from edge_sdk.errors import Malformed
from tests.minimising import SERIAL, field, keep, kind_of, view_of

POWER = field("power")
KIND = kind_of(POWER, field("note", FieldType.TEXT))
EACH = view_of(KIND, keep(SERIAL), ViewField(POWER))
HIDDEN = view_of(KIND, ViewField(SERIAL, text=TextRule.PSEUDONYM), ViewField(POWER, Window.MEAN), every_ms=1000)
SHOWN = view_of(KIND, keep(SERIAL), ViewField(POWER, Window.SUM), every_ms=1000)
VIEWS = [EACH, HIDDEN, SHOWN]
ROWS: dict[int, list[Row]] = {
    0: [(1, "A", 100), (1, "B", None)],
    1: [(0, 3, b"x" * 16, 5), (1000, -2, b"y" * 16, None)],
    2: [(0, 3, "A", (1 << 62) - 1), (1000, -2, "B", 1 - (1 << 62))],
}


@pytest.mark.parametrize("at", ROWS)
def test_rows_that_wait_come_back_as_they_were(at: int) -> None:
    assert decode_pending(VIEWS, encode_pending(VIEWS, at, ROWS[at])) == {at: ROWS[at]}


@pytest.mark.parametrize("at", ROWS)
def test_rows_that_were_stored_as_columns_are_read(at: int) -> None:
    assert decode_pending(VIEWS, encode_tables(VIEWS, {at: ROWS[at]})) == {at: ROWS[at]}


def test_rows_encoded_together_are_those_encoded_apart() -> None:
    memory = Memory()
    for at in (*ROWS, *ROWS):
        assert encode_pending(VIEWS, at, ROWS[at], memory) == encode_pending(VIEWS, at, ROWS[at])


@pytest.mark.parametrize(
    "stored",
    [
        {}, [1], [1, 4], [1, 4, [0] * 4, 0], [-1, 4, [0] * 4], [3, 4, [0] * 4], [0, 3, [0] * 3], [1, 3, [0] * 3],
        [1, True, [0]], [1, 4, [0] * 5], [1, 4, 5], [1, 4, b"abcd"], [1, 4, {1: 2}], [None, 4, [0] * 4], [True],
    ],
)  # fmt: skip
def test_what_no_gateway_stores_is_refused(stored: Any) -> None:
    with pytest.raises(Malformed):
        decode_pending(VIEWS, cbor.encode(stored))


def test_a_view_that_has_windows_no_more_takes_none_of_their_rows() -> None:
    with pytest.raises(Malformed, match="no view of windows"):
        decode_pending([EACH, EACH, EACH], encode_pending(VIEWS, 1, ROWS[1]))
