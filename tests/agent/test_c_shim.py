"""
The shim in C and the agent, as they ship: from a caller in C to opened rows by value, and a wipe to the receipt.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from edge_sdk.core.receipt import Firmware
from edge_sdk.core.shim_ids import Schema, header
from edge_sdk.policy_file import find_policy
from tests.agent.house import House, agent, until, warmed
from tests.agent.test_rows import delivered, texts
from tests.agent.test_wipe import collecting_for, receipt_of, wiped_by_hand, with_firmware
from tests.site import CANARY, LocalSite, local_site

HERE: Final = Path(__file__).parent
SHIM: Final = HERE.parents[1] / "firmware_shim"
READINGS: Final = 200
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc: apt-get install gcc")


def built(site: LocalSite, folder: Path) -> Path:
    """Build the program against the ids of a site's policy."""
    (folder / "edge_ids.h").write_text(header(Schema(find_policy(site.config.policy))))
    program = folder / "feed"
    sources = [HERE / "c" / "feed.c", SHIM / "edge_shim.c"]
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{SHIM}", f"-I{folder}"]
    subprocess.run(["gcc", *flags, *map(str, sources), "-o", str(program)], check=True)
    return program


def fed(program: Path, house: House, seconds: int) -> subprocess.Popen[str]:
    command = [str(program), str(house.socket), house.sites[0].config.name, str(READINGS), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_a_caller_in_c_puts_is_what_the_collector_reads(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    program = built(site, tmp_path)
    with agent(tmp_path, site) as house:
        with fed(program, house, 3) as process:
            said, _ = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "fed\n")
        assert house.stop()[0] == 0
        assert {name for name in house.counts() if name.startswith("shim_")} <= {"shim_denied"}
    expected = [(str(n), f"{100 + n / 10:.1f}", CANARY, "on") for n in range(READINGS)]
    assert texts(delivered(site), "monitoring") == expected


def test_a_wipe_is_acknowledged_by_the_shim_and_stands_in_the_receipt(tmp_path: Path) -> None:
    site = with_firmware(warmed(local_site(tmp_path)))
    program = built(site, tmp_path)
    with collecting_for(site), agent(tmp_path, site) as house, fed(program, house, 40) as process:
        until(lambda: house.counts().get("recorded", 0) > 0 or process.poll() is not None, "something came")
        wiped_by_hand(site)
        said, _ = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "wiped\n")
        assert receipt_of(site).firmware is Firmware.CLEARED
