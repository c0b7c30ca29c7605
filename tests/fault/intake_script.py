"""
The program that runs under the recorder: one collector that takes batches, in one thread and without sockets.

Marks: ``sending N`` (batch N is about to be handed over), ``kept N`` (its receipt is composed), ``opened N`` (the
opener has all that was kept so far). A step that the disk refuses is tried again, as a device does that was answered
503; after TRIES it is given up.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final
from unittest import mock

from edge_sdk import files
from edge_sdk.collector import grant, open_reception, open_rows
from edge_sdk.collector.intake import Arrival, Kept, Limits
from edge_sdk.collector.reception import Reception
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core.claims import Status
from edge_sdk.errors import StorageError
from tests.fault import line_script
from tests.fault.intake_plan import Do, Plan, Step

TRIES: Final = 80
_ROOT: Final = Path(__file__).resolve().parents[2]
_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from tests.fault import intake_script; intake_script.{}"


def program(place: Path, sabotage: str = "none") -> list[str]:
    """
    Return the command that runs the plan in *place* on the collector in its folder ``state``.
    """
    return [*start("main(sys.argv[2:])"), str(place), sabotage]


def start(what: str) -> list[str]:
    """
    Return the command that calls *what* of this module.
    """
    return [sys.executable, "-B", "-c", _BOOT.format(what), str(_ROOT)]


def main(arguments: list[str]) -> None:
    """
    Run the plan.
    """
    place = Path(arguments[0])
    with _pragma("wal_autocheckpoint=40"), SABOTAGE[arguments[1]]():  # the log goes into the file on the way
        run = _Run(place)
        for step in run.plan.steps:
            run.take(step)
        run.close()


def serve() -> None:
    """
    Run the plan in a fork for each line of the standard input, for a ``line_script.Killer``.
    """
    line_script.serve(_whole)


def _whole(place: str, *, is_stubborn: bool) -> None:
    # Whether asked for or not: what the disk refuses is always tried again.
    del is_stubborn
    main([place, "none"])


class _Run:
    def __init__(self, place: Path) -> None:
        self.plan = Plan.read(place)
        self._folder = place / "state"
        self._lent: AbstractContextManager[Reception] | None = None
        self._reception: Reception | None = None
        self._kept = 0

    def take(self, step: Step) -> None:
        """
        Do one step, again and again while the disk refuses it.
        """
        acts: dict[Do, Callable[[Step], None]] = {
            Do.TAKE: self._take,
            Do.UPKEEP: self._upkeep,
            Do.OPEN: self._open,
            Do.GRANT: self._grant,
        }
        for tried in range(TRIES):
            try:
                acts[step.do](step)
                return
            except StorageError:
                if tried == TRIES - 1:
                    raise

    def close(self) -> None:
        """
        Close the files.
        """
        if self._lent is not None:
            self._lent.__exit__(None, None, None)

    def _take(self, step: Step) -> None:
        request = self.plan.request(step.batch, step.now_s)
        _mark(f"sending {step.batch}")
        answer = self._running().answer(request, step.now_s)
        if not self.plan.is_receipt(step.batch, answer):
            raise RuntimeError(f"batch {step.batch} was answered with {answer.status}")
        _mark(f"kept {step.batch}")

    def _upkeep(self, step: Step) -> None:
        self._running().upkeep(step.now_s)
        while self._running().prune(step.now_s):
            pass

    def _open(self, _: Step) -> None:
        _mark(f"opened {sum(1 for _ in open_rows(self._folder))}")

    def _grant(self, step: Step) -> None:
        grant(self._folder, self.plan.generation, "improvement", status=Status.GIVEN, now_s=step.now_s)

    def _running(self) -> Reception:
        if self._reception is None:
            lent = open_reception(self._folder, limits=Limits())
            self._reception = lent.__enter__()
            self._lent = lent
        return self._reception


@contextmanager
def _pragma(setting: str) -> Iterator[None]:
    real = files.open_database

    def opened(path: Path, **how: Any) -> sqlite3.Connection:
        connection = real(path, **how)
        connection.execute(f"PRAGMA {setting}")
        return connection

    with mock.patch.object(files, "open_database", opened):
        yield


def _without_syncs() -> AbstractContextManager[object]:
    return _pragma("synchronous=OFF")


@contextmanager
def _receipt_before_the_bytes() -> Iterator[None]:
    """
    Answer for a body that is stored with the next one.
    """
    waiting: list[Arrival] = []
    real = IntakeStore.keep

    def keep(self: IntakeStore, arrival: Arrival) -> Kept:
        waiting.append(arrival)
        while len(waiting) > 1:
            real(self, waiting.pop(0))
        return Kept.STORED

    with mock.patch.object(IntakeStore, "keep", keep):
        yield


@contextmanager
def _pruned_before_it_is_taken() -> Iterator[None]:
    """
    Forget bodies by age alone.
    """
    real = IntakeStore.prune

    def prune(self: IntakeStore, today: int) -> int:
        self.mark_taken(range(1, self.newest() + 1))
        return real(self, today)

    with mock.patch.object(IntakeStore, "prune", prune):
        yield


SABOTAGE: Final[dict[str, Callable[[], AbstractContextManager[object]]]] = {
    "none": nullcontext,
    "no syncs": _without_syncs,
    "receipt before the bytes": _receipt_before_the_bytes,
    "pruned before it is taken": _pruned_before_it_is_taken,
}


def _mark(promise: str) -> None:
    from fault_mark import mark  # type: ignore[import-not-found]  # the recorder puts it on the path

    mark(promise)
