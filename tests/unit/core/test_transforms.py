from __future__ import annotations

import pytest

from edge_sdk.core.policy import FieldType, TextRule, ViewField
from edge_sdk.core.transforms import clip, shape_mean, shape_number, text_rule
from tests.minimising import field

NUMBER = field("n")
TEXT = field("t", FieldType.TEXT)


def ruled(rule: TextRule | None, amount: int = 0) -> ViewField:
    return ViewField(TEXT, text=rule, amount=amount)


@pytest.mark.parametrize(("scaled", "coarse"), [(14, 1), (15, 2), (-5, 0), (-6, -1), (0, 0)])
def test_a_number_is_rounded_to_coarser_steps_halves_upward(scaled: int, coarse: int) -> None:
    assert shape_number(ViewField(NUMBER, factor=10), scaled) == coarse


def test_a_number_kept_is_itself() -> None:
    assert shape_number(ViewField(NUMBER), -7) == -7


@pytest.mark.parametrize(("scaled", "place"), [(-50, 0), (99, 0), (100, 1), (499, 1), (500, 2), (9999, 2)])
def test_a_band_begins_at_its_lower_edge(scaled: int, place: int) -> None:
    assert shape_number(ViewField(NUMBER, band=(100, 500)), scaled) == place


@pytest.mark.parametrize(("total", "count", "mean"), [(5, 2, 3), (-5, 2, -2), (4, 3, 1), (0, 7, 0)])
def test_a_mean_is_rounded_once_halves_upward(total: int, count: int, mean: int) -> None:
    assert shape_mean(ViewField(NUMBER), total, count) == mean


def test_a_coarse_mean_is_not_rounded_twice() -> None:
    # 14.5 at steps of 10 is 1; rounded to 15 first it would become 2.
    assert shape_mean(ViewField(NUMBER, factor=10), 29, 2) == 1


def test_the_mean_of_a_banded_field_is_a_band() -> None:
    assert shape_mean(ViewField(NUMBER, band=(100, 500)), 199, 2) == 1


@pytest.mark.parametrize(("scaled", "clipped"), [(-5, 0), (0, 0), (7, 7), (10, 10), (11, 10)])
def test_a_number_is_clipped_at_both_ends(scaled: int, clipped: int) -> None:
    assert clip(ViewField(NUMBER, clip=(0, 10)), scaled) == clipped


def test_without_a_clip_nothing_is_clipped() -> None:
    assert clip(ViewField(NUMBER), 10**9) == 10**9


@pytest.mark.parametrize(
    ("rule", "amount", "text", "leaves"),
    [
        (TextRule.KEEP, 0, "ECU-1", "ECU-1"),
        (TextRule.MASK, 2, "408000", "40****"),
        (TextRule.MASK, 0, "408", "***"),
        (TextRule.MASK, 5, "408", "408"),
        (TextRule.TRUNCATE_TEXT, 3, "408000", "408"),
        (TextRule.TRUNCATE_TEXT, 3, "40", "40"),
        (TextRule.TRUNCATE_IP, 16, "192.168.7.20", "192.168.0.0/16"),
        (TextRule.TRUNCATE_IP, 0, "192.168.7.20", "0.0.0.0/0"),
        (TextRule.TRUNCATE_IP, 31, "192.168.7.21", "192.168.7.20/31"),
        (TextRule.TRUNCATE_IP, 24, "2001:db8:1:2::3", "2001:db8:1::/48"),
        (TextRule.COARSEN_LOCATION, 1, "48.12346,11.55000", "48.1,11.6"),
        (TextRule.COARSEN_LOCATION, 0, "-0.40000,11.50000", "0,12"),
    ],
)
def test_text_leaves_by_its_rule(rule: TextRule, amount: int, text: str, leaves: str) -> None:
    assert text_rule(ruled(rule, amount))(text) == leaves


@pytest.mark.parametrize("rule", [TextRule.PSEUDONYM, None])
def test_text_without_a_rule_of_its_own_never_leaves_by_accident(rule: TextRule | None) -> None:
    with pytest.raises(ValueError, match="pseudonym"):
        text_rule(ruled(rule))
