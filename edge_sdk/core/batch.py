"""
The payload of a batch: rows as columns, compressed, with the gaps of its stream (SPEC 6.3).

A batch belongs to one stream and one purpose digest. Its rows are numbered ``first .. last`` in table order. What
of this stream did not arrive is told by gap records in the same stream. Padding, signature and encryption come
after, in ``seal``; the decoder bounds what it inflates before it looks at it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Any

from edge_sdk.core import cbor
from edge_sdk.core.policy import View
from edge_sdk.core.shape import Fields, array, exactly, integer, list_of, octets, optional, uint
from edge_sdk.core.table import Memory, Row, decode_tables, encode_tables
from edge_sdk.errors import Malformed, Unsupported

VERSION = 1
MAX_PAYLOAD_BYTES = 1 << 20
MAX_TABLES_BYTES = 8 << 20  # inflated; a bomb stops here
MAX_GAPS = 64
MAX_OFFSET_MS = 1 << 46  # 2,200 years: more than any unset clock is off
_DEFLATE_LEVEL = 6  # level 9 cost twice the time for under 1 % on measured PV columns


class Reason(IntEnum):
    """
    Why rows of a stream did not arrive.
    """

    QUOTA = 0
    TOO_OLD = 1
    LATE = 2
    OVERFLOW = 3
    DAMAGED = 4
    CLOCK = 5
    INVALID = 6
    POWER = 7
    RECIPIENT = 8


class ClockQuality(IntEnum):
    """
    What the times of a batch rest on.
    """

    WALL = 0
    FLOOR = 1


@dataclass(frozen=True, slots=True)
class Gap:
    """
    Rows that will not arrive: ``first .. last``, or ``count`` rows at ``first``, or unknown when both are None.
    """

    first: int
    last: int | None
    count: int | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Batch:
    """
    One decoded payload. ``tables`` holds rows by position of their view in the purpose.

    ``boot`` labels the boot that rows timed from the floor come from, ``offset_ms`` is what those times turned out to
    be short of. ``follows`` is the stream this one goes on from after a start, with the rows that one had.
    """

    stream_id: bytes
    first: int
    last: int
    digest: bytes
    stream_key: bytes
    clock: ClockQuality = ClockQuality.WALL
    gaps: tuple[Gap, ...] = ()
    tables: Mapping[int, Sequence[Row]] = field(default_factory=dict, repr=False)
    boot: bytes | None = None
    offset_ms: int | None = None
    follows: tuple[bytes, int] | None = None


_GAPS = list_of(array(uint(), optional(uint()), optional(uint()), uint(max(Reason))), MAX_GAPS)
_BEFORE = array(octets(16), uint())


def encode_batch(batch: Batch, views: Sequence[View], memory: Memory | None = None) -> bytes:
    """
    Return the payload of *batch* as deterministic CBOR, its tables deflated; *memory* is of batches sealed with it.
    """
    tables = _deflate(encode_tables(views, batch.tables, memory), {} if memory is None else memory.deflated)
    payload: dict[int, Any] = {
        0: VERSION,
        1: batch.stream_id,
        2: batch.first,
        3: batch.last,
        4: batch.digest,
        5: int(batch.clock),
        6: [[gap.first, gap.last, gap.count, int(gap.reason)] for gap in batch.gaps],
        7: tables,
        9: batch.stream_key,
    }
    if batch.boot is not None:
        payload[10] = batch.boot
    if batch.offset_ms is not None:
        payload[11] = batch.offset_ms
    if batch.follows is not None:
        payload[12] = list(batch.follows)
    return cbor.encode(payload)


def decode_batch(payload: bytes, views_of: Callable[[bytes], Sequence[View] | None]) -> Batch:
    """
    Return the batch in *payload*.

    Args:
        payload: what a sealed batch held, its signature already verified.
        views_of: the views of the purpose with a given digest, None when the digest is not known.

    Raises:
        Malformed: on anything a device could not have written.
        Unsupported: on a digest that *views_of* does not know.
    """
    fields = Fields(cbor.decode(payload, MAX_PAYLOAD_BYTES, "batch"), "batch")
    fields.take(0, "version", exactly(VERSION))
    first, last = fields.take(2, "first", uint()), fields.take(3, "last", integer(least=-1))
    stream_id, digest = fields.take(1, "stream", octets(16)), fields.take(4, "digest", octets(32))
    views = views_of(digest)
    if views is None:
        raise Unsupported("batch of a purpose digest that no given policy has", hint="give the opener that policy file")
    tables = decode_tables(views, _inflate(fields.take(7, "tables", octets(None, MAX_PAYLOAD_BYTES))))
    if last - first + 1 != sum(len(table) for table in tables.values()):
        raise Malformed("batch row numbers do not match its rows")
    batch = Batch(
        stream_id=stream_id,
        first=first,
        last=last,
        digest=digest,
        stream_key=fields.take(9, "stream key", octets(32)),
        clock=ClockQuality(fields.take(5, "clock", uint(1))),
        gaps=tuple(_gap(*told) for told in fields.take(6, "gaps", _GAPS)),
        tables=tables,
        boot=fields.maybe(10, "boot", octets(16)),
        offset_ms=fields.maybe(11, "offset", integer(-MAX_OFFSET_MS, MAX_OFFSET_MS)),
        follows=fields.maybe(12, "stream before", _BEFORE),
    )
    fields.end()
    return batch


def merge_gaps(gaps: Sequence[Gap], limit: int = MAX_GAPS) -> tuple[Gap, ...]:
    """
    Return *gaps* in at most *limit* records: equal reasons at one place add up, then neighbours of one reason merge.

    What no longer fits becomes records of a place and a count. Rows counted before stay counted: a record of unknown
    size takes up none of known size.

    Args:
        limit: at least two for each reason, which is what cannot be merged any further.
    """
    merged = _joined(gaps)
    while len(merged) > limit:
        merged = _joined(_coarsen(merged))
    return tuple(sorted(merged, key=lambda gap: (gap.first, gap.reason, gap.last is None, gap.count is None)))


def rows_of(gap: Gap) -> int | None:
    """
    Return how many rows *gap* stands for, None when that is unknown.
    """
    return gap.count if gap.last is None else gap.last - gap.first + 1


def _join(left: Gap, right: Gap) -> Gap | None:
    if left.reason is not right.reason:
        return None
    if left.last is not None and right.last is not None and right.first == left.last + 1:
        return Gap(left.first, right.last, None, left.reason)
    if left.first == right.first and left.last is None and right.last is None and _is_known(left) == _is_known(right):
        return _sum_of(left, right)
    return None


def _joined(gaps: Iterable[Gap]) -> list[Gap]:
    """
    Return *gaps* in groups of one reason and known or unknown size, those that lose nothing by it joined.
    """
    merged: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: (gap.last is None, gap.reason, _is_known(gap), gap.first)):
        if merged and (joined := _join(merged[-1], gap)) is not None:
            merged[-1] = joined
        else:
            merged.append(gap)
    return sorted(merged, key=lambda gap: (gap.reason, _is_known(gap), gap.first))


def _coarsen(gaps: list[Gap]) -> list[Gap]:
    """
    Merge the two neighbours of one group that lie closest.
    """
    pairs = [at for at, (left, right) in enumerate(pairwise(gaps)) if _group(left) == _group(right)]
    best = min(pairs, key=lambda at: gaps[at + 1].first - gaps[at].first)
    return [*gaps[:best], _sum_of(gaps[best], gaps[best + 1]), *gaps[best + 2 :]]


def _sum_of(left: Gap, right: Gap) -> Gap:
    counts = (rows_of(left), rows_of(right))
    return Gap(left.first, None, None if None in counts else sum(n or 0 for n in counts), left.reason)


def _is_known(gap: Gap) -> bool:
    return rows_of(gap) is not None


def _group(gap: Gap) -> tuple[Reason, bool]:
    return gap.reason, _is_known(gap)


def _gap(start: int, end: int | None, count: int | None, why: int) -> Gap:
    if end is not None and (end < start or count is not None):
        raise Malformed("batch gap ends before its first row, or is told in two ways")
    return Gap(start, end, count, Reason(why))


def _deflate(tables: bytes, done: dict[bytes, bytes]) -> bytes:
    deflated = done.get(tables)
    if deflated is None:
        squeeze = zlib.compressobj(_DEFLATE_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        deflated = done[tables] = squeeze.compress(tables) + squeeze.flush()
    return deflated


def _inflate(deflated: bytes) -> bytes:
    unsqueeze = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = unsqueeze.decompress(deflated, MAX_TABLES_BYTES)
    except zlib.error:
        raise Malformed("batch: tables are not deflated") from None
    if not unsqueeze.eof or unsqueeze.unused_data or unsqueeze.unconsumed_tail:
        raise Malformed("batch: tables end early, go on after their end, or inflate beyond the limit")
    return inflated
