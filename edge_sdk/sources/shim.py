"""
Points of a shim into readings: what belongs to one source at one time, put together and named.

Owns: what one connection declared (which device a slot is, texts it carries) and its readings that are not complete.
A reading is complete when a point of another time of its slot comes, a second after its last point, or at the end.
Complete readings are handed over together when they are asked for, those of the same fields as columns.
Rules: nothing declared and nothing open is without a bound; what cannot become part of a reading is counted by reason,
and every point that was handed in comes out in exactly one count or reading, so that who accounts for points can.
Does not: decode bytes (core.shim_wire), read clocks or record (agent).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from edge_sdk.core.policy import Field, FieldType, Kind
from edge_sdk.core.shim_ids import Numbered, Schema
from edge_sdk.core.shim_points import Run
from edge_sdk.core.shim_wire import Source, Text

COMPLETE_AFTER_MS: Final = 1_000
MAX_SLOTS: Final = 1_024  # of one connection
_MAX_PLANS: Final = 256  # of one connection: runs of the same fields have one

_UNFIT: Final = ""  # no field has this name

Columns: TypeAlias = Mapping[str, Sequence[Any]]
Deliver = Callable[[str, Columns, Sequence[int], int], None]  # kind, values by field, monotonic ms, points of all


class _Plan(NamedTuple):
    """
    What becomes of a run with certain fields: their names, which of them are labels, how many are not of the kind.
    """

    names: tuple[str, ...]
    enums: tuple[tuple[str, tuple[str, ...]], ...]
    unfit: int


class _Alike(NamedTuple):
    """
    What readings that are handed over together have in common: their kind, what they carry of their slot, their plan.
    """

    kind: str
    carried: tuple[str, ...]
    plan: _Plan


_WHOLE: Final = _Plan((), (), 0)  # of a reading that several runs made

# A complete reading: what it carries of its slot, and the values of one run, or all of it in the former; its time on
# the agent's monotonic clock; how many points it has. A plain tuple, since one is made for each reading.
_Ready: TypeAlias = tuple[_Alike, Mapping[str, Any], Sequence[Any], int, int]
_ALIKE: Final = itemgetter(0)


class _Slot:
    """
    One device: what each of its readings begins with, and the reading that is open.

    As a rule one run is a whole reading: then ``fields`` is None, and nothing of it is put together.
    """

    __slots__ = (
        *("alike", "alike_of", "at", "at_ms", "base", "begun", "fields", "kind"),
        *("numbers", "plan", "points", "seen_ms", "usual", "values"),
    )

    def __init__(self, kind: Kind, name: str) -> None:
        self.kind = kind
        self.base: dict[str, Any] = {kind.source: name}  # never changed, but replaced: readings keep theirs
        self.begun = self.base  # as it was when the open reading began
        self.numbers: tuple[int, ...] = ()
        self.usual = self.plan = _WHOLE
        self.alike = _Alike(kind.name, (), _WHOLE)  # of the reading before, which began as alike_of
        self.alike_of = self.base
        self.values: Sequence[Any] = ()
        self.fields: dict[str, Any] | None = None
        self.points = 0
        self.at = self.at_ms = self.seen_ms = 0

    def add(self, plan: _Plan, values: Sequence[Any]) -> None:
        """
        Add a run to the open reading that is not all of it.
        """
        fields = self.fields
        if fields is None:
            fields = self.fields = dict(self.begun)
            if self.points:
                _put(fields, self.plan, self.values)
        _put(fields, plan, values)
        fields.pop(_UNFIT, None)
        self.points += len(plan.names) - plan.unfit

    def ready(self) -> _Ready:
        """
        Return the open reading, which is complete, and have none.
        """
        points, self.points = self.points, 0
        fields, self.fields = self.fields, None
        if fields is not None:
            return _Alike(self.kind.name, tuple(fields), _WHOLE), fields, (), self.at_ms, points
        if self.alike.plan is not self.plan or self.alike_of is not self.begun:
            self.alike, self.alike_of = _Alike(self.kind.name, tuple(self.begun), self.plan), self.begun
        return self.alike, self.begun, self.values, self.at_ms, points


class Readings:
    """
    The readings of one connection.

    Args:
        schema: the numbers of the policy in force.
        deliver: takes complete readings of one kind that have the same fields.
        counts: where what becomes part of no reading is counted.
    """

    def __init__(self, schema: Schema, deliver: Deliver, counts: Counter[str]) -> None:
        self.counts = counts
        self._kinds = schema.kinds
        self._numbered = schema.fields
        self._fields: dict[str, dict[int, Field]] = {kind.name: {} for kind in schema.kinds}
        for one in schema.fields:
            self._fields[one.kind.name][one.number] = one.field
        self._plans: dict[tuple[str, tuple[int, ...]], _Plan] = {}
        self._deliver = deliver
        self._slots: dict[int, _Slot] = {}
        self._open: dict[int, _Slot] = {}
        self._ready: list[_Ready] = []

    def declare(self, said: Source) -> None:
        """
        Take a slot for a device; what the slot was before ends here.
        """
        if not 1 <= said.kind <= len(self._kinds) or (said.slot not in self._slots and len(self._slots) >= MAX_SLOTS):
            self.counts["shim_bad_source"] += 1
            return
        self._complete(self._open.pop(said.slot, None))
        self._slots[said.slot] = _Slot(self._kinds[said.kind - 1], said.id)

    def tell(self, said: Text) -> None:
        """
        Have every later reading of a slot carry a text.
        """
        slot = self._slots.get(said.slot)
        one = self._numbered[said.field - 1] if 1 <= said.field <= len(self._numbered) else None
        if slot is None or one is None or one.kind is not slot.kind or one.field.name == slot.kind.source:
            self.counts["shim_bad_text"] += 1
        else:
            others = {name: value for name, value in slot.base.items() if name != one.field.name}
            slot.base = others | {one.field.name: _told(one, said.text)} if said.text else others

    def take(self, runs: Iterable[Run], *, t0: int, t0_ms: int, now_ms: int) -> int:
        """
        Put points to their readings; return how many belong to none.

        Args:
            t0: the batch's time on the firmware's clock, in ms.
            t0_ms: the same instant on the agent's, suspend included.
            now_ms: the agent's monotonic clock.
        """
        lost = 0
        slots = self._slots
        for numbers, at_slot, offset_ms, values in runs:
            slot = slots.get(at_slot)
            if slot is None:
                self.counts["shim_no_source"] += len(numbers)
                lost += len(numbers)
                continue
            if slot.at != t0 + offset_ms or not slot.points:
                if slot.points:
                    self._ready.append(slot.ready())
                slot.at, slot.at_ms, slot.begun, slot.fields = t0 + offset_ms, t0_ms + offset_ms, slot.base, None
                self._open[at_slot] = slot
            slot.seen_ms = now_ms
            if numbers is not slot.numbers:  # else as the run before, which is the rule
                slot.numbers = numbers
                slot.usual = self._plans.get((slot.kind.name, numbers)) or self._make_plan(slot.kind, numbers)
            plan = slot.usual
            if not slot.points and not plan.unfit:
                slot.plan, slot.values, slot.points = plan, values, len(numbers)
                continue
            slot.add(plan, values)
            if plan.unfit:
                self.counts["shim_unfit"] += plan.unfit
                lost += plan.unfit
        return lost

    def hand_over(self) -> None:
        """
        Hand over what became complete since the last call, in that order.
        """
        ready, self._ready = self._ready, []
        for alike, group in groupby(ready, _ALIKE):
            several = list(group)
            times, points = [one[3] for one in several], sum([one[4] for one in several])
            self._deliver(alike.kind, _columns(alike, several), times, points)

    def complete(self, now_ms: int) -> int | None:
        """
        Hand over the readings that nothing was added to for a second; return when the next is due, None for none.
        """
        due = [at for at, slot in self._open.items() if now_ms - slot.seen_ms >= COMPLETE_AFTER_MS]
        for at in due:
            self._complete(self._open.pop(at))
        self.hand_over()
        return min(slot.seen_ms for slot in self._open.values()) + COMPLETE_AFTER_MS if self._open else None

    def end(self) -> None:
        """
        Hand over every open reading: the connection has ended, or no more is read from it.
        """
        for slot in self._open.values():
            self._complete(slot)
        self._open.clear()
        self.hand_over()

    def discard(self) -> int:
        """
        Forget everything declared and open; return how many points that were.
        """
        points = sum(slot.points for slot in self._open.values()) + sum(one[4] for one in self._ready)
        self._slots.clear()
        self._open.clear()
        self._ready.clear()
        return points

    def _make_plan(self, kind: Kind, numbers: tuple[int, ...]) -> _Plan:
        """
        Return what becomes of runs of the fields *numbers* in a slot of *kind*.
        """
        known = self._fields[kind.name]
        fields = [known.get(number) for number in numbers]
        plan = _Plan(
            tuple(_UNFIT if field is None else field.name for field in fields),
            tuple((field.name, field.values) for field in set(fields) if field and field.type is FieldType.ENUM),
            fields.count(None),
        )
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        self._plans[kind.name, numbers] = plan
        return plan

    def _complete(self, slot: _Slot | None) -> None:
        if slot is not None and slot.points:
            self._ready.append(slot.ready())


def _put(fields: dict[str, Any], plan: _Plan, values: Sequence[Any]) -> None:
    """
    Put the values of a run to the fields of a reading.
    """
    fields.update(zip(plan.names, values))  # noqa: B905 - as many as there are: the decoder saw to it
    for name, labels in plan.enums:
        fields[name] = _label(labels, fields[name])


def _columns(alike: _Alike, ready: Sequence[_Ready]) -> dict[str, Sequence[Any]]:
    """
    Return the values of readings that have the same fields, by field.
    """
    columns: dict[str, Sequence[Any]] = {name: [one[1][name] for one in ready] for name in alike.carried}
    columns.update(zip(alike.plan.names, zip(*[one[2] for one in ready])))  # noqa: B905 - as in _put
    for name, labels in alike.plan.enums:
        columns[name] = [_label(labels, value) for value in columns[name]]
    return columns


def _label(labels: tuple[str, ...], value: Any) -> Any:
    """
    Return what a place among labels stands for; what is no place stays, and is no valid value.
    """
    return labels[value] if type(value) is int and 0 <= value < len(labels) else value


def _told(one: Numbered, text: str) -> object:
    """
    Return what a text says for its field; what it cannot say stays text, and is no valid value of it.
    """
    if one.field.type is FieldType.LOCATION:
        try:
            return [float(part) for part in text.split(",")]
        except ValueError:
            return text
    return text
