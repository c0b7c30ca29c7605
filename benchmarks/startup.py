"""
``python -m benchmarks.startup``: from nothing to the first durable reading, and what a process occupies then.

Each start is a process of its own: the interpreter, the imports, opening the site, one reading, ``flush()``. The first
start with a policy checks its text with pydantic; a later one takes it from ``policy.bin``; one has sent a request
(aiohttp). Wall time runs from before the process is made; processor time is user and system time of all of it. Bytecode
is kept in a folder of this benchmark, so that an environment that forbids it does not have the compiler measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.line import make_site
from edge_sdk.bench.workload import make_policy
from edge_sdk.policy_file import profile_text

TOLD = """
def told():
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    rolled = dict(line.split(":", 1) for line in open("/proc/self/smaps_rollup") if ": " in line)
    own = sum(int(rolled[key].split()[0]) for key in ("Private_Dirty", "Private_Clean"))
    heavy = [name for name in ("pydantic", "aiohttp", "asyncio") if name in sys.modules]
    print(json.dumps([clock, len(sys.modules), int(status["VmRSS"].split()[0]), own, heavy]))
"""
START = f"""
import sys
from edge_sdk import Gateway
gateway = Gateway.open(sys.argv[1])
gateway.record(sys.argv[2], {{"serial": "408000123456"}})
gateway.flush()
import json, time
clock = time.monotonic()
{TOLD}
told()
gateway.close()
"""
SENT = f"""
import json, sys, time
from edge_sdk import Gateway
with Gateway.open(sys.argv[1]) as gateway:
    gateway.record(sys.argv[2], {{"serial": "408000123456"}})
    gateway.flush()
    while not gateway.status().last_error:
        time.sleep(0.02)
    clock = time.monotonic()
    {TOLD.strip().replace(chr(10), chr(10) + "    ")}
    told()
"""
BARE = f"import json, sys, time\nclock = time.monotonic()\n{TOLD}told()\n"


@dataclass(frozen=True)
class Start:
    """
    One process: milliseconds of wall and processor time, modules, MiB resident and MiB that are its own.
    """

    wall_ms: float
    cpu_ms: float
    modules: float = 0
    resident: float = 0
    own: float = 0
    heavy: str = ""


def start(command: list[str], environment: dict[str, str]) -> Start:
    """
    Run one process to its end, and return what it came to.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    ended, after = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    line = done.stdout.splitlines()[-1]
    if not line.startswith("["):
        return Start((ended - began) * 1e3, cpu * 1e3)
    clock, modules, resident, own, heavy = json.loads(line)
    return Start((clock - began) * 1e3, cpu * 1e3, modules, resident / 1024, own / 1024, " ".join(heavy))


def measure(folder: Path, policy: str, kind: str, rounds: int) -> dict[str, list[Start]]:
    """
    Return the starts of *rounds* interleaved rounds, by row.
    """
    config = make_site(folder / "site", policy, per_batch=500)
    site, kept = str(folder / "site" / "site.toml"), config.folder / "policy.bin"
    unset = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment = {**unset, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONPATH": os.pathsep.join(sys.path)}
    uncached = {**environment, "PYTHONPYCACHEPREFIX": str(folder / "none"), "PYTHONDONTWRITEBYTECODE": "1"}
    python, module = [sys.executable, "-c"], [sys.executable, "-m", "edge_sdk"]

    def first() -> Start:
        kept.unlink(missing_ok=True)
        return started(environment)

    def started(kept_in: dict[str, str]) -> Start:
        return start([*python, START, site, kind], kept_in)

    rows: dict[str, Callable[[], Start]] = {
        "first start with a policy": first,
        "later start": lambda: started(environment),
        "later start, no bytecode kept": lambda: started(uncached),
        "later start, a request was sent": lambda: start([*python, SENT, site, kind], environment),
        "bare interpreter": lambda: start([*python, BARE], environment),
        "edge-sdk --version": lambda: start([*module, "--version"], environment),
        "edge-sdk status --json": lambda: start([*module, "status", "--json", "--config", site], environment),
    }

    for row in rows.values():
        row()  # bytecode, page cache, and the files of a first start
    found: dict[str, list[Start]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, row in rows.items():
            found[name].append(row())
    return found


def main() -> None:
    """
    Run the rounds and print the table.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--profile", help="a policy of the package instead of that of the benchmarks")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    policy = profile_text(chosen.profile) if chosen.profile else make_policy(3)
    with TemporaryDirectory() as folder:
        found = measure(Path(folder), policy, "inverter", chosen.rounds)
    if chosen.json:
        print(json.dumps({name: [vars(one) for one in starts] for name, starts in found.items()}, indent=2))
        return
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC  {platform.machine()}  Python {platform.python_version()}  "
          f"{chosen.rounds} interleaved rounds, medians (least)")  # fmt: skip
    print(f"{'':33} {'wall ms':>14} {'CPU ms':>14} {'modules':>8} {'MiB':>6} {'own MiB':>8}")
    for name, starts in found.items():
        print(f"{name:33} {_middle(starts, 'wall_ms')} {_middle(starts, 'cpu_ms')} {_last(starts)}")


def _middle(starts: list[Start], what: str) -> str:
    values: list[Any] = [getattr(one, what) for one in starts]
    return f"{statistics.median(values):6.0f} ({min(values):5.0f})"


def _last(starts: list[Start]) -> str:
    one = starts[-1]
    return f"{one.modules:8.0f} {one.resident:6.1f} {one.own:8.1f}  {one.heavy}" if one.modules else ""


if __name__ == "__main__":
    main()
