"""
Rows of a stream become sealed batches in the outbox.

A batch is encoded, signed by its stream, padded, sealed to its recipient and wrapped once more under the purpose key.
Rows whose payload would be larger than a batch may be are sealed in two halves, and those again: a batch has a limit in
rows for the cadence, and one in bytes for whoever reads it. When to seal is the line's; nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from edge_sdk.core.batch import MAX_PAYLOAD_BYTES, Batch, ClockQuality, encode_batch
from edge_sdk.core.consent import CollectGrant
from edge_sdk.core.cose import Signer
from edge_sdk.core.documents import RecipientKey
from edge_sdk.core.keys import NONCE_BYTES, SECRET_BYTES, stream_seed, unwrap, wrap
from edge_sdk.core.policy import Purpose
from edge_sdk.core.seal import seal_batch
from edge_sdk.core.table import Memory, Row
from edge_sdk.keypage import KeyPage
from edge_sdk.order import Held
from edge_sdk.outbox import Outbox
from edge_sdk.stream_record import ID_BYTES, Record
from edge_sdk.vault import Draw, PurposeEntry, Vault

Tables = Mapping[int, Sequence[Row]]  # rows by the position of their view


@dataclass(slots=True)
class Rooms:
    """
    The rooms a stream writes to, opened by the line.
    """

    vault: Vault
    outbox: Outbox
    page: KeyPage
    draw: Draw
    content_alg: int
    boot_id: bytes  # of the board, the same until it is powered on again
    record_lock: AbstractContextManager[Any]  # held while open windows are looked at: readings come in meanwhile


@dataclass(frozen=True, slots=True)
class SealTimes:
    """
    What sealing needs to know of now, and how many rows make a batch; ``memory`` where several streams are sealed.
    """

    floor_ms: int
    max_rows: int
    memory: Memory | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sealing:
    """
    One act of sealing, for one stream under one grant to one recipient.
    """

    rooms: Rooms
    row: int
    entry: PurposeEntry
    record: Record
    purpose: Purpose
    grant: CollectGrant
    recipient: RecipientKey
    about: SealTimes

    def seal(self, tables: Tables) -> list[Held]:
        """
        Seal rows as batches of about ``about.max_rows``, or as many as their bytes need; inside a transaction.
        """
        signer = self._signer()
        rows = rows_in(tables)
        parts = max(1, rows // self.about.max_rows)
        edges = [rows * part // parts for part in range(parts + 1)]
        return [one for start, end in pairwise(edges) for one in self._seal_part(part_of(tables, start, end), signer)]

    def _seal_part(self, tables: Tables, signer: Signer) -> list[Held]:
        rows = rows_in(tables)
        payload = self._payload(tables, rows, signer.public_key)
        if len(payload) > MAX_PAYLOAD_BYTES and rows > 1:
            halves = part_of(tables, 0, rows // 2), part_of(tables, rows // 2, rows)
            return [one for half in halves for one in self._seal_part(half, signer)]
        return [self._queue(payload, rows, signer)]

    def _payload(self, tables: Tables, rows: int, stream_key: bytes) -> bytes:
        record = self.record
        batch = Batch(
            stream_id=record.stream_id,
            first=record.next_seq,
            last=record.next_seq + rows - 1,
            digest=record.digest,
            stream_key=stream_key,
            clock=ClockQuality.WALL if record.boot is None else ClockQuality.FLOOR,
            gaps=tuple(gap for _, gap in record.gaps),
            tables=tables,
            boot=record.boot,
            offset_ms=None if record.offset is None else record.offset[1],
            follows=record.follows,
        )
        return encode_batch(batch, self.purpose.views, self.about.memory)

    def _queue(self, payload: bytes, rows: int, signer: Signer) -> Held:
        draw, record = self.rooms.draw, self.record
        batch_id = draw(ID_BYTES)
        sealed = seal_batch(
            payload,
            grant=self.grant,
            recipient=self.recipient,
            stream_id=record.stream_id,
            signer=signer,
            batch_id=batch_id,
            content_alg=self.rooms.content_alg,
            cek=draw(SECRET_BYTES),
            iv=draw(NONCE_BYTES),
        )
        span = (record.next_seq, record.next_seq + rows - 1)
        record.next_seq = span[1] + 1
        return self.rooms.outbox.put_sealed(
            stream=self.row,
            span=span,
            told=record.newest,
            kept_ms=self.about.floor_ms,
            batch_id=batch_id,
            body=wrap(self.entry.key, draw(NONCE_BYTES), sealed, batch_id),
        )

    def _signer(self) -> Signer:
        record = self.record
        secret = self.rooms.vault.ring.generation.streams
        return Signer(stream_seed(secret, record.purpose, record.grant_id, record.period))


def rows_in(tables: Tables) -> int:
    """
    Return how many rows *tables* hold.
    """
    return sum(map(len, tables.values()))


def part_of(tables: Tables, start: int, end: int) -> dict[int, Sequence[Row]]:
    """
    Return rows *start* up to *end* of *tables*, counted in table order.
    """
    part: dict[int, Sequence[Row]] = {}
    for at in sorted(tables):
        if kept := tables[at][max(0, start) : max(0, end)]:
            part[at] = kept
        start, end = start - len(tables[at]), end - len(tables[at])
    return part


def unseal_body(entry: PurposeEntry, held: Held, body: bytes) -> bytes:
    """
    Return the envelope that goes on the wire, out of its wrapping under the purpose key.

    Raises:
        Tampered: the stored bytes are damaged.
    """
    return unwrap(entry.key, body, held.batch_id)
