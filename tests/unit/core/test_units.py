"""
Durations and decimal steps: exact, and refused where they are not.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.core.units import Step, coarsen, format_duration, parse_duration

STEPS = st.builds(
    Step, st.integers(1, 10**6 - 1).filter(lambda mantissa: mantissa % 10 != 0), st.integers(-12, 12)
)


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("1ms", 1),
        ("250ms", 250),
        ("60s", 60_000),
        ("5min", 300_000),
        ("2h", 7_200_000),
        ("30d", 2_592_000_000),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, duration_ms: int) -> None:
    assert parse_duration(text) == duration_ms


@pytest.mark.parametrize(
    "text", ["", "5", "min", "0s", "-1s", "1.5h", "1 h", "1H", "1w", "01s", "1s\n", "٣s", "1" * 13 + "s"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="whole number and a unit"):
        parse_duration(text)


@given(st.integers(1, 10**12 - 1))
def test_a_duration_is_written_as_it_is_read(duration_ms: int) -> None:
    assert parse_duration(format_duration(duration_ms)) == duration_ms


@pytest.mark.parametrize(
    ("duration_ms", "text"), [(86_400_000, "1d"), (90_000, "90s"), (3_600_000, "1h"), (0, "0ms")]
)
def test_a_duration_is_written_in_its_largest_unit(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text


@pytest.mark.parametrize(
    ("spelt", "step"),
    [(0.1, Step(1, -1)), ("0.25", Step(25, -2)), (100, Step(1, 2)), (1, Step(1, 0)), ("1E-7", Step(1, -7))],
)
def test_a_step_is_what_its_decimal_spelling_says(spelt: float | str, step: Step) -> None:
    assert Step.parse(spelt) == step


@pytest.mark.parametrize("spelt", [0, -1, "nan", "inf", "", "x", "1e13", "1e-13", 1234567])
def test_anything_else_is_no_step(spelt: float | str) -> None:
    with pytest.raises(ValueError, match="a step"):
        Step.parse(spelt)


def test_a_coarser_step_knows_how_many_finer_ones_it_has() -> None:
    assert Step.parse(5).multiple_of(Step.parse("0.25")) == 20


@pytest.mark.parametrize(("coarse", "fine"), [("0.25", "0.1"), ("0.1", "1"), (3, 2)])
def test_a_step_that_is_no_multiple_is_refused(coarse: float | str, fine: float | str) -> None:
    with pytest.raises(ValueError, match="whole multiple"):
        Step.parse(coarse).multiple_of(Step.parse(fine))


@given(STEPS, st.integers(1, 10**6))
def test_a_multiplied_step_stands_for_that_many(step: Step, factor: int) -> None:
    assert step.times(factor).decimal(1) == step.decimal(factor)


@given(STEPS, st.integers(1, 10**6))
def test_a_multiplied_step_is_in_lowest_form(step: Step, factor: int) -> None:
    assert step.times(factor).mantissa % 10 != 0


@given(STEPS, st.integers(-(2**53), 2**53))
def test_the_text_of_a_scaled_integer_is_exact(step: Step, scaled: int) -> None:
    assert Decimal(step.text(scaled)) == step.decimal(scaled)


@pytest.mark.parametrize(("scaled", "text"), [(2315, "231.5"), (-5, "-0.5"), (10, "1.0"), (0, "0.0")])
def test_text_has_no_exponent(scaled: int, text: str) -> None:
    assert Step(1, -1).text(scaled) == text


@given(STEPS, st.integers(-(2**40), 2**40))
def test_a_value_on_the_step_is_found_again(step: Step, scaled: int) -> None:
    value = float(step.decimal(scaled))
    assert step.quantise(value) == scaled


@pytest.mark.parametrize(
    ("spelt", "value", "scaled"),
    [(0.1, 231.54, 2315), (0.1, 0.25, 2), (0.1, 0.35, 4), (100, 149.9, 1), (100, 250, 2)],
)
def test_a_value_goes_to_the_nearest_step_and_halves_to_even(spelt: float, value: float, scaled: int) -> None:
    assert Step.parse(spelt).quantise(value) == scaled


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 2**53, -(2**53)])
def test_what_binary64_does_not_hold_is_refused(value: float) -> None:
    with pytest.raises(OverflowError):
        Step(1, 0).quantise(value)


def test_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Step(1, 0).quantise(float("nan"))


@pytest.mark.parametrize(
    ("scaled", "factor", "coarse"),
    [(14, 10, 1), (15, 10, 2), (-15, 10, -1), (-16, 10, -2), (7, 1, 7), (1, 3, 0), (2, 3, 1)],
)
def test_coarsening_takes_halves_upward(scaled: int, factor: int, coarse: int) -> None:
    assert coarsen(scaled, factor) == coarse


@given(st.integers(-(2**53), 2**53), st.integers(1, 10**6))
def test_coarsening_moves_a_value_by_half_a_step_at_most(scaled: int, factor: int) -> None:
    assert abs(coarsen(scaled, factor) * factor - scaled) * 2 <= factor
