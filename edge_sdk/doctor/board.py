"""
The board and its software: versions, instructions for AES, where memory may end up.
"""

from __future__ import annotations

import platform
import resource
import sqlite3
import ssl
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.config import Config
from edge_sdk.core.seal import x_wing_available
from edge_sdk.doctor.finding import Check, Finding, Level
from edge_sdk.release import __version__

_PACKAGES: Final = ("cryptography", "cbor2", "pydantic", "aiohttp")
_AES_FLAGS: Final = frozenset({b"aes"})
_CPUS: Final = Path("/proc/cpuinfo")
_SWAPS: Final = Path("/proc/swaps")


def versions(config: Config) -> Finding:
    """
    Say what runs, and whether it can seal as the site asks.
    """
    found = [f"edge-sdk {__version__}", f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    found.append(ssl.OPENSSL_VERSION.partition(" (")[0])
    try:
        found += [f"{name} {version(name)}" for name in _PACKAGES]
    except PackageNotFoundError as error:
        return Finding(Check.VERSIONS, Level.BAD, f"{error.name} is missing", f"pip install {error.name}")
    said = ", ".join(found)
    if config.suite == "hpke-9-ke" and not x_wing_available():
        mend = 'install the wheel of cryptography 47 or newer, or write [batch] suite = "hpke-4-ke"'
        return Finding(Check.VERSIONS, Level.BAD, f"{said}: this cryptography has no ML-KEM", mend)
    return Finding(Check.VERSIONS, Level.GOOD, said)


def aes(config: Config, cpus: Path = _CPUS) -> Finding:
    """
    Say whether the processor has instructions for AES, and whether the site's cipher fits.
    """
    words = frozenset(files.read_system(cpus).split())
    has_aes = not _AES_FLAGS.isdisjoint(words)
    if has_aes or config.cipher != "a256gcm":
        return Finding(Check.AES, Level.GOOD, f"the processor has {'' if has_aes else 'no '}instructions for AES")
    mend = 'write [batch] cipher = "auto": ChaCha20-Poly1305 is several times as fast here'
    return Finding(Check.AES, Level.WARNING, "AES-GCM is asked for, and the processor has no instructions for it", mend)


def swap(swaps: Path = _SWAPS) -> Finding:
    """
    Say whether memory, and keys with it, may be written to a medium.
    """
    lines = files.read_system(swaps).splitlines()[1:]
    places = [line.split()[0] for line in lines if line.split()]
    on_medium = [place for place in places if b"zram" not in place]
    if on_medium:
        mend = "swapoff -a and remove the line from /etc/fstab, or use zram; the systemd unit has MemorySwapMax=0"
        return Finding(Check.SWAP, Level.WARNING, f"{len(on_medium)} swap areas lie on a medium", mend)
    return Finding(Check.SWAP, Level.GOOD, "no swap on a medium")


def core_dumps() -> Finding:
    """
    Say whether a crash would write memory to disk. The agent turns it off for itself.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_CORE)
    if most:
        mend = "LimitCORE=0 in the unit, or 'ulimit -c 0' before the gateway starts; 'edge-sdk agent' does so itself"
        return Finding(Check.CORE_DUMPS, Level.WARNING, "core dumps are on in this session", mend)
    return Finding(Check.CORE_DUMPS, Level.GOOD, "core dumps are off")
