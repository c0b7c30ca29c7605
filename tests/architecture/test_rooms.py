"""
The package keeps to its rooms: tables.py says which, rooms.py checks, test_planted_faults.py shows it bites.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import edge_sdk
from tests.architecture.rooms import CHECKERS, Checker, Module, import_circle
from tests.architecture.tables import CORE_LEVELS

TOP = Path(__file__).resolve().parents[2]
SOURCES = TOP / "edge_sdk"

PUBLIC_NAMES = {
    "BadInput",
    "Config",
    "ConfigError",
    "EdgeError",
    "Event",
    "Firmware",
    "FirmwareLink",
    "Gateway",
    "Lane",
    "Mono",
    "NotProvisioned",
    "Policy",
    "Refused",
    "Request",
    "Response",
    "Status",
    "StorageError",
    "Transport",
    "UplinkError",
    "WipeReceipt",
    "WrongHost",
    "__version__",
    "open_batch",
}
# Tracked text must not say where it was written.
MACHINE_WORDS = re.compile(r"(?<![\w}])/(?:home|opt|root|tmp|work)/\w")


def read_modules(top: Path) -> list[Module]:
    modules = []
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return modules


MODULES = read_modules(SOURCES)


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_every_room_keeps_the_rule(checker: Checker) -> None:
    complaints = [complaint for module in MODULES for complaint in checker(module)]
    assert not complaints, "\n".join(["", *complaints])


def test_no_import_goes_in_a_circle() -> None:
    assert import_circle(MODULES) == []


def test_the_public_names_are_the_promised_ones() -> None:
    assert set(edge_sdk.__all__) == PUBLIC_NAMES
    assert all(hasattr(edge_sdk, name) for name in edge_sdk.__all__)


def test_what_the_public_object_takes_returns_and_raises_can_be_imported_from_the_top() -> None:
    methods = [inspect.unwrap(getattr(one, "__func__", one)) for one in vars(edge_sdk.Gateway).values() if callable(one)
               or isinstance(one, classmethod)]  # fmt: skip
    public = [method for method in methods if method.__name__ != "__init__"]
    said = " ".join(f"{method.__doc__ or ''} {method.__annotations__}" for method in public)
    ours = {name for room in ("gateway", "errors") for name in vars(import_module(f"edge_sdk.{room}"))}
    assert {"BadInput", "FirmwareLink"} <= set(re.findall(r"\b[A-Z]\w+\b", said)) & ours
    foreign = {"Any", "Mapping", "Path", "Self", "Sequence"}
    assert set(re.findall(r"\b[A-Z]\w+\b", said)) & ours - foreign <= PUBLIC_NAMES


def test_nothing_of_the_package_imports_a_test() -> None:
    for module in MODULES:
        for node in ast.walk(module.tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] in {"tests", "pytest"}], module.name


def test_the_makefile_and_the_extra_name_the_same_demo_data() -> None:
    extras = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f"DEMO_DATA := {extras['demo'][0]}\n" in (TOP / "Makefile").read_text()


def test_import_linter_knows_the_same_order_of_core() -> None:
    contracts = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each.get("containers") == ["edge_sdk.core"]]
    named = [set(re.findall(r"\w+", layer)) for layer in reversed(contract["layers"])]
    assert named == [set(level) for level in CORE_LEVELS]


def test_no_tracked_text_names_the_machine_it_was_written_on() -> None:
    folders = ("edge_sdk", "tests", "examples", "benchmarks", "docs", "firmware_shim", ".ci")
    paths = [path for path in TOP.iterdir() if path.is_file() and path.suffix in {".md", ".toml", ""}]
    paths = [path for path in paths if path.name not in {".coverage", ".git"}]  # an earlier run, a work tree
    paths += [path for folder in folders for path in (TOP / folder).rglob("*") if path.is_file()]
    texts = (path for path in paths if path.suffix in {".py", ".md", ".toml", ".c", ".h", ".cddl", ".sh", ""})
    guilty = [
        str(path.relative_to(TOP))
        for path in texts
        if path.resolve() != Path(__file__).resolve()
        and MACHINE_WORDS.search(path.read_text("utf-8", "replace"))
    ]
    assert guilty == []
