"""
One run of the demo's first half, for every test that looks at what it left or plants something in a copy of it; and
one of its second half, played on such a copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_sdk.cli import demo, demo_acts, demo_plant, demo_rows
from edge_sdk.cli.demo_endings import Act
from edge_sdk.cli.demo_folders import Folders, fresh, write_readings
from edge_sdk.cli.demo_relay import Relay
from edge_sdk.clock import wall_s
from edge_sdk.core.policy import Policy
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file import find_policy
from edge_sdk.sources.replay import Recorded

PROFILE = "apsystems_ema"


@dataclass(frozen=True)
class Run:
    folders: Folders
    policy: Policy
    parts: demo_acts.Parts
    played: demo.Played
    minimiser: demo_rows.Minimiser
    relay: Relay

    @property
    def readings(self) -> Sequence[Recorded]:
        return self.parts.main


@pytest.fixture(scope="session")
def measured() -> Path:
    """Return the folder of the measured files, or skip with the command that installs them."""
    try:
        return demo_plant.find_measured()
    except ConfigError as missing:
        pytest.skip(f"{missing}; {missing.hint}")


@pytest.fixture(scope="session")
def run(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Play the first half of the short demo once; nothing is opened yet."""
    folders = fresh(tmp_path_factory.mktemp("demo") / "played")
    policy = find_policy(PROFILE)
    parts = demo_acts.split(demo_plant.household(measured, demo_plant.SHORT, now_ms=wall_s() * 1000))
    write_readings(folders.readings, parts.main)
    with Relay() as relay:
        minimiser = demo_rows.Minimiser(policy)
        played = demo.play(folders, PROFILE, policy, parts.main, minimiser, relay)
        yield Run(folders, policy, parts, played, minimiser, relay)


@pytest.fixture(scope="session")
def acts(run: Run, tmp_path_factory: pytest.TempPathFactory) -> list[Act]:
    """Play the second half once, on a copy of what the first left."""
    top = tmp_path_factory.mktemp("ended") / "copy"
    shutil.copytree(run.folders.top, top)
    return list(demo_acts.play(Folders(top), run.policy, run.parts, run.minimiser, run.relay, {}))


@pytest.fixture
def judge(run: Run, tmp_path: Path) -> Callable[..., list[str]]:
    """Judge a copy of the run, after *plant* changed something in it."""

    def judged(plant: Callable[[Folders], None] = lambda _: None, played: demo.Played = run.played) -> list[str]:
        top = tmp_path / "copy"
        shutil.copytree(run.folders.top, top)
        plant(Folders(top))
        return demo.judge(Folders(top), run.policy, run.readings, played)

    return judged
