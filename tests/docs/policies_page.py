"""
Write docs/policies.md from the rules that come with the package: ``make docs``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_sdk.policy_file import RULED, find_policy
from edge_sdk.policy_file.rules import Duty, Mechanism, Rule, mechanisms, rules_of

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "policies.md"
_HEAD: Final = """\
# Five privacy policies, rule by rule

Made by `make docs` from `edge_sdk/profiles/rules`; edit those. A test compares the two, another looks whether every
test named here exists. What a policy says is told in our words; its own are with its vendor, and the SHA-256 of the
text that was read is in the profile. `edge-sdk profile rules NAME` prints the same.

**duty** is what a device can do about a rule: **E** enforce it, **V** evidence it, **EV** both, **P** its own part of
it, **C** nothing, as it is for the cloud or the vendor alone; then the reason stands there. The names under *enforced
by* and *evidenced by* are those of the [mechanisms](#mechanisms) at the end, with the tests that try to break each.

| profile | rules | E | EV | V | P | C |
|---|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join((_HEAD + "\n".join(_counts()), *_sections(), *_mechanisms())) + "\n"


def _counts() -> Iterator[str]:
    total: Counter[Duty] = Counter()
    for name in RULED[:-1]:
        counts = Counter(rule.duty for rule in rules_of(name))
        total += counts
        yield f"| [{name}](#{name}) | {_numbers(counts)} |"
    yield f"| all | {_numbers(total)} |"


def _numbers(counts: Counter[Duty]) -> str:
    order = (Duty.ENFORCE, Duty.BOTH, Duty.EVIDENCE, Duty.PART, Duty.CLOUD)
    return " | ".join(str(count) for count in (sum(counts.values()), *(counts[duty] for duty in order)))


def _sections() -> Iterator[str]:
    for name in RULED[:-1]:
        terms = find_policy(name).terms
        assert terms is not None
        yield f"\n## {name}\n"
        yield f"{terms.controller}; policy of {find_policy(name).version}; SHA-256 `{terms.text_sha256}`.\n"
        yield "| rule | duty | what it says | enforced by | evidenced by | tests of this rule, notes |"
        yield "|---|---|---|---|---|---|"
        yield from map(_row, rules_of(name))


def _row(rule: Rule) -> str:
    words = [f"`{test}`" for test in rule.tests]
    words += [f"cloud only: {rule.reason}"] if rule.duty is Duty.CLOUD else []
    words += [rule.note] if rule.note else []
    cells = (rule.id, rule.duty, rule.says, _names(rule.enforced), _names(rule.evidenced), " ".join(words))
    return f"| {' | '.join(cells)} |"


def _names(found: tuple[Mechanism, ...]) -> str:
    return ", ".join(f"[{mechanism.name}](#{mechanism.name})" for mechanism in found)


def _mechanisms() -> Iterator[str]:
    yield "\n## Mechanisms"
    for mechanism in mechanisms().values():
        yield f"\n### {mechanism.name}\n"
        yield f"{mechanism.what[0].upper()}{mechanism.what[1:]}.\n"
        yield from (f"- `{test}`" for test in mechanism.tests)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
