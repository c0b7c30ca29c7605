"""
A real terminal for a command: what it prints there.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys


def on_a_terminal(*arguments: str, columns: int = 200) -> str:
    """Return what ``edge-sdk`` with *arguments* prints on a terminal of that many columns."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edge_sdk", *arguments]
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm"},
    ) as running:
        os.close(theirs)
        printed = b""
        try:
            while chunk := os.read(ours, 1 << 16):
                printed += chunk
        except OSError:  # the other end is closed: the command is over
            pass
        running.wait()
    os.close(ours)
    return printed.decode("utf-8")
