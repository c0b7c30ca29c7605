"""
What each profile lets leave, as lines of text, so that no edit of a profile goes by unseen.

``leaves.txt`` holds the lines of all profiles as they were last looked at and found right by the rules of their
policies. After an edit that is meant: ``python -m tests.profiles.leaves``, and read the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_sdk.core.policy import Policy, Purpose, View, ViewField
from edge_sdk.core.units import format_duration
from edge_sdk.policy_file import PROFILES, find_policy

GOLDEN: Final = Path(__file__).with_name("leaves.txt")


def lines_of(policy: Policy) -> list[str]:
    """Return what *policy* lets leave, to whom, for how long, and what it promises."""
    return [f"{policy.name} {line}" for line in (*_terms(policy), *_purposes(policy))]


def golden() -> dict[str, list[str]]:
    """Return the lines that were found right, by profile."""
    found: dict[str, list[str]] = {}
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        found.setdefault(line.partition(" ")[0], []).append(line)
    return found


def _terms(policy: Policy) -> Iterator[str]:
    terms = policy.terms
    if terms is None:
        yield "terms missing"
        return
    reach = terms.reach
    yield f"terms home {' '.join(reach.home)}; transfer {' '.join(reach.transfer)}"
    yield f"terms bases {' '.join(terms.bases)}; never {' '.join(terms.never)}"
    yield (
        f"terms retention {format_duration(reach.retention_ms)}; breach {format_duration(terms.breach_notice_ms)}; "
        f"answer {format_duration(terms.answer_within_ms)}; child {terms.child_below} {terms.child_account}"
    )


def _purposes(policy: Policy) -> Iterator[str]:
    for purpose in policy.purposes.values():
        keep = format_duration(purpose.keep_at_most_ms)
        yield f"{purpose.name}: {purpose.basis}, to {purpose.recipient} in {' '.join(purpose.regions)}, unsent {keep}"
        for view in purpose.views:
            yield from _view(purpose, view)


def _view(purpose: Purpose, view: View) -> Iterator[str]:
    every = "at once" if view.now else "each" if view.every_ms is None else format_duration(view.every_ms)
    for entry in view.fields:
        yield f"{purpose.name}.{view.kind.name} {every}: {entry.field.name} ({entry.field.cls}) {_rule(entry)}"


def _rule(entry: ViewField) -> str:
    parts = [str(entry.window)] if entry.window else []
    parts += [f"clip {entry.clip}"] if entry.clip else []
    parts += [f"band {entry.band}"] if entry.band else []
    parts += [f"step {entry.field.step.times(entry.factor).text(1)}"] if not entry.is_text else []
    parts += [f"{entry.text} {entry.amount}"] if entry.text else []
    return ", ".join(parts)


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(line for name in PROFILES for line in lines_of(find_policy(name))) + "\n", "utf-8")
