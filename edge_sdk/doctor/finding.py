"""
What a check found: its name and exit code, how bad it is, what was found, how to mend it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Check(IntEnum):
    """
    The checks; the number is the exit code of ``edge-sdk doctor`` when it is the first that is bad.
    """

    VERSIONS = 20
    AES = 21
    ROOT = 22
    STATEMENT = 23
    SPACE = 24
    INODES = 25
    SYNC = 26
    PERMISSIONS = 27
    SOCKET = 28
    SWAP = 29
    CORE_DUMPS = 30
    DNS = 31
    TLS = 32
    CLOCK = 33


class Level(StrEnum):
    """
    How bad it is.
    """

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One check's result; ``mend`` is a sentence to act on, empty where there is nothing to do.
    """

    check: Check
    level: Level
    said: str
    mend: str = ""
