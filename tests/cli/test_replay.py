"""
``edge-sdk replay``: readings in, rows out at the other end, and what is no reading passed over.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import site as sites
from tests.cli.command import Said, called
from tests.site import CANARY, LocalSite, reading

AT = 1_790_000_000_000


def replayed(capsys: pytest.CaptureFixture[str], site: LocalSite, file: Path, *more: str) -> Said:
    return called(capsys, "replay", file, "--config", site.toml, *more)


def test_readings_arrive_by_value(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    file = sites.readings_file(site.folder / "r.jsonl", 130, at_ms=AT)
    with sites.serving(site):
        said = replayed(capsys, site, file, "--timeout", "20")
    assert said.code == 0
    rows = [row for row in site.rows() if row.purpose == "monitoring"]
    assert [(row.at_ms, row.fields["energy"]) for row in rows] == [(AT + 1000 * n, n) for n in range(130)]


def test_the_same_readings_as_csv_arrive_alike_with_a_serial_of_digits(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["kind,at_ms,serial,power,energy,state"]
    lines += [f"inverter,{AT + 1000 * n},0408000{n % 3},{100 + n / 10},{n},on" for n in range(10)]
    (site.folder / "r.csv").write_text("\n".join(lines))
    with sites.serving(site):
        assert replayed(capsys, site, site.folder / "r.csv", "--timeout", "20").code == 0
    rows = sorted((row for row in site.rows() if row.purpose == "monitoring"), key=lambda row: row.at_ms)
    assert [(row.fields["serial"], row.fields["energy"]) for row in rows] == [
        (f"0408000{n % 3}", n) for n in range(10)
    ]


def test_lines_that_are_no_reading_are_counted_and_five_told(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    good = json.dumps({"kind": "inverter", "at_ms": AT, "fields": reading(1)})
    (site.folder / "r.jsonl").write_text("\n".join([CANARY] * 9 + [good] + [good[:-1]]) + "\n")
    said = replayed(capsys, site, site.folder / "r.jsonl", "--keep")
    assert said.code == 0
    assert said.out == "readings 1, taken 1, not taken 0, lines that are no reading 10; batches left 0\n"
    assert [line for line in said.err.splitlines() if line.startswith("line ")] == [
        f"line {number}: not JSON" for number in range(1, 6)
    ]
    assert CANARY not in said.err


def test_a_missing_file_is_told_by_name(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = replayed(capsys, site, site.folder / "none.jsonl")
    assert said.code == 2
    assert "there is no file none.jsonl" in said.err


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00" * 5_000, b"\xff" * 3_000_000, b"{}\n[]\n"])
@pytest.mark.parametrize("name", ["r.jsonl", "r.csv"])
def test_a_file_without_a_reading_is_bad_input(
    site: LocalSite, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.folder / name).write_bytes(content)
    said = replayed(capsys, site, site.folder / name, "--keep")
    assert said.code == 4
    assert f"edge-sdk: {name} holds no reading" in said.err


def test_a_folder_in_place_of_the_file_is_told_by_name(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = replayed(capsys, site, site.state)
    assert said.code == 2
    assert "cannot read state: EISDIR\n  check the path: this is a folder" in said.err


def test_when_nothing_is_taken_the_reason_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = sites.local_site(tmp_path, granted=())
    meter = {"kind": "meter", "at_ms": AT, "fields": {"serial": CANARY, "power": 1}}
    (site.folder / "r.jsonl").write_text(json.dumps(meter))
    said = replayed(capsys, site, site.folder / "r.jsonl", "--keep")
    assert "taken 0, not taken 1" in said.out
    assert "research: not granted yet. The operator grants it" in said.err


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"kind": "inverter", "fields": {}}', "at_ms is missing"),
        ('{"kind": 7, "at_ms": 1, "fields": {}}', "kind is no text"),
        ('{"kind": "inverter", "at_ms": true, "fields": {}}', "at_ms is no whole number"),
        ('{"kind": "inverter", "at_ms": 1, "fields": []}', "fields is no object"),
    ],
)
def test_of_a_line_that_is_no_reading_the_part_that_is_wrong_is_told(
    site: LocalSite, line: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.folder / "r.jsonl").write_text(line)
    assert f"line 1: {why}\n" in replayed(capsys, site, site.folder / "r.jsonl", "--keep").err


def test_of_readings_that_nobody_took_it_is_told_what_was_counted(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.folder / "r.jsonl").write_text(json.dumps({"kind": "toaster", "at_ms": AT, "fields": {"serial": CANARY}}))
    said = replayed(capsys, site, site.folder / "r.jsonl", "--keep")
    assert "counted meanwhile: unknown kind 1\n" in said.err


def test_cut_closes_open_windows(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    file = sites.readings_file(site.folder / "r.jsonl", 10, at_ms=AT)
    with sites.serving(site):
        assert replayed(capsys, site, file, "--timeout", "20").code == 0
        assert [row for row in site.rows() if row.purpose == "improvement"] == []
        assert replayed(capsys, site, file, "--timeout", "20", "--cut").code == 0
    rows = [row for row in site.rows() if row.purpose == "improvement"]
    assert [(row.partial, row.count) for row in rows] == [(True, 20)]


def test_progress_is_told_in_a_few_plain_lines_where_there_is_no_terminal(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sites.readings_file(site.folder / "r.jsonl", 500, at_ms=AT)
    said = replayed(capsys, site, file, "--keep")
    lines = said.err.splitlines()
    assert 5 <= len(lines) <= 10
    size = file.stat().st_size
    assert lines[-1] == f"replay: {size} of {size}"
