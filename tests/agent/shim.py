"""
A shim in Python that knows nothing of the package: the wire as docs/shim_wire.md has it, over a real socket.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import cbor2

from tests.site import SLOWNESS

WAIT_S: Final = 20.0 * SLOWNESS
NO_DROPS: Final = (0, 0, 0, 0, 0)


def mono_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000


def connected(path: Path) -> socket.socket:
    """Connect as a shim does; the agent may still be starting."""
    ends = time.monotonic() + WAIT_S
    while True:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            link.connect(str(path))
        except OSError:
            link.close()
            if time.monotonic() > ends:
                raise
            time.sleep(0.02)
        else:
            link.settimeout(WAIT_S)
            return link


class Shim:
    """One firmware process: counts what it sends, and keeps what it heard."""

    def __init__(self, path: Path, schema_hash: bytes, site: str = "test", name: str = "ecu") -> None:
        self.path = path
        self.hash = schema_hash
        self.site = site
        self.name = name
        self.nonce = os.urandom(8)
        self.sent = 0
        self.link = socket.socket()
        self.heard: list[list[Any]] = []
        self.sources: list[list[Any]] = []

    def __enter__(self) -> Self:
        self.come_in()
        return self

    def come_in(self) -> None:
        """Connect until the site is open, as a shim does."""
        ends = time.monotonic() + WAIT_S
        while self.connect()[2] != 0:
            assert time.monotonic() < ends, self.heard[-1]
            self.link.close()
            time.sleep(0.05)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.link.close()

    def connect(self) -> list[Any]:
        """Connect, say HELLO, and what was declared before; return the WELCOME."""
        self.link.close()
        self.link = connected(self.path)
        self.say([1, 1, 1, 1, self.hash, self.nonce, self.site, self.name])
        welcome = self.hear()
        assert welcome[0] == 16
        if welcome[2] == 0:
            for source in self.sources:
                self.say(source)
        return welcome

    def say(self, items: Sequence[Any]) -> None:
        self.link.send(cbor2.dumps(list(items)))

    def hear(self) -> list[Any]:
        """Return the next message of the agent, an empty list at the end of the connection."""
        try:
            message = self.link.recv(4097)
        except ConnectionResetError:
            return []
        items: list[Any] = cbor2.loads(message) if message else []
        self.heard.append(items)
        return items

    def hear_type(self, kind: int) -> list[Any]:
        """Return the next message of a type, passing over others."""
        while (items := self.hear()) and items[0] != kind:
            pass
        return items

    def source(self, slot: int, kind: int, name: str) -> None:
        items = [3, slot, kind, name]
        self.sources.append(items)
        self.say(items)

    def text(self, slot: int, field: int, text: str) -> None:
        items = [4, slot, field, text]
        self.sources.append(items)
        self.say(items)

    def send(self, points: Sequence[Sequence[Any]], *, at: int | None = None, drops: Sequence[int] = NO_DROPS) -> None:
        """Send [field, slot, dt, value] each, 64 a message."""
        t0 = mono_ms() if at is None else at
        for start in range(0, len(points), 64):
            part = [list(point) for point in points[start : start + 64]]
            self.say([2, self.sent, t0, list(drops), part])
            self.sent += len(part)

    def wait_mask(self, mask: int) -> float:
        """Return after how many seconds the agent said that just these purposes are granted."""
        began = time.monotonic()
        while self.hear_type(17)[2] != mask:
            pass
        return time.monotonic() - began


def is_ended(link: socket.socket) -> bool:
    """Tell whether the agent closed a connection; what it said before that does not matter."""
    try:
        while link.recv(4097):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True
