"""
An ending that is cut off anywhere has either not begun, or the next start finishes it before anything else.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk import opening
from edge_sdk.core.messages import Withdrawal
from edge_sdk.errors import LifecycleRefused, VaultUnavailable
from edge_sdk.wipe import STORES
from tests.fault.folder import FolderState
from tests.fault.line_ending import fill, program
from tests.fault.line_site import BEGIN_MS, METER, SERIALS, ScriptedClock, config_for, make_site
from tests.fault.recorder import Fault, missing, record, run
from tests.fault.sweep import Report, sweep, sweep_states

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

CANARIES = tuple(serial.encode() for serial in (*SERIALS, METER))
ERASED = {name + end for _, names in STORES for name in (*names, "root.key") for end in ("", ".new")} | {
    "wipe.bin", "wipe.bin.new", "lane.bin", "lane.bin.new",
}  # fmt: skip
FULL = pytest.param(1, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Return a site, stopped, with something of every kind waiting.
    """
    place = tmp_path_factory.mktemp("ending") / "site"
    make_site(place)
    fill(place)
    return place


def opens(place: Path, state: Path) -> opening.Site:
    return opening.open_site(config_for(place, state))[0]


def works(site: opening.Site, clock: ScriptedClock) -> None:
    """
    Record with an open site and stop it.
    """
    clock.wall_ms += 60_000
    fields = {"serial": SERIALS[0], "number": 7, "bit": 1, "power": 1.0}
    assert site.line.recording.record("inverter", fields, clock.wall_ms) > 0
    site.line.finish(site.clock.now())
    site.close()


def wiped_or_untouched(place: Path, state: Path, marks: tuple[str, ...]) -> None:
    """
    Start the site again after a wipe was cut off.
    """
    assert not holds_canary(state), "a serial lies on the disk in the clear"
    clock = ScriptedClock(BEGIN_MS + 700_000)
    with clock.installed():
        begun = "intended" in marks or not (state / "lane.bin").exists()
        try:
            works(opens(place, state), clock)
        except LifecycleRefused:
            assert "asked" in marks, "erased, and nobody had asked"
        except VaultUnavailable:
            assert not (state / "lane.bin").exists(), "the keys are gone, and the erase is not finished"
        else:
            assert not begun, "the intent was on disk, and the site goes on"
            return
    left = {path.name for path in state.iterdir()}
    assert not left & ERASED, f"left: {sorted(left & ERASED)}"
    assert "lane.0.bin" in left, "the receipt is lost"


def closed_or_untouched(place: Path, state: Path, marks: tuple[str, ...]) -> None:
    """
    Start the site again after a withdrawal was cut off.
    """
    clock = ScriptedClock(BEGIN_MS + 700_000)
    with clock.installed():
        site = opens(place, state)
        collects = site.line.binding.decisions["research"].collect is not None
        assert collects or "asked" in marks, "withdrawn, and nobody had asked"
        assert not collects or "ended" not in marks, "withdrawn, and collected again"
        assert collects != bool(site.line.consent.held.denied)
        if not collects:
            left = {entry.ref for entry in site.line.rooms.vault.ring.purposes.values() if entry.purpose == "research"}
            assert not left, "keys of a withdrawn purpose"
            refs = {entry.ref for entry in site.line.rooms.vault.ring.purposes.values()}
            assert {row.ref for row in site.line.rooms.outbox.streams()} <= refs, "rows of a withdrawn purpose"
            rows = {row.id for row in site.line.rooms.outbox.streams()}
            assert {row for row, _ in site.line.rooms.page.entries} <= rows, "page keys of a withdrawn purpose"
            waits = any(isinstance(told, Withdrawal) for told in site.line.consent.held.to_tell)
            assert waits or site.line.rooms.outbox.first_control(), "the authority is not told"
        works(site, clock)


def holds_canary(state: Path) -> bool:
    return any(canary in path.read_bytes() for path in state.iterdir() if path.is_file() for canary in CANARIES)


ENDINGS: dict[str, Callable[[Path, Path, tuple[str, ...]], None]] = {
    "wipe": wiped_or_untouched,
    "withdraw": closed_or_untouched,
}


def cut_states(filled: Path, folder: Path, ending: str, *, every: int) -> Report:
    """
    Check what a power cut could leave at each point of the *ending*.
    """
    place = shutil.copytree(filled, folder / "site")
    recording = record(program(place, ending), place / "state")
    assert recording.run.returncode == 0, recording.run.stderr.decode()

    def holds(state: FolderState, left: Path) -> None:
        ENDINGS[ending](place, left, state.marks)

    return sweep_states(recording.calls, recording.initial, holds, every=every)


def killed(filled: Path, folder: Path, ending: str, *, every: int) -> Report:
    """
    Kill the *ending* before so many of its calls, and check what it leaves.
    """
    place = shutil.copytree(filled, folder / "counted")
    calls = run(program(place, ending), place / "state").calls

    def survives(kill_at: int, scratch: Path) -> None:
        mine = shutil.copytree(filled, scratch / "site")
        ended = run(program(mine, ending), mine / "state", fault=Fault(kill_at=kill_at))
        assert ended.killed
        ENDINGS[ending](mine, mine / "state", ended.marks)

    return sweep(lambda: range(1, calls + 1), survives, every=every)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("every", [5, FULL])
def test_an_ending_that_a_power_cut_interrupts_has_not_begun_or_is_finished(
    filled: Path, tmp_path: Path, ending: str, every: int
) -> None:
    report = cut_states(filled, tmp_path, ending, every=every)
    assert not report.violations, str(report)
    assert report.checked > 70 // every


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("every", [47, FULL])
def test_an_ending_that_is_killed_has_not_begun_or_is_finished(
    filled: Path, tmp_path: Path, ending: str, every: int
) -> None:
    report = killed(filled, tmp_path, ending, every=every)
    assert not report.violations, str(report)
    assert report.checked > 40 // every
