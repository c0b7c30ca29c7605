"""
Claim codes: one spelling for every way of typing them, and a limit on wrong tries.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.collector.claim import TryLimit, code_digest, make_code
from edge_sdk.errors import Malformed

LIMIT = TryLimit(tries=3, span_s=100)


def test_a_code_is_four_groups_of_four() -> None:
    assert make_code(bytes(10)) == "0000-0000-0000-0000"
    assert make_code(b"\xff" * 10) == "ZZZZ-ZZZZ-ZZZZ-ZZZZ"


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_different_bits_give_different_codes(left: bytes, right: bytes) -> None:
    assert (make_code(left) == make_code(right)) == (left == right)


def test_a_code_takes_exactly_eighty_bits() -> None:
    with pytest.raises(ValueError):
        make_code(bytes(9))


def test_lower_case_missing_dashes_and_lookalikes_are_the_same_code() -> None:
    assert code_digest("01ab-cd01-2345-6789") == code_digest("OLAB CDoi 2345 6789") == code_digest("01ABCD0123456789")


@given(st.text(max_size=40))
def test_any_text_is_a_code_or_malformed(text: str) -> None:
    with contextlib.suppress(Malformed):
        assert len(code_digest(text)) == 32


@pytest.mark.parametrize("text", ["", "0000-0000-0000-000", "0000-0000-0000-00000", "UUUU-0000-0000-0000"])
def test_what_is_no_code_is_malformed_and_not_repeated(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        code_digest(text)
    assert str(caught.value) == "claim code"


def test_a_code_is_no_part_of_its_digest() -> None:
    assert b"0000" not in code_digest("0000-0000-0000-0000")


def test_tries_below_the_limit_wait_for_nothing() -> None:
    assert LIMIT.wait_s([90, 95], 100) == 0


def test_at_the_limit_one_waits_until_the_oldest_try_is_a_span_old() -> None:
    assert LIMIT.wait_s([30, 50, 90], 100) == 30


def test_far_over_the_limit_one_waits_for_the_try_that_brings_it_under() -> None:
    assert LIMIT.wait_s([30, 40, 50, 60, 90], 100) == 50


def test_old_tries_are_forgotten() -> None:
    assert LIMIT.wait_s([0, 0, 0, 0], 100) == 0
