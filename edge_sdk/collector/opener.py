"""
Opens what was sealed to one recipient, and says what arrived, what is missing and what does not fit.

For each batch: open with the recipient's seed, check the inner signature (``core.seal``), check that the
stream key was certified and for which purpose, decode with the views of the purpose whose digest the batch
names, check the sequence numbers. What fails is set aside with its reason, tried again each time, and never
stops the next batch. The bodies come from an intake, here or elsewhere. Not here: storing (``opened``),
certifying (``authority``), text (``rows``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from edge_sdk.collector.gaps import StreamGap, declared_gaps, unexplained
from edge_sdk.collector.intake import Box
from edge_sdk.collector.opened import Forgotten, KeyedRow, OpenerStore, Place, SetAside
from edge_sdk.collector.rows import OpenedRow, batch_rows, scaled_text
from edge_sdk.collector.store import IntakeStore, KeptBody
from edge_sdk.core import seal
from edge_sdk.core.batch import Batch, decode_batch
from edge_sdk.core.keys import RecipientSeed
from edge_sdk.core.policy import Purpose, View
from edge_sdk.errors import BadInput, Malformed

NO_KEY: Final = "no key"
DAMAGED: Final = "damaged"
UNKNOWN_PURPOSE: Final = "unknown purpose digest"
UNCERTIFIED: Final = "stream key not certified"
OTHER_PURPOSE: Final = "stream key certified for another purpose"
"""Why a batch is set aside."""

_ROW_KEY_BYTES: Final = 16
_PAGE: Final = 64
_INTEGER_LIMIT: Final = 1 << 53


class Unwanted(Exception):
    """
    Say that a batch is of a stream that was forgotten; never leaves this room.
    """


class NotOpened(Exception):
    """
    Carry the reason a batch is set aside from where it is found to where it is kept; never leaves this room.
    """


@dataclass(frozen=True, slots=True)
class Taken:
    """
    What one run over waiting bodies came to; ``dropped`` are the ids of batches that nobody may keep.
    """

    opened: int = 0
    set_aside: int = 0
    dropped: tuple[bytes, ...] = ()

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.opened + other.opened, self.set_aside + other.set_aside, self.dropped + other.dropped)


class Opener:
    """
    Opens batches into one store.

    Args:
        store: the opener's file.
        seeds: HPKE algorithm and seed of each recipient key held here, by kid.
        purposes: every edition whose batches may come, by digest.
    """

    def __init__(
        self,
        store: OpenerStore,
        *,
        seeds: Mapping[bytes, tuple[int, RecipientSeed]],
        purposes: Mapping[bytes, Purpose],
    ) -> None:
        self._store = store
        self._seeds = seeds
        self._purposes = purposes

    def editions(self) -> list[Purpose]:
        """
        Return every edition of a purpose whose batches may come.
        """
        return list(self._purposes.values())

    def take_waiting(self, source: IntakeStore) -> Taken:
        """
        Open every batch in *source* that is sealed to a key held here and was not taken before.

        After a power cut: every body is stored, set aside or untouched; what was taken is told to *source*
        last.
        """
        total = Taken()
        for kid in sorted(self._seeds):
            newest, before = source.newest(), self._store.progress(kid.hex())
            bodies = source.bodies(Box.BATCHES, kid=kid, after=before)
            while page := list(islice(bodies, _PAGE)):
                taken = self.take(page)
                total += taken
                source.erase(taken.dropped)
                self._store.put_progress(kid.hex(), page[-1].number)
                source.mark_taken(body.number for body in page)
            if newest > max(before, self._store.progress(kid.hex())):
                self._store.put_progress(kid.hex(), newest)  # what is sealed to others is not looked through again
        return total

    def take(self, bodies: Iterable[KeptBody]) -> Taken:
        """
        Open *bodies* and store what they held; set aside those that cannot be opened.

        After a power cut: every body is stored, set aside or untouched; taking it again changes nothing.
        """
        return sum((self._take_one(body.id, body.kid, body.body) for body in bodies), Taken())

    def retry(self, source: IntakeStore) -> Taken:
        """
        Try again what was set aside: a key may have been certified since, or a policy added.

        Args:
            source: where the bodies came from; those that nobody may keep are erased there.
        """
        taken = sum((self._take_one(kept.id, kept.kid, kept.body) for kept in self._store.aside()), Taken())
        source.erase(taken.dropped)
        return taken

    def forget(self, keys: Collection[bytes], source: IntakeStore) -> Forgotten:
        """
        Delete what came in the streams that *keys* signed, here and at the intake, and take none of them again.

        After a power cut: forgetting the same keys again does the rest.
        """
        source.erase(self._store.batches_of(keys))  # while it is still known here which these are
        return self._store.forget(keys)

    def rows(self, after: int = 0) -> Iterator[tuple[int, OpenedRow]]:
        """
        Yield (number, row) in order of opening, numbers above *after*.
        """
        return self._store.rows(after)

    def gaps(self) -> list[StreamGap]:
        """
        Return what did not arrive, by stream and place: declared gaps, and holes that none explains.
        """
        declared = declared_gaps(self._store.gap_records())
        return sorted(
            [*declared, *unexplained(self._store.spans(), declared)],
            key=lambda gap: (gap.stream, gap.first, -1 if gap.reason is None else gap.reason),
        )

    def forks(self) -> list[Place]:
        """
        Return every (stream, seq) from which on two histories came; both are kept.

        Two contents of one place, two streams that go on from it, or rows beyond it: a state folder runs twice, or
        an older image of it was put back.
        """
        return self._store.forks()

    def repeats(self) -> int:
        """
        Return how many rows came more than once with the same content; each is kept once.
        """
        return self._store.repeats()

    def set_aside(self) -> list[SetAside]:
        """
        Return what waits to be opened, with reasons.
        """
        return self._store.aside()

    def _take_one(self, batch_id: bytes, kid: bytes, body: bytes) -> Taken:
        try:
            batch, purpose = self._open(kid, body)
            rows = [KeyedRow(row, _row_key(batch, row)) for row in batch_rows(batch, purpose)]
        except Unwanted:
            self._store.drop_aside(batch_id)
            return Taken(dropped=(batch_id,))
        except NotOpened as reason:
            self._store.set_aside(SetAside(batch_id, kid, str(reason), body))
            return Taken(set_aside=1)
        except BadInput:
            self._store.set_aside(SetAside(batch_id, kid, DAMAGED, body))
            return Taken(set_aside=1)
        self._store.put_batch(batch_id, batch, rows)
        return Taken(opened=1)

    def _open(self, kid: bytes, body: bytes) -> tuple[Batch, Purpose]:
        key = self._seeds.get(kid)
        if key is None:
            raise NotOpened(NO_KEY)
        opened = seal.open_batch(body, recipient_seed=key[1], alg=key[0])
        certified = self._store.certified(opened.stream_key)
        if certified is None:
            raise NotOpened(UNCERTIFIED)
        if certified.is_forgotten:
            raise Unwanted
        batch = self._decode(opened.payload)
        if (batch.stream_id, batch.stream_key) != (opened.stream_id, opened.stream_key):
            raise Malformed("batch: stream inside is not the one that signed")
        _check_numbers(batch)
        purpose = self._purposes[batch.digest]
        if purpose.name != certified.purpose:
            raise NotOpened(OTHER_PURPOSE)
        return batch, purpose

    def _decode(self, payload: bytes) -> Batch:
        known = self._purposes

        def views_of(digest: bytes) -> Sequence[View] | None:
            if digest not in known:
                raise NotOpened(UNKNOWN_PURPOSE)
            return known[digest].views

        return decode_batch(payload, views_of)


def _check_numbers(batch: Batch) -> None:
    # The format allows 64 bits without sign; no device counts that far, and SQLite cannot.
    gaps = [number for gap in batch.gaps for number in (gap.first, gap.last or 0, gap.count or 0)]
    before = 0 if batch.follows is None else batch.follows[1]
    if max(batch.first, batch.last, abs(batch.offset_ms or 0), before, *gaps) >= _INTEGER_LIMIT:
        raise Malformed("batch: number beyond 53 bits")


def _row_key(batch: Batch, row: OpenedRow) -> bytes:
    about = [batch.digest.hex(), row.kind, row.at_ms, row.count, row.partial, row.length_ms, row.clock]
    content = json.dumps(about) + scaled_text(row)
    return hashlib.sha256(content.encode("utf-8")).digest()[:_ROW_KEY_BYTES]
