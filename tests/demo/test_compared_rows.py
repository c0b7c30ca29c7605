"""
Rows are compared by value: every kind of difference is seen, and a pseudonym's own bytes are none.
"""

from __future__ import annotations

import shutil

import pytest

from edge_sdk.cli import demo_rows
from edge_sdk.cli.demo_folders import Folders
from edge_sdk.collector.folder import open_rows
from edge_sdk.core.table import Row
from tests.demo.conftest import Run

ByPlace = dict[demo_rows.Place, list[Row]]
WINDOWS = ("monitoring", "inverter")
HIDDEN = ("improvement", "inverter")
EVENTS = ("alarms", "alarm")


@pytest.fixture(scope="module")
def opened_once(run: Run, tmp_path_factory: pytest.TempPathFactory) -> ByPlace:
    top = tmp_path_factory.mktemp("opened") / "copy"
    shutil.copytree(run.folders.top, top)
    return demo_rows.as_minimised(open_rows(Folders(top).collector))


@pytest.fixture
def opened(opened_once: ByPlace) -> ByPlace:
    return {place: list(rows) for place, rows in opened_once.items()}


def differences(run: Run, opened: ByPlace) -> list[tuple[demo_rows.Place, int, int]]:
    compared = demo_rows.compare(demo_rows.views_of(run.policy), run.played.minimised, opened)
    return [(found.place, found.missing, found.besides) for found in compared if found.missing or found.besides]


def pseudonym_place(run: Run) -> int:
    view = demo_rows.views_of(run.policy)[HIDDEN]
    assert view.group is not None
    return 2 + view.group


def renamed(row: Row, at: int, name: bytes) -> Row:
    return (*row[:at], name, *row[at + 1 :])


def test_what_arrived_is_what_was_minimised(run: Run, opened: ByPlace) -> None:
    assert differences(run, opened) == []
    assert {place for place, rows in opened.items() if rows} == set(demo_rows.views_of(run.policy))


def test_windows_cut_at_the_end_arrive_as_partial_rows(opened: ByPlace) -> None:
    assert any(row[1] < 0 for row in opened[WINDOWS])


def test_another_value_is_seen(run: Run, opened: ByPlace) -> None:
    row = opened[WINDOWS][5]
    opened[WINDOWS][5] = (*row[:2], row[2] + 1, *row[3:])
    assert differences(run, opened) == [(WINDOWS, 1, 1)]


def test_another_count_of_a_window_is_seen(run: Run, opened: ByPlace) -> None:
    row = opened[WINDOWS][5]
    opened[WINDOWS][5] = (row[0], row[1] + 1, *row[2:])
    assert differences(run, opened) == [(WINDOWS, 1, 1)]


def test_a_row_that_came_twice_is_seen(run: Run, opened: ByPlace) -> None:
    opened[EVENTS].append(opened[EVENTS][0])
    assert differences(run, opened) == [(EVENTS, 0, 1)]


def test_rows_of_a_purpose_nobody_declared_are_seen(run: Run, opened: ByPlace) -> None:
    opened["marketing", "inverter"] = opened[EVENTS][:2]
    assert differences(run, opened) == [(("marketing", "inverter"), 0, 2)]


def test_other_names_for_the_same_devices_are_no_difference(run: Run, opened: ByPlace) -> None:
    at = pseudonym_place(run)
    opened[HIDDEN] = [renamed(row, at, row[at][::-1]) for row in opened[HIDDEN]]
    assert differences(run, opened) == []


def test_two_devices_under_one_name_are_seen(run: Run, opened: ByPlace) -> None:
    at = pseudonym_place(run)
    first, second = sorted({row[at] for row in opened[HIDDEN]})[:2]
    opened[HIDDEN] = [renamed(row, at, first) if row[at] == second else row for row in opened[HIDDEN]]
    assert [place for place, _, _ in differences(run, opened)] == [HIDDEN]


def test_one_device_under_two_names_is_seen(run: Run, opened: ByPlace) -> None:
    at = pseudonym_place(run)
    opened[HIDDEN][0] = renamed(opened[HIDDEN][0], at, bytes(16))
    assert [place for place, _, _ in differences(run, opened)] == [HIDDEN]
