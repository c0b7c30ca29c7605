"""
The shim on other machines, under qemu-user: ``make test-cross`` runs this file; ``make test`` does not.

Owns: the targets with their compilers. A tool that is missing is a failure that says how to get it. Each target runs
all cases and the race test as UBSan-trap builds, for qemu-user does not trap an unaligned access, and an example
against the native agent of this machine: the socket crosses the emulation.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.shim.building import build, build_cases, names_in, run
from tests.shim.plant import agent_of, compile_example, delivered, header, site_in
from tests.shim.test_cases import SOURCES
from tests.shim.test_end_to_end import EXPECTED, READINGS

TRAP = ("-O2", "-static", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
TRAP_CLANG = ("-O2", "-static", "-fsanitize=undefined", "-fsanitize-trap=all")
DEBIAN = (
    "on Debian: apt install qemu-user-static gcc-arm-linux-gnueabihf gcc-arm-linux-gnueabi gcc-aarch64-linux-gnu "
    "gcc-mips-linux-gnu gcc-mipsel-linux-gnu libc6-dev-armhf-cross libc6-dev-armel-cross libc6-dev-arm64-cross "
    "libc6-dev-mips-cross libc6-dev-mipsel-cross"
)
ZIG = "in the environment of the tests: pip install ziglang"


@dataclass(frozen=True, slots=True)
class Target:
    """
    One machine: how programs for it are made, and what runs them.
    """

    compiler: tuple[str, ...]
    qemu: str

    @property
    def zig(self) -> bool:
        return self.compiler[0] == "zig"


TARGETS = {
    "armhf": Target(("arm-linux-gnueabihf-gcc",), "qemu-arm-static"),
    "ARMv6": Target(("arm-linux-gnueabi-gcc", "-march=armv6"), "qemu-arm-static"),
    "aarch64": Target(("aarch64-linux-gnu-gcc",), "qemu-aarch64-static"),
    "MIPS big endian": Target(("mips-linux-gnu-gcc",), "qemu-mips-static"),
    "MIPS big endian, MIPS16e": Target(("mips-linux-gnu-gcc", "-mips16", "-mhard-float"), "qemu-mips-static"),
    "MIPS little endian": Target(("mipsel-linux-gnu-gcc",), "qemu-mipsel-static"),
    "MIPS big endian, musl": Target(("zig", "-target", "mips-linux-musleabi"), "qemu-mips-static"),
    "PowerPC big endian, musl": Target(("zig", "-target", "powerpc-linux-musleabi"), "qemu-ppc-static"),
}


def command(target: Target) -> tuple[str, ...]:
    """Return the compiler of a target; a missing tool fails the test."""
    if shutil.which(target.qemu) is None:
        pytest.fail(f"no {target.qemu} here; {DEBIAN}")
    if target.zig:
        if importlib.util.find_spec("ziglang") is None:
            pytest.fail(f"no ziglang here; {ZIG}")
        return (sys.executable, "-m", "ziglang", "cc", *target.compiler[1:])
    if shutil.which(target.compiler[0]) is None:
        pytest.fail(f"no {target.compiler[0]} here; {DEBIAN}")
    return target.compiler


def wrapped(target: Target, folder: Path) -> str:
    """Return a program that compiles for the target when it is called as a compiler is."""
    path = folder / "cc"
    words = " ".join(f"'{word}'" for word in command(target))
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> Target:
    return TARGETS[request.param]


@pytest.fixture(scope="module")
def compiler(target: Target, tmp_path_factory: pytest.TempPathFactory) -> str:
    return wrapped(target, tmp_path_factory.mktemp("cc"))


@pytest.mark.parametrize("source", SOURCES)
def test_every_case_holds_there(target: Target, compiler: str, source: str) -> None:
    program = build_cases(source, compiler, TRAP_CLANG if target.zig else TRAP)
    for case in names_in(source):
        done = run(target.qemu, program, case, check=False)
        assert done.returncode == 0, (case, done.returncode, done.stderr)


def test_threads_race_there_too(target: Target, compiler: str) -> None:
    run(target.qemu, build(compiler, ("races.c",), TRAP_CLANG if target.zig else TRAP), "100000", "1")


def test_the_trap_catches_an_unaligned_access(target: Target, compiler: str, tmp_path: Path) -> None:
    """What the other tests lean on: qemu-user lets most pass. Clang looks at no access that is volatile."""
    source = tmp_path / "unaligned.c"
    source.write_text(
        "#include <stdint.h>\nstatic volatile unsigned at = 1;\nstatic uint32_t words[3];\n"
        "int main(int argc, char **argv)\n{\n\tchar *bytes = (char *)words;\n\n\t(void)argv;\n"
        "\twords[0] = (uint32_t)argc;\n\treturn *(uint32_t *)(bytes + at) == 77;\n}\n"
    )
    program = build(compiler, (source,), TRAP_CLANG if target.zig else TRAP)
    assert run(target.qemu, program, check=False).returncode != 0


def test_a_program_there_reaches_opened_rows_here(target: Target, compiler: str, tmp_path: Path) -> None:
    site = site_in(tmp_path)
    program = compile_example("poll_loop.c", header(site), tmp_path, compiler=(compiler, "-static"))
    with agent_of(tmp_path, site) as house:
        subprocess.run([target.qemu, program, house.socket, "test", str(READINGS), "20"], check=True, timeout=120)
        assert house.stop()[0] == 0
    assert delivered(site) == sorted(EXPECTED["poll_loop.c"])
