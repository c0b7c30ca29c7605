"""
``python -m benchmarks.side_channels``: what sizes and times of uploads tell whoever sees them, over a simulated year.

One household with four inverters, its line, uplink and collector as they ship, on one simulated clock; readings every
five minutes from a seeded sky over 48 degrees north. Each run is a real configuration: the fixed cadence, or batches
that go when they are full. Sizes without padding are those of the same envelopes, opened, less their padding.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from benchmarks.household import POLICY
from benchmarks.line import make_site
from edge_sdk.clock import Now
from edge_sdk.collector.folder import open_reception
from edge_sdk.collector.intake import Limits
from edge_sdk.collector.intake import Request as Handed
from edge_sdk.collector.keyring import Places, read_recipients
from edge_sdk.collector.reception import Reception
from edge_sdk.config import Config
from edge_sdk.core import labels
from edge_sdk.core.envelope import outer
from edge_sdk.core.padding import unpad
from edge_sdk.core.seal import open_sealed
from edge_sdk.core.units import DAY_MS, HOUR_MS, MINUTE_MS
from edge_sdk.opening import Site, open_site
from edge_sdk.transport import Request, Response
from edge_sdk.uplink import Trip, Uplink

STEP_MS: Final = 5 * MINUTE_MS
INVERTERS: Final = 4
PEAK_W: Final = 800
LATITUDE: Final = math.radians(48)
DRAW: Final = 0.5
FULL_ROWS: Final = 48  # an hour of four inverters


@dataclass(frozen=True)
class Upload:
    """
    One batch as the network sees it, with what it would be without padding and what it really tells of.
    """

    at_ms: int
    size: int
    bare: int
    produced_wh: float


@dataclass
class Sky:
    """
    Power of one inverter by time: a day curve by season under clouds that last, a factor for each day, some noise.
    """

    chance: random.Random
    clouds: float = 0.7
    days: dict[int, float] = field(default_factory=dict)

    def power_w(self, at_ms: int) -> float:
        """
        Return watts at *at_ms* (Unix milliseconds); 0 while the sun is down.
        """
        day, hours = at_ms // DAY_MS, at_ms % DAY_MS / HOUR_MS
        tilt = math.radians(23.44) * math.sin(2 * math.pi * (day % 365.25 - 80) / 365.25)
        height = math.sin(LATITUDE) * math.sin(tilt)
        height += math.cos(LATITUDE) * math.cos(tilt) * math.cos(math.pi * (hours - 12) / 12)
        self.clouds = min(1.0, max(0.15, self.clouds + self.chance.gauss(0, 0.05)))
        fair = self.days.setdefault(day, self.chance.betavariate(2, 1))
        return max(0.0, height) * PEAK_W * fair * self.clouds


@dataclass
class Plant:
    """
    The firmware: readings of every inverter that is awake, and the energy it counts.
    """

    sky: Sky
    at_night: bool
    energy_wh: float = 0.0
    produced_wh: float = 0.0

    def readings(self, at_ms: int) -> Iterator[dict[str, Any]]:
        """
        Yield what the inverters tell at *at_ms*: nothing while the sun is down, unless they run through the night.
        """
        power = self.sky.power_w(at_ms)
        self.energy_wh += power * STEP_MS / HOUR_MS
        self.produced_wh += INVERTERS * power * STEP_MS / HOUR_MS
        if power <= 0 and not self.at_night:
            return
        noise = self.sky.chance.gauss
        for number in range(INVERTERS):
            yield {
                "serial": f"40800012345{number}",
                "power": round(power * (1 + 0.02 * noise(0, 1)), 1) if power else 0.0,
                "voltage": round(230 + 1.5 * noise(0, 1), 1),
                "temperature": round(12 + power / 40 + noise(0, 0.3), 1),
                "energy": int(self.energy_wh) + 1000 * number,
            }


class Watched:
    """
    A device and its collector on one simulated clock, and everything that went up.
    """

    def __init__(self, parts: Site, reception: Reception, bare_of: Callable[[bytes], int], plant: Plant) -> None:
        self.parts, self.reception, self.bare_of, self.plant = parts, reception, bare_of, plant
        self.now: Now = parts.clock.now()
        self.uploads: list[Upload] = []
        self.uplink = Uplink(
            parts.line, routing=parts.uplink._routing, clock=parts.clock, chance=lambda: DRAW, draw=os.urandom,
            first_ms=0,
        )  # fmt: skip

    def step(self) -> None:
        """
        Let five minutes pass on both sides: readings, what is due, what is to be sent.
        """
        before, self.now = self.now, _later(self.now)
        if self.now.wall_ms // DAY_MS != before.wall_ms // DAY_MS:
            self.reception.upkeep(self.now.wall_s)
        for reading in self.plant.readings(self.now.wall_ms):
            self.parts.line.recording.record("inverter", reading, self.now.wall_ms)
        self.parts.line.step(self.now)
        while isinstance(trip := self.uplink.next_trip(self.now), Trip):
            self.uplink.settle(trip, self._answer(trip.request), self.now)

    def _answer(self, request: Request) -> Response:
        if request.path == "/v1/batches":
            size = len(request.body)
            self.uploads.append(Upload(self.now.wall_ms, size, self.bare_of(request.body), self.plant.produced_wh))
            self.plant.produced_wh = 0.0
        handed = Handed(request.method, request.path, request.headers.get("Authorization"), request.body)
        answer = self.reception.answer(handed, self.now.wall_s)
        return Response(answer.status, {}, answer.body)


def _later(now: Now) -> Now:
    return replace(
        now, mono_ms=now.mono_ms + STEP_MS, wall_ms=now.wall_ms + STEP_MS, floor_ms=now.floor_ms + STEP_MS
    )  # fmt: skip


def watch(folder: Path, days: int, *, by_rows: bool, at_night: bool, seed: int) -> list[Upload]:
    """
    Return the uploads of *days* simulated days of one household, made in the new folder *folder*.

    Args:
        by_rows: batches go when they have FULL_ROWS rows; else each hour, at the phase of the day.
        at_night: the inverters tell zeros through the night; else they sleep.

    Raises:
        RuntimeError: when the collector did not take everything.
    """
    make_site(folder, POLICY, per_batch=FULL_ROWS if by_rows else 500)
    toml = folder / "site.toml"
    age = '"7d"' if by_rows else '"1h"'
    text = "\n".join(line for line in toml.read_text().splitlines() if not line.startswith(("max_age", "flush_every")))
    toml.write_text(text.replace("[batch]", f'[batch]\nmax_age = {age}\nflush_every = "1h"') + "\n")
    seeds = read_recipients(Places(folder / "collector").opener)

    def bare_of(body: bytes) -> int:
        alg, key = seeds[outer(body).kid]
        padded, _ = open_sealed(body, seed=key, alg=alg, typ=labels.TYP_BATCH)
        return len(body) - len(padded) + len(unpad(padded))

    plant = Plant(Sky(random.Random(seed)), at_night)
    parts, _ = open_site(Config.read(toml))
    try:
        with open_reception(folder / "collector", limits=Limits()) as reception:
            watched = Watched(parts, reception, bare_of, plant)
            for _ in range(days * DAY_MS // STEP_MS):
                watched.step()
            if watched.uplink.last_error:
                raise RuntimeError(f"the collector did not take everything: {watched.uplink.last_error}")
            return watched.uploads
    finally:
        parts.close()


# ------------------------------------------------------------------------------------------- what it tells


def bits(sizes: Sequence[int]) -> float:
    """
    Return the entropy of *sizes* in bits: what one of them tells at most.
    """
    total = len(sizes)
    return sum(count / total * math.log2(total / count) for count in Counter(sizes).values())


def told_apart(sizes: Sequence[int], produced: Sequence[bool]) -> float:
    """
    Return how often the best single bound on the size says rightly whether there was production; 0.5 is a guess.

    Both kinds count the same, however many there are of each.
    """
    night = [size for size, some in zip(sizes, produced, strict=True) if not some]
    day = [size for size, some in zip(sizes, produced, strict=True) if some]
    if not night or not day:
        return 0.5
    bounds = sorted({*sizes, max(sizes) + 1})
    return max(_share(night, bound) / 2 + (1 - _share(day, bound)) / 2 for bound in bounds)


def _share(sizes: Sequence[int], bound: int) -> float:
    return sum(size < bound for size in sizes) / len(sizes)


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """
    Return Spearman's correlation; 0 where one of the two never changes.
    """
    if len(set(left)) < 2 or len(set(right)) < 2:
        return 0.0
    return statistics.correlation(_ranks(left), _ranks(right))


def _ranks(values: Sequence[float]) -> list[float]:
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values)):
        places.setdefault(value, []).append(place)
    return [statistics.fmean(places[value]) for value in values]


def row_of(name: str, uploads: Sequence[Upload], sizes: Sequence[int]) -> list[str]:
    """
    Return one line of the table: what somebody learns who sees these *sizes* at the times of *uploads*.
    """
    days: dict[int, list[tuple[int, float]]] = {}
    for upload, size in zip(uploads, sizes, strict=True):
        days.setdefault(upload.at_ms // DAY_MS, []).append((size, upload.produced_wh))
    whole = list(days.values())[1:-1]
    counts, energies = [len(day) for day in whole], [sum(wh for _, wh in day) for day in whole]
    produced = [upload.produced_wh > 0 for upload in uploads]
    few = min(produced.count(True), produced.count(False)) < len(produced) / 20  # too few to say it of
    silences = [later.at_ms - upload.at_ms for upload, later in pairwise(uploads)]
    return [
        name,
        str(len(uploads)),
        str(len(set(sizes))),
        f"{bits(sizes):.1f}",
        "-" if few else f"{told_apart(sizes, produced):.2f}",
        f"{rank_correlation([sum(size for size, _ in day) for day in whole], energies):+.2f}",
        str(len({upload.at_ms % DAY_MS // STEP_MS for upload in uploads})),
        f"{max(silences) / HOUR_MS:.1f} h",
        f"{min(counts)} to {max(counts)}",
        f"{rank_correlation(counts, energies):+.2f}",
    ]


HEAD: Final = [
    "run", "uploads", "sizes", "bits", "night?", "bytes~energy", "times", "silence", "a day", "number~energy",
]  # fmt: skip
RUNS: Final = {
    "hourly": {"by_rows": False, "at_night": False},
    "hourly, awake at night": {"by_rows": False, "at_night": True},
    "when full": {"by_rows": True, "at_night": False},
}


def table(days: int, seed: int) -> list[list[str]]:
    """
    Return the lines of the table, each run with its padding and without.
    """
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, run) in enumerate(RUNS.items()):
            uploads = watch(Path(folder) / str(number), days, seed=seed, **run)
            lines.append(row_of(f"{name}, padded", uploads, [upload.size for upload in uploads]))
            lines.append(row_of(f"{name}, not padded", uploads, [upload.bare for upload in uploads]))
    return lines


def main() -> None:
    """
    Print the table.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.side_channels", description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    lines = [HEAD, *table(asked.days, asked.seed)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    print(f"{asked.days} days, seed {asked.seed}, {INVERTERS} inverters every 5 minutes")
    for line in lines:
        print("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]))


if __name__ == "__main__":
    main()
