"""
The chaos proxy as a test holds it: started, told what to do, asked what it saw.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[3]
WAIT_S: Final = 10


class Proxy:
    """
    A running proxy.
    """

    def __init__(self, process: subprocess.Popen[str], capture: Path) -> None:
        self._process = process
        self._capture = capture
        self.port = int(self._line().rsplit(":", 1)[1])

    def rules(self, *rules: dict[str, Any]) -> None:
        """
        Let these rules hold and no others; none: be honest.
        """
        self._order(rules=list(rules), connection="serve")

    def connections(self, how: str) -> None:
        """
        Do this to every new connection: serve, refuse, silent, plain or cut.
        """
        self._order(connection=how)

    def certificate(self, chain: Path | str, version: str = "") -> None:
        """
        End TLS with this certificate, of one old version where it is named; an empty path: no TLS.
        """
        self._order(certificate=str(chain), version=version)

    def seen(self) -> list[dict[str, Any]]:
        """
        Return the requests since this was last asked.
        """
        requests: list[dict[str, Any]] = self._order(tell=True)["requests"]
        return requests

    def accepted(self) -> int:
        """
        Return how many connections came since this was last asked.
        """
        return int(self._order(tell=True)["accepted"])

    def said(self) -> bytes:
        """
        Return every byte that clients said.
        """
        return self._capture.read_bytes()

    def _order(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            raise AssertionError(f"the proxy ended: {errors[-2000:]}")
        return line


@contextmanager
def proxying(folder: Path, port: int) -> Iterator[Proxy]:
    """
    Lend a proxy before the collector on *port* of this machine.
    """
    capture = folder / "said"
    command = [sys.executable, "-m", "tests.fault.network.chaos"]
    command += ["--to", f"127.0.0.1:{port}", "--capture", str(capture)]
    # Nothing of the package is imported there, so the tree may be on its path.
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environ) as process:
        try:
            yield Proxy(process, capture)
        finally:
            process.kill()
