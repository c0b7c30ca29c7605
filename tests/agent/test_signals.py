"""
SIGHUP, the watchdog and the state of a site that cannot be opened: what an operator and systemd see.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.house import (
    ALARMS,
    FIELDS,
    IMPROVEMENT,
    INVERTER,
    MONITORING,
    Systemd,
    agent,
    second_site,
    until,
    warmed,
)
from tests.agent.test_accounts import monitored, sent
from tests.cli.command import run
from tests.site import CANARY, local_site

ALL = MONITORING | ALARMS | IMPROVEMENT


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listening = Systemd(tmp_path)
    yield listening
    listening.link.close()


def test_systemd_hears_that_it_is_ready_alive_reloading_and_stopping(tmp_path: Path, systemd: Systemd) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site, start=False) as house:
        house.start({"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "2000000"})
        assert systemd.hear("READY=1") == "READY=1\nSTATUS=1 of 1 sites open"
        systemd.hear("WATCHDOG=1")
        assert house.process is not None
        house.process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in systemd.hear("RELOADING=1")
        systemd.hear("READY=1")
        house.process.terminate()
        systemd.hear("STOPPING=1")
        assert house.process.wait(30) == 0
        house.process.communicate()


def test_a_wrong_policy_leaves_the_old_one_in_force(tmp_path: Path, systemd: Systemd) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site, start=False) as house:
        house.start({"NOTIFY_SOCKET": str(systemd.path)})
        systemd.hear("READY=1")
        with house.shim() as shim:
            shim.source(0, INVERTER, CANARY)
            sent(shim, range(5))
            site.edit(("importance = 10", "importance = ten"), file="policy.toml")
            assert house.process is not None
            house.process.send_signal(signal.SIGHUP)
            systemd.hear("READY=1")
            sent(shim, range(5, 10))
            code, said = house.stop()
    assert code == 0
    assert "policy_kept" in said


def test_a_new_policy_is_taken_and_firmware_of_the_old_one_refused(tmp_path: Path, systemd: Systemd) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site, start=False) as house:
        house.start({"NOTIFY_SOCKET": str(systemd.path)})
        systemd.hear("READY=1")
        with house.shim() as shim:
            shim.source(0, INVERTER, CANARY)
            sent(shim, range(5))
            site.edit(('ssid = "keep"\n', ""), file="policy.toml")
            assert house.process is not None
            house.process.send_signal(signal.SIGHUP)
            assert shim.hear_type(19) == [19, 3]
            systemd.hear("READY=1")
            assert shim.connect()[2] == 2
        with house.shim(name="rebuilt") as shim:
            shim.source(0, INVERTER, CANARY)
            sent(shim, range(5, 10))
            house.stop()
    assert monitored(site) == list(range(10))


def test_a_site_that_is_not_enrolled_is_served_when_it_is(tmp_path: Path) -> None:
    good, bad = warmed(second_site(tmp_path, "good")), second_site(tmp_path, "bad")
    bad.state.rename(bad.folder / "elsewhere")
    with agent(tmp_path, good, bad) as house:
        with house.shim(0) as shim:
            shim.wait_mask(ALL)
            shim = house.shim(1)
            assert shim.connect()[2] == 5
            shim.link.close()
            (bad.folder / "state").rename(bad.folder / "empty")
            (bad.folder / "elsewhere").rename(bad.state)
            time.sleep(10)
            shim.come_in()
            shim.link.close()
        assert house.stop()[0] == 0


def test_a_wrong_file_is_told_by_its_key(tmp_path: Path) -> None:
    site = local_site(tmp_path)
    path = tmp_path / "agent.toml"
    for text, words in (
        ('[agent]\nsocket = "s"\n', "allow"),
        ('[agent]\nsocket = "s"\nallow = ["everyone"]\n', "user:NAME"),
        ('[agent]\nsocket = "s"\nallow = ["user:nobody-at-all"]\n', "no user"),
        (f'[agent]\nsocket = "{"s" * 200}"\nallow = ["uid:0"]\n', "107"),
        (f'[agent]\nsocket = "s"\nallow = ["uid:0"]\n[[sites]]\nconfig = "{site.toml}"\n', "two sites"),
    ):
        path.write_text(text + f'[[sites]]\nconfig = "{site.toml}"\n')
        said = run("agent", "--config", path)
        assert said.code == 2
        assert words in said.err, said.err


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    site = local_site(tmp_path)
    with agent(tmp_path, site, start=False):
        (tmp_path / "run").mkdir(mode=0o755)
        said = run("agent", "--config", tmp_path / "agent.toml")
    assert said.code == 2
    assert "the folder of the socket, run, has mode 0755" in said.err


def test_counts_of_the_socket_are_in_the_status_beside_the_agent(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    site.edit(("[batch]\n", '[batch]\nflush_every = "100ms"\n'))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        shim.send([[FIELDS["power"], 0, 0, 1.5]], drops=(7, 0, 0, 0, 0))
        until(lambda: "shim full: 7" in run("status", "--config", site.toml).out, "the drops are in the status")
