"""
``python -m benchmarks.collector``: what a collector carries, what refusing costs it, and how it is with a million
batches stored.

The collector is a process of its own on loopback; devices are enrolled with it and their batches are sealed before
the clock starts. Every receipt is verified. A refused request that costs about what an accepted one does is a way to
bring a collector down; one that is answered without its body is cheap whatever it is.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import secrets
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.fleet import Device, Upload, make_fleet
from benchmarks.load import Reply, Served, request, send_all, serving
from edge_sdk.collector import open_opener
from edge_sdk.collector.intake import Box
from edge_sdk.collector.keyring import Places
from edge_sdk.collector.opened import OpenerStore
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core import envelope, keys

CONNECTIONS: Final = 8
_DAY_S: Final = 86_400
_LARGE: Final = envelope.ENVELOPE_LIMIT * 16
_PUT_MANY: Final = """
INSERT INTO arrivals (box, id, kid, digest, body, epoch, taken) VALUES (?, ?, ?, ?, ?, ?, 1)
"""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of the table.
    """

    name: str
    value: float
    unit: str

    def __str__(self) -> str:
        shown = f"{self.value:12.3f}" if self.value < 100 else f"{self.value:12.0f}"
        return f"{self.name:58}{shown}  {self.unit}"


def main() -> None:
    """
    Run what was asked for and print the table.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.collector", description=__doc__)
    arguments.add_argument("--devices", type=int, default=100)
    arguments.add_argument("--batches", type=int, default=3000, help="of each measured kind")
    arguments.add_argument("--memory", type=int, default=10_000, help="batches sent for the memory row")
    arguments.add_argument("--stored", type=int, default=0, help="batches laid into the store beforehand")
    arguments.add_argument("--connections", type=int, default=CONNECTIONS)
    arguments.add_argument("--folder", type=Path, help="on which medium; the folder for temporary files else")
    chosen = arguments.parse_args()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"{now}  {platform.machine()}  Python {platform.python_version()}  SQLite {sqlite3.sqlite_version}")
    print(f"{chosen.devices} devices, {chosen.connections} connections, {chosen.batches} batches of each kind")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as made:
        folder = Path(made) / "collector"
        devices = make_fleet(folder, chosen.devices, _now_s())
        if chosen.stored:
            print(Row(f"laid {chosen.stored} into the store", lay(folder, devices, chosen.stored), "s"))
        with serving(folder) as served:
            print(Row("start to the first connection", served.start_s * 1000, "ms"), flush=True)
            for row in measure(served, devices, chosen):
                print(row, flush=True)
        for row in keep_house(folder):
            print(row, flush=True)


def measure(served: Served, devices: Sequence[Device], chosen: argparse.Namespace) -> Iterator[Row]:
    """
    Yield what a running collector does.
    """
    count, connections = chosen.batches, chosen.connections
    uploads = list(islice(made(devices), count))
    sent = [request(upload.body, device.authorization(upload.body, _now_s())) for device, upload in uploads]
    yield Row("body of a batch of 60 rows", statistics.mean(len(upload.body) for _, upload in uploads), "bytes")
    replies, cpu, wall = timed(served, sent, connections)
    _check_receipts(uploads, replies)
    accepted = cpu / count
    yield Row("accepted and durable, all connections", count / wall, "batches/s")
    yield Row("accepted: CPU of the collector", accepted * 1e3, "ms/batch")
    yield Row("accepted: batches a second that one core carries", 1 / accepted, "batches/s")
    yield from _latency("accepted", replies)
    replies, cpu, _ = timed(served, sent, connections)
    _check_receipts(uploads, replies)
    yield Row("the same again: CPU against an accepted one", cpu / count / accepted, "x")
    yield from _refused(served, uploads, accepted, connections)
    yield from _oversize(served, devices[0])
    yield from _memory(served, devices, chosen.memory, connections)


def timed(served: Served, requests: Sequence[bytes], connections: int) -> tuple[list[Reply], float, float]:
    """
    Send *requests*; return the answers, and seconds of the collector's processor and of the wall.
    """
    cpu, started = served.cpu_s(), time.perf_counter()
    replies = send_all(served.port, requests, connections=connections)
    wall = time.perf_counter() - started
    return replies, served.cpu_s() - cpu, wall


def made(devices: Sequence[Device]) -> Iterator[tuple[Device, Upload]]:
    """
    Yield batches for ever, each device in its turn.
    """
    power = 0
    while True:
        for device in devices:
            power += 1
            yield device, device.sealed(power % 90_000, _now_s())


def lay(folder: Path, devices: Sequence[Device], count: int) -> float:
    """
    Lay *count* taken batches of the last 90 days into the intake's file, and return how long it took, in seconds.

    Each has an id of its own around the bytes of one real envelope, so none opens; the intake looks at none of that.
    Many in one transaction, which the store itself never does: it would take hours otherwise.
    """
    started = time.perf_counter()
    body = devices[0].sealed(1, _now_s()).body
    outer = envelope.outer(body)
    assert outer.batch_id is not None
    before, after = body.split(outer.batch_id, 1)
    today = keys.epoch_of(_now_s())
    with closing(sqlite3.connect(Places(folder).store, isolation_level=None)) as connection:
        for start in range(0, count, 5000):
            rows = []
            for number in range(start, min(start + 5000, count)):
                batch_id = secrets.token_bytes(16)
                changed = before + batch_id + after
                day = today - 89 + 90 * number // count
                rows.append((Box.BATCHES, batch_id, outer.kid, hashlib.sha256(changed).digest(), changed, day))
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_PUT_MANY, rows)
            connection.execute("COMMIT")
    with closing(IntakeStore(Places(folder).store)) as store, closing(OpenerStore(Places(folder).opened)) as opened:
        opened.put_progress(outer.kid.hex(), store.newest())
    return time.perf_counter() - started


def keep_house(folder: Path) -> Iterator[Row]:
    """
    Yield what opening costs, and what it costs to remove what is old.
    """
    cpu, wall = time.process_time(), time.perf_counter()
    with open_opener(folder) as opener:
        opened = sum(1 for _ in opener.rows())
    yield Row("opener: rows in all", opened, "rows")
    yield Row("opener: everything that waited, and reading it", time.perf_counter() - wall, "s")
    yield Row("opener: CPU", time.process_time() - cpu, "s")
    wall = time.perf_counter()
    with open_opener(folder):
        pass
    yield Row("opener: when nothing waits", (time.perf_counter() - wall) * 1e3, "ms")
    with closing(IntakeStore(Places(folder).store)) as store:
        today = keys.epoch_of(_now_s())
        yield from _pruned("prune: nothing is old", lambda: store.prune(today))
        yield from _pruned("prune: one day of ninety", lambda: store.prune(today + 2))


def _pruned(name: str, prune: Callable[[], int]) -> Iterator[Row]:
    wall = time.perf_counter()
    gone, longest = 0, 0.0
    while True:
        started = time.perf_counter()
        removed = prune()
        longest = max(longest, time.perf_counter() - started)
        gone += removed
        if not removed:
            break
    yield Row(f"{name}: {gone} bodies", (time.perf_counter() - wall) * 1e3, "ms")
    yield Row(f"{name}: longest that nothing else was answered", longest * 1e3, "ms")


def _refused(
    served: Served, uploads: Sequence[tuple[Device, Upload]], accepted: float, connections: int
) -> Iterator[Row]:
    strangers = keys.RoutingSecret(secrets.token_bytes(keys.SECRET_BYTES))
    path = "/v1/batches"

    def stranger(body: bytes) -> str:
        return keys.authorization(keys.route(strangers, keys.epoch_of(_now_s())), "POST", path, body)

    kinds: dict[str, Callable[[Device, bytes], bytes]] = {
        "no tag": lambda _, body: request(body, None),
        "unknown tag": lambda _, body: request(body, stranger(body)),
        "known tag, wrong MAC": lambda device, body: request(body, device.authorization(body + b"x", _now_s())),
    }
    for name, make in kinds.items():
        replies, cpu, _ = timed(served, [make(device, upload.body) for device, upload in uploads], connections)
        if {reply.status for reply in replies} != {401}:
            raise RuntimeError(f"{name}: not refused")
        yield Row(f"refused, {name}: CPU against an accepted one", cpu / len(replies) / accepted, "x")


def _oversize(served: Served, device: Device) -> Iterator[Row]:
    for name, is_known in (("known tag", True), ("unknown tag", False)):
        header = device.authorization(b"", _now_s()) if is_known else "Edge 00"
        head = request(b"", header).replace(b"Content-Length: 0", f"Content-Length: {_LARGE}".encode())
        status, taken = _push(served.port, head, _LARGE)
        yield Row(f"{status} to {_LARGE >> 20} MiB, {name}: sent before the collector hung up", taken / 1024, "KiB")


def _push(port: int, head: bytes, size: int) -> tuple[int, int]:
    sent, answer = 0, b""
    piece = bytes(1 << 14)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head)
        with suppress(OSError):
            while sent < size:
                sent += connection.send(piece)
        with suppress(OSError):
            answer = connection.recv(1 << 16)
    return int(answer.split(b" ", 2)[1]) if answer else 0, sent


def _memory(served: Served, devices: Sequence[Device], count: int, connections: int) -> Iterator[Row]:
    source = made(devices)
    sent, step = 0, max(1, count // 10)
    while sent < count:
        part = [
            request(upload.body, device.authorization(upload.body, _now_s()))
            for device, upload in islice(source, step)
        ]
        replies = send_all(served.port, part, connections=connections)
        if {reply.status for reply in replies} != {200}:
            raise RuntimeError("not every batch was taken")
        sent += step
        if sent in (step, count // 2, count):
            yield Row(f"resident after {sent} more", served.resident() / 2**20, "MiB")


def _latency(name: str, replies: Iterable[Reply]) -> Iterator[Row]:
    took = sorted(reply.took_s for reply in replies)
    for share in (50, 99):
        yield Row(f"{name}: answered after, p{share}", took[len(took) * share // 100] * 1e3, "ms")
    yield Row(f"{name}: answered after, longest", took[-1] * 1e3, "ms")


def _check_receipts(uploads: Sequence[tuple[Device, Upload]], replies: Sequence[Reply]) -> None:
    for (device, upload), reply in zip(uploads, replies, strict=True):
        if not device.is_acknowledged(upload, reply.status, reply.body):
            raise RuntimeError(f"a batch was answered with {reply.status} and no receipt for it")


def _now_s() -> int:
    return int(time.time())


if __name__ == "__main__":
    main()
