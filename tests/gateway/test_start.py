"""
What a start loads: of a site that was started before neither pydantic nor, until something is sent, aiohttp.

Seen from outside: the modules of a process of its own that has its first reading on disk; for the agent, which cannot
be asked, the libraries that the kernel has mapped for it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.gateway import Gateway
from tests.agent.house import ALARMS, IMPROVEMENT, MONITORING, House, Systemd, agent
from tests.agent.house import warmed as served_once
from tests.site import LocalSite, environ, local_site

HEAVY = {"pydantic", "pydantic_core", "aiohttp", "rich", "argparse", "difflib", "multiprocessing", "email", "shutil"}
STARTED = """
import json, sys
from edge_sdk import Gateway
gateway = Gateway.open(sys.argv[1])
gateway.record("inverter", {"serial": "4080001", "power": 231.5, "energy": 4211})
gateway.flush()
print(json.dumps(sorted(sys.modules)))
gateway.close()
"""
SENDING = """
import json, sys, time
from edge_sdk import Gateway
with Gateway.open(sys.argv[1]) as gateway:
    while not gateway.status().last_error:
        time.sleep(0.01)
    print(json.dumps(sorted(sys.modules)))
"""
COMMAND = """
import json, sys
from edge_sdk.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    made = local_site(tmp_path)
    Gateway.open(made.toml).close()
    return made


def loaded(script: str, *arguments: str | Path) -> set[str]:
    """Return the modules that a process has loaded, and the packages they are of."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environ(), capture_output=True, text=True, timeout=60, check=True)
    names: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return {part for name in names for part in (name, name.partition(".")[0])}


def test_a_started_gateway_has_loaded_nothing_that_only_errors_first_starts_and_sending_need(site: LocalSite) -> None:
    assert loaded(STARTED, site.toml) & HEAVY == set()


def test_the_first_start_is_the_one_that_loads_pydantic(site: LocalSite) -> None:
    # Without this the test above could pass because the libraries are called something else by now.
    (site.state / "policy.bin").unlink()
    assert loaded(STARTED, site.toml) & HEAVY >= {"pydantic"}
    assert loaded(STARTED, site.toml) & HEAVY == set()


def test_what_is_sent_with_comes_with_the_first_request(site: LocalSite) -> None:
    assert loaded(SENDING, site.toml) & {"aiohttp", "pydantic"} == {"aiohttp"}


def test_import_alone_loads_next_to_nothing() -> None:
    script = "import json, sys, edge_sdk; print(json.dumps(sorted(sys.modules)))"
    assert not {name for name in loaded(script) if name.startswith("edge_sdk.")} - {"edge_sdk.release"}


def test_the_version_is_told_without_any_room() -> None:
    rooms = {name for name in loaded(COMMAND, "--version") if name.startswith("edge_sdk.")}
    assert rooms == {"edge_sdk.cli", "edge_sdk.errors", "edge_sdk.release"}


def test_the_status_of_a_started_site_is_told_without_validator_network_or_line(site: LocalSite) -> None:
    assert not loaded(COMMAND, "status", "--json", "--config", site.toml) & {
        *("pydantic", "aiohttp", "asyncio", "ssl", "rich", "edge_sdk.line", "edge_sdk.uplink", "edge_sdk.cli.collector")
    }


def is_without_pydantic(house: House) -> bool:
    """Tell it by the libraries that the kernel has mapped for the agent."""
    assert house.process is not None
    maps = Path(f"/proc/{house.process.pid}/maps").read_text()
    assert "_rust.abi3" in maps, "the libraries of a process cannot be told from its maps here"
    return "pydantic_core" not in maps


@pytest.mark.parametrize("starts", ["later", "first"])
def test_a_running_agent_has_mapped_no_pydantic(tmp_path: Path, starts: str) -> None:
    site = served_once(local_site(tmp_path))
    if starts == "first":
        (site.state / "policy.bin").unlink()
    with agent(tmp_path, site) as house:
        with house.shim() as shim:
            shim.wait_mask(MONITORING | ALARMS | IMPROVEMENT)
        assert is_without_pydantic(house)
    assert (site.state / "policy.bin").exists()


@pytest.mark.parametrize("importance", ["10", "11", "ten"], ids=["same", "another", "wrong"])
def test_an_agent_that_read_its_policy_again_has_mapped_no_pydantic(tmp_path: Path, importance: str) -> None:
    site, systemd = served_once(local_site(tmp_path)), Systemd(tmp_path)
    with agent(tmp_path, site, start=False) as house:
        house.start({"NOTIFY_SOCKET": str(systemd.path)})
        systemd.hear("READY=1")
        site.edit(("importance = 10", f"importance = {importance}"), file="policy.toml")
        assert house.process is not None
        house.process.send_signal(signal.SIGHUP)
        systemd.hear("RELOADING=1")
        systemd.hear("READY=1")
        assert is_without_pydantic(house)
        _, said = house.stop()
    assert ("policy_kept" in said) == (importance == "ten")
    systemd.link.close()
