"""
Windows that share blocks of readings against the same windows each fed alone: any readings, pauses and changes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.core.compile import Outlet, Tally, compile_columns, compile_kind, make_outlet
from edge_sdk.core.policy import TextRule, View, ViewField, Window
from edge_sdk.core.windows import WindowSet
from tests.minimising import NOON_MS, SERIAL, Minimised, collect_grant, field, keep, kind_of, view_of

FIELDS = tuple(field(name, low=0, high=99) for name in ("a", "b", "c"))
KIND = kind_of(*FIELDS, field("note", SERIAL.type, max_length=8))
WINDOWS = st.sampled_from(list(Window))
NUMBERS = st.sampled_from([0, 1, 40, 41, 99, None, 101])
MOVES = st.sampled_from([0, 200, 400, 1000, 1600, 2500, -300, -1000, -1400, -2000]) | st.integers(-2500, 2500)
NOTES = st.sampled_from(["x", None])
READINGS = st.tuples(st.sampled_from("AAABC"), MOVES, st.tuples(NUMBERS, NUMBERS, NUMBERS), NOTES)
CHANGES = st.tuples(st.sampled_from(["cut", "pause", "discard", "look", "leave", "come"]), st.integers(0, 2))
WHOLE = st.sampled_from([0, 1, 40, 41, 99])
ORDERS = st.one_of(
    st.sampled_from(["A", "AB", "ABC"]).flatmap(lambda turns: st.just(turns * (24 // len(turns)))),
    st.lists(st.sampled_from("AAABC"), min_size=6, max_size=24).map("".join),
)
ALONE = st.tuples(st.sampled_from(["cut", "pause", "discard", "look"]), st.integers(0, 2))
EVENTS = st.lists(st.one_of(*[READINGS] * 5, CHANGES, st.integers(0, 5000)), min_size=10, max_size=30)


@st.composite
def views(draw: st.DrawFn) -> View:
    """Return a view that gathers some of the fields, in windows of a length of its own."""
    chosen = draw(st.lists(st.sampled_from(FIELDS), min_size=1, unique=True))
    items = [ViewField(one, draw(WINDOWS), draw(st.none() | st.just((10, 60)))) for one in chosen]
    items.append(ViewField(KIND.fields[-1], Window.LAST, text=TextRule.KEEP))
    return view_of(KIND, keep(SERIAL), *items, every_ms=draw(st.sampled_from([1000, 2000, 5000])))


@st.composite
def three(draw: st.DrawFn) -> list[View]:
    """Return three views; as a rule some of them gather the same, and round it each in its way."""
    some = draw(st.lists(views(), min_size=1, max_size=3))
    chosen = [draw(st.sampled_from(some)) for _ in range(3)]
    return [view if draw(st.booleans()) else _rounded(view) for view in chosen]


def _rounded(view: View) -> View:
    rounds = (Window.MEAN, Window.SUM, Window.MIN, Window.MAX, Window.DELTA)
    fields = [replace(one, factor=10) if one.window in rounds else one for one in view.fields]
    return replace(view, fields=tuple(fields))


class Together:
    """Some views of one kind, compiled as one; views leave and come back."""

    def __init__(self, *views: View) -> None:
        self.outlets = [make_outlet(view, names={}) for view in views]
        self._bound = list(self.outlets)
        self._bind()

    def leave(self, at: int) -> None:
        self._bound = [outlet for outlet in self._bound if outlet is not self.outlets[at]]
        self._bind()

    def come(self, at: int) -> None:
        self._bound = [one for one in self.outlets if one in self._bound or one is self.outlets[at]]
        self._bind()

    def has(self, at: int) -> bool:
        return any(one is self.outlets[at] for one in self._bound)

    def _bind(self) -> None:
        self.take = compile_kind(KIND, [(outlet, collect_grant()) for outlet in self._bound], Tally())
        self.take_columns = compile_columns(KIND, self._bound, self.take)


def windows_of(outlet: Outlet) -> WindowSet:
    assert outlet.windows is not None
    return outlet.windows


def change(windows: WindowSet, what: str) -> None:
    match what:
        case "cut":
            windows.cut()
        case "pause":
            windows.cut(goes_on=True)
        case "discard":
            windows.discard()
        case "look":
            windows.snapshot(lambda source: source.encode().ljust(16))


def tell(windows: list[WindowSet], mono_ms: int) -> None:
    for one in windows:
        one.mono_ms = mono_ms
        one.close_idle()


@given(three(), EVENTS)
def test_views_that_share_a_block_gather_what_each_gathers_alone(chosen: list[View], events: list[Any]) -> None:
    together, alone = Together(*chosen), [Minimised(KIND, view) for view in chosen]
    shared, single = [windows_of(one) for one in together.outlets], [windows_of(one.outlets[0]) for one in alone]
    mono_ms, at_ms = 1, NOON_MS
    tell([*shared, *single], mono_ms)
    for event in events:
        if isinstance(event, int):
            mono_ms += event
            tell([*shared, *single], mono_ms)
        elif len(event) == 2:
            what, at = event
            if what in ("leave", "come"):
                together.leave(at) if what == "leave" else together.come(at)
            else:
                change(shared[at], what)
                change(single[at], what)
        else:
            source, moved_ms, numbers, note = event
            at_ms += moved_ms
            fields = {"serial": source, "note": note, **dict(zip("abc", numbers, strict=True))}
            took = [one.take(fields, at_ms) for at, one in enumerate(alone) if together.has(at)]
            assert together.take(fields, at_ms) == sum(took)
    for at in range(3):
        shared[at].cut()
        single[at].cut()
        assert together.outlets[at].rows == alone[at].rows()
        assert shared[at].late == single[at].late


@st.composite
def bursts(draw: st.DrawFn) -> tuple[list[int], dict[str, list[Any]]]:
    """Return readings as columns: of devices asked in turns or in any order, mostly in the order of their times."""
    sources = draw(ORDERS)
    steps = draw(st.lists(st.sampled_from([0, 100, 100, 300, 900]), min_size=len(sources), max_size=len(sources)))
    if draw(st.booleans()):
        steps[draw(st.integers(0, len(steps) - 1))] = draw(MOVES)
    times, at_ms = [], NOON_MS + draw(MOVES)
    for step in steps:
        times.append(at_ms := at_ms + step)
    columns: dict[str, list[Any]] = {"serial": list(sources)}
    for name in draw(st.lists(st.sampled_from("abc"), unique=True)):
        columns[name] = draw(st.lists(WHOLE, min_size=len(sources), max_size=len(sources)))
    return times, columns


@given(three(), st.lists(st.one_of(bursts(), ALONE), min_size=1, max_size=4))
def test_readings_that_come_as_columns_are_gathered_as_they_would_be_alone(
    chosen: list[View], events: list[Any]
) -> None:
    together, alone = Together(*chosen), [Minimised(KIND, view) for view in chosen]
    for source in "ABC":  # known from here on
        assert together.take({"serial": source}, NOON_MS) == sum(one.take({"serial": source}, NOON_MS) for one in alone)
    for first, second in events:
        if isinstance(first, str):
            change(windows_of(together.outlets[second]), first)
            change(windows_of(alone[second].outlets[0]), first)
            continue
        took = [0] * len(first)
        for at, *values in zip(range(len(first)), *second.values(), strict=True):
            took[at] = sum(one.take(dict(zip(second, values, strict=True)), first[at]) for one in alone)
        assert together.take_columns(second, first) == sum(map(bool, took))
    for at in range(3):
        shared, single = windows_of(together.outlets[at]), windows_of(alone[at].outlets[0])
        shared.cut()
        single.cut()
        assert sorted(together.outlets[at].rows, key=_source_of) == sorted(alone[at].rows(), key=_source_of)
        assert shared.late == single.late


def _source_of(row: tuple[Any, ...]) -> Any:
    return row[2]
