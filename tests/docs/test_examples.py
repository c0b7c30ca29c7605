"""
Every example is short, uses public names only and runs: those with a number as they stand, in a folder that the README
makes, those of a real system against a peer on loopback (tests/examples).
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edge_sdk
from tests.docs.conftest import Run, environment
from tests.docs.prose import TOP

EXAMPLES = sorted((TOP / "examples").glob("*.py"))
AS_THEY_STAND = [path for path in EXAMPLES if path.name[0].isdigit()]
OF_SYSTEMS = [path for path in EXAMPLES if path not in AS_THEY_STAND]
PARSERS = "edge_sdk.sources"  # what a system sends, as readings: an integrator may use these by themselves
MAX_LINES = {True: 60, False: 100}  # by whether it runs as it stands; a library for a system has its own ways to fail


def by_name(path: Path) -> str:
    return path.name


def private_imports(source: str) -> list[str]:
    """Return what *source* imports of the package beyond its public names."""
    private = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            private += [name.name for name in node.names if not is_public(name.name)]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "edge_sdk":
            private += [name.name for name in node.names if not is_public(f"{node.module}.{name.name}")]
    return private


def is_public(name: str) -> bool:
    """Return whether an example may import *name*: a public name, or anything of another package."""
    package, _, below = name.partition(".")
    return package != "edge_sdk" or below in ("", *edge_sdk.__all__) or name.startswith(PARSERS)


def test_there_are_examples() -> None:
    assert AS_THEY_STAND
    assert OF_SYSTEMS


@pytest.mark.parametrize("example", OF_SYSTEMS, ids=by_name)
def test_an_example_of_a_system_is_run_against_a_peer(example: Path) -> None:
    tests = TOP / "tests" / "examples" / f"test_{example.stem}.py"
    assert re.search(rf'\.run(_at)?\("{example.name}"', tests.read_text(encoding="utf-8"))


@pytest.mark.parametrize("example", OF_SYSTEMS, ids=by_name)
def test_an_example_of_a_system_is_on_the_page_of_systems(example: Path) -> None:
    page = (TOP / "docs" / "gateways.md").read_text(encoding="utf-8")
    assert f"(../examples/{example.name})" in page


@pytest.mark.parametrize("example", EXAMPLES, ids=by_name)
def test_an_example_is_short(example: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) <= MAX_LINES[example in AS_THEY_STAND]


@pytest.mark.parametrize("example", EXAMPLES, ids=by_name)
def test_an_example_imports_public_names_only(example: Path) -> None:
    assert private_imports(example.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=by_name)
def test_an_example_says_what_it_shows(example: Path) -> None:
    assert ast.get_docstring(ast.parse(example.read_text(encoding="utf-8")))


@pytest.mark.parametrize("example", AS_THEY_STAND, ids=by_name)
def test_an_example_runs(site: Path, run: Run, example: Path) -> None:
    done = run(site, sys.executable, str(example))
    assert done.returncode == 0, done.stderr


def test_what_the_examples_record_arrives_at_a_running_collector(site: Path, run: Run) -> None:
    edge_sdk_command = (sys.executable, "-m", "edge_sdk")
    address = re.search(r"127\.0\.0\.1:(\d+)", (site / "site.toml").read_text(encoding="utf-8"))
    assert address is not None
    serve = [*edge_sdk_command, "collector", "serve", "collector", "--port", address[1]]
    with subprocess.Popen(serve, cwd=site, env=environment(), stdout=subprocess.PIPE, text=True) as collector:
        assert collector.stdout is not None
        assert "listening" in collector.stdout.readline()
        try:
            for example in AS_THEY_STAND:
                if "drain" in example.read_text(encoding="utf-8"):
                    assert "0 batches wait" in run(site, sys.executable, str(example)).stdout, example.name
        finally:
            collector.terminate()
    assert run(site, *edge_sdk_command, "collector", "rows", "collector").stdout.count('"purpose":"monitoring"') >= 3


@pytest.mark.parametrize(
    "source",
    ["from edge_sdk.core import cbor", "import edge_sdk.vault", "from edge_sdk import line"],
)
def test_a_private_import_is_found(source: str) -> None:
    assert private_imports(source) != []
