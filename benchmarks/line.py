"""
The line as it ships, fed as fast as it takes readings: record, durable, sealed, and sent to a real collector.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import collector
from benchmarks.values import check_opened
from edge_sdk.bench.stages import head_bytes
from edge_sdk.bench.workload import make_policy
from edge_sdk.cli import setup
from edge_sdk.config import Config
from edge_sdk.gateway import Gateway
from edge_sdk.http_transport import HttpTransport
from edge_sdk.transport import Request, Response


@dataclass(frozen=True)
class LineRun:
    """
    CPU in us per reading of the whole process, readings per second, wire bytes per reading and purpose.
    """

    cpu: float
    rate: float
    wire: float


class Counting:
    """
    The HTTPS transport, counting what it sends: bodies, and a request head as measured once.
    """

    def __init__(self, address: str) -> None:
        self._inner = HttpTransport(address)
        self.batches: list[Request] = []

    async def send(self, request: Request) -> Response:
        """
        Send one request.
        """
        if request.path == "/v1/batches":
            self.batches.append(request)
        return await self._inner.send(request)

    async def close(self) -> None:
        """
        Close.
        """
        await self._inner.close()


def run_line(
    folder: Path, readings: list[tuple[int, dict[str, Any]]], per_batch: int, *,
    purposes: int, send: bool, suite: str = "hpke-9-ke", windowed: bool = False, each: bool = False,
) -> LineRun:  # fmt: skip
    """
    Return what one run over all *readings* costs, handed over a batch at a time, or *each* by itself.

    What was sent is opened at the end and compared by value.
    """
    config = make_site(folder, make_policy(purposes, windowed=windowed), suite=suite, per_batch=per_batch)
    transport = Counting(config.address)
    serving = collector(folder / "collector", int(config.address.rsplit(":", 1)[1]))
    with serving if send else contextlib.nullcontext():
        gateway = Gateway.open(config, transport=transport)
        with gateway if send else contextlib.closing(gateway):
            started, cpu = time.perf_counter(), time.process_time()
            for start in range(0, len(readings), per_batch):
                if each:
                    for at_ms, fields in readings[start : start + per_batch]:
                        gateway.record("inverter", fields, at_ms=at_ms)
                else:
                    gateway.record_many("inverter", readings[start : start + per_batch])
                gateway.flush()
            if send and gateway.drain(60, cut=windowed):
                raise RuntimeError("the collector did not take everything")
            cpu, wall = time.process_time() - cpu, time.perf_counter() - started
        head = asyncio.run(head_bytes(transport.batches[0])) if transport.batches else 0
    if send:
        check_opened(folder, readings, purposes=purposes, windowed=windowed)
    wire = sum(len(request.body) + head for request in transport.batches)
    return LineRun(cpu / len(readings) * 1e6, len(readings) / wall, wire / len(readings) / purposes)


def make_site(folder: Path, policy: str, *, suite: str = "hpke-9-ke", per_batch: int) -> Config:
    """
    Make an enrolled site for *policy*, with a collector of its own, in the new folder *folder*.
    """
    folder.mkdir()
    (folder / "bench_policy.toml").write_text(policy)
    arguments = argparse.Namespace(
        local=str(folder), profile=None, policy=str(folder / "bench_policy.toml"), grant=[], name="bench",
        suite=suite,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        setup.run(arguments)
    site = folder / "site.toml"
    text = site.read_text().replace("max_rows = 500", f"max_rows = {per_batch}")
    site.write_text(text.replace('jitter = "1s"', 'jitter = "1ms"'))
    return Config.read(site)
