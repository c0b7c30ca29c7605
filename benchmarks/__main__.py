"""
``python -m benchmarks``: what a reading costs, how soon a change of consent takes effect, how long a wipe takes.

Each row has the median of all rounds, the least and the most, its unit, and what it must be where that is set. The
head line names date, machine, versions and load. What was sent is opened and compared by value. Writes
``out/bench.json`` beside this file. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.endings import run_endings
from benchmarks.line import LineRun, run_line
from benchmarks.peers import ok_server
from benchmarks.script import run_script
from edge_sdk.bench.machine import machine
from edge_sdk.bench.workload import make_readings

Readings = list[tuple[int, dict[str, Any]]]

MORE: Final = 3  # times as many readings for windows: one row is made of thirty, and some batches should be full
AGREED: Final = ("x", "B/reading")  # what two runs must agree on: processor time against the script's, and bytes
OUT: Final = Path(__file__).resolve().parent / "out"


@dataclass(frozen=True)
class Budget:
    """
    One row: what it measures, and what the design asks of it.
    """

    name: str
    unit: str
    must: str
    value: Callable[[dict[str, Any]], float]


BUDGETS = (
    Budget("1 CPU, one purpose, sent, against the script", "x", "<= 0.6", lambda r: r["one"].cpu / r["script"]),
    Budget("2 CPU, three purposes, sent, against the script", "x", "<= 1.1", lambda r: r["three"].cpu / r["script"]),
    Budget("3 CPU, three purposes in 5-min windows, sent", "x", "<= 0.3", lambda r: r["windowed"].cpu / r["script"]),
    Budget("  one purpose, record() for each reading", "x", "", lambda r: r["one_each"].cpu / r["script"]),
    Budget("  three purposes, record() for each reading", "x", "", lambda r: r["three_each"].cpu / r["script"]),
    Budget("5 to the durable sealed batch, one purpose", "readings/s", ">= 140k", lambda r: r["one_kept"].rate),
    Budget("5 to the durable sealed batch, three purposes", "readings/s", ">= 70k", lambda r: r["three_kept"].rate),
    Budget("6 wire with request head, X-Wing", "B/reading", "<= 13", lambda r: r["one"].wire),
    Budget("6 wire with request head, X25519", "B/reading", "<= 11", lambda r: r["classic"].wire),
    Budget("  script: wire, body only", "B/reading", "", lambda r: r["script_wire"]),
    Budget("  script: CPU", "us/reading", "", lambda r: r["script"]),
    Budget("  line: CPU, one purpose", "us/reading", "", lambda r: r["one"].cpu),
    Budget("consent, by receipt: arrival to effect", "ms", "<= 1000", lambda r: r["endings"].receipt),
    Budget("consent, uploading at once: operator's word to arrival", "ms", "", lambda r: r["endings"].announced),
    Budget("consent, by poll: arrival to effect", "ms", "<= 1000", lambda r: r["endings"].poll),
    Budget("consent, by file: import to effect", "ms", "<= 1000", lambda r: r["endings"].file),
    Budget("consent, withdrawn on the device: call to effect", "ms", "<= 1000", lambda r: r["endings"].local),
    Budget("wipe, 64 MB queued: call to keys destroyed", "ms", "", lambda r: r["endings"].keys_gone),
    Budget("wipe, 64 MB queued: call to receipt", "ms", "", lambda r: r["endings"].wiped),
)


def main() -> None:
    """
    Run the rounds and print the table.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=11)
    arguments.add_argument("--readings", type=int, default=20_000)
    arguments.add_argument("--per-batch", type=int, default=500)
    chosen = arguments.parse_args()
    readings = make_readings(MORE * chosen.readings)
    gc.collect()
    gc.freeze()  # so that nobody is charged for looking through the input, which no gateway holds
    with tempfile.TemporaryDirectory() as folder:  # what is imported on the way is not the first round's
        run_line(Path(folder) / "site", readings[: chosen.per_batch], chosen.per_batch, purposes=1, send=True)
    parts = readings[: chosen.readings], readings
    with ok_server() as port:
        rounds = [_round(*parts, chosen.per_batch, port, ends=not at % 2) for at in range(chosen.rounds)]
    load = os.getloadavg()[0]
    _print(rounds, chosen, load)
    _write(rounds, chosen, load)


def _round(readings: Readings, more: Readings, per_batch: int, port: int, *, ends: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        before, wire = _script(base / "before.db", port, readings, per_batch)
        runs: dict[str, LineRun] = {
            "one": run_line(base / "one", readings, per_batch, purposes=1, send=True),
            "three": run_line(base / "three", readings, per_batch, purposes=3, send=True),
            "windowed": run_line(base / "windowed", more, per_batch, purposes=3, send=True, windowed=True),
            "one_each": run_line(base / "one_each", readings, per_batch, purposes=1, send=True, each=True),
            "three_each": run_line(base / "three_each", readings, per_batch, purposes=3, send=True, each=True),
            "one_kept": run_line(base / "one_kept", readings, per_batch, purposes=1, send=False),
            "three_kept": run_line(base / "three_kept", readings, per_batch, purposes=3, send=False),
            "classic": run_line(base / "classic", readings, per_batch, purposes=1, send=True, suite="hpke-4-ke"),
        }
        after, _ = _script(base / "after.db", port, readings, per_batch)  # a machine may go slower or faster meanwhile
        endings = {"endings": run_endings(base / "endings")} if ends else {}
        return {"script": (before + after) / 2, "script_wire": wire, **endings, **runs}


def _script(place: Path, port: int, readings: Readings, per_batch: int) -> tuple[float, float]:
    """
    Return what a reading costs in the script, in us of CPU, and its bytes on the wire.
    """
    cpu = time.process_time()
    wire = run_script(str(place), port, readings, per_batch)
    return (time.process_time() - cpu) / len(readings) * 1e6, wire / len(readings)


def _head(chosen: argparse.Namespace, load: float) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}  {machine()}, load {load:.1f}\n{chosen.rounds} interleaved rounds, "
        f"{chosen.readings} readings of 17 fields, {MORE} times as many for windows, {chosen.per_batch} a batch; "
        "the line encrypts, signs and fsyncs, the script fsyncs; all that was sent was opened and compared by value"
    )


def _print(rounds: list[dict[str, Any]], chosen: argparse.Namespace, load: float) -> None:
    print(_head(chosen, load))
    print(f"{'':52} {'median':>10} {'min':>10} {'max':>10}  unit        must")
    for budget in BUDGETS:
        values = _values(budget, rounds)
        shown = [f"{value:10.2f}" if value < 1000 else f"{value:10.0f}" for value in
                 (statistics.median(values), min(values), max(values))]  # fmt: skip
        print(f"{budget.name:52} {' '.join(shown)}  {budget.unit:11} {budget.must}")


def _values(budget: Budget, rounds: list[dict[str, Any]]) -> list[float]:
    """
    Return what each round says; how consent and accounts end is timed in every other one only.
    """
    return [budget.value(one) for one in rounds if "endings" in one or not budget.name.startswith(("consent", "wipe"))]


def _write(rounds: list[dict[str, Any]], chosen: argparse.Namespace, load: float) -> None:
    found = {budget.name.strip(): _values(budget, rounds) for budget in BUDGETS}
    units = {budget.name.strip(): (budget.unit, budget.must) for budget in BUDGETS}
    ratios = {name: statistics.median(values) for name, values in found.items() if units[name][0] in AGREED}
    told = {"head": _head(chosen, load), "ratios": ratios, "rounds": found, "units": units}
    OUT.mkdir(exist_ok=True)
    (OUT / "bench.json").write_text(json.dumps(told, indent=1))
    print(OUT / "bench.json")


if __name__ == "__main__":
    main()
