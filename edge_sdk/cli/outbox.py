"""
``edge-sdk outbox``: what waits to be sent, whether it opens, and sending it now. Contents stay sealed.
"""

from __future__ import annotations

import argparse
import json
import threading
from dataclasses import asdict
from itertools import groupby
from typing import Final

from edge_sdk.cli.asking import LOOK_S, ask_running, do_here
from edge_sdk.cli.given import described, seconds
from edge_sdk.cli.tables import print_table
from edge_sdk.clock import mono_ms
from edge_sdk.config import Config
from edge_sdk.core.units import DAY_MS, HOUR_MS, MINUTE_MS
from edge_sdk.errors import FolderInUse, LifecycleRefused, StorageError
from edge_sdk.gateway import Gateway
from edge_sdk.queued import Waiting, check_queue, queue_of, windows_at
from edge_sdk.requests import Asked, Wish

_UNITS: Final = (("d", DAY_MS), ("h", HOUR_MS), ("min", MINUTE_MS), ("s", 1_000))


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the commands.
    """
    saying = "what waits to be sent; send it now, or send nothing"
    outbox = commands.add_parser("outbox", help=saying, description=described(__doc__))
    verbs = outbox.add_subparsers(metavar="VERB", required=True)
    saying = "purposes, rows, bytes and ages of what waits, and how many windows gather rows"
    listing = _with_config(verbs.add_parser("list", help=saying))
    listing.add_argument("--batches", action="store_true", help="a line for each batch")
    listing.add_argument("--json", action="store_true", help="every batch, as JSON")
    listing.set_defaults(func=_list)
    _with_config(verbs.add_parser("check", help="read everything and tell what is damaged")).set_defaults(func=_check)
    now = _with_config(verbs.add_parser("send-now", help="seal what is open and send without waiting"))
    now.add_argument("--timeout", type=seconds, default=30.0, metavar="SECONDS", help="how long to wait (default: 30)")
    now.set_defaults(func=_send_now)
    stop = _with_config(verbs.add_parser("stop", help="send no batch until 'resume', over restarts; the rest goes on"))
    stop.set_defaults(func=_stop)
    _with_config(verbs.add_parser("resume", help="send batches again")).set_defaults(func=_resume)


def _with_config(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--config", default="site.toml", help="the site (default: site.toml)")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    config = Config.read(arguments.config)
    found, windows = queue_of(config), windows_at(config)
    if arguments.json:
        print(json.dumps([asdict(one) for one in (*found, *windows)], indent=2))
    elif not found and not windows:
        print("nothing waits")
    else:
        lines = [_line(1, one) for one in found] if arguments.batches else _sums(found)
        # No batch yet, no size: each is a row when it closes.
        lines += [[one.purpose, one.state, "-", f"{one.rows:,}", "-", "-"] for one in windows]
        headings = ["purpose", "state", "batches", "rows", "bytes", "oldest"]
        print_table("what waits, as of the last flush", headings, lines)
    return 0


def _sums(found: list[Waiting]) -> list[list[str]]:
    def key(one: Waiting) -> tuple[str, str]:
        return one.purpose, one.state

    lines = []
    for (purpose, state), group in groupby(sorted(found, key=key), key):
        of = list(group)
        oldest = max((one.age_ms for one in of if one.age_ms is not None), default=None)
        total = Waiting(purpose, state, sum(one.rows for one in of), sum(one.size for one in of), oldest)
        lines.append(_line(len(of), total))
    return lines


def _line(batches: int, one: Waiting) -> list[str]:
    return [one.purpose, one.state, str(batches), f"{one.rows:,}", f"{one.size:,}", _age(one.age_ms)]


def _age(age_ms: int | None) -> str:
    if age_ms is None:
        return "-"
    return next((f"{age_ms // size} {unit}" for unit, size in _UNITS if age_ms >= size), "now")


def _check(arguments: argparse.Namespace) -> int:
    """
    Tell what is damaged; exit 5 when anything is.
    """
    count = 0
    for finding in check_queue(Config.read(arguments.config)):
        print(f"{finding.where}: {finding.what}; {finding.then}")
        count += 1
    if not count:
        print("everything that is stored opens")
    return StorageError.exit_code if count else 0


def _send_now(arguments: argparse.Namespace) -> int:
    """
    Send everything; exit 6 when the collector did not take it in time.
    """
    config = Config.read(arguments.config)
    try:
        with Gateway.open(arguments.config) as gateway:
            if by := gateway.status().uploads_stopped:
                raise LifecycleRefused(f"uploads are stopped by {by}", hint="'edge-sdk outbox resume', or site.toml")
            left = gateway.drain(arguments.timeout)
    except FolderInUse:
        ask_running(config.folder, Asked(Wish.SEND))
        left = _wait(config, arguments.timeout)
    print(f"{left} batches are still queued" if left else "everything is sent")
    if gathering := sum(one.rows for one in windows_at(config)):
        print(f"windows that gather still: {gathering}; each becomes a row when it closes ('edge-sdk outbox list')")
    return 6 if left else 0


def _stop(arguments: argparse.Namespace) -> int:
    do_here(Config.read(arguments.config), Asked(Wish.STOP), lambda site, now: site.line.incidents.stop(now))
    print("uploads are stopped; what is collected waits, and consent, incidents and wipes are told as before")
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    """
    Undo the stop; exit 3 where the configuration stops uploads too.
    """
    config = Config.read(arguments.config)
    do_here(config, Asked(Wish.RESUME), lambda site, now: site.line.incidents.resume(now))
    if config.uploads_stopped:
        raise LifecycleRefused("site.toml stops uploads still", hint='[outbox] uploads = "on", and start it again')
    print("uploads go on")
    return 0


def _wait(config: Config, timeout_s: float) -> int:
    """
    Wait until the running gateway has sent what was queued; return how many batches are left.
    """
    ends_ms = mono_ms() + int(timeout_s * 1000)
    while True:
        left = sum(one.state == "waiting" for one in queue_of(config))
        if not left or mono_ms() >= ends_ms:
            return left
        threading.Event().wait(LOOK_S)
