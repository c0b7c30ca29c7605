"""
``edge-sdk doctor``: every check finds what it is for, says how to mend it, and has an exit code of its own.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.doctor import board, disk, network, papers
from edge_sdk.doctor.finding import Check, Level
from tests.agent.house import agent, warmed
from tests.cli.command import called, run
from tests.site import LocalSite, local_site, serving


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    return local_site(tmp_path)


def found(said: str) -> dict[str, dict[str, Any]]:
    (shown,) = json.loads(said)
    return {finding["check"]: finding for finding in shown["findings"]}


def test_a_site_in_order_passes_every_check(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    warmed(site)
    with serving(site):
        said = called(capsys, "doctor", "--config", site.toml, "--json")
    assert said.code == 0, said.out
    levels = {name: finding["level"] for name, finding in found(said.out).items()}
    assert set(levels) == {check.name.lower().replace("_", " ") for check in Check} - {"socket"}
    assert levels["root"] == "warning"  # made for trying out
    for name in ("versions", "statement", "permissions", "dns", "tls", "clock", "inodes"):
        assert levels[name] == "good", (name, said.out)


def test_a_warning_counts_where_it_is_asked_for(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    warmed(site)
    with serving(site):
        said = called(capsys, "doctor", "--config", site.toml, "--strict")
    assert said.code == Check.ROOT
    assert "mend: pin the operator's root" in said.out


def open_folder(site: LocalSite) -> None:
    (site.state / "vault.bin").chmod(0o644)


def no_room(site: LocalSite) -> None:
    site.edit(('reserve = "1 KB"', 'reserve = "9000 GB"'))


def no_inodes(site: LocalSite) -> None:
    site.edit(("reserve_inodes = 0", f"reserve_inodes = {1 << 60}"))


def no_root(site: LocalSite) -> None:
    (site.collector / "root.cose").write_bytes(b"not a root")


def no_name(site: LocalSite) -> None:
    site.edit(('address = "http://127.0.0.1:9"', 'address = "https://nowhere.invalid"'))


def nobody(site: LocalSite) -> None:
    pass  # port 9 of loopback does not answer


BREAKS: list[tuple[Callable[[LocalSite], None], Check]] = [
    (no_root, Check.ROOT),
    (no_room, Check.SPACE),
    (no_inodes, Check.INODES),
    (open_folder, Check.PERMISSIONS),
    (no_name, Check.DNS),
    (nobody, Check.TLS),
]


@pytest.mark.parametrize(("breaks", "check"), BREAKS, ids=[check.name for _, check in BREAKS])
def test_what_is_broken_has_an_exit_code_of_its_own_and_a_way_to_mend_it(
    site: LocalSite, capsys: pytest.CaptureFixture[str], breaks: Callable[[LocalSite], None], check: Check
) -> None:
    warmed(site)
    breaks(site)
    said = called(capsys, "doctor", "--config", site.toml, "--json")
    assert said.code == check, said.out
    finding = found(said.out)[check.name.lower()]
    assert finding["level"] == "bad"
    assert finding["mend"]


def test_a_site_that_is_not_enrolled_is_told_so(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    site.state.rename(site.folder / "elsewhere")
    said = called(capsys, "doctor", "--config", site.toml)
    assert said.code == Check.STATEMENT
    assert "edge-sdk init" in said.out
    assert not site.state.exists()


def test_a_statement_that_ends_soon_is_a_warning_and_one_that_ended_is_bad(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed(site)
    now = papers.wall_s()
    monkeypatch.setattr(papers, "wall_s", lambda: now + 40 * 86_400)
    assert papers.statement(site.config).level is Level.WARNING
    monkeypatch.setattr(papers, "wall_s", lambda: now + 50 * 86_400)
    assert papers.statement(site.config).level is Level.BAD


@pytest.mark.parametrize(("off_s", "level"), [(0, Level.GOOD), (-300, Level.WARNING), (90_000, Level.BAD)])
def test_the_clock_is_held_against_signed_time(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch, off_s: int, level: Level
) -> None:
    with serving(site):
        right = network.wall_s
        monkeypatch.setattr(network, "wall_s", lambda: right() + off_s)
        assert network.clock(site.config).level is level


def test_a_slow_medium_is_told(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0, 5 * (disk.SLOW_MS + 1), 0, 5 * (disk.TOO_SLOW_MS + 1)])
    monkeypatch.setattr(disk, "mono_ms", lambda: next(times))
    assert [disk.sync(site.config).level, disk.sync(site.config).level] == [Level.WARNING, Level.BAD]
    assert not (site.state / "doctor").exists()


def test_swap_on_a_medium_is_a_warning_and_in_compressed_memory_is_not(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text("Filename Type Size Used Priority\n/dev/zram0 partition 1 0 5\n")
    assert board.swap(swaps).level is Level.GOOD
    swaps.write_text("Filename Type Size Used Priority\n/swapfile file 1 0 -2\n")
    assert board.swap(swaps).level is Level.WARNING


def test_a_board_without_instructions_for_aes_is_fine_unless_aes_is_asked_for(site: LocalSite, tmp_path: Path) -> None:
    cpus = tmp_path / "cpuinfo"
    cpus.write_text("Features : half thumb fastmult vfp\n")
    assert board.aes(site.config, cpus).level is Level.GOOD
    assert board.aes(replace(site.config, cipher="a256gcm"), cpus).level is Level.WARNING
    cpus.write_text("Features : fp asimd aes pmull\n")
    assert board.aes(replace(site.config, cipher="a256gcm"), cpus).level is Level.GOOD


def test_a_file_of_another_user_is_a_warning(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert disk.permissions(site.config).level is Level.WARNING


def test_a_certificate_nobody_vouches_for_is_told_apart_from_silence(site: LocalSite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        site.edit(('address = "http://127.0.0.1:9"', f'address = "https://127.0.0.1:{port}"'), ("2s", "300ms"))
        finding = network.tls(site.config)
    assert finding.level is Level.BAD
    assert str(port) in finding.said


def test_an_agent_is_looked_at_with_its_socket_and_all_its_sites(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house:
        good = run("doctor", "--agent", tmp_path / "agent.toml", "--json")
        house.socket.chmod(0o666)
        bad = run("doctor", "--agent", tmp_path / "agent.toml", "--json")
        house.stop()
        gone = run("doctor", "--agent", tmp_path / "agent.toml", "--json")
    assert found(good.out)["socket"]["level"] == "good"
    assert (bad.code, gone.code) == (Check.SOCKET, Check.SOCKET)
    assert "edge-sdk agent" in found(gone.out)["socket"]["mend"]
