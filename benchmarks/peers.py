"""
The processes on the other side: a server that says ok to the script, and the real collector for the line.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """
        Say nothing.
        """


@contextmanager
def ok_server() -> Iterator[int]:
    """
    Lend the port of a server, in a process of its own, that answers every POST with ok.
    """
    with _process([sys.executable, "-m", "benchmarks.peers"]) as line:
        yield int(line)


@contextmanager
def collector(folder: Path, port: int) -> Iterator[None]:
    """
    Serve a collector folder on loopback.
    """
    with _process([sys.executable, "-m", "edge_sdk", "collector", "serve", str(folder), "--port", str(port)]):
        yield


@contextmanager
def _process(command: list[str]) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield line
        finally:
            process.terminate()


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), _Answer)
    print(server.server_port, flush=True)
    server.serve_forever()
