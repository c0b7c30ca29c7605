"""
A relay on loopback that keeps every byte it carries, in either direction: the wire, as someone on it sees it.

It forwards at once what it reads, notes when, and knows nothing of HTTP. Each connection is kept by itself; nothing
is written to disk here. Without a target every connection is ended at once: the network is away.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from edge_sdk.clock import mono_ms

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Piece:
    """
    What was read at once, and when by the monotonic clock.
    """

    at_ms: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Carried:
    """
    The bytes of one connection.
    """

    sent: list[Piece] = field(default_factory=list)
    received: list[Piece] = field(default_factory=list)


class Relay:
    """
    Carries connections to a port of loopback, from a thread of its own, for as long as a block lasts.

    Args:
        target: the port that is meant, None while the network is away.
    """

    def __init__(self, target: int | None = None) -> None:
        self.port = 0
        self.target = target
        self.connections: list[Carried] = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="demo-relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._loop.close()

    @property
    def sent(self) -> list[bytes]:
        """
        Return what went to the collector, by connection.
        """
        return [_joined(carried.sent) for carried in self.connections]

    @property
    def received(self) -> list[bytes]:
        """
        Return what came back, by connection.
        """
        return [_joined(carried.received) for carried in self.connections]

    def asked(self, head: bytes) -> list[int]:
        """
        Return when each request that begins with *head* was seen (monotonic ms), in that order.
        """
        return sorted(piece.at_ms for carried in self.connections for piece in carried.sent if head in piece.content)

    def answered(self, head: bytes) -> list[int]:
        """
        Return when the answer to each of them began (monotonic ms), in that order; one without an answer is left out.
        """
        began = []
        for carried in self.connections:
            for asked in (piece for piece in carried.sent if head in piece.content):
                began += [piece.at_ms for piece in carried.received if piece.at_ms >= asked.at_ms][:1]
        return sorted(began)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.target is None:
            writer.close()
            return
        carried = Carried()
        self.connections.append(carried)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, back, carried.sent), _pump(there, writer, carried.received))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: list[Piece]) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            kept.append(Piece(mono_ms(), chunk))
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass  # one side is gone; the other is told by closing
    finally:
        writer.close()


def _joined(pieces: Iterable[Piece]) -> bytes:
    return b"".join(piece.content for piece in pieces)
