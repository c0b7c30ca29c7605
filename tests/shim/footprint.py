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
# Programs on MIPS are not position independent, and call their libraries as toolchains made --with-mips-plt do.
MIPS: Final = ("-fno-pic", "-mplt")
MIPS16: Final = ("-mips16", "-mhard-float", "-fno-pic")
# What its build logs show of a core with MIPS16e; floats are in software there, of which these headers know nothing.
OPENWRT: Final = ("-mips32r2", "-mtune=24kc", "-mno-branch-likely", "-fno-caller-saves")
OPENWRT_16: Final = (*OPENWRT, "-mips16", "-minterlink-mips16", "-mhard-float")
TARGETS: Final = {
    "x86-64": ("gcc",),
    "ARMv7, Thumb-2 (armhf)": ("arm-linux-gnueabihf-gcc",),
    "ARMv6, Thumb": ("arm-linux-gnueabi-gcc", "-march=armv6", "-mthumb"),
    "ARMv6, ARM mode": ("arm-linux-gnueabi-gcc", "-march=armv6", "-marm"),
    "aarch64": ("aarch64-linux-gnu-gcc",),
    "MIPS32r2 big endian, MIPS16e": ("mips-linux-gnu-gcc", *MIPS16),
    "MIPS32r2 little endian, MIPS16e": ("mipsel-linux-gnu-gcc", *MIPS16),
    "MIPS32r2 big endian": ("mips-linux-gnu-gcc", *MIPS),
    "MIPS32r2 little endian": ("mipsel-linux-gnu-gcc", *MIPS),
    "OpenWrt 24Kc, program": ("mips-linux-gnu-gcc", *OPENWRT_16, *MIPS),
    "OpenWrt 24Kc, shared library": ("mips-linux-gnu-gcc", *OPENWRT_16, "-fpic"),
    "OpenWrt 24Kc, program without MIPS16e": ("mips-linux-gnu-gcc", *OPENWRT, *MIPS),
}
# What takes most text, and what it is held against.
WIDE, NARROW = "MIPS32r2 big endian", "ARMv7, Thumb-2 (armhf)"
LISTED: Final = 100  # bytes from which on a function has a row of its own


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


def compile_for(command: tuple[str, ...], folder: str, *flags: str) -> Path:
    """
    Return the object that a target's compiler makes of the shim.
    """
    done = Path(folder) / "edge_shim.o"
    run(*command[:1], *FLAGS, *command[1:], *flags, "-c", SHIM / "edge_shim.c", "-o", done)
    return done


def measure(*command: str) -> Footprint:
    """
    Return what the shim takes, built for size by a compiler with its flags.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = compile_for(command, folder, "-fstack-usage")
        # The host's `size` and `nm` read every target's ELF.
        text, data, bss = map(int, run("size", done).stdout.splitlines()[1].split()[:3])
        frames = [int(line.split("\t")[1]) for line in done.with_suffix(".su").read_text().splitlines()]
        calls = frozenset(re.findall(r" U (\S+)", run("nm", done).stdout))
    return Footprint(text, data, bss, sum(frames), calls)


def instructions(command: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """
    Return for each function its bytes and the instructions they are, by the target's own disassembler.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = compile_for(command, folder)
        listing = run(command[0].removesuffix("gcc") + "objdump", "-dz", "--no-show-raw-insn", done).stdout
        sizes = re.findall(r"^\S+ (\S+) [tT] (\S+)$", run("nm", "-S", done).stdout, re.MULTILINE)
    found = {}
    for name, lines in re.findall(r"^\S+ <(\S+)>:\n((?: .*\n)*)", listing, re.MULTILINE):
        code = [line for line in lines.splitlines() if re.search(r":\t(?!\.(word|short))\S", line)]
        found[name] = len(code)
    return {name: (int(size, 16), found[name]) for size, name in sizes if name in found}


def installed() -> dict[str, tuple[str, ...]]:
    """
    Return the targets whose compiler is here.
    """
    return {name: command for name, command in TARGETS.items() if shutil.which(command[0])}


def table() -> str:
    """
    Return the table as Markdown.
    """
    lines = ["| target | gcc -Os, with | text | data + bss | stack at most |", "|---|---|---:|---:|---:|"]
    for name, command in installed().items():
        found = measure(*command)
        flags = " ".join(f"`{flag}`" for flag in command[1:])
        lines.append(f"| {name} | {flags} | {found.text} B | {found.data + found.bss} B | {found.stack} B |")
    return "\n".join(lines)


def width() -> str:
    """
    Return as Markdown what each function takes in wide and in narrow instructions.
    """
    wide, narrow = instructions(TARGETS[WIDE]), instructions(TARGETS[NARROW])
    small = [name for name in wide if wide[name][0] < LISTED or name not in narrow]
    groups = {f"`{name}`": [name] for name in sorted(wide, key=lambda name: -wide[name][0]) if name not in small}
    groups |= {"all others": [*small, *(set(narrow) - set(wide))], "all": list({**wide, **narrow})}
    lines = ["| function, with what is inlined in it | MIPS32 | Thumb-2 | instructions |", "|---|---:|---:|---:|"]
    for name, parts in groups.items():
        (some, count), (less, fewer) = (
            tuple(map(sum, zip(*(one.get(part, (0, 0)) for part in parts), strict=True))) for one in (wide, narrow)
        )
        lines.append(f"| {name} | {some} B | {less} B | {count} : {fewer} = {count / fewer:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
    if {WIDE, NARROW} <= set(installed()):
        print("\n" + width())
