from __future__ import annotations

import hashlib
from typing import Any

import pytest

from edge_sdk.core import cbor
from edge_sdk.core.compile import Tally, compile_kind, make_outlet
from edge_sdk.core.gathering import increase
from edge_sdk.core.keys import PseudonymKey
from edge_sdk.core.policy import FieldType, TextRule, View, ViewField, Window
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.windows import WindowSet
from tests.minimising import (
    MINUTE_MS,
    NOON_MS,
    SERIAL,
    Minimised,
    collect_grant,
    field,
    kind_of,
    view_of,
    windowed,
)

FIVE_MS = 5 * MINUTE_MS
COUNTER = field("value", FieldType.COUNTER, low=0, high=10**6)


def tag_of(source: str) -> bytes:
    return hashlib.sha256(b"tag" + source.encode()).digest()[:16]


class Site(Minimised):
    """One windowed view with its source kept."""

    def __init__(self, view: View, **changes: Any) -> None:
        super().__init__(view.kind, view, **changes)
        windows = self.outlets[0].windows
        assert windows is not None
        self.windows: WindowSet = windows

    def hear(self, minutes: float, value: object, source: str = "A") -> int:
        return self.take({"serial": source, "value": value}, NOON_MS + int(minutes * MINUTE_MS))

    def finished(self) -> list[tuple[Any, ...]]:
        """Return (minutes after noon, count, value) of each finished row."""
        return [((row[0] - NOON_MS) / MINUTE_MS, row[1], row[-1]) for row in self.rows()]

    def after_restart(self, mono_ms: int = 5000) -> Site:
        kept = cbor.decode(cbor.encode(self.windows.snapshot(tag_of)), 1 << 20)
        assert isinstance(kept, list)
        again = Site(self.outlets[0].view)
        again.windows.restore(kept, tag_of, mono_ms)
        return again


def look(site: Site, mono_ms: int) -> None:
    """Tell the windows the time, as the line does at each step."""
    site.windows.mono_ms = mono_ms
    site.windows.close_idle()


def filled(window: Window, *values: object, **changes: Any) -> Any:
    """Return what leaves of *values*, one a second."""
    site = Site(windowed(window, **changes))
    for at, value in enumerate(values):
        site.hear(at / 60, value)
    return site.closed()[0][-1]


@pytest.mark.parametrize(
    ("window", "leaves"),
    [
        (Window.MEAN, 7),
        (Window.MIN, 2),
        (Window.MAX, 12),
        (Window.SUM, 26),
        (Window.FIRST, 7),
        (Window.LAST, 12),
        (Window.COUNT, 4),
        (Window.DELTA, 5 + 2 + 10),
    ],
)
def test_a_window_makes_one_value_of_many(window: Window, leaves: int) -> None:
    assert filled(window, 7, 5, 2, 12) == leaves


@pytest.mark.parametrize("window", [window for window in Window if window is not Window.COUNT])
def test_a_window_of_readings_without_the_value_has_none(window: Window) -> None:
    assert filled(window, None, "no number") is None


def test_absent_values_are_not_counted_but_their_readings_are() -> None:
    site = Site(windowed(Window.COUNT))
    site.hear(0, 1)
    site.hear(1, None)
    assert site.closed()[0][1:] == (-2, "A", 1)


@pytest.mark.parametrize("window", [Window.FIRST, Window.LAST])
def test_a_text_leaves_a_window_by_its_rule(window: Window) -> None:
    text = field("value", FieldType.TEXT)
    assert filled(window, "alarm 7", "alarm 7", declared=text, text=TextRule.MASK, amount=2) == "al*****"


def test_texts_can_be_counted() -> None:
    assert filled(Window.COUNT, "a", None, "b", declared=field("value", FieldType.TEXT)) == 2


def test_clipping_comes_before_gathering_and_rounding_after() -> None:
    assert filled(Window.SUM, 7, 500, clip=(0, 100), factor=10) == 11


def test_a_window_is_banded_after_gathering() -> None:
    assert filled(Window.MEAN, 90, 111, band=(100, 200)) == 1


def test_an_enum_shows_its_first_label() -> None:
    labels = field("value", FieldType.ENUM, values=("off", "on"))
    assert filled(Window.FIRST, "on", "off", declared=labels) == 1


# --- counters


@pytest.mark.parametrize(
    ("modulus", "previous", "value", "wanted"),
    [
        (0, 10, 15, 5),
        (0, 10, 10, 0),
        (0, 10, 4, 4),
        (65536, 65500, 20, 56),
        (65536, 30000, 20, 20),
        (100, 75, 25, 25),
        (100, 76, 25, 49),
    ],
)
def test_a_counter_that_falls_wrapped_or_restarted_at_0(modulus: int, previous: int, value: int, wanted: int) -> None:
    assert increase(modulus, previous, value) == wanted


def test_a_wrap_within_a_window_is_counted_through() -> None:
    wrapping = field("value", FieldType.COUNTER, low=0, high=65535, modulus=65536)
    assert filled(Window.DELTA, 65530, 65535, 5, declared=wrapping) == 11


def test_delta_runs_from_the_previous_windows_last_value() -> None:
    site = Site(windowed(Window.DELTA))
    for minutes, value in [(0, 100), (4, 110), (6, 125), (9, 130), (21, 190)]:
        site.hear(minutes, value)
    assert [value for *_, value in site.finished()] == [10, 20]
    assert site.closed()[-1][-1] == 60


def test_delta_bridges_windows_that_never_had_the_value() -> None:
    site = Site(windowed(Window.DELTA))
    for minutes, value in [(0, 100), (5, None), (10, 130)]:
        site.hear(minutes, value)
    assert [row[-1] for row in site.closed()] == [0, None, 30]


def test_delta_bridges_a_restart() -> None:
    before = Site(windowed(Window.DELTA))
    before.hear(0, 100)
    before.hear(11, 140)
    site = before.after_restart()
    site.hear(12, 145)
    assert [row[-1] for row in site.closed()] == [45]


def test_two_sources_do_not_share_a_counter() -> None:
    site = Site(windowed(Window.DELTA))
    for minutes, value, source in [(0, 5, "A"), (0, 900, "B"), (6, 6, "A"), (6, 902, "B")]:
        site.hear(minutes, value, source)
    assert sorted((row[2], row[3]) for row in site.closed()) == [("A", 0), ("A", 1), ("B", 0), ("B", 2)]


def test_a_counter_reading_out_of_order_is_no_restart() -> None:
    site = Site(windowed(Window.DELTA))
    for minutes, value in [(1, 1000), (3, 1010), (2, 1005), (4, 1012), (0, 990)]:
        site.hear(minutes, value)
    assert site.closed()[0][-1] == 22


@pytest.mark.parametrize(("window", "wanted"), [(Window.FIRST, 1), (Window.LAST, 3)])
def test_first_and_last_go_by_the_time_of_the_reading(window: Window, wanted: int) -> None:
    site = Site(windowed(window))
    for minutes, value in [(1, 2), (2, 3), (0, 1), (1.5, 9)]:
        site.hear(minutes, value)
    assert site.closed()[0][-1] == wanted


def test_of_two_readings_at_one_instant_the_one_heard_later_is_the_last() -> None:
    site = Site(windowed(Window.LAST))
    site.hear(1, 5)
    site.hear(1, 6)
    assert site.closed()[0][-1] == 6


# --- when windows close


def test_a_window_closes_when_its_source_reports_from_two_windows_on() -> None:
    site = Site(windowed(Window.LAST))
    site.hear(0, 1)
    site.hear(9.99, 2)
    assert site.finished() == []
    site.hear(10, 3)
    assert site.finished() == [(0, 1, 1)]


def test_a_straggler_joins_the_window_before() -> None:
    site = Site(windowed(Window.SUM))
    for minutes in (0, 6, 1, 7):
        site.hear(minutes, 1)
    assert [row[1:] for row in site.closed()] == [(-2, "A", 2), (-2, "A", 2)]


def test_a_straggler_opens_the_window_before_where_there_was_none() -> None:
    site = Site(windowed(Window.SUM))
    site.hear(0, 1)  # so that the window at 10 is whole
    for minutes in (16, 12, 13):
        site.hear(minutes, 1)
    assert site.finished() == [(0, 1, 1)]
    site.hear(20, 1)
    assert site.finished() == [(0, 1, 1), (10, 2, 2)]


def test_a_reading_for_a_closed_window_is_late_and_counted() -> None:
    site = Site(windowed(Window.LAST))
    for minutes in (0, 5, 10):
        site.hear(minutes, 1)
    assert site.hear(4, 9) == 0
    assert site.windows.late == 1
    assert [value for *_, value in site.finished()] == [1]


def test_a_reading_from_two_windows_back_is_late_even_if_that_one_was_never_open() -> None:
    site = Site(windowed(Window.LAST))
    site.hear(11, 1)
    assert site.hear(1, 9) == 0
    assert site.windows.late == 1


def test_a_silent_source_reports_after_two_lengths_of_monotonic_time() -> None:
    site = Site(windowed(Window.LAST))
    site.hear(0, 1)
    look(site, 1000)
    look(site, 1000 + 2 * FIVE_MS - 1)
    assert site.finished() == []
    site.windows.mono_ms += 1
    site.windows.close_idle()
    assert site.finished() == [(0, 1, 1)]
    assert not site.windows.has_open


def test_a_replay_of_old_readings_is_not_cut_by_the_clock_on_the_wall() -> None:
    site = Site(windowed(Window.COUNT))
    site.windows.mono_ms = 1000
    for day in range(3):
        site.hear(day * 1440, 1)
        site.windows.close_idle()
    assert [count for _, count, _ in site.finished()] == [1, 1]


def test_only_the_older_of_two_windows_closes_when_only_it_is_idle() -> None:
    site = Site(windowed(Window.LAST))
    site.hear(0, 1)
    look(site, 1000)
    site.hear(5, 2)
    look(site, 1000 + FIVE_MS)
    look(site, 1000 + 2 * FIVE_MS)
    assert site.finished() == [(0, 1, 1)]
    assert site.hear(4, 9) == 0
    assert site.hear(9, 3) == 1


def test_windows_of_a_source_close_in_order_even_if_the_older_was_opened_later() -> None:
    site = Site(windowed(Window.DELTA))
    site.hear(0, 10)
    site.hear(11, 30)
    look(site, 1000)
    site.hear(6, 20)  # a straggler opens the window before the newest
    look(site, 1000 + FIVE_MS)
    look(site, 1000 + 2 * FIVE_MS)
    assert site.finished() == [(0, 1, 0), (5, 1, 10), (10, 1, 10)]
    assert site.hear(7, 9) == 0


def test_a_window_opened_after_the_board_slept_is_not_idle_at_the_next_look() -> None:
    site = Site(windowed(Window.LAST))
    look(site, 1000)
    site.hear(0, 1)  # hours later, but nobody has looked at the clock since
    look(site, 10**9)
    assert site.finished() == []
    look(site, 10**9 + 2 * FIVE_MS)
    assert site.finished() == [(0, 1, 1)]


def test_windows_say_up_to_when_they_are_open_or_closed() -> None:
    site = Site(windowed(Window.SUM))
    assert site.windows.latest_ms() == 0
    site.hear(1, 5)
    site.hear(6, 5, source="B")
    assert site.windows.latest_ms() == NOON_MS + 2 * FIVE_MS
    look(site, 1000)
    look(site, 1000 + 2 * FIVE_MS)
    assert not site.windows.has_open
    assert site.windows.latest_ms() == NOON_MS + 2 * FIVE_MS


def test_windows_begin_where_the_day_of_the_site_begins() -> None:
    site = Site(windowed(Window.LAST, minutes=1440), offset_ms=23 * 60 * MINUTE_MS)
    site.hear(0, 1)
    assert site.closed()[0][0] == NOON_MS - 13 * 60 * MINUTE_MS


def test_a_view_without_the_source_still_groups_by_it() -> None:
    kind = kind_of(COUNTER)
    site = Site(view_of(kind, ViewField(COUNTER, Window.SUM), every_ms=FIVE_MS))
    site.hear(0, 1, "A")
    site.hear(0, 1, "B")
    assert [row[1:] for row in site.closed()] == [(-1, 1), (-1, 1)]


# --- partial windows


def test_the_window_a_site_starts_in_is_partial() -> None:
    site = Site(windowed(Window.LAST))
    for minutes in (3, 5, 10, 15):
        site.hear(minutes, 1)
    assert [count for _, count, _ in site.finished()] == [-1, 1]


def test_cutting_closes_everything_as_partial_and_forgets_the_sources() -> None:
    site = Site(windowed(Window.DELTA))
    for minutes, value in [(0, 10), (5, 20), (6, 30)]:
        site.hear(minutes, value)
    site.windows.cut()
    assert site.finished() == [(0, -1, 0), (5, -2, 20)]
    site.hear(7, 99)
    assert site.closed()[-1][-1] == 0  # no counting across what may have been a time without consent


def test_where_the_stream_goes_on_a_cut_loses_nothing_of_a_counter() -> None:
    site = Site(windowed(Window.DELTA))
    for minutes, value in [(0, 10), (5, 20), (6, 30)]:
        site.hear(minutes, value)
    site.windows.cut(goes_on=True)
    assert site.finished() == [(0, -1, 0), (5, -2, 20)]
    for minutes, value in [(7, 45), (11, 50)]:
        site.hear(minutes, value)
    site.windows.cut(goes_on=True)
    site.windows.cut(goes_on=True)  # nothing is open: nothing changes
    site.hear(16, 51)
    site.closed()
    assert site.finished()[2:] == [(5, -1, 15), (10, -1, 5), (15, -1, 1)]
    assert sum(row[-1] for row in site.finished()) == 51 - 10


def test_a_window_before_the_one_that_was_cut_stays_closed() -> None:
    site = Site(windowed(Window.DELTA))
    for minutes in (0, 5, 10, 15):
        site.hear(minutes, 10)
    site.windows.cut(goes_on=True)
    assert site.hear(4, 9) == 0
    assert site.windows.late == 1


def test_what_comes_out_of_order_after_a_cut_is_counted_once() -> None:
    site = Site(windowed(Window.DELTA))
    for minutes, value in [(0, 10), (3, 30)]:
        site.hear(minutes, value)
    site.windows.cut(goes_on=True)
    site.hear(1, 15)  # measured before the cut, told by it
    site.windows.cut(goes_on=True)
    site.hear(2, 20)
    site.hear(4, 40)
    site.windows.cut(goes_on=True)
    assert [row[-1] for row in site.finished()] == [20, 0, 10]


def test_a_counter_goes_on_through_a_cut_and_a_restart() -> None:
    site = Site(windowed(Window.DELTA))
    site.hear(0, 10)
    site.windows.cut(goes_on=True)
    again = site.after_restart()
    again.hear(1, 17)
    assert again.closed()[-1][-1] == 7


def test_what_is_discarded_makes_no_row() -> None:
    site = Site(windowed(Window.LAST))
    site.hear(0, 1)
    site.windows.discard()
    assert site.closed() == []
    assert not site.windows.has_open


# --- restarts


def test_a_snapshot_holds_no_raw_source_unless_the_view_keeps_it() -> None:
    kept, hidden = (ViewField(SERIAL, text=rule, amount=1) for rule in (TextRule.KEEP, TextRule.PSEUDONYM))
    kind = kind_of(COUNTER)
    found = []
    for shown in (kept, hidden):
        site = Site(view_of(kind, shown, ViewField(COUNTER, Window.SUM), every_ms=FIVE_MS))
        site.hear(0, 1, "CANARY-408000")
        site.hear(6, 1, "CANARY-408000")
        found.append(b"CANARY-408000" in cbor.encode(site.windows.snapshot(tag_of)))
    assert found == [True, False]


@pytest.mark.parametrize("window", list(Window))
def test_a_window_goes_on_after_a_restart_and_is_partial(window: Window) -> None:
    site, before = Site(windowed(window)), Site(windowed(window))
    for at, value in enumerate([7, 5, 2, 12]):
        (before if at < 2 else site).hear(5 + at, value)
        if at == 1:
            site = before.after_restart()
    wanted = filled(window, 7, 5, 2, 12)
    assert [row[1:] for row in site.closed()] == [(-4, "A", wanted)]


def test_two_open_windows_go_on_after_a_restart() -> None:
    before = Site(windowed(Window.SUM))
    before.hear(0, 1)
    before.hear(5, 1)
    site = before.after_restart().after_restart()
    for minutes in (4, 6):
        site.hear(minutes, 10)
    assert [(row[1], row[3]) for row in site.closed()] == [(-2, 11), (-2, 11)]


def test_a_window_after_a_restart_follows_in_order() -> None:
    before = Site(windowed(Window.SUM))
    before.hear(0, 1)
    site = before.after_restart()
    site.hear(10, 1)
    assert site.finished() == [(0, -1, 1)]


def test_what_is_late_before_a_restart_is_late_after_it() -> None:
    before = Site(windowed(Window.LAST))
    for minutes in (0, 10):
        before.hear(minutes, 1)
    site = before.after_restart()
    assert site.hear(1, 9) == 0


def test_a_source_not_heard_after_a_restart_reports_when_idle() -> None:
    before = Site(windowed(Window.LAST))
    before.hear(0, 7)
    site = before.after_restart(mono_ms=5000)
    site.windows.mono_ms = 5000 + 2 * FIVE_MS
    site.windows.close_idle()
    assert site.rows() == [(NOON_MS, -1, "A", 7)]


def test_a_new_source_after_a_restart_is_not_taken_for_a_restored_one() -> None:
    before = Site(windowed(Window.SUM))
    before.hear(0, 1, "A")
    site = before.after_restart()
    site.hear(1, 5, "B")
    assert sorted(row[2:] for row in site.closed()) == [("A", 1), ("B", 5)]


def test_sums_beyond_64_bits_survive_a_restart_and_leave_as_none() -> None:
    most = (1 << 53) - 1
    wide = field("value", low=-most, high=most)
    sums = []
    for window in (Window.SUM, Window.MEAN):
        before = Site(windowed(window, declared=wide))
        for _ in range(2100):
            before.hear(0, -most)
        site = before.after_restart()
        site.hear(1, -most)
        sums.append(site.closed()[0][-1])
    assert sums == [None, -most]


def test_views_that_gather_the_same_name_a_text_each_by_names_of_its_own() -> None:
    note = field("note", FieldType.TEXT, max_length=8)
    kind = kind_of(note)
    view = view_of(kind, ViewField(note, Window.LAST, text=TextRule.PSEUDONYM), every_ms=FIVE_MS)
    keys = [PseudonymKey(bytes([number]) * 32) for number in (1, 2)]
    outlets = [make_outlet(view, names={"note": Pseudonyms(key, "note")}) for key in keys]
    take = compile_kind(kind, [(outlet, collect_grant()) for outlet in outlets], Tally())
    take({"serial": "A", "note": "x"}, NOON_MS)
    for outlet in outlets:
        assert outlet.windows is not None
        outlet.windows.cut()
    assert [outlet.rows[0][-1] for outlet in outlets] == [Pseudonyms(key, "note")("x") for key in keys]


# --- bounds


def test_invented_sources_never_take_more_than_their_room() -> None:
    site = Site(windowed(Window.LAST))
    most = 2 * site.outlets[0].view.kind.max_sources
    for at in range(50):
        site.windows.roll(f"invented {at}", NOON_MS + at)
        assert len(site.windows._trails) <= most


def test_the_source_unheard_for_longest_makes_room_and_its_window_is_not_lost() -> None:
    site = Site(windowed(Window.COUNT))
    for number in range(9):
        pane = site.windows.roll(str(number), NOON_MS)
        assert pane is not None
        pane[2] += 1
    assert [row[1:3] for row in site.rows()] == [(-1, "0")]
    assert site.windows.forgotten == 1


def test_a_source_without_an_open_window_makes_room_first() -> None:
    site = Site(windowed(Window.COUNT))
    for number in range(8):
        site.windows.roll(str(number), NOON_MS)
    site.windows.mono_ms = 1
    site.windows.close_idle()
    site.windows.mono_ms += 2 * FIVE_MS
    site.windows.close_idle()
    site.windows.roll("0", NOON_MS + FIVE_MS)
    site.rows().clear()
    site.windows.roll("new", NOON_MS + FIVE_MS)
    assert site.rows() == []
    assert [source for source, trail in site.windows._trails.items() if trail.current] == ["0", "new"]


def test_a_forgotten_source_that_comes_back_opens_a_partial_window() -> None:
    site = Site(windowed(Window.COUNT))
    site.windows.roll("first", NOON_MS)
    for number in range(8):
        site.windows.roll(str(number), NOON_MS + 1)
    pane = site.windows.roll("first", NOON_MS + 2)
    assert pane is not None
    assert pane[3] == 1


def test_restored_windows_make_room_too() -> None:
    before = Site(windowed(Window.COUNT))
    for number in range(4):
        before.hear(0, 1, str(number))
    site = before.after_restart()
    for number in range(10, 17):
        site.windows.roll(str(number), NOON_MS)
    assert len(site.windows._trails) == 8


def test_a_window_is_open_until_it_closes() -> None:
    site = Site(windowed(Window.SUM))
    assert not site.windows.has_open
    site.hear(1, 5)
    assert site.windows.has_open
    site.windows.cut()
    assert not site.windows.has_open
