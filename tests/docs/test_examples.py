"""
Every example is short, uses public names only and runs as it stands, in a folder that the README makes.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import edge_sdk
from tests.docs.conftest import Run
from tests.docs.prose import TOP

EXAMPLES = sorted((TOP / "examples").glob("*.py"))
MAX_LINES = 60


def by_name(path: Path) -> str:
    return path.name


def private_imports(source: str) -> list[str]:
    """Return what *source* imports of the package beyond its public names."""
    private = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            private += [name.name for name in node.names if name.name.startswith("edge_sdk.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "edge_sdk":
            below = node.module != "edge_sdk"
            private += [name.name for name in node.names if below or name.name not in edge_sdk.__all__]
    return private


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=by_name)
def test_an_example_is_short(example: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("example", EXAMPLES, ids=by_name)
def test_an_example_imports_public_names_only(example: Path) -> None:
    assert private_imports(example.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=by_name)
def test_an_example_says_what_it_shows(example: Path) -> None:
    assert ast.get_docstring(ast.parse(example.read_text(encoding="utf-8")))


@pytest.mark.parametrize("example", EXAMPLES, ids=by_name)
def test_an_example_runs(site: Path, run: Run, example: Path) -> None:
    done = run(site, sys.executable, str(example))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "source",
    ["from edge_sdk.core import cbor", "import edge_sdk.vault", "from edge_sdk import line"],
)
def test_a_private_import_is_found(source: str) -> None:
    assert private_imports(source) != []
