"""
The unit for systemd and the script for procd start the agent as it is, by tools of theirs or a stub of their functions.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.cli.command import run

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
UNIT: Final = EXAMPLES / "systemd" / "edge-agent.service"
SCRIPT: Final = EXAMPLES / "procd" / "edge-agent"
# What procd.sh of OpenWrt 23.05 takes; another name is passed over by it without a word.
PARAMETERS: Final = frozenset(
    {
        *("env", "data", "limits", "command", "netdev", "file", "respawn", "watch", "watchdog", "error", "nice"),
        *("term_timeout", "reload_signal", "pidfile", "user", "group", "seccomp", "capabilities", "facility"),
        *("stdout", "stderr", "no_new_privs"),
    }
)
STUB: Final = """
procd_open_instance() { echo open; }
procd_close_instance() { echo close; }
procd_set_param() { echo set "$@"; }
procd_send_signal() { echo signal "$@"; }
"""


def called(what: str) -> list[list[str]]:
    """Return what a function of the procd script has procd do."""
    script = f'{STUB}\n. "{SCRIPT}"\n{what}'
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


def assert_is_the_agent(command: list[str]) -> None:
    """See that a command line is one of edge-sdk, by what it says of a file that is not there."""
    assert command[:2] == ["edge-sdk", "agent"]
    said = run(*command[1:])
    assert said.code == 2
    assert said.err.startswith("edge-sdk: cannot read agent.toml: ENOENT\n")


def test_systemd_finds_nothing_wrong_with_the_unit() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: apt install systemd")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", UNIT], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")  # of a key that it does not know it only says so


def test_the_unit_starts_the_agent() -> None:
    (line,) = [line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    words = shlex.split(line.removeprefix("ExecStart="))
    assert words[0] == "/usr/bin/env"
    assert_is_the_agent(words[1:])


def test_the_procd_script_starts_the_agent_and_sets_what_procd_knows() -> None:
    subprocess.run(["sh", "-n", SCRIPT], check=True, timeout=30)
    begin, *steps, end = called("start_service")
    assert (begin, end) == (["open"], ["close"])
    assert {step[0] for step in steps} == {"set"}
    parameters = {step[1]: step[2:] for step in steps}
    assert len(parameters) == len(steps)
    assert parameters.keys() <= PARAMETERS
    assert (parameters["user"], parameters["no_new_privs"]) == (["edge-sdk"], ["1"])
    assert_is_the_agent(parameters["command"])


def test_a_reload_by_procd_is_the_signal_that_reads_the_policy_again() -> None:
    assert called("reload_service") == [["signal", SCRIPT.name]]  # procd sends HUP where nothing else is named
