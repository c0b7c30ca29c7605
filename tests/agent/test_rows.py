"""
From a shim's points to opened rows at the collector, by value; and how fast a change of consent reaches the shim.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sdk import Gateway
from edge_sdk.core.claims import Status
from tests.agent.house import ALARM, ALARMS, FIELDS, IMPROVEMENT, INVERTER, MONITORING, agent, until, warmed
from tests.agent.shim import mono_ms
from tests.cli.command import run
from tests.site import CANARY, LocalSite, local_site, reached, serving

ALL = MONITORING | ALARMS | IMPROVEMENT


def texts(rows: list[Any], purpose: str) -> list[tuple[str, ...]]:
    """Return the rows of a purpose in words: the fields by name, the rows by number."""
    return [tuple(map(str, row.fields.values())) for row in rows if row.purpose == purpose]


def delivered(site: LocalSite) -> list[Any]:
    """Send what the site still has, and return everything that arrived."""
    with reached(site.collector) as transport, Gateway.open(site.config, transport=transport) as gateway:
        assert gateway.drain() == 0
    return site.rows()


def inverter(slot: int, number: int, dt: int) -> list[list[Any]]:
    """Return the points of one reading."""
    power, energy, state = FIELDS["power"], FIELDS["energy"], FIELDS["state"]
    return [[power, slot, dt, 100.0 + number / 10], [energy, slot, dt, number], [state, slot, dt, 1]]


def test_points_become_the_rows_they_stand_for(tmp_path: Path) -> None:
    site = local_site(tmp_path)
    with serving(site), agent(tmp_path, site) as house, house.shim() as shim:
        shim.wait_mask(ALL)
        shim.source(0, INVERTER, CANARY)
        shim.source(1, INVERTER, "4080002")
        shim.source(2, ALARM, CANARY)
        at = mono_ms() - 10_000
        # Two devices whose points come mixed, as a poll loop has them.
        for number in range(40):
            pairs = zip(inverter(0, number, 0), inverter(1, number + 500, 3), strict=True)
            shim.send([point for pair in pairs for point in pair], at=at + 100 * number)
        shim.send([[FIELDS["alarm.code"], 2, 0, 17]])
        code, _ = house.stop()
        assert code == 0
    rows = delivered(site)
    first = [(str(n), f"{100 + n / 10:.1f}", CANARY, "on") for n in range(40)]
    second = [(str(n), f"{100 + n / 10:.1f}", "4080002", "on") for n in range(500, 540)]
    assert sorted(texts(rows, "monitoring")) == sorted(first + second)
    assert texts(rows, "alarms") == [("17", CANARY)]


def test_a_row_has_the_time_its_points_were_measured_at(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        at = mono_ms() - 3_600_000
        shim.send([*inverter(0, 1, 0), *inverter(0, 2, 1500)], at=at)
        house.stop()
    from edge_sdk.clock import wall_s

    times = [row.at_ms for row in delivered(site) if row.purpose == "monitoring"]
    assert times[1] - times[0] == 1500
    assert abs(times[0] - (wall_s() - 3600) * 1000) < 60_000


def test_a_text_goes_with_every_later_reading(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path, granted=("improvement", "research")))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        shim.send(inverter(0, 1, 0))
        shim.text(0, FIELDS["ssid"], "home")
        shim.send(inverter(0, 2, 5_000))
        shim.text(0, FIELDS["ssid"], "")
        shim.send(inverter(0, 3, 10_000))
        house.stop()
    assert [row.fields["ssid"] for row in delivered(site) if row.purpose == "research"] == [None, "home", None]


def test_an_agent_that_is_stopped_has_everything_on_disk(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        for number in range(200):
            shim.send(inverter(0, number, 10 * number))
        house.stop()  # most of it is still in the socket, the last reading is open
    assert [fields[0] for fields in texts(delivered(site), "monitoring")] == [str(n) for n in range(200)]


def test_a_withdrawal_on_the_device_reaches_the_shim_within_a_second(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.wait_mask(ALL)
        before = len(shim.heard)
        told = run("consent", "withdraw", "improvement", "--config", site.toml)
        assert told.code == 0, told.err
        # The command answers when the line has done it; the shim is told in the same step.
        assert shim.wait_mask(ALL & ~IMPROVEMENT) < 1.0
        assert shim.heard[-1][1] > shim.heard[before - 1][1]


def test_a_statement_from_the_collector_reaches_the_shim(tmp_path: Path) -> None:
    site = local_site(tmp_path)
    with serving(site), agent(tmp_path, site) as house, house.shim() as shim:
        shim.wait_mask(ALL)
        site.set_grant("improvement", Status.WITHDRAWN)
        shim.source(0, ALARM, CANARY)
        shim.send([[FIELDS["alarm.code"], 0, 0, 1]])  # its batch goes at once, its receipt tells of the new statement
        shim.wait_mask(ALL & ~IMPROVEMENT)


def test_a_point_that_was_not_granted_is_not_kept_whatever_the_shim_believes(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    run("consent", "withdraw", "improvement", "--config", site.toml)
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        shim.send(inverter(0, 1, 0))
        shim.text(0, FIELDS["ssid"], "home")
        house.stop()
    assert {row.purpose for row in delivered(site)} == {"monitoring"}


def test_what_belongs_to_no_reading_is_counted_by_reason(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        shim.source(1, 99, "x")
        shim.text(0, FIELDS["alarm.code"], "x")
        shim.send([[FIELDS["power"], 7, 0, 1], [FIELDS["alarm.code"], 0, 0, 1], [4000, 0, 0, 1], [0, 0, 0, 1]])
        shim.say([4711, "later"])
        until(lambda: house.stop()[0] == 0, "stopped")
        counts = house.counts()
    assert counts["shim_no_source"] == 1
    assert counts["shim_unfit"] == 3
    assert counts["shim_bad_source"] == 1
    assert counts["shim_bad_text"] == 1
    assert counts["shim_unknown"] == 1
