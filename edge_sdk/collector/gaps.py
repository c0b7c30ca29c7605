"""
What is missing from a stream, told apart by whether a device said so.

A device declares what it dropped in gap records; what is missing beside them is a batch still under way, or
one that someone lost. Pure. Not here: storing (``opened``), merging on the device's side (``core.batch``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from edge_sdk.core.batch import Gap, Reason

_NUMBERED: Final = frozenset({Reason.QUOTA, Reason.TOO_OLD, Reason.DAMAGED, Reason.RECIPIENT})
"""Reasons for which rows were lost after they had a sequence number; the others never took one."""


@dataclass(frozen=True, slots=True)
class StreamGap:
    """
    Rows of one stream that did not arrive.

    ``reason`` is what the device declared, None for a hole that no gap record explains (yet).
    """

    stream: bytes
    first: int
    last: int | None
    count: int | None
    reason: Reason | None


def declared_gaps(records: Iterable[tuple[bytes, Gap]]) -> list[StreamGap]:
    """
    Return each declared gap once, however often and with whatever growing count it was sent.

    Args:
        records: (stream, gap) in order of stream, first and reason.

    A device repeats a record until it is receipted, with the count it has by then, so of records at one place
    the largest is the newest; one of unknown size stays unknown.
    """
    gaps = []
    for (stream, first, reason), same in groupby(records, key=lambda item: (item[0], item[1].first, item[1].reason)):
        found = [gap for _, gap in same]
        lasts = [gap.last for gap in found if gap.last is not None]
        counts = [gap.count for gap in found if gap.count is not None]
        unknown = any(gap.last is None and gap.count is None for gap in found)
        count = None if unknown or lasts or not counts else max(counts)
        gaps.append(StreamGap(stream, first, max(lasts) if lasts else None, count, reason))
    return gaps


def unexplained(spans: Iterable[tuple[bytes, int, int]], declared: Iterable[StreamGap]) -> list[StreamGap]:
    """
    Return the holes before and between the received rows of each stream that no declared gap accounts for.

    A gap record that gives only a count, which a device writes when its list was full, accounts for as many
    missing rows from its place on.

    Args:
        spans: (stream, first, last) of batches with rows.
        declared: what devices said is missing.
    """
    received: dict[bytes, list[tuple[int, int]]] = {}
    for stream, first, last in spans:
        received.setdefault(stream, []).append((first, last))
    by_stream: dict[bytes, list[StreamGap]] = {}
    for gap in declared:
        by_stream.setdefault(gap.stream, []).append(gap)
    holes = []
    for stream, ranges in sorted(received.items()):
        gaps = by_stream.get(stream, [])
        ranged = [(gap.first, gap.last) for gap in gaps if gap.last is not None]
        missing = _holes([*ranges, *ranged], end=max(last for _, last in ranges))
        holes += [StreamGap(stream, *hole, None, None) for hole in _unaccounted(missing, gaps)]
    return holes


def _holes(ranges: Iterable[tuple[int, int]], *, end: int) -> list[tuple[int, int]]:
    holes = []
    expected = 0
    for first, last in sorted(ranges):
        if expected < first <= end:
            holes.append((expected, first - 1))
        expected = max(expected, last + 1)
    return holes


def _unaccounted(holes: Iterable[tuple[int, int]], gaps: Sequence[StreamGap]) -> list[tuple[int, int]]:
    counted = [gap for gap in gaps if gap.last is None and gap.reason in _NUMBERED]
    spent = 0
    left = []
    for first, last in holes:
        before = [gap for gap in counted if gap.first <= last]
        size = last - first + 1
        if any(gap.count is None for gap in before):
            continue
        if sum(gap.count or 0 for gap in before) - spent >= size:
            spent += size
        else:
            left.append((first, last))
    return left
