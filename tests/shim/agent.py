"""
A small agent for tests of the C side: it grants purpose 0 and writes down what it hears.

``python -m tests.shim.agent SOCKET LOG``. Each line of LOG is one message up as JSON, written in one call right after
it was read, so that a kill between the two shows as a gap and nothing else. The real agent has tests of its own in
tests/agent.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from pathlib import Path

import cbor2

TTL_MS = 120_000
WELCOME = cbor2.dumps([16, 1, 0, 64, 0], canonical=True)
STATE = cbor2.dumps([17, 1, 1, TTL_MS], canonical=True)


def serve(path: Path, log: Path) -> None:
    """
    Listen at *path* until killed.
    """
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(str(path))
    server.listen(8)
    heard = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    while True:
        connection, _ = server.accept()
        with connection:
            _converse(connection, heard)


def _converse(connection: socket.socket, heard: int) -> None:
    due = 0.0
    try:
        while True:
            ready, _, _ = select.select([connection], [], [], 0.2)
            if due and time.monotonic() > due:
                connection.send(STATE)
                due = time.monotonic() + 1
            if not ready:
                continue
            message = connection.recv(4096)
            if not message:
                return
            items = cbor2.loads(message)
            os.write(heard, json.dumps(items, default=bytes.hex).encode() + b"\n")
            if items[0] == 1:
                connection.send(WELCOME)
                connection.send(STATE)
                due = time.monotonic() + 1
    except OSError:
        return


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
