"""
Builds C of this folder and of firmware_shim/ with whatever compilers are there.

Owns the flags: the warnings that are errors, the sanitizers, and which compilers are asked. A program is built once
a run for each text of it and its flags.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
TOP: Final = HERE.parents[1]
SHIM: Final = TOP / "firmware_shim"
CASES: Final = HERE / "c"

WARNINGS: Final = (
    *("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wcast-qual"),
    *("-Wcast-align", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef", "-Wvla", "-Wformat=2"),
    *("-Wdouble-promotion", "-Werror"),
)
PLAIN: Final = ("-O2",)
ADDRESS: Final = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD: Final = ("-O1", "-g", "-fsanitize=thread")
COMPILERS: Final = tuple(name for name in ("gcc", "clang") if shutil.which(name))


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="edge-shim-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def run(*command: str | Path, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
    """
    Run a command to its end; what it printed is part of the error where it fails.
    """
    # LeakSanitizer cannot run where another tool traces the process, and the shim allocates nothing.
    more = {"timeout": 900, "env": {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}, **more}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


@functools.cache
def build(compiler: str, sources: tuple[str | Path, ...], flags: tuple[str, ...]) -> Path:
    """
    Return the program that *compiler* makes of *sources*; paths that are not absolute are those of ``c/``.
    """
    path = _folder() / f"program-{len(list(_folder().iterdir()))}"
    texts = [CASES / source for source in sources]
    run(compiler, "-std=c99", *flags, f"-I{SHIM}", f"-I{CASES}", *texts, "-o", path, "-lpthread")
    return path


@functools.cache
def names_in(source: str) -> tuple[str, ...]:
    """
    Return the cases of a file, in its order.
    """
    return tuple(re.findall(r"^CASE\((\w+)\)$", (CASES / source).read_text(), re.MULTILINE))


@functools.cache
def build_cases(source: str, compiler: str, flags: tuple[str, ...]) -> Path:
    """
    Return a program that runs the case it is named.
    """
    names = names_in(source)
    assert len(names) == len(set(names)) > 0
    chosen = "".join(f'\tif (strcmp(argv[1], "{name}") == 0) {{ {name}(); return 0; }}\n' for name in names)
    main = _folder() / f"main_{source}"
    main.write_text(f'#include "{source}"\nint main(int argc, char **argv)\n{{\n{chosen}\treturn argc;\n}}\n')
    return build(compiler, (main,), flags)
