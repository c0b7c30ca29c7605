"""
``edge-sdk status``: for people, for programs and for a monitor; beside a running gateway and without one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge_sdk import Gateway
from tests import site as sites
from tests.cli.command import called, run
from tests.cli.test_consent import said_no
from tests.site import CANARY, LocalSite, reading


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    site = sites.local_site(tmp_path)
    with Gateway.open(site.toml) as gateway:
        for number in range(60):
            gateway.record("inverter", reading(number))
        gateway.record("nothing", {})
    return site


def test_people_read_what_is_collected_and_why_not(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "status", "--config", site.toml)
    assert said.code == 0
    lines = {line.split()[0]: line for line in said.out.splitlines() if line.split()}
    assert re.search(r"monitoring +contract +yes +granted, but not confirmed .* +0 +1 ", lines["monitoring"])
    assert re.search(r"research +consent +no +not granted yet", lines["research"])
    assert "research: not granted yet. The operator grants it at the collector" in said.out
    assert "unknown kind: 1" in said.out
    assert CANARY not in said.out


def test_programs_read_the_same_as_json(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "status", "--config", site.toml, "--json")
    status = json.loads(said.out)
    assert status["counts"] == {"recorded": 60, "unknown_kind": 1}
    purposes = {purpose["name"]: purpose for purpose in status["purposes"]}
    assert set(purposes) == {"monitoring", "alarms", "improvement", "research"}
    assert (purposes["monitoring"]["collecting"], purposes["monitoring"]["queued_batches"]) == (True, 1)
    assert (purposes["research"]["collecting"], purposes["research"]["because"]) == (False, "not granted yet")
    assert status["fresh"] is False
    assert status["statement_version"] == 1


SAMPLE = re.compile(r'([a-z_]+)(\{[a-z]+="[a-z_0-9]+"\})? -?[0-9]+')


def test_a_monitor_reads_well_formed_openmetrics(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "status", "--config", site.toml, "--openmetrics")
    *lines, last = said.out.splitlines()
    assert last == "# EOF"
    assert said.out.endswith("# EOF\n")
    declared: dict[str, str] = {}
    for line in lines:
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in declared
            declared[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            base = match[1].removesuffix("_total")
            assert declared[base] == ("counter" if match[1].endswith("_total") else "gauge")
            assert list(declared)[-1] == base  # samples of one metric stand together
    assert 'edge_sdk_queued_batches{purpose="monitoring"} 1' in lines
    assert 'edge_sdk_events_total{event="recorded"} 60' in lines


def test_before_the_first_start_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "status", "--config", sites.local_site(tmp_path).toml)
    assert said.code == 3
    assert "enrolled but never started" in said.err


def test_beside_a_running_gateway_it_reads_and_changes_nothing(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        gateway.record("inverter", reading(1))
        gateway.flush()
        said = [run("status", "--config", site.toml, "--json") for _ in range(2)]
        assert [one.code for one in said] == [0, 0]
        gateway.record("inverter", reading(2))
        gateway.flush()
        purposes = {purpose["name"]: purpose for purpose in json.loads(said[1].out)["purposes"]}
        assert purposes["monitoring"]["open_rows"] == 1
    Gateway.open(site.toml).close()


def test_both_shapes_at_once_are_refused(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "status", "--config", site.toml, "--json", "--openmetrics").code == 2


def test_a_site_that_is_not_there_is_told_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "status", "--config", tmp_path / "site.toml")
    assert said.code == 2
    assert said.err == "edge-sdk: cannot read site.toml: ENOENT\n  make a site with 'edge-sdk init'\n"


@pytest.mark.parametrize("command", [["status"], ["describe"], ["export"], ["ledger", "show"]])
def test_a_wiped_device_says_that_it_is_not_provisioned_and_how_to_enrol(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = sites.local_site(tmp_path)
    Gateway.open(site.toml).wipe()
    said = called(capsys, *command, "--config", site.toml)
    said_no(said, 3, "not provisioned")
    said_no(said, 3, "edge-sdk init DIR --root FILE --address URL --policy FILE --code CODE")
