"""
Runs the small agent and a feeder against each other.

Owns: the agent's process through kills, stops and restarts, and the sum of what its log says.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.shim.building import PLAIN, SHIM, TOP, build

FEEDER = ("feeder.c", SHIM / "edge_shim.c")


def feeder(compiler: str) -> Path:
    """
    Return the feeder, built.
    """
    return build(compiler, FEEDER, PLAIN)


class Agent:
    """
    The small agent, at a socket of *folder*.
    """

    def __init__(self, folder: Path) -> None:
        self.socket, self.log = folder / "s", folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.shim.agent", str(self.socket), str(self.log)]
        self._process = subprocess.Popen(command, cwd=TOP, env={**os.environ, "PYTHONPATH": str(TOP)})

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGCONT)

    def heard(self) -> list[list[Any]]:
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def agent_in(folder: Path) -> Iterator[Agent]:
    """
    Yield an agent that is started, and kill it in the end.
    """
    agent = Agent(folder)
    agent.start()
    end = time.monotonic() + 20
    while not agent.socket.exists() and time.monotonic() < end:
        time.sleep(0.02)
    try:
        yield agent
    finally:
        agent.kill()


@dataclass(frozen=True, slots=True)
class Sum:
    """
    What the agent made of all messages: points read, points it can tell are missing, the drops it was told last.
    """

    delivered: int
    gap: int
    seen: int
    drops: list[int]
    nonces: set[str]


def sum_up(heard: Sequence[list[Any]]) -> Sum:
    """
    Return the sum of messages as an agent keeps it that remembers, for each boot nonce, how far it came.
    """
    delivered = gap = seen = 0
    drops, nonces = [0] * 5, set()
    for items in heard:
        match items:
            case [1, *rest]:
                nonces.add(rest[4])
            case [2, first, _, told, points]:
                assert first >= seen
                gap += first - seen
                delivered += len(points)
                seen, drops = first + len(points), told
            case [6, first, told]:
                gap += first - seen
                seen, drops = first, told
    return Sum(delivered, gap, seen, drops, nonces)
