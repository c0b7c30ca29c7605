"""
What is built and what it is built with: the same wheel wherever and whenever, and every archive known by its hash.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT: Final = Path(__file__).resolve().parents[2]
LOCKS: Final = ROOT / "tests" / "requirements"
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: Final = PROJECT["optional-dependencies"]
BUILT_FROM: Final = ("pyproject.toml", "README.md", "LICENSE", "edge_sdk")


def locked(name: str) -> dict[str, Version]:
    """Return version by package of a lock file."""
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    return {package: Version(version) for package, version in re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.M)}


def asked(listed: list[str]) -> list[Requirement]:
    return [one for one in map(Requirement, listed) if one.name != PROJECT["name"]]


def inputs(name: str) -> list[Requirement]:
    lines = (LOCKS / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return asked([line for line in lines if line and not line.startswith("#")])


WANTED: Final = {
    "run": asked(PROJECT["dependencies"]),
    "dev": asked([*PROJECT["dependencies"], *EXTRAS["test"], *EXTRAS["dev"]]),
    "tools": inputs("tools"),
    "interop": inputs("interop"),
    "mutation": inputs("mutation"),
    "published": inputs("published"),
}


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_file_has_everything_that_is_asked_for_in_a_version_that_fits(name: str) -> None:
    found = locked(name)
    misfits = [
        str(one) for one in WANTED[name] if one.name not in found or not one.specifier.contains(found[one.name], True)
    ]
    assert misfits == [], "run `make lock`"


@pytest.mark.parametrize("name", WANTED)
def test_every_locked_package_has_the_hashes_of_its_archives(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.M)[1:]
    assert len(blocks) == len(locked(name)) > 0
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_a_lock_file_names_no_place_to_fetch_from() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(LOCKS.iterdir())]
    assert [text for text in texts if "://" in text or "--find-links" in text] == []


def test_what_is_delivered_is_locked_in_the_versions_it_is_developed_with() -> None:
    developed = locked("dev")
    assert {package: developed.get(package) for package in locked("run")} == locked("run")


def wheel_built_in(folder: Path, *, umask: int, epoch: str | None, touched: int) -> str:
    """Copy what a wheel is made of to *folder*, change its times and modes, build, and return the wheel's SHA-256."""
    folder.mkdir(parents=True)
    for name in BUILT_FROM:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            os.utime(path, (touched, touched))
            path.chmod(0o666 & ~umask)
    environ = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    if epoch is not None:
        environ["SOURCE_DATE_EPOCH"] = epoch
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "out")]
    subprocess.run(command, cwd=folder, env=environ, umask=umask, check=True, capture_output=True, timeout=120)
    (wheel,) = (folder / "out").iterdir()
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_two_builds_of_one_tree_are_the_same_to_the_bit(tmp_path: Path) -> None:
    first = wheel_built_in(tmp_path / "a", umask=0o022, epoch="1760000000", touched=1_600_000_000)
    second = wheel_built_in(tmp_path / "elsewhere" / "b", umask=0o077, epoch="1760000000", touched=1_700_000_000)
    assert first == second


def test_without_a_date_given_a_build_takes_none_from_its_surroundings(tmp_path: Path) -> None:
    first = wheel_built_in(tmp_path / "a", umask=0o022, epoch=None, touched=1_600_000_000)
    second = wheel_built_in(tmp_path / "b", umask=0o022, epoch=None, touched=1_700_000_000)
    assert first == second
