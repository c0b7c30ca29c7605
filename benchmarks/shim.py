"""
``python -m benchmarks.shim``: how long a put takes in firmware, with the agent up, stopped (SIGSTOP) and killed.

The program is ``put.c``, built with ``cc -O2`` from the shim as it ships, and the agent is the real one. The three
states are measured by turns; each row has the median of all rounds, the least and the most. Run it on a machine that
does nothing else: what other programs take from this one is in the 99th percentile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.agent import agent
from benchmarks.line import make_site
from benchmarks.peers import collector
from edge_sdk.bench.workload import make_policy
from edge_sdk.config import Config

TOP: Final = Path(__file__).resolve().parents[1]
SHIM: Final = TOP / "firmware_shim"
STATES: Final = {"up": None, "stopped": signal.SIGSTOP, "killed": signal.SIGKILL}
MUST_NS: Final = 100
ROWS: Final = {
    "p50": f"<= {MUST_NS}",
    "p99": "the same in all",
    "p99.9": "",
    "of eight": "",
    "p99 of eight": "",
}


def build(folder: Path, config: Config) -> Path:
    """
    Return ``put``, built with the header of the site's policy.
    """
    command = [sys.executable, "-m", "edge_sdk", "shim", "header", str(config.policy)]
    (folder / "edge_ids.h").write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    program = folder / "put"
    sources = [str(TOP / "benchmarks" / "put.c"), str(SHIM / "edge_shim.c")]
    subprocess.run(
        ["cc", "-std=gnu99", "-O2", f"-I{SHIM}", f"-I{folder}", *sources, "-o", str(program), "-lpthread"], check=True
    )
    return program


def measured(program: Path, folder: Path, name: str, state: str, puts: int) -> dict[str, int]:
    """
    Return what one run of the program says, measured after the agent was brought into *state*.
    """
    socket = folder / "run" / "edge.sock"
    with agent(folder) as pid:
        while not socket.exists():
            os.sched_yield()
        command = [str(program), str(socket), name, str(puts)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as putting:
            if putting.stdout is None or putting.stdout.readline() != "granted\n":
                raise RuntimeError("nothing was granted")
            wanted = STATES[state]
            if wanted is not None:
                os.kill(pid, wanted)
            said, _ = putting.communicate("\n")
        if wanted is signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
    found: dict[str, int] = json.loads(said)
    if found["refused"]:
        raise RuntimeError(f"{found['refused']} puts were refused")
    return found


def main() -> None:
    """
    Run the rounds and print the table.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.shim", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--puts", type=int, default=200_000)
    chosen = arguments.parse_args()
    found: dict[str, list[dict[str, int]]] = {state: [] for state in STATES}
    with TemporaryDirectory() as base:
        folder = Path(base) / "house"
        config = make_site(folder, make_policy(1), per_batch=500)
        program = build(folder, config)
        with collector(folder / "collector", int(config.address.rsplit(":", 1)[1])):
            for _ in range(chosen.rounds):
                for state in STATES:
                    (folder / "run" / "edge.sock").unlink(missing_ok=True)
                    found[state].append(measured(program, folder, config.name, state, chosen.puts))
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {chosen.rounds} rounds of {chosen.puts} puts")
    print(f"ns of a put: median (least to most)  {''.join(f'agent {state:14}' for state in STATES)}must")
    for row, must in ROWS.items():
        cells = ""
        for tries in found.values():
            values = [each[row] for each in tries]
            cells += f"{f'{statistics.median(values):.0f} ({min(values)} to {max(values)})':20}"
        print(f"{row:37}{cells}{must}")


if __name__ == "__main__":
    main()
