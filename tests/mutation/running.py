"""
``make test-mutation``, second half: try each mutant of some rooms against their tests, and compare who survives.

One process a mutant, forked from one that has loaded what is not ours, so that a mutant costs an import of edge_sdk
and as many tests as it takes until one fails; the mutated source is handed to the import system, no file is changed.
A mutant that survives must be in ``survivors.toml`` with a reason, and what is listed there must survive: else this
ends with 1. That it can tell is tried first: the room as it is survives, one that cannot be loaded does not.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import settings

TESTS: Final = Path(__file__).resolve().parents[1]
SURVIVORS: Final = Path(__file__).with_name("survivors.toml")
# What each room is held by, the quickest first: the first failure ends a mutant. None of it needs a site.
ROOMS: Final = {
    "core.consent": ("unit/core/test_consent.py",),
    "core.lifecycle": ("unit/core/test_lifecycle.py",),
    "core.seal": ("unit/core/test_seal.py",),
    "core.envelope": ("unit/core/test_envelope.py",),
    "wipe": ("unit/test_wipe_erase.py", "unit/test_wipe.py"),
}
PATIENCE: Final = 10  # times as long as the room as it is: who takes longer runs in a circle
LEAST_S: Final = 30.0
QUIETLY: Final = ("-x", "-q", "--no-header", "--tb=no", "-W", "ignore::pytest.PytestAssertRewriteWarning")
OURS: Final = ("edge_sdk", "tests", "test_", "conftest", "__main__", "__mp_main__")


class Planted(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """
    Give one module another source.
    """

    def __init__(self, name: str, path: Path, code: str) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return where *fullname* comes from, if it is that module."""
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def get_filename(self, _fullname: str) -> str:
        """Return the file that the module would be in."""
        return str(self._path)

    def get_data(self, _path: str, /) -> bytes:
        """Return the source."""
        return self._code.encode()


class Mutant(NamedTuple):
    """One change, without its line: that moves with every other change of the file."""

    room: str
    place: str
    was: str
    now: str


@dataclass(frozen=True)
class End:
    """How a mutant ended: ``code`` is pytest's, None where it was stopped."""

    code: int | None
    wall_s: float
    cpu_s: float

    @property
    def survived(self) -> bool:
        return self.code == 0


def source_of(room: str) -> Path:
    """Return the file a room is in, without loading it."""
    package = importlib.util.find_spec("edge_sdk")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent.joinpath(*room.split(".")).with_suffix(".py")


def preload(rooms: Sequence[str]) -> None:
    """Load what the tests of *rooms* load that is not ours, as a child finds out."""
    reads, writes = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reads)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            pytest.main(["--collect-only", *QUIETLY, *(str(TESTS / each) for room in rooms for each in ROOMS[room])])
        with os.fdopen(writes, "w") as pipe:
            json.dump([name for name in sys.modules if not name.startswith(OURS)], pipe)
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        names = json.load(pipe)
    os.waitpid(child, 0)
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def outcome(room: str, code: str, limit_s: float) -> End:
    """Run the tests of *room* in a child where its source is *code*."""
    began = time.monotonic()
    if (child := os.fork()) == 0:
        os.setpgid(0, 0)
        _run(room, code)
    ended, usage = 0, None
    while usage is None:
        done, ended, spent = os.wait4(child, os.WNOHANG)
        if done:
            usage = spent
        elif time.monotonic() - began > limit_s:
            os.killpg(child, signal.SIGKILL)
            usage = os.wait4(child, 0)[2]
            return End(None, limit_s, usage.ru_utime + usage.ru_stime)
        else:
            time.sleep(0.005)
    return End(os.waitstatus_to_exitcode(ended), time.monotonic() - began, usage.ru_utime + usage.ru_stime)


def _run(room: str, code: str) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    sys.meta_path.insert(0, Planted(f"edge_sdk.{room}", source_of(room), code))
    ended = 70
    try:
        settings.load_profile("mutation")
        ended = int(pytest.main([*QUIETLY, "--noconftest", *(str(TESTS / each) for each in ROOMS[room])]))
    finally:
        os._exit(ended)


def check_bite(room: str) -> float:
    """
    Return how long the tests of *room* take as it is.

    Raises:
        SystemExit: they fail, or a room that cannot be loaded passes.
    """
    source = source_of(room).read_text(encoding="utf-8")
    as_it_is = outcome(room, source, 600)
    if not as_it_is.survived:
        raise SystemExit(f"{room}: its tests fail as it is ({as_it_is.code})")
    if outcome(room, source + "\n1 / 0\n", 600).survived:
        raise SystemExit(f"{room}: its tests pass without it")
    return as_it_is.wall_s


def listed() -> Counter[Mutant]:
    """Return the survivors that have a reason."""
    groups = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["reason"]
    return Counter(Mutant(group["room"], *each) for group in groups for each in group["mutants"])


def try_room(room: str, mutants: list[dict[str, Any]]) -> Counter[Mutant]:
    """Try the mutants of *room*, say what they came to, and return those that survived."""
    limit_s = max(LEAST_S, PATIENCE * check_bite(room))
    survived, stopped, cpu_s = Counter[Mutant](), 0, 0.0
    for made in mutants:
        end = outcome(room, made["code"], limit_s)
        stopped += end.code is None
        cpu_s += end.cpu_s
        if end.survived:
            mutant = Mutant(room, made["place"], made["was"], made["now"])
            survived[mutant] += 1
            print(f"{room}:{made['line']} survived: {mutant.was} => {mutant.now}", flush=True)
    lasting = survived.total()
    killed = len(mutants) - lasting - stopped
    print(f"{room}: {len(mutants)} mutants, {killed} killed, {stopped} stopped, {lasting} survived, {cpu_s:.0f} s")
    return survived


def main() -> None:
    """Try the mutants in a file that ``making`` wrote."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mutants", type=Path, nargs="?")
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS), choices=ROOMS)
    parser.add_argument("--sources", action="store_true", help="only say which rooms and files there are")
    arguments = parser.parse_args()
    if arguments.sources:
        print(*(word for room in ROOMS for word in (room, source_of(room))))
        return
    made = json.loads(arguments.mutants.read_text())
    preload(arguments.rooms)
    gc.freeze()  # what is loaded is shared with every child
    settings.register_profile("mutation", deadline=None, derandomize=True, database=None)
    survived = Counter[Mutant]()
    for room in arguments.rooms:
        survived += try_room(room, [mutant for mutant in made if mutant["room"] == room])
    excused = Counter({one: times for one, times in listed().items() if one.room in arguments.rooms})
    for what, some in (
        ("survived, and no reason is listed", survived - excused),
        ("listed, and did not survive", excused - survived),
    ):
        for one in sorted(some.elements()):
            print(f"{what}: {one.room}, {one.place}\n  was {one.was}\n  now {one.now}")
    sys.exit(1 if survived != excused else 0)


if __name__ == "__main__":
    main()
