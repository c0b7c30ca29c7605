"""
One run of the demo's two processes, for every test that looks at what it left or plants something in a copy of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_sdk.cli import demo, demo_plant
from edge_sdk.clock import wall_s
from edge_sdk.core.policy import Policy
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file import find_policy
from edge_sdk.sources.replay import Recorded

PROFILE = "apsystems_ema"


@dataclass(frozen=True)
class Run:
    folders: demo.Folders
    policy: Policy
    readings: Sequence[Recorded]
    played: demo.Played


@pytest.fixture(scope="session")
def measured() -> Path:
    """Return the folder of the measured files, or skip with the command that installs them."""
    try:
        return demo_plant.find_measured()
    except ConfigError as missing:
        pytest.skip(f"{missing}; {missing.hint}")


@pytest.fixture(scope="session")
def run(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Play the short demo once; nothing is opened yet."""
    folders = demo.fresh(tmp_path_factory.mktemp("demo") / "played")
    policy = find_policy(PROFILE)
    readings = demo_plant.household(measured, demo_plant.SHORT, now_ms=wall_s() * 1000)
    demo.write_readings(folders.readings, readings)
    return Run(folders, policy, readings, demo.play(folders, PROFILE, policy, readings))


@pytest.fixture
def judge(run: Run, tmp_path: Path) -> Callable[..., list[str]]:
    """Judge a copy of the run, after *plant* changed something in it."""

    def judged(plant: Callable[[demo.Folders], None] = lambda _: None, played: demo.Played = run.played) -> list[str]:
        top = tmp_path / "copy"
        shutil.copytree(run.folders.top, top)
        plant(demo.Folders(top))
        return demo.judge(demo.Folders(top), run.policy, run.readings, played)

    return judged
