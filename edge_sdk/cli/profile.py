"""
``edge-sdk profile``: the policies that come with the package, and how each answers the rules it was made for.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

from edge_sdk.cli.given import described
from edge_sdk.cli.tables import print_table
from edge_sdk.policy_file import PROFILES, RULED, find_policy
from edge_sdk.policy_file.rules import Duty, Mechanism, Rule, rules_of

_WIDTH: Final = 100
_DUTIES: Final = {
    Duty.ENFORCE: "the device enforces it",
    Duty.EVIDENCE: "the device evidences it",
    Duty.BOTH: "the device enforces and evidences it",
    Duty.PART: "the device does its part",
    Duty.CLOUD: "cloud only",
}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the commands.
    """
    group = commands.add_parser("profile", help="policies that come with the package", description=described(__doc__))
    actions = group.add_subparsers(metavar="ACTION", required=True)
    actions.add_parser("list", help="list the profiles").set_defaults(func=_list)
    rules = actions.add_parser("rules", help="what each rule of a privacy policy is answered by")
    rules.add_argument("profile", metavar="NAME", help=", ".join(RULED[:-1]))
    rules.add_argument("--json", action="store_true", help="for programs")
    rules.set_defaults(func=_rules)


def _list(_: argparse.Namespace) -> int:
    rows = []
    for name in PROFILES:
        policy = find_policy(name)
        counts = Counter(rule.duty for rule in rules_of(name)) if name in RULED else Counter()
        told = "".join(f"{counts[duty]} {duty}, " for duty in Duty if counts[duty]).rstrip(", ")
        assert policy.terms is not None  # every profile has terms; a test sees to it
        home = " ".join(policy.terms.reach.home)
        rows.append([name, policy.version, home, " ".join(policy.purposes), told or "-"])
    print_table("profiles", ["name", "policy of", "home", "purposes", "rules"], rows)
    return 0


def _rules(arguments: argparse.Namespace) -> int:
    rules = rules_of(arguments.profile)
    if arguments.json:
        print(json.dumps([asdict(rule) for rule in rules], indent=2, ensure_ascii=False))
        return 0
    for rule in rules:
        for line in _told(rule):
            print(line)
    counts = Counter(rule.duty for rule in rules)
    print(f"{len(rules)} rules: " + ", ".join(f"{counts[duty]} {duty} ({_DUTIES[duty]})" for duty in Duty))
    return 0


def _told(rule: Rule) -> Iterator[str]:
    yield from _wrapped(f"{rule.id} [{rule.duty}] {rule.says}", "")
    yield from _listed("enforced by", rule.enforced)
    yield from _listed("evidenced by", rule.evidenced)
    if rule.duty is Duty.CLOUD:
        yield from _wrapped(f"cloud only: {rule.reason}", "    ")
    if rule.note:
        yield from _wrapped(f"note: {rule.note}", "    ")
    yield from (f"    {test}" for test in rule.all_tests)
    yield ""


def _listed(heading: str, mechanisms: Sequence[Mechanism]) -> Iterator[str]:
    for mechanism in mechanisms:
        yield from _wrapped(f"{heading}: {mechanism.name}: {mechanism.what}", "    ")


def _wrapped(text: str, lead: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=lead, subsequent_indent=lead + "  ", break_on_hyphens=False)
