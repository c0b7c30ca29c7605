"""
``edge-sdk replay``: feed recorded readings through a site, then send what it gives.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_sdk import files
from edge_sdk.cli.given import check_given, described, seconds
from edge_sdk.cli.progress import progress
from edge_sdk.config import Config
from edge_sdk.core.policy import Kind
from edge_sdk.errors import BadInput, ConfigError
from edge_sdk.gateway import Gateway
from edge_sdk.policy_file import find_policy
from edge_sdk.sources.replay import MAX_LINE_BYTES, BadLine, Recorded, read_csv, read_jsonl

_FLUSH_ROWS = 2_000  # readings between two flushes, so that replay never outruns the writer


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    replay = commands.add_parser("replay", help="feed recorded readings through a site", description=described(__doc__))
    replay.add_argument("file", metavar="FILE.jsonl|FILE.csv", help="recorded readings")
    replay.add_argument("--config", default="site.toml", help="the site (default: site.toml)")
    replay.add_argument("--keep", action="store_true", help="keep everything, do not send")
    replay.add_argument("--cut", action="store_true", help="close open windows at the end, as partial rows")
    saying = "how long to wait at the end (default: 60)"
    replay.add_argument("--timeout", type=seconds, default=60.0, metavar="SECONDS", help=saying)
    replay.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Replay one file; exit 6 when the collector did not take everything in time, 4 when no line was a reading.
    """
    path = Path(arguments.file)
    if not files.exists(path):
        raise ConfigError(f"there is no file {path.name}", hint="give a .jsonl or .csv file of readings")
    check_given(path)
    tally: Counter[str] = Counter()
    left = 0
    with Gateway.open(arguments.config) as gateway:
        before = Counter(gateway.status().counts)
        for at, item in enumerate(_readings(path, _kinds(arguments.config)), 1):
            _take(gateway, item, tally)
            if at % _FLUSH_ROWS == 0:
                gateway.flush()
        gateway.flush()
        if not arguments.keep:
            left = gateway.drain(arguments.timeout, cut=arguments.cut)
        status = gateway.status()
    print(f"readings {tally['readings']}, taken {tally['taken']}, not taken {tally['readings'] - tally['taken']}, "
          f"lines that are no reading {tally['bad']}; batches left {left}")  # fmt: skip
    if tally["taken"] < tally["readings"]:
        counted = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in (Counter(status.counts) - before).items())
        print(f"counted meanwhile: {counted or 'nothing'}", file=sys.stderr)
    if tally["readings"] and not tally["taken"]:
        print(status.why, file=sys.stderr)
    if not tally["readings"]:
        raise BadInput(f"{path.name} holds no reading", hint='a line is {"kind": ..., "at_ms": ..., "fields": {...}}')
    return 6 if left else 0


def _take(gateway: Gateway, item: Recorded | BadLine, tally: Counter[str]) -> None:
    if isinstance(item, BadLine):
        tally["bad"] += 1
        if tally["bad"] <= 5:
            print(f"line {item.number}: {item.why}", file=sys.stderr)
        return
    tally["readings"] += 1
    tally["taken"] += bool(gateway.record(item.kind, item.fields, at_ms=item.at_ms))


def _kinds(site: str) -> Mapping[str, Kind]:
    try:
        return find_policy(Config.read(site).policy).kinds
    except ConfigError:  # an earlier policy is in force: cells are read for what they look like
        return {}


def _readings(path: Path, kinds: Mapping[str, Kind]) -> Iterator[Recorded | BadLine]:
    total = files.size(path)
    done = 0
    with progress("replay", total) as tell:

        def lines() -> Iterator[bytes]:
            nonlocal done
            for line in files.read_lines(path, MAX_LINE_BYTES):
                done += len(line)
                tell(min(done, total))
                yield line

        yield from read_csv(lines(), kinds) if path.suffix == ".csv" else read_jsonl(lines())
