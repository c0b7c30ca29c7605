"""
A medium that refuses: any one call of a running line fails, or all for a while, or all from then on.

A gateway goes on where it can and says so where it cannot: a flush that is not kept raises, a start that is refused
says what to do, nothing else raises. Once the medium is well, in the same process or at the next start, the line goes
on; what a flush returned for arrives once, and what is lost is told.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fault.calllog import Kind
from tests.fault.line_check import check
from tests.fault.line_script import Killer, killer
from tests.fault.recorder import Fault, missing
from tests.fault.sweep import Counts, Report, stride, sweep
from tests.fault.test_line import Recorded, run_once

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

Enter = Callable[[str, Report], None]
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
ALWAYS = 1 << 30
LENGTHS = (1, 24, ALWAYS)


WAYS = [(error, count) for count in LENGTHS for error in ERRORS]
STORE_CALLS = 6  # create, chmod, write, fsync, rename, fsync of the folder
PARTS = 4
EVERY = stride(4)  # each fourth call, with one of the ways in turn; FULL=1 tries each call in each way


@dataclass(frozen=True)
class Refusal:
    """One call that fails, with what, and how many in all; ``names``: only calls that need an inode."""

    call: int
    error: int
    count: int
    names: bool = False

    @property
    def fault(self) -> Fault:
        return Fault(fail_at=self.call, fail_errno=self.error, fail_count=self.count, fail_names=self.names)

    def __str__(self) -> str:
        length = {1: "once", ALWAYS: "from then on"}.get(self.count, f"for {self.count} calls")
        return f"{errno.errorcode[self.error]} at call {self.call}, {length}" + " (names)" * self.names


def survived(good: Recorded, refusal: Refusal, killer: Killer, scratch: Path) -> Counts:
    place = shutil.copytree(good.place, scratch / "site")
    marks = killer.refuse(place, refusal.fault)
    if refusal.count < ALWAYS:
        assert any(mark.startswith(("well", "refused")) for mark in marks), "nothing was kept, nobody was told"
    return check(place, place / "state", place / "collector", marks, point=refusal.call, run=good.run)


def swept(good: Recorded, refusals: Callable[[], Iterator[Refusal]]) -> Report:
    killers: list[Killer] = []

    def survives(refusal: Refusal, scratch: Path) -> Counts:
        if not killers:
            killers.append(killer(run=good.run))
        return survived(good, refusal, killers[0], scratch)

    return sweep(refusals, survives)


def in_turn(good: Recorded, *, every: int, first: int = 0) -> Iterator[Refusal]:
    """Yield every so-many-th call, from number *first* on, each with the next of the ways to fail."""
    for number, call in enumerate(range(1 + first, good.recording.run.calls + 1, every)):
        yield Refusal(call, *WAYS[(number + first) % len(WAYS)])


def in_all_ways(good: Recorded, *, every: int, first: int = 0) -> Iterator[Refusal]:
    for call in range(1 + first, good.recording.run.calls + 1, every):
        yield from (Refusal(call, error, count) for error, count in WAYS)


def without_inodes(good: Recorded, *, every: int) -> Iterator[Refusal]:
    """Yield every so-many-th call that makes a name: from there on none can be made, or none for a while."""
    counted = [call for call in good.recording.calls if call.counted]
    made = [number for number, call in enumerate(counted, 1) if call.kind in (Kind.CREATE, Kind.MKDIR)]
    for turn, number in enumerate(made[::every]):
        yield Refusal(number, errno.ENOSPC, ALWAYS if turn % 2 else 60, names=True)


def where_state_is_stored(good: Recorded, *, every: int) -> Iterator[Refusal]:
    """Yield every so-many-th of the calls that store what was accepted, each with the next of the errors, once."""
    counted = [call.text for call in good.recording.calls if call.counted]
    begun = [number for number, text in enumerate(counted, 1) if "create state.bin.new" in text]
    stored = [number for first in begun for number in range(first, first + STORE_CALLS)]
    for turn, number in enumerate(stored[::every]):
        yield Refusal(number, ERRORS[turn % len(ERRORS)], 1)


def a_write_of_the_queue(good: Recorded) -> int:
    """Return the first call that writes to the database after the tenth flush, when batches wait in the queue."""
    flushes, number = 0, 0
    for call in good.recording.calls:
        number += call.counted
        flushes += call.kind is Kind.MARK and call.octets.startswith(b"flushed")
        if flushes >= 10 and call.counted and call.text.startswith("write outbox.db-wal"):
            return number
    raise AssertionError("no such call")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return run_once(tmp_path_factory.mktemp("line"))


def test_a_refused_call_in_the_sample_costs_nothing_that_was_promised(good: Recorded, entered: Enter) -> None:
    report = swept(good, lambda: in_turn(good, every=211))
    entered("line, medium refuses (sample)", report)
    assert not report.violations, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_refused_call_costs_anything_that_was_promised(good: Recorded, entered: Enter, part: int) -> None:
    tried = in_all_ways if EVERY == 1 else in_turn
    report = swept(good, lambda: tried(good, every=PARTS * EVERY, first=part * EVERY))
    entered("line, medium refuses", report)
    assert not report.violations, str(report)
    assert report.checked > 1200 // PARTS // EVERY


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_no_lack_of_inodes_costs_anything_that_was_promised(good: Recorded, entered: Enter, every: int) -> None:
    report = swept(good, lambda: without_inodes(good, every=every))
    entered("line, no inodes left" + (" (sample)" if every > 1 else ""), report)
    assert report.checked
    assert not report.violations, str(report)


@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_nothing_is_collected_on_a_word_that_was_not_stored(good: Recorded, entered: Enter, every: int) -> None:
    report = swept(good, lambda: where_state_is_stored(good, every=every))
    entered("line, state refused" + (" (sample)" if every > 1 else ""), report)
    assert report.checked
    assert not report.violations, str(report)


@pytest.mark.parametrize(("error", "is_kept"), [(errno.EDQUOT, True), (errno.EIO, False)])
def test_a_quota_of_the_file_system_gets_room_made_and_an_error_of_the_medium_does_not(
    good: Recorded, tmp_path: Path, error: int, is_kept: bool
) -> None:
    refusal = Refusal(a_write_of_the_queue(good), error, 2)  # the write, and the file that asks what it was
    place = shutil.copytree(good.place, tmp_path / "site")
    deaf = killer()
    marks = deaf.refuse(place, refusal.fault)
    deaf.close()
    assert is_kept is not any(mark.startswith("refused") for mark in marks)
    check(place, place / "state", place / "collector", marks, point=refusal.call)
