from __future__ import annotations

from typing import Any

import pytest

from edge_sdk.core import cbor
from edge_sdk.core.policy import FieldType, TextRule, View, ViewField, Window
from edge_sdk.core.table import MAX_ROWS, Grouped, Memory, Row, decode_tables, encode_tables, unpack
from edge_sdk.errors import Malformed
from tests.minimising import SERIAL, field, keep, kind_of, view_of

POWER = field("power")
NOTE = field("note", FieldType.TEXT)
KIND = kind_of(POWER, NOTE)
ALONE = view_of(KIND, ViewField(POWER))
GROUPED = view_of(KIND, keep(SERIAL), ViewField(POWER))
NOTED = view_of(KIND, keep(NOTE))
WINDOWED = view_of(KIND, ViewField(SERIAL, text=TextRule.PSEUDONYM), ViewField(POWER, Window.MEAN), every_ms=1000)


def round_trip(view: View, rows: list[Row]) -> list[Row]:
    return decode_tables([view], encode_tables([view], {0: rows}))[0]


@pytest.mark.parametrize(
    ("view", "rows"),
    [
        (ALONE, [(5, 1)]),
        (ALONE, [(5, None), (6, -7), (4, None), (9, 0)]),
        (ALONE, [(at, None) for at in range(9)]),
        (ALONE, [(0, (1 << 62) - 1), (1 << 50, 1 - (1 << 62))]),
        (GROUPED, [(1, "A", 100), (1, "B", 9000), (2, "A", 101), (2, "B", None)]),
        (NOTED, [(1, "a"), (2, None), (3, ""), (4, "a"), (5, "é")]),
        (NOTED, [(at, str(at % 1000)) for at in range(1001)]),
        (WINDOWED, [(0, 3, b"x" * 16, 5), (0, -2, b"y" * 16, None)]),
    ],
)
def test_rows_come_back_as_they_were(view: View, rows: list[Row]) -> None:
    assert round_trip(view, rows) == rows


def test_views_without_rows_take_no_space() -> None:
    encoded = encode_tables([ALONE, GROUPED, NOTED], {2: [(1, "a")], 0: [(1, 2)], 1: []})
    assert decode_tables([ALONE, GROUPED, NOTED], encoded) == {0: [(1, 2)], 2: [(1, "a")]}


def test_no_rows_at_all_are_one_byte() -> None:
    assert encode_tables([ALONE], {}) == b"\x80"


def pack(values: list[int], groups: list[int]) -> bytes:
    return Grouped(groups).pack(tuple(values))


@pytest.mark.parametrize("least", [-(1 << 62), -64, -1, 0, 1, 63, 64, 8191, 8192, (1 << 20) - 1, 1 << 20, 1 << 40])
@pytest.mark.parametrize("most", [0, 1, 63, 64, 8191, 8192, (1 << 20) - 1, 1 << 20, (1 << 62) - 1])
def test_the_first_values_of_groups_are_packed_as_each_would_be_alone(least: int, most: int) -> None:
    values = [least, most, (least + most) // 2, least, max(least, most - 1)]
    assert pack(values, [*range(5)]) == b"".join(pack([value], [0]) for value in values)


def test_tables_encoded_together_are_those_encoded_apart() -> None:
    rows = [(1, "A", 5), (2, "B", None), (3, "A", 7)], [(1, "A", 6), (2, "B", 4), (3, "A", 7)], [(1, "B", 6)]
    memory = Memory()
    together = [encode_tables([GROUPED], {0: some}, memory) for some in (*rows, *rows)]
    assert together == [encode_tables([GROUPED], {0: some}) for some in (*rows, *rows)]


def test_each_source_is_compared_with_itself() -> None:
    assert pack([1000, 9000, 1001, 9001], [0, 1, 0, 1]) == pack([1000, 9000, 1, 1], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("value", "packed"), [(0, "00"), (-1, "01"), (1, "02"), (63, "7e"), (64, "8001"), (-65, "8101"), (300, "d804")]
)
def test_a_number_is_a_zigzag_varint(value: int, packed: str) -> None:
    assert pack([value], [0]).hex() == packed


@pytest.mark.parametrize(
    "packed", ["", "80", "8000", "ff" * 9 + "02", "ff" * 10 + "01", "80" * 400 + "01", "0202", "02" * 3]
)
def test_a_column_that_pack_never_wrote_is_malformed(packed: str) -> None:
    with pytest.raises(Malformed, match="column"):
        unpack(bytes.fromhex(packed), [0], 1)


def test_a_varint_of_megabytes_is_refused_at_its_eleventh_byte() -> None:
    with pytest.raises(Malformed, match="at byte 10"):
        unpack(b"\x80" * (8 << 20), [0], 1)


COLUMN = b"\x02\x02"
SOUND: list[Any] = [0, 2, [COLUMN], [COLUMN]]
NUMBERED = [b"\x01", b"\x02"]


def test_the_sound_table_of_these_tests_is_sound() -> None:
    assert decode_tables([ALONE], cbor.encode([SOUND])) == {0: [(1, 1), (2, 2)]}
    assert decode_tables([ALONE], cbor.encode([[0, 2, [COLUMN], [NUMBERED]]])) == {0: [(1, 1), (2, None)]}


@pytest.mark.parametrize(
    "tables",
    [
        5,
        {0: SOUND},
        ["table"],
        [SOUND[:3]],
        [[True, *SOUND[1:]]],
        [[1, *SOUND[1:]]],
        [[-1, *SOUND[1:]]],
        [SOUND, SOUND],
        [[0, 0, [b""], [b""]]],
        [[0, True, [b"\x02"], [b"\x02"]]],
        [[0, MAX_ROWS + 1, [bytes(MAX_ROWS + 1)], [bytes(MAX_ROWS + 1)]]],
        [[0, 2, COLUMN, [COLUMN]]],
        [[0, 2, [COLUMN, COLUMN], [COLUMN]]],
        [[0, 2, [COLUMN], COLUMN]],
        [[0, 2, [COLUMN], [COLUMN, COLUMN]]],
        [[0, 2, ["text"], [COLUMN]]],
        [[0, 2, [COLUMN], [None]]],
        [[0, 2, [COLUMN], [[b"\x01"]]]],
        [[0, 2, [COLUMN], [["text", b"\x02"]]]],
        [[0, 2, [COLUMN], [[b"", b"\x02"]]]],
        [[0, 2, [COLUMN], [[b"\x01\x00", b"\x02"]]]],
        [[0, 2, [COLUMN], [[b"\x05", b"\x02\x02"]]]],
        [[0, 2, [COLUMN], [[b"\x03", COLUMN]]]],
        [[0, 2, [COLUMN], [[b"\x01", COLUMN]]]],
    ],
)
def test_tables_that_no_device_wrote_are_malformed(tables: Any) -> None:
    with pytest.raises(Malformed):
        decode_tables([ALONE], cbor.encode(tables))


@pytest.mark.parametrize(
    "words",
    [
        5,
        [["a"]],
        ["a", b"\x02\x00"],
        [[7], b"\x02\x00"],
        [["a", "a"], b"\x02\x02"],
        [["a"], b"\x04\x00"],
        [["a"], b"\x01\x00"],
        [["a", "b"], b"\x04\x01"],
        [["a", "b"], b"\x02\x00"],
        [["a"], "text"],
    ],
)
def test_words_out_of_order_unused_or_repeated_are_malformed(words: Any) -> None:
    with pytest.raises(Malformed, match="column: "):
        decode_tables([NOTED], cbor.encode([[0, 2, [COLUMN], [words]]]))


def test_a_row_of_a_view_with_its_source_has_one() -> None:
    with pytest.raises(Malformed, match="words and places"):
        decode_tables([GROUPED], cbor.encode([[0, 1, [b"\x02"], [[[], b"\x00"], b"\x02"]]]))


def test_no_message_repeats_a_word() -> None:
    with pytest.raises(Malformed) as caught:
        decode_tables([NOTED], cbor.encode([[0, 2, [COLUMN], [[["CANARY", "CANARY"], COLUMN]]]]))
    assert "CANARY" not in str(caught.value)
