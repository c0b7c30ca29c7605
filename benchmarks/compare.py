"""
``python -m benchmarks.compare``: the same readings through a plain script, this line, and what is used elsewhere.

Rounds are interleaved and a ratio is taken inside a round. Each row says how durable a reading is when the call that
took it has returned, and whether it is encrypted from there on; none of the peers does that. What the line sent is
opened at the end and compared by value, reading by reading; of the peers it is counted how many arrived whole.
Writes ``out/compare.json`` and ``out/compare.html`` beside this file.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import backlog
from benchmarks.line import run_line
from benchmarks.plots import Curve, page
from benchmarks.script import run_script
from edge_sdk.bench.machine import machine
from edge_sdk.bench.workload import make_readings

Readings = list[tuple[int, dict[str, Any]]]
Measured = dict[str, float]

HERE: Final = Path(__file__).resolve().parent
SCRIPT: Final = "script: sqlite, gzip"
LINE: Final = "this line"
ROWS: Final = {  # what holds a reading when the call has returned, and whether it is encrypted
    SCRIPT: ("fsync", "no"),
    LINE: ("fsync", "yes"),
    "opentelemetry": ("RAM", "no"),
    "thingsboard sqlite": ("RAM, soon page cache", "no"),
    "thingsboard file": ("page cache", "no"),
    "paho-mqtt": ("RAM", "no"),
    "glean": ("page cache", "no"),
}
BATCHES: Final = (20, 240, 1000, 5000)


@dataclass(frozen=True, slots=True)
class Receiver:
    """
    The other side of the script and the peers.
    """

    http: int
    mqtt: int

    def taken(self) -> int:
        """
        Return the bytes that came since it was last asked.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.http)
        connection.request("GET", "/taken")
        return int(json.loads(connection.getresponse().read())["bytes"])


def main() -> None:
    """
    Run the rounds, print the table, write the files.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    arguments.add_argument("--peers", type=Path, help="the Python of the environment that the peers are in")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--readings", type=int, default=5000)
    arguments.add_argument("--per-batch", type=int, default=500)
    arguments.add_argument("--queued", type=int, default=10_000_000, help="most readings of the curve over a queue")
    chosen = arguments.parse_args()
    readings = make_readings(chosen.readings)
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}  {machine()}, load {os.getloadavg()[0]:.1f}\n"
        f"{chosen.rounds} interleaved rounds, {chosen.readings} readings of 17 fields, {chosen.per_batch} a batch; "
        "what the line sent was opened and compared by value"
    )
    with _receiver() as receiver:
        rounds = [_round(readings, chosen, receiver, number) for number in range(chosen.rounds)]
        print(head)
        _print(rounds)
        by_batch = {size: _pair(make_readings(max(5000, size)), size, receiver) for size in BATCHES}
    print("Readings queued: to record, seal and make one durable; to take one out when it is receipted")
    queued = backlog.show(backlog.sizes(chosen.queued, rounds=backlog.ROUNDS, per_batch=chosen.per_batch))
    _write(head, rounds, by_batch, queued)


def _round(readings: Readings, chosen: argparse.Namespace, receiver: Receiver, number: int) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as made:
        base = Path(made)
        found[SCRIPT] = _script(base / "script.db", readings, chosen.per_batch, receiver)
        run = run_line(base / "line", readings, chosen.per_batch, purposes=1, send=True)
        found[LINE] = {"cpu": run.cpu, "rate": run.rate, "wire": run.wire, "arrived": 1.0}
        if chosen.peers is not None:
            (base / "readings.json").write_text(json.dumps(readings))
            for peer in list(ROWS)[2:]:
                (base / peer).mkdir()
                found[peer] = _peer(chosen, peer, base, receiver)
    print(f"round {number + 1}", file=sys.stderr, flush=True)
    return found


def _script(path: Path, readings: Readings, per_batch: int, receiver: Receiver) -> Measured:
    receiver.taken()
    cpu, wall = time.process_time(), time.perf_counter()
    run_script(str(path), receiver.http, readings, per_batch)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    count = len(readings)
    return {"cpu": cpu / count * 1e6, "rate": count / wall, "wire": receiver.taken() / count, "arrived": 1.0}


def _peer(chosen: argparse.Namespace, peer: str, base: Path, receiver: Receiver) -> Measured:
    receiver.taken()
    ports = (receiver.http, receiver.mqtt)
    command = [chosen.peers, HERE / "peer_run.py", peer, base / "readings.json", *ports, base / peer, chosen.per_batch]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{peer} ended with {done.returncode}: {done.stderr[-1000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    count = told["accepted"]
    return {
        "cpu": told["cpu"] / count * 1e6, "rate": count / told["wall"],
        "wire": told["wire"] / max(1, told["arrived"]), "arrived": told["arrived"] / count,
    }  # fmt: skip


def _pair(readings: Readings, per_batch: int, receiver: Receiver) -> dict[str, Measured]:
    with tempfile.TemporaryDirectory() as made:
        base = Path(made)
        script = _script(base / "script.db", readings, per_batch, receiver)
        run = run_line(base / "line", readings, per_batch, purposes=1, send=True)
        return {SCRIPT: script, LINE: {"cpu": run.cpu, "rate": run.rate, "wire": run.wire}}


@contextmanager
def _receiver() -> Iterator[Receiver]:
    command = [sys.executable, "-m", "benchmarks.receiver"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        http_port, mqtt_port = map(int, process.stdout.readline().split())
        try:
            yield Receiver(http_port, mqtt_port)
        finally:
            process.terminate()


def ratios(rounds: list[dict[str, Measured]]) -> dict[str, float]:
    """
    Return what two runs must agree on: of each row CPU and bytes against the script, medians of what each round says.
    """
    return {
        f"{name}: {what}": statistics.median(one[name][key] / one[SCRIPT][key] for one in rounds)
        for name in rounds[0] if name != SCRIPT for what, key in (("CPU", "cpu"), ("bytes", "wire"))
    }  # fmt: skip


def _print(rounds: list[dict[str, Measured]]) -> None:
    print(f"{'':22}{'durable in':>22}{'encrypts':>10}{'CPU us':>9}{'x script':>10}{'wire B':>9}{'readings/s':>12}"
          f"{'arrived':>9}")  # fmt: skip
    for name in rounds[0]:
        medians = {key: statistics.median(one[name][key] for one in rounds) for key in rounds[0][name]}
        ratio = ratios(rounds).get(f"{name}: CPU", 1.0)
        durable, encrypts = ROWS[name]
        print(f"{name:22}{durable:>22}{encrypts:>10}{medians['cpu']:9.1f}{ratio:10.2f}{medians['wire']:9.1f}"
              f"{medians['rate']:12.0f}{medians['arrived']:9.0%}", flush=True)  # fmt: skip


def _write(
    head: str, rounds: list[dict[str, Measured]], by_batch: dict[int, dict[str, Measured]], queued: list[backlog.Size]
) -> None:
    def curve(name: str, key: str) -> Curve:
        return [(size, found[name][key]) for size, found in by_batch.items()]

    both = (SCRIPT, LINE)
    figures: dict[str, dict[str, Curve]] = {
        "CPU of a reading, us, by readings in a batch": {name: curve(name, "cpu") for name in both},
        "Bytes on the wire of a reading, by readings in a batch": {name: curve(name, "wire") for name in both},
        "CPU of a reading, us, by readings queued": {
            "record, seal, make durable": [(one.queued, one.keep) for one in queued],
            "take out, receipt": [(one.queued, one.give) for one in queued],
        },
    }
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    told = {
        "head": head, "rows": ROWS, "ratios": ratios(rounds), "rounds": rounds, "by_batch": by_batch,
        "queued": [asdict(one) for one in queued],
    }  # fmt: skip
    (out / "compare.json").write_text(json.dumps(told, indent=1))
    (out / "compare.html").write_text(page("Beside what is used elsewhere", head, figures))
    print(out / "compare.json", out / "compare.html")


if __name__ == "__main__":
    main()
