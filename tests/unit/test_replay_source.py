"""
Recorded readings: what is one, what is none, and that a line's content is in no message.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_sdk.policy_file import load_policy
from edge_sdk.sources.replay import MAX_LINE_BYTES, BadLine, Recorded, read_csv, read_jsonl
from tests.site import CANARY, POLICY

KINDS = load_policy(POLICY, where="policy.toml").kinds
AT = 1_790_000_000_000


def csv_of(*lines: str) -> list[Recorded | BadLine]:
    return list(read_csv([line.encode() + b"\n" for line in lines], KINDS))


def test_a_json_line_is_a_reading() -> None:
    line = json.dumps({"kind": "inverter", "at_ms": AT, "fields": {"serial": CANARY}}).encode()
    assert list(read_jsonl([b"\n", line, b"  \n"])) == [Recorded("inverter", AT, {"serial": CANARY})]


BAD_LINES: dict[str, Any] = {
    "no JSON": CANARY.encode(),
    "not UTF-8": b'{"kind": "\xff\xfe"}',
    "a list": b"[1]",
    "a number": b"5",
    "cut short": b'{"kind": "' + CANARY.encode(),
    "nested to exhaust": b"[" * 100_000,
    "longer than the limit": b"x" * (MAX_LINE_BYTES + 1),
    "no kind": json.dumps({"at_ms": AT, "fields": {}}).encode(),
    "a kind that is no text": json.dumps({"kind": 5, "at_ms": AT, "fields": {}}).encode(),
    "a time with a fraction": json.dumps({"kind": "x", "at_ms": 1.5, "fields": {}}).encode(),
    "a time that is true": json.dumps({"kind": "x", "at_ms": True, "fields": {}}).encode(),
    "fields that are no object": json.dumps({"kind": "x", "at_ms": AT, "fields": [CANARY]}).encode(),
    "one key more": json.dumps({"kind": "x", "at_ms": AT, "fields": {}, CANARY: 1}).encode(),
    "an integer of 5000 digits": b'{"kind": "x", "at_ms": ' + b"9" * 5_000 + b', "fields": {}}',
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_line_that_is_no_reading_is_told_by_number_and_passed_over(name: str) -> None:
    good = json.dumps({"kind": "x", "at_ms": AT, "fields": {}}).encode()
    bad, after = read_jsonl([BAD_LINES[name], good])
    assert isinstance(bad, BadLine)
    assert bad.number == 1
    assert CANARY not in bad.why
    assert after == Recorded("x", AT, {})


def test_a_csv_cell_is_read_as_the_type_the_policy_declares() -> None:
    header = "kind,at_ms,serial,power,energy,state"
    (found,) = csv_of(header, f"inverter,{AT},00408000123456,231.5,4711,on")
    assert found == Recorded(
        "inverter", AT, {"serial": "00408000123456", "power": 231.5, "energy": 4711, "state": "on"}
    )


def test_an_empty_cell_is_an_absent_value_and_a_short_row_has_fewer() -> None:
    header = "kind,at_ms,serial,power"
    assert csv_of(header, f"inverter,{AT},a,") == [Recorded("inverter", AT, {"serial": "a"})]
    assert csv_of(header, f"inverter,{AT},a") == [Recorded("inverter", AT, {"serial": "a"})]


def test_columns_may_stand_in_any_order_and_the_file_begin_with_a_byte_order_mark() -> None:
    assert csv_of("\ufeffserial,at_ms,kind", f"a,{AT},inverter") == [Recorded("inverter", AT, {"serial": "a"})]


@pytest.mark.parametrize("cell", ["1_000", "\u0661\u0662", "nan", "inf", "0x10", " 5", "1e"])
def test_what_only_python_takes_for_a_number_stays_text(cell: str) -> None:
    (found,) = csv_of("kind,at_ms,serial,power", f"inverter,{AT},a,{cell}")
    assert isinstance(found, Recorded)
    assert found.fields["power"] == cell


@pytest.mark.parametrize("header", ["", "kind,serial", CANARY, '"' + "x" * 200_000, '"unclosed'])
def test_a_csv_without_its_header_is_one_bad_line(header: str) -> None:
    (bad,) = csv_of(header, f"inverter,{AT}")
    assert bad == BadLine(1, "the header has no columns kind and at_ms")


@pytest.mark.parametrize("row", [f",{AT},a", "inverter,,a", "inverter,soon,a", "inverter,1.5,a", "x"])
def test_a_row_without_kind_or_time_is_told_by_line(row: str) -> None:
    assert csv_of("kind,at_ms,serial", row, f"inverter,{AT},b") == [
        BadLine(2, "kind or at_ms is missing"),
        Recorded("inverter", AT, {"serial": "b"}),
    ]


def test_an_overlong_cell_is_a_bad_line_and_the_rest_is_read() -> None:
    found = csv_of("kind,at_ms,serial", f"inverter,{AT},{'x' * 200_000}", f"inverter,{AT},b")
    assert found[0] == BadLine(2, "not CSV")
    assert found[-1] == Recorded("inverter", AT, {"serial": "b"})


def test_bytes_that_are_not_utf8_come_through_as_what_no_field_takes() -> None:
    (found,) = read_csv([b"kind,at_ms,serial\n", b"inverter,%d,\xff\xfe\n" % AT], KINDS)
    assert isinstance(found, Recorded)
    assert found.fields["serial"] == "\udcff\udcfe"
