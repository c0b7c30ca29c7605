"""
``edge-sdk collector``: founded once, served on a free port, rows for programs and for spreadsheets.
"""

from __future__ import annotations

import csv
import io
import json
import socket
from pathlib import Path

import pytest

from edge_sdk import Gateway
from tests import site as sites
from tests.cli.command import Said, called, run
from tests.site import CANARY, POLICY, LocalSite, reading


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> LocalSite:
    site = sites.local_site(tmp_path_factory.mktemp("delivered"))
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        for number in range(20):
            gateway.record("inverter", reading(number))
        gateway.record("inverter", {**reading(1), "serial": None})
        gateway.record("alarm", {"serial": 'a "b", c', "code": 7})
        assert gateway.drain(20, cut=True) == 0
    return site


def test_rows_are_json_lines(delivered: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "collector", "rows", delivered.collector)
    assert said.code == 0
    rows = [json.loads(line) for line in said.out.splitlines()]
    monitoring = [row for row in rows if row["purpose"] == "monitoring"]
    assert [row["fields"] for row in monitoring] == [
        {"serial": CANARY, "power": round(100 + n / 10, 1), "energy": n, "state": "on"} for n in range(20)
    ]
    (improvement,) = [row for row in rows if row["purpose"] == "improvement"]
    assert (improvement["partial"], improvement["count"]) == (True, 20)


def test_the_same_rows_are_csv_that_any_reader_takes(delivered: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "collector", "rows", delivered.collector, "--format", "csv")
    table = list(csv.DictReader(io.StringIO(said.out)))
    assert len(table) == 22
    monitoring = [row for row in table if row["purpose"] == "monitoring"]
    assert [int(row["energy"]) for row in monitoring] == list(range(20))
    assert {row["serial"] for row in table if row["kind"] == "alarm"} == {'a "b", c'}


def test_gaps_are_told_with_their_reasons(delivered: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "collector", "rows", delivered.collector, "--gaps")
    gaps = [json.loads(line) for line in said.out.splitlines()]
    assert {gap["reason"] for gap in gaps} == {"invalid"}
    assert all(gap["count"] == 1 for gap in gaps)


def test_devices_are_listed_with_their_grants(delivered: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "collector", "devices", delivered.collector)
    assert said.code == 0
    assert "account active  statement 1" in said.out
    assert "improvement: given" in said.out


@pytest.mark.parametrize("verb", ["rows", "devices", "enrol-code", "serve"])
def test_a_folder_without_a_collector_is_told_by_name(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = called(capsys, "collector", verb, tmp_path / "none")
    assert said.code == 2
    assert said.err.startswith("edge-sdk: there is no collector in the folder none\n")
    assert not (tmp_path / "none").exists()


def founded(capsys: pytest.CaptureFixture[str], folder: Path, *more: str) -> Said:
    policy = folder.parent / "policy.toml"
    policy.write_text(POLICY)
    return called(capsys, "collector", "init", folder, "--policy", policy, "--region", "EU", *more)


def test_a_collector_is_founded_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = founded(capsys, tmp_path / "c")
    assert said.code == 0
    assert f"root to pin on devices: {tmp_path / 'c' / 'root.cose'}" in said.out
    root = (tmp_path / "c" / "root.cose").read_bytes()
    again = founded(capsys, tmp_path / "c")
    assert again.code == 2
    assert again.err.startswith("edge-sdk: the folder c already holds a collector\n")
    assert (tmp_path / "c" / "root.cose").read_bytes() == root


def test_a_region_no_purpose_allows_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = founded(capsys, tmp_path / "c", "--region", "US")
    assert said.code == 2
    assert "is not one of" in said.err


def test_a_claim_code_is_sixteen_signs_in_four_groups(delivered: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    codes = {called(capsys, "collector", "enrol-code", delivered.collector).out for _ in range(3)}
    assert len(codes) == 3
    assert all([len(group) for group in code.strip().split("-")] == [4, 4, 4, 4] for code in codes)


def test_a_taken_port_is_told_and_another_one_advised(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = run("collector", "serve", site.collector, "--port", str(taken.getsockname()[1]))
    assert said.code == 2
    assert said.err.splitlines()[0].startswith("edge-sdk: cannot listen: ")
    assert "choose another --port" in said.err


@pytest.mark.parametrize("option", [("--port", "99999"), ("--port", "-1"), ("--host", "no.such.host.invalid")])
def test_an_address_that_cannot_be_had_is_told(tmp_path: Path, option: tuple[str, str]) -> None:
    said = run("collector", "serve", sites.local_site(tmp_path).collector, *option)
    assert said.code == 2
    assert "Traceback" not in said.err
