"""
A collector that can be told to misbehave: a real server on loopback, honest until a test scripts its next answers.

Honest answers come from the real reception. Every request is kept byte by byte, with the number of its connection.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from edge_sdk.transport import Request, Response
from tests.site import Reached, reached

PATIENCE_S = 10.0
Misdeed = Callable[["Exchange"], None]


@dataclass
class Exchange:
    """One request as it came, the honest answer to it, and the socket it came over."""

    connection: int
    head: bytes
    body: bytes
    socket: socket.socket
    honest: Callable[[], Response]
    released: threading.Event
    answered: Response | None = None

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def header_names(self) -> list[bytes]:
        return [line.split(b":", 1)[0] for line in self.head.split(b"\r\n")[1:] if line]

    def header(self, name: bytes) -> bytes:
        lines = [line.split(b": ", 1) for line in self.head.split(b"\r\n")[1:] if line]
        return next((line[1] for line in lines if line[0].lower() == name.lower()), b"")

    def send(self, status: int, body: bytes = b"", *headers: str) -> None:
        head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
        self.socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)


def answer(status: int, body: bytes = b"", *headers: str) -> Misdeed:
    """Answer with exactly this."""
    return lambda exchange: exchange.send(status, body, *headers)


def honestly(exchange: Exchange) -> None:
    """Answer as the reception says."""
    exchange.answered = exchange.honest()
    exchange.send(exchange.answered.status, exchange.answered.body)


def raw(content: bytes) -> Misdeed:
    """Send these bytes for an answer, then close."""

    def misdeed(exchange: Exchange) -> None:
        exchange.socket.sendall(content)
        raise ConnectionError

    return misdeed


def reset(exchange: Exchange) -> None:
    """Break the connection off."""
    exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionError


def hang(exchange: Exchange) -> None:
    """Say nothing until the test is over."""
    exchange.released.wait(PATIENCE_S)
    raise ConnectionError


class Hostile:
    """The server; ``script`` holds misdeeds for the next requests of each path."""

    def __init__(self, collector: Path) -> None:
        self.script: dict[str, deque[Misdeed]] = {}
        self.rule: dict[str, Misdeed] = {}
        self.exchanges: list[Exchange] = []
        self.released = threading.Event()
        self._opened = ExitStack()
        self._desk = ThreadPoolExecutor(1)  # the reception's files belong to one thread
        self._reception: Reached = self._desk.submit(self._opened.enter_context, reached(collector)).result()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def next(self, path: str, *misdeeds: Misdeed) -> None:
        """Do *misdeeds* for the next requests of *path*, one each, then be honest again."""
        self.script.setdefault(path, deque()).extend(misdeeds)

    def always(self, path: str, misdeed: Misdeed | None) -> None:
        """Do *misdeed* for every request of *path*; None: be honest."""
        self.rule.pop(path, None)
        if misdeed is not None:
            self.rule[path] = misdeed

    def paths(self) -> list[str]:
        return [exchange.path for exchange in self.exchanges]

    def close(self) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave the thread in accept()
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._desk.submit(self._opened.close).result()
        self._desk.shutdown()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection, len(self._connections)), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while (head := _head(stream)) is not None:
                self._serve_one(head, stream, connection, number)

    def _serve_one(self, head: bytes, stream: BufferedReader, connection: socket.socket, number: int) -> None:
        method, path = head.decode().split(" ", 2)[:2]
        pairs = [line.split(": ", 1) for line in head.decode().splitlines()[1:]]
        headers = {name.lower(): value for name, value in pairs}
        body = stream.read(int(headers.get("content-length", "0")))
        request = Request(method, path, {"Authorization": headers.get("authorization", "")}, body)
        queue = self.script.get(path)
        misdeed = queue.popleft() if queue else self.rule.get(path, honestly)
        exchange = Exchange(number, head, body, connection, lambda: self._ask(request), self.released)
        self.exchanges.append(exchange)
        misdeed(exchange)

    def _ask(self, request: Request) -> Response:
        return self._desk.submit(self._reception.answer, request).result()


def honest_but(change: Callable[[Response], Response]) -> Misdeed:
    """Have the reception answer, then send what *change* makes of its answer: the batch is stored."""

    def misdeed(exchange: Exchange) -> None:
        changed = change(exchange.honest())
        exchange.send(changed.status, changed.body)

    return misdeed


def _head(stream: BufferedReader) -> bytes | None:
    lines: list[bytes] = []
    while line := stream.readline():
        if line == b"\r\n":
            return b"".join(lines).removesuffix(b"\r\n")
        lines.append(line)
    return None


@contextmanager
def hostile(collector: Path) -> Iterator[Hostile]:
    """Lend a server for the collector in *collector*."""
    server = Hostile(collector)
    try:
        yield server
    finally:
        server.close()
