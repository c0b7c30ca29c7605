"""
Ask an APsystems ECU one question, over a connection of its own, for a bounded time.

Owns: the socket.
Rules: whoever answers has ``patience_s`` for all of it, however slowly it drips; what comes is bounded by Frames.
Does not: understand an answer (apsystems_local).
"""

from __future__ import annotations

import socket

from edge_sdk.clock import mono_ms
from edge_sdk.sources.apsystems_frame import Frames

_CHUNK = 4096


def ask(host: str, port: int, question: bytes, *, patience_s: float = 5.0) -> bytes:
    """
    Return the first whole frame that *host* answers.

    Blocks: up to twice *patience_s*, for the connection and for the answer.

    Raises:
        OSError: nobody is there, or there was no whole frame in time.
        Malformed: more noise than an ECU would send.
    """
    frames = Frames()
    with socket.create_connection((host, port), timeout=patience_s) as wire:
        ends_ms = mono_ms() + int(patience_s * 1000)
        wire.sendall(question)
        while (left_ms := ends_ms - mono_ms()) > 0:
            wire.settimeout(left_ms / 1000)
            chunk = wire.recv(_CHUNK)
            if not chunk:
                break
            for frame in frames.feed(chunk):
                return frame
    raise TimeoutError("the ECU did not answer with a whole frame")
