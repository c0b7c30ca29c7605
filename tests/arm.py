"""
The Python side on machines of another kind, emulated: ``make test-arm`` runs this file; ``make test`` does not.

Owns: the two boards (arm64, and armhf with the cbor2 5.9 that boards of 32 bits get), how their systems are made in a
folder, and which tests run there. A tool that is missing ends it with the command that gets it. A system is Debian's
Python, unpacked and never run as root; beside it lie the wheels that boards install, taken from the package index.

Emulation takes ten to forty times as long, so what runs is a choice, by what may differ between machines. Sizes of
words and of floats, and the libraries below: the vectors, core, the properties with few examples. Files, locks,
sockets and processes: a reading on its way to an opened row with every process emulated, once through ``Gateway``, over
two starts of it, and once through the agent. That no name leaks: what a log, a message and an envelope show. Left out
are loops over every bit of a document, whose checks are one signature's, what tries the tests themselves, and the long
lives of tests/privacy, hundreds of seals each. Not shown by it: weak memory, real speed, old kernels.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP: Final = Path(__file__).resolve().parents[1]
SUITE: Final = "bookworm"
PYTHON: Final = "3.11"  # of that suite
PACKAGES: Final = "python3,python3-cffi-backend"
TOOLS: Final = "apt install qemu-user-static debootstrap fakeroot"
# No wheel for 32 bits; Debian's python3-cffi-backend has the part of it that cryptography needs.
WITHOUT_WHEEL: Final = frozenset({"cffi", "pycparser"})
NOT_NEEDED: Final = frozenset({"coverage", "hatchling"})  # measures, builds
TESTS: Final = (
    "tests/unit/core",
    "tests/property",
    "tests/vectors",
    "tests/privacy/test_canaries.py",
    "tests/gateway/test_gateway.py::test_what_is_recorded_is_delivered_once_by_value",
    "tests/gateway/test_gateway.py::test_what_was_flushed_waits_for_the_next_start",
    "tests/agent/test_rows.py::test_points_become_the_rows_they_stand_for",
)
# By name: what tries the state machine's own test, what tries the CDDL by a tool, the loops over bits.
LEFT_OUT: Final = "not broken_in_one_place and not nothing_that_the_cddl_does_not_describe and not flipped_bit"
VERSIONS: Final = """
import platform, sys
from importlib.metadata import version
names = ("cbor2", "cryptography", "aiohttp", "pydantic")
print(platform.machine(), "Python", sys.version.split()[0], *(f"{name} {version(name)}" for name in names))
"""


@dataclass(frozen=True, slots=True)
class Board:
    """
    One kind of machine: what runs its programs, which wheels it takes, and which versions it is held to.
    """

    qemu: str
    platforms: tuple[str, ...]
    instead: dict[str, str]
    of_debian: frozenset[str]


ARM64: Final = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64")
ARMHF: Final = ("manylinux2014_armv7l", "manylinux_2_17_armv7l", "manylinux_2_31_armv7l")
BOARDS: Final = {
    "arm64": Board("qemu-aarch64-static", ARM64, {}, frozenset()),
    "armhf": Board("qemu-arm-static", ARMHF, {"cbor2": "cbor2>=5.9,<6"}, WITHOUT_WHEEL),
}


def missing() -> list[str]:
    """
    Return the tools that are not here.
    """
    tools = ["debootstrap", "dpkg", *(board.qemu for board in BOARDS.values())]
    if os.geteuid() != 0:
        tools.append("fakeroot")  # debootstrap unpacks as root only
    paths = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [tool for tool in tools if shutil.which(tool, path=paths) is None]


def system(name: str, folder: Path) -> Path:
    """
    Return the root of a board's system, made once.

    After a power cut: without its stamp it is made anew.
    """
    root, stamp = folder / name / "root", folder / name / "made"
    if not stamp.exists():
        shutil.rmtree(folder / name, ignore_errors=True)
        fetched = folder / name / "fetched"
        root.mkdir(parents=True)
        command = ["debootstrap", "--foreign", f"--arch={name}", "--variant=minbase", f"--include={PACKAGES}"]
        as_root = [] if os.geteuid() == 0 else ["fakeroot"]
        environ = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
        command = [*as_root, *command, SUITE, str(fetched)]
        made = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if made.returncode:
            sys.exit(f"debootstrap could not fetch the system of {name}:\n{made.stdout[-2000:]}{made.stderr}")
        for package in sorted(fetched.glob("var/cache/apt/archives/*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
        shutil.rmtree(fetched)
        stamp.touch()
    return root


def needed(package: str, found: set[str], extra: str = "") -> set[str]:
    """
    Return *found*, with the packages that *package* needs on a board, and those that these need.
    """
    for line in requires(package) or ():
        wants = Requirement(line)
        name = canonicalize_name(wants.name)
        asked = wants.marker is None or wants.marker.evaluate({"extra": extra, "python_version": PYTHON})
        if asked and name not in found | NOT_NEEDED:
            found.add(name)
            needed(name, found)
    return found


def wanted(board: Board) -> list[str]:
    """
    Return what is installed beside the board's Python: the versions of this environment, but where it gets another.
    """
    packages = sorted(needed("edge-sdk", set(), "test") - board.of_debian)
    return [board.instead.get(package, f"{package}=={version(package)}") for package in packages]


def install(board: Board, name: str, wheel: Path, site: Path) -> None:
    """
    Put the wheels of a board, and the one of this package, into *site*.
    """
    shutil.rmtree(site, ignore_errors=True)
    platforms = [word for platform in board.platforms for word in ("--platform", platform)]
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}"),
        *("--abi", f"cp{PYTHON.replace('.', '')}", "--abi", "abi3", "--abi", "none", *platforms),
        *("--target", str(site), *wanted(board), str(wheel)),
    ]
    subprocess.run(command, check=True)


def interpreter(board: Board, root: Path) -> Path:
    """
    Return a program that is the board's Python, for this machine and for its own children.

    It lies in the system it runs: Python finds its library from there, by paths that are the same in and outside.
    """
    program, real = root / "usr/bin/emulated", root / f"usr/bin/python{PYTHON}"
    program.write_text(f'#!/bin/sh\nexec {board.qemu} -0 "$0" -L {root} {real} "$@"\n')
    program.chmod(0o755)
    return program


def run(name: str, folder: Path, wheel: Path) -> int:
    """
    Run the tests on a board; return pytest's exit code.
    """
    board, began = BOARDS[name], time.monotonic()
    program = interpreter(board, system(name, folder))
    site = folder / name / "site"
    install(board, name, wheel, site)
    environ = {
        **os.environ,
        "PYTHONPATH": str(site),
        "PYTHONSAFEPATH": "1",
        "EDGE_TEST_WHEEL": "1",
        "EDGE_TEST_FEW": "1",
    }
    said = subprocess.run(
        [str(program), "-c", VERSIONS], env=environ, check=True, capture_output=True, text=True
    ).stdout
    print(f"--- {name}: {said.strip()}", flush=True)
    pytest = ["-u", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=0", "--durations=5"]
    code = subprocess.run([str(program), *pytest, "-k", LEFT_OUT, *TESTS], env=environ, cwd=TOP, check=False).returncode
    print(f"--- {name}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    return code


def main() -> int:
    """
    Run the boards that are named, or all: arm.py FOLDER WHEEL [BOARD ...].
    """
    folder, wheel, names = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3:] or list(BOARDS)
    if absent := missing():
        print(f"test-arm needs {', '.join(absent)}. On Debian: {TOOLS}", file=sys.stderr)
        return 2
    return max(run(name, folder, wheel) for name in names)


if __name__ == "__main__":
    sys.exit(main())
