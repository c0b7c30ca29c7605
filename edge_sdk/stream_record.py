"""
What is stored of a stream: its name, its counters and what it still has to tell.

A stream lasts from one start to the next at most: at each start its open batch goes over to a stream with another id
(:func:`succeed`), so that a folder that is put back, or runs twice, never numbers other rows like those sent before.

The record lies in the outbox under the purpose key; ``ref``, the name of that key, is bound to it. Values and their
codec only: when a record is written, and with what, is ``streams``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from edge_sdk.core import cbor
from edge_sdk.core.batch import MAX_OFFSET_MS, Gap, Reason, merge_gaps
from edge_sdk.core.keys import NONCE_BYTES, unwrap, wrap
from edge_sdk.core.policy import Purpose, purpose_digest
from edge_sdk.core.shape import Fields, array, boolean, integer, list_of, octets, optional, text, uint
from edge_sdk.vault import Draw, PurposeEntry

ID_BYTES: Final = 16
_RECORD_LIMIT: Final = 1 << 16


@dataclass(slots=True)
class Record:
    """
    What is stored of a stream.

    ``gaps`` and ``offset`` carry a number each, so that a receipt clears those its batch told; ``follows``, the stream
    before and its rows, counts as number 1. ``begun`` is the batch the stream began with. ``boot`` labels the boot
    that the rows are timed by, where that is by the floor; ``line`` is the boot id of the board and the floor at its
    power-on, while what the boot is off is not known; ``offset`` is what it turned out to be.

    ``keep_ms`` is how long its purpose lets things wait, known here also when no policy has that edition any more;
    ``since_ms`` is the floor when the oldest thing came that no batch carries yet, 0 where there is none.
    """

    stream_id: bytes
    purpose: str
    grant_id: bytes
    period: int
    digest: bytes
    batch: int = 0
    next_seq: int = 0
    gap_number: int = 0
    gaps: list[tuple[int, Gap]] = field(default_factory=list)
    ended: bool = False
    lost: int = 0
    keep_ms: int = 0
    since_ms: int = 0
    begun: int = 0
    follows: tuple[bytes, int] | None = None
    boot: bytes | None = None
    line: tuple[bytes, int] | None = None
    offset: tuple[int, int] | None = None

    @property
    def has_news(self) -> bool:
        """
        Tell whether there is something that is worth a batch without rows.
        """
        return bool(self.gaps) or self.offset is not None

    @property
    def newest(self) -> int:
        """
        Return the number of the newest thing that a batch sealed now tells, 0 when it tells nothing.
        """
        return self.gap_number if self.has_news or self.follows is not None else 0

    def tell(self, gap: Gap) -> None:
        """
        Add a gap, merged with those there; what is new gets a new number.
        """
        merged = merge_gaps([*(gap for _, gap in self.gaps), gap])
        known = {gap: number for number, gap in self.gaps}
        self.gap_number += 1
        self.gaps = [(known.get(gap, self.gap_number), gap) for gap in merged]

    def told(self, number: int, *, next_row: int) -> bool:
        """
        Drop what was told up to *number*; return whether there was any.

        A count at the place of the next row stays until that place is passed: what is lost there from now on adds to
        it, and whoever reads takes the largest count that was told of a place.
        """
        before = len(self.gaps), self.offset, self.follows
        self.gaps = [
            (since, gap)
            for since, gap in self.gaps
            if since > number or (gap.first == next_row and gap.count is not None and not self.ended)
        ]
        self.offset = None if self.offset is not None and self.offset[0] <= number else self.offset
        self.follows = None
        return (len(self.gaps), self.offset, self.follows) != before

    def synchronise(self, truth_ms: int) -> None:
        """
        Say how far the boot that the rows are timed by was off, now that it is known.

        Args:
            truth_ms: the true time at the board's power-on.
        """
        if self.line is not None:
            offset_ms = truth_ms - self.line[1]
            self.line = None
            if abs(offset_ms) <= MAX_OFFSET_MS:
                self.gap_number += 1
                self.offset = (self.gap_number, offset_ms)


def open_record(entry: PurposeEntry, sealed: bytes) -> Record:
    """
    Return a stored stream record.

    Raises:
        BadInput: when it is damaged.
    """
    fields = Fields(cbor.decode(unwrap(entry.key, sealed, entry.ref), _RECORD_LIMIT, "stream"), "stream")
    gap = array(uint(), uint(), optional(uint()), optional(uint()), uint(max(Reason)))
    return Record(
        stream_id=fields.take(0, "id", octets(ID_BYTES)),
        purpose=fields.take(1, "purpose", text(64)),
        grant_id=fields.take(2, "grant", octets(ID_BYTES)),
        period=fields.take(3, "period", uint()),
        batch=fields.take(4, "batch", uint()),
        next_seq=fields.take(5, "next", uint()),
        gap_number=fields.take(6, "gap number", uint()),
        gaps=[(n, Gap(a, b, c, Reason(r))) for n, a, b, c, r in fields.take(7, "gaps", list_of(gap, 1024))],
        ended=fields.take(8, "ended", boolean),
        lost=fields.take(10, "lost", uint()),
        keep_ms=fields.take(11, "keep", uint()),
        since_ms=fields.take(12, "since", uint()),
        digest=fields.take(9, "digest", octets(32)),
        begun=fields.take(13, "begun", uint()),
        follows=fields.maybe(14, "stream before", array(octets(ID_BYTES), uint())),
        boot=fields.maybe(15, "boot", octets(ID_BYTES)),
        line=fields.maybe(16, "floor", array(octets(ID_BYTES), integer())),
        offset=fields.maybe(17, "offset", array(uint(), integer(-MAX_OFFSET_MS, MAX_OFFSET_MS))),
    )


def new_record(
    entry: PurposeEntry, purpose: Purpose, draw: Draw, *, period: int, line: tuple[bytes, int] | None
) -> Record:
    """
    Return the record of a stream that begins; *line* says by which floor, of which boot, its rows are timed, if by any.
    """
    record = Record(
        draw(ID_BYTES), purpose.name, entry.grant_id, period, purpose_digest(purpose), keep_ms=purpose.keep_at_most_ms
    )
    if line is not None:
        record.boot, record.line = draw(ID_BYTES), line
    return record


def seal_record(entry: PurposeEntry, record: Record, draw: Draw) -> bytes:
    """
    Return *record* under the purpose key of *entry*.
    """
    return wrap(entry.key, draw(NONCE_BYTES), encode_record(record), entry.ref)


def encode_record(record: Record) -> bytes:
    """
    Return *record* as deterministic CBOR.
    """
    gaps: list[Any] = [[number, gap.first, gap.last, gap.count, int(gap.reason)] for number, gap in record.gaps]
    value: dict[int, Any] = {
        0: record.stream_id,
        1: record.purpose,
        2: record.grant_id,
        3: record.period,
        4: record.batch,
        5: record.next_seq,
        6: record.gap_number,
        7: gaps,
        8: record.ended,
        9: record.digest,
        10: record.lost,
        11: record.keep_ms,
        12: record.since_ms,
        13: record.begun,
    }
    value |= {14: list(record.follows)} if record.follows is not None else {}
    value |= {15: record.boot} if record.boot is not None else {}
    value |= {16: list(record.line)} if record.line is not None else {}
    value |= {17: list(record.offset)} if record.offset is not None else {}
    return cbor.encode(value)


def copy_of(record: Record) -> Record:
    """
    Return a copy to go back to when a transaction does not become durable.
    """
    return replace(record, gaps=list(record.gaps))


def succeed(record: Record, stream_id: bytes) -> Record | None:
    """
    Have the open batch belong to a new stream from here on; return what is left of the one before.

    Rows that have no number yet go over with the batch; what was lost before stays to be told where it was lost. A
    stream of which nothing was ever sealed changes its name only.

    Args:
        stream_id: of the new stream.

    Returns:
        The record of the stream before, ended; None when nobody can have heard of it.
    """
    if record.batch == record.begun:
        record.stream_id = stream_id
        return None
    old = replace(record, gaps=[], ended=True, since_ms=0)
    for number, gap in record.gaps:
        if gap.first <= old.next_seq:
            old.gaps.append((number, gap))
        else:  # among rows that went over: it counts from the end of what stays
            old.tell(replace(gap, first=old.next_seq))
    record.stream_id, record.follows = stream_id, (old.stream_id, old.next_seq)
    record.begun, record.next_seq, record.lost = record.batch, 0, 0
    record.gap_number, record.gaps, record.offset = 1, [], None
    return old
