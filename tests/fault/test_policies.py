"""
The kept policies through power cuts and kills: the file is old, new or not there, and never says what no text says.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import pytest

from edge_sdk.core.keys import StateKey
from edge_sdk.policies import Policies
from tests.fault.folder import FolderState, materialise
from tests.fault.recorder import Fault, Recording, missing, record, run
from tests.fault.sweep import sweep, sweep_states
from tests.unit.policy_texts import TEXT, WHERE, edited, policy

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

KEY: Final = StateKey(b"s" * 32)
NEW: Final = edited("truncate_ip = 16", "truncate_ip = 24")
READ: Final = {TEXT: policy(), NEW: policy(NEW)}
_ROOT: Final = Path(__file__).resolve().parents[2]
_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from tests.fault.test_policies import main; main(sys.argv[2])"


def main(folder: str) -> None:
    """
    Start three times: with one policy, with another beside it, and with that alone.
    """
    from fault_mark import mark  # type: ignore[import-not-found]  # the recorder puts it on the path

    for texts in ((TEXT,), (TEXT, NEW), (NEW,)):
        start(Path(folder), *texts)
        mark(str(len(texts)))


def start(folder: Path, *texts: str) -> None:
    policies = Policies(folder, KEY)
    for text in texts:
        assert policies.read(text, where=WHERE) == READ[text]
    policies.keep(os.urandom)


def starts(folder: Path) -> None:
    start(folder, NEW, TEXT)
    kept = (folder / "policy.bin").stat().st_ino
    start(folder, NEW, TEXT)
    assert (folder / "policy.bin").stat().st_ino == kept, "what was kept was not believed"


def program(folder: Path) -> list[str]:
    return [sys.executable, "-B", "-c", _BOOT, str(_ROOT), str(folder)]


@pytest.fixture
def whole(tmp_path: Path) -> Recording:
    folder = tmp_path / "state"
    folder.mkdir()
    recording = record(program(folder), folder)
    assert recording.run.marks == ("1", "2", "1"), recording.run.stderr.decode()
    return recording


def test_after_any_power_cut_a_start_has_its_policies_as_their_texts_say(whole: Recording) -> None:
    def holds(_: FolderState, scratch: Path) -> None:
        starts(scratch)

    report = sweep_states(whole.calls, whole.initial, holds)
    assert not report.violations, str(report)


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_after_any_kill_a_start_has_its_policies_as_their_texts_say(whole: Recording, every: int) -> None:
    def survives(kill_at: int, scratch: Path) -> None:
        materialise(whole.initial, scratch)
        assert run(program(scratch), scratch, fault=Fault(kill_at=kill_at)).killed
        starts(scratch)

    report = sweep(lambda: range(1, whole.run.calls + 1), survives, every=every)
    assert not report.violations, str(report)
