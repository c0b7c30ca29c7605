"""
A medium that rots while the power is off: any file of the state folder deleted, cut off, wrong in a bit or a sector.

Either the start is refused with the same words each time, because without that file nothing can be known to be allowed,
or the line goes on: what is recorded from then on arrives, and what was lost is told.
"""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_sdk.collector import folder as collecting
from edge_sdk.core.batch import Reason
from edge_sdk.errors import EdgeError
from tests.fault.line_site import SERIALS, ScriptedClock
from tests.fault.sweep import Counts, Report, sweep
from tests.fault.test_line_damage import Household

Enter = Callable[[str, Report], None]
Hurt = Callable[[bytearray], bytearray]

VITAL = frozenset({"lane.bin", "vault.bin", "root.key", "state.bin"})  # trust, keys, and what the household refused
STARTS = 2
PER_START = 2
SECTOR = 512
PARTS = 4


@dataclass(frozen=True)
class Rot:
    """One file and what becomes of it."""

    name: str
    what: str
    hurt: Hurt | None  # None: deleted

    def befall(self, folder: Path) -> None:
        path = folder / self.name
        if self.hurt is None:
            path.unlink()
        else:
            path.write_bytes(self.hurt(bytearray(path.read_bytes())))

    def __str__(self) -> str:
        return f"{self.name}, {self.what}"


def bit(at: int) -> Hurt:
    def flip(content: bytearray) -> bytearray:
        content[at // 8] ^= 1 << at % 8
        return content

    return flip


def sector(at: int) -> Hurt:
    def zero(content: bytearray) -> bytearray:
        content[at : at + SECTOR] = bytes(len(content[at : at + SECTOR]))
        return content

    return zero


def rots(folder: Path, *, each: int) -> Iterator[Rot]:
    """Yield, for every file, its loss, its cuts, and *each* bits and sectors chosen by its name."""
    for path in sorted(folder.iterdir()):
        size = path.stat().st_size
        yield Rot(path.name, "deleted", None)
        if not size:
            continue
        yield Rot(path.name, "emptied", lambda _: bytearray())
        yield Rot(path.name, "cut in half", lambda content: content[: len(content) // 2])
        chance = random.Random(path.name)
        for _ in range(each):
            at = chance.randrange(size * 8)
            yield Rot(path.name, f"bit {at % 8} of byte {at // 8} flipped", bit(at))
            at = chance.randrange((size + SECTOR - 1) // SECTOR) * SECTOR
            yield Rot(path.name, f"sector at {at} zeroed", sector(at))


class Before:
    """A site that stopped without warning: some rows delivered, some sealed, some journalled, windows open."""

    def __init__(self, place: Path) -> None:
        self.household = Household(place)
        with self.household.opened() as (site, desk):
            self.household.record(site, 4)
            self.household.drain(site, desk)
            self.household.record(site, 5)
            self.household.clock.wall_ms += 1000
            site.line.step(site.clock.now(), close=True)
            self.household.record(site, 3)
            self.household.record(site, 2)
        self.numbers = {reading.number for reading in self.household.plan.readings}

    def copied(self, place: Path) -> Household:
        """Return a copy to work with, a minute later."""
        shutil.copytree(self.household.place, place)
        copied = Household.__new__(Household)
        copied.place, copied.plan = place, copy.deepcopy(self.household.plan)
        copied.clock = ScriptedClock(self.household.clock.wall_ms + 60_000)
        return copied


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Before:
    return Before(tmp_path_factory.mktemp("rot") / "household")


def start(household: Household) -> str:
    """Start, record, deliver, stop without warning; return what it was refused with."""
    try:
        with household.opened() as (site, desk):
            household.clock.wall_ms += 60_000
            household.record(site, PER_START)
            household.drain(site, desk)
    except EdgeError as error:
        return f"{error} ({error.hint})" if error.hint else "refused, and nobody is told what to do"
    return ""


def survived(before: Before, rot: Rot, scratch: Path) -> Counts:
    household = before.copied(scratch / "household")
    rot.befall(household.place / "state")
    refused = [start(household) for _ in range(STARTS)]
    came = household.came()
    assert len(came) == len(set(came)), "something was delivered twice"
    for path in (household.place / "state").iterdir():
        assert not any(serial.encode() in path.read_bytes() for serial in SERIALS), path.name
    if any(refused):
        assert rot.name in VITAL, refused
        assert all(words.endswith(")") for words in refused), refused
        assert len(set(refused)) == 1, refused
        return {"produced": len(before.numbers), "delivered": len(came), "counted": len(before.numbers) - len(came)}
    recorded = {reading.number for reading in household.plan.readings}
    missing = recorded - set(came)
    assert missing <= before.numbers, "the line does not go on"
    gaps = collecting.opener_report(household.place / "collector").gaps
    assert not [gap for gap in gaps if gap.reason is None], "a hole that nobody explains"
    if missing:
        assert household.told(Reason.DAMAGED), f"{len(missing)} readings are lost, and nobody is told"
    return {"produced": len(recorded), "delivered": len(came), "counted": len(missing)}


def swept(before: Before, *, each: int, every: int = 1, first: int = 0) -> Report:
    def chosen() -> Iterator[Rot]:
        found = list(rots(before.household.place / "state", each=each))
        return iter(found[first::every])

    return sweep(chosen, lambda rot, scratch: survived(before, rot, scratch))


def test_a_rotten_file_is_refused_for_good_or_costs_what_is_told(before: Before, entered: Enter) -> None:
    report = swept(before, each=1)
    entered("a file rots (sample)", report)
    assert not report.violations, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_any_rotten_file_is_refused_for_good_or_costs_what_is_told(before: Before, entered: Enter, part: int) -> None:
    report = swept(before, each=60, every=PARTS, first=part)
    entered("a file rots", report)
    assert not report.violations, str(report)


def test_a_queue_that_is_gone_is_told_once_however_often_the_start_is_cut_off(before: Before, tmp_path: Path) -> None:
    household = before.copied(tmp_path / "household")
    (household.place / "state" / "outbox.db").write_bytes(b"no database" * 100)
    for _ in range(3):
        with household.opened():
            pass
    with household.opened() as (site, desk):
        household.record(site, 1)
        household.drain(site, desk)
        assert site.line.recording.totals()["queues_lost"] == 1
    assert household.told(Reason.DAMAGED) == [None, None, None]


def test_a_first_start_has_lost_nothing(tmp_path: Path) -> None:
    household = Household(tmp_path / "household")
    with household.opened() as (site, desk):
        household.record(site, 1)
        household.drain(site, desk)
    assert household.told(Reason.DAMAGED) == []
