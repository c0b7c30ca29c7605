"""
Exit codes: one for each class of trouble, a sentence on stderr, and never a traceback for what a user can mend.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edge_sdk.cli import parser
from edge_sdk.files import FolderLock
from tests import site as sites
from tests.cli.command import Said, called, run
from tests.site import LocalSite, environ

AT = 1_790_000_000_000


def every(top: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield all commands below *top*, with their names."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield one.prog, one
                yield from ((path, below) for path, below in every(one))


def told(said: Said, code: int, *words: str) -> None:
    assert said.code == code, said
    assert said.err.startswith("edge-sdk: "), said.err
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err


def test_0_a_process_that_did_what_it_was_asked(site: LocalSite) -> None:
    readings = sites.readings_file(site.folder / "r.jsonl", 3, at_ms=AT)
    said = run("replay", readings, "--config", site.toml, "--keep")
    assert (said.code, said.out) == (
        0, "readings 3, taken 3, not taken 0, lines that are no reading 0; batches left 0\n",
    )  # fmt: skip


def test_2_a_file_to_be_edited(site: LocalSite) -> None:
    site.edit(("max_rows = 50", "max_row = 50"))
    readings = sites.readings_file(site.folder / "r.jsonl", 1, at_ms=AT)
    told(run("replay", readings, "--config", site.toml), 2, "site.toml: [batch] max_row: no such key; did you mean")


def test_2_an_option_that_is_none(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "status", "--colour").code == 2
    assert called(capsys, "replay", "x", "--timeout", "nan").code == 2
    assert called(capsys, "replay", "x", "--timeout", "-1").code == 2
    assert called(capsys, "wipe", "--confirm", "test", "--timeout", "nan").code == 2
    assert called(capsys, "ledger", "verify", "--head", "abcd", "--config", site.toml).code == 2


def test_without_a_command_all_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys)
    assert (said.code, said.out) == (2, "")
    assert "look at what breaks gateways in the field" in said.err


def test_every_command_and_option_has_help_in_words_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    for path, one in every(parser()):
        assert "``" not in one.format_help(), path
        for action in one._actions:
            told = action.help or action.nargs == argparse.PARSER  # commands have their own
            assert told, (path, action.dest)


def test_3_a_gate_that_is_closed(site: LocalSite) -> None:
    told(run("status", "--config", site.toml), 3, "enrolled but never started")


def test_4_bad_input(site: LocalSite) -> None:
    (site.folder / "empty.jsonl").write_bytes(b"")
    told(run("replay", site.folder / "empty.jsonl", "--config", site.toml, "--keep"), 4, "empty.jsonl holds no reading")


def test_5_our_own_disk(site: LocalSite) -> None:
    readings = sites.readings_file(site.folder / "r.jsonl", 1, at_ms=AT)
    lock = FolderLock(site.state)
    told(run("replay", readings, "--config", site.toml), 5, "in use by another process")
    lock.close()


def test_6_the_network(site: LocalSite) -> None:
    readings = sites.readings_file(site.folder / "r.jsonl", 1, at_ms=AT)
    said = run("replay", readings, "--config", site.toml, "--timeout", "0.2")
    assert said.code == 6
    assert "batches left 1" in said.out
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name", ["site.toml", "policy.toml", "state/vault.bin", "state/lane.bin", "state/state.bin",
                                  "state/root.key", "state/outbox.db", "state/page.bin"])  # fmt: skip
@pytest.mark.parametrize("damage", [b"", b"garbage" * 40, b"\xff\xfe\x00"], ids=["empty", "garbage", "bytes"])
def test_no_damaged_file_of_a_site_shows_a_traceback(
    site: LocalSite, name: str, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = sites.readings_file(site.folder / "r.jsonl", 1, at_ms=AT)
    assert called(capsys, "replay", readings, "--config", site.toml, "--keep").code == 0
    (site.folder / name).write_bytes(damage)
    for command in (["status"], ["replay", str(readings), "--keep"]):
        said = called(capsys, *command, "--config", site.toml)
        assert said.code in (0, 2, 3, 5)
        assert said.code == 0 or said.err.startswith("edge-sdk: ") or "edge-sdk: " in said.err


def test_a_damaged_page_costs_rows_that_waited_and_tells_them_as_a_gap(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = sites.readings_file(site.folder / "r.jsonl", 5, at_ms=AT)
    assert called(capsys, "replay", readings, "--config", site.toml, "--keep").code == 0
    (site.state / "page.bin").write_bytes(bytes(16384))
    with sites.serving(site):
        assert called(capsys, "replay", readings, "--config", site.toml, "--timeout", "20").code == 0
    assert len([row for row in site.rows() if row.purpose == "monitoring"]) == 5
    assert [(gap.reason.name, gap.count) for gap in site.gaps() if gap.count] == [("DAMAGED", 5)]


def test_whoever_reads_our_output_may_stop_early(site: LocalSite) -> None:
    with sites.serving(site):
        readings = sites.readings_file(site.folder / "r.jsonl", 3000, at_ms=AT)
        assert run("replay", readings, "--config", site.toml).code == 0
    command = f"'{sys.executable}' -m edge_sdk collector rows '{site.collector}' | head -1"
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "-c", f"set -o pipefail; {command}"], env=environ(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


def test_the_version_and_the_exit_codes_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "--version").out.startswith("edge-sdk 0.")
    said = called(capsys, "--help")
    for words in ("2 a file or option", "3 refused", "4 bad input", "5 storage", "6 network"):
        assert words in " ".join(said.out.split())
