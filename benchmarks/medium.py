"""
``python -m benchmarks.medium``: bytes that reach the medium for a reading, by the block device's own statistics.

A site on an ext4 in a file on a loop device of its own records, seals and makes durable batch by batch; nothing is
sent. The first batches are not counted: they make the log as large as it stays. Then a day in scripted time: 20
inverters read every five minutes, each round made durable, a batch of each purpose an hour. Wants root.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.line import make_site
from edge_sdk.bench.workload import DEVICES, make_policy, make_readings
from edge_sdk.opening import open_site

IMAGE_BYTES: Final = 512 << 20
WARM: Final = 200  # batches
ROUND_MS: Final = 300_000
ROUNDS: Final = 288
_SECTOR: Final = 512


@contextmanager
def medium(scratch: Path) -> Iterator[tuple[Path, Callable[[], int]]]:
    """
    Lend a folder on a medium of its own, and what says how many bytes were written to that so far.

    Raises:
        PermissionError: this user, or this container, may have no loop device.
    """
    image, place = scratch / "image", scratch / "medium"
    place.mkdir()
    try:
        with image.open("wb") as made:
            made.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
        loop = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError("no loop device") from error
    device = loop.stdout.strip()
    try:
        subprocess.run(["mount", device, place], check=True, capture_output=True)
        try:
            yield place, lambda: _written(device)
        finally:
            subprocess.run(["umount", place], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def main() -> None:
    """
    Measure and print.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.medium", description=__doc__)
    arguments.add_argument("--batches", type=int, default=400)
    arguments.add_argument("--per-batch", type=int, default=500)
    chosen = arguments.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}  {platform.machine()}  Linux {platform.release()}  "
          f"{chosen.batches} batches of {chosen.per_batch} readings of 17 fields")  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        try:
            with medium(Path(made)) as (place, written):
                for purposes, windowed in ((1, False), (3, False), (3, True)):
                    run(place, written, chosen, purposes=purposes, windowed=windowed)
                run_day(place, written)
        except PermissionError:
            sys.exit("this needs root, mkfs.ext4 and a loop device")


def run(
    place: Path, written: Callable[[], int], chosen: argparse.Namespace, *, purposes: int, windowed: bool
) -> None:
    """
    Fill one site and print what that wrote.
    """
    policy = make_policy(purposes, windowed=windowed)
    site, _ = open_site(make_site(place / f"{purposes}{windowed}", policy, per_batch=chosen.per_batch))
    readings = make_readings(chosen.per_batch * (WARM + chosen.batches))
    before = 0
    for number in range(WARM + chosen.batches):
        if number == WARM:
            before = written()
        at = number * chosen.per_batch
        site.line.recording.record_many("inverter", readings[at : at + chosen.per_batch])
        site.line.step(site.clock.now(), flush=True)
    count = chosen.batches * chosen.per_batch
    kind = "5-min windows" if windowed else "every reading"
    print(f"{purposes} purposes, {kind:14}{(written() - before) / count:8.1f} B a reading", flush=True)
    site.close()


def run_day(place: Path, written: Callable[[], int]) -> None:
    """
    Play two days, and print what the second one wrote.
    """
    site, _ = open_site(make_site(place / "day", make_policy(3), per_batch=500))
    readings = [fields for _, fields in make_readings(2 * ROUNDS * DEVICES)]
    now, before = site.clock.now(), 0
    for number in range(2 * ROUNDS):
        if number == ROUNDS:
            before = written()
        for fields in readings[number * DEVICES : (number + 1) * DEVICES]:
            site.line.recording.record("inverter", fields, now.wall_ms)
        site.line.step(now, flush=True)
        mono_ms, wall_ms, floor_ms = (at + ROUND_MS for at in (now.mono_ms, now.wall_ms, now.floor_ms))
        now = replace(now, mono_ms=mono_ms, wall_ms=wall_ms, floor_ms=floor_ms)
        site.line.step(now)
    queued = sum(map(len, site.line.rooms.outbox.queues.values()))
    mb = (written() - before) / 1e6
    print(f"3 purposes, a day of {DEVICES} inverters{mb:8.1f} MB a day   {queued} batches queued in two", flush=True)
    site.close()


def _written(device: str) -> int:
    os.sync()
    return int(Path(f"/sys/block/{Path(device).name}/stat").read_text().split()[6]) * _SECTOR


if __name__ == "__main__":
    main()
