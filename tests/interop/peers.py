"""
Where the other implementations are, and how they are asked: one process for each question, JSON in and JSON out.

``make test-interop`` puts them into one folder and names it in EDGE_INTEROP: the JavaScript reader with its packages
(``js``), a Python environment of its own (``python``: cwt and zcbor need cbor2 before 6) and downloaded archives that
carry published vectors (``published``). What is missing is a failure that says what makes it. Not here: any format.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
TIMEOUT_S: Final = 300


def folder(name: str) -> Path:
    """
    Return one part of what ``make test-interop`` made.
    """
    made = os.environ.get("EDGE_INTEROP")
    assert made, "EDGE_INTEROP is not set: run `make test-interop`, which makes the other implementations"
    path = Path(made) / name
    assert path.exists(), f"{path} is missing: run `make test-interop`"
    return path


def archive(name: str) -> Path:
    """
    Return the one downloaded archive whose name begins so.
    """
    found = sorted(folder("published").glob(f"{name}-*"))
    assert len(found) == 1, f"{len(found)} archives {name}-*: run `make clean test-interop`"
    return found[0]


def javascript(request: Any) -> list[Any]:
    """
    Return what the JavaScript reader answers, one value a line.
    """
    return _asked(["node", str(folder("js") / "run.mjs")], request)


def python(program: str, request: Any) -> list[Any]:
    """
    Return what a program of this folder answers in the environment of the peers.
    """
    return _asked([str(folder("python") / "bin" / "python"), "-P", str(HERE / program)], request)


def _asked(command: list[str], request: Any) -> list[Any]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, input=json.dumps(request), env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
