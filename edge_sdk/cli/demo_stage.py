"""
The processes of the demo: collector, enrolment and gateway, each the command a user would run, and who watches them.

What a process prints is its log: read as it comes, kept whole. A process is ended with its block. The state folder is
watched while the gateway works: how large it gets, and a copy of every file of it at its fullest.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_sdk import files
from edge_sdk.errors import StorageError, UplinkError

_PATIENCE_S = 60.0
_LOOK_S = 0.03
_GROWN = 1.1  # a copy is made again when the folder has grown by a tenth
_FILE_LIMIT = 1 << 28
_PORT = re.compile(r":(\d+)\s*$")


def ignore(_: str) -> None:
    """
    Do nothing with a line.
    """


@dataclass(slots=True)
class Child:
    """
    One ``edge-sdk`` command in a process of its own, for as long as a block lasts.

    Args:
        words: the command, without ``edge-sdk``.
        on_line: told of each line as it is printed, in another thread.
    """

    words: Sequence[str]
    on_line: Callable[[str], None] = ignore
    _lines: list[str] = field(default_factory=list, init=False)
    _heard: threading.Condition = field(default_factory=threading.Condition, init=False)
    _ended: bool = field(default=False, init=False)
    _process: subprocess.Popen[str] | None = field(default=None, init=False)
    _reader: threading.Thread | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "edge_sdk", *self.words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
        )
        self._reader = threading.Thread(target=self._read, name="demo-log", daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process is not None
        assert self._reader is not None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    @property
    def log(self) -> str:
        """
        Return everything it printed so far.
        """
        with self._heard:
            return "".join(self._lines)

    def first_line(self) -> str:
        """
        Return the first line it prints.

        Raises:
            UplinkError: when it ends, or a minute passes, without one.
        """
        with self._heard:
            self._heard.wait_for(lambda: self._lines or self._ended, _PATIENCE_S)
            if not self._lines:
                raise UplinkError(f"'edge-sdk {self.words[0]}' did not start", hint="run that command by itself")
            return self._lines[0]

    def wait(self) -> int:
        """
        Return its exit code once it has ended.
        """
        assert self._process is not None
        assert self._reader is not None
        self._reader.join()
        return self._process.wait()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._heard:
                    self._lines.append(line)
                    self._heard.notify_all()
                self.on_line(line)
        with self._heard:
            self._ended = True
            self._heard.notify_all()


def port_of(collector: Child) -> int:
    """
    Return the port a collector says it listens on.

    Raises:
        UplinkError: when it did not start.
    """
    port = _PORT.search(collector.first_line())
    if port is None:
        raise UplinkError("the collector did not start", hint=" ".join(["edge-sdk", *collector.words]))
    return int(port[1])


def finished(child: Child) -> str:
    """
    Run a command to its end and return its log.

    Raises:
        UplinkError: when it failed.
    """
    with child:
        if child.wait():
            raise UplinkError(f"'edge-sdk {child.words[0]}' failed", hint=child.log.strip())
    return child.log


def hasten(config: Path) -> None:
    """
    Shorten the wait after a start: no other device starts here.
    """
    text = files.read(config, 1 << 16).decode("utf-8")
    files.write(config, text.replace('jitter = "30s"', 'jitter = "100ms"').encode("utf-8"), 0o644)


class FolderWatch:
    """
    Looks at a folder again and again, for as long as a block lasts.
    """

    def __init__(self, folder: Path) -> None:
        self.peak_bytes = 0
        self.fullest: list[bytes] = []
        self._folder = folder
        self._copied_bytes = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="demo-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            try:
                self._look()
            except StorageError:
                continue  # a file went while we looked; the next look sees what is there then

    def _look(self) -> None:
        paths = files.tree(self._folder)
        total = sum(map(files.size, paths))
        self.peak_bytes = max(self.peak_bytes, total)
        if total > self._copied_bytes * _GROWN:
            self.fullest = [files.read(path, _FILE_LIMIT) for path in paths]
            self._copied_bytes = sum(map(len, self.fullest))
