"""
Points of a shim into readings: what belongs to one source at one time, put together and named.

Owns: what one connection declared (which device a slot is, texts it carries) and its readings that are not complete.
A reading is complete when a point of another time of its slot comes, a second after its last point, or at the end.
Rules: nothing declared and nothing open is without a bound; what cannot become part of a reading is counted by reason,
and every point that was handed in comes out in exactly one count or reading, so that who accounts for points can.
Does not: decode bytes (core.shim_wire), read clocks or record (agent).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from edge_sdk.core.policy import Field, FieldType, Kind
from edge_sdk.core.shim_ids import Numbered, Schema
from edge_sdk.core.shim_points import Run
from edge_sdk.core.shim_wire import Source, Text

COMPLETE_AFTER_MS: Final = 1_000
MAX_SLOTS: Final = 1_024  # of one connection
_MAX_PLANS: Final = 256  # of one connection: runs of the same fields have one

_UNFIT: Final = ""  # no field has this name

Deliver = Callable[[str, dict[str, Any], int, int], None]  # kind, fields, monotonic ms, points it was made of


class _Plan(NamedTuple):
    """
    What becomes of a run with certain fields: their names, which of them are labels, how many are not of the kind.
    """

    names: tuple[str, ...]
    enums: tuple[tuple[str, tuple[str, ...]], ...]
    unfit: int


class _Slot:
    """
    One device: what each of its readings begins with, and the reading that is open.
    """

    __slots__ = ("at", "at_ms", "base", "fields", "kind", "points", "seen_ms")

    def __init__(self, kind: Kind, name: str) -> None:
        self.kind = kind
        self.base: dict[str, Any] = {kind.source: name}
        self.fields: dict[str, Any] = {}
        self.points = 0
        self.at = self.at_ms = self.seen_ms = 0


class Readings:
    """
    The readings of one connection.

    Args:
        schema: the numbers of the policy in force.
        deliver: takes each complete reading.
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
        elif not said.text:
            slot.base.pop(one.field.name, None)
        else:
            slot.base[one.field.name] = _told(one, said.text)

    def take(self, runs: Iterable[Run], *, t0: int, t0_ms: int, now_ms: int) -> int:
        """
        Put points to their readings; return how many belong to none.

        Args:
            t0: the batch's time on the firmware's clock, in ms.
            t0_ms: the same instant on the agent's, suspend included.
            now_ms: the agent's monotonic clock.
        """
        lost = 0
        slots, plans = self._slots, self._plans
        for numbers, at_slot, offset_ms, values in runs:
            slot = slots.get(at_slot)
            if slot is None:
                self.counts["shim_no_source"] += len(numbers)
                lost += len(numbers)
                continue
            if slot.at != t0 + offset_ms or not slot.points:
                self._begin(at_slot, slot, t0 + offset_ms, t0_ms + offset_ms)
            slot.seen_ms = now_ms
            names, enums, unfit = plans.get((slot.kind.name, numbers)) or self._plan(slot.kind, numbers)
            fields = slot.fields
            fields.update(zip(names, values))  # noqa: B905 - as many as there are: the decoder saw to it
            for name, labels in enums:
                value = fields[name]
                if type(value) is int and 0 <= value < len(labels):  # what is no place stays, and is no valid value
                    fields[name] = labels[value]
            slot.points += len(names) - unfit
            if unfit:
                del fields[_UNFIT]
                self.counts["shim_unfit"] += unfit
                lost += unfit
        return lost

    def complete(self, now_ms: int) -> int | None:
        """
        Hand over the readings that nothing was added to for a second; return when the next is due, None for none.
        """
        due = [at for at, slot in self._open.items() if now_ms - slot.seen_ms >= COMPLETE_AFTER_MS]
        for at in due:
            self._complete(self._open.pop(at))
        return min(slot.seen_ms for slot in self._open.values()) + COMPLETE_AFTER_MS if self._open else None

    def end(self) -> None:
        """
        Hand over every open reading: the connection has ended, or no more is read from it.
        """
        for slot in self._open.values():
            self._complete(slot)
        self._open.clear()

    def discard(self) -> int:
        """
        Forget everything declared and open; return how many points that were.
        """
        points = sum(slot.points for slot in self._open.values())
        self._slots.clear()
        self._open.clear()
        return points

    def _plan(self, kind: Kind, numbers: tuple[int, ...]) -> _Plan:
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

    def _begin(self, at_slot: int, slot: _Slot, at: int, at_ms: int) -> None:
        """
        Hand over what is open of a slot, and open its reading of another time.
        """
        self._complete(slot)
        slot.at, slot.at_ms = at, at_ms
        slot.fields = slot.base.copy()
        self._open[at_slot] = slot

    def _complete(self, slot: _Slot | None) -> None:
        if slot is not None and slot.points:
            points, slot.points = slot.points, 0
            self._deliver(slot.kind.name, slot.fields, slot.at_ms, points)
            slot.fields = {}


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
