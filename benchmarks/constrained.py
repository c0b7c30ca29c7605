"""
``python -m benchmarks.constrained``: the line on a board that has little: memory, processor, a slow card.

One gateway in a process of its own records at a steady pace, seals, and sends to a collector outside the limits; at
the end every reading is opened and compared by value, so a row that is printed lost nothing. How each limit is made:

memory      a control group, page cache included; and RLIMIT_DATA: what the process may have of memory of its own. Peak
            resident is what it really took.
processor   a control group's quota, 10 ms of every 100; and SIGSTOP and SIGCONT in turn, 20 ms of every 200.
slow disk   a preloaded library (slow.c) in which each fsync and fdatasync takes so much longer.
medium      an ext4 in a file on a loop device of its own; bytes are the device's own statistics. Wants root.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.groups import limited
from benchmarks.line import make_site
from benchmarks.medium import medium
from benchmarks.peers import collector
from benchmarks.values import check_opened
from edge_sdk.bench.workload import just_before, make_policy, make_readings

HERE: Final = Path(__file__).resolve().parent
MIB: Final = 1 << 20
ON_S, OFF_S = 0.02, 0.18
FLUSH_EVERY: Final = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a run has to do with.
    """

    data_bytes: int | None = None
    duty: bool = False
    group_bytes: int | None = None
    group_share: float | None = None
    preload: Mapping[str, str] = field(default_factory=dict)


def main() -> None:
    """
    Run each constraint and print what came of it.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.constrained", description=__doc__)
    arguments.add_argument("--readings", type=int, default=4000)
    arguments.add_argument("--per-s", type=int, default=500)
    chosen = arguments.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}  {platform.machine()}  Python {platform.python_version()}  "
          f"load {os.getloadavg()[0]:.1f}  {chosen.readings} readings of 17 fields at {chosen.per_s} a second, X-Wing, "
          "one purpose")  # fmt: skip
    print(f"{'':34}{'CPU us':>9}{'peak MiB':>10}{'record p99 us':>15}{'max ms':>9}{'to the end s':>14}{'disk B':>9}")
    with tempfile.TemporaryDirectory() as made:
        slow = str(_slow_library(Path(made)))
        for name, limits in constraints(slow).items():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    _print(name, run(Path(folder), limits, chosen), None)
                except PermissionError:
                    print(f"{name:34}not allowed here: this user may make no control group of it")
        _on_a_medium_of_its_own(Path(made), chosen)


def constraints(slow: str) -> dict[str, Limits]:
    """
    Return the constraints by name, given the preloaded library.
    """
    delays = {f"each fsync {ms} ms longer": ms for ms in (50, 500)}
    return {
        "none": Limits(),
        "group: 64 MB": Limits(group_bytes=64 * MIB),
        "group: 128 MB": Limits(group_bytes=128 * MIB),
        "group: a tenth of a core": Limits(group_share=0.1),
        "group: 64 MB, a tenth": Limits(group_bytes=64 * MIB, group_share=0.1),
        "64 MB of memory of its own": Limits(data_bytes=64 * MIB),
        "128 MB of memory of its own": Limits(data_bytes=128 * MIB),
        "a tenth of a core, by SIGSTOP": Limits(duty=True),
        **{
            name: Limits(preload={"LD_PRELOAD": slow, "EDGE_SLOW_FSYNC_MS": str(ms)}) for name, ms in delays.items()
        },
        "64 MB, SIGSTOP, fsync 50 ms": Limits(
            64 * MIB, duty=True, preload={"LD_PRELOAD": slow, "EDGE_SLOW_FSYNC_MS": "50"}
        ),
    }


def run(folder: Path, limits: Limits, chosen: argparse.Namespace) -> dict[str, Any]:
    """
    Run one gateway under *limits* and return what it told, after every reading was compared by value.
    """
    site = folder / "site"
    config = make_site(site, make_policy(1), per_batch=FLUSH_EVERY)
    start_ms = just_before(int(time.time() * 1000), chosen.readings)
    command = [sys.executable, "-m", "benchmarks.paced", site, start_ms, chosen.readings, chosen.per_s]
    if limits.data_bytes is not None:
        command = ["sh", "-c", f'ulimit -d {limits.data_bytes >> 10}; exec "$@"', "sh", *command]
    with ExitStack() as stack:
        groups = stack.enter_context(limited(f"edge_bench_{os.getpid()}", limits.group_bytes, limits.group_share))
        for group in groups:
            command = ["sh", "-c", 'echo $$ > "$1"; shift; exec "$@"', "sh", group, *command]
        apart = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # not on the gateway's medium
        shutil.move(site / "collector", apart / "collector")
        stack.enter_context(collector(apart / "collector", int(config.address.rsplit(":", 1)[1])))
        child = stack.enter_context(
            subprocess.Popen(
                list(map(str, command)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **limits.preload},
            )
        )
        if limits.duty:
            stack.enter_context(_duty(child))
        said, complained = child.communicate(timeout=900)
        if child.returncode:
            raise RuntimeError(f"the gateway ended with {child.returncode}: {complained[-1500:]}")
        check_opened(apart, make_readings(chosen.readings, start_ms=start_ms))
    told: dict[str, Any] = json.loads(said)
    return told


@contextmanager
def _duty(child: subprocess.Popen[str]) -> Iterator[None]:
    over = threading.Event()

    def turn() -> None:
        while not over.wait(ON_S):
            child.send_signal(signal.SIGSTOP)  # which does nothing to one that has ended and was waited for
            over.wait(OFF_S)
            child.send_signal(signal.SIGCONT)

    turning = threading.Thread(target=turn, daemon=True)
    turning.start()
    try:
        yield
    finally:
        over.set()
        turning.join()


def _on_a_medium_of_its_own(scratch: Path, chosen: argparse.Namespace) -> None:
    try:
        with medium(scratch) as (place, written):
            before = written()
            told = run(place, Limits(), chosen)
            _print("an ext4 of its own", told, (written() - before) / chosen.readings)
    except PermissionError:
        print("a medium of its own: not allowed here")


def _slow_library(folder: Path) -> Path:
    built = folder / "slow.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", built, HERE / "slow.c", "-ldl"], check=True)
    return built


def _print(name: str, told: dict[str, Any], disk: float | None) -> None:
    shown = "-" if disk is None else f"{disk:.0f}"
    print(f"{name:34}{told['cpu']:9.1f}{told['peak'] / MIB:10.1f}{told['p99']:15.0f}{told['max']:9.1f}"
          f"{told['wall']:14.1f}{shown:>9}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
