"""
What is missing from a stream: declared once however often it was sent, and holes nobody accounts for.
"""

from __future__ import annotations

from edge_sdk.collector.gaps import StreamGap, declared_gaps, unexplained
from edge_sdk.core.batch import Gap, Reason

A, B = b"a" * 16, b"b" * 16


def counted(first: int, count: int | None, reason: Reason = Reason.QUOTA) -> StreamGap:
    return StreamGap(A, first, None, count, reason)


def hole(first: int, last: int) -> StreamGap:
    return StreamGap(A, first, last, None, None)


def test_a_repeated_record_is_one_gap() -> None:
    record = (A, Gap(3, 5, None, Reason.QUOTA))
    assert declared_gaps([record, record]) == [StreamGap(A, 3, 5, None, Reason.QUOTA)]


def test_a_record_that_grew_before_it_was_receipted_is_one_gap_of_the_newest_size() -> None:
    late = [(A, Gap(3, None, count, Reason.LATE)) for count in (2, 7, 4)]
    assert declared_gaps(late) == [counted(3, 7, Reason.LATE)]


def test_a_record_of_unknown_size_stays_unknown() -> None:
    assert declared_gaps([(A, Gap(3, None, None, Reason.POWER))]) == [counted(3, None, Reason.POWER)]


def test_two_reasons_at_one_place_are_two_gaps() -> None:
    records = [(A, Gap(3, None, 1, reason)) for reason in (Reason.LATE, Reason.INVALID)]
    assert len(declared_gaps(records)) == 2


def test_rows_that_all_arrived_leave_no_hole() -> None:
    assert unexplained([(A, 0, 4), (A, 5, 9)], []) == []


def test_a_missing_batch_is_a_hole() -> None:
    assert unexplained([(A, 0, 4), (A, 10, 12)], []) == [hole(5, 9)]


def test_a_missing_first_batch_is_a_hole() -> None:
    assert unexplained([(A, 5, 9)], []) == [hole(0, 4)]


def test_what_comes_after_the_last_row_is_not_missing_yet() -> None:
    assert unexplained([(A, 0, 4)], [StreamGap(A, 8, 9, None, Reason.QUOTA)]) == []


def test_a_declared_range_explains_its_hole() -> None:
    assert unexplained([(A, 0, 4), (A, 10, 12)], [StreamGap(A, 5, 9, None, Reason.QUOTA)]) == []


def test_a_declared_range_explains_no_more_than_itself() -> None:
    assert unexplained([(A, 0, 4), (A, 10, 12)], [StreamGap(A, 5, 7, None, Reason.QUOTA)]) == [hole(8, 9)]


def test_a_count_accounts_for_as_many_rows_and_not_one_more() -> None:
    spans = [(A, 0, 4), (A, 10, 12), (A, 15, 15)]
    assert unexplained(spans, [counted(5, 7)]) == []
    assert unexplained(spans, [counted(5, 5)]) == [hole(13, 14)]


def test_an_unknown_count_accounts_for_what_follows_it() -> None:
    assert unexplained([(A, 3, 4), (A, 10, 12)], [counted(5, None)]) == [hole(0, 2)]


def test_rows_that_never_had_a_number_explain_no_hole() -> None:
    assert unexplained([(A, 0, 4), (A, 10, 12)], [counted(5, 5, Reason.LATE)]) == [hole(5, 9)]


def test_streams_do_not_explain_each_other() -> None:
    assert unexplained([(B, 0, 4), (A, 2, 2)], [StreamGap(B, 0, 1, None, Reason.QUOTA)]) == [hole(0, 1)]
