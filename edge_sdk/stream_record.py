"""
What is stored of a stream: its name, its counters and the gaps it still has to tell.

The record lies in the outbox under the purpose key; ``ref``, the name of that key, is bound to it. Values and their
codec only: when a record is written, and with what, is ``streams``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from edge_sdk.core import cbor
from edge_sdk.core.batch import Gap, Reason, merge_gaps
from edge_sdk.core.keys import NONCE_BYTES, unwrap, wrap
from edge_sdk.core.shape import Fields, array, boolean, list_of, octets, optional, text, uint
from edge_sdk.vault import Draw, PurposeEntry

ID_BYTES: Final = 16
_RECORD_LIMIT: Final = 1 << 16


@dataclass(slots=True)
class Record:
    """
    What is stored of a stream. ``gaps`` carry a number each, so that a receipt clears those its batch told.

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
        Drop the gaps up to *number*; return whether there were any.

        A count at the place of the next row stays until that place is passed: what is lost there from now on adds to
        it, and whoever reads takes the largest count that was told of a place.
        """
        before = len(self.gaps)
        self.gaps = [
            (since, gap)
            for since, gap in self.gaps
            if since > number or (gap.first == next_row and gap.count is not None and not self.ended)
        ]
        return len(self.gaps) != before


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
    )


def seal_record(entry: PurposeEntry, record: Record, draw: Draw) -> bytes:
    """
    Return *record* under the purpose key of *entry*.
    """
    gaps: list[Any] = [[number, gap.first, gap.last, gap.count, int(gap.reason)] for number, gap in record.gaps]
    value: cbor.Value = {
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
    }
    return wrap(entry.key, draw(NONCE_BYTES), cbor.encode(value), entry.ref)


def copy_of(record: Record) -> Record:
    """
    Return a copy to go back to when a transaction does not become durable.
    """
    return replace(record, gaps=list(record.gaps))
