"""
Fields, lengths of time, places and days in words.
"""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.core.spoken import (
    counted,
    day_words,
    every_words,
    field_words,
    length_words,
    listed,
    name_words,
    place_words,
)
from tests.unit.policy_texts import policy

NUMBER = 'class = "telemetry", type = "number", unit = "W", min = -100, max = 100000, resolution = 0.1'
LABELS = ", ".join(f'"state_{number}"' for number in range(12))


def told(declared: str, rule: str, *, name: str = "ac_power", windows: bool = True) -> str:
    """Return the words for one field with one rule, in a view of windows or of every reading."""
    text = f"""
[policy]
name = "one"
version = "1"
[kinds.inverter]
source = "serial"
[kinds.inverter.fields]
serial = {{ class = "device_identifier", type = "text", max_length = 16 }}
{name} = {{ {declared} }}
[purposes.only]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
keep_at_most = "30d"
[purposes.only.views.inverter]
{'every = "5min"' if windows else ""}
[purposes.only.views.inverter.fields]
{name} = {rule}
"""
    return field_words(policy(text).purposes["only"].views[0].fields[0])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('{ window = "mean", round = 1 }', "the average AC power, rounded to 1 W"),
        ('{ window = "mean" }', "the average AC power, rounded to 0.1 W"),
        ('{ window = "min", round = 100 }', "the lowest AC power, rounded to 100 W"),
        ('{ window = "max", round = 5 }', "the highest AC power, rounded to 5 W"),
        ('{ window = "sum", round = 1 }', "the sum of all values of the AC power, rounded to 1 W"),
        ('{ window = "first", round = 1 }', "the first AC power, rounded to 1 W"),
        ('{ window = "last", round = 1 }', "the latest AC power, rounded to 1 W"),
        ('{ window = "count" }', "how many times the AC power was read"),
        ('{ window = "max", band = [100] }', "the highest AC power, only whether it is below 100 W or not"),
        (
            '{ window = "max", band = [50, 1000] }',
            "the highest AC power, only in which range it lies: below 50, 50 to 1000, or 1000 W and more",
        ),
        (
            '{ window = "max", band = [1, 2, 3, 4, 5, 6, 7, 8] }',
            "the highest AC power, only in which of 9 ranges it lies, from below 1 to 8 W or more",
        ),
        (
            '{ window = "mean", round = 1, clip = [0, 5000] }',
            "the average AC power, rounded to 1 W; what lies below 0 or above 5000 W is told as that limit",
        ),
    ],
)
def test_a_number_is_told_with_its_window_its_unit_and_how_coarse_it_is(rule: str, words: str) -> None:
    assert told(NUMBER, rule) == words


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ('class = "telemetry", type = "bool"', "the online state, as yes or no"),
        ('class = "telemetry", type = "integer", min = 0, max = 9', "the online, as a whole number"),
        ('class = "telemetry", type = "counter", unit = "s", resolution = 3600', "the online, rounded to 1 hour"),
        ('class = "telemetry", type = "number", unit = "s", min = 0, max = 9, resolution = 0.5',
         "the online, rounded to 0.5 seconds"),
        ('class = "telemetry", type = "number", unit = "degC", min = 0, max = 90, resolution = 0.1',
         "the online, rounded to 0.1 °C"),
        ('class = "telemetry", type = "enum", values = ["off", "in_fault"]', "the online, as one of: off, in fault"),
        (f'class = "telemetry", type = "enum", values = [{LABELS}]', "the online, as one of 12 named states"),
        ('class = "telemetry", type = "flags", values = ["too_hot"]',
         "the online, told as which of these apply: too hot"),
        (f'class = "telemetry", type = "flags", values = [{LABELS}]',
         "the online, told as which of 12 named conditions apply"),
        ('class = "text", type = "text"', "the online, in full"),
        ('class = "network_identifier", type = "ip"', "the online, in full"),
    ],
)  # fmt: skip
def test_what_is_kept_is_told_by_its_type(declared: str, words: str) -> None:
    assert told(declared, '"keep"', name="online", windows=False) == words


@pytest.mark.parametrize(
    ("kind", "rule", "words"),
    [
        ("text", "{ mask = 3 }", "hidden but for its first 3 characters and its length"),
        ("text", "{ truncate_text = 1 }", "cut off after 1 character"),
        ("text", '{ pseudonym = "30d" }', "replaced by a name made up on this device, which changes every 30 days"),
        ("ip", "{ truncate_ip = 16 }", "shortened to its first 16 of 32 bits (32 of 128 for an IPv6 address)"),
        ("location", "{ coarsen_location = 1 }", "rounded to about 11 km"),
        ("location", "{ coarsen_location = 4 }", "rounded to about 11 m"),
    ],
)
def test_a_text_is_told_with_what_is_left_of_it(kind: str, rule: str, words: str) -> None:
    found = told(f'class = "network_identifier", type = "{kind}"', rule, name="place", windows=False)
    assert found == f"the place, {words}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dc_power_1", "DC power 1"),
        ("serial", "serial number"),
        ("serial_number", "serial number"),
        ("lan_ip", "home network IP address"),
        ("mac_address", "hardware (MAC) address"),
        ("quasar", "quasar"),
    ],
)
def test_a_name_is_told_in_words(name: str, words: str) -> None:
    assert name_words(name) == words


def test_lengths_take_the_largest_unit_that_fits() -> None:
    told = [length_words(ms) for ms in (1, 250, 1000, 90_000, 3_600_000, 86_400_000, 2_592_000_000)]
    assert told == ["1 millisecond", "250 milliseconds", "1 second", "90 seconds", "1 hour", "1 day", "30 days"]


def test_how_often_drops_a_single_one() -> None:
    assert [every_words(ms) for ms in (86_400_000, 660_000)] == ["every day", "every 11 minutes"]


def test_things_are_counted() -> None:
    assert [counted(1, "batch"), counted(2, "batch"), counted(0, "row")] == ["1 batch", "2 batches", "0 rows"]


def test_places_are_named_and_unknown_codes_stay() -> None:
    assert place_words(["EU"]) == "the European Union"
    assert place_words(["EU", "CH", "XQ"]) == "the European Union, Switzerland or XQ"


def test_a_list_reads_as_a_sentence() -> None:
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


@given(st.dates(datetime.date(1970, 1, 1), datetime.date(9999, 12, 31)), st.integers(0, 86_399))
def test_a_day_is_the_one_of_the_calendar(day: datetime.date, second: int) -> None:
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    assert day_words(int(midnight.timestamp()) + second) == day.isoformat()
