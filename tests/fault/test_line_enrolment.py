"""
Enrolling can be cut off anywhere and done again with the same claim code.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk import opening
from edge_sdk.collector import folder as collecting
from edge_sdk.errors import ConfigError
from tests.fault.folder import FolderState
from tests.fault.line_enrolment import program
from tests.fault.line_plan import after_restart
from tests.fault.line_site import BEGIN_MS, ScriptedClock, config_for, found, introduce, open_desk, send
from tests.fault.recorder import missing, record
from tests.fault.sweep import Report, sweep_states

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def works(place: Path, state: Path) -> None:
    """
    Record and send with the site in *place*; every reading must arrive.
    """
    clock = ScriptedClock(BEGIN_MS)
    plan = after_restart(BEGIN_MS)
    with clock.installed(), open_desk(place / "collector", clock) as desk:
        site, _ = opening.open_site(config_for(place, state))
        try:
            send(site, desk, most=9)
            for reading in plan.readings:
                clock.wall_ms = reading.at_ms
                site.line.recording.record(reading.kind, reading.fields, reading.at_ms)
            site.line.step(site.clock.now(), close=True)
            send(site, desk, most=99)
        finally:
            site.close()
        rows = [row for row in collecting.open_rows(place / "collector") if row.purpose == "monitoring"]
    assert len(rows) == len(plan.readings)


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_enrolment_cut_off_anywhere_is_done_again_with_the_same_code(
    tmp_path: Path, entered: Callable[[str, Report], None], every: int
) -> None:
    place, snapshot = tmp_path / "site", tmp_path / "known"
    code = found(place)
    shutil.copytree(place, tmp_path / "was")
    (place / "state").mkdir(mode=0o700)
    recording = record(program(place, code, snapshot), place / "state")
    assert recording.run.marks == ("introduced", "enrolled"), recording.run.stderr.decode()

    def holds(state: FolderState, folder: Path) -> None:
        again = folder.parent / "again"
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(tmp_path / "was", again)
        if state.marks:
            shutil.rmtree(again / "collector")
            shutil.copytree(snapshot, again / "collector")
        try:
            introduce(again, code, ScriptedClock(BEGIN_MS), state=folder)
        except ConfigError:
            assert state.marks, "not introduced, and yet enrolled"
        else:
            assert "enrolled" not in state.marks, "enrolled, and yet enrolled again"
        works(again, folder)

    report = sweep_states(recording.calls, recording.initial, holds, every=every)
    entered("enrolment, power cut" + (" (sample)" if every > 1 else ""), report)
    assert not report.violations, str(report)
