"""
How long there is left, so that nobody who goes by it is late.
"""

from __future__ import annotations

import pytest

from edge_sdk.cli.instants import left_words, said

BY_S = 1_790_000_000


@pytest.mark.parametrize(
    ("early_s", "words"),
    [
        (72 * 3600, "72 hours left"),
        (72 * 3600 - 1, "71 hours left"),
        (1, "0 hours left"),
        (0, "0 hours left"),
        (-1, "OVERDUE by 1 hours"),
        (-3601, "OVERDUE by 2 hours"),
    ],
)
def test_time_left_is_rounded_to_the_stricter_side(early_s: int, words: str) -> None:
    assert left_words(BY_S, BY_S - early_s) == f"to be told by {said(BY_S)}, {words}"


def test_no_limit_is_said_to_be_none() -> None:
    assert left_words(None, BY_S) == "the policy names no time limit"
