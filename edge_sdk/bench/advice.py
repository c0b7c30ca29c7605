"""
What the figures of a board mean: what it carries, for how long offline, and which settings fit it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edge_sdk.bench.stages import Cost

SHARE: Final = 0.1  # of one core, left by firmware that has other things to do
EVERY_S: Final = (1, 5, 10, 60, 300)
_NEAR: Final = 1.1  # within a tenth of the cheapest is as good
_DAY_S: Final = 86_400
_PLANT: Final = 20
_FLUSHES_S: Final = (10, 30, 60, 300)
_A_DAY: Final = 50 << 20  # bytes of flushes: a card of 8 GB is then written over once in half a year


@dataclass(frozen=True, slots=True)
class Carried:
    """
    How many inverters the board carries at one reading each *every_s* seconds, and for how many days the queue holds
    what 20 of them say while the collector is away.
    """

    every_s: int
    inverters: int
    offline_days: float


@dataclass(frozen=True, slots=True)
class Advice:
    """
    The settings that fit, each with why.
    """

    max_rows: int
    flush_s: int
    cipher: str
    suite: str
    carried: tuple[Carried, ...]
    why: tuple[str, ...]


def advise(
    by_rows: Mapping[int, Cost],
    ciphers: Mapping[str, Cost],
    suites: Mapping[str, Cost],
    *,
    flush_bytes: float | None,
    quota_bytes: int,
) -> Advice:
    """
    Return what fits a board.

    Args:
        by_rows: costs by readings per batch, one purpose.
        ciphers: costs by ``[batch] cipher``, otherwise alike.
        suites: costs by ``[batch] suite``, otherwise alike.
        flush_bytes: what one flush writes to the medium, None where that is not counted.
        quota_bytes: what the queue may take.
    """
    rows = _fitting_rows(by_rows)
    cost = by_rows[rows]
    cipher = min(ciphers, key=lambda name: ciphers[name].cpu_us["seal"])
    carried = tuple(_carried(cost, every_s, quota_bytes) for every_s in EVERY_S)
    flush_s, worn = _fitting_flush(flush_bytes)
    most, least = max(by_rows), min(by_rows)
    lost = suites["hpke-9-ke"].wire - suites["hpke-4-ke"].wire
    return Advice(
        max_rows=rows,
        flush_s=flush_s,
        cipher=cipher,
        suite="hpke-9-ke",
        carried=carried,
        why=(
            f"max_rows: {rows} a batch cost {cost.all_us:.1f} us a reading, {least} a batch "
            f"{by_rows[least].all_us:.1f} us, {most} a batch {by_rows[most].all_us:.1f} us",
            f"flush_every: {worn}",
            f"cipher: sealing with {cipher} costs the least here",
            f"suite: hpke-9-ke withstands a quantum computer, for {lost:.1f} B more a reading on the wire",
        ),
    )


def _fitting_rows(by_rows: Mapping[int, Cost]) -> int:
    """
    Return the smallest batch that costs next to no more than the cheapest: small ones arrive sooner.
    """
    cheapest = min(cost.all_us for cost in by_rows.values())
    return min(rows for rows, cost in by_rows.items() if cost.all_us <= _NEAR * cheapest)


def _fitting_flush(flush_bytes: float | None) -> tuple[int, str]:
    """
    Return the shortest time between flushes that a card bears for years, and why.
    """
    if flush_bytes is None:
        return 60, "what a flush writes is not counted on this medium, or others wrote more; the default"
    a_day = {every_s: _DAY_S / every_s * flush_bytes for every_s in _FLUSHES_S}
    fits = next((every_s for every_s in _FLUSHES_S if a_day[every_s] <= _A_DAY), _FLUSHES_S[-1])
    told = ", ".join(f"{every_s}s {nbytes / 1e6:.0f} MB" for every_s, nbytes in a_day.items())
    return fits, f"what flushes write a day: {told}"


def _carried(cost: Cost, every_s: int, quota_bytes: int) -> Carried:
    inverters = int(SHARE * 1e6 / cost.all_us * every_s)
    a_day = _PLANT * _DAY_S / every_s * cost.wire
    return Carried(every_s, inverters, quota_bytes / a_day)
