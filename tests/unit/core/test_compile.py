from __future__ import annotations

import math
from typing import Any, cast

import pytest

from edge_sdk.core.compile import Outlet, Tally, compile_kind, forget_sources, make_outlet
from edge_sdk.core.consent import CollectGrant
from edge_sdk.core.policy import FieldType, TextRule, ViewField, Window
from edge_sdk.core.units import Step
from tests.minimising import (
    KEY,
    MINUTE_MS,
    NOON_MS,
    SERIAL,
    Minimised,
    field,
    keep,
    kind_of,
    names_of,
    view_of,
)

POWER = field("power", step=Step(1, -1), low=-1000, high=5000)
ADDRESS = field("lan_ip", FieldType.IP)
KIND = kind_of(POWER, ADDRESS)
PLAIN = view_of(KIND, keep(SERIAL), ViewField(POWER))
READING = {"serial": "A", "power": 2.5, "lan_ip": "192.168.1.2"}


def one(view_field: ViewField, value: object) -> Any:
    """Return what leaves of *value* through a view of one field."""
    kind = kind_of(view_field.field)
    minimised = Minimised(kind, view_of(kind, view_field))
    assert minimised.take({"serial": "A", view_field.field.name: value}) == 1
    return minimised.rows()[0][1]


def test_nothing_is_bound_without_a_grant() -> None:
    outlet, no_grant = make_outlet(PLAIN, names={}), cast(CollectGrant, None)
    with pytest.raises(TypeError, match="without a grant"):
        compile_kind(KIND, [(outlet, no_grant)], Tally())


def test_a_reading_becomes_one_row_a_view() -> None:
    minimised = Minimised(KIND, PLAIN, view_of(KIND, ViewField(POWER, factor=10)))
    assert minimised.take(READING) == 2
    assert minimised.rows(0) == [(NOON_MS, "A", 25)]
    assert minimised.rows(1) == [(NOON_MS, 3)]


def test_every_outlet_that_took_a_reading_is_counted_windows_or_not() -> None:
    total = view_of(KIND, ViewField(POWER, Window.SUM), every_ms=MINUTE_MS)
    minimised = Minimised(KIND, PLAIN, total)
    assert [minimised.take(READING, NOON_MS + at) for at in (0, 2 * MINUTE_MS)] == [2, 2]
    assert minimised.take(READING, NOON_MS) == 1  # late for the window


def test_a_kind_no_purpose_may_have_takes_nothing() -> None:
    assert Minimised(KIND).take(READING) == 0


@pytest.mark.parametrize(
    ("view_field", "value", "leaves"),
    [
        (ViewField(POWER), 2.5, 25),
        (ViewField(POWER), 2, 20),
        (ViewField(POWER), None, None),
        (ViewField(POWER, factor=10), None, None),
        (ViewField(POWER, factor=10), -0.5, 0),
        (ViewField(POWER, band=(0, 100)), 10, 2),
        (ViewField(POWER, band=(0, 100)), None, None),
        (ViewField(POWER, clip=(0, 100)), 400, 100),
        (ViewField(POWER, clip=(0, 100), factor=8), 400, 13),
        (ViewField(POWER, clip=(0, 100)), None, None),
        (ViewField(field("mode", FieldType.ENUM, values=("off", "on"))), "on", 1),
        (ViewField(field("on", FieldType.BOOL)), True, 1),
        (ViewField(field("bits", FieldType.FLAGS, values=("a", "b"))), 3, 3),
        (ViewField(ADDRESS, text=TextRule.TRUNCATE_IP, amount=16), "192.168.1.2", "192.168.0.0/16"),
        (ViewField(ADDRESS, text=TextRule.TRUNCATE_IP, amount=16), None, None),
        (keep(ADDRESS), "192.168.1.2", "192.168.1.2"),
        (keep(ADDRESS), None, None),
    ],
)
def test_a_value_leaves_as_its_view_says(view_field: ViewField, value: object, leaves: object) -> None:
    assert one(view_field, value) == leaves


def test_a_pseudonym_is_made_with_the_key_of_its_purpose() -> None:
    hidden = ViewField(SERIAL, text=TextRule.PSEUDONYM)
    view = view_of(KIND, hidden)
    minimised = Minimised(KIND, view)
    minimised.take(READING)
    assert minimised.rows() == [(NOON_MS, names_of(view)["serial"]("A"))]


def test_the_source_of_a_window_is_shown_by_its_rule() -> None:
    view = view_of(KIND, ViewField(SERIAL, text=TextRule.MASK, amount=0), ViewField(POWER, Window.LAST), every_ms=1000)
    minimised = Minimised(KIND, view)
    minimised.take(READING)
    assert minimised.closed() == [(NOON_MS, -1, "*", 25)]


def test_a_window_without_a_value_of_its_own_still_counts_its_readings() -> None:
    minimised = Minimised(KIND, view_of(KIND, keep(SERIAL), every_ms=1000))
    for _ in range(3):
        minimised.take(READING)
    assert minimised.closed() == [(NOON_MS, -3, "A")]


def test_a_clipped_value_is_gathered_clipped() -> None:
    view = view_of(KIND, ViewField(POWER, Window.MAX, clip=(0, 10)), every_ms=1000)
    minimised = Minimised(KIND, view)
    minimised.take(READING)
    assert minimised.closed() == [(NOON_MS, -1, 10)]


# --- what is dropped, and how it is counted


def test_an_unknown_field_is_dropped_and_counted() -> None:
    minimised = Minimised(KIND, PLAIN)
    assert minimised.take(READING | {"ssid": "CANARY", "owner": None}) == 1
    assert minimised.tally == Tally(unknown_fields=2)
    assert "CANARY" not in repr(minimised.rows())


@pytest.mark.parametrize("lacking", ["power", "lan_ip"])
def test_an_absent_field_is_no_unknown_one(lacking: str) -> None:
    minimised = Minimised(KIND, PLAIN)
    minimised.take({name: value for name, value in READING.items() if name != lacking})
    minimised.take(READING | {lacking: None})
    assert minimised.tally == Tally()


def test_an_unknown_field_is_counted_even_where_another_is_absent() -> None:
    minimised = Minimised(KIND, PLAIN)
    minimised.take({"serial": "A", "power": 1, "ssid": "x"})
    assert minimised.tally.unknown_fields == 1


def test_a_bad_value_costs_the_field() -> None:
    minimised = Minimised(KIND, PLAIN)
    assert minimised.take(READING | {"power": math.nan}) == 1
    assert minimised.rows() == [(NOON_MS, "A", None)]
    assert minimised.tally == Tally(invalid_values=1)


def test_a_bad_value_costs_the_reading_where_the_kind_says_so() -> None:
    strict = kind_of(POWER, on_invalid="reading")
    minimised = Minimised(strict, view_of(strict, ViewField(POWER)))
    assert minimised.take({"serial": "A", "power": 501}) == 0
    assert minimised.rows() == []
    assert minimised.tally == Tally(invalid_values=1, invalid_readings=1)


@pytest.mark.parametrize("source", [None, 408000123456, "\ud800", "x" * 10_000_000, b"\xff"])
def test_a_bad_source_costs_the_reading(source: object) -> None:
    minimised = Minimised(KIND, PLAIN)
    assert minimised.take(READING | {"serial": source}) == 0
    assert minimised.tally == Tally(invalid_values=source is not None, invalid_readings=1)


def test_sources_beyond_their_number_are_dropped_and_counted_until_they_are_forgotten() -> None:
    minimised = Minimised(KIND, PLAIN)
    taken = [minimised.take({"serial": f"invented {at % 10}"}) for at in range(20)]
    assert taken == [1, 1, 1, 1, *[0] * 6] * 2
    assert minimised.tally == Tally(too_many_sources=12)
    forget_sources(minimised.minimise)
    assert minimised.take({"serial": "invented 9"}) == 1


# --- the usual case and the strict definition agree


@pytest.mark.parametrize("step", [Step.parse("0.1"), Step.parse("0.3"), Step.parse("7"), Step.parse("0.000001")])
def test_near_2_to_the_53_steps_no_value_passes_its_bound(step: Step) -> None:
    most = min((1 << 53) - 1, int(step.decimal(1) ** -1 * ((1 << 53) - 1)))
    wide = field("n", step=step, low=-most, high=most)
    kind = kind_of(wide)
    minimised = Minimised(kind, view_of(kind, ViewField(wide)))
    bound = float(step.decimal(most))
    for value in (bound, -bound, math.nextafter(bound, math.inf), math.nextafter(-bound, 0)):
        minimised.take({"serial": "A", "n": value})
    assert all(row[1] is None or -most <= row[1] <= most for row in minimised.rows())


def test_a_range_without_a_whole_number_takes_no_integer() -> None:
    narrow = field("n", step=Step(1, -1), low=1, high=9)
    kind = kind_of(narrow)
    minimised = Minimised(kind, view_of(kind, ViewField(narrow)))
    for value in (0, 1, 0.5):
        minimised.take({"serial": "A", "n": value})
    assert [row[1] for row in minimised.rows()] == [None, None, 5]


def test_an_outlet_says_nothing_of_what_it_holds() -> None:
    minimised = Minimised(KIND, view_of(KIND, keep(SERIAL), every_ms=1000))
    outlet: Outlet = minimised.outlets[0]
    minimised.take(READING | {"serial": "CANARY-1"})
    minimised.closed()
    assert "CANARY" not in repr(outlet) + str(outlet.windows) + repr(minimised.tally)
    assert KEY.reveal().hex() not in repr(outlet.names)


def test_views_that_want_the_same_get_each_their_own_of_it() -> None:
    power = field("power", step=Step.parse(1))
    kind = kind_of(power)
    row = view_of(kind, keep(SERIAL), ViewField(power, factor=10))
    gathering = view_of(kind, keep(SERIAL), ViewField(power, Window.SUM), every_ms=MINUTE_MS)
    site = Minimised(kind, row, row, gathering, gathering)
    assert site.take({"serial": "A", "power": 57}) == 4
    assert site.rows(0) == site.rows(1) == [(NOON_MS, "A", 6)]
    site.rows(0).clear()
    assert len(site.rows(1)) == 1
    assert [row[2:] for row in site.closed(2)] == [row[2:] for row in site.closed(3)] == [("A", 57)]
