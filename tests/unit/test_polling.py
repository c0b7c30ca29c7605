"""
Polling goes on whatever a device does, ever more slowly while it does nothing; what the site itself says ends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from edge_sdk.core.retry import CEILING_S
from edge_sdk.errors import LifecycleRefused
from edge_sdk.sources.polling import Polling, Readings, silence

READING = ("inverter", {"serial": "CANARY-1"})


def polling(*turns: Exception | list[Any], record: Callable[[str, Mapping[str, Any]], int] = lambda *_: 1) -> Polling:
    """Return a device that takes its *turns*, with the longest pauses there can be."""
    left = iter(turns)

    async def ask() -> Readings:
        turn = next(left)
        if isinstance(turn, Exception):
            raise turn
        return turn

    return Polling(ask, record, every_s=10.0, draw=lambda: 1.0)


def pauses(device: Polling, polls: int) -> list[float]:
    async def all_of_them() -> list[float]:
        found = []
        for _ in range(polls):
            await device.once()
            found.append(device.pause_s())
        return found

    return asyncio.run(all_of_them())


def test_pauses_grow_to_a_ceiling_and_are_over_with_the_next_answer() -> None:
    device = polling([READING], *[TimeoutError()] * 40, [READING])
    found = pauses(device, 42)
    assert found[:4] == [10.0, 30.0, 50.0, 90.0]
    assert found[40] == 10.0 + CEILING_S
    assert found[41] == 10.0
    assert device.counts == {"polls": 42, "readings": 2, "away": 40, "outages": 1}


@pytest.mark.parametrize("error", [IndexError("a5"), UnicodeDecodeError("ascii", b"\xa5", 0, 1, "a5"), MemoryError()])
def test_whatever_a_library_raises_is_a_poll_without_a_reading(error: Exception) -> None:
    device = polling(error, [READING])
    pauses(device, 2)
    assert device.counts == {"polls": 2, "readings": 1, "rejected": 1, "outages": 1}


def test_a_reading_that_no_purpose_took_does_not_count() -> None:
    device = polling([READING, READING], record=lambda *_: 0)
    pauses(device, 1)
    assert device.counts["readings"] == 0


def test_what_the_site_says_ends_it() -> None:
    def wiped(*_: object) -> int:
        raise LifecycleRefused("wiped")

    with pytest.raises(LifecycleRefused):
        pauses(polling([READING], record=wiped), 1)


def test_a_pause_ends_when_the_program_is_told_to() -> None:
    async def stopped() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stop.set)
        await asyncio.wait_for(polling(OSError()).run(stop), 60)

    asyncio.run(stopped())


def test_what_libraries_say_reaches_no_log(capfd: pytest.CaptureFixture[str]) -> None:
    async def said() -> Counter[str]:
        counts: Counter[str] = Counter()
        loop = asyncio.get_running_loop()
        silence(loop, counts, "a_library")
        logging.getLogger("a_library.frames").error("CANARY-1")
        loop.call_exception_handler({"message": "CANARY-1", "exception": ValueError("CANARY-1")})
        return counts

    root = logging.StreamHandler()
    logging.getLogger().addHandler(root)
    try:
        assert asyncio.run(said()) == {"rejected": 1}
    finally:
        logging.getLogger().removeHandler(root)
    assert capfd.readouterr() == ("", "")
