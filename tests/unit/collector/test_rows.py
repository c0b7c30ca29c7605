"""
Rows as a recipient reads them: exact, labelled, in two text formats; nothing a device could not have written.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from edge_sdk.collector.rows import batch_rows, csv_lines, field_columns, json_line, json_text, json_value
from edge_sdk.core.batch import Batch, ClockQuality
from edge_sdk.core.policy import (
    Basis,
    Field,
    FieldClass,
    FieldType,
    Kind,
    Purpose,
    TextRule,
    View,
    ViewField,
    Window,
)
from edge_sdk.core.units import Step
from edge_sdk.errors import Malformed

STREAM = bytes(range(16))


def field(name: str, kind: FieldType = FieldType.NUMBER, **more: Any) -> Field:
    return Field(name=name, cls=FieldClass.TELEMETRY, type=kind, **more)


def purpose(*view_fields: ViewField, every_ms: int | None = None) -> Purpose:
    kind = Kind("inverter", view_fields[0].field.name, 8, tuple(item.field for item in view_fields))
    view = View(kind, view_fields, every_ms)
    return Purpose("care", Basis.CONTRACT, "", "op", ("EU",), 1, 1000, (), (view,))


def rows_of(purpose: Purpose, *rows: tuple[Any, ...], first: int = 7) -> list[Any]:
    batch = Batch(STREAM, first, first + len(rows) - 1, bytes(32), bytes(32), tables={0: rows})
    return list(batch_rows(batch, purpose))


def value_of(view_field: ViewField, value: Any) -> Any:
    return rows_of(purpose(view_field), (1000, value))[0].fields[view_field.field.name]


def test_rows_are_numbered_in_table_order() -> None:
    care = purpose(ViewField(field("p")))
    assert [row.seq for row in rows_of(care, (1, 5), (2, 6), (3, 7))] == [7, 8, 9]


def test_a_number_is_its_exact_decimal() -> None:
    assert str(value_of(ViewField(field("p", step=Step(1, -1)), factor=5), 463)) == "231.5"
    assert str(value_of(ViewField(field("p", step=Step(25, -2))), -3)) == "-0.75"


def test_a_number_in_whole_steps_is_a_whole_number() -> None:
    assert value_of(ViewField(field("e"), factor=100), 42) == 4200
    assert isinstance(value_of(ViewField(field("e"), factor=100), 42), int)


def test_the_scaled_form_is_what_was_sent() -> None:
    row = rows_of(purpose(ViewField(field("p", step=Step(1, -1)))), (1, 2315))[0]
    assert row.scaled == {"p": 2315}


def test_a_missing_value_is_null() -> None:
    assert value_of(ViewField(field("p")), None) is None


def test_enum_flags_and_bool_are_named() -> None:
    labels = ("off", "on", "fault")
    assert value_of(ViewField(field("s", FieldType.ENUM, values=labels)), 2) == "fault"
    assert value_of(ViewField(field("s", FieldType.FLAGS, values=labels)), 5) == ["off", "fault"]
    assert value_of(ViewField(field("s", FieldType.BOOL)), 1) is True


def test_counting_an_enum_gives_a_number() -> None:
    assert value_of(ViewField(field("s", FieldType.ENUM, values=("a",)), window=Window.COUNT), 17) == 17


def test_a_band_shows_its_edges() -> None:
    banded = ViewField(field("p", step=Step(1, -1)), band=(100, 250))
    assert value_of(banded, 0) == [None, Decimal("10.0")]
    assert value_of(banded, 1) == [Decimal("10.0"), Decimal("25.0")]
    assert value_of(banded, 2) == [Decimal("25.0"), None]


def test_a_pseudonym_is_hexadecimal() -> None:
    named = ViewField(field("serial", FieldType.TEXT), text=TextRule.PSEUDONYM)
    assert value_of(named, b"\xab" * 16) == "ab" * 16


def test_a_window_tells_count_partial_and_length() -> None:
    care = purpose(ViewField(field("p"), window=Window.MEAN), every_ms=300_000)
    whole, cut = rows_of(care, (0, 12, 5), (300_000, -3, 5))
    assert (whole.count, whole.partial, whole.length_ms) == (12, False, 300_000)
    assert (cut.count, cut.partial, cut.length_ms) == (3, True, 300_000)


@pytest.mark.parametrize(
    ("view_field", "value"),
    [
        (ViewField(field("p")), 1 << 63),
        (ViewField(field("p")), "text"),
        (ViewField(field("s", FieldType.ENUM, values=("a",))), 1),
        (ViewField(field("s", FieldType.FLAGS, values=("a",))), 2),
        (ViewField(field("s", FieldType.BOOL)), 2),
        (ViewField(field("s", FieldType.BOOL)), -1),
        (ViewField(field("p"), band=(1,)), 2),
        (ViewField(field("t", FieldType.TEXT), text=TextRule.KEEP), b"bytes"),
        (ViewField(field("t", FieldType.TEXT), text=TextRule.PSEUDONYM), "raw"),
        (ViewField(field("t", FieldType.TEXT), text=TextRule.PSEUDONYM), b"short"),
    ],
)
def test_what_the_view_cannot_produce_is_malformed(view_field: ViewField, value: Any) -> None:
    with pytest.raises(Malformed):
        value_of(view_field, value)


@pytest.mark.parametrize("at_ms", [-1, 1 << 53])
def test_a_time_no_clock_shows_is_malformed(at_ms: int) -> None:
    with pytest.raises(Malformed):
        rows_of(purpose(ViewField(field("p"))), (at_ms, 1))


def test_a_window_of_nothing_is_malformed() -> None:
    with pytest.raises(Malformed):
        rows_of(purpose(ViewField(field("p"), window=Window.MEAN), every_ms=1000), (0, 0, 1))


def test_a_json_line_has_exact_numbers_and_the_promised_keys() -> None:
    care = purpose(ViewField(field("p", step=Step(1, -1)), window=Window.MEAN), every_ms=1000)
    line = json_line(rows_of(care, (5000, -2, 2310))[0])
    assert '"fields":{"p":231.0}' in line
    assert json.loads(line) == {
        "stream": STREAM.hex(), "seq": 7, "purpose": "care", "kind": "inverter", "at_ms": 5000, "count": 2,
        "partial": True, "length_ms": 1000, "fields": {"p": 231.0}, "clock": "wall",
    }  # fmt: skip


def test_a_row_that_is_no_window_has_no_window_keys() -> None:
    line = json.loads(json_line(rows_of(purpose(ViewField(field("p"))), (5, 1))[0]))
    assert not {"count", "partial", "length_ms"} & line.keys()


def test_json_text_comes_back_digit_by_digit() -> None:
    value = {"a": Decimal("0.10"), "b": [None, Decimal("1E+3")], "c": "ü\n", "d": True, "e": 10**20}
    text = json_text(value)
    assert '"a":0.10' in text
    assert json_value(text) == value


def test_csv_has_a_column_for_each_field_and_quotes_what_must_be() -> None:
    care = purpose(ViewField(field("t", FieldType.TEXT), text=TextRule.KEEP), ViewField(field("p")))
    lines = list(csv_lines(rows_of(care, (5, 'a,"b"\n', None)), field_columns([care])))
    assert lines[0] == "stream,seq,purpose,kind,at_ms,count,partial,length_ms,clock,t,p"
    assert lines[1] == f'{STREAM.hex()},7,care,inverter,5,,,,wall,"a,""b""\n",'


def test_a_row_timed_from_the_floor_says_so_until_it_is_put_right() -> None:
    care = purpose(ViewField(field("p")))
    batch = Batch(STREAM, 0, 0, bytes(32), bytes(32), clock=ClockQuality.FLOOR, boot=bytes(16), tables={0: [(5, 1)]})
    (row,) = batch_rows(batch, care)
    assert (row.clock, row.at_ms) == ("floor", 5)
    assert (row.moved(100).clock, row.moved(100).at_ms) == ("wall", 105)
