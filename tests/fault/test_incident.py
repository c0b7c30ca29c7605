"""
An incident that was noticed is told, and a switch that was thrown holds, whatever call the power goes after.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk import opening
from edge_sdk.core.incidents import Incident
from edge_sdk.opening import Site
from tests.fault.folder import FolderState, materialise
from tests.fault.line_ending import fill
from tests.fault.line_incident import program
from tests.fault.line_site import BEGIN_MS, ScriptedClock, config_for, found, introduce
from tests.fault.recorder import Fault, missing, record, run
from tests.fault.sweep import Report, sweep, sweep_states

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a site with rows and batches, stopped."""
    place = tmp_path / "site"
    code = found(place)
    introduce(place, code, ScriptedClock(BEGIN_MS))
    fill(place)
    return place


def look(place: Path, state: Path, marks: tuple[str, ...]) -> None:
    """
    Start the site again: what was promised holds, and what was not is whole or absent.
    """
    clock = ScriptedClock(BEGIN_MS + 900_000)
    with clock.installed():
        site, _ = opening.open_site(config_for(place, state))
        try:
            check(site, marks)
        finally:
            site.close()


def check(site: Site, marks: tuple[str, ...]) -> None:
    held = site.line.consent.held
    found_here = [(one.kind, one.what, one.count) for one in held.incidents]
    assert found_here in ([], [("forged", "wipe order", 1)]), found_here
    waits = any(isinstance(told, Incident) for told in held.to_tell)
    is_queued = site.line.rooms.outbox.controls() > 0
    if "noticed" in marks:
        assert found_here, "noticed, and forgotten"
    if found_here:
        assert waits or is_queued, "held, and nobody will be told"
    if "stopped" in marks and "resuming" not in marks:
        assert site.line.incidents.is_stopped, "stopped, and sending again"
    if "resumed" in marks:
        assert not site.line.incidents.is_stopped, "resumed, and stopped still"


@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_no_power_cut_loses_an_incident_or_the_switch(
    place: Path, entered: Callable[[str, Report], None], every: int
) -> None:
    recording = record(program(place), place / "state")
    assert recording.run.marks == ("noticed", "told", "stopped", "resuming", "resumed"), recording.run.stderr.decode()

    def holds(state: FolderState, folder: Path) -> None:
        look(place, folder, state.marks)

    report = sweep_states(recording.calls, recording.initial, holds, every=every)
    entered("incident, power cut" + (" (sample)" if every > 1 else ""), report)
    assert report.checked
    assert not report.violations, str(report)


@pytest.mark.parametrize("every", [53, pytest.param(1, marks=pytest.mark.slow)])
def test_no_kill_loses_an_incident_or_the_switch(
    place: Path, entered: Callable[[str, Report], None], every: int
) -> None:
    recording = record(program(place), place / "state")

    def survives(kill_at: int, scratch: Path) -> None:
        again = scratch / "site"
        shutil.copytree(place, again, ignore=shutil.ignore_patterns("state"))
        materialise(recording.initial, again / "state")
        ended = run(program(again), again / "state", fault=Fault(kill_at=kill_at))
        look(again, again / "state", ended.marks)

    report = sweep(lambda: range(1, recording.run.calls + 1, every), survives)
    entered("incident, kill" + (" (sample)" if every > 1 else ""), report)
    assert report.checked
    assert not report.violations, str(report)


def test_an_incident_that_is_not_written_down_is_caught(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: what a state without the incident leaves is a violation where it was promised."""
    with pytest.raises(AssertionError, match="noticed, and forgotten"):
        look(place, place / "state", ("noticed",))
    with pytest.raises(AssertionError, match="sending again"):
        look(place, place / "state", ("stopped",))
