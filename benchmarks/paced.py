"""
One gateway at a steady pace: ``python -m benchmarks.paced SITE START_MS READINGS PER_S``, for ``constrained``.

A process of its own with nothing in it but the gateway, so that what it occupies is what a gateway does.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from edge_sdk.bench.workload import make_readings
from edge_sdk.config import Config
from edge_sdk.gateway import Gateway


def gateway(site: Path, *, start_ms: int, count: int, per_s: int) -> None:
    """
    Be the gateway: record at a pace, send everything, and tell what it took.
    """
    readings = make_readings(count, start_ms=start_ms)
    took = []
    with Gateway.open(Config.read(site / "site.toml")) as opened:
        cpu, started = time.process_time(), time.perf_counter()
        for number, (at_ms, fields) in enumerate(readings):
            time.sleep(max(0.0, started + number / per_s - time.perf_counter()))
            before = time.perf_counter_ns()
            opened.record("inverter", fields, at_ms=at_ms)
            took.append(time.perf_counter_ns() - before)
        opened.flush()
        if opened.drain(600):
            raise RuntimeError("the collector did not take everything")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - started
    took.sort()
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) << 10
    print(json.dumps({"cpu": cpu / count * 1e6, "wall": wall, "peak": peak, "p99": took[count * 99 // 100] / 1e3,
                      "max": took[-1] / 1e6}))  # fmt: skip


if __name__ == "__main__":
    site, *numbers = sys.argv[1:]
    start_ms, count, per_s = map(int, numbers)
    gateway(Path(site), start_ms=start_ms, count=count, per_s=per_s)
