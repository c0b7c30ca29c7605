"""
``edge-sdk preview``: what each purpose would get, from the entry that a device uses.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.cli import main
from edge_sdk.cli.preview import MAX_READINGS, rule_text
from edge_sdk.core.policy import ViewField
from tests.unit.cli.terminal import on_a_terminal
from tests.unit.policy_texts import TEXT, edited, policy

AT_MS = 1_760_000_100_000  # a multiple of 5 min: the windows below are whole
SERIAL = "408000123456"
Preview = Callable[..., list[str]]


def reading(minutes: int = 0, kind: str = "inverter", **fields: Any) -> str:
    return json.dumps({"kind": kind, "at_ms": AT_MS + minutes * 60_000, "fields": {"serial": SERIAL, **fields}})


@pytest.fixture
def preview(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Preview:
    """Run the command with lines on standard input and return the lines it prints."""

    def run(*lines: str, text: str = TEXT, code: int = 0) -> list[str]:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
        assert main(["preview", str(path)]) == code
        captured = capsys.readouterr()
        return (captured.err if code else captured.out).splitlines()

    return run


def cells(lines: list[str], name: str) -> list[str]:
    line = next(line for line in lines if line.split()[:1] == [name])
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def view_field(name: str, purpose: str, text: str = TEXT) -> ViewField:
    fields = policy(text).purposes[purpose].views[0].fields
    return next(entry for entry in fields if entry.field.name == name)


# ------------------------------------------------------------------------------------------------ readings


def test_a_window_shows_what_the_readings_given_make_of_it(preview: Preview) -> None:
    lines = preview(*(reading(minute, power=100.0 + minute) for minute in range(5)))
    assert cells(lines, "power") == ["power", "104.0", "100", "[100.0,1000.0]"]


def test_a_field_without_a_view_is_a_dash(preview: Preview) -> None:
    assert cells(preview(reading(starts=3)), "starts") == ["starts", "3", "-", "3"]


def test_an_undeclared_field_is_shown_and_leaves_for_nobody(preview: Preview) -> None:
    assert cells(preview(reading(ssid="home")), "ssid") == ["ssid", "home", "-", "-"]


def test_a_pseudonym_is_shown_as_its_recipient_reads_it(preview: Preview) -> None:
    _, read, kept, named = cells(preview(reading(starts=3)), "serial")
    assert (read, kept, len(bytes.fromhex(named))) == (SERIAL, SERIAL, 16)


def test_a_bad_value_leaves_its_field_empty(preview: Preview) -> None:
    assert cells(preview(reading(starts="many")), "starts") == ["starts", "many", "-", "empty"]


def test_a_value_that_is_nowhere_read_is_a_dash(preview: Preview) -> None:
    assert cells(preview(reading(starts=None)), "starts") == ["starts", "-", "-", "empty"]


def test_a_reading_that_is_dropped_leaves_no_row(preview: Preview) -> None:
    line = json.dumps({"kind": "inverter", "at_ms": AT_MS, "fields": {"starts": 3}})
    assert cells(preview(line), "starts") == ["starts", "3", "-", "no row"]


def test_the_last_row_is_of_the_source_that_was_read_last(preview: Preview) -> None:
    other = json.dumps({"kind": "inverter", "at_ms": AT_MS, "fields": {"serial": "other", "starts": 9}})
    assert cells(preview(other, reading(starts=3)), "starts") == ["starts", "3", "-", "3"]


def test_rows_are_counted_over_all_sources(preview: Preview) -> None:
    other = json.dumps({"kind": "inverter", "at_ms": AT_MS, "fields": {"serial": "other", "starts": 9}})
    lines = preview(other, reading(starts=3))
    assert [cells(lines, name)[-2] for name in ("monitoring", "support")] == ["2", "2"]


def test_a_window_that_was_cut_counts_as_partial(preview: Preview) -> None:
    assert cells(preview(reading(power=1.0)), "monitoring")[-2:] == ["1", "1"]


def test_what_is_dropped_is_counted_by_reason(preview: Preview) -> None:
    lines = preview(reading(ssid="x", kind="inverter"), reading(kind="nothing"), reading(-1_000_000_000))
    assert {"dropped: unknown fields 1", "dropped: unknown kind 1", "dropped: clock 1"} <= set(lines)


def test_a_late_reading_is_counted(preview: Preview) -> None:
    lines = preview(reading(30, power=1.0), reading(0, power=1.0))
    assert "dropped: late 1" in lines


def test_a_kind_without_readings_is_not_shown(preview: Preview) -> None:
    assert not any(line.startswith("inverter") for line in preview(reading(kind="nothing")))


def test_a_long_value_is_cut(preview: Preview) -> None:
    assert cells(preview(reading(mac="x" * 100)), "mac")[1] == "x" * 40 + "..."


def test_a_value_cannot_write_to_the_terminal(preview: Preview) -> None:
    assert "\x1b" not in "".join(preview(reading(mac="\x1b[2J")))


# -------------------------------------------------------------------------------------------------- plans


def test_without_readings_the_plan_is_shown(preview: Preview) -> None:
    assert cells(preview(), "power") == [
        "power", "number W", "mean, clipped to 0 .. 5000 W, to 10 W", "band 100 | 1000 W",
    ]  # fmt: skip


def test_the_plan_names_how_often_a_view_has_a_row(preview: Preview) -> None:
    assert cells(preview(), "field")[2:] == ["monitoring (every 5min)", "support (each reading at once)"]


def test_the_plan_says_when_no_purpose_has_a_kind(preview: Preview) -> None:
    meter = '[kinds.meter]\nsource = "id"\n[kinds.meter.fields]\nid = { class = "device_identifier", type = "text" }\n'
    lines = preview(text=edited("[purposes.monitoring]", f"{meter}[purposes.monitoring]"))
    assert "meter, told apart by id: no purpose has any of it" in lines


@pytest.mark.parametrize(
    ("name", "purpose", "words"),
    [
        ("serial", "monitoring", "kept"),
        ("serial", "support", "pseudonym for 30d"),
        ("mac", "support", "masked after 8 characters"),
        ("place", "support", "1 decimals"),
        ("lan_ip", "monitoring", "last, first 16 bits"),
        ("energy", "monitoring", "delta, to 100 Wh"),
        ("starts", "support", "kept"),
    ],
)
def test_a_rule_is_told_in_words(name: str, purpose: str, words: str) -> None:
    assert rule_text(view_field(name, purpose)) == words


def test_a_shortened_text_is_told_in_words() -> None:
    text = edited("mask = 8", "truncate_text = 8")
    assert rule_text(view_field("mac", "support", text)) == "first 8 characters"


def test_a_plan_is_drawn_as_a_table_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    assert "━" in on_a_terminal("preview", str(tmp_path / "mine.toml"))


# ---------------------------------------------------------------------------------------------- bad input


def test_a_line_that_is_no_reading_exits_4_with_its_number(preview: Preview) -> None:
    told = preview(reading(), "{secret", code=4)
    assert told[0] == "edge-sdk: standard input, line 2: not JSON"


def test_a_bad_line_is_not_repeated(preview: Preview) -> None:
    assert "secret" not in "".join(preview("{secret", code=4))


def test_more_readings_than_fit_exit_4(preview: Preview) -> None:
    told = preview(*([reading()] * (MAX_READINGS + 1)), code=4)
    assert f"more than {MAX_READINGS} readings" in told[0]


def test_a_wrong_policy_exits_2(preview: Preview) -> None:
    assert 'did you mean "consent"?' in preview(text=edited('"consent"', '"consnt"'), code=2)[0]
