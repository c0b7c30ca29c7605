"""
The meters: processor time and wall time, memory of this process, what the kernel counts of the medium, and a folder on
it to measure in.

A medium is counted whole, whoever writes: on a board that does nothing else that is this process, file system and
all. Where the kernel counts nothing (memory, network file systems) the answer is None, never zero.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from edge_sdk import files
from edge_sdk.disk_errors import told

_SECTOR_BYTES: Final = 512  # of the statistics, whatever the medium has
_WRITTEN, _FLUSHES = 6, 15  # places in /sys/dev/block/*/stat (Documentation/block/stat.rst)
_STATUS: Final = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Written:
    """
    What a medium has taken since it was attached: bytes, and orders to make them durable (None: not counted).
    """

    nbytes: int
    flushes: int | None

    def since(self, before: Self) -> tuple[int, int | None]:
        """
        Return bytes and flushes since *before*.
        """
        flushes = None if self.flushes is None or before.flushes is None else self.flushes - before.flushes
        return self.nbytes - before.nbytes, flushes


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """
    Lend a new folder in *folder*, which goes with everything in it.

    After a power cut: it is left, under a name that begins with edge-sdk-bench.
    """
    with told(folder, "make a folder in"):
        lent = tempfile.TemporaryDirectory(prefix="edge-sdk-bench-", dir=folder)
    with lent as made:
        yield Path(made)


def cores() -> int:
    """
    Return how many processors the system has.
    """
    return os.cpu_count() or 1


def cpu_s() -> float:
    """
    Return the processor time of this process and its threads, in seconds.
    """
    return time.process_time()


def wall_ns() -> int:
    """
    Return a clock that only goes forward, in nanoseconds.
    """
    return time.perf_counter_ns()


def sleep(seconds: float) -> None:
    """
    Wait.
    """
    time.sleep(seconds)


def memory_bytes() -> tuple[int, int]:
    """
    Return what this process occupies now and at most, in bytes; zeros where the kernel does not tell.
    """
    found = {"VmRSS": 0, "VmHWM": 0}
    for line in files.read_system(_STATUS).decode("ascii", "replace").splitlines():
        name, _, value = line.partition(":")
        if name in found:
            found[name] = int(value.split()[0]) * 1024
    return found["VmRSS"], found["VmHWM"]


def written(folder: Path) -> Written | None:
    """
    Return what the medium of *folder* has taken, None where the kernel does not count. Syncs it first; blocks.
    """
    os.sync()
    device = os.stat(folder).st_dev
    place = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    counts = files.read_system(place / "stat").split()
    if len(counts) <= _WRITTEN:
        return None
    whole = counts if len(counts) > _FLUSHES else []
    disk = files.read_system(place / ".." / "stat").split()  # a partition's flushes are counted with its disk
    if len(disk) > _FLUSHES:
        whole = disk
    return Written(int(counts[_WRITTEN]) * _SECTOR_BYTES, int(whole[_FLUSHES]) if whole else None)
