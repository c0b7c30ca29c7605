"""
Readings come in on one thread while another writes open windows to disk: none is lost, and neither thread stumbles.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.streams import prepare
from tests import site as sites
from tests.site import reading

READINGS = 18_000  # below what memory takes between two steps
SOURCES = 8
STEP_MS = 1_200_000  # every third reading of a source opens a window


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Have threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_windows_that_are_stored_while_readings_come_in_lose_none(tmp_path: Path, eager_threads: None) -> None:
    with sites.opened(sites.local_site(tmp_path)) as parts:
        line, now = parts.line, parts.clock.now()
        (stream,) = [each for each in line.binding.streams.values() if each.record.purpose == "improvement"]
        began_ms = now.wall_ms - READINGS * STEP_MS // SOURCES - 3_600_000

        def feed() -> None:
            for number in range(READINGS):
                at_ms = began_ms + number // SOURCES * STEP_MS
                line.recording.record("inverter", reading(number, f"s{number % SOURCES}"), at_ms)

        feeder = threading.Thread(target=feed)
        feeder.start()
        rows = 0
        while feeder.is_alive():
            with line.rooms.outbox.transaction():
                prepare([stream], line.rooms)
                stream.rejournal_windows(line.rooms, None)
            rows += 1
        feeder.join()
        with line.recording.lock:
            stream.cut()
        counted = sum(abs(row[1]) for rows_of_view in stream.rows.values() for row in rows_of_view)
    assert rows > 5
    assert counted == READINGS
