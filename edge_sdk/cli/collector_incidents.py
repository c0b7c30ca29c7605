"""
``edge-sdk collector incidents``: what devices noticed and told, what was noticed here, and how long there is to tell.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_sdk.cli.given import described
from edge_sdk.cli.instants import left_words, said
from edge_sdk.clock import wall_s
from edge_sdk.collector import operating
from edge_sdk.collector.incidents import Case


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    saying = "what should not have happened, and how long there is to tell of it"
    incidents = verbs.add_parser("incidents", help=saying, description=described(__doc__))
    incidents.add_argument("folder", metavar="DIR", help="the folder of the collector")
    incidents.add_argument("--all", action="store_true", help="those that are closed as well")
    incidents.add_argument("--json", action="store_true", help="every incident, as JSON")
    incidents.add_argument("--close", type=int, metavar="NUMBER", help="mark one as dealt with")
    incidents.set_defaults(func=_incidents)


def _incidents(arguments: argparse.Namespace) -> int:
    folder, now_s = Path(arguments.folder), wall_s()
    if arguments.close is not None:
        operating.close_incident(folder, arguments.close, now_s=now_s)
        print(f"incident {arguments.close} is closed")
        return 0
    found = operating.incidents(folder, now_s=now_s)
    if arguments.json:
        print(json.dumps([_as_json(case, now_s) for case in found], indent=2))
        return 0
    shown = [case for case in found if arguments.all or case.closed_s is None]
    for case in sorted(shown, key=lambda case: case.notify_by_s or now_s):
        for line in _lines(case, now_s):
            print(line)
    if not shown:
        print("no incident is open")
    return 0


def _lines(case: Case, now_s: int) -> list[str]:
    incident = case.incident
    state = left_words(case.notify_by_s, now_s) if case.closed_s is None else f"closed {said(case.closed_s)}"
    since = f"{'at the earliest ' if incident.from_floor else ''}{said(incident.first_s)}"
    times = "once" if incident.count == 1 else f"{incident.count} times at least, last {said(incident.last_s)}"
    who = "-" if case.generation is None else case.generation.hex()
    return [
        f"{case.number}  {incident.kind}: {incident.what}  {state}",
        f"   device {who}; noticed by the {case.told_by} {since}, {times}; heard {said(case.heard_s)}",
    ]


def _as_json(case: Case, now_s: int) -> dict[str, Any]:
    evidence = None if case.incident.evidence is None else case.incident.evidence.hex()
    by_s = case.notify_by_s
    return {
        "number": case.number,
        "device": None if case.generation is None else case.generation.hex(),
        "told_by": case.told_by,
        "heard_s": case.heard_s,
        "closed_s": case.closed_s,
        **asdict(case.incident),
        "evidence": evidence,
        "notify_by_s": by_s,
        "left_s": None if by_s is None else by_s - now_s,
    }
