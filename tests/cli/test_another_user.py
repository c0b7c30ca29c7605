"""
A command that may not look into the state folder: it says so, and never that nothing is there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.cli import main
from tests.agent.house import warmed
from tests.site import LocalSite, local_site

NOBODY = 65534
COMMANDS = (
    ("status",),
    ("describe",),
    ("export",),
    ("outbox", "list"),
    ("outbox", "check"),
    ("ledger", "verify"),
    ("consent", "withdraw", "improvement"),
    ("wipe", "--confirm", "test", "--timeout", "1"),
)


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    return warmed(local_site(tmp_path))


def shut_out(folder: Path, job: Callable[[], int]) -> int:
    """Do *job* in a child that may enter *folder* but is kept out of what is 0700 in it; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.chdir(folder)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            code = job()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def closed(site: LocalSite) -> Path:
    """The folder of a site whose state folder lets nobody in."""
    for name in ("site.toml", "policy.toml"):
        (site.folder / name).chmod(0o644)
    site.folder.chmod(0o755)
    return site.folder


def said_by(closed: Path, words: tuple[str, ...]) -> tuple[int, str]:
    said = closed / "said"
    said.touch()
    said.chmod(0o666)
    (closed / "state").chmod(0)

    def job() -> int:
        descriptor = os.open("said", os.O_WRONLY)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        try:
            return main([*words, "--config", "site.toml"])
        finally:
            sys.stdout.flush()

    try:
        code = shut_out(closed, job)
    finally:
        (closed / "state").chmod(0o700)
    return code, said.read_text()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_what_may_not_be_looked_at_is_never_said_to_be_gone(
    closed: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    with capfd.disabled():
        code, said = said_by(closed, words)
    assert code == 5, said
    assert "not provisioned" not in said
    assert "EACCES" in said
    assert "run as the user that owns" in said


def test_a_check_that_may_not_look_is_bad_and_ends_no_other(closed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--config", str(closed / "site.toml")])  # what the child may not import is in memory then
    with capfd.disabled():
        _, said = said_by(closed, ("doctor", "--json"))
    levels = {one["check"]: (one["level"], one["mend"]) for one in json.loads(said)[0]["findings"]}
    for name in ("statement", "sync", "permissions"):
        assert levels[name] == ("bad", "run as the user that owns it"), said
    assert "clock" in levels
