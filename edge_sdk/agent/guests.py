"""
What a site makes of one connection: points into its line, and what it owes account of.

Everything that changes what the site has counted is done in one grip of the record lock, so that the writer never
takes rows without the points they were made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_sdk.agent.accounts import Account
from edge_sdk.clock import suspended_ms
from edge_sdk.core.shim_ids import Schema
from edge_sdk.core.shim_wire import Batch, Beat, Source, Text, Wiped
from edge_sdk.recording import Recording
from edge_sdk.sources.shim import Columns, Readings

Answered = Callable[[Wiped], None]
Left = Callable[[], None]


class SiteGuest:
    """
    One shim that feeds a site.

    Args:
        answered: takes its answer to a wipe.
        left: is told when it has gone.
    """

    def __init__(
        self, recording: Recording, schema: Schema, account: Account, *, answered: Answered, left: Left
    ) -> None:
        self._recording = recording
        self._lock = recording.lock
        self._account = account
        self._readings = Readings(schema, self._deliver, recording.marks.counts)
        self.wiped = answered
        self._left = left

    def points(self, said: Sequence[Batch], now_ms: int) -> None:
        """
        Put the points of several messages to the readings that they belong to.

        Raises:
            Malformed: the shim's own count fell; the messages before are taken.
        """
        slept_ms, arrived, take = suspended_ms(), self._account.arrived, self._readings.take
        with self._lock:
            for one in said:
                arrived(one.first, one.count, one.drops)
                if lost := take(one.runs, t0=one.t0_ms, t0_ms=one.t0_ms + slept_ms, now_ms=now_ms):
                    self._account.settle(lost)

    def beat(self, said: Beat) -> None:
        """
        Take what was sent and dropped, without points.

        Raises:
            Malformed: the shim's own count fell.
        """
        with self._lock:
            self._account.arrived(said.first, 0, said.drops)

    def declare(self, said: Source | Text) -> None:
        """
        Take what a slot is, or carries.
        """
        with self._lock:
            if isinstance(said, Source):
                self._readings.declare(said)
            else:
                self._readings.tell(said)

    def unknown(self) -> None:
        """
        Count a message of a later version.
        """
        self._recording.count("shim_unknown")

    def record(self) -> None:
        """
        Record the readings that are complete.
        """
        with self._lock:
            self._readings.hand_over()

    def complete(self, now_ms: int) -> int | None:
        """
        Record readings that are complete, or to which nothing was added for a second.
        """
        with self._lock:
            return self._readings.complete(now_ms)

    def discard(self) -> None:
        """
        Forget what was declared and what is open: the site is wiped.
        """
        with self._lock:
            self._account.settle(self._readings.discard())

    def leave(self) -> None:
        """
        Record what is open; the connection has ended.
        """
        with self._lock:
            self._readings.end()
        self._left()

    def _deliver(self, kind: str, columns: Columns, mono_ms: Sequence[int], points: int) -> None:
        self._recording.record_columns(kind, columns, mono_ms)
        self._account.settle(points)


class WipedGuest:
    """
    One shim of a site that is being wiped: nothing of it is taken but its answer.
    """

    def __init__(self, *, answered: Answered, left: Left) -> None:
        self.wiped = answered
        self.leave = left

    def points(self, said: Sequence[Batch], now_ms: int) -> None:
        """
        Take nothing.
        """

    def beat(self, said: Beat) -> None:
        """
        Take nothing.
        """

    def declare(self, said: Source | Text) -> None:
        """
        Take nothing.
        """

    def unknown(self) -> None:
        """
        Take nothing.
        """

    def record(self) -> None:
        """
        Have nothing to record.
        """

    def discard(self) -> None:
        """
        Have nothing to forget.
        """

    def complete(self, now_ms: int) -> None:
        """
        Have nothing open.
        """
