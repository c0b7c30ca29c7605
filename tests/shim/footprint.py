"""
What the shim takes of each machine: ``python -m tests.shim.footprint`` prints the table of firmware_shim/README.md.

Owns: the targets, their compilers and flags, and the reading of sections and stack frames. Only compilers that are
installed are asked. The stack is the sum of all frames of the file (callbacks and the C library aside): there is no
recursion in it, so no call can take more.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.shim.building import SHIM, run

FLAGS: Final = ("-std=c99", "-Os", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-stack-protector")
TARGETS: Final = {
    "x86-64": ("gcc",),
    "ARMv7, Thumb-2 (armhf)": ("arm-linux-gnueabihf-gcc",),
    "ARMv6, Thumb": ("arm-linux-gnueabi-gcc", "-march=armv6", "-mthumb"),
    "ARMv6, ARM mode": ("arm-linux-gnueabi-gcc", "-march=armv6"),
    "aarch64": ("aarch64-linux-gnu-gcc",),
    "MIPS32r2 big endian, MIPS16e": ("mips-linux-gnu-gcc", "-mips16", "-mhard-float", "-fno-pic"),
    "MIPS32r2 big endian": ("mips-linux-gnu-gcc", "-fno-pic"),
    "MIPS32r2 little endian": ("mipsel-linux-gnu-gcc", "-fno-pic"),
}


@dataclass(frozen=True, slots=True)
class Footprint:
    """
    Bytes of one build. ``text`` has the constants in it, as the tool ``size`` counts.
    """

    text: int
    data: int
    bss: int
    stack: int
    calls: frozenset[str]


def measure(compiler: str, *flags: str) -> Footprint:
    """
    Return what the shim takes, built by *compiler* for size.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = Path(folder) / "edge_shim.o"
        run(compiler, *FLAGS, *flags, "-fstack-usage", "-c", SHIM / "edge_shim.c", "-o", done)
        # The host's `size` and `nm` read every target's ELF.
        text, data, bss = map(int, run("size", done).stdout.splitlines()[1].split()[:3])
        frames = [int(line.split("\t")[1]) for line in done.with_suffix(".su").read_text().splitlines()]
        calls = frozenset(re.findall(r" U (\S+)", run("nm", done).stdout))
    return Footprint(text, data, bss, sum(frames), calls)


def installed() -> dict[str, tuple[str, ...]]:
    """
    Return the targets whose compiler is here.
    """
    return {name: command for name, command in TARGETS.items() if shutil.which(command[0])}


def table() -> str:
    """
    Return the table as Markdown.
    """
    lines = ["| target, gcc -Os | text | data + bss | stack at most |", "|---|---:|---:|---:|"]
    for name, command in installed().items():
        found = measure(*command)
        lines.append(f"| {name} | {found.text} B | {found.data + found.bss} B | {found.stack} B |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
