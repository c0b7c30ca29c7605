"""
The line loses nothing that it promised, whatever call it is killed before and whenever the power goes.

One run of a whole site (flushes, seals, uploads, evictions, withdrawal and new consent, a clean stop, a second start,
the end of a pseudonym period) is recorded. Then it is killed before each of its calls, and every folder that a power
cut could have left of it is made; each time the site is started again, drained to a real collector, and what the
recipients have is compared by value with what was recorded. `make test` tries one in so many, `make test-faults` more
of them, with FULL=1 all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from tests.fault.calllog import Kind
from tests.fault.folder import FolderState, materialise
from tests.fault.line_check import Promised, check
from tests.fault.line_sabotage import SABOTAGE
from tests.fault.line_script import Killer, killer, program
from tests.fault.line_site import make_site, open_waiting
from tests.fault.powercut import states
from tests.fault.recorder import Recording, missing, record
from tests.fault.sweep import Counts, Report, stride, sweep

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PARTS = 12
# So that all faults are tried in half an hour; FULL=1 tries each kill and each state.
EVERY_KILL, EVERY_STATE = stride(2), stride(3)
Enter = Callable[[str, Report], None]
BAD = [name for name in SABOTAGE if name != "none"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    A site as it was before the run, the run, and the collector at each of its changes.
    """

    place: Path
    recording: Recording
    snapshots: Path
    run: str

    def collector_at(self, changes: int, folder: Path) -> Path:
        """
        Put the collector beside *folder* as it stood after so many changes.
        """
        collector = folder.parent / "collector"
        shutil.rmtree(collector, ignore_errors=True)
        return shutil.copytree(self.snapshots / str(changes) if changes else self.place / "collector", collector)

    def holds(self, state: FolderState, folder: Path) -> Counts:
        """
        Check one power-cut state.
        """
        collector = self.collector_at(Promised.of(state.marks).collector, folder)
        return check(self.place, folder, collector, state.marks, point=state.point, run=self.run)

    def sweep_states(self, *, every: int, first: int = 0) -> Report:
        """
        Check every so-many-th power-cut state, from number *first* on.
        """

        def prepared(state: FolderState, folder: Path) -> Counts:
            materialise(state, folder)
            return self.holds(state, folder)

        whole = self.recording
        return sweep(
            lambda: islice(states(whole.calls, whole.initial), first, None, every),
            prepared,
            label=lambda state: state.label,
        )

    def sweep_kills(self, *, every: int, first: int = 0) -> Report:
        """
        Kill a run before every so-many-th call, from number *first* on, and check what it leaves.
        """
        killers: list[Killer] = []  # one for each worker of the sweep, made in it

        def survives(kill_at: int, scratch: Path) -> Counts:
            if not killers:
                killers.append(killer())
            place = shutil.copytree(self.place, scratch / "site")
            marks = killers[0].kill(place, at=kill_at)
            return check(place, place / "state", place / "collector", marks, point=kill_at)

        return sweep(lambda: range(1 + first, self.recording.run.calls + 1, every), survives)


def run_once(place: Path, *, run: str = "whole", sabotage: str = "none") -> Recorded:
    make_site(place / "was")
    shutil.copytree(place / "was", place / "site")
    argv = program(place / "site", snapshots=place / "snapshots", run=run, sabotage=sabotage)
    recording = record(argv, place / "site" / "state")
    assert recording.run.returncode == 0, recording.run.stderr.decode()
    for snapshot in (place / "snapshots").iterdir():
        open_waiting(snapshot)  # so that each state opens only what it adds
    return Recorded(place / "was", recording, place / "snapshots", run)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return run_once(tmp_path_factory.mktemp("line"))


def test_no_kill_in_the_sample_loses_a_flushed_reading(good: Recorded, entered: Enter) -> None:
    report = good.sweep_kills(every=97)
    entered("line, killed (sample)", report)
    assert not report.violations, str(report)


def test_no_power_cut_in_the_sample_loses_a_flushed_reading(good: Recorded, entered: Enter) -> None:
    report = good.sweep_states(every=113)
    entered("line, power cut (sample)", report)
    assert not report.violations, str(report)


@pytest.mark.parametrize("sabotage", BAD)
def test_a_line_that_forgets_is_caught(tmp_path: Path, sabotage: str) -> None:
    recorded = run_once(tmp_path, run="short", sabotage=sabotage)
    recording, folder = recorded.recording, tmp_path / "cut" / "state"
    counted = [call for call in recording.calls if call.counted]
    syncs = {point for point, call in enumerate(counted, 1) if call.kind in (Kind.FSYNC, Kind.FDATASYNC)}
    for state in states(recording.calls, recording.initial, exhaustive=3, samples=1):
        # Around a commit is where it shows; one broken promise is enough.
        if {state.point, state.point + 1} & syncs and Promised.of(state.marks).flushed:
            materialise(state, folder)
            try:
                recorded.holds(state, folder)
            except AssertionError:
                return
    pytest.fail("nothing was lost in any of the states tried")


# In parts, each well below what a hanging test is given.
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_kill_before_any_call_loses_a_flushed_reading(good: Recorded, entered: Enter, part: int) -> None:
    report = good.sweep_kills(every=PARTS * EVERY_KILL, first=part * EVERY_KILL)
    entered("line, killed", report)
    assert not report.violations, str(report)
    assert report.checked > 1200 // PARTS // EVERY_KILL


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_power_cut_loses_a_flushed_reading(good: Recorded, entered: Enter, part: int) -> None:
    report = good.sweep_states(every=PARTS * EVERY_STATE, first=part * EVERY_STATE)
    entered("line, power cut", report)
    assert not report.violations, str(report)
    assert report.checked > 6000 // PARTS // EVERY_STATE
