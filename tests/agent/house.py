"""
Agents as they run: a process of its own, real sockets, sites with their collectors beside it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import Gateway
from edge_sdk.core.shim_ids import Schema
from edge_sdk.policy_file import find_policy
from tests.agent.shim import Shim, connected
from tests.site import SLOWNESS, LocalSite, environ, local_site, reached

FIELDS: Final = {"serial": 1, "power": 2, "energy": 3, "state": 4, "ssid": 5, "alarm.serial": 6, "alarm.code": 7}
MONITORING, ALARMS, IMPROVEMENT, RESEARCH = 1, 2, 4, 8
INVERTER, ALARM, METER = 1, 2, 3
WAIT_S: Final = 30.0 * SLOWNESS


@dataclass
class House:
    """One agent in a folder, and how to reach it."""

    folder: Path
    sites: Sequence[LocalSite]
    process: subprocess.Popen[str] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "edge.sock"

    def shim(self, site: int = 0, name: str = "ecu") -> Shim:
        config = self.sites[site].config
        return Shim(self.socket, Schema(find_policy(config.policy)).hash, config.name, name)

    def start(self, environment: dict[str, str] | None = None) -> None:
        """Start the agent and return when it listens."""
        command = [sys.executable, "-m", "edge_sdk", "agent", "--config", str(self.folder / "agent.toml")]
        self.process = subprocess.Popen(
            command, env=environ() | (environment or {}), stderr=subprocess.PIPE, text=True, cwd=self.folder
        )
        try:
            connected(self.socket).close()
        except OSError as error:
            ended = self.process.poll()
            self.process.kill()
            raise AssertionError(f"the agent does not listen, exit {ended}: {self.process.communicate()[1]}") from error

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def stop(self) -> tuple[int, str]:
        """Stop the agent as systemd does; return its exit code and what it said."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, said

    def counts(self, site: int = 0) -> dict[str, int]:
        """Return what 'edge-sdk status' counts for a site."""
        from edge_sdk.beside import status_beside

        return dict(status_beside(self.sites[site].config).counts)


class Systemd:
    """What systemd would hear."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.link.bind(str(self.path))
        self.link.settimeout(30)

    def hear(self, wanted: str) -> str:
        """Return the message that begins with *wanted*, passing over others."""
        while not (said := self.link.recv(4096).decode()).startswith(wanted):
            pass
        return said


@contextmanager
def agent(folder: Path, *sites: LocalSite, lines: str = "", allow: str = "", start: bool = True) -> Iterator[House]:
    """Lend an agent for sites, running; *lines* go into its file."""
    house = House(folder, sites)
    tables = "".join(f'[[sites]]\nconfig = "{site.toml}"\n' for site in sites)
    allowed = allow or f"uid:{os.getuid()}"
    (folder / "agent.toml").write_text(f'[agent]\nsocket = "run/edge.sock"\nallow = ["{allowed}"]\n{lines}\n{tables}')
    if start:
        house.start()
    try:
        yield house
    finally:
        if house.process is not None and house.process.poll() is None:
            house.process.kill()
            house.process.communicate()


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends, f"not within {WAIT_S} s: {what}"
        time.sleep(0.05)


def warmed(site: LocalSite) -> LocalSite:
    """Have a site fetch its documents once, so that it collects also without its collector."""
    with reached(site.collector) as transport, Gateway.open(site.config, transport=transport) as gateway:
        until(lambda: any(purpose.collecting for purpose in gateway.status().purposes), "something is collected")
        gateway.drain()
    return site


def second_site(folder: Path, name: str) -> LocalSite:
    """Make an enrolled site with a name of its own, in a folder of its own."""
    (folder / name).mkdir()
    site = local_site(folder / name)
    site.edit(('name = "test"', f'name = "{name}"'))
    return site
