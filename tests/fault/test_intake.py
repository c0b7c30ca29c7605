"""
A batch whose receipt was signed is at the collector, whatever call it is killed before, whenever the power goes, and
whatever the disk refuses on the way.

One run of a collector (batches, duplicates, opening, new tables, a grant, pruning after 90 days) is recorded. After
each cut it is started again, what it holds is compared by value, and everything is sent once more: each batch must be
there once. `make test` tries one in so many, `make test-all` all.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest

from edge_sdk.errors import EdgeError
from tests.fault.folder import FolderState, materialise
from tests.fault.intake_check import check
from tests.fault.intake_plan import BATCHES, Plan, make_place
from tests.fault.intake_script import SABOTAGE, program, start
from tests.fault.line_script import Killer
from tests.fault.powercut import states
from tests.fault.recorder import Fault, Recording, missing, record
from tests.fault.sweep import Counts, Report, sweep

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

BAD = [name for name in SABOTAGE if name != "none"]
REFUSALS = {
    "full for a while": Fault(fail_errno=errno.ENOSPC, fail_count=40),
    "over quota for a while": Fault(fail_errno=errno.EDQUOT, fail_count=40),
    "an error": Fault(fail_errno=errno.EIO),
}
Enter = Callable[[str, Report], None]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A collector as it was before the run, and the run."""

    place: Path
    plan: Plan
    recording: Recording

    def sweep_states(self, *, every: int, first: int = 0, samples: int = 2) -> Report:
        def holds(state: FolderState, folder: Path) -> Counts:
            materialise(state, folder)
            return check(self.plan, folder, state.marks)

        whole, most = self.recording, samples + 2
        return sweep(
            lambda: islice(
                states(whole.calls, whole.initial, exhaustive=most, samples=samples), first, None, every
            ),
            holds,
            label=lambda state: state.label,
        )

    def sweep_kills(self, *, every: int, first: int = 0) -> Report:
        def killed(killer: Killer, place: Path, at: int) -> tuple[str, ...]:
            return killer.kill(place, at=at)

        return self._sweep_runs(killed, range(1 + first, self.recording.run.calls + 1, every))

    def sweep_refusals(self, fault: Fault, *, every: int, first: int = 0) -> Report:
        """Let the disk refuse from each so-many-th call on; the collector is asked again until it takes all."""

        def refused(killer: Killer, place: Path, at: int) -> tuple[str, ...]:
            marks = killer.refuse(place, replace(fault, fail_at=at))
            assert {f"kept {batch}" for batch in range(BATCHES)} <= set(marks)
            return marks

        return self._sweep_runs(refused, range(1 + first, self.recording.run.calls + 1, every))

    def _sweep_runs(self, ran: Callable[[Killer, Path, int], tuple[str, ...]], points: range) -> Report:
        killers: list[Killer] = []  # one for each worker of the sweep, made in it

        def survives(point: int, scratch: Path) -> Counts:
            if not killers:
                killers.append(Killer(start("serve()")))
            place = shutil.copytree(self.place, scratch / "site")
            return check(self.plan, place / "state", ran(killers[0], place, point))

        return sweep(lambda: points, survives)


def run_once(place: Path, sabotage: str = "none") -> Recorded:
    place.mkdir(exist_ok=True)
    make_place(place / "was")
    shutil.copytree(place / "was", place / "site")
    recording = record(program(place / "site", sabotage), place / "site" / "state")
    assert recording.run.returncode == 0, recording.run.stderr.decode()
    return Recorded(place / "was", Plan.read(place / "was"), recording)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return run_once(tmp_path_factory.mktemp("intake"))


def test_no_kill_in_the_sample_loses_an_acknowledged_batch(good: Recorded, entered: Enter) -> None:
    report = good.sweep_kills(every=171)
    entered("collector, killed (sample)", report)
    assert not report.violations, str(report)


def test_no_power_cut_in_the_sample_loses_an_acknowledged_batch(good: Recorded, entered: Enter) -> None:
    report = good.sweep_states(every=401, samples=0)
    entered("collector, power cut (sample)", report)
    assert not report.violations, str(report)


def test_no_full_disk_in_the_sample_loses_an_acknowledged_batch(good: Recorded, entered: Enter) -> None:
    report = good.sweep_refusals(REFUSALS["full for a while"], every=201)
    entered("collector, disk full for a while (sample)", report)
    assert not report.violations, str(report)


@pytest.mark.parametrize(
    "sabotage", [BAD[0], *(pytest.param(name, marks=pytest.mark.slow) for name in BAD[1:])]
)
def test_a_collector_that_forgets_is_caught(tmp_path: Path, sabotage: str) -> None:
    recorded = run_once(tmp_path, sabotage)
    recording, folder = recorded.recording, tmp_path / "cut"
    for number, state in enumerate(states(recording.calls, recording.initial, exhaustive=3, samples=1)):
        if number % 41 == 0 or state.point == recording.run.calls:  # one broken promise is enough
            shutil.rmtree(folder, ignore_errors=True)
            materialise(state, folder)
            try:
                check(recorded.plan, folder, state.marks)
            except (AssertionError, EdgeError, sqlite3.Error):  # a file that does not open is as good as a lost batch
                return
    pytest.fail("nothing was lost in any of the states tried")


# In parts, each well below what a hanging test is given; of how many, and how many items there are at least.
CUTS = {"killed": (Recorded.sweep_kills, 8, 400), "power cut": (Recorded.sweep_states, 24, 2000)}


@pytest.mark.slow
@pytest.mark.parametrize(("cut", "part"), [(cut, part) for cut, (_, parts, _) in CUTS.items() for part in range(parts)])
def test_no_cut_at_any_call_loses_an_acknowledged_batch(good: Recorded, entered: Enter, cut: str, part: int) -> None:
    sweep_all, parts, least = CUTS[cut]
    report = sweep_all(good, every=parts, first=part)
    entered(f"collector, {cut}", report)
    assert not report.violations, str(report)
    assert report.checked > least // parts


@pytest.mark.slow
@pytest.mark.parametrize("refusal", REFUSALS)
def test_no_refusal_of_the_disk_loses_an_acknowledged_batch(good: Recorded, entered: Enter, refusal: str) -> None:
    report = good.sweep_refusals(REFUSALS[refusal], every=3)
    entered(f"collector, disk: {refusal}", report)
    assert not report.violations, str(report)
