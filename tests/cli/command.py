"""
The command line as a user has it: a process, its exit code and what it said.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_sdk.cli import main
from tests.site import environ


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def run(*arguments: str | Path, wait_s: float = 60) -> Said:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "edge_sdk", *map(str, arguments)]
    done = subprocess.run(command, env=environ(), capture_output=True, text=True, check=False, timeout=wait_s)
    return Said(done.returncode, done.stdout, done.stderr)


def called(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Said:
    """Run the command in this process: the same, half a second sooner."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    captured = capsys.readouterr()
    return Said(code, captured.out, captured.err)
