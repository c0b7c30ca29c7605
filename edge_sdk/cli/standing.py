"""
``edge-sdk status``: what a site collects and why not, what waits, what was dropped; beside a running gateway or not.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final

from edge_sdk.beside import status_beside
from edge_sdk.cli.given import described
from edge_sdk.cli.instants import left_words, said
from edge_sdk.clock import wall_s
from edge_sdk.config import Config
from edge_sdk.core.incidents import Incident
from edge_sdk.queued import Waiting, windows_at
from edge_sdk.status import Status

_MEND: Final = {"switch": "'edge-sdk outbox resume' lets them go on", "site.toml": "see uploads in its [outbox]"}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    status = commands.add_parser("status", help="what a site collects, keeps and sends", description=described(__doc__))
    status.add_argument("--config", default="site.toml", help="the site (default: site.toml)")
    shape = status.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print it as JSON")
    shape.add_argument("--openmetrics", action="store_true", help="print the numbers for a monitor")
    status.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Print the status of a site.
    """
    config = Config.read(arguments.config)
    status = status_beside(config)
    if arguments.json:
        print(json.dumps(status.as_json(), indent=2))
    elif arguments.openmetrics:
        print(status.as_openmetrics(), end="")
    else:
        _show(status, windows_at(config))
    return 0


def _show(status: Status, windows: list[Waiting]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"site {status.site}", title_justify="left", box=None, pad_edge=False)
    for heading in ("purpose", "basis", "collecting", "because", "rows open", "batches queued", "bytes queued", "gaps"):
        table.add_column(heading, justify="right" if heading[-4:] in ("open", "eued", "gaps") else "left")
    for purpose in status.purposes:
        table.add_row(
            purpose.name, purpose.basis, "yes" if purpose.collecting else "no", purpose.because,
            str(purpose.open_rows), str(purpose.queued_batches), str(purpose.queued_bytes), str(purpose.gaps),
        )  # fmt: skip
    # Sentences name tables such as [outbox], which rich would take for a colour.
    console = Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    console.print(table)
    console.print(f"statement version {status.statement_version}, set aside {status.aside_batches} batches")
    if windows:
        each = ", ".join(f"{one.purpose} {one.rows}" for one in windows)
        console.print(f"windows open: {each}; each becomes a row when it closes")
    for name, count in sorted(status.counts.items()):
        console.print(f"  {name.replace('_', ' ')}: {count}")
    if status.uploads_stopped:
        by = status.uploads_stopped
        console.print(f"UPLOADS ARE STOPPED by {by}: no batch is sent; {_MEND[by]}")
    for incident in status.incidents:
        console.print(_incident_line(incident, wall_s()))
    if status.why:
        console.print(status.why)


def _incident_line(incident: Incident, now_s: int) -> str:
    since = f"at the earliest {said(incident.first_s)}" if incident.from_floor else said(incident.first_s)
    times = f", {incident.count} times, last {said(incident.last_s)}" if incident.count > 1 else ""
    left = left_words(incident.notify_by_s, now_s)
    return f"INCIDENT {incident.kind}: {incident.what}, noticed {since}{times}; {left}"
