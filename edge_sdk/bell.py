"""
How a command has a running gateway look at once, which looks by itself every 2.2 seconds only.

An empty datagram to a socket in Linux's abstract namespace, named by the device and inode of the state folder: no file
that could be copied, left behind or have to be erased. It says nothing and permits nothing; what is asked lies in the
folder (``requests``). Anybody on the board may ring, and has the gateway look for nothing four times a second at most.
Where no bell can be hung (the name taken, no such namespace) or heard (another network namespace), the look by itself
is what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from edge_sdk import files

_DEAF_S: Final = 0.25  # after each ring; who rings meanwhile is heard then
_AT_ONCE: Final = 64  # rings that count as one


def ring(folder: Path) -> None:
    """
    Have the gateway that runs on *folder* look for a request; harmless where none does. Does not block.
    """
    with contextlib.suppress(OSError), _new_socket() as caller:
        caller.sendto(b"", _name(folder))


@contextlib.contextmanager
def hung(folder: Path, heard: Callable[[], None]) -> Iterator[None]:
    """
    Have the running event loop call *heard* whenever somebody rang for *folder*; nothing where no bell can be hung.
    """
    loop = asyncio.get_running_loop()
    bell = _bound(folder)
    if bell is None:
        yield
        return
    waits: asyncio.TimerHandle | None = None

    def listen() -> None:
        loop.add_reader(bell, answer)

    def answer() -> None:
        nonlocal waits
        loop.remove_reader(bell)
        with contextlib.suppress(OSError):
            for _ in range(_AT_ONCE):  # who rings faster than this is read has the rest wait
                bell.recv(1)
        waits = loop.call_later(_DEAF_S, listen)
        heard()

    listen()
    try:
        yield
    finally:
        loop.remove_reader(bell)
        if waits is not None:
            waits.cancel()
        bell.close()


def _bound(folder: Path) -> socket.socket | None:
    bell = None
    try:
        bell = _new_socket()
        bell.bind(_name(folder))
    except OSError:
        if bell is not None:
            bell.close()
        return None
    return bell


def _new_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)


def _name(folder: Path) -> bytes:
    device, inode = files.identity(folder)
    return b"\x00edge-sdk.%x.%x" % (device, inode)
