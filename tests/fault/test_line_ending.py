"""
An ending that is cut off anywhere has either not begun, or the next start finishes it before anything else.

Three endings: a wipe, a withdrawal, a replacement of the root key. `make test` tries some of the kills and power cuts,
`make test-all` all of them, and restarts that are themselves cut off.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest

from tests.fault.folder import FolderState, materialise
from tests.fault.line_clone import anything_in, keys_left
from tests.fault.line_ended import ENDINGS, Before
from tests.fault.line_ending import fill, program
from tests.fault.line_site import make_site
from tests.fault.powercut import states
from tests.fault.recorder import Fault, Recording, missing, record, run
from tests.fault.sweep import Counts, Report, sweep

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

Enter = Callable[[str, Report], None]
PARTS = 3  # in parts, each well below what a hanging test is given
CUTS = 4  # how many of the ways to cut a restart off are tried: the ending is killed at so many places before


@dataclass(frozen=True, slots=True)
class Ending:
    """
    A site before its ending, and the ending recorded.
    """

    name: str
    before: Before
    recording: Recording

    def cut_states(self, *, every: int, first: int = 0) -> Report:
        """
        Check what a power cut could leave at each point.
        """

        def holds(state: FolderState, left: Path) -> Counts:
            materialise(state, left)
            return ENDINGS[self.name](self.before, left, state.marks)

        whole = self.recording

        def chosen() -> Iterator[FolderState]:
            return islice(states(whole.calls, whole.initial, exhaustive=6, samples=4), first, None, every)

        return sweep(chosen, holds, label=lambda state: state.label)

    def killed(self, *, every: int, first: int = 0) -> Report:
        """
        Kill it before its calls, and check what it leaves.
        """

        def survives(kill_at: int, scratch: Path) -> Counts:
            mine = shutil.copytree(self.before.place, scratch / "site")
            marks = self.killed_at(kill_at, mine)
            return ENDINGS[self.name](self.before, mine / "state", marks)

        return sweep(lambda: range(1 + first, self.recording.run.calls + 1, every), survives)

    def killed_at(self, call: int, place: Path) -> tuple[str, ...]:
        ended = run(program(place, self.name), place / "state", fault=Fault(kill_at=call))
        assert ended.killed
        return ended.marks

    def cut_again(self, folder: Path, number: int) -> Report:
        """
        Kill it at one place, and cut the power at each point of the restart that finishes it.
        """
        calls = [call for call in self.recording.calls if call.counted]
        asked = next(at for at, call in enumerate(self.recording.calls) if call.octets == b"asked")
        first = sum(call.counted for call in self.recording.calls[:asked]) + 1
        place = shutil.copytree(self.before.place, folder / "again")
        marks = self.killed_at(first + (len(calls) - first) * number // CUTS, place)
        restart = record(program(place, "restart"), place / "state")

        def holds(state: FolderState, left: Path) -> Counts:
            materialise(state, left)
            return ENDINGS[self.name](self.before, left, marks)

        return sweep(lambda: states(restart.calls, restart.initial), holds, label=lambda state: state.label)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Before:
    """
    Return a site, stopped, with something of every kind waiting.
    """
    place = tmp_path_factory.mktemp("ending") / "site"
    make_site(place)
    fill(place)
    return Before.of(place)


@pytest.fixture(scope="module", params=ENDINGS)
def ending(request: pytest.FixtureRequest, filled: Before, tmp_path_factory: pytest.TempPathFactory) -> Ending:
    place = shutil.copytree(filled.place, tmp_path_factory.mktemp("recorded") / "site")
    recording = record(program(place, request.param), place / "state")
    assert recording.run.returncode == 0, recording.run.stderr.decode()
    assert recording.run.marks[-1] == "ended"
    return Ending(request.param, filled, recording)


def test_a_copy_with_its_own_keys_opens_whole(filled: Before) -> None:
    everything = {(one.place, one.purpose) for one in filled.copy.locked}
    assert filled.copy.opened_by(keys_left(filled.place / "state")) == everything
    assert {place for place, _ in everything} >= {"vault.bin", "state.bin", "ledger", "record", "sealed", "pending"}


def test_a_key_that_lies_anywhere_in_a_folder_is_found(filled: Before, tmp_path: Path) -> None:
    (tmp_path / "crumbs").write_bytes(b"\1" * 77 + filled.copy.keys["purpose research"] + b"\2" * 5)
    opened = filled.copy.opened_by(set(anything_in(tmp_path)))
    assert opened == {("record", "research"), ("sealed", "research")}


def test_an_ending_that_a_power_cut_interrupts_has_not_begun_or_is_finished(ending: Ending, entered: Enter) -> None:
    report = ending.cut_states(every=29)
    entered(f"{ending.name}, power cut (sample)", report)
    assert not report.violations, str(report)
    assert not report.counts["unexplained"]


def test_an_ending_that_is_killed_has_not_begun_or_is_finished(ending: Ending, entered: Enter) -> None:
    report = ending.killed(every=31, first=7)
    entered(f"{ending.name}, killed (sample)", report)
    assert not report.violations, str(report)
    assert not report.counts["unexplained"]


@pytest.mark.parametrize("name", ["purpose research", "pseudonym statistics", "root"])
def test_a_destroyed_key_that_is_left_behind_is_caught(filled: Before, tmp_path: Path, name: str) -> None:
    place = shutil.copytree(filled.place, tmp_path / "site")
    what = "replace" if name == "pseudonym statistics" else "withdraw"
    assert run(program(place, what), place / "state").returncode == 0
    (place / "state" / "lock").write_bytes(filled.copy.keys[name])
    with pytest.raises(AssertionError, match="lie in the clear"):
        ENDINGS[what](replace(filled, place=place), place / "state", ("asked", "ended"))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_power_cut_leaves_an_ending_unfinished(ending: Ending, entered: Enter, part: int) -> None:
    report = ending.cut_states(every=PARTS, first=part)
    entered(f"{ending.name}, power cut", report)
    assert not report.violations, str(report)
    assert not report.counts["unexplained"]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_kill_before_any_call_leaves_an_ending_unfinished(ending: Ending, entered: Enter, part: int) -> None:
    report = ending.killed(every=PARTS, first=part)
    entered(f"{ending.name}, killed", report)
    assert not report.violations, str(report)
    assert not report.counts["unexplained"]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(CUTS))
def test_a_restart_that_is_cut_off_itself_is_finished_by_the_next(
    ending: Ending, entered: Enter, tmp_path: Path, number: int
) -> None:
    report = ending.cut_again(tmp_path, number)
    entered(f"{ending.name}, restart cut", report)
    assert not report.violations, str(report)
    assert not report.counts["unexplained"]
