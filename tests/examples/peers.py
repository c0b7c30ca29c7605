"""
Peers on loopback that examples talk to: they answer what a test put there and keep what they were asked.
"""

from __future__ import annotations

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
