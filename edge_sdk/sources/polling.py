"""
Ask a device again and again, whatever it answers.

Owns: the loop, the pauses and the counts: ``polls``, ``readings``, ``away`` (nobody there, or no answer in time),
``rejected`` (an answer that is none) and ``outages``.
Rules: what a device or a library for it does costs one poll, never the program, and no part of it is in a message: a
library's exceptions and logs hold frames, and frames hold serial numbers. After a failure the pause grows up to a
quarter of an hour, with a random part, so that the devices behind one router do not come back all at once.
Does not: speak any protocol, read a clock, or catch what the gateway raises: a site that was wiped ends the loop.
Neighbours: the programs in examples/ bring the library and the device.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge_sdk.core.retry import CEILING_S

Readings = Iterable[tuple[str, Mapping[str, Any]]]

_DOUBLINGS: Final = 32  # far from overflow


@dataclass(slots=True)
class Polling:
    """
    One device that is asked.

    Args:
        ask: return the readings of one poll; OSError when nobody answers, anything else for what is no answer.
        record: takes a kind and its fields, and returns for how many purposes: ``Gateway.record``.
        every_s: from one poll to the next.
        draw: uniform in [0, 1).
    """

    ask: Callable[[], Awaitable[Readings]]
    record: Callable[[str, Mapping[str, Any]], int]
    every_s: float
    draw: Callable[[], float]
    counts: Counter[str] = field(default_factory=Counter)
    _misses: int = 0

    async def run(self, stop: asyncio.Event, polls: int | None = None) -> None:
        """
        Poll until *stop* is set, or *polls* times.
        """
        while not stop.is_set():
            await self.once()
            if self.counts["polls"] == polls:
                return
            try:
                await asyncio.wait_for(stop.wait(), self.pause_s())
            except TimeoutError:
                continue

    async def once(self) -> None:
        """
        Poll once, and record what comes.
        """
        self.counts["polls"] += 1
        try:
            readings = list(await self.ask())
        except OSError:  # TimeoutError is one
            self._missed("away")
        except Exception:  # noqa: BLE001 - hostile bytes make libraries raise anything: it is a poll without a reading
            self._missed("rejected")
        else:
            self._misses = 0
            for kind, fields in readings:
                self.counts["readings"] += bool(self.record(kind, fields))

    def pause_s(self) -> float:
        """
        Return how long to leave the device alone now.
        """
        longest_s = min(CEILING_S, self.every_s * 2.0 ** min(self._misses, _DOUBLINGS)) if self._misses else 0.0
        return self.every_s + self.draw() * longest_s

    def _missed(self, why: str) -> None:
        self.counts[why] += 1
        self.counts["outages"] += not self._misses
        self._misses += 1


def silence(loop: asyncio.AbstractEventLoop, counts: Counter[str], *loggers: str) -> None:
    """
    Keep what libraries for devices have to say out of every log: their *loggers*, and errors that *loop* would print.
    """
    for name in loggers:
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())  # without one, warnings go to standard error
        logger.propagate = False
    loop.set_exception_handler(lambda *_: counts.update(["rejected"]))
