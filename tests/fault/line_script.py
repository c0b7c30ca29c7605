"""
The program that runs under the recorder: one site through a plan, in one thread.

Started by ``program``, or by a Killer, which forks for each run. Marks in the recorder's log say what is promised and
where the collector stands, each with the wall time: ``recorded N`` (readings up to N may be there), ``flushed N``
(readings up to N must be), ``collector N`` (it has changed N times), ``withdrawing``, ``withdrawn``, ``granting``,
``granted`` (with the number of the next reading), ``stopped``, ``opened``, ``now`` (only the time). The collector runs
in the same process and is not recorded: a kill finds it between two requests, and it loses nothing.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from edge_sdk import opening, outbox
from edge_sdk.collector import folder as collecting
from edge_sdk.core.claims import Status
from tests.fault.calllog import Kind, read_calls, write_head
from tests.fault.line_plan import RUNS, Do, Step
from tests.fault.line_sabotage import SABOTAGE
from tests.fault.line_site import BEGIN_MS, Desk, ScriptedClock, config_for, drawn_from, open_desk, send
from tests.fault.recorder import INSIDE, library

_ROOT: Final = Path(__file__).resolve().parents[2]
# Appended, not prepended: where the package is installed, the installed one is what is tested.
_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from tests.fault import line_script; line_script.{}"


def program(place: Path, *, snapshots: Path | None = None, run: str = "whole", sabotage: str = "none") -> list[str]:
    """
    Return the command that runs a plan on the site in *place*, whose folder ``state`` is recorded.

    Args:
        snapshots: where a copy of the collector is kept at each of its changes, for the power-cut states.
        run: a key of ``line_plan.RUNS``.
        sabotage: a key of ``line_sabotage.SABOTAGE``.
    """
    return [*_start("main(sys.argv[2:])"), str(place), str(snapshots or ""), run, sabotage]


def _start(what: str) -> list[str]:
    return [sys.executable, "-B", "-c", _BOOT.format(what), str(_ROOT)]


def main(arguments: list[str]) -> None:
    """
    Run the plan.
    """
    place, snapshots = Path(arguments[0]), Path(arguments[1]) if arguments[1] else None
    plan, sabotage = RUNS[arguments[2]], SABOTAGE[arguments[3]]
    outbox._WAL_PAGES = 96  # the log goes into the file a few times in this run, as it does in a long one
    clock = ScriptedClock(BEGIN_MS)
    with sabotage(), clock.installed(), drawn_from(7), open_desk(place / "collector", clock) as desk:
        run = _Run(place, clock, desk, snapshots)
        for step in plan.steps:
            run.take(step)


class Killer:
    """
    Runs the plan again and again, killed before one call each time.

    A process with everything imported and the recorder loaded, but switched off, forks for each run and switches it
    on in the child: that takes a tenth of the time of a new process.

    Args:
        command: of the process that forks; its module calls ``serve``.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        loaded = {"LD_PRELOAD": str(library()), "PYTHONPATH": str(INSIDE)}
        plain = {name: text for name, text in os.environ.items() if not name.startswith("EDGE_FAULT_")}
        self._server = subprocess.Popen(
            command or _start("serve(['', 'whole', 'none'])"),
            env=plain | loaded,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def kill(self, place: Path, *, at: int) -> tuple[str, ...]:
        """
        Run the plan on the site in *place*, killed before call *at*, and return the marks it made.

        Raises:
            RuntimeError: the run did not end by that kill.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        root = (place / "state").resolve()
        with tempfile.TemporaryDirectory(prefix="edge-fault-") as scratch:
            log = Path(scratch) / "calls.log"
            write_head(log)
            self._server.stdin.write(f"{place}\t{root}\t{log}\t{at}\n")
            self._server.stdin.flush()
            answer = self._server.stdout.readline().strip()
            if answer != str(-9):
                raise RuntimeError(f"the run to be killed before call {at} ended with {answer or 'its server'}")
            return tuple(call.octets.decode() for call in read_calls(log, root) if call.kind is Kind.MARK)

    def close(self) -> None:
        """
        End the server.
        """
        self._server.communicate()


def serve(arguments: list[str], run: Callable[[list[str]], None] | None = None) -> None:
    """
    Fork for each line of the standard input, run a plan in the child, and answer with how it ended.

    Args:
        arguments: of the plan, after the place.
        run: what runs the plan, ``main`` of this module where left out.
    """
    for line in sys.stdin:
        place, folder, log, kill_at = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            os.environ |= {"EDGE_FAULT_DIR": folder, "EDGE_FAULT_LOG": log, "EDGE_FAULT_KILL_AT": kill_at}
            ctypes.CDLL(None).edge_fault_start()
            (run or main)([place, *arguments])
            return  # what is still open is closed on the way out, as in a run of its own
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


class _Run:
    """
    One run of the plan.
    """

    def __init__(self, place: Path, clock: ScriptedClock, desk: Desk, snapshots: Path | None) -> None:
        self._place = place
        self._clock = clock
        self._desk = desk
        self._snapshots = snapshots
        self._changes = 0
        self._recorded = 0
        self._awaited = ""
        self._site: opening.Site | None = None
        self._collector_changed()

    def take(self, step: Step) -> None:
        """
        Do one step at its time.
        """
        if step.do is not Do.RECORD:
            self._clock.wall_ms = step.at_ms
            self._mark("now")
        match step.do:
            case Do.OPEN:
                self._clock.reboot(0)
                self._site, _ = opening.open_site(config_for(self._place, self._place / "state"))
                self._mark("opened")
            case Do.RECORD:
                self._record(step)
            case Do.SEND:
                send(self._open, self._desk, most=step.most, stored=self._collector_changed)
                self._hear()
            case Do.WITHDRAW | Do.GRANT:
                self._consent(step.do)
            case Do.STOP:
                self._open.line.finish(self._open.clock.now())
                self._open.close()
                self._mark(f"flushed {self._recorded}")
                self._mark("stopped")
            case _:
                how = {"flush": step.do is Do.FLUSH, "close": step.do is Do.CLOSE}
                self._open.line.step(self._open.clock.now(), **how)
                if step.do is not Do.STEP:
                    self._mark(f"flushed {self._recorded}")

    @property
    def _open(self) -> opening.Site:
        assert self._site is not None
        return self._site

    def _record(self, step: Step) -> None:
        self._clock.wall_ms = step.from_ms
        self._mark("now")
        self._open.line.step(self._open.clock.now())  # as the writer does every second
        self._recorded = step.readings[-1].number + 1
        self._mark(f"recorded {self._recorded}")
        for reading in step.readings:
            self._clock.wall_ms = max(self._clock.wall_ms, reading.at_ms)
            self._open.line.recording.record(reading.kind, reading.fields, reading.at_ms)
        self._clock.wall_ms = step.at_ms

    def _consent(self, do: Do) -> None:
        generation = self._open.line.rooms.vault.ring.generation.id
        withdraws = do is Do.WITHDRAW
        self._awaited = "withdrawn" if withdraws else "granted"
        self._mark(f"{'withdrawing' if withdraws else 'granting'} {self._recorded}")
        status = Status.WITHDRAWN if withdraws else Status.GIVEN
        collecting.grant(self._place / "collector", generation, "research", status=status, now_s=self._clock.now_s)
        self._collector_changed()

    def _hear(self) -> None:
        """
        Say when a change of consent has arrived: the receipt of a batch announced it, the downlink told it.
        """
        collects = self._open.line.binding.decisions["research"].collect is not None
        if self._awaited and collects == (self._awaited == "granted"):
            self._mark(f"{self._awaited} {self._recorded}")
            self._awaited = ""

    def _collector_changed(self) -> None:
        self._changes += 1
        if self._snapshots is not None:
            shutil.copytree(self._place / "collector", self._snapshots / str(self._changes))
        self._mark(f"collector {self._changes}")

    def _mark(self, promise: str) -> None:
        from fault_mark import mark  # type: ignore[import-not-found]  # the recorder puts it on the path

        mark(f"{promise} @ {self._clock.wall_ms}")
