"""
Limits by control groups of the kernel: memory in all, page cache included, and a share of one core.

Owns: making a group for one process, in whichever of the two interfaces is mounted, and taking it away. Where this
user may make none (a container mostly may not), `limited` says so and the caller states what it did in its place.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MOUNTED: Final = Path("/sys/fs/cgroup")
PERIOD_US: Final = 100_000


@contextmanager
def limited(name: str, memory_bytes: int | None, share: float | None) -> Iterator[list[Path]]:
    """
    Lend the files that a process writes its own number into to be limited.

    Args:
        name: of the group; a part of a path.
        memory_bytes: all it may occupy, what it has in the page cache included; None: as much as there is.
        share: of one core; None: all of it.

    Raises:
        PermissionError: there are no control groups here that this user may make.
    """
    made: list[Path] = []
    try:
        for group, settings in _wanted(name, memory_bytes, share).items():
            try:
                group.mkdir()
                made.append(group)
                for file, value in settings.items():
                    if not (group / file).exists():  # a controller that is not handed down to here
                        raise PermissionError(errno.EACCES, "no control group for this limit", file)
                    (group / file).write_text(value)
            except OSError as error:
                raise PermissionError(errno.EACCES, "no control groups for this user") from error
        yield [group / "cgroup.procs" for group in made]
    finally:
        for group in made:
            group.rmdir()


def _wanted(name: str, memory_bytes: int | None, share: float | None) -> dict[Path, dict[str, str]]:
    """
    Return the groups to make, each with what to write into which file.
    """
    quota = None if share is None else int(PERIOD_US * share)
    if (MOUNTED / "cgroup.controllers").exists():  # version 2
        both = {"memory.max": memory_bytes, "cpu.max": None if quota is None else f"{quota} {PERIOD_US}"}
        return {MOUNTED / name: {file: str(value) for file, value in both.items() if value is not None}}
    wanted: dict[Path, dict[str, str]] = {}
    if memory_bytes is not None:
        wanted[MOUNTED / "memory" / name] = {"memory.limit_in_bytes": str(memory_bytes)}
    if quota is not None:
        wanted[MOUNTED / "cpu" / name] = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}
    return wanted
