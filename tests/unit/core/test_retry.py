from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.core import retry

NOW_S = 784_111_777  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(("attempt", "longest"), [(0, 2.0), (1, 4.0), (8, 512.0), (9, 900.0), (10**6, 900.0)])
def test_the_pause_doubles_up_to_the_ceiling(attempt: int, longest: float) -> None:
    assert retry.delay_s(attempt, 1.0) == longest
    assert retry.delay_s(attempt, 0.0) == 0.0


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("3600", 3600.0),
        ("999999999999999999", 3600.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Sun, 06 Nov 2094 08:00:00 GMT", 3600.0),
    ],
)
def test_seconds_and_dates_are_understood_and_limited(header: str, pause: float) -> None:
    assert retry.retry_after_s(header, NOW_S) == pause


@pytest.mark.parametrize(
    "header", ["", "-1", "1.5", "soon", "١٢", "1" * 19, "Sun, 99 Nov 1994 99:99:99 GMT" * 3, "0 Jan"]
)
def test_what_says_nothing_is_no_pause(header: str) -> None:
    assert retry.retry_after_s(header, NOW_S) is None


def test_a_date_the_parser_cannot_hold_is_no_pause() -> None:
    assert retry.retry_after_s("Sun, 06 Nov 99999 08:00:00 GMT", NOW_S) is None


@given(header=st.text(max_size=80), now_s=st.integers(0, 1 << 40))
def test_any_header_gives_a_pause_within_limits_or_none(header: str, now_s: int) -> None:
    pause = retry.retry_after_s(header, now_s)
    assert pause is None or 0.0 <= pause <= retry.RETRY_AFTER_CEILING_S


@given(wish=st.floats(0, 3600), least=st.floats(0, 900), draw=st.floats(0, 1, exclude_max=True))
def test_nobody_comes_before_the_time_wished_for_nor_much_later(wish: float, least: float, draw: float) -> None:
    assert wish <= retry.spread_s(wish, least, draw) <= wish + max(least, retry.SPREAD * wish)


def test_those_who_are_told_one_time_come_apart() -> None:
    pauses = [retry.spread_s(3600.0, 30.0, number / 1000) for number in range(1000)]
    assert max(pauses) - min(pauses) == pytest.approx(900, abs=1)
    pauses = [retry.spread_s(1.0, 30.0, number / 1000) for number in range(1000)]
    assert max(pauses) - min(pauses) == pytest.approx(30, abs=0.1)
