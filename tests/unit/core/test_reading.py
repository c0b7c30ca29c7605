from __future__ import annotations

import enum
import math
from typing import Any

import pytest

from edge_sdk.core.policy import FieldType
from edge_sdk.core.reading import Mono, check
from edge_sdk.core.units import Step
from tests.minimising import field

NUMBERS = (FieldType.NUMBER, FieldType.INTEGER, FieldType.COUNTER)
TENTHS = field("power", step=Step(1, -1), low=-1000, high=5000)


class Measured(float):
    """A float as numpy's: arithmetic with it gives something else."""

    def __mul__(self, other: Any) -> Any:
        return "no number"

    def __truediv__(self, other: Any) -> Any:
        return "no number"

    def __round__(self, ndigits: Any = None) -> Any:
        return "no number"


class Counted(int):
    def __mul__(self, other: Any) -> Any:
        return "no number"


class Mode(enum.IntEnum):
    TWO = 2


class Colour(str, enum.Enum):  # noqa: UP042 - StrEnum shows its text; this older form shows another
    RED = "red"


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("value", [True, False, None, "1", b"1", [1], {}, 1j, object(), math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_no_number(kind: FieldType, value: object) -> None:
    assert check(field("n", kind), value) is None


@pytest.mark.parametrize(("value", "scaled"), [(1, 10), (1.0, 10), (0.25, 2), (0.35, 4), (-0.0, 0), (-3.04, -30)])
def test_a_number_becomes_whole_steps_halves_to_even(value: float, scaled: int) -> None:
    assert check(TENTHS, value) == scaled


@pytest.mark.parametrize(
    ("value", "scaled"), [(-100, -1000), (500, 5000), (500.04, 5000), (500.06, None), (-100.1, None), (501, None)]
)
def test_both_bounds_belong_to_the_range_after_rounding(value: float, scaled: int | None) -> None:
    assert check(TENTHS, value) == scaled


@pytest.mark.parametrize("value", [10**30, -(10**30), 1 << 53, 1e300, -1e308])
def test_a_number_beyond_binary64_integers_is_not_valid(value: float) -> None:
    wide = field("n", low=-(1 << 53) + 1, high=(1 << 53) - 1)
    assert check(wide, value) is None


def test_a_number_that_overflows_at_a_fine_step_is_not_valid() -> None:
    assert check(field("n", step=Step(1, -12)), 1e300) is None


def test_a_float_for_an_integer_is_quantised_like_any_number() -> None:
    assert [check(field("n", FieldType.INTEGER), value) for value in (3.0, 3.4, 2.5)] == [3, 3, 2]


@pytest.mark.parametrize(("value", "scaled"), [(Measured(2.04), 20), (Counted(2), 20), (Mode.TWO, 20)])
def test_the_number_inside_a_subclass_counts_and_nothing_of_the_subclass_leaves(value: Any, scaled: int) -> None:
    found = check(TENTHS, value)
    assert found == scaled
    assert type(found) is int


@pytest.mark.parametrize(("value", "wanted"), [("", ""), ("abcd", "abcd"), ("é1", "é1"), (b"abcd", "abcd"), (b"", "")])
def test_text_and_utf8_are_text(value: object, wanted: str) -> None:
    assert check(field("t", FieldType.TEXT, max_length=4), value) == wanted


@pytest.mark.parametrize(
    "value", ["abcde", "ééé", "\ud800", b"abcde", b"\xff", 5, None, ["a"], bytearray(b"a"), "x" * 10_000_000]
)
def test_text_too_long_or_not_utf8_is_not_valid(value: object) -> None:
    assert check(field("t", FieldType.TEXT, max_length=4), value) is None


def test_an_enum_of_texts_is_its_text_and_not_its_name() -> None:
    found = check(field("t", FieldType.TEXT), Colour.RED)
    assert found == "red"
    assert type(found) is str
    assert check(field("e", FieldType.ENUM, values=("blue", "red")), Colour.RED) == 1


@pytest.mark.parametrize(("value", "place"), [("on", 1), ("off", 0), ("On", None), (1, None), (None, None), ([], None)])
def test_an_enum_is_the_position_of_its_label(value: object, place: int | None) -> None:
    assert check(field("e", FieldType.ENUM, values=("off", "on")), value) == place


@pytest.mark.parametrize(
    ("value", "flags"), [(0, 0), (3, 3), (4, None), (-1, None), (True, None), (1.0, None), ("a", None), (Mode.TWO, 2)]
)
def test_flags_are_as_many_bits_as_they_have_names(value: object, flags: int | None) -> None:
    found = check(field("f", FieldType.FLAGS, values=("a", "b")), value)
    assert found == flags
    assert type(found) in (int, type(None))


@pytest.mark.parametrize(("value", "wanted"), [(True, 1), (False, 0), (1, None), (0.0, None), ("true", None)])
def test_only_true_and_false_are_bools(value: object, wanted: int | None) -> None:
    assert check(field("b", FieldType.BOOL), value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("192.168.1.20", "192.168.1.20"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%\ud800", "fe80::1"),
        ("192.168.1", None),
        ("192.168.1.20/24", None),
        ("fe80::1%" + "x" * 60, None),
        (3232235777, None),
        (b"\x01\x02\x03\x04", None),
        ("", None),
    ],
)
def test_an_address_is_its_canonical_text_without_a_zone(value: object, wanted: str | None) -> None:
    assert check(field("ip", FieldType.IP), value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("AA:BB:cc:00:11:22", "aa:bb:cc:00:11:22"),
        ("aa-bb-cc-00-11-22", "aa:bb:cc:00:11:22"),
        ("aabbcc001122", None),
        ("aa:bb:cc:00:11:2g", None),
        ("aa:bb:cc:00:11:22:33", None),
        (187723572702975, None),
        (None, None),
    ],
)
def test_a_mac_is_six_lower_case_pairs(value: object, wanted: str | None) -> None:
    assert check(field("mac", FieldType.MAC), value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([48.123456, 11.5], "48.12346,11.50000"),
        ((-90, 180), "-90.00000,180.00000"),
        ([-0.0, -0.000001], "0.00000,0.00000"),
        ([Measured(1.5), Counted(2)], "1.50000,2.00000"),
        ([90.1, 0], None),
        ([0, -180.5], None),
        ([math.nan, 0], None),
        ([0, math.inf], None),
        ([10**400, 0], None),
        ([True, 0], None),
        (["1", "2"], None),
        ([1, 2, 3], None),
        ("48,11", None),
        (None, None),
    ],
)
def test_a_location_is_two_numbers_in_degrees(value: object, wanted: str | None) -> None:
    assert check(field("l", FieldType.LOCATION), value) == wanted


def test_a_monotonic_time_is_not_mistaken_for_a_number() -> None:
    assert check(TENTHS, Mono(5)) is None
