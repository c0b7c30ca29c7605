"""
What was measured on: processor, cores, memory, system and versions, in one line.
"""

from __future__ import annotations

import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

from edge_sdk import files
from edge_sdk.bench.meter import cores
from edge_sdk.release import __version__

_MODEL = Path("/proc/device-tree/model")


def machine() -> str:
    """
    Return the line; nothing in it names this one board.
    """
    model = files.read_system(_MODEL).strip(b"\x00 \n").decode("ascii", "replace") or platform.processor()
    memory = files.read_system(Path("/proc/meminfo")).splitlines()
    total = next((line.split()[1] for line in memory if line.startswith(b"MemTotal")), b"0")
    parts = [
        f"{model or 'processor'} {platform.machine()}",
        f"{cores()} cores",
        f"{int(total) // 1024} MiB",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        *(f"{name} {version(name)}" for name in ("cryptography", "cbor2", "aiohttp")),
        f"edge-sdk {__version__}",
    ]
    return ", ".join(parts)
