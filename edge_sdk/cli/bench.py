"""
``edge-sdk bench``: what this board carries, measured on it: the line as it ships, on its medium, to a collector on
loopback. Run it while the board does nothing else, in a folder of the medium that will hold the state.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edge_sdk import files
from edge_sdk.bench import latency, meter, stages
from edge_sdk.bench.advice import SHARE, Advice, advise
from edge_sdk.bench.machine import machine
from edge_sdk.bench.page import page
from edge_sdk.bench.stages import Cost
from edge_sdk.bench.workload import just_before, make_policy, make_readings
from edge_sdk.cli.demo_stage import Child, port_of
from edge_sdk.cli.given import described
from edge_sdk.cli.tables import print_table
from edge_sdk.clock import wall_s
from edge_sdk.config import Config
from edge_sdk.errors import EdgeError, StorageError

ROWS: Final = (20, 240, 1000, 5000)
_USUAL: Final = 240
_SITES: Final = {  # purposes, 5-minute windows, suite
    "one": (1, False, "hpke-9-ke"),
    "x25519": (1, False, "hpke-4-ke"),
    "three": (3, False, "hpke-9-ke"),
    "windowed": (3, True, "hpke-9-ke"),
}
_OTHERS: Final = ("x25519", "three", "windowed")
_CIPHERS: Final = ("a256gcm", "chacha20")
_WARM_UP: Final = 500
_FLUSHES: Final = 8  # a batch, in the run that tells what a flush writes
_SLOW_MS: Final = 200  # a commit of a worn card
_PER_S: Final = 200
_NOBODY: Final = 9  # the discard port
_TOML_LIMIT: Final = 1 << 16

Configured = Callable[..., Config]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    bench = commands.add_parser("bench", help="measure what this board carries", description=described(__doc__))
    bench.add_argument("--folder", default=".", metavar="DIR", help="a folder of the medium to measure (default: .)")
    bench.add_argument("--readings", type=_count, default=10_000, metavar="COUNT", help="of each run (default: 10000)")
    bench.add_argument("--json", action="store_true", help="print every figure as JSON")
    bench.add_argument("--html", metavar="FILE", help="write a page with plots as well")
    bench.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Measure, print, and say what fits.
    """
    folder = Path(arguments.folder)
    if not files.exists(folder):
        raise StorageError(f"there is no folder {folder.name}", hint="--folder takes one on the medium to be measured")
    with meter.scratch(folder) as scratch:
        found = _measure(scratch, arguments.readings)
    if arguments.html:
        files.write(Path(arguments.html), page(found).encode(), 0o644)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)
    return 0


def _count(text: str) -> int:
    count = int(text) if text.isdigit() else 0
    if not 500 <= count <= 10_000_000:
        raise argparse.ArgumentTypeError("write a number of readings from 500 to 10000000")
    return count


def _measure(folder: Path, count: int) -> dict[str, Any]:
    """
    Run everything once and return the figures by name.
    """
    readings = make_readings(count, start_ms=just_before(wall_s() * 1000, count))
    _say("one purpose: batch sizes, ciphers, record() with a slow disk, start and memory")
    with _site(folder / "one", "one") as configured:
        costs = _one_purpose(configured, readings)
        _check(folder / "one" / "collector", _WARM_UP + (len(costs) * count))
        slow = latency.run(configured(_USUAL), readings[:5_000], per_s=_PER_S, slow_ms=_SLOW_MS)
        fresh = _fresh(folder / "one", count)
        quota = configured(_USUAL).limits.quota_bytes
    for name in _OTHERS:
        _say(name)
        with _site(folder / name, name) as configured:
            costs[name] = stages.run(configured(_USUAL), readings, per_batch=_USUAL)
            _check(folder / name / "collector", _SITES[name][0] * count)
    advice = _advice(costs, quota)
    return {
        "at": datetime.fromtimestamp(wall_s(), UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": machine(),
        "readings": count, "fields": len(readings[0][1]), "costs": {name: _plain(cost) for name, cost in costs.items()},
        "record": _fields_of(slow), "fresh": fresh, "quota_bytes": quota,
        "advice": {**_fields_of(advice), "carried": [_fields_of(one) for one in advice.carried]},
    }  # fmt: skip


def _one_purpose(configured: Configured, readings: stages.Readings) -> dict[str, Cost]:
    stages.run(configured(_USUAL), readings[:_WARM_UP], per_batch=_USUAL)  # what is imported on the way is no run's
    costs = {f"rows {rows}": stages.run(configured(rows), readings, per_batch=rows) for rows in ROWS}
    for cipher in _CIPHERS:
        costs[cipher] = stages.run(configured(_USUAL, cipher), readings, per_batch=_USUAL)
    costs["flushes"] = stages.run(configured(_USUAL), readings, per_batch=_USUAL, flushes=_FLUSHES)
    return costs


def _advice(costs: dict[str, Cost], quota: int) -> Advice:
    usual, often = costs[f"rows {_USUAL}"], costs["flushes"]
    a_flush = None
    if usual.disk is not None and often.disk is not None:
        more = (often.disk - usual.disk) * _USUAL / (_FLUSHES - 1)
        a_flush = more if more > 0 else None  # others wrote more than eight flushes differ from one
    return advise(
        {rows: costs[f"rows {rows}"] for rows in ROWS},
        {cipher: costs[cipher] for cipher in _CIPHERS},
        {"hpke-9-ke": usual, "hpke-4-ke": costs["x25519"]},
        flush_bytes=a_flush, quota_bytes=quota,
    )  # fmt: skip


@contextmanager
def _site(folder: Path, name: str) -> Iterator[Configured]:
    """
    Make an enrolled site and serve its collector; lend a function that returns its configuration for a batch size.
    """
    purposes, windowed, suite = _SITES[name]
    policy = folder / "bench_policy.toml"
    files.make_folder(folder)
    files.write(policy, make_policy(purposes, windowed=windowed).encode(), 0o644)
    with Child(["init", "--local", str(folder), "--policy", str(policy), "--suite", suite]) as made:
        if made.wait():
            raise EdgeError(f"the site to measure could not be made: {made.log.strip()}")
    plain = files.read(folder / "site.toml", _TOML_LIMIT).decode()
    with Child(["collector", "serve", str(folder / "collector"), "--port", "0"]) as serving:
        port = port_of(serving)

        def configured(rows: int, cipher: str = "auto") -> Config:
            text = _at_port(plain, port).replace("max_rows = 500", f'max_rows = {2 * rows}\ncipher = "{cipher}"')
            text = text.replace('jitter = "1s"', 'jitter = "1ms"').replace('flush_every = "60s"', 'flush_every = "1s"')
            files.write(folder / "site.toml", text.encode(), 0o644)
            return Config.read(folder / "site.toml")

        yield configured


def _at_port(site: str, port: int) -> str:
    address = f'address = "http://127.0.0.1:{port}"'
    return "\n".join(address if line.startswith("address =") else line for line in site.splitlines())


def _check(collector: Path, expected: int) -> None:
    """
    Open everything that arrived: a figure of readings that were lost would be none.
    """
    from edge_sdk.collector.folder import open_rows

    opened = sum(1 if row.count is None else row.count for row in open_rows(collector))
    if opened != expected:
        raise StorageError(f"{opened} readings were opened at the collector, {expected} were recorded")


def _fresh(folder: Path, count: int) -> dict[str, float]:
    """
    Return what a fresh process tells of its start and its memory, with the collector away.
    """
    site = files.read(folder / "site.toml", _TOML_LIMIT).decode()
    files.write(folder / "away.toml", _at_port(site, _NOBODY).encode(), 0o644)
    command = [sys.executable, "-m", "edge_sdk.bench.start", str(folder / "away.toml"), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        raise EdgeError(f"a fresh process did not measure itself: {done.stderr.strip()[-200:]}")
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _plain(cost: Cost) -> dict[str, Any]:
    return {**_fields_of(cost), "all_us": cost.all_us}


def _fields_of(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def _say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr)


def _show(found: dict[str, Any]) -> None:
    print(f"{found['at']}   {found['machine']}")
    print(f"{found['readings']} readings of {found['fields']} fields a run, of 20 inverters; us of processor time, all "
          "threads; what the medium took counts for everybody who wrote")  # fmt: skip
    print()
    lines = [_cost_line(name, cost) for name, cost in found["costs"].items()]
    headings = ["run", *stages.STAGES, "all us", "to queue/s", "wire B", "disk B", "flushes"]
    print_table("a reading costs", headings, lines)
    slow, fresh = found["record"], found["fresh"]
    print()
    print(f"record()      p50 {slow['p50']:.0f}, p99 {slow['p99']:.0f}, p99.9 {slow['p999']:.0f}, longest "
          f"{slow['longest']:.0f} us, uplink down, {slow['slowed']} commits slowed by {_SLOW_MS} ms")  # fmt: skip
    print(f"start         {fresh['opened_s']:.2f} s from opening to the first durable reading, {fresh['cpu_s']:.2f} s "
          "of processor time with the interpreter's start")  # fmt: skip
    print(f"memory        {_mb(fresh['small'])} with one reading, {_mb(fresh['steady'])} after {found['readings']} "
          f"that nobody took, {_mb(fresh['peak'])} at most")  # fmt: skip
    _show_advice(found["advice"])


def _show_advice(advice: dict[str, Any]) -> None:
    print()
    lines = [[str(one["every_s"]), f"{one['inverters']:,}", f"{one['offline_days']:.1f}"] for one in advice["carried"]]
    headings = ["a reading every s", "inverters", "days offline of 20 of them"]
    print_table(f"this board carries, with {SHARE:.0%} of one core and one purpose", headings, lines)
    print()
    print(f'it fits: max_rows = {advice["max_rows"]}, flush_every = "{advice["flush_s"]}s", '
          f'cipher = "{advice["cipher"]}", suite = "{advice["suite"]}"')  # fmt: skip
    for line in advice["why"]:
        print(f"  {line}")


def _cost_line(name: str, cost: dict[str, Any]) -> list[str]:
    told = [f"{cost['cpu_us'][stage]:.1f}" for stage in stages.STAGES]
    rate = cost["readings"] / cost["seconds"]
    disk = "-" if cost["disk"] is None else f"{cost['disk']:.0f}"
    flushes = "-" if cost["flushes"] is None else f"{cost['flushes']:.3f}"
    return [name, *told, f"{cost['all_us']:.1f}", f"{rate:,.0f}", f"{cost['wire']:.1f}", disk, flushes]


def _mb(nbytes: float) -> str:
    return f"{nbytes / 2**20:.1f} MiB"
