"""
Records of systems that speak JSON: which readings they are, whatever else is in them.
"""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import Malformed
from edge_sdk.sources.aux_cloud import SHAPES, distance_km
from edge_sdk.sources.nanolux import controller_readings
from edge_sdk.sources.records import (
    MAX_ITEMS,
    MAX_LINE_BYTES,
    captured,
    lines,
    lowered,
    readings,
    tenth,
    thousandfold,
    total,
    truth,
    value_at,
)
from tests.examples import captures

CENTRE = (48.4, 11.7)


def fields_of(record: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [fields for of_kind, fields in readings(record, SHAPES) if of_kind == kind]
    return found


def test_an_inverter_says_what_it_gives_in_watts() -> None:
    assert fields_of(captures.auxsol_inverter(), "inverter") == {
        "serial": captures.SN, "status": "01", "ac_power": 1920.0, "pv_power": 1027, "energy": 2127900.0,
        "ac_voltage": 230.1, "frequency": 50.01, "soc": 64,
    }  # fmt: skip


def test_a_record_is_of_every_shape_it_has() -> None:
    kinds = [kind for kind, _ in readings(captures.auxsol_inverter(), SHAPES)]
    assert kinds == ["inverter", "installation"]
    assert [kind for kind, _ in readings(captures.appliance(), SHAPES)] == ["air_conditioner", "appliance"]


def test_an_air_conditioner_counts_in_tenths() -> None:
    assert fields_of(captures.appliance(), "air_conditioner") == {
        "device_id": captures.DID, "power_on": True, "set_point": 21.5, "room": 23.6, "sleep": True, "child_lock": True,
    }  # fmt: skip


def test_a_controller_has_days_left_and_lamps_of_its_own() -> None:
    at_ms = 1_760_000_000_000
    found = controller_readings(captures.controller(licenceEnds=1_760_000_000 + 86_400 * 3 - 1), at_ms)
    assert [kind for kind, _ in found] == ["controller", "lamp", "lamp"]
    assert found[0][1]["licence_days"] == 2
    assert found[1][1]["lights_on"] == "06:17"


@pytest.mark.parametrize("record", [None, 5, [], "x", {}, {"plant": None}, {"energyData": None}])
def test_a_record_of_no_shape_is_no_reading(record: object) -> None:
    assert readings(record, SHAPES) == []


@pytest.mark.parametrize(
    ("path", "found"),
    [("a.b", 1), ("a.c", None), ("l.1", 2), ("l.7", None), ("l.*", [1, 2]), ("d.*.x", [3, 5]), ("d.*.z", None)],
)
def test_a_path_leads_to_a_value_or_to_nothing(path: str, found: object) -> None:
    record = {"a": {"b": 1}, "l": [1, 2], "d": [{"x": 3}, 4, {"x": 5}]}
    assert value_at(record, path) == found


def test_of_a_list_so_many_items_are_looked_at() -> None:
    record = {"l": list(range(10_000))}
    assert value_at(record, "l.*") == list(range(MAX_ITEMS))
    assert value_at(record, f"l.{MAX_ITEMS}") is None


@pytest.mark.parametrize("turn", [thousandfold, tenth, truth, total, lowered])
@pytest.mark.parametrize("value", [None, [], {}, "x", True, 10**400, [1, "x"], [10**400, 1.5], b"x"])
def test_what_cannot_be_turned_stays_what_it_is(turn: Any, value: object) -> None:
    unlike = (turn, value) == (total, []) and turn(value) == 0
    assert unlike or turn(value) == value


@pytest.mark.parametrize("place", [None, 5, "48,11", [48], [48, 11, 0], ["48", "11"], [91, 0], [0, 181], [True, 1]])
def test_what_is_no_place_has_no_distance(place: object) -> None:
    assert distance_km(place, CENTRE) is None


def test_places_have_a_distance_over_the_globe() -> None:
    assert distance_km([48.137, 11.575], CENTRE) == pytest.approx(30.7, abs=0.1)
    assert distance_km([48.4, 11.7], CENTRE) == pytest.approx(0, abs=0.001)
    assert distance_km([-48.4, -168.3], CENTRE) == pytest.approx(20015, abs=1)
    assert distance_km([float("nan"), 0.0], CENTRE) is None


@pytest.mark.parametrize("line", captures.HOSTILE_LINES)
def test_a_line_that_is_none_is_refused_and_not_repeated(line: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        captured(line)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_line_that_is_too_long_is_refused_once_and_what_follows_is_read() -> None:
    good = captures.within_this_hour(captures.module())[0]
    hidden = b" " * MAX_LINE_BYTES + b" " + good  # read in pieces, its end would be a line of its own
    found = list(lines(io.BytesIO(hidden + b"\n" + b"x" * MAX_LINE_BYTES + b"\n" + good + b"\n" + b"y" * 900_000)))
    assert [len(line) > MAX_LINE_BYTES for line in found] == [True, True, False, True]
    assert captured(found[2])[1] == captures.module()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
AUX = [captures.auxsol_inverter(), captures.module(), captures.survey(), captures.appliance()]
RECORDS = [*AUX, captures.controller()]


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """Return a record of some system with some values replaced, anywhere in it."""
    record: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(RECORDS))))
    for _ in range(draw(st.integers(0, 3))):
        within: Any = record
        while True:
            key = draw(st.sampled_from(sorted(within) if isinstance(within, dict) else range(len(within))))
            if not isinstance(within[key], dict | list) or not within[key] or draw(st.booleans()):
                within[key] = draw(JSON)
                break
            within = within[key]
    return record


def look_at(line: bytes) -> None:
    """Have every table look at a line: what it makes of it is readings, or it is Malformed and carries nothing."""
    try:
        at_ms, record = captured(line)
    except Malformed as error:
        carried, found = error.__context__, []
    else:
        carried, found = None, [*readings(record, SHAPES), *controller_readings(record, at_ms)]
    assert carried is None
    for kind, fields in found:
        assert kind
        distance_km(fields.get("place"), CENTRE)


@settings(max_examples=50)
@given(st.integers(), damaged())
def test_any_record_is_readings(at_ms: int, record: dict[str, Any]) -> None:
    look_at(json.dumps({"at_ms": at_ms, "record": record}).encode())


@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_readings_or_malformed(line: bytes) -> None:
    look_at(line)


@pytest.mark.slow
@settings(max_examples=2_000)
@given(st.integers(), damaged())
def test_a_great_many_records_are_readings(at_ms: int, record: dict[str, Any]) -> None:
    look_at(json.dumps({"at_ms": at_ms, "record": record}).encode())
