"""
What the log says to a program that did not ask for one.
"""

from __future__ import annotations

import subprocess
import sys


def said_by(program: str) -> bytes:
    whole = f"{program}\nfrom edge_sdk.events import Event, tell\ntell(Event.DESTROYED, grants=1)"
    run = subprocess.run([sys.executable, "-c", whole], capture_output=True, check=True)
    return run.stdout + run.stderr


def test_a_program_without_logging_reads_nothing_of_it() -> None:
    assert said_by("") == b""


def test_a_program_with_logging_reads_the_event_and_its_numbers() -> None:
    assert said_by("import logging\nlogging.basicConfig()").strip() == b"WARNING:edge_sdk:destroyed grants=1"
