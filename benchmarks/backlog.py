"""
``python -m benchmarks.backlog``: whether a reading costs more, the more readings wait.

One site is filled to 10^3, 10^4, ... readings in sealed batches. At each size a batch is recorded, sealed and made
durable (keep), and the oldest one taken out and receipted (give); a second site with 10^3 readings does the same in
turns with it, and a ratio is taken inside each turn. Nothing is sent: a request costs the same. CPU of the thread.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.line import make_site
from edge_sdk.bench.workload import make_policy, make_readings
from edge_sdk.core.receipt import Kind, Outcome
from edge_sdk.opening import open_site

LEAST: Final = 1000
ROUNDS: Final = 21
RECEIPTED: Final = Outcome(Kind.ACKED, None, "receipt")
_MIB: Final = 1 << 20


class Waiting:
    """
    A site whose queue holds so many readings.
    """

    def __init__(self, folder: Path, per_batch: int) -> None:
        config = make_site(folder, make_policy(1), per_batch=per_batch)
        text = (folder / "site.toml").read_text()
        (folder / "site.toml").write_text(text.replace('quota = "64 MB"', 'quota = "64 GB"'))
        self._site, _ = open_site(type(config).read(folder / "site.toml"))
        self._state = folder / "state"
        self._readings = make_readings(per_batch)
        self.queued = 0

    def keep(self) -> None:
        """
        Record one batch, seal it, and make that durable.
        """
        self._site.line.recording.record_many("inverter", self._readings)
        self._site.line.step(self._site.clock.now(), flush=True)
        self.queued += len(self._readings)

    def give(self) -> None:
        """
        Take the oldest batch out, have it receipted, and make that durable.
        """
        line, now = self._site.line, self._site.clock.now()
        line.consent.count_as_heard(now.mono_ms)
        parcel = line.next_parcel(now)
        if parcel is None:
            raise RuntimeError("nothing to send")
        line.settle(parcel, RECEIPTED, now, 0.5)
        line.step(now, flush=True)
        self.queued -= len(self._readings)

    def size(self) -> int:
        """
        Return the bytes of the state folder.
        """
        return sum(path.stat().st_size for path in self._state.rglob("*") if path.is_file())

    def close(self) -> None:
        """
        Close the site.
        """
        self._site.close()


@dataclass(frozen=True, slots=True)
class Size:
    """
    A queue of so many readings: CPU us a reading to keep and to give, each also as a ratio to the small queue, MiB
    resident and on disk.
    """

    queued: int
    keep: float
    keep_ratio: float
    give: float
    give_ratio: float
    resident: float
    on_disk: float


def sizes(most: int, *, rounds: int, per_batch: int) -> Iterator[Size]:
    """
    Fill a site to 10^3, 10^4, ... *most* readings, and yield what a reading costs at each of them.
    """
    with tempfile.TemporaryDirectory() as made:
        many, few = (Waiting(Path(made) / name, per_batch) for name in ("many", "few"))
        while few.queued < LEAST:
            few.keep()
        queued = LEAST
        while queued <= most:
            print(f"filling to {queued}", file=sys.stderr, flush=True)
            while many.queued < queued:
                many.keep()
            turns = [_turn(many, few) for _ in range(rounds)]
            yield _size(queued, turns, per_batch, many)
            queued *= 10
        many.close()
        few.close()


def main() -> None:
    """
    Fill, measure, print.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.backlog", description=__doc__)
    arguments.add_argument("--most", type=int, default=1_000_000, help="readings, a power of ten")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--per-batch", type=int, default=500)
    chosen = arguments.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}  {platform.machine()}  Python {platform.python_version()}  "
          f"{chosen.rounds} turns, {chosen.per_batch} readings a batch, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    show(sizes(chosen.most, rounds=chosen.rounds, per_batch=chosen.per_batch))


def show(found: Iterable[Size]) -> list[Size]:
    """
    Print each size as it is there, and return them.
    """
    print(f"{'queued':>10} {'keep':>10} {'x 1000':>8} {'give':>10} {'x 1000':>8} {'resident':>10} {'on disk':>10}")
    print(f"{'readings':>10} {'us each':>10} {'':8} {'us each':>10} {'':8} {'MiB':>10} {'MiB':>10}")
    shown = []
    for one in found:
        print(f"{one.queued:>10} {one.keep:10.2f} {one.keep_ratio:8.2f} {one.give:10.2f} {one.give_ratio:8.2f} "
              f"{one.resident:10.1f} {one.on_disk:10.1f}", flush=True)  # fmt: skip
        shown.append(one)
    return shown


def _turn(many: Waiting, few: Waiting) -> tuple[float, float, float, float]:
    return _cpu(many.keep), _cpu(few.keep), _cpu(many.give), _cpu(few.give)


def _cpu(work: Callable[[], Any]) -> float:
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def _size(queued: int, turns: list[tuple[float, float, float, float]], per_batch: int, many: Waiting) -> Size:
    keep, give = (1e6 / per_batch * statistics.median(turn[at] for turn in turns) for at in (0, 2))
    keeps, gives = (statistics.median(turn[at] / turn[at + 1] for turn in turns) for at in (0, 2))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Size(queued, keep, keeps, give, gives, pages * os.sysconf("SC_PAGESIZE") / _MIB, many.size() / _MIB)


if __name__ == "__main__":
    main()
