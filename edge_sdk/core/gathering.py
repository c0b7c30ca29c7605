"""
How the values of a window become one: blocks of readings are folded, column by column, into a few slots.

Compiled code only appends the values of a reading to the block of its source, which all views of the kind share;
folding (``blocks``) moves it into the slots of each with the sums and extremes that Python has for whole columns, and
leaves nothing of it. Whoever stores a pane folds first, so that texts leave by their rule alone. Values that a reading
did not have are None and are passed over. First, last and delta go by the readings' own times, whatever order they
come in. Which panes a block belongs to is ``joining``'s, when a pane closes ``windows``'.

A pane is a plain list: ``[start_ms, end_ms, count, partial, opened_mono_ms, source, block, slots]``; panes that hold
the same share the list of their slots. A row of a block is ``(at_ms, *values)`` with a value for each field that any
view gathers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from edge_sdk.core.policy import TextRule, View, ViewField, Window
from edge_sdk.core.transforms import clip, shape_mean, shape_number

START, END, COUNT, PARTIAL, OPENED, SOURCE, BLOCK, SLOTS = range(8)
_EMPTY: Final[Mapping[Window, tuple[Any, ...]]] = {
    Window.MEAN: (0, 0),
    Window.SUM: (0, 0),
    Window.COUNT: (0,),
    Window.MIN: (None,),
    Window.MAX: (None,),
    Window.FIRST: (None, 0),  # and when it was
    Window.LAST: (None, 0),
    Window.DELTA: (None, 0, None, 0, 0),  # first and when, last and when, increase between them
}
_WIDEST: Final = (1 << 62) - 1  # between two values of this size lies a difference that a column can hold

Pane = list[Any]
Slots = list[Any]
Column = Sequence[Any]
_Gather = Callable[[Slots, int, Column, Column, ViewField], None]
_Allow = Callable[[Column], Column]


class Gathered(NamedTuple):
    """
    How one field of a view is gathered, and the first of its slots.
    """

    view_field: ViewField
    slot: int
    gather: _Gather
    allow: _Allow | None


class Taking(NamedTuple):
    """
    How one view gathers a block: what it adds up, by slot and total, and all else by column; or ``every`` field so.

    Args:
        kin: equal where another view gathers the same into the same slots, whatever it makes of them in the end; the
            same object among takers of one block.
    """

    totals: tuple[tuple[int, int], ...]
    others: tuple[tuple[Gathered, int], ...]
    every: tuple[tuple[Gathered, int], ...]
    kin: tuple[object, ...]


def slot_places(fields: Sequence[ViewField]) -> list[int]:
    """
    Return the first slot of each of the *fields* of a view; a field without a window has none (-1).
    """
    places, place = [], 0
    for view_field in fields:
        places.append(place if view_field.window else -1)
        place += len(_EMPTY[view_field.window]) if view_field.window else 0
    return places


def slot_count(view: View) -> int:
    """
    Return how many slots a pane of *view* has.
    """
    return sum(len(_EMPTY[view_field.window]) for view_field in view.fields if view_field.window)


class Gathering:
    """
    The slots of one view.

    Args:
        show: by field name, what turns a text into what leaves.
    """

    def __init__(self, view: View, show: Mapping[str, Callable[[str], Any]]) -> None:
        self._fields = [
            Gathered(view_field, slot, _GATHER[view_field.window], _allowing(view_field, show))
            for view_field, slot in zip(view.fields, slot_places(view.fields), strict=True)
            if view_field.window
        ]
        self._ends = _ends(view.fields)
        self.ends = None if any(one.gather is _rise for one in self._fields) else self._ends
        self.empty = [slot for view_field in view.fields if view_field.window for slot in _EMPTY[view_field.window]]

    def taking(self, columns: Sequence[str]) -> Taking:
        """
        Return how blocks with such *columns*, named by their fields, are gathered; totals are named by columns, too.
        """
        every = tuple((field, columns.index(field.view_field.field.name)) for field in self._fields)
        plain = [field.gather is _add and field.allow is None for field, _ in every]
        return Taking(
            tuple((field.slot, at) for (field, at), is_plain in zip(every, plain, strict=True) if is_plain),
            tuple(one for one, is_plain in zip(every, plain, strict=True) if not is_plain),
            every,
            tuple((field.slot, at, _sameness(field.view_field)) for field, at in every),
        )

    def finish(self, slots: Slots, carry: dict[int, int], carry_ms: int) -> list[Any]:
        """
        Return what leaves of the *slots* of a folded pane, for each field of the view that has a window.

        Args:
            carry: the last value of each delta in the window before, by its slot; brought up to this one.
            carry_ms: when that was read, where this window may have readings from before.
        """
        return [
            (2 * slots[slot] + whole) // (2 * whole)  # as shape_mean: most are means
            if factor and (whole := slots[slot + 1] * factor)
            else self._finish(view_field, slots, slot, carry, carry_ms)
            for view_field, slot, factor in self._ends
        ]

    def counted_ms(self, pane: Pane) -> int:
        """
        Return when the latest value of any delta in a folded *pane* was read, 0 where there is none.
        """
        slots = pane[SLOTS]
        held = [slot for _, slot, gather, _ in self._fields if gather is _rise and slots[slot] is not None]
        return max((slots[slot + 3] for slot in held), default=0)

    def _finish(self, view_field: ViewField, slots: Slots, slot: int, carry: dict[int, int], carry_ms: int) -> Any:
        first = slots[slot]
        match view_field.window:
            case Window.MEAN:
                return shape_mean(view_field, first, slots[slot + 1]) if slots[slot + 1] else None
            case Window.SUM:
                return _fitting(shape_number(view_field, first)) if slots[slot + 1] else None
            case Window.COUNT:
                return first
            case Window.DELTA:
                return _finish_delta(view_field, slots[slot : slot + 5], slot, carry, carry_ms)
            case _:  # min, max, first, last: the slot is the value
                pass
        return first if first is None or view_field.is_text else shape_number(view_field, first)


def _sameness(view_field: ViewField) -> object:
    """
    Return what of *view_field* decides what is gathered; names of a view's own are like no other's.
    """
    if view_field.text is TextRule.PSEUDONYM:
        return object()
    return view_field.window, view_field.clip, view_field.text, view_field.amount


@lru_cache(maxsize=256)
def _ends(fields: Sequence[ViewField]) -> list[tuple[ViewField, int, int]]:
    """
    Return by what rule each slot ends, and the factor where that is a plain mean; one object for fields that are alike.
    """
    places = zip(fields, slot_places(fields), strict=True)
    return [(view_field, slot, _plain_mean(view_field)) for view_field, slot in places if view_field.window]


def _plain_mean(view_field: ViewField) -> int:
    return view_field.factor if view_field.window is Window.MEAN and not view_field.band else 0


def gather(slots: Slots, field: Gathered, times: Column, values: Column) -> None:
    """
    Gather the *values* of one field, measured at *times*, into its slots.
    """
    if None in values:
        held = [(when, value) for when, value in zip(times, values, strict=True) if value is not None]
        if not held:
            return
        times, values = zip(*held, strict=True)
    field.gather(slots, field.slot, times, values if field.allow is None else field.allow(values), field.view_field)


def _allowing(view_field: ViewField, show: Mapping[str, Callable[[str], Any]]) -> _Allow | None:
    """
    Return what makes of a column what may be gathered of it, None where that is all of it.
    """
    if view_field.is_text:
        text = show[view_field.field.name]
        return lambda column: [text(value) for value in column]
    if view_field.clip is not None:
        return lambda column: [clip(view_field, value) for value in column]
    return None


def increase(modulus: int, previous: int, value: int) -> int:
    """
    Return how far a counter went from *previous* to *value*, through a wrap at *modulus* or a reset to 0.
    """
    step = value - previous
    if step >= 0:
        return step
    if modulus and -step > modulus // 2:
        return step + modulus
    return value  # it restarted at 0: what it shows now is what was counted since


def _add(slots: Slots, slot: int, _: Column, values: Column, __: ViewField) -> None:
    slots[slot] += sum(values)
    slots[slot + 1] += len(values)


def _count(slots: Slots, slot: int, _: Column, values: Column, __: ViewField) -> None:
    slots[slot] += len(values)


def _least(slots: Slots, slot: int, _: Column, values: Column, __: ViewField) -> None:
    least = min(values)
    if slots[slot] is None or least < slots[slot]:
        slots[slot] = least


def _most(slots: Slots, slot: int, _: Column, values: Column, __: ViewField) -> None:
    most = max(values)
    if slots[slot] is None or most > slots[slot]:
        slots[slot] = most


def _first(slots: Slots, slot: int, times: Column, values: Column, _: ViewField) -> None:
    """
    Keep the earliest value; of several of one time the one that came first.
    """
    at, value = min(zip(times, values, strict=True), key=itemgetter(0))
    if slots[slot] is None or at < slots[slot + 1]:
        slots[slot], slots[slot + 1] = value, at


def _last(slots: Slots, slot: int, times: Column, values: Column, _: ViewField) -> None:
    """
    Keep the latest value; of several of one time the one that came last.
    """
    at, value = times[-1], values[-1]
    if at < max(times):
        at, value = max(zip(reversed(times), reversed(values), strict=True), key=itemgetter(0))
    if slots[slot] is None or at >= slots[slot + 1]:
        slots[slot], slots[slot + 1] = value, at


def _rise(slots: Slots, slot: int, times: Column, values: Column, view_field: ViewField) -> None:
    """
    Follow a counter onward from its latest value and back from its earliest; what comes between says nothing new.
    """
    modulus = view_field.field.modulus
    first, first_at, last, last_at, total = slots[slot : slot + 5]
    for at, value in zip(times, values, strict=True):
        if first is None:
            first, first_at, last, last_at = value, at, value, at
        elif at >= last_at:
            total += increase(modulus, last, value)
            last, last_at = value, at
        elif at < first_at:
            total += increase(modulus, value, first)
            first, first_at = value, at
    slots[slot : slot + 5] = first, first_at, last, last_at, total


_GATHER: Final[Mapping[Window, _Gather]] = {
    Window.MEAN: _add,
    Window.SUM: _add,
    Window.COUNT: _count,
    Window.MIN: _least,
    Window.MAX: _most,
    Window.FIRST: _first,
    Window.LAST: _last,
    Window.DELTA: _rise,
}


def _finish_delta(
    view_field: ViewField, held: Sequence[Any], slot: int, carry: dict[int, int], carry_ms: int
) -> int | None:
    first, first_ms, last, last_ms, increased = held
    if first is None:
        return None
    if slot in carry and first_ms < carry_ms:  # of the time before a cut, and told by it
        first, first_ms, increased = last, last_ms, 0
    if slot in carry and first_ms >= carry_ms:
        increased += increase(view_field.field.modulus, carry[slot], first)
    if last_ms >= carry_ms:
        carry[slot] = last
    return _fitting(shape_number(view_field, increased))


def _fitting(value: int) -> int | None:
    # Only sums of absurd values come here beyond it; a column could not hold them, and no false value may leave.
    return value if -_WIDEST <= value <= _WIDEST else None
