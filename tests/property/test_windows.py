"""
Windows against a plain second writing of their rules: any readings, in any order, with pauses and restarts.
"""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.core import cbor
from edge_sdk.core.policy import FieldType, TextRule, View, ViewField, Window
from edge_sdk.core.reading import check
from edge_sdk.core.snapshots import whole_trails
from edge_sdk.core.windows import WindowSet
from tests.minimising import KEY, NOON_MS, SERIAL, Minimised, field, kind_of, view_of
from tests.slowly import SlowView

EVERY_MS = 1000
COUNTERS = {window: field(str(window), FieldType.COUNTER, low=0, high=99, modulus=100) for window in Window}
VALUE = COUNTERS[Window.SUM]
NOTE = field("note", FieldType.TEXT)
KIND = kind_of(*COUNTERS.values(), NOTE)
SOURCES = ("A", "A", "A", "B", "C")
MOVES = st.sampled_from([0, 200, 400, 1000, 1600, 2500, -300, -1000, -1400, -2000]) | st.integers(-2500, 2500)

VALUES = st.sampled_from([0, 5, 20, 40, 41, 60, 80, 95, 99, None, 101])  # as likely as the edges that Hypothesis loves
READINGS = st.tuples(st.sampled_from(SOURCES), MOVES, VALUES, st.sampled_from([None, "x", "yy"]))
PAUSES = st.sampled_from([500, 1000, 2000]) | st.integers(0, 3000)
RESTART = st.just("restart")
EVENTS = st.lists(st.one_of(*[READINGS] * 8, PAUSES, RESTART), min_size=15, max_size=30)


SHAPES = st.sampled_from([(1, ()), (7, ()), (10, ()), (1, (20, 50))])
CLIPS = st.none() | st.just((10, 60))


@st.composite
def views(draw: st.DrawFn) -> View:
    """Return a view with every window at once, each of a field of its own that gets the same values."""
    shown = draw(st.none() | st.sampled_from([TextRule.KEEP, TextRule.PSEUDONYM]))
    items = [] if shown is None else [ViewField(SERIAL, text=shown)]
    for window, declared in COUNTERS.items():
        factor, band = draw(SHAPES) if window is not Window.COUNT else (1, ())
        clip = draw(CLIPS) if window not in (Window.DELTA, Window.COUNT) else None
        items.append(ViewField(declared, window, clip, band, factor))
    noted = draw(st.sampled_from([Window.FIRST, Window.LAST, Window.COUNT]))
    items.append(ViewField(NOTE, noted, text=None if noted is Window.COUNT else TextRule.KEEP))
    return view_of(KIND, *items, every_ms=EVERY_MS)


def fields_of(source: str, value: object, note: object) -> dict[str, Any]:
    return {"serial": source, "note": note, **dict.fromkeys(COUNTERS, value)}


def tag_of(source: str) -> bytes:
    return hashlib.sha256(source.encode()).digest()[:16]


def restarted(minimised: Minimised, mono_ms: int, offset_ms: int) -> Minimised:
    """Return what continues from the snapshot of *minimised*, with its finished rows."""
    view = minimised.outlets[0].view
    again = Minimised(KIND, view, offset_ms=offset_ms)
    again.rows().extend(minimised.rows())
    kept = cbor.decode(cbor.encode(windows_of(minimised).snapshot(tag_of)), 1 << 20)
    assert isinstance(kept, list)
    windows_of(again).restore(kept, tag_of, mono_ms)
    return again


def windows_of(minimised: Minimised) -> WindowSet:
    windows = minimised.outlets[0].windows
    assert windows is not None
    return windows


@settings(max_examples=2 * settings().max_examples)
@given(views(), EVENTS, st.sampled_from([0, 300, 86_400_000 - 1]))
def test_windows_do_what_their_rules_say(view: View, events: list[Any], offset_ms: int) -> None:
    fast, slow = Minimised(KIND, view, offset_ms=offset_ms), SlowView(view, KEY.reveal(), offset_ms % EVERY_MS)
    mono_ms = windows_of(fast).mono_ms = slow.mono_ms = 1
    late, at_ms = 0, NOON_MS
    for event in events:
        if event == "restart":
            late += windows_of(fast).late
            fast = restarted(fast, mono_ms, offset_ms)
            slow.restart(mono_ms)
        elif isinstance(event, int):
            mono_ms += event
            windows_of(fast).mono_ms = mono_ms
            windows_of(fast).close_idle()
            slow.idle(mono_ms)
        else:
            source, moved_ms, value, note = event
            at_ms += moved_ms
            taken = fast.take(fields_of(source, value, note), at_ms)
            valid = None if value is None else check(VALUE, value)
            assert taken == slow.take(source, fields_of(source, valid, note), at_ms)
        assert len(fast.rows()) == len(slow.rows)
    fast.closed()
    slow.cut()
    assert sorted(fast.rows(), key=repr) == sorted(slow.rows, key=repr)
    assert late + windows_of(fast).late == slow.late


@given(EVENTS)
def test_every_reading_taken_is_counted_in_exactly_one_row(events: list[Any]) -> None:
    minimised = Minimised(KIND, view_of(KIND, ViewField(VALUE, Window.SUM), every_ms=EVERY_MS))
    readings = [event for event in events if isinstance(event, tuple)]
    taken = sum(minimised.take(fields_of(event[0], event[2], None), NOON_MS + event[1]) for event in readings)
    assert sum(abs(row[1]) for row in minimised.closed()) == taken
    assert taken + windows_of(minimised).late == len(readings)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5000)), max_size=60), st.integers(0, 60))
def test_invented_sources_are_bounded_and_no_reading_of_them_is_lost(heard: list[Any], restart_at: int) -> None:
    minimised = Minimised(KIND, view_of(KIND, ViewField(VALUE, Window.SUM), every_ms=EVERY_MS))
    taken = 0
    for at, (source, at_ms) in enumerate(heard):
        pane = windows_of(minimised).roll(str(source), NOON_MS + at_ms)
        if pane is not None:
            pane[2] += 1
            taken += 1
        if at == restart_at:
            minimised = restarted(minimised, 1, 0)
        kept = windows_of(minimised).snapshot(tag_of)
        assert len(whole_trails(minimised.outlets[0].view, kept)) <= 2 * KIND.max_sources
    assert sum(abs(row[1]) for row in minimised.closed()) == taken
