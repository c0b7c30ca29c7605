"""
Run a program whose wall clock a test sets, and sets again while it runs.

Owns the preloaded library (``clock.c``) and the file it reads the error from. Wants what the recorder wants.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests import site as sites

_SOURCE: Final = Path(__file__).resolve().parent / "clock.c"
_ROOT: Final = Path(__file__).resolve().parents[2]
# Appended, not prepended: where the package is installed, the installed one is what is tested.
_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from tests.fault.clock_program import main; main(sys.argv[2])"


class WrongClock:
    """
    The error of a wall clock, in a file that the programs under test map.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._library = _built(folder)
        self.set(0)

    def set(self, error_s: int) -> None:
        """
        Step the clock of every program under test, running ones as well.
        """
        with self._file.open("r+b" if self._file.exists() else "w+b") as offset:
            offset.write((error_s * 1_000_000_000).to_bytes(8, sys.byteorder, signed=True))

    @property
    def environ(self) -> dict[str, str]:
        """
        Return the environment of a program that is to have this clock.
        """
        return {**sites.environ(), "LD_PRELOAD": str(self._library), "EDGE_FAULT_CLOCK": str(self._file)}


class Boot:
    """
    One run of the gateway, from power-on to whatever ends it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.found = self._answer()

    def record(self, first: int, count: int) -> dict[str, int]:
        """
        Record and flush readings; return what waits then.
        """
        return self._ask(f"record {first} {count}")

    def drain(self, seconds: int) -> dict[str, int]:
        """
        Send for up to so many seconds.
        """
        return self._ask(f"drain {seconds}")

    def end(self) -> None:
        """
        Stop cleanly.
        """
        assert self._process.stdin is not None
        self._process.stdin.write("end\n")

    def _ask(self, what: str) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            raise AssertionError(f"the gateway ended: {errors[-2000:]}")
        answer: dict[str, int] = json.loads(line)
        return answer


@contextmanager
def booted(site: sites.LocalSite, clock: WrongClock) -> Iterator[Boot]:
    """
    Lend a running gateway; without ``end`` it goes as with the power.
    """
    argv = [sys.executable, "-c", _BOOT, str(_ROOT), str(site.toml)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=clock.environ) as process:
        try:
            yield Boot(process)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors[-2000:]
        finally:
            process.kill()


def _built(folder: Path) -> Path:
    built = folder / "clock.so"
    command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", str(_SOURCE), "-o", str(built)]
    subprocess.run(command, check=True)
    return built
