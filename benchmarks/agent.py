"""
``python -m benchmarks.agent``: what the agent costs, measured from outside on its own process.

Idle: how often its threads wake. Paced: CPU per 17-field reading (16 points and the source) at 60 readings a second,
64 points a message, as the C shim sends them, with the collector running. Backlog: memory after many readings with the
collector away. CPU is the time that all threads of the process ran, from its own clock, divided by the readings that it
stored; on a machine with other work a reading costs up to three times as much, so look at the load that is printed, and
at the ratio to the plain script (``script``), which is run in between.
It takes about four minutes, and says on stderr where it is; ``--backlog 1000000`` takes five more.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import cbor2

from benchmarks.line import make_site
from benchmarks.peers import collector, ok_server
from benchmarks.script import run_script
from edge_sdk.bench.workload import DEVICES, make_policy, make_readings
from edge_sdk.beside import status_beside
from edge_sdk.config import Config
from edge_sdk.core.policy import FieldType
from edge_sdk.core.shim_ids import Schema
from edge_sdk.policy_file import find_policy

PER_S: Final = 60
PER_MESSAGE: Final = 64
POINTS: Final = 16
SAID_EVERY: Final = 50_000
WARM_S: Final = 20  # what a connection and a process learn once (patterns of messages, the first upload) is shown apart
TAKEN_AFTER_S: Final = 6  # the agent leaves points in the socket for three seconds, and waits for more of a reading


@dataclass(frozen=True)
class Cost:
    """
    What a process has used so far: CPU seconds, times a thread slept and was woken, resident bytes.
    """

    cpu_s: float
    wakes: int
    resident: int


def cost_of(pid: int) -> Cost:
    """
    Return what a process has used.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    wakes = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        wakes += next(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
    cpu_s = time.clock_gettime(~pid << 3 | 2)  # the clock of another process, as clock_getcpuclockid() names it
    return Cost(cpu_s, wakes, int(fields[21]) * os.sysconf("SC_PAGESIZE"))


def say(what: str) -> None:
    """
    Say on stderr what is being done: it takes minutes.
    """
    print(f"agent: {what}", file=sys.stderr, flush=True)


class Firmware:
    """
    A shim as far as a measurement needs one: blocks where the real one would keep points in its ring.
    """

    def __init__(self, place: Path, config: Config) -> None:
        schema = Schema(find_policy(config.policy))
        self._numbers = {one.field.name: one for one in schema.fields}
        self._sent = 0
        self._messages: list[list[Any]] = []
        hello = [1, 1, 1, 1, schema.hash, os.urandom(8), config.name, "bench"]
        while True:  # the site may still be opening
            self._link = _connected(place)
            self._link.send(cbor2.dumps(hello))
            if cbor2.loads(self._link.recv(4096))[2] == 0:
                break
            self._link.close()
            time.sleep(0.1)
        while cbor2.loads(self._link.recv(4096))[2] == 0:  # nothing is granted yet
            pass
        for slot in range(DEVICES):
            self._link.send(cbor2.dumps([3, slot, 1, f"408000{123456 + slot}"]))

    def send(self, readings: list[tuple[int, dict[str, Any]]], at: int) -> None:
        """
        Send readings, 64 points a message, a sixtieth of a second apart from *at* on.
        """
        points = [
            [self._numbers[name].number, number % DEVICES, number * 1000 // PER_S, self._value(name, value)]
            for number, (_, fields) in enumerate(readings)
            for name, value in fields.items()
            if name != "serial"
        ]
        for start in range(0, len(points), PER_MESSAGE):
            part = points[start : start + PER_MESSAGE]
            self._link.send(cbor2.dumps([2, self._sent, at, [0] * 5, part]))
            self._sent += len(part)

    def close(self) -> None:
        """
        Leave.
        """
        self._link.close()

    def _value(self, name: str, value: Any) -> Any:
        field = self._numbers[name].field
        return field.values.index(value) if field.type is FieldType.ENUM else value


def _connected(place: Path) -> socket.socket:
    for _ in range(200):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            link.connect(str(place))
        except OSError:
            link.close()
            time.sleep(0.1)
        else:
            return link
    raise RuntimeError("the agent does not listen")


@contextmanager
def agent(folder: Path) -> Iterator[int]:
    """
    Run the agent for the site in *folder*, and lend its process number.
    """
    file = folder / "agent.toml"
    file.write_text(
        f'[agent]\nsocket = "run/edge.sock"\nallow = ["uid:{os.getuid()}"]\npoints_per_s = 1000000\n'
        '[[sites]]\nconfig = "site.toml"\n'
    )
    command = [sys.executable, "-m", "edge_sdk", "agent", "--config", str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def paced(folder: Path, config: Config, seconds: int) -> dict[str, float]:
    """
    Measure idle and paced, with the collector running.
    """
    port = int(config.address.rsplit(":", 1)[1])
    with collector(folder / "collector", port), agent(folder) as pid:
        firmware = Firmware(folder / "run" / "edge.sock", config)
        time.sleep(5)
        say(f"idle for {seconds} s")
        before = cost_of(pid)
        time.sleep(seconds)
        idle = cost_of(pid)
        say(f"{PER_S} readings a second, {WARM_S} s to get going and {seconds} s measured")
        readings = make_readings(PER_S * (WARM_S + seconds))
        _feed(firmware, readings[: PER_S * WARM_S])
        first = cost_of(pid)
        _feed(firmware, readings[PER_S * WARM_S :])
        after = cost_of(pid)
        firmware.close()
    counts = status_beside(config).counts
    if counts["recorded"] != len(readings):
        raise RuntimeError(f"of {len(readings)} readings not all were stored: {dict(counts)}")
    idle_cpu = (idle.cpu_s - before.cpu_s) / seconds
    busy, warm = after.cpu_s - first.cpu_s, first.cpu_s - idle.cpu_s
    return {
        "warm": warm / (PER_S * WARM_S) * 1e6,
        "wakes": (idle.wakes - before.wakes) / seconds,
        "idle_ms": idle_cpu * 1e3,
        "cpu": busy / (PER_S * seconds) * 1e6,
        "over": (busy - idle_cpu * (seconds + TAKEN_AFTER_S)) / (PER_S * seconds) * 1e6,
        "resident": after.resident / 1e6,
    }


def _feed(firmware: Firmware, readings: list[tuple[int, dict[str, Any]]]) -> None:
    """
    Send *readings* at their pace, and wait until they are taken.
    """
    began = time.monotonic()
    for start in range(0, len(readings), 4):
        due = began + start / PER_S
        time.sleep(max(0.0, due - time.monotonic()))
        firmware.send(readings[start : start + 4], int(due * 1000))  # as planned: two of one time would be one reading
    time.sleep(TAKEN_AFTER_S)


def backlog(folder: Path, config: Config, count: int) -> dict[str, float]:
    """
    Measure memory and CPU when *count* readings come as fast as they are taken, with the collector away.
    """
    before_counts = status_beside(config).counts["recorded"]
    say(f"{count} readings as fast as they are taken, the collector away")
    with agent(folder) as pid:
        firmware = Firmware(folder / "run" / "edge.sock", config)
        before = cost_of(pid)
        readings = make_readings(2000)
        at = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000
        for start in range(0, count, len(readings)):
            firmware.send(readings[: count - start], at + start * 1000 // PER_S)
            if start and start % SAID_EVERY == 0:
                say(f"{start} of {count} readings, {cost_of(pid).resident / 1e6:.1f} MB")
        time.sleep(TAKEN_AFTER_S)
        after = cost_of(pid)
        firmware.close()
    kept = status_beside(config).counts["recorded"] - before_counts
    if kept < count - DEVICES:
        raise RuntimeError(f"{kept} readings were taken of {count}")
    return {"resident": after.resident / 1e6, "cpu": (after.cpu_s - before.cpu_s) / count * 1e6}


def script_cost(folder: Path, rows: int) -> float:
    """
    Return the CPU of a reading in the plain script, in us: the same readings, as fast as it takes them.
    """
    readings = make_readings(10_000)
    with ok_server() as port:
        before = time.process_time()
        run_script(str(folder / "script.db"), port, readings, rows)
        return (time.process_time() - before) / len(readings) * 1e6


def main() -> None:
    """
    Run, and print the rows.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.agent", description=__doc__)
    arguments.add_argument("--seconds", type=int, default=45, help="idle, and as long again at 60 readings a second")
    arguments.add_argument("--backlog", type=int, default=200_000, help="readings with the collector away; 0 for none")
    arguments.add_argument("--rows", type=int, default=500, help="readings of a batch, as max_rows has it")
    chosen = arguments.parse_args()
    with TemporaryDirectory() as folder:
        place = Path(folder) / "house"
        config = make_site(place, make_policy(1), per_batch=chosen.rows)
        before = script_cost(Path(folder), chosen.rows)
        first = paced(place, config, chosen.seconds)
        (Path(folder) / "script.db").unlink()
        script = (before + script_cost(Path(folder), chosen.rows)) / 2
        second = backlog(place, config, chosen.backlog) if chosen.backlog else {}
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, {platform.machine()}, {load}")
    print(f"agent: CPU at {PER_S} readings/s, all of it      {first['cpu']:8.1f} us/reading   <= 25")
    print(f"agent: the same, the first {WARM_S} s            {first['warm']:8.1f} us/reading")
    print(f"agent: the same against the script, {script:.1f} us   {first['cpu'] / script:8.2f} x")
    print(f"agent: the same without what it costs idle  {first['over']:8.1f} us/reading")
    print(f"agent: idle, CPU                            {first['idle_ms']:8.2f} ms/s")
    print(f"agent: idle, wake-ups of all threads        {first['wakes']:8.2f} /s           <= 1")
    print(f"agent: resident, collector there            {first['resident']:8.1f} MB           <= 64")
    if second:
        print(f"agent: resident, {chosen.backlog} readings kept   {second['resident']:8.1f} MB           <= 64")
        print(f"agent: CPU as fast as it takes them         {second['cpu']:8.1f} us/reading")


if __name__ == "__main__":
    main()
