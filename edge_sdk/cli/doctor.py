"""
``edge-sdk doctor``: look at what breaks gateways in the field, and say how to mend it.

Exit code 0 when nothing is bad, else that of the first check that is (20 to 33).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edge_sdk.agent import Settings
from edge_sdk.cli.given import described
from edge_sdk.config import Config
from edge_sdk.doctor import Check, Finding, Level, examine


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    codes = ", ".join(f"{check.value} {_words(check)}" for check in Check)
    saying = "look at what breaks gateways in the field"
    doctor = commands.add_parser("doctor", help=saying, description=described(__doc__), epilog=f"Exit codes: {codes}.")
    which = doctor.add_mutually_exclusive_group()
    which.add_argument("--config", default="site.toml", help="one site (default: site.toml)")
    which.add_argument("--agent", metavar="FILE", help="an agent's file: its socket and all its sites")
    doctor.add_argument("--strict", action="store_true", help="count warnings as bad")
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    doctor.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Print what every check found; return the code of the first that is bad.

    Raises:
        ConfigError: a file is wrong: that comes before every check.
    """
    sites, socket = _sites(arguments)
    bad = {Level.BAD, Level.WARNING} if arguments.strict else {Level.BAD}
    code = 0
    shown = []
    for config in sites:
        findings = []
        for finding in examine(config, socket):
            findings.append(finding)
            if finding.level in bad:
                code = code or int(finding.check)
            if not arguments.json:
                _print(finding, config.name if len(sites) > 1 else "")
        shown.append({"site": config.name, "findings": [_plain(finding) for finding in findings]})
    if arguments.json:
        print(json.dumps(shown, indent=2))
    return code


def _sites(arguments: argparse.Namespace) -> tuple[tuple[Config, ...], Path | None]:
    if arguments.agent is None:
        return (Config.read(arguments.config),), None
    settings = Settings.read(arguments.agent)
    return settings.sites, settings.socket


def _print(finding: Finding, site: str) -> None:
    where = f"{site}: " if site else ""
    print(f"{where}{_words(finding.check):12} {finding.level:12} {finding.said}")
    if finding.mend:
        print(f"{where}{'':25} mend: {finding.mend}")


def _plain(finding: Finding) -> dict[str, object]:
    return {**asdict(finding), "check": _words(finding.check), "code": int(finding.check)}


def _words(check: Check) -> str:
    return check.name.lower().replace("_", " ")
