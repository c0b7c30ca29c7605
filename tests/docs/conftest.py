"""
A local site, as a reader of the README would make it, for everything the documents ask a reader to run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.prose import TOP

Run = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    """Return the environment of a command that belongs to this interpreter's installation."""
    scripts = str(Path(sys.executable).parent)
    environ = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]), "COLUMNS": "110"}
    if os.environ.get("EDGE_TEST_WHEEL") != "1":  # the child runs in another folder: say which tree is meant
        environ["PYTHONPATH"] = str(TOP)
    return environ


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a command of this interpreter's environment in a folder; give up after a minute."""
    environ = environment()

    def run_in(folder: Path, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=folder,
            env=environ,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run_in


@pytest.fixture
def site(tmp_path: Path, run: Run) -> Path:
    """Make everything on loopback in an empty folder, as the README says; return the folder."""
    made = run(tmp_path, sys.executable, "-m", "edge_sdk", "init", "--local", ".")
    assert made.returncode == 0, made.stderr
    return tmp_path
