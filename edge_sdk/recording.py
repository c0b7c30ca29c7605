"""
Where readings enter: one lock, compiled minimisers, bounded memory.

:meth:`Recording.record` runs in the caller's thread, checks the reading, appends rows to memory and returns; it
touches no file and no network. A reading without a time of its own gets one from the monotonic clock, placed where
the writer last saw the wall (:meth:`Recording.turn`), so that a clock set in between moves no row. The writer collects
with :meth:`harvest`. When the writer falls behind, readings beyond the room are dropped and counted, and the loss is
told as a gap. What a reading said is never in a message.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from edge_sdk import clock
from edge_sdk.clock import Now
from edge_sdk.core.batch import ClockQuality, Reason
from edge_sdk.core.compile import ByColumn, Minimiser, Outlet, Tally, compile_columns, compile_kind, forget_sources
from edge_sdk.core.consent import CollectGrant
from edge_sdk.core.policy import Kind, Policy
from edge_sdk.core.reading import AHEAD_MS, EARLIEST_MS, Mono
from edge_sdk.errors import BadInput
from edge_sdk.marks import Marks

FEW: Final = 4  # readings that cost less one by one
MANY: Final = 512  # readings taken in one go: the lock is held meanwhile, and let go between
_LEAST_NAMES: Final = 2  # so that what an itemgetter returns is a tuple
_TALLY_REASONS: Final = {"invalid_readings": Reason.INVALID, "too_many_sources": Reason.INVALID}


class Recording:
    """
    The entry of one site.

    Args:
        room: readings held in memory for the writer, at most.
        wake_after: readings after which the writer is woken early, where rows wait that were made of them.
        wake: called, from the recording thread, when that is so.
    """

    def __init__(self, *, room: int, wake_after: int, wake: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self.counts: Counter[str] = Counter()
        self.marks = Marks()
        self._room = room
        self._given = room
        self._left = room
        self._wake_after = wake_after
        self._wake_at = room - wake_after  # how many are left when the writer is woken
        self._wake = wake
        self._latest_ms = 0
        self._minimisers: dict[str, Minimiser] = {}
        self._by_column: dict[str, ByColumn] = {}
        self._bound: tuple[Mapping[str, Kind], Mapping[str, Sequence[Outlet]]] = {}, {}
        self._declared: frozenset[str] = frozenset()
        self._tallies: dict[str, Tally] = {}
        self._losses: Counter[tuple[str, Reason]] = Counter()
        self._allowed: frozenset[tuple[str, str]] = frozenset()
        self._is_shut = False
        self._is_ahead = False
        self._is_unseen_lost = False
        self._now = Now(0, 0, 0)

    def record(self, kind: str, fields: Mapping[str, Any], at: int | Mono | None = None) -> int:
        """
        Minimise one reading for every purpose that may collect it.

        Args:
            at: when it was measured: Unix milliseconds, or on the monotonic clock; None for now.

        Returns:
            How many purposes took it; 0 when it was dropped, which is counted by reason.

        Raises:
            TypeError: *fields* is no mapping, or *at* no int: a programmer's mistake, whatever the reading says.
        """
        if type(fields) is not dict and not isinstance(fields, Mapping):
            raise TypeError(f"fields is a mapping of names to values, not {type(fields).__name__}")
        at_own = at.ms if type(at) is Mono else at
        if type(at_own) is not int and at is not None:
            raise TypeError(f"at_ms is Unix milliseconds as an int, not {type(at_own).__name__}")
        with self.lock:
            at_ms = at if type(at) is int and self._now.astray_ms is None else self._placed(at)
            minimise = self._minimisers.get(kind)
            if minimise is None:
                self.counts["no_grant" if kind in self._declared else "unknown_kind"] += 1
                return 0
            if not EARLIEST_MS <= at_ms <= self._latest_ms:
                return self._lose(kind, "clock", Reason.CLOCK)
            if not self._left:
                return self._lose(kind, "overflow", Reason.OVERFLOW)
            taken = minimise(fields, at_ms)
            left = self._left = self._left - 1
            if left == self._wake_at or not left:
                self._wake_for_rows()
            return taken

    def record_many(self, kind: str, readings: Sequence[tuple[int, Mapping[str, Any]]]) -> int:
        """
        Do as :meth:`record` for each of *readings*, Unix milliseconds and fields; in less time where they are alike.

        Returns:
            How many were taken, by one purpose at least.
        """
        taken = 0
        for start in range(0, len(readings), MANY):
            part = readings[start : start + MANY]
            with self.lock:  # let go after each part: others record too, and the writer takes what there is
                done = self._by_columns(kind, part)
                taken += sum(self.record(kind, fields, at) > 0 for at, fields in part) if done is None else done
        return taken

    def record_columns(self, kind: str, columns: Mapping[str, Sequence[Any]], mono_ms: Sequence[int]) -> None:
        """
        Do as :meth:`record` for readings of one kind that have the same fields.

        Args:
            columns: by field, a value for each reading.
            mono_ms: when each was measured, on the monotonic clock; one at least.
        """
        with self.lock:
            origin_ms = self._now.origin_ms
            if self._take_columns(kind, columns, [origin_ms + at for at in mono_ms]) is None:
                for at, *values in zip(mono_ms, *columns.values(), strict=True):
                    self.record(kind, dict(zip(columns, values, strict=True)), Mono(at))

    def compile_ahead(self) -> None:
        """
        Expect columns: have what takes them compiled at each binding, and not when the first of a kind come.
        """
        with self.lock:
            self._is_ahead = True
            for kind in self._minimisers:
                self._compile_columns(kind)

    def record_strictly(self, kind: str, fields: Mapping[str, Any], at: int | Mono | None = None) -> int:
        """
        Do as :meth:`record`, but raise when anything of the reading is dropped.

        Raises:
            BadInput: naming what was dropped and how often, never a value; what was taken of the reading stays.
        """
        with self.lock:  # held throughout, so that nobody else's drops are told here
            before = self._dropped()
            taken = self.record(kind, fields, at)
            dropped = self._dropped() - before
        if dropped or not taken:
            told = ", ".join(f"{name} {count}" for name, count in sorted(dropped.items())) or "no purpose took it"
            raise BadInput(f"reading dropped in whole or part: {told}", hint="compare it with the kinds of the policy")
        return taken

    def record_many_strictly(self, kind: str, readings: Sequence[tuple[int, Mapping[str, Any]]]) -> int:
        """
        Do as :meth:`record_strictly` for one after the other; those before the one that raises stay.
        """
        return sum(self.record_strictly(kind, fields, at) > 0 for at, fields in readings)

    def allowed(self, kind: str, field: str | None = None) -> bool:
        """
        Tell whether any purpose would take *field* of *kind*, or anything of *kind*, now.

        The source of a kind counts as taken: readings are grouped by it, and dropped without it.
        """
        if field is None:
            return kind in self._minimisers
        return (kind, field) in self._allowed

    def bind(self, policy: Policy, granted: Iterable[tuple[Outlet, CollectGrant]]) -> None:
        """
        Collect for exactly *granted* from now on.
        """
        by_kind: dict[str, list[tuple[Outlet, CollectGrant]]] = {}
        for outlet, grant in granted:
            by_kind.setdefault(outlet.view.kind.name, []).append((outlet, grant))
        self._tallies |= {kind: Tally() for kind in by_kind if kind not in self._tallies}
        self._minimisers = {
            kind: compile_kind(policy.kinds[kind], bound, self._tallies[kind])
            for kind, bound in by_kind.items()
            if not self._is_shut
        }
        self._by_column = {}
        self._bound = policy.kinds, {kind: [outlet for outlet, _ in bound] for kind, bound in by_kind.items()}
        for kind in self._minimisers if self._is_ahead else ():
            self._compile_columns(kind)
        self._declared = frozenset(policy.kinds)
        seen = {
            (kind, view_field.field.name)
            for kind, bound in by_kind.items()
            for outlet, _ in bound
            for view_field in outlet.view.fields
        }
        self._allowed = frozenset(seen | {(kind, policy.kinds[kind].source) for kind in by_kind})

    def turn(self, now: Now) -> None:
        """
        Place readings by *now* from here on; callers hold the lock.
        """
        self._now = now

    def shut(self) -> None:
        """
        Take nothing any more: what comes from now on is told to its caller as not taken.
        """
        with self.lock:
            self._is_shut = True
            self._minimisers, self._by_column, self._allowed = {}, {}, frozenset()

    def count(self, name: str, by: int = 1) -> None:
        """
        Count something that happened on the way from here.
        """
        with self.lock:
            self.counts[name] += by

    def lose_unseen(self) -> None:
        """
        Have every stream tell that readings were lost before they came here, nobody knows how many.
        """
        with self.lock:
            self._is_unseen_lost = True

    def take_unseen(self) -> bool:
        """
        Return whether readings were lost before they came here since the last call; callers hold the lock.
        """
        lost, self._is_unseen_lost = self._is_unseen_lost, False
        return lost

    def totals(self, *, with_marks: bool = True) -> Counter[str]:
        """
        Return a copy of all counts that are not 0, with or without those that belong to marks.

        Safe while others record.
        """
        with self.lock:
            return self.counts + self.marks.counts if with_marks else +self.counts

    def harvest(self, now_wall_ms: int, *, held_rows: int) -> tuple[int, Counter[tuple[str, Reason]]]:
        """
        Return how many readings came since the last call, and what was lost by kind and reason; callers hold the lock.

        Args:
            now_wall_ms: readings may be a day ahead of it until the next call.
            held_rows: rows that still wait in memory for the disk; they take their part of the room.
        """
        came = self._given - self._left
        self._given = self._left = max(0, self._room - held_rows)
        self._wake_at = self._given - self._wake_after
        self._latest_ms = now_wall_ms + AHEAD_MS
        losses, self._losses = self._losses, Counter()
        for kind, tally in self._tallies.items():
            for name in Tally.__slots__:
                if count := getattr(tally, name):
                    setattr(tally, name, 0)
                    self.counts[name] += count
                    if name in _TALLY_REASONS:
                        losses[kind, _TALLY_REASONS[name]] += count
        self.counts["recorded"] += came
        self.marks.take()
        return came, losses

    def make_room(self, *, held_rows: int) -> None:
        """
        Give back the room of rows that the disk has taken since :meth:`harvest`.
        """
        with self.lock:
            more = max(0, self._room - held_rows) - self._given
            if more > 0:
                self._given += more
                self._wake_at += more
                self._left += more

    def forget_sources(self) -> None:
        """
        Let sources that were not heard since take no place any more; callers hold the lock.
        """
        for minimise in self._minimisers.values():
            forget_sources(minimise)

    def _by_columns(self, kind: str, readings: Sequence[tuple[int, Mapping[str, Any]]]) -> int | None:
        """
        Take *readings* by column and return how many were taken, or None where they have to be taken one by one.
        """
        if self._now.astray_ms is not None or len(readings) < FEW:
            return None
        times, each = zip(*readings, strict=True)
        count, names = len(times), tuple(each[0]) if type(each[0]) is dict else ()
        # Counted in lists: sets take longer.
        are_plain = [*map(type, each)].count(dict) == count == [*map(type, times)].count(int)
        if not are_plain or len(names) < _LEAST_NAMES or [*map(len, each)].count(len(names)) != count:
            return None
        try:
            rows = [*map(itemgetter(*names), each)]
        except KeyError:  # as many fields, but other ones
            return None
        return self._take_columns(kind, dict(zip(names, zip(*rows, strict=True), strict=True)), times)

    def _take_columns(self, kind: str, columns: Mapping[str, Sequence[Any]], times: Sequence[int]) -> int | None:
        before, after = self._left, self._left - len(times)
        is_timely = min(times) >= EARLIEST_MS and max(times) <= self._latest_ms
        if len(times) < FEW or kind not in self._minimisers or not is_timely or after < 0:
            return None
        taken = (self._by_column.get(kind) or self._compile_columns(kind))(columns, times)
        if taken is not None:
            self._left = after
            if before > self._wake_at >= after or not after:
                self._wake_for_rows()
        return taken

    def _wake_for_rows(self) -> None:
        """
        Wake the writer where many rows wait for it, or half of the room is taken; else ask again as many readings on.

        Of readings that windows gather there are few rows, and a step that finds none costs as much as fifty readings.
        """
        waiting = max((len(outlet.rows) for outlets in self._bound[1].values() for outlet in outlets), default=0)
        if 2 * waiting >= self._wake_after or 2 * self._left <= self._given:
            self._wake()
        else:
            self._wake_at = self._left - self._wake_after

    def _compile_columns(self, kind: str) -> ByColumn:
        kinds, outlets = self._bound
        by_column = self._by_column[kind] = compile_columns(kinds[kind], outlets[kind], self._minimisers[kind])
        return by_column

    def _dropped(self) -> Counter[str]:
        dropped = Counter({name: count for name, count in self.counts.items() if name != "recorded"})
        for tally in self._tallies.values():
            dropped.update({name: getattr(tally, name) for name in Tally.__slots__})
        return dropped

    def _placed(self, at: int | Mono | None) -> int:
        """
        Return when a reading was measured, by the wall as the writer last saw it; -1 where nobody can say.

        A time of the system clock is placed by its distance from what that clock shows now, wherever it stands: it
        may be in 1970. One that this clock cannot have shown since power-on comes from another clock, and is taken
        as it is where the wall is known; where it is not, nothing tells whether that clock was set.
        """
        now = self._now
        if at is None:
            return now.origin_ms + clock.mono_ms()
        if isinstance(at, Mono):
            return now.origin_ms + at.ms
        assert now.astray_ms is not None
        placed = at + now.astray_ms
        if now.origin_ms <= placed <= self._latest_ms:
            return placed
        return at if now.quality is ClockQuality.WALL else -1

    def _lose(self, kind: str, name: str, reason: Reason) -> int:
        self.counts[name] += 1
        self._losses[kind, reason] += 1
        return 0
