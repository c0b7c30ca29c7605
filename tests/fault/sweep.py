"""
Check many kill points or power-cut states on all cores.

Owns the sharing out of work. Each worker is forked, makes the same items in the same order and takes
every n-th of them: nothing is pickled, so items may be anything and checks may be closures. A check gets
one item and a scratch folder of its own, on memory where the machine has some, and says no by raising.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from .calllog import Call
from .folder import FolderState, materialise
from .powercut import states

T = TypeVar("T")
Counts = Mapping[str, int] | None


def stride(every: int) -> int:
    """
    Return *every*, of how many items a long sweep tries one; 1 where FULL is set in the environment.
    """
    return 1 if os.environ.get("FULL") else every


@dataclass(frozen=True, slots=True)
class Violation:
    """
    Hold one item that did not pass: its number and name, and what the check raised.
    """

    number: int
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """
    Hold what a sweep came to.
    """

    checked: int
    violations: tuple[Violation, ...]
    counts: Mapping[str, int]
    """The sum of what the checks returned."""
    cpu_s: float = 0.0
    """Processor time of all workers and of what they ran, user and system."""

    def __str__(self) -> str:
        """
        Return a summary with the first few violations, for an assertion's message.
        """
        shown = "\n".join(f"[{one.number}] {one.label}\n{one.reason}" for one in self.violations[:3])
        return f"{len(self.violations)} of {self.checked} violated\n{shown}"


def sweep(
    items: Callable[[], Iterable[T]],
    check: Callable[[T, Path], Counts],
    *,
    label: Callable[[T], str] = str,
    every: int = 1,
    workers: int | None = None,
) -> Report:
    """
    Check every item; *items* is called once in each worker and must give the same ones each time.

    Args:
        check: raises an Exception where the item does not pass (pytest.fail raises none); its folder exists,
            is empty, and is removed afterwards. What it counts is added up in the report.
        every: check only each so-many-th item, for a short form of a long sweep.
        workers: processes; the cores this process may use where left out.

    Raises:
        RuntimeError: a worker died, or *items* itself raised.
    """
    count = workers or len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("fork")

    def shared(number: int) -> Iterator[tuple[int, T]]:
        return islice(enumerate(items()), number * every, None, count * every)

    before, started = _cpu_of_children(), []
    for number in range(count):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_work, args=(shared(number), check, label, theirs))
        with warnings.catch_warnings():
            # Python 3.12 warns of any second thread at a fork, such as pytest's own watchdog.
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        theirs.close()
        started.append((child, ours))
    checked, violations, counts, broken = 0, list[Violation](), Counter[str](), ""
    for child, ours in started:
        try:
            part = ours.recv()
        except EOFError:
            part = "it died without a word"
        child.join()
        if isinstance(part, str):
            broken = broken or part
        else:
            checked += part[0]
            violations += part[1]
            counts += part[2]
    if broken:
        raise RuntimeError(f"a worker of the sweep did not finish: {broken}")
    spent_s = _cpu_of_children() - before
    return Report(checked, tuple(sorted(violations, key=lambda one: one.number)), counts, spent_s)


def sweep_states(
    calls: list[Call],
    initial: FolderState,
    check: Callable[[FolderState, Path], Counts],
    *,
    seed: int = 0,
    exhaustive: int = 4,
    samples: int = 2,
    every: int = 1,
    workers: int | None = None,
) -> Report:
    """
    Write out every power-cut state of *calls* and check it; the folder the check gets holds the state.
    """

    def prepared(state: FolderState, folder: Path) -> Counts:
        materialise(state, folder)
        return check(state, folder)

    return sweep(
        lambda: states(calls, initial, seed=seed, exhaustive=exhaustive, samples=samples),
        prepared,
        label=lambda state: state.label,
        every=every,
        workers=workers,
    )


def _cpu_of_children() -> float:
    spent = os.times()
    return spent.children_user + spent.children_system


def _work(
    share: Iterator[tuple[int, T]],
    check: Callable[[T, Path], Counts],
    label: Callable[[T], str],
    answer: Connection,
) -> None:
    try:
        answer.send(_share(share, check, label))
    except BaseException:
        answer.send(traceback.format_exc())
        raise


def _share(
    share: Iterator[tuple[int, T]], check: Callable[[T, Path], Counts], label: Callable[[T], str]
) -> tuple[int, list[Violation], Counter[str]]:
    checked, violations, counts = 0, list[Violation](), Counter[str]()
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="edge-sweep-", dir=place) as scratch:
        folder = Path(scratch) / "state"
        for position, item in share:
            checked += 1
            folder.mkdir()
            try:
                counts.update(check(item, folder) or {})
            except Exception:  # noqa: BLE001 - whatever a check raises is its answer
                violations.append(Violation(position, label(item), traceback.format_exc(limit=-4)))
            shutil.rmtree(folder)
    return checked, violations, counts
