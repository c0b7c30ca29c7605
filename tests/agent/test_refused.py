"""
What the operator of an agent reads where firmware or a site is refused: which, and why, and none of it endlessly.
"""

from __future__ import annotations

from pathlib import Path

from tests.agent.house import agent, second_site, warmed
from tests.agent.shim import Shim
from tests.cli.command import run
from tests.site import local_site


def refused(shim: Shim) -> int:
    """Return what a shim's WELCOME says, and go."""
    welcome: int = shim.connect()[2]
    shim.link.close()
    return welcome


def test_firmware_of_another_policy_or_site_is_told_by_its_welcome_and_not_by_name(tmp_path: Path) -> None:
    with agent(tmp_path, warmed(local_site(tmp_path))) as house:
        with house.shim() as good:
            for hash_, site, welcome in ((bytes(8), "test", 2), (good.hash, "nobody-s-house", 3)):
                for _ in range(5):
                    assert refused(Shim(house.socket, hash_, site)) == welcome
        _, said = house.stop()
    told = [line for line in said.splitlines() if "shim_refused" in line and "welcome=5" not in line]
    assert told == [
        f"WARNING shim_refused welcome={welcome} so_far={so_far}" for welcome in (2, 3) for so_far in (1, 2, 4)
    ]
    assert "nobody-s-house" not in said


def test_a_site_that_does_not_open_is_told_once_by_its_name_with_the_reason(tmp_path: Path) -> None:
    good, bad = warmed(local_site(tmp_path)), second_site(tmp_path, "garden")
    (bad.state / "vault.bin").unlink()
    with agent(tmp_path, good, bad) as house:
        with house.shim():
            for _ in range(3):
                assert refused(house.shim(1)) == 5
        _, said = house.stop()
    assert said.count("edge-sdk: site garden is closed: this device is not provisioned") == 1, said
    assert "site test is closed" not in said


def test_of_many_files_called_site_toml_the_wrong_one_is_told_by_its_place(tmp_path: Path) -> None:
    good, bad = local_site(tmp_path), second_site(tmp_path, "garden")
    bad.edit(("max_rows = 50", 'max_rows = "50"'))
    with agent(tmp_path, good, bad, start=False):
        said = run("agent", "--config", tmp_path / "agent.toml")
    assert said.code == 2
    assert said.err.startswith("edge-sdk: agent.toml: [[sites]] 2: site.toml: [batch] max_rows: "), said.err


def test_nobody_is_advised_to_take_a_shared_folder_from_others(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o1777)
    with agent(tmp_path, local_site(tmp_path), start=False):
        said = run("agent", "--config", tmp_path / "agent.toml")
    assert said.code == 2
    assert "the folder of the socket, run, has mode 1777" in said.err
    assert "chmod" not in said.err
