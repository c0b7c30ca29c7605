"""
``python -m benchmarks.instructions``: machine instructions of recording, journalling and sealing, counted by callgrind.

A count is the same on a busy machine and on an idle one, so a change of a few per cent can be told from noise, which no
clock here can do. ``--check`` (``make bench-check``) fails where a stage takes over five per cent more than the
committed baseline says, ``--write`` replaces the baseline. Counts belong to one build of Python and of the libraries:
on another one the check says so and fails, and a baseline of that one has to be written first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

BASELINE: Final = Path(__file__).parent / "instructions.json"
READINGS: Final = 500
CASES: Final = {  # purposes, in windows, and handed over all at once
    "one": (1, False, False),
    "one-many": (1, False, True),
    "three": (3, False, False),
    "windowed": (3, True, False),
    "windowed-many": (3, True, True),
}
STAGES: Final = ("record", "journal", "seal")
MOST: Final = 1.05
_TOTAL: Final = re.compile(r"^totals: (\d+)", re.MULTILINE)


def main() -> None:
    """
    Count, print, and hold against the baseline where that is asked for.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", action="store_true", help="fail where a stage takes over 5 %% more than the baseline")
    which.add_argument("--write", action="store_true", help="replace the baseline")
    which.add_argument("--work", metavar="CASE", choices=list(CASES), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(*CASES[chosen.work])
        return
    if shutil.which("valgrind") is None:
        sys.exit("callgrind is a part of valgrind. On Debian and Ubuntu: apt install valgrind")
    counts = {case: count(case) for case in CASES}
    baseline: dict[str, Any] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"build": "", "counts": {}}
    show(counts, baseline["counts"])
    if chosen.write:
        BASELINE.write_text(json.dumps({"build": build(), "counts": counts}, indent=2) + "\n")
    if chosen.check:
        sys.exit(verdict(counts, baseline))


def build() -> str:
    """
    Return what the counts belong to.
    """
    libraries = " ".join(f"{name} {version(name)}" for name in ("cryptography", "cbor2"))
    return f"{platform.machine()} {platform.python_implementation()} {platform.python_version()} {libraries}"


def count(case: str) -> dict[str, int]:
    """
    Return the instructions of each stage, for one reading.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        subprocess.run(
            ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", "--dump-before=getpriority",
             f"--callgrind-out-file={out}", sys.executable, "-m", "benchmarks.instructions", "--work", case],
            check=True, env={**os.environ, "PYTHONHASHSEED": "0"}, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        dumps = sorted(out.parent.glob("counts.*"), key=lambda path: int(path.suffix[1:]))
        totals = [int(found[1]) for path in dumps if (found := _TOTAL.search(path.read_text()))]
    # What was counted before the first mark is the switching on.
    stages = totals[1 : 1 + len(STAGES)]
    if len(stages) != len(STAGES):
        raise RuntimeError(f"{len(totals)} dumps of {case}, {1 + len(STAGES)} expected")
    return {stage: total // READINGS for stage, total in zip(STAGES, stages, strict=True)}


def work(purposes: int, windowed: bool, many: bool) -> None:
    """
    Take readings through one stage after the other, a mark between them; runs under callgrind.
    """
    from benchmarks.line import make_site
    from edge_sdk.bench.workload import make_policy, make_readings
    from edge_sdk.opening import open_site

    readings = make_readings(2 * READINGS)
    with tempfile.TemporaryDirectory() as folder:
        site, _ = open_site(make_site(Path(folder) / "site", make_policy(purposes, windowed=windowed), per_batch=5_000))
        line = site.line
        for part, is_counted in ((readings[:READINGS], False), (readings[READINGS:], True)):
            if is_counted:
                subprocess.run(["callgrind_control", "--instr=on", str(os.getpid())], check=True, capture_output=True)
                _mark()
            if many:
                line.recording.record_many("inverter", part)
            else:
                for at_ms, fields in part:
                    line.recording.record("inverter", fields, at_ms)
            _mark()
            line.step(site.clock.now(), flush=True)
            _mark()
            line.step(site.clock.now(), close=True)
            _mark()
        site.close()


def show(counts: dict[str, dict[str, int]], before: dict[str, dict[str, int]]) -> None:
    """
    Print a line for each stage of each case.
    """
    print(f"{build()}: instructions of one reading of 17 fields, {READINGS} a batch")
    print(f"{'case':14} {'stage':10} {'now':>10} {'baseline':>10} {'ratio':>7}")
    for case, stages in counts.items():
        for stage, now in stages.items():
            was = before.get(case, {}).get(stage)
            told = "" if was is None else f"{was:10,} {now / was:7.3f}"
            print(f"{case:14} {stage:10} {now:10,} {told}")


def verdict(counts: dict[str, dict[str, int]], baseline: dict[str, Any]) -> str | int:
    """
    Return 0 where no stage takes too much, else what to say.
    """
    if baseline["build"] != build():
        return f"the baseline is of {baseline['build'] or 'no build'}: write one here, of the commit to compare with"
    before: dict[str, dict[str, int]] = baseline["counts"]
    dearer = [
        f"{case} {stage}"
        for case, stages in counts.items()
        for stage, now in stages.items()
        if now > MOST * before[case][stage]
    ]
    return f"over {MOST - 1:.0%} more instructions than the baseline: {', '.join(dearer)}" if dearer else 0


def _mark() -> None:
    os.getpriority(os.PRIO_PROCESS, 0)  # callgrind writes what it counted since the last mark before this call


if __name__ == "__main__":
    main()
