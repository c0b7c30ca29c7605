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
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final, Protocol

from edge_sdk import opening, outbox
from edge_sdk.collector import folder as collecting
from edge_sdk.core.claims import Status
from edge_sdk.core.policy import purpose_digest
from edge_sdk.errors import StorageError
from edge_sdk.policy_file import load_policy
from tests.fault.calllog import Kind, read_calls, write_head
from tests.fault.line_plan import RUNS, Do, Step
from tests.fault.line_sabotage import DEAF, SABOTAGE
from tests.fault.line_site import BEGIN_MS, NEXT_POLICY, Desk, ScriptedClock, config_for, drawn_from, open_desk, send
from tests.fault.recorder import INSIDE, Fault, library, switches

STARTS: Final = 3
WELL_AFTER: Final = 8  # flushes
_ROOT: Final = Path(__file__).resolve().parents[2]
# Appended, not prepended: where the package is installed, the installed one is what is tested.
_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from tests.fault import line_script; line_script.{}"


def program(place: Path, *, snapshots: Path | None = None, run: str = "whole", sabotage: str = "none") -> list[str]:
    """
    Return the command that runs a plan on the site in *place*, whose folder ``state`` is recorded.

    Args:
        snapshots: where a copy of the collector is kept at each of its changes, for the power-cut states.
        run: a key of ``line_plan.RUNS``.
        sabotage: a key of ``line_sabotage.SABOTAGE`` or ``DEAF``.
    """
    return [*_start("main(sys.argv[2:])"), str(place), str(snapshots or ""), run, sabotage]


def _start(what: str) -> list[str]:
    return [sys.executable, "-B", "-c", _BOOT.format(what), str(_ROOT)]


def main(arguments: list[str], *, is_stubborn: bool = False) -> None:
    """
    Run the plan; a stubborn run goes on where the medium refuses, as a gateway does.
    """
    place, snapshots = Path(arguments[0]), Path(arguments[1]) if arguments[1] else None
    plan, sabotage = RUNS[arguments[2]], (SABOTAGE | DEAF)[arguments[3]]
    outbox._WAL_PAGES = 96  # the log goes into the file a few times in this run, as it does in a long one
    clock = ScriptedClock(BEGIN_MS)
    with sabotage(), clock.installed(), drawn_from(7), open_desk(place / "collector", clock) as desk:
        run = _Run(place, clock, desk, snapshots, is_stubborn=is_stubborn)
        for step in plan.steps:
            run.take(step)
        if is_stubborn:
            run.recover()


class Killer:
    """
    Runs the plan again and again, killed before one call each time.

    A process with everything imported and the recorder loaded, but switched off, forks for each run and switches it
    on in the child: that takes a tenth of the time of a new process.

    Args:
        command: of the process that forks; its module calls ``serve``.
    """

    def __init__(self, command: Sequence[str]) -> None:
        loaded = {"LD_PRELOAD": str(library()), "PYTHONPATH": str(INSIDE)}
        plain = {name: text for name, text in os.environ.items() if not name.startswith("EDGE_FAULT_")}
        self._server = subprocess.Popen(
            command,
            env=plain | loaded,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        Finalize(self, self.close, exitpriority=1)  # so that what it took is counted with the worker that has it

    def kill(self, place: Path, *, at: int) -> tuple[str, ...]:
        """
        Run the plan on the site in *place*, killed before call *at*, and return the marks it made.

        Raises:
            RuntimeError: the run did not end by that kill.
        """
        ended, marks = self._run(place, Fault(kill_at=at), is_stubborn=False)
        if ended != str(-9):
            raise RuntimeError(f"the run to be killed before call {at} ended with {ended}")
        return marks

    def refuse(self, place: Path, fault: Fault) -> tuple[str, ...]:
        """
        Run the plan on the site in *place* while its medium refuses calls, and return the marks it made.

        Raises:
            AssertionError: the run ended on an error that no gateway may end on.
        """
        ended, marks = self._run(place, fault, is_stubborn=True)
        assert ended == "0", f"the run ended on {ended}"
        return marks

    def _run(self, place: Path, fault: Fault, *, is_stubborn: bool) -> tuple[str, tuple[str, ...]]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        root = (place / "state").resolve()
        with tempfile.TemporaryDirectory(prefix="edge-fault-") as scratch:
            log = Path(scratch) / "calls.log"
            write_head(log)
            order = {"place": str(place), "switches": switches(root, log, fault), "stubborn": is_stubborn}
            self._server.stdin.write(json.dumps(order) + "\n")
            self._server.stdin.flush()
            ended = json.loads(self._server.stdout.readline() or '"its server"')
            return ended, tuple(call.octets.decode() for call in read_calls(log, root) if call.kind is Kind.MARK)

    def close(self) -> None:
        """
        End the server.
        """
        self._server.communicate()


class Runs(Protocol):
    """
    Runs the plan of the site in a place; ``is_stubborn`` goes on where a step fails.
    """

    def __call__(self, place: str, *, is_stubborn: bool) -> None:
        """
        Run it to its end.
        """
        ...


def line(run: str = "whole", sabotage: str = "none") -> Runs:
    """
    Return what runs a plan of a line.
    """

    def runs(place: str, *, is_stubborn: bool) -> None:
        main([place, "", run, sabotage], is_stubborn=is_stubborn)

    return runs


def killer(*, run: str = "whole", sabotage: str = "none") -> Killer:
    """
    Return a Killer of a plan of a line: a key of ``line_plan.RUNS``, and of ``SABOTAGE`` or ``DEAF``.
    """
    return Killer(_start(f"serve(line_script.line({run!r}, {sabotage!r}))"))


def serve(run: Runs) -> None:
    """
    Fork for each line of the standard input, call *run* in the child, and answer with how it ended.
    """
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.environ |= order["switches"]
            ctypes.CDLL(None).edge_fault_start()
            try:
                run(order["place"], is_stubborn=order["stubborn"])
            except BaseException:
                os.write(writing, traceback.format_exc(limit=-6).encode()[-3000:])
                raise
            return  # what is still open is closed on the way out, as in a run of its own
        os.close(writing)
        with open(reading, "rb") as pipe:
            why = pipe.read().decode()
        _, status = os.waitpid(child, 0)
        print(json.dumps(why or str(os.waitstatus_to_exitcode(status))), flush=True)


class _Run:
    """
    One run of the plan.
    """

    def __init__(
        self, place: Path, clock: ScriptedClock, desk: Desk, snapshots: Path | None, *, is_stubborn: bool
    ) -> None:
        self._place = place
        self._clock = clock
        self._desk = desk
        self._snapshots = snapshots
        self._is_stubborn = is_stubborn
        self._is_down = False
        self._changes = 0
        self._recorded = 0
        self._awaited = ""
        self._is_denied = False  # on the device, by a withdrawal that the medium refused
        self._grant_before = b""  # of what was withdrawn
        self._site: opening.Site | None = None
        self._collector_changed()

    def take(self, step: Step) -> None:
        """
        Do one step at its time.
        """
        if self._is_down:
            return
        if step.do is not Do.RECORD:
            self._clock.wall_ms = step.at_ms
            self._mark("now")
        match step.do:
            case Do.OPEN:
                self._clock.reboot(0)
                self._start()
            case Do.RECORD:
                self._record(step)
            case Do.SEND:
                send(self._open, self._desk, most=step.most, stored=self._collector_changed)
                self._hear()
            case Do.WITHDRAW | Do.GRANT:
                self._consent(step.do)
            case Do.WITHDRAW_HERE | Do.ADOPT | Do.EDIT:
                self._act(step.do)
            case Do.STOP:
                is_kept = self._keeps(lambda: self._open.line.finish(self._open.clock.now()))
                self._open.close()
                self._mark("stopped" if is_kept else f"unkept {self._recorded}")
            case Do.STEP:
                self._open.line.step(self._open.clock.now())
            case _:
                how = {"flush": step.do is Do.FLUSH, "close": step.do is Do.CLOSE}
                self._keeps(lambda: self._open.line.step(self._open.clock.now(), **how))

    def recover(self) -> None:
        """
        Flush until the medium has got well; where it does not in time, nothing more is promised.
        """
        for _ in range(0 if self._is_down else WELL_AFTER):
            self._clock.wall_ms += 60_000
            if self._keeps(lambda: self._open.line.step(self._open.clock.now(), flush=True)):
                for purpose, why in self._closed():
                    self._mark(f"{why} {purpose} {self._recorded} {self._recorded + 1}")
                self._open.line.step(self._open.clock.now())  # by now what was refused is stored as well
                if self._is_denied:
                    self._mark(f"withdrawn {self._recorded}")
                self._mark("well")
                return

    def _start(self) -> None:
        """
        Open the site; a stubborn run tries a few times, as whoever watches over it does.
        """
        for _ in range(STARTS):
            try:
                self._site, _ = opening.open_site(config_for(self._place, self._place / "state"))
            except StorageError as error:
                if not self._is_stubborn or not error.hint:  # somebody has to be told what to do
                    raise
                self._mark("refused")
            else:
                self._mark("opened")
                self._hear()  # what the medium kept although it said otherwise
                return
        self._is_down = True

    def _keeps(self, keep: Callable[[], object]) -> bool:
        """
        Write what is in memory and promise it; return False where the medium refused, which a stubborn run lives with.
        """
        try:
            keep()
        except StorageError:
            if not self._is_stubborn:
                raise
            self._mark("refused")
            return False
        self._mark(f"flushed {self._recorded}")
        return True

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
        for purpose, why in self._closed():
            self._mark(f"{why} {purpose} {step.readings[0].number} {self._recorded}")
        for reading in step.readings:
            self._clock.wall_ms = max(self._clock.wall_ms, reading.at_ms)
            self._open.line.recording.record(reading.kind, reading.fields, reading.at_ms)
        self._clock.wall_ms = step.at_ms

    def _closed(self) -> Iterator[tuple[str, str]]:
        """
        Yield purposes that take no readings now: closed by what was accepted, or kept out by the medium.
        """
        binding = self._open.line.binding
        for name in sorted(binding.policy.purposes.keys() - binding.collecting) if self._is_stubborn else ():
            yield name, "kept_out" if self._grant(name) else "closed"

    def _consent(self, do: Do) -> None:
        generation = self._open.line.rooms.vault.ring.generation.id
        withdraws = do is Do.WITHDRAW
        self._awaited = "withdrawn" if withdraws else "granted"
        self._grant_before = self._grant() if withdraws else self._grant_before
        self._mark(f"{'withdrawing' if withdraws else 'granting'} {self._recorded}")
        status = Status.WITHDRAWN if withdraws else Status.GIVEN
        collecting.grant(self._place / "collector", generation, "research", status=status, now_s=self._clock.now_s)
        self._collector_changed()

    def _act(self, do: Do) -> None:
        if do is Do.WITHDRAW_HERE:
            self._withdraw()
        elif do is Do.EDIT:
            (self._place / "policy.toml").write_text(NEXT_POLICY)
        else:
            edition = load_policy(NEXT_POLICY, where="policy.toml")
            collecting.add_policies(self._place / "collector", [edition], now_s=self._clock.now_s)
            self._collector_changed()

    def _withdraw(self) -> None:
        """
        Withdraw research on the device; a stubborn run asks again where the medium refused.
        """
        self._mark(f"withdrawing {self._recorded}")
        for _ in range(STARTS):
            is_kept = self._keeps(lambda: self._open.line.withdraw("research", self._open.clock.now()))
            assert not self._grant(), "withdrawn, and still in force"
            held = self._open.line.rooms.vault.ring.purposes.values()
            assert not is_kept or "research" not in {entry.purpose for entry in held}, "withdrawn, and its keys there"
            if is_kept:
                self._mark(f"withdrawn {self._recorded}")
                return
            self._clock.wall_ms += 6_000
        self._is_denied = True

    def _hear(self) -> None:
        """
        Say when a change of consent has arrived: the receipt of a batch announced it, the downlink told it.
        """
        grant = self._grant()
        arrived = grant not in (b"", self._grant_before) if self._awaited == "granted" else not grant
        if self._awaited and arrived:
            self._mark(f"{self._awaited} {self._recorded}")
            self._awaited = ""

    def _grant(self, name: str = "research") -> bytes:
        """
        Return the grant of a purpose in what was accepted, whether or not the medium had room for what follows from it.
        """
        line = self._open.line
        purpose = line.binding.policy.purposes[name]
        decision = line.consent.decide_digest(purpose, purpose_digest(purpose), self._open.clock.now())
        return b"" if decision.collect is None else decision.collect.grant_id

    def _collector_changed(self) -> None:
        self._changes += 1
        if self._snapshots is not None:
            shutil.copytree(self._place / "collector", self._snapshots / str(self._changes))
        self._mark(f"collector {self._changes}")

    def _mark(self, promise: str) -> None:
        from fault_mark import mark  # type: ignore[import-not-found]  # the recorder puts it on the path

        mark(f"{promise} @ {self._clock.wall_ms}")
