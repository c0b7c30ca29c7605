"""
The load on a collector: keep-alive connections that send prepared requests as fast as they are answered, and a look
at the process on the other side.

Plain sockets, so that the client costs little beside what it measures. Processor time is the collector's own, all
its threads, as the kernel counts it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk.collector.intake import BATCHES_PATH

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12  # places in /proc/PID/stat after the name, which ends with a bracket


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One answer, and how long it took in seconds.
    """

    status: int
    body: bytes
    took_s: float


@dataclass(frozen=True, slots=True)
class Served:
    """
    A collector in a process of its own, and how long it took until connections were taken, in seconds.
    """

    pid: int
    port: int
    start_s: float

    def cpu_s(self) -> float:
        """
        Return the processor time it has used.
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[_USER]) + int(fields[_SYSTEM])) * _TICK_S

    def resident(self) -> int:
        """
        Return the bytes it occupies in memory.
        """
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) << 10


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """
    Serve a collector folder on loopback while the block runs.
    """
    started = time.perf_counter()
    command = [sys.executable, "-m", "edge_sdk", "collector", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took = time.perf_counter() - started
        try:
            yield Served(process.pid, int(line.rpartition(":")[2]), took)
        finally:
            process.terminate()


def request(body: bytes, authorization: str | None, *, path: str = BATCHES_PATH) -> bytes:
    """
    Return one POST as it goes over the wire.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: collector\r\nContent-Length: {len(body)}\r\n"
    if authorization is not None:
        head += f"Authorization: {authorization}\r\n"
    return head.encode() + b"\r\n" + body


def send_all(port: int, requests: Iterable[bytes], *, connections: int) -> list[Reply]:
    """
    Send *requests* over *connections* sockets and return the answers, in order of the requests.

    A connection that the collector closes is opened again for the next request.
    """
    return asyncio.run(_send_all(port, requests, connections))


async def _send_all(port: int, requests: Iterable[bytes], connections: int) -> list[Reply]:
    waiting = iter(enumerate(requests))
    answered: dict[int, Reply] = {}

    async def work() -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        for number, sent in waiting:
            if reader is None or writer is None or reader.at_eof():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            started = time.perf_counter()
            writer.write(sent)
            status, body, is_last = await _answer(reader)
            answered[number] = Reply(status, body, time.perf_counter() - started)
            if is_last:
                writer.close()
                reader = writer = None
        if writer is not None:
            writer.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return [answered[number] for number in range(len(answered))]


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    body = await reader.readexactly(length)
    return int(head.split(" ", 2)[1]), body, "connection: close" in head
