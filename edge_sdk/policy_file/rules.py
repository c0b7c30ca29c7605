"""
The rules of the privacy policies behind the profiles, and what answers each of them.

Owns: the form of ``profiles/rules``: a file of mechanisms, each with the tests that try to break it, and a file a
policy, each rule with what it says in our words, what enforces and what evidences it, or why a device cannot.
Rules: read with the package and never from outside, so a mistake in these files is a mistake of ours and shows as one.
Does not: decide anything on a device. Neighbours: the command line and docs/policies.md show what is here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge_sdk.policy_file import rules_text


class Duty(StrEnum):
    """
    What a device can do about a rule.
    """

    ENFORCE = "E"
    EVIDENCE = "V"
    BOTH = "EV"
    PART = "P"
    CLOUD = "C"


@dataclass(frozen=True, slots=True)
class Mechanism:
    """
    One thing the SDK does, and the tests of it as pytest names them.
    """

    name: str
    what: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One rule of a privacy policy. ``tests`` are those for this rule beside those of its mechanisms; ``reason`` is why a
    device cannot do anything, ``note`` where our reading differs from the words or something is not built.
    """

    id: str
    duty: Duty
    says: str
    enforced: tuple[Mechanism, ...]
    evidenced: tuple[Mechanism, ...]
    tests: tuple[str, ...]
    reason: str
    note: str

    @property
    def all_tests(self) -> tuple[str, ...]:
        """
        Return every test that stands behind this rule, each once.
        """
        behind = [test for mechanism in (*self.enforced, *self.evidenced) for test in mechanism.tests]
        return tuple(dict.fromkeys((*self.tests, *behind)))


def mechanisms() -> dict[str, Mechanism]:
    """
    Return all mechanisms by name.
    """
    tables = tomllib.loads(rules_text("mechanisms"))
    return {name: Mechanism(name, table["what"], tuple(table["tests"])) for name, table in tables.items()}


def rules_of(profile: str) -> tuple[Rule, ...]:
    """
    Return the rules that *profile* answers, in the order of its policy.

    Raises:
        ConfigError: the profile answers no policy, or there is none of that name.
    """
    known = mechanisms()
    tables = tomllib.loads(rules_text(profile))
    return tuple(_rule(f"{profile}.{number}", table, known) for number, table in tables.items())


def _rule(rule_id: str, table: Mapping[str, str | Sequence[str]], known: Mapping[str, Mechanism]) -> Rule:
    return Rule(
        id=rule_id,
        duty=Duty(str(table["duty"])),
        says=str(table["says"]),
        enforced=tuple(known[name] for name in table.get("enforced", ())),
        evidenced=tuple(known[name] for name in table.get("evidenced", ())),
        tests=tuple(table.get("tests", ())),
        reason=str(table.get("reason", "")),
        note=str(table.get("note", "")),
    )
