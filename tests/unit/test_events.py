"""
What the log says to a program that did not ask for one.
"""

from __future__ import annotations

import subprocess
import sys


def test_a_program_without_logging_reads_nothing_of_it() -> None:
    told = "from edge_sdk.events import Event, tell; tell(Event.SENDING_ENDED); tell(Event.DESTROYED, grants=1)"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")


def test_a_program_with_logging_reads_the_event_and_its_numbers() -> None:
    told = "import logging; logging.basicConfig(); from edge_sdk import events; events.tell(events.Event('destroyed'), n=1)"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True)
    assert run.stderr == b"WARNING:edge_sdk:destroyed n=1\n"
