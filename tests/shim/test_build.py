"""
How the shim builds: warnings, C++, sizes, imports, and what packagers do with it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.shim.building import COMPILERS, SHIM, WARNINGS, run
from tests.shim.footprint import TARGETS, installed, measure

# What the shim takes from the C library, and what compilers put in its place or beside it.
CALLS = frozenset({"socket", "connect", "send", "recv", "close", "open", "read", "getpid", "clock_gettime"})
TEXTS = frozenset({"memcpy", "strcmp", "strlen", "memset"})
COMPILER_CALLS = re.compile(
    r"_GLOBAL_OFFSET_TABLE_|__errno_location|__(mips16|aarch64|sync|aeabi|udiv|umod|lshr|ashl).*|_gp_disp|__gnu_local_gp"
)
BUDGET_TEXT, BUDGET_STACK = 6 * 1024, 2 * 1024


@pytest.mark.parametrize("optimise", ["-Os", "-O3"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warning_of_the_list(compiler: str, optimise: str, tmp_path: Path) -> None:
    run(compiler, *WARNINGS, optimise, "-c", SHIM / "edge_shim.c", "-o", tmp_path / "shim.o")


def test_nothing_newer_than_gcc_4_8_is_in_it() -> None:
    text = (SHIM / "edge_shim.c").read_text() + (SHIM / "edge_shim.h").read_text()
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    newer = r"_Static_assert|_Generic|_Alignas|_Atomic|stdatomic|__has_include|__has_attribute|__builtin_\w+_overflow"
    assert re.findall(newer, code) == []


@pytest.mark.parametrize("standard", ["c++98", "c++17"])
def test_the_header_is_cpp(standard: str, tmp_path: Path) -> None:
    source = tmp_path / "header.cc"
    source.write_text(
        '#include "edge_shim.h"\nstatic edge_slot_t slots[EDGE_SLOTS_FOR(40, 102)];\nvoid *use() { return slots; }\n'
    )
    run(
        "g++",
        f"-std={standard}",
        "-pedantic",
        "-Wall",
        "-Wextra",
        "-Wshadow",
        "-Wundef",
        "-Werror",
        "-fsyntax-only",
        f"-I{SHIM}",
        source,
    )


def test_the_header_stands_alone_in_c99(tmp_path: Path) -> None:
    source = tmp_path / "header.c"
    source.write_text(
        '#include "edge_shim.h"\n'
        "typedef char size[EDGE_SLOTS_FOR(40, 102) == 4096 && EDGE_POW2(1) == 1 && EDGE_POW2(4096) == 4096 ? 1 : -1];\n"
        "typedef char ring[EDGE_RING_BYTES(4096) == sizeof(edge_slot_t[4096]) ? 1 : -1];\n"
        "typedef char label[EDGE_LABEL_BYTES(3) == sizeof(edge_label_t[3]) ? 1 : -1];\n"
    )
    run("gcc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{SHIM}", source)


@pytest.mark.parametrize("target", installed())
def test_the_footprint_is_within_its_budget(target: str) -> None:
    found = measure(*installed()[target])
    assert found.text <= BUDGET_TEXT
    assert (found.data, found.bss) == (0, 0)
    assert found.stack <= BUDGET_STACK


@pytest.mark.parametrize("target", installed())
def test_nothing_is_called_but_this(target: str) -> None:
    others = {
        name for name in measure(*installed()[target]).calls - CALLS - TEXTS if not COMPILER_CALLS.fullmatch(name)
    }
    assert others == set()


def test_make_installs_what_pkg_config_then_finds(tmp_path: Path) -> None:
    root, build = tmp_path / "root", tmp_path / "build"
    run("make", "-C", SHIM, f"BUILD={build}", f"DESTDIR={root}", "PREFIX=/usr", "CFLAGS=-Os -Wall -Werror", "install")
    installed_files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())
    assert installed_files == [
        "usr/include/edge_shim.h",
        "usr/lib/libedge_shim.a",
        "usr/lib/libedge_shim.so",
        "usr/lib/libedge_shim.so.0",
        "usr/lib/libedge_shim.so.0.1.0",
        "usr/lib/pkgconfig/edge_shim.pc",
    ]
    assert "SONAME" in (dynamic := run("readelf", "-d", root / "usr/lib/libedge_shim.so").stdout)
    assert "libedge_shim.so.0" in dynamic
    pc = (root / "usr/lib/pkgconfig/edge_shim.pc").read_text()
    assert "@" not in pc
    assert "prefix=/usr\n" in pc
    run("make", "-C", SHIM, f"BUILD={build}", f"DESTDIR={root}", "PREFIX=/usr", "uninstall")
    assert not [path for path in root.rglob("*") if path.is_file() or path.is_symlink()]


def test_one_version_is_told_everywhere() -> None:
    (found,) = re.findall(r"#define EDGE_VERSION (0x\w+)u", (SHIM / "edge_shim.h").read_text())
    number = int(found, 16)
    version = f"{number >> 16}.{number >> 8 & 255}.{number & 255}"
    assert f"VERSION := {version}\n" in (SHIM / "Makefile").read_text()
    assert f"project(edge_shim VERSION {version} " in (SHIM / "CMakeLists.txt").read_text()
    assert f"PKG_VERSION:={version}\n" in (SHIM / "openwrt/Makefile").read_text()


USER = """
cmake_minimum_required(VERSION 3.10)
project(user LANGUAGES C)
add_subdirectory("{shim}" shim)
add_executable(user user.c)
target_link_libraries(user PRIVATE edge_shim::edge_shim)
"""


def test_cmake_takes_it_as_a_subdirectory(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("no cmake here: on Debian, apt install cmake")
    (tmp_path / "CMakeLists.txt").write_text(USER.format(shim=SHIM))
    (tmp_path / "user.c").write_text('#include "edge_shim.h"\nint main(void) { return edge_now_ms() == 0; }\n')
    run("cmake", "-S", tmp_path, "-B", tmp_path / "b")
    run("cmake", "--build", tmp_path / "b")
    run(tmp_path / "b/user")


DEVIATIONS = {
    "missingIncludeSystem": "headers of the C library are not given to it",
    "variableScope": "declarations stand at the head of a function, as older firmware toolchains want them",
    "badBitmaskCheck": "one of the kinds of value is numbered 0; its name stays in the expression",
}


def test_cppcheck_finds_nothing_but_the_stated_deviations() -> None:
    if shutil.which("cppcheck") is None:
        pytest.skip("no cppcheck here: on Debian, apt install cppcheck")
    suppressed = [f"--suppress={name}" for name in DEVIATIONS]
    found = run(
        *("cppcheck", "--std=c99", "--enable=warning,style,performance,portability", "--inconclusive"),
        *("--error-exitcode=1", "--quiet", *suppressed, f"-I{SHIM}", SHIM / "edge_shim.c"),
    )
    assert found.stderr == ""


README = (SHIM / "README.md").read_text()


def test_the_readme_has_every_code() -> None:
    header = (SHIM / "edge_shim.h").read_text()
    codes = re.findall(r"^\t(EDGE_[A-Z]+) = (-\d+),?\s+/\*", header, re.MULTILINE)
    assert [int(number) for _, number in codes] == list(range(-1, -18, -1))
    assert re.findall(r"^\| (-\d+) \| `(EDGE_[A-Z]+)`", README, re.MULTILINE) == [(n, name) for name, n in codes]


def test_the_readme_has_the_footprint_of_every_target() -> None:
    rows = re.findall(r"^\| (.+?) \| (.*?) ?\| (\d+) B \| 0 B \| (\d+) B \|$", README, re.MULTILINE)
    assert [name for name, *_ in rows] == list(TARGETS)
    assert [flags.replace("`", "").split() for _, flags, *_ in rows] == [list(flags) for _, *flags in TARGETS.values()]
    assert all(int(text) <= BUDGET_TEXT and int(stack) <= BUDGET_STACK for _, _, text, stack in rows)


def test_the_ten_lines_of_the_readme_compile(tmp_path: Path) -> None:
    code = re.search(r"```c\n(.*?)```", README, re.DOTALL)
    assert code is not None
    head, body = code[1].split("\nedge_config_t", 1)
    (tmp_path / "edge_ids.h").write_text(
        '#define EDGE_SCHEMA_HASH "12345678"\n#define EDGE_FIELD_INVERTER_AC_POWER 0x1001u\n'
    )
    (tmp_path / "firmware.c").write_text(
        f"{head}\nvoid clear_my_caches(void *, uint32_t, uint32_t);\n"
        "void name_my_devices(void *, uint32_t, uint32_t);\n"
        f"double read_register(void);\nint main(void)\n{{\nedge_config_t{body}\n}}\n"
    )
    run(
        "gcc",
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-c",
        f"-I{SHIM}",
        tmp_path / "firmware.c",
        "-o",
        tmp_path / "o",
    )
