"""
Peers on loopback that examples talk to: they answer what a test put there and keep what they were asked.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[bytes], bytes]


@dataclass
class Peer:
    """A TCP server of one test."""

    address: str
    asked: list[bytes] = field(default_factory=list)


class Listener(socketserver.ThreadingTCPServer):
    """A server that hands each connection to a function of a test, from threads."""

    daemon_threads = True
    allow_reuse_address = True

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def leave(self) -> None:
        """Listen no more, as from a thread of a connection: whoever comes now is refused."""
        threading.Thread(target=self._leave, daemon=True).start()

    def _leave(self) -> None:
        self.shutdown()
        self.server_close()


@contextmanager
def talking(talk: Callable[[socket.socket], None], host: str) -> Iterator[Listener]:
    """Serve every connection with *talk*; a connection that breaks is over."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                talk(self.request)

    with Listener((host, 0), Connection) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(answer: Answer, host: str = "127.0.0.1") -> Iterator[Peer]:
    """Serve every connection with what *answer* makes of its first bytes, then close it."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            question = self.request.recv(4096)
            peer.asked.append(question)
            with suppress(OSError):  # it has heard enough
                self.request.sendall(answer(question))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server((host, 0), Connection) as server:
        peer = Peer(f"{host}:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield peer
        finally:
            server.shutdown()
            thread.join()
