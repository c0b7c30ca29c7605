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
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from edge_sdk.core.policy import FieldType, Kind
from edge_sdk.core.shim_ids import Numbered, Schema
from edge_sdk.core.shim_wire import Point, Source, Text

COMPLETE_AFTER_MS: Final = 1_000
MAX_SLOTS: Final = 1_024  # of one connection

Deliver = Callable[[str, dict[str, Any], int, int], None]  # kind, fields, monotonic ms, points it was made of


class _Slot:
    """
    One device: what each of its readings begins with, and the reading that is open.
    """

    __slots__ = ("at", "at_ms", "base", "fields", "kind", "plain", "points", "seen_ms")

    def __init__(self, kind: Kind, name: str, plain: Mapping[int, str]) -> None:
        self.kind = kind
        self.plain = plain  # names of fields whose values need no look, by number
        self.base: dict[str, Any] = {kind.source: name}
        self.fields: dict[str, Any] = {}
        self.points = 0
        self.at = self.at_ms = self.seen_ms = 0


_NOBODY: Final = _Slot(Kind("", "", 0, ()), "", {})  # of points whose slot nobody declared; nothing is put into it


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
        self._labels = {one.number: one for one in schema.fields if one.field.type is FieldType.ENUM}
        self._plain: dict[str, dict[int, str]] = {kind.name: {} for kind in schema.kinds}
        for one in schema.fields:
            if one.field.type is not FieldType.ENUM:
                self._plain[one.kind.name][one.number] = one.field.name
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
        kind = self._kinds[said.kind - 1]
        self._slots[said.slot] = _Slot(kind, said.id, self._plain[kind.name])

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

    def take(self, points: Iterable[Point], *, t0: int, t0_ms: int, now_ms: int) -> int:
        """
        Put points to their readings; return how many belong to none.

        Args:
            t0: the batch's time on the firmware's clock, in ms.
            t0_ms: the same instant on the agent's, suspend included.
            now_ms: the agent's monotonic clock.
        """
        lost, slot = 0, _NOBODY
        fields, plain = slot.fields, slot.plain
        last_slot = last_ms = -1
        for number, at_slot, offset_ms, value in points:
            if at_slot != last_slot or offset_ms != last_ms:
                last_slot, last_ms = at_slot, offset_ms
                slot = self._reading(at_slot, t0 + offset_ms, t0_ms + offset_ms, now_ms)
                fields, plain = slot.fields, slot.plain
            name = plain.get(number)
            if name is not None:
                fields[name] = value
                slot.points += 1
            elif (enum := self._labels.get(number)) is not None and enum.kind is slot.kind:
                fields[enum.field.name] = _label(enum.field.values, value)
                slot.points += 1
            else:
                self.counts["shim_no_source" if slot is _NOBODY else "shim_unfit"] += 1
                lost += 1
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

    def _reading(self, at_slot: int, at: int, at_ms: int, now_ms: int) -> _Slot:
        slot = self._slots.get(at_slot)
        if slot is None:
            return _NOBODY
        if slot.at != at or not slot.points:
            self._complete(slot)
            slot.at, slot.at_ms = at, at_ms
            slot.fields = slot.base.copy()
            self._open[at_slot] = slot
        slot.seen_ms = now_ms
        return slot

    def _complete(self, slot: _Slot | None) -> None:
        if slot is not None and slot.points:
            points, slot.points = slot.points, 0
            self._deliver(slot.kind.name, slot.fields, slot.at_ms, points)
            slot.fields = {}


def _label(labels: tuple[str, ...], value: object) -> object:
    """
    Return the label at a place; a place that is none stays what it is, and is no valid value.
    """
    is_place = type(value) is int and 0 <= value < len(labels)
    return labels[value] if is_place and isinstance(value, int) else value


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
