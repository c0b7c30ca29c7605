"""
What systemd is told: ready, reloading, stopping, still alive. Without systemd nothing is told, and nothing fails.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

LEAST_S: Final = 1.0


def notify(*lines: str) -> None:
    """
    Send lines such as ``READY=1`` to the socket that systemd named; a full or absent one is not waited for.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    place = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as told:
        told.sendto("\n".join(lines).encode(), place)


def watchdog_s() -> float | None:
    """
    Return how often systemd wants to hear, in seconds: half of its patience; None when it does not watch this process.
    """
    patience = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not patience.isdecimal():
        return None
    return max(LEAST_S, int(patience) / 2_000_000)
