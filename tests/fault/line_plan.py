"""
What the recorded run does: a fixed list of steps, and every reading in it by value.

Owns the plan. Pure, so the script that runs it and the check that judges what is left of it read the same one. A
reading's ``number`` names it in the pass-through purposes; its ``bit`` is a power of two of its own within its
kind and window, so that the sum a window reports says exactly which readings are in it, each once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from tests.fault.line_site import BEGIN_MS, METER, SERIALS, WINDOW_MS

DAY_MS: Final = 86_400_000
AFTER: Final = 100_000  # numbers of readings recorded after the restart begin here


class Do(Enum):
    """
    Name one step.
    """

    OPEN = "open"
    RECORD = "record"
    STEP = "step"
    FLUSH = "flush"
    CLOSE = "close"  # step(close=True)
    SEND = "send"
    WITHDRAW = "withdraw"
    GRANT = "grant"
    WITHDRAW_HERE = "withdraw here"  # on the device
    ADOPT = "adopt"  # the collector takes the next edition of the policy, and grants what needs no consent
    EDIT = "edit"  # the device's policy.toml becomes that edition
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Reading:
    """
    One reading; ``late`` where its window is closed already.
    """

    number: int
    kind: str
    serial: str
    at_ms: int
    bit: int
    late: bool = False

    @property
    def window(self) -> tuple[str, int]:
        return self.kind, self.at_ms // WINDOW_MS * WINDOW_MS

    @property
    def fields(self) -> dict[str, Any]:
        plain = {"serial": self.serial, "number": self.number, "bit": self.bit}
        return plain if self.kind == "meter" else {**plain, "power": self.power_tenths / 10}

    @property
    def power_tenths(self) -> int:
        return (self.number * 37) % 9000 - 450


@dataclass(frozen=True, slots=True)
class Step:
    """
    One step at a moment; ``most`` trips of a SEND; ``readings`` of a RECORD, which begins at ``from_ms``.
    """

    do: Do
    at_ms: int
    from_ms: int
    most: int = 0
    readings: tuple[Reading, ...] = ()


class Plan:
    """
    The steps, built one after the other on a clock of their own.
    """

    def __init__(self, *, at_ms: int = BEGIN_MS, first: int = 0, first_bit: int = 0) -> None:
        self.steps: list[Step] = []
        self.at_ms = at_ms
        self._number = first
        self._first_bit = first_bit
        self._bits: Counter[tuple[str, int]] = Counter()

    @property
    def readings(self) -> list[Reading]:
        return [reading for step in self.steps for reading in step.readings]

    def wait(self, ms: int) -> None:
        self.at_ms += ms

    def do(self, do: Do, most: int = 1000) -> None:
        self.wait(500)
        self.steps.append(Step(do, self.at_ms, self.at_ms, most))

    def record(self, count: int, *, every_ms: int = 10_000, late_ms: int = 0) -> None:
        """
        Record *count* readings: of five, four by the two inverters in turn and one by the meter.
        """
        made, from_ms = list[Reading](), self.at_ms + every_ms - 1000
        for _ in range(count):
            self.wait(every_ms)
            kind = "meter" if self._number % 5 == 4 and not late_ms else "inverter"
            serial = METER if kind == "meter" else SERIALS[self._number % 2]
            at_ms = self.at_ms - late_ms
            window = (kind, at_ms // WINDOW_MS * WINDOW_MS)
            bit = 0 if late_ms else 1 << self._first_bit + self._bits[window]
            self._bits[window] += not late_ms
            made.append(Reading(self._number, kind, serial, at_ms, bit, late=bool(late_ms)))
            self._number += 1
        self.steps.append(Step(Do.RECORD, self.at_ms, from_ms, readings=tuple(made)))

    def kept(self, count: int, **how: int) -> None:
        """
        Record and flush.
        """
        self.record(count, **how)
        self.do(Do.FLUSH)


def whole_run() -> Plan:
    """
    Return the run that every call and every state is tried of.
    """
    plan = Plan()
    plan.do(Do.OPEN)
    plan.do(Do.SEND)
    plan.kept(4)
    plan.kept(5)
    plan.record(9)  # beyond max_rows: sealed by the next step, flushed or not
    plan.do(Do.STEP)
    plan.kept(2)
    plan.do(Do.SEND)
    _offline(plan)
    _consent(plan)
    plan.kept(3)
    plan.do(Do.STOP)
    plan.wait(600_000)
    plan.do(Do.OPEN)
    plan.kept(4)
    plan.do(Do.SEND)
    _midnight(plan)
    plan.do(Do.SEND, 3)
    plan.kept(3)
    plan.record(2)
    plan.do(Do.STEP)
    return plan


def short_run() -> Plan:
    """
    Return a run for trying out ways to forget: one that never syncs has more states the longer it is.
    """
    plan = Plan()
    plan.do(Do.OPEN)
    plan.do(Do.SEND)
    plan.kept(4)
    plan.record(9)
    plan.do(Do.STEP)
    for _ in range(2):
        plan.wait(WINDOW_MS)
        plan.kept(2)
    plan.do(Do.CLOSE)  # of the windows one is closed, and others are open and flushed
    plan.kept(3)
    plan.do(Do.SEND)
    plan.record(3)
    plan.do(Do.STOP)
    plan.do(Do.OPEN)
    plan.kept(2)
    plan.record(2)
    plan.do(Do.STEP)
    return plan


def withdrawal_run() -> Plan:
    """
    Return a run in which research is withdrawn on the device: batches, rows and windows of it wait.
    """
    plan = _begun()
    plan.do(Do.WITHDRAW_HERE)
    plan.kept(2)
    plan.do(Do.SEND)  # the authority is told
    plan.kept(2)
    return plan


def replacement_run() -> Plan:
    """
    Return a run in which the pseudonyms' keys are destroyed, and the root key with each of them, at midnight.
    """
    plan = _begun()
    _midnight(plan)
    plan.wait(2 * 3_600_000)  # the statement is as old as the site, and the floor lags by as much
    plan.do(Do.STEP)
    plan.kept(4)
    return plan


def policy_run() -> Plan:
    """
    Return a run that goes over to the next edition of the policy at its second start.
    """
    plan = _begun()
    plan.do(Do.ADOPT)
    plan.do(Do.CLOSE)
    plan.do(Do.SEND)  # the receipt of the batch announces another statement
    plan.do(Do.STOP)
    plan.do(Do.EDIT)
    plan.do(Do.OPEN)
    plan.kept(3)
    plan.do(Do.SEND)
    plan.kept(2)
    return plan


def _begun() -> Plan:
    plan = Plan()
    plan.do(Do.OPEN)
    plan.do(Do.SEND)
    plan.kept(4)
    plan.wait(WINDOW_MS)
    plan.record(3)
    plan.do(Do.CLOSE)  # of the windows some are closed, and others are open and flushed
    plan.kept(3)
    return plan


def _offline(plan: Plan) -> None:
    """
    More than the quota holds, and windows that fill and close meanwhile.
    """
    for _ in range(7):
        plan.kept(7)
        plan.kept(6, every_ms=20_000)
    plan.wait(3 * WINDOW_MS)
    plan.do(Do.STEP)  # windows of silent sources close
    plan.kept(2)
    plan.kept(2, late_ms=6 * WINDOW_MS)
    plan.do(Do.CLOSE)
    plan.do(Do.SEND, 3)
    plan.kept(3)
    plan.do(Do.SEND)


def _consent(plan: Plan) -> None:
    """
    Consent to research is withdrawn while some of it waits, and given again.
    """
    for _ in range(2):
        plan.wait(WINDOW_MS)
        plan.kept(3)
    plan.do(Do.CLOSE)  # of the windows some are closed, and others are open and flushed
    plan.kept(2)
    plan.do(Do.WITHDRAW)
    plan.do(Do.SEND)
    plan.kept(3)
    plan.do(Do.CLOSE)
    plan.do(Do.GRANT)
    plan.do(Do.SEND)
    plan.kept(4)


def _midnight(plan: Plan) -> None:
    """
    The period of the pseudonyms ends between two readings.
    """
    midnight_ms = plan.at_ms // DAY_MS * DAY_MS + DAY_MS
    plan.at_ms = midnight_ms - 90_000
    plan.kept(4)
    plan.record(2)
    plan.wait(1_200_000)  # the floor, by which periods end, lags behind the wall
    plan.do(Do.STEP)
    plan.kept(4)


def after_restart(at_ms: int) -> Plan:
    """
    Return what is recorded after a restart at *at_ms*, to see that the line goes on.
    """
    plan = Plan(at_ms=at_ms, first=AFTER, first_bit=32)
    plan.kept(5)
    return plan


RUNS: Final[dict[str, Plan]] = {
    "whole": whole_run(),
    "short": short_run(),
    "withdrawal": withdrawal_run(),
    "replacement": replacement_run(),
    "policy": policy_run(),
}
