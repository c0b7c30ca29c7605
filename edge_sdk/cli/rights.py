"""
``edge-sdk describe`` and ``edge-sdk export``: for the people whose readings these are.

The first says in plain words what a policy lets leave and how a site stands; the second hands over everything a
device can still read about its household. Both only read, beside a running gateway or without one.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.cli.rights_export import csv_files, json_file
from edge_sdk.cli.tables import printable
from edge_sdk.config import Config
from edge_sdk.core.describe import Description, PurposeWords, ViewWords, describe
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file import PROFILES, find_policy, load_policy, profile_text
from edge_sdk.rights import Holdings, holdings, known_to

_SITE: Final = "site.toml"
WIDTH: Final = 100  # of text that goes to no terminal


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the commands.
    """
    plain = commands.add_parser(
        "describe",
        help="say in plain words what leaves, why, to whom, how long it waits and how to stop it",
        description="Say in plain words what a policy lets leave, and of a site also how this device stands.",
    )
    which = plain.add_mutually_exclusive_group()
    which.add_argument("--profile", metavar="NAME", help=f"a policy of this package: {', '.join(PROFILES)}")
    which.add_argument("--policy", metavar="FILE", help="a policy file")
    which.add_argument(
        "--config", metavar="FILE", default=_SITE, help=f"the policy in force at a site (default: {_SITE})"
    )
    plain.add_argument("--json", action="store_true", help="print it as JSON")
    plain.set_defaults(func=run_describe)
    export = commands.add_parser(
        "export",
        help="hand over everything this device can still read about the household",
        description="Hand over everything this device can still read about the household, and say what it cannot "
        "read and who can. The copy is in clear: keep it as you would keep the readings.",
    )
    export.add_argument("--config", default="site.toml", metavar="FILE", help="the site (default: site.toml)")
    export.add_argument("--format", choices=["json", "csv"], default="json", help="csv: a file a table (default: json)")
    export.add_argument("--output", metavar="DIR", help="a folder for the files; json goes to standard output without")
    export.set_defaults(func=run_export)


def run_describe(arguments: argparse.Namespace) -> int:
    """
    Print a policy in plain words.

    Raises:
        ConfigError: when there is no such policy or it is wrong.
        NotProvisioned: when the site is not enrolled, or was wiped.
    """
    told = _described(arguments)
    if arguments.json:
        print(json.dumps(asdict(told), indent=2, ensure_ascii=False))
        return 0
    for line in _lines(told, _width()):
        print(printable(line))
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """
    Print, or write to a folder, everything that a site can still read about its household.

    After a power cut: each file is whole or not there.

    Raises:
        ConfigError: when the folder is missing for csv, or lies in the state folder.
        NotProvisioned: when the site is not enrolled, or was wiped.
        StorageError: when a file cannot be read or written.
    """
    config = Config.read(arguments.config)
    if arguments.output is None:
        if arguments.format == "csv":
            raise ConfigError("csv is several files", hint="name a folder for them with --output DIR")
        print(json_file(holdings(config)), end="")
        return 0
    folder = Path(arguments.output)
    if folder.resolve().is_relative_to(config.folder.resolve()):
        raise ConfigError("--output lies in the state folder of the site", hint="name a folder elsewhere")
    found = holdings(config)
    for path in _write(folder, found, arguments.format):
        print(path)
    return 0


def _write(folder: Path, found: Holdings, form: str) -> list[Path]:
    contents = csv_files(found) if form == "csv" else {"export.json": json_file(found)}
    if form == "csv" and files.exists(folder / "about.txt"):
        what = f"the folder {folder.name} holds an older copy"
        raise ConfigError(what, hint="name a new folder: tables that have no entry any more would be left in this one")
    files.make_folder(folder)
    for name, content in contents.items():
        files.write(folder / name, content.encode("utf-8"))
    return [folder / name for name in contents]


def _described(arguments: argparse.Namespace) -> Description:
    if arguments.profile is not None:
        return describe(load_policy(profile_text(arguments.profile), where=f"profile {arguments.profile}"))
    if arguments.policy is not None:
        return describe(find_policy(str(Path(arguments.policy).absolute())))
    policy, known = known_to(Config.read(arguments.config))
    return describe(policy, replace(known, config="" if arguments.config == _SITE else shlex.quote(arguments.config)))


def _width() -> int:
    if not sys.stdout.isatty():
        return WIDTH
    from rich.console import Console

    return max(40, min(Console().width, WIDTH))


def _lines(told: Description, width: int) -> Iterator[str]:
    yield from _wrapped(told.title, width)
    for paragraph in (*told.opening, told.account):
        if paragraph:
            yield ""
            yield from _wrapped(paragraph, width)
    for number, purpose in enumerate(told.purposes, start=1):
        yield ""
        yield from _wrapped(f"{number}. {purpose.title}", width)
        yield from _purpose(purpose, width)
    lists = {"What leaves for no purpose": told.never, "What is promised for all of it": told.promises}
    for heading, lines in lists.items():
        if lines:
            yield ""
            yield heading
        for line in lines:
            yield from _wrapped(line, width, "  - ")


def _purpose(purpose: PurposeWords, width: int) -> Iterator[str]:
    if purpose.now:
        yield from _wrapped(f"How it stands here: {purpose.now}", width, "   ")
    yield from _wrapped(f"Why: {purpose.why}", width, "   ")
    yield "   What leaves:"
    for view in purpose.views:
        yield from _view(view, width)
    yield from _wrapped(f"Who gets it: {' '.join(purpose.recipient)}", width, "   ")
    yield from _wrapped(f"How long it waits here: {purpose.waits}", width, "   ")
    if purpose.kept:
        yield from _wrapped(f"How long it is kept there: {purpose.kept}", width, "   ")
    yield from _wrapped(f"How to stop it: {purpose.stop}", width, "   ")
    yield f"       {purpose.command}"  # in one line, to be copied
    yield from _wrapped(" ".join(purpose.after), width, "   ")


def _view(view: ViewWords, width: int) -> Iterator[str]:
    yield from _wrapped(view.heading, width, "     ")
    for line in (*view.leaves, view.identifier):
        yield from _wrapped(line, width, "     - ")
    if view.lacks:
        yield from _wrapped(f"not for this purpose: {', '.join(view.lacks)}", width, "     - ")


def _wrapped(text: str, width: int, lead: str = "") -> Iterable[str]:
    indent = lead.replace("-", " ")
    return textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=indent, break_on_hyphens=False)
