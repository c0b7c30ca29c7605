from __future__ import annotations

import math
from typing import Any

import pytest

from edge_sdk.core.compile import make_outlet
from edge_sdk.core.joining import Joints
from edge_sdk.core.policy import FieldType, TextRule, ViewField, Window
from edge_sdk.core.units import Step
from tests.minimising import MINUTE_MS, NOON_MS, SERIAL, Minimised, field, keep, kind_of, view_of, windowed

FIELDS = (
    field("power", step=Step(1, -1), low=-1000, high=5000),
    field("energy", FieldType.COUNTER, low=0, high=10**6),
    field("thirds", step=Step(1, 1), low=-100, high=100),
    field("state", FieldType.ENUM, values=("off", "on")),
    field("alarms", FieldType.FLAGS, values=("a", "b")),
    field("door", FieldType.BOOL),
    field("lan_ip", FieldType.IP),
)
KIND = kind_of(*FIELDS)
PLAIN = view_of(KIND, *[ViewField(one) for one in FIELDS[:6]], keep(SERIAL))
_MEAN = Window.MEAN
TIMES = [NOON_MS, NOON_MS + 1000]
USUAL: dict[str, list[Any]] = {
    "serial": ["A", "A"],
    "power": [2.54, -3.0],
    "energy": [7, 8],
    "thirds": [20, -70],
    "state": ["on", "off"],
    "alarms": [3, 0],
    "door": [True, False],
}


def fed(*views: Any) -> Minimised:
    """Return a kind whose one source is known."""
    minimised = Minimised(KIND, *views)
    minimised.take({"serial": "A"}, NOON_MS - 5)
    for at in range(len(views)):
        minimised.rows(at).clear()
    return minimised


def one_by_one(columns: dict[str, list[Any]], *views: Any) -> Minimised:
    minimised = fed(*views)
    for at, *values in zip(TIMES, *columns.values(), strict=True):
        minimised.take(dict(zip(columns, values, strict=True)), at)
    return minimised


def test_usual_readings_are_taken_as_columns_and_become_the_same_rows() -> None:
    minimised = fed(PLAIN)
    assert minimised.take_columns(USUAL, TIMES) == 2
    assert minimised.rows() == one_by_one(USUAL, PLAIN).rows()
    assert minimised.rows()[0][:3] == (NOON_MS, 25, 7)


@pytest.mark.parametrize("name", sorted(USUAL))
def test_a_field_that_no_reading_has_is_absent_of_all(name: str) -> None:
    columns = {other: values for other, values in USUAL.items() if other != name}
    minimised = fed(PLAIN)
    assert minimised.take_columns(columns, TIMES) == (None if name == "serial" else 2)
    assert minimised.rows() == (one_by_one(columns, PLAIN).rows() if name != "serial" else [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("serial", "new"),
        ("serial", "\N{SNOWMAN}"),
        ("serial", "x" * 17),
        ("serial", None),
        ("power", math.nan),
        ("power", math.inf),
        ("power", 501.0),
        ("power", 3),  # beside a float
        ("power", None),
        ("energy", -1),
        ("energy", True),
        ("energy", "7"),
        ("state", "broken"),
        ("state", []),
        ("alarms", 4),
        ("alarms", -1),
        ("door", 1),
    ],
)
def test_the_first_thing_that_is_not_usual_has_none_of_them_taken(name: str, value: object) -> None:
    for values in ([USUAL[name][0], value], [value, USUAL[name][1]]):
        minimised = fed(PLAIN)
        assert minimised.take_columns(USUAL | {name: values}, TIMES) is None
        assert minimised.rows() == []


def test_an_address_and_a_field_that_is_not_declared_are_left_to_the_one_by_one() -> None:
    for name in ("lan_ip", "owner"):
        assert fed(PLAIN).take_columns(USUAL | {name: ["10.0.0.1", "10.0.0.2"]}, TIMES) is None


def test_what_two_views_have_alike_is_made_once_and_both_have_it() -> None:
    coarse = view_of(KIND, ViewField(FIELDS[0], band=(0, 100)), ViewField(SERIAL, text=TextRule.PSEUDONYM))
    minimised = fed(coarse, coarse, PLAIN, PLAIN)
    assert minimised.take_columns(USUAL, TIMES) == 2
    wanted = one_by_one(USUAL, coarse, coarse, PLAIN, PLAIN)
    assert [minimised.rows(at) for at in range(4)] == [wanted.rows(at) for at in range(4)]
    assert minimised.rows(2)[0] is minimised.rows(3)[0]


def test_windows_gather_by_column_what_they_gather_one_by_one() -> None:
    view = windowed(_MEAN, minutes=5)
    times = [NOON_MS + step * MINUTE_MS for step in range(80)]
    found, wanted = Minimised(view.kind, view), Minimised(view.kind, view)
    for minimised in (found, wanted):
        minimised.take({"serial": "A", "value": 0}, NOON_MS)
    assert found.take_columns({"serial": ["A"] * 80, "value": list(range(80))}, times)
    for at, value in zip(times, range(80), strict=True):
        wanted.take({"serial": "A", "value": value}, at)
    assert found.closed() == wanted.closed()


@pytest.mark.parametrize("devices", ["A", "ABCD"])
def test_however_many_readings_come_few_of_a_source_wait_in_its_block(devices: str) -> None:
    view = windowed(_MEAN, minutes=5)
    windows = make_outlet(view, names={}).windows
    assert windows is not None
    joints = Joints([windows], ["value"], block_rows=10)
    sources = [*devices * (400 // len(devices))]
    for times in (range(400), [at ^ 1 for at in range(400)]):  # in order, and not
        assert joints.gather_columns(devices, sources, [NOON_MS + at for at in times], ([1] * 400,)) == 400
        assert all(len(joints.open[source].rows) < 10 for source in devices)
