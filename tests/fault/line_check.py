"""
What must hold of a state folder that a kill or a power cut left: restart, drain, open, compare by value.

Owns the judgement. Takes the folder, the collector as it stood at that moment, and the marks, which say what had
been promised; raises AssertionError where a promise is broken. Messages give numbers of readings, never more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_sdk import opening
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.collector.gaps import StreamGap
from edge_sdk.collector.opener import Opener
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.core.batch import Reason
from edge_sdk.keypage import KeyPage
from tests.fault.line_plan import AFTER, RUNS, Do, Plan, Reading, after_restart
from tests.fault.line_site import BEGIN_MS, METER, SERIALS, ScriptedClock, config_for, open_desk, send

OFF_MS: Final = 20_000
NIGHT_MS: Final = 30 * 3_600_000  # long enough for another period, short enough for the downlinks prepared ahead
CANARIES: Final = tuple(text.encode() for text in (*SERIALS, METER))


@dataclass(slots=True)
class Promised:
    """
    What the marks of a run say.

    Attributes:
        recorded, flushed: readings below may be there; readings below must be.
        collector: how often the collector had changed.
        at: by mark, the number of the next reading when it was made.
        unkept: readings that no flush had promised before a stop that the medium refused.
        closed: by purpose, readings that it did not take: consent closed it, or the medium refused what it needs.
        kept_out: by purpose, up to which reading the medium did, in this run of the gateway.
    """

    recorded: int = 0
    flushed: int = 0
    collector: int = 0
    wall_ms: int = BEGIN_MS
    at: dict[str, int] = field(default_factory=dict)
    unkept: set[int] = field(default_factory=set)
    closed: dict[str, set[int]] = field(default_factory=dict)
    kept_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, marks: Iterable[str]) -> Promised:
        told = cls()
        for mark in marks:
            said, _, wall = mark.partition(" @ ")
            word, _, number = said.partition(" ")
            told.wall_ms = int(wall)
            match word:
                case "recorded":
                    told.recorded = int(number)
                case "flushed":
                    told.flushed = int(number)
                case "collector":
                    told.collector = int(number)
                case "unkept":
                    told.unkept.update(range(told.flushed, int(number)))
                case "closed" | "kept_out":
                    purpose, first, end = number.split()
                    told.closed.setdefault(purpose, set()).update(range(int(first), int(end)))
                    told.kept_out |= {purpose: int(end)} if word == "kept_out" else {}
                case "opened":
                    told.kept_out.clear()
                case _:
                    told.at[word] = int(number or 0)
        return told

    def may_be_researched(self, number: int) -> bool:
        """
        Tell whether consent covered the reading, or may have; after the restart also where it is under way again.
        """
        if number >= AFTER and "granting" in self.at:
            return True
        return not self.at.get("withdrawn", 1 << 40) <= number < self.at.get("granted", 1 << 40)

    def must_be_researched(self, number: int) -> bool:
        """
        Tell whether consent covered the reading and was not withdrawn since.
        """
        if "withdrawing" not in self.at:
            return True
        return "granted" in self.at and number >= self.at["granted"]

    def was_taken(self, purpose: str, number: int) -> bool:
        """
        Tell whether *purpose* was collecting when the reading came.
        """
        return number not in self.closed.get(purpose, ())

    def was_flushed(self, number: int) -> bool:
        """
        Tell whether a flush that came after the reading has returned, in the same run of the gateway.
        """
        return number < self.flushed and number not in self.unkept


@dataclass(slots=True)
class Arrived:
    """
    What the recipients have in the end.
    """

    rows: list[OpenedRow]
    gaps: Sequence[StreamGap]
    purposes: dict[bytes, str]

    def of(self, purpose: str) -> list[OpenedRow]:
        return [row for row in self.rows if row.purpose == purpose]

    def told(self, purpose: str, reason: Reason) -> list[StreamGap]:
        """
        Return the gaps that the streams of *purpose* told with *reason*.
        """
        return [gap for gap in self.gaps if gap.reason is reason and self.purposes.get(gap.stream) == purpose]


def check(
    place: Path, state: Path, collector: Path, marks: Iterable[str], *, point: int, run: str = "whole"
) -> dict[str, int]:
    """
    Restart on *state*, drain to *collector*, and compare.

    Args:
        place: where site.toml is.
        state: the folder that was left; it is used up.
        collector: as it stood; it is used up.
        marks: what was promised.
        point: which call it was; varies how long the power was away, and what is done first.
        run: which plan it was, a key of ``line_plan.RUNS``.

    Returns:
        What became of the readings of the purpose that takes all of them, for the table.
    """
    told = Promised.of(marks)
    _no_canary(state)
    clock = ScriptedClock(told.wall_ms)
    clock.reboot(NIGHT_MS if point % 4 == 3 else OFF_MS)
    later = after_restart(clock.wall_ms)
    known = told.at.keys()
    granted = "withdrawing" not in known or "granting" in known
    is_settled = "withdrawing" not in known or ("granted" in known and "refused" not in known)
    records_first = point % 2 == 0 and is_settled
    with clock.installed():
        purposes, waiting = _drain(place, state, collector, clock, later=later, records_first=records_first)
        arrived = _open_all(collector, purposes)
    _no_canary(state)
    assert not waiting, f"{waiting} batches were still waiting"
    withdrawn = "research" if "withdrawing" in told.at else ""  # a withdrawn stream tells nobody what it gave up
    holes = [(arrived.purposes[gap.stream], gap) for gap in arrived.gaps if gap.reason is None]
    unexplained = [(name, gap.first, gap.last) for name, gap in holes if name != withdrawn]
    assert not unexplained, f"holes nobody explains: {unexplained}"
    readings = {reading.number: reading for reading in [*RUNS[run].readings, *later.readings]}
    _compare_passed("monitoring", arrived, told, readings, granted=True)
    _compare_passed("research", arrived, told, readings, granted=granted)
    _compare_windows(arrived, told, readings)
    if run == "withdrawal" and "withdrawn" in told.at:
        _authority_knows(collector, clock.now_s)
    for purpose, end in told.kept_out.items():  # refused for a while, and taken again in the same run
        if "well" in told.at and end <= told.recorded:
            assert arrived.told(purpose, Reason.DAMAGED), f"{purpose} took no readings for a while, and tells nobody"
    return _counts("monitoring", arrived, told, readings)


def _drain(
    place: Path, state: Path, collector: Path, clock: ScriptedClock, *, later: Plan, records_first: bool
) -> tuple[dict[bytes, str], int]:
    """
    Restart, record a little more, send everything; return purposes by stream, and how many batches are left.
    """
    site, _ = opening.open_site(config_for(place, state))
    purposes = {stream.record.stream_id: stream.record.purpose for stream in site.line.binding.streams.values()}
    try:
        _no_old_keys(site)
        with open_desk(collector, clock) as desk:
            if not records_first:
                send(site, desk, most=1000)
            for step in later.steps:
                clock.wall_ms = step.from_ms
                if step.do is Do.RECORD:
                    site.line.step(site.clock.now())
                    for reading in step.readings:
                        clock.wall_ms = max(clock.wall_ms, reading.at_ms)
                        site.line.recording.record(reading.kind, reading.fields, reading.at_ms)
                else:
                    site.line.step(site.clock.now(), flush=True)
            site.line.step(site.clock.now(), close=True, cut=True)
            send(site, desk, most=1000)
            clock.wall_ms += 1000
            site.line.step(site.clock.now(), close=True, cut=True)  # what a receipt of the first round left to tell
            send(site, desk, most=1000)
        _no_old_keys(site)
        return purposes, sum(map(len, site.line.rooms.outbox.queues.values()))
    finally:
        site.close()


def _open_all(collector: Path, purposes: dict[bytes, str]) -> Arrived:
    """
    Open what the collector has, which must be whole, in order and there once.
    """
    with collecting.open_opener(collector) as opener:
        rows = [row for _, row in opener.rows()]
        assert not opener.forks(), f"{len(opener.forks())} forks"
        assert not opener.repeats(), f"{opener.repeats()} rows came twice"
        assert not opener.set_aside(), f"set aside: {[kept.reason for kept in opener.set_aside()]}"
        return Arrived(rows, opener.gaps(), {**purposes, **purposes_of(opener)})


def purposes_of(opener: Opener) -> dict[bytes, str]:
    """
    Return the purpose of each stream that a batch came of, by the key that was certified for it.
    """
    asked = "SELECT streams.id, certified.purpose FROM streams JOIN certified USING (key)"
    with opener._store._database.read() as connection:
        return dict(connection.execute(asked).fetchall())


def _no_canary(state: Path) -> None:
    for path in state.iterdir():
        octets = path.read_bytes()
        found = sum(octets.count(canary) for canary in CANARIES)
        assert not found, f"{found} raw identifiers in {path.name}"


def _no_old_keys(site: opening.Site) -> None:
    """
    Check that no key in either slot of the page belongs to a batch that is not the open one of its stream.
    """
    page = site.line.rooms.page
    open_batches = {(row, stream.record.batch) for row, stream in site.line.binding.streams.items()}
    for slot in (0, 1):
        _, entries = KeyPage._read(page, slot) or (0, {})
        old = sorted(entries.keys() - open_batches)
        assert not old, f"slot {slot} holds keys of batches that are gone: {old}"


def _authority_knows(collector: Path, now_s: int) -> None:
    """
    Check that the withdrawal on the device has reached whoever keeps the consent.
    """
    operating.hear(collector, now_s=now_s)
    (device,) = collecting.devices(collector)
    assert device.purposes["research"] == "withdrawn", f"to the authority it is {device.purposes['research']}"


def _compare_passed(
    purpose: str, arrived: Arrived, told: Promised, readings: dict[int, Reading], *, granted: bool
) -> None:
    """
    Compare a purpose that has every reading: by value, once, and what is missing told by number.
    """
    rows = arrived.of(purpose)
    came = Counter(int(str(row.scaled["number"])) for row in rows)
    twice = [number for number, count in came.items() if count > 1]
    assert not twice, f"{purpose}: readings {twice} arrived twice"
    research = purpose == "research"
    for row in rows:
        number = int(str(row.scaled["number"]))
        assert number < told.recorded or number >= AFTER, f"{purpose}: reading {number} was never recorded"
        assert not research or told.may_be_researched(number), f"reading {number} without consent"
        _compare_row(row, readings[number], research=research)
    kinds = ("inverter",) if research else ("inverter", "meter")
    of_purpose = [r for r in readings.values() if r.kind in kinds and told.was_taken(purpose, r.number)]
    promised = [r.number for r in of_purpose if told.was_flushed(r.number)]  # and those of after the restart, below
    if research:
        promised = [number for number in promised if told.must_be_researched(number)]
    promised += [r.number for r in of_purpose if r.number >= AFTER] if granted else []
    missing = [number for number in promised if number not in came]
    evicted = _evicted(arrived, purpose)
    in_memory = [r.number for r in of_purpose if r.number < told.recorded and not told.was_flushed(r.number)]
    unflushed = sum(1 for number in in_memory if number not in came)
    if unflushed and (not research or told.must_be_researched(told.flushed)):
        assert arrived.told(purpose, Reason.POWER), f"{purpose}: {unflushed} readings went with the power, untold"
    assert len(missing) <= evicted, f"{purpose}: {len(missing)} flushed readings lost, {evicted} told: {missing[:20]}"
    if not research or "withdrawing" not in told.at:
        assert evicted <= len(missing) + unflushed, f"{purpose}: {evicted} told as evicted, {len(missing)} are missing"


def _compare_row(row: OpenedRow, reading: Reading, *, research: bool) -> None:
    expected: dict[str, Any] = {"number": reading.number}
    if reading.kind == "inverter":
        factor = 100 if research else 10
        expected["power"] = (reading.power_tenths + factor // 2) // factor
        if not research:
            expected["serial"] = reading.serial
    found = {name: row.scaled.get(name) for name in expected}
    assert (row.kind, row.at_ms, found) == (reading.kind, reading.at_ms, expected), f"reading {reading.number} changed"


def _counts(purpose: str, arrived: Arrived, told: Promised, readings: dict[int, Reading]) -> dict[str, int]:
    """
    Return how many readings were recorded, came, and are in a gap record: given up for room, or gone with the power.
    """
    produced = {number for number in readings if number < told.recorded or number >= AFTER}
    came = {int(str(row.scaled["number"])) for row in arrived.of(purpose)}
    gone = produced - came
    in_memory = sum(1 for n in gone if not told.was_flushed(n)) if arrived.told(purpose, Reason.POWER) else 0
    kept_out = sum(1 for n in gone if not told.was_taken(purpose, n))  # and record() said so
    counted = min(len(gone), _evicted(arrived, purpose) + in_memory + kept_out)
    return {
        "produced": len(produced),
        "delivered": len(came),
        "counted": counted,
        "unexplained": len(gone) - counted,
    }


def _evicted(arrived: Arrived, purpose: str) -> int:
    """
    Return how many rows the streams of *purpose* say they gave up for the quota and that did not arrive.
    """
    came = {(row.stream, row.seq) for row in arrived.of(purpose)}
    told = 0
    for gap in arrived.told(purpose, Reason.QUOTA):
        assert gap.last is not None, "a quota gap without its rows"
        told += sum(1 for seq in range(gap.first, gap.last + 1) if (gap.stream, seq) not in came)
    return told


def _compare_windows(arrived: Arrived, told: Promised, readings: dict[int, Reading]) -> None:
    """
    Compare the windowed purpose: the bits in the sums of a window say which readings are in it, each once.
    """
    sums: Counter[tuple[str, int]] = Counter()
    counts: Counter[tuple[str, int]] = Counter()
    for row in arrived.of("statistics"):
        assert row.count is not None
        assert row.length_ms is not None
        sums[row.kind, row.at_ms] += int(str(row.scaled["bit"]))
        counts[row.kind, row.at_ms] += row.count
    must: Counter[tuple[str, int]] = Counter()
    may: Counter[tuple[str, int]] = Counter()
    for reading in readings.values():
        if reading.late or not told.was_taken("statistics", reading.number):
            continue
        must[reading.window] |= reading.bit if told.was_flushed(reading.number) or reading.number >= AFTER else 0
        may[reading.window] |= reading.bit if reading.number < told.recorded or reading.number >= AFTER else 0
    missing = []
    for window in must.keys() | sums.keys():
        found = sums[window]
        assert found.bit_count() == counts[window], f"window {window}: a reading is in it twice"
        missing += [window] if found & must[window] != must[window] else []
        assert found & ~may[window] == 0, f"window {window}: readings that were never recorded"
    evicted = _evicted(arrived, "statistics")
    assert len(missing) <= evicted, f"windows {missing} lack flushed readings, and {evicted} rows are told"
    lost = [window for window in may if window not in missing and may[window] & ~sums[window]]
    if lost:
        assert arrived.told("statistics", Reason.POWER), f"{len(lost)} windows lost readings with the power, untold"
    late = sum(
        1 for r in readings.values() if r.late and told.was_flushed(r.number) and told.was_taken("statistics", r.number)
    )
    counted = sum(gap.count or 0 for gap in arrived.told("statistics", Reason.LATE))
    assert counted >= late, f"{late} late readings, {counted} told"
