"""
``edge-sdk policy check|digest|diff``: is a policy right, what would a grant name, what did an edit change.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from edge_sdk.cli.given import described
from edge_sdk.cli.tables import print_table
from edge_sdk.core.policy import Policy, Purpose, View, purpose_digest
from edge_sdk.core.policy_diff import Change, diff, needs_new_grant
from edge_sdk.core.policy_lint import Finding, Level, lint
from edge_sdk.core.units import format_duration
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file import PROFILES, find_policy

_WHICH = f"a policy file, or the name of a profile ({', '.join(PROFILES)})"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the commands.
    """
    group = commands.add_parser("policy", help="check, name and compare policies", description=described(__doc__))
    actions = group.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="read a policy and say what is wrong or unwise",
        description="Exit 2 when anything is wrong.",
    )
    check.add_argument("policy", metavar="FILE|NAME", help=_WHICH)
    check.add_argument("--strict", action="store_true", help="exit 2 on warnings too")
    check.set_defaults(func=run_check)
    digest = actions.add_parser("digest", help="print the digest of each purpose, as grants name it")
    digest.add_argument("policy", metavar="FILE|NAME", help=_WHICH)
    digest.set_defaults(func=run_digest)
    compare = actions.add_parser("diff", help="say what an edit lets leave: narrower, wider or different")
    compare.add_argument("old", metavar="OLD", help=_WHICH)
    compare.add_argument("new", metavar="NEW", help=_WHICH)
    compare.set_defaults(func=run_diff)


def run_check(arguments: argparse.Namespace) -> int:
    """
    Print what a policy is made of and every finding.

    Raises:
        ConfigError: when the policy is wrong, or has findings that weigh too much.
    """
    policy = find_policy(arguments.policy)
    findings = lint(policy)
    _show_purposes(policy)
    _show_findings(findings)
    print(_sum_up(findings))
    barred = {Level.ERROR, Level.WARNING} if arguments.strict else {Level.ERROR}
    if any(finding.level in barred for finding in findings):
        raise ConfigError(
            "the policy does not pass", hint="mend what the findings above call error or warning"
        )
    return 0


def run_digest(arguments: argparse.Namespace) -> int:
    """
    Print the name and the digest of each purpose, one a line.
    """
    for purpose in find_policy(arguments.policy).purposes.values():
        print(f"{purpose_digest(purpose).hex()}  {purpose.name}")
    return 0


def run_diff(arguments: argparse.Namespace) -> int:
    """
    Print what changed, and what that asks of the grants there are.
    """
    old, new = find_policy(arguments.old), find_policy(arguments.new)
    changes = diff(old, new)
    print_table("changes", ["", "purpose", "what"], [[c.direction, c.purpose, c.what] for c in changes])
    for line in _consequences(changes, new):
        print(line)
    return 0


def _show_purposes(policy: Policy) -> None:
    print_table(
        f"policy {policy.name}, version {policy.version}",
        ["purpose", "basis", "recipient", "regions", "kept unsent", "views"],
        [
            [
                purpose.name,
                purpose.basis,
                purpose.recipient,
                " ".join(purpose.regions),
                format_duration(purpose.keep_at_most_ms),
                _views(purpose),
            ]
            for purpose in policy.purposes.values()
        ],
    )


def _views(purpose: Purpose) -> str:
    return "; ".join(
        f"{view.kind.name} {cadence(view)}, {len(view.fields)} of {len(view.kind.fields)} fields"
        for view in purpose.views
    )


def cadence(view: View) -> str:
    """
    Return in words how often *view* has a row.
    """
    if view.every_ms is not None:
        return f"every {format_duration(view.every_ms)}"
    return "each reading at once" if view.now else "each reading"


def _show_findings(findings: Sequence[Finding]) -> None:
    if sys.stdout.isatty():
        cells = [[f.level, f.code, f.where, f.what, f.instead] for f in findings]
        print_table("findings (see docs/policy.md)", ["", "code", "where", "what", "instead"], cells)
        return
    for finding in findings:
        print(f"{finding.level} {finding.code} {finding.where}: {finding.what}; {finding.instead}")


def _sum_up(findings: Iterable[Finding]) -> str:
    levels = [finding.level for finding in findings]
    return ", ".join(
        f"{levels.count(level)} {level}{'' if levels.count(level) == 1 else 's'}" for level in Level
    )


def _consequences(changes: list[Change], new: Policy) -> Iterable[str]:
    if not changes:
        yield "Nothing that leaves has changed: the digests and grants stay."
    wider = needs_new_grant(changes)
    for name in wider:
        yield f"{name}: needs a new grant; what there is does not open it, since its digest is another."
    for name in sorted({change.purpose for change in changes}.difference(wider)):
        if name in new.purposes:
            yield f"{name}: narrower throughout; closed until a statement lists its new digest."
        else:
            yield f"{name}: gone; nothing leaves for it any more."
