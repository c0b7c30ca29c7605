"""
What an owner and an operator see of incidents, and the switch that stops uploads, as the command line has them.
"""

from __future__ import annotations

import json

import pytest

from edge_sdk import Gateway
from edge_sdk.core.incidents import Kind
from tests import site as sites
from tests.cli.command import called, run
from tests.site import LocalSite, reading


def notice(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        parts.line.incidents.note(Kind.FORGED, "wipe order", parts.clock.now())
        parts.line.finish(parts.clock.now())


def stopped(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> str:
    return str(json.loads(called(capsys, "status", "--json", "--config", site.toml).out)["uploads_stopped"])


def test_the_status_shows_an_incident_and_when_it_was_noticed(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    notice(site)
    said = called(capsys, "status", "--config", site.toml)
    assert "INCIDENT forged: wipe order, noticed 2" in said.out
    (one,) = json.loads(called(capsys, "status", "--json", "--config", site.toml).out)["incidents"]
    assert (one["kind"], one["what"], one["count"], one["notify_by_s"]) == ("forged", "wipe order", 1, None)
    assert "edge_sdk_incidents 1" in called(capsys, "status", "--openmetrics", "--config", site.toml).out


def test_the_ledger_names_incident_and_switch(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    notice(site)
    called(capsys, "outbox", "stop", "--config", site.toml)
    called(capsys, "outbox", "resume", "--config", site.toml)
    said = called(capsys, "ledger", "show", "--config", site.toml).out
    assert [word for word in ("incident", "uploads stopped", "uploads resumed") if word not in said] == []


def test_the_switch_is_thrown_without_a_running_gateway_and_is_told_by_status(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    Gateway.open(site.toml).close()
    assert stopped(site, capsys) == ""
    assert called(capsys, "outbox", "stop", "--config", site.toml).code == 0
    assert stopped(site, capsys) == "switch"
    assert "UPLOADS ARE STOPPED by switch" in called(capsys, "status", "--config", site.toml).out
    assert "edge_sdk_uploads_stopped 1" in called(capsys, "status", "--openmetrics", "--config", site.toml).out
    assert called(capsys, "outbox", "resume", "--config", site.toml).code == 0
    assert stopped(site, capsys) == ""


def test_the_switch_stops_a_running_gateway_and_lets_it_go_on(site: LocalSite) -> None:
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        assert run("outbox", "stop", "--config", site.toml).code == 0
        gateway.record("inverter", reading(1))
        assert gateway.drain(0.5)
        assert gateway.status().uploads_stopped == "switch"
        assert site.rows() == []
        refused = run("outbox", "send-now", "--config", site.toml)
        assert refused.code == 3
        assert "uploads are stopped" in refused.err
        assert run("outbox", "resume", "--config", site.toml).code == 0
        assert gateway.drain(30) == 0
    assert [row.fields["energy"] for row in site.rows() if row.purpose == "monitoring"] == [1]


def test_a_program_throws_the_switch_and_it_holds_over_a_restart(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        gateway.stop_uploads()
    with Gateway.open(site.toml) as gateway:
        assert gateway.status().uploads_stopped == "switch"
        gateway.resume_uploads()
        assert gateway.status().uploads_stopped == ""


def test_uploads_stopped_by_the_configuration_are_not_resumed_by_the_switch(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.edit(("reserve_inodes = 0", 'reserve_inodes = 0\nuploads = "stopped"'))
    Gateway.open(site.toml).close()
    assert stopped(site, capsys) == "site.toml"
    assert "no batch is sent; see uploads in its [outbox]" in called(capsys, "status", "--config", site.toml).out
    said = called(capsys, "outbox", "resume", "--config", site.toml)
    assert said.code == 3
    assert "site.toml stops uploads still" in said.err
    assert called(capsys, "outbox", "send-now", "--config", site.toml).code == 3


def test_the_operator_sees_how_long_there_is_and_closes_it(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(capsys, "collector", "incidents", site.collector).out == "no incident is open\n"
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        gateway.record("inverter", reading(1))
        gateway._running.on_writer(lambda now: gateway._running.site.line.incidents.note(Kind.EGRESS, "host", now))
        assert gateway.drain(30) == 0
    said = called(capsys, "collector", "incidents", site.collector)
    assert "1  egress: host  the policy names no time limit" in said.out
    assert f"incidents: 1 open, see edge-sdk collector incidents {site.collector}" in called(
        capsys, "collector", "devices", site.collector
    ).out
    assert called(capsys, "collector", "incidents", site.collector, "--close", "1").code == 0
    assert called(capsys, "collector", "incidents", site.collector).out == "no incident is open\n"
    assert "closed 2" in called(capsys, "collector", "incidents", site.collector, "--all").out
    assert json.loads(called(capsys, "collector", "incidents", site.collector, "--json").out)[0]["closed_s"]
    assert called(capsys, "collector", "incidents", site.collector, "--close", "1").code == 2
