"""
How long ``record()`` blocks its caller while nothing goes well: no collector, a slow medium, batches sealed meanwhile.

The medium is made slow where the writer commits: each commit of the queue takes so much longer. The recording thread
is this one, as in firmware that records from its own loop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_sdk.bench import meter
from edge_sdk.bench.stages import KIND, Readings
from edge_sdk.config import Config
from edge_sdk.errors import UplinkError
from edge_sdk.outbox import Outbox
from edge_sdk.running import Running
from edge_sdk.transport import Request, Response

_WARM_UP: Final = 200  # the first calls meet what is made once


@dataclass(frozen=True, slots=True)
class Latency:
    """
    Times of one ``record()`` in us, and how many commits were slowed meanwhile.
    """

    calls: int
    p50: float
    p99: float
    p999: float
    longest: float
    slowed: int


class _Away:
    """
    A collector that nobody reaches.
    """

    async def send(self, request: Request) -> Response:
        """
        Fail as a network without a route does.
        """
        raise UplinkError("no route")

    async def close(self) -> None:
        """
        Have nothing to close.
        """


def run(config: Config, readings: Readings, *, per_s: int, slow_ms: int) -> Latency:
    """
    Record *readings* at *per_s* a second with the uplink down and every commit *slow_ms* longer; blocks as long.

    After a power cut: a site like any other, that sends what it has.
    """
    running = Running(config, _Away())
    running.start()
    slowed = _slow(running.site.line.rooms.outbox, slow_ms / 1000)
    record = running.site.line.recording.record
    times = []
    begun = meter.wall_ns()
    try:
        for number, (at_ms, fields) in enumerate(readings):
            ahead_s = number / per_s - (meter.wall_ns() - begun) / 1e9
            if ahead_s > 0:
                meter.sleep(ahead_s)
            called = meter.wall_ns()
            record(KIND, fields, at_ms)
            times.append(meter.wall_ns() - called)
    finally:
        running.stop()
    counted = sorted(times[_WARM_UP:] or times)
    return Latency(
        calls=len(counted),
        p50=_at(counted, 0.5),
        p99=_at(counted, 0.99),
        p999=_at(counted, 0.999),
        longest=counted[-1] / 1000,
        slowed=slowed[0],
    )


def _slow(outbox: Outbox, seconds: float) -> list[int]:
    """
    Make every commit of *outbox* take *seconds* longer; return where they are counted.
    """
    count = [0]
    plain = outbox.transaction

    @contextlib.contextmanager
    def slow() -> Iterator[None]:
        with plain():
            yield
            count[0] += 1
            meter.sleep(seconds)

    outbox.transaction = slow  # type: ignore[method-assign]  # of this one object, for as long as it is measured
    return count


def _at(ordered: list[int], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000
