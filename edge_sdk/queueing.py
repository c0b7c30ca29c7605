"""
The care of sealed batches: which goes next, what an answer does to one, what quota and age take.

A batch leaves the outbox only by a receipt signed for it, a signed refusal (set aside), quota, age, withdrawal, wipe
or a damaged medium; each but the first becomes a gap of its stream. One batch that is answered badly never holds up
the next: it waits by itself, later and later.
"""

from __future__ import annotations

import contextlib
import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from edge_sdk.core.batch import Gap, Reason
from edge_sdk.core.consent import Queue, SendGrant
from edge_sdk.core.envelope import outer
from edge_sdk.core.receipt import Kind, Outcome
from edge_sdk.core.retry import delay_s
from edge_sdk.core.transfer import Fate
from edge_sdk.errors import StorageError, Tampered
from edge_sdk.order import Held
from edge_sdk.sealing import Rooms, unseal_body
from edge_sdk.streams import Stream
from edge_sdk.transport import Lane

REMEMBERED = 4096  # tries and recipients of batches, before those that are gone are looked for
MAX_ASIDE = 64  # set-aside batches kept for an operator; the oldest go first
NOW_TRIES = 3  # answered badly as often, a batch no longer goes first for being wanted now
HELD_BACK_MS = 60_000  # until a batch to a key that may not have it now is looked at again
UNREADABLE_MS = 3_600_000  # until a batch that can be neither read nor dropped is tried again


@dataclass(frozen=True, slots=True)
class Parcel:
    """
    One sealed batch on its way: the bytes of the body and the permission they go under.
    """

    held: Held
    body: bytes
    grant: SendGrant
    lane: Lane


class Queueing:
    """
    The order of what waits, over the outbox.
    """

    def __init__(self, rooms: Rooms, streams: dict[int, Stream], *, quota_bytes: int) -> None:
        self._rooms = rooms
        self._streams = streams
        self._quota = quota_bytes
        self._tries: Counter[int] = Counter()
        self._waiting: dict[int, int] = {}
        self._due: list[tuple[int, int]] = []
        self._kids: dict[int, bytes] = {}  # by batch, of streams that may go abroad
        self.counts: Counter[str] = Counter()

    def next_parcel(
        self, permit: Callable[[Stream], SendGrant | None], mono_ms: int, *, fate: Fate
    ) -> Parcel | None:
        """
        Return the next batch to send: of streams whose readings are wanted now first, then the oldest.

        One that was tried before comes after those that were not: it may be what fells the collector.

        Args:
            permit: the grant to send for a stream, asked for anew at every call.
            mono_ms: batches answered badly wait until their time.
            fate: what becomes of what was sealed to a key; what it holds back waits.
        """
        while self._due and self._due[0][0] <= mono_ms:
            self._waiting.pop(heapq.heappop(self._due)[1], None)
        while (best := self._best(permit)) is not None:
            held, stream, grant = best
            try:
                body = unseal_body(stream.entry, held, self._rooms.outbox.sealed_body(held))
                if _may_be_abroad(stream) and self._fate(stream, held, body, fate) is not Queue.KEEP:
                    self._wait(held, mono_ms + HELD_BACK_MS)
                    continue
                return Parcel(held, body, grant, Lane.NOW if _is_now(stream) else Lane.NORMAL)
            except (Tampered, StorageError):
                self._give_up(stream, held, mono_ms)  # so the next round meets another
        return None

    def recall(self, fate: Fate) -> None:
        """
        Drop, with its gap, what was sealed to a key that *fate* lets it go to no more, for good.

        Only purposes with regions beyond home are looked at, and each of their batches is opened up to its key once.

        After a power cut: each batch is there, or gone and told.

        Raises:
            StorageError: what is left is dropped at the next call.
        """
        for row, queue in list(self._rooms.outbox.queues.items()):
            stream = self._streams.get(row)
            if stream is None or not _may_be_abroad(stream):
                continue
            for held in list(queue.values()):
                with contextlib.suppress(Tampered):  # a damaged one is found when it is its turn
                    if self._fate(stream, held, None, fate) is Queue.DESTROY:
                        self._lose(stream, held, Reason.RECIPIENT, keep=False)

    def _fate(self, stream: Stream, held: Held, body: bytes | None, fate: Fate) -> Queue:
        assert stream.purpose is not None  # who asks has looked whether it may be abroad
        kid = self._kids.get(held.id)
        if kid is None:
            body = body or unseal_body(stream.entry, held, self._rooms.outbox.sealed_body(held))
            kid = self._kids[held.id] = outer(body).kid
        return fate(stream.purpose, stream.record.digest, kid)

    def _best(self, permit: Callable[[Stream], SendGrant | None]) -> tuple[Held, Stream, SendGrant] | None:
        heads = [
            (self._rank(stream, held), held, stream)
            for row, queue in self._rooms.outbox.queues.items()
            if (stream := self._streams.get(row)) is not None and (held := self._head(queue)) is not None
        ]
        for _, held, stream in sorted(heads, key=lambda head: head[0]):
            if (grant := permit(stream)) is not None:
                return held, stream, grant
        return None

    def settle(self, parcel: Parcel, outcome: Outcome, *, mono_ms: int, draw: float) -> None:
        """
        Do what the answer to *parcel* means.

        After a power cut: the batch is gone with its receipt, or still queued; sent again it is stored once.
        """
        held = parcel.held
        stream = self._streams.get(held.stream)
        if stream is None or not self.has(held):
            return  # withdrawn or evicted while it was under way
        match outcome.kind:
            case Kind.ACKED:
                self._forget(stream, held)
                self._tries.pop(held.id, None)
                self._kids.pop(held.id, None)
                self.counts["acked"] += 1
                self.let_go(stream)
            case Kind.REFUSED:
                self._lose(stream, held, Reason.INVALID, keep=True)
                self.counts["refused"] += 1
            case Kind.LATER:
                self._tries[held.id] += 1
                self._wait(held, mono_ms + int(1000 * delay_s(self._tries[held.id] - 1, draw)))
                self.counts["later"] += 1

    def has(self, held: Held) -> bool:
        """
        Tell whether a batch is still queued: the row of a stream that was destroyed may be another stream's by now.
        """
        return self._rooms.outbox.queues.get(held.stream, {}).get(held.id) == held

    def tidy(self) -> None:
        """
        Delete the rows of receipted batches, where no write since has taken them along.

        After a power cut: each batch is gone, or queued; sent again it is stored once.

        Raises:
            StorageError: they are tried again with the next write.
        """
        self._rooms.outbox.settle()

    def enforce(self, floor_ms: int, *, allowed_bytes: int) -> None:
        """
        Drop what is too old and what the quota has no room for, each with its gap.

        Args:
            floor_ms: age is counted by the floor, so a spoofed clock drops nothing.
            allowed_bytes: the room the file system leaves; the smaller of it and the quota counts.
        """
        for row, queue in list(self._rooms.outbox.queues.items()):
            stream = self._streams.get(row)
            if stream is None:
                continue
            oldest_ms = floor_ms - stream.record.keep_ms
            for held in list(takewhile(lambda held: held.kept_ms < oldest_ms, queue.values())):  # noqa: B023 - used at once
                self._lose(stream, held, Reason.TOO_OLD, keep=False)
        self._shrink(min(self._quota, allowed_bytes))
        if len(self._tries) + len(self._kids) > REMEMBERED:
            self._forget_gone()

    def make_room(self, wanted_bytes: int) -> bool:
        """
        Drop what counts least, for *wanted_bytes* in a file that can grow no more; return whether anything went.

        After a power cut: each batch is there, or gone with its gap told.

        Raises:
            StorageError: the disk does not even take that.
        """
        outbox = self._rooms.outbox
        with contextlib.suppress(StorageError):  # so that deleting needs no room; on a full disk it may not go through
            outbox.checkpoint(cut=False)
        before = outbox.held_bytes()
        self._shrink(max(0, before - wanted_bytes))
        return outbox.held_bytes() < before

    def cut_log(self) -> None:
        """
        Give the file system back what the write-ahead log of the queue takes.
        """
        self._rooms.outbox.checkpoint()

    def _shrink(self, limit: int) -> None:
        if self._rooms.outbox.held_bytes() > limit:
            self._drop_aside(limit)
        while self._rooms.outbox.held_bytes() > limit:
            victim = self._least_important()
            if victim is None:
                return
            self._lose(*victim, Reason.QUOTA, keep=False)

    def let_go(self, stream: Stream) -> None:
        """
        Forget an ended stream that has nothing left to send or tell, nor anything set aside: that goes with its stream.
        """
        waits = stream.open_rows or stream.has_open_windows or stream.record.has_news
        # What its boot is off may still have to be told: it is not known yet.
        is_over = stream.record.ended and stream.record.line is None
        if is_over and not waits and stream.row not in self._rooms.outbox.queues and not self._has_aside(stream):
            with self._rooms.outbox.transaction():
                self._rooms.outbox.drop_stream(stream.row)
            self._streams.pop(stream.row, None)
            self._rooms.page.destroy({place for place in self._rooms.page.entries if place[0] == stream.row})

    def _has_aside(self, stream: Stream) -> bool:
        outbox = self._rooms.outbox
        return outbox.aside_bytes > 0 and any(row == stream.row for _, row, *_ in outbox.aside())

    def _head(self, queue: Mapping[int, Held]) -> Held | None:
        tried = None
        for number, held in queue.items():  # the oldest is the answer nearly always
            if number not in self._waiting:
                if number not in self._tries:
                    return held
                tried = tried or held
        return tried

    def _rank(self, stream: Stream, held: Held) -> tuple[bool, bool, bool, int]:
        tries = self._tries[held.id]
        return tries >= NOW_TRIES, not _is_now(stream), tries > 0, held.id

    def _least_important(self) -> tuple[Stream, Held] | None:
        ranked = [
            (stream.purpose.importance if stream.purpose else -1, next(iter(queue.values())).id, row)
            for row, queue in self._rooms.outbox.queues.items()
            if queue and (stream := self._streams.get(row)) is not None
        ]
        if not ranked:
            return None
        _, number, row = min(ranked)
        return self._streams[row], self._rooms.outbox.queues[row][number]

    def _drop_aside(self, limit: int) -> None:
        """
        Make room by what nobody will send: set-aside batches, the oldest first; their gaps are told already.
        """
        outbox, dropped = self._rooms.outbox, 0
        with outbox.transaction():
            for row in [entry[0] for entry in outbox.aside()]:
                if outbox.held_bytes() > limit:
                    outbox.drop_aside(row)
                    dropped += 1
        self.counts["aside_dropped"] += dropped

    def _forget_gone(self) -> None:
        """
        Forget what was remembered of batches that went with their stream.
        """
        there = {number for queue in self._rooms.outbox.queues.values() for number in queue}
        self._tries = Counter({number: tries for number, tries in self._tries.items() if number in there})
        self._kids = {number: kid for number, kid in self._kids.items() if number in there}

    def _give_up(self, stream: Stream, held: Held, mono_ms: int) -> None:
        """
        Set a damaged batch aside; where the medium cannot even copy it, drop it; where it cannot drop it, pass it over.
        """
        for keep in (True, False):
            try:
                self._lose(stream, held, Reason.DAMAGED, keep=keep)
                return
            except StorageError:
                continue
        self._wait(held, mono_ms + UNREADABLE_MS)

    def hurry(self) -> None:
        """
        Let batches that wait after a failed try go at once: an operator asks for it.
        """
        for number in self._tries:
            self._waiting.pop(number, None)

    def _wait(self, held: Held, until_ms: int) -> None:
        self._waiting[held.id] = until_ms
        heapq.heappush(self._due, (until_ms, held.id))

    def _forget(self, stream: Stream, held: Held) -> None:
        """
        Forget a receipted batch: with the next write, and at once where its receipt also ends gaps that it told.
        """
        outbox = self._rooms.outbox
        with stream.or_as_before():
            if held.told and stream.told(held.told):
                with outbox.transaction():
                    outbox.drop_sealed(held)
                    stream.store(self._rooms)
            else:
                outbox.receipted(held)

    def _lose(self, stream: Stream, held: Held, reason: Reason, *, keep: bool) -> None:
        """
        Take a batch out of the line and tell the gap it leaves, in one durable step.
        """
        over: list[int] = []
        with stream.or_as_before(), self._rooms.outbox.transaction():
            if held.last >= held.first:
                stream.tell(Gap(held.first, held.last, None, reason))
            stream.record.lost += held.last - held.first + 1
            if keep:
                self._rooms.outbox.set_aside(held, reason.name.lower())
                over = [entry[0] for entry in self._rooms.outbox.aside()][:-MAX_ASIDE]
                for row in over:
                    self._rooms.outbox.drop_aside(row)
            else:
                self._rooms.outbox.drop_sealed(held)
            stream.store(self._rooms)
        stream.changed = False
        self._tries.pop(held.id, None)
        self._kids.pop(held.id, None)
        if keep:
            self.counts["aside_dropped"] += len(over)
        self.counts[reason.name.lower()] += 1


def _may_be_abroad(stream: Stream) -> bool:
    """
    Tell whether batches of *stream* may be sealed to a key beyond home, so that a transfer has to be allowed.
    """
    purpose = stream.purpose
    return purpose is not None and purpose.reach is not None and bool(purpose.reach.abroad(purpose.regions))


def _is_now(stream: Stream) -> bool:
    return stream.purpose is not None and any(view.now for view in stream.purpose.views)
