"""
An older image of the state folder is put back, as from a backup, under a collector that has gone on.

The image is the folder as it stood after any call of a whole run; the collector is that of the end of the run. No
number of a stream is used for two rows, no batch id for two batches; what the image had flushed has arrived, what is
recorded from then on arrives, what was withdrawn meanwhile does not; and who put the folder back is told: each stream
of the image tells a gap of unknown length for what only the folder that was replaced had. An image of a clean stop
cannot: nothing was open in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from unittest import mock

import pytest

from edge_sdk import opening
from edge_sdk.collector import folder as collecting
from edge_sdk.collector.gaps import StreamGap
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.core.batch import Reason
from edge_sdk.outbox import Outbox
from tests.fault.folder import FolderState, materialise
from tests.fault.line_check import Promised, purposes_of
from tests.fault.line_plan import AFTER, after_restart
from tests.fault.line_site import ScriptedClock, config_for, open_desk, send
from tests.fault.powercut import states
from tests.fault.recorder import missing
from tests.fault.sweep import Counts, Report, stride, sweep
from tests.fault.test_line import Recorded, run_once

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

Enter = Callable[[str, Report], None]
OFF_MS = 600_000


def images(good: Recorded) -> Iterator[FolderState]:
    """Yield the folder after each call from which on the site was set up."""
    for state in states(good.recording.calls, good.recording.initial, exhaustive=0, samples=0):
        if state.label.endswith("kept: all") and Promised.of(state.marks).recorded:
            yield state


def live_on(good: Recorded, state: Path, collector: Path, clock: ScriptedClock) -> set[int]:
    """Start on the image, hear what is in force, record, and send everything; return what was recorded."""
    later = after_restart(clock.wall_ms)
    site, _ = opening.open_site(config_for(good.place, state))
    try:
        with open_desk(collector, clock) as desk:
            send(site, desk, most=1000)
            for reading in later.readings:
                clock.wall_ms = max(clock.wall_ms, reading.at_ms)
                site.line.recording.record(reading.kind, reading.fields, reading.at_ms)
            for _ in range(2):
                clock.wall_ms += 1000
                site.line.step(site.clock.now(), close=True, cut=True)
                send(site, desk, most=1000)
        assert not any(site.line.rooms.outbox.queues.values()), "batches were still waiting"
    finally:
        site.close()
    return {reading.number for reading in later.readings}


@dataclass(frozen=True)
class Arrived:
    """What a recipient has: rows of all purposes, and the gaps of the purpose that takes every reading."""

    rows: list[OpenedRow]
    gaps: list[StreamGap]

    @classmethod
    def at(cls, collector: Path) -> Arrived:
        with collecting.open_opener(collector) as opener:
            mine = {stream for stream, purpose in purposes_of(opener).items() if purpose == "monitoring"}
            return cls([row for _, row in opener.rows()], [gap for gap in opener.gaps() if gap.stream in mine])

    def of(self, purpose: str) -> Counter[int]:
        return Counter(int(str(row.scaled["number"])) for row in self.rows if row.purpose == purpose)

    @property
    def evicted(self) -> int:
        return sum(gap.last - gap.first + 1 for gap in self.gaps if gap.reason is Reason.QUOTA and gap.last is not None)

    @property
    def tells_an_unclean_start(self) -> bool:
        return any(gap.reason is Reason.POWER and gap.count is None for gap in self.gaps)


def stopped_cleanly(state: Path) -> bool:
    """Tell whether the stop that left this folder was a clean one, by what the queue says of it."""
    outbox = Outbox(state, read_only=True)
    try:
        return outbox.number("clean") == 1
    finally:
        outbox.close()


def put_back(good: Recorded, image: FolderState, folder: Path) -> Counts:
    collector = good.collector_at(len(list(good.snapshots.iterdir())), folder)
    in_image, in_all = Promised.of(image.marks), Promised.of(good.recording.run.marks)
    sent = Arrived.at(collector)
    was_clean = stopped_cleanly(folder)
    clock = ScriptedClock(in_all.wall_ms)
    clock.reboot(OFF_MS)
    with clock.installed():
        later = live_on(good, folder, collector, clock)
        came = Arrived.at(collector)
    numbers = came.of("monitoring")
    places = Counter((row.stream, row.seq) for row in came.rows)
    assert max(places.values()) == 1, "two rows have one number of one stream"
    assert later <= numbers.keys(), "the line does not go on"
    assert came.rows[: len(sent.rows)] == sent.rows, "what had arrived has changed"
    lost = [number for number in range(in_image.flushed) if number not in numbers]
    assert len(lost) <= came.evicted, f"{len(lost)} readings of the image are lost, {came.evicted} told"
    assert max(numbers.values()) <= 2, "a reading came more than once a life"
    withdrawn = [n for n in came.of("research") if n < AFTER and not in_all.may_be_researched(n)]
    assert not withdrawn, f"readings {withdrawn} came without consent"
    fresh = came.of("research") - sent.of("research")
    assert not [n for n in fresh if n < in_all.at["withdrawn"]], "what was withdrawn came from the image"
    gone = [number for number in range(in_all.recorded) if number not in numbers]
    if len(gone) > came.evicted and not was_clean:  # only the folder that was replaced knew their number
        assert came.tells_an_unclean_start, f"{len(gone)} readings are gone, {came.evicted} told"
    return {"produced": in_all.recorded + len(later), "delivered": len(numbers), "counted": len(gone)}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return run_once(tmp_path_factory.mktemp("line"))


@pytest.mark.parametrize("every", [401, pytest.param(stride(7), marks=pytest.mark.slow)])
def test_an_image_of_any_moment_repeats_no_number_and_hides_no_loss(
    good: Recorded, entered: Enter, every: int
) -> None:
    def holds(image: FolderState, folder: Path) -> Counts:
        materialise(image, folder)
        return put_back(good, image, folder)

    report = sweep(lambda: islice(images(good), 0, None, every), holds, label=lambda image: image.label)
    entered("an old folder put back" + (" (sample)" if every > 100 else ""), report)
    assert report.checked
    assert not report.violations, str(report)


def test_a_line_that_goes_on_with_the_streams_of_the_image_is_caught(good: Recorded, tmp_path: Path) -> None:
    """The check can fail."""
    image = next(image for image in images(good) if Promised.of(image.marks).flushed == 4)
    materialise(image, tmp_path / "cut" / "state")
    with (
        mock.patch("edge_sdk.resuming.succeed", return_value=None),
        pytest.raises(AssertionError, match="two rows have one number"),
    ):
        put_back(good, image, tmp_path / "cut" / "state")
