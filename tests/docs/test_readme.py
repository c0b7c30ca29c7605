"""
What the README shows works, and what the command line offers is described.
"""

from __future__ import annotations

import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from edge_sdk.cli import main
from tests.docs.conftest import Run
from tests.docs.prose import TOP, snippets

README = (TOP / "README.md").read_text(encoding="utf-8")
DESCRIBED = "\n".join(
    path.read_text(encoding="utf-8") for path in [TOP / "README.md", *TOP.glob("docs/*.md")]
)
COMMAND = re.compile(r"^(?:\.venv/bin/)?edge-sdk ((?:[a-z][a-z-]* ?)+)", re.MULTILINE)
OFFER = re.compile(r"^    ([a-z][a-z-]*)(?:\s|$)", re.MULTILINE)  # how argparse lists subcommands


def offered(*words: str) -> list[tuple[str, ...]]:
    """Return every command below *words* that the command line's own help lists, groups opened up."""
    with redirect_stdout(io.StringIO()) as shown, pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0, words
    names = OFFER.findall(shown.getvalue())
    if not names:
        return [words] if words else []
    return [command for name in names for command in offered(*words, name)]


@pytest.fixture(scope="module")
def commands_offered() -> list[tuple[str, ...]]:
    return offered()


def test_every_command_is_described(commands_offered: list[tuple[str, ...]]) -> None:
    commands = [" ".join(words) for words in commands_offered]
    assert commands, "edge-sdk --help lists no command"
    assert [command for command in commands if f"edge-sdk {command}" not in DESCRIBED] == []


def test_every_described_command_is_offered(commands_offered: list[tuple[str, ...]]) -> None:
    shown = [tuple(found.split()) for block in snippets(DESCRIBED, "sh") for found in COMMAND.findall(block)]
    assert [words for words in shown if not any(words[: len(known)] == known for known in commands_offered)] == []


@pytest.mark.parametrize("number", range(len(snippets(README, "python"))))
def test_a_python_snippet_of_the_readme_runs(site: Path, run: Run, number: int) -> None:
    done = run(site, sys.executable, "-c", snippets(README, "python")[number])
    assert done.returncode == 0, done.stderr


def test_the_readme_shows_the_use_in_ten_lines() -> None:
    first = snippets(README, "python")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 10
