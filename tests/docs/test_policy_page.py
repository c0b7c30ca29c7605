"""
docs/policy.md is right: its policy loads, and it names every key, type, window, rule, limit and code there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from edge_sdk.core.policy import Basis, FieldClass, FieldType, Policy, TextRule, Window
from edge_sdk.core.policy_lint import Code, Finding, Level, lint
from edge_sdk.core.terms import TRANSFERS, ChildAccount
from edge_sdk.policy_file import MAX_CHARACTERS, PROFILES, load_policy
from edge_sdk.policy_file.declare import MAX_FIELDS, MAX_KINDS
from edge_sdk.policy_file.tables import (
    FieldTable,
    Heading,
    KindTable,
    PurposeTable,
    TermsTable,
    TransformTable,
    ViewTable,
    descriptions,
)
from edge_sdk.policy_file.views import MAX_PURPOSES
from tests.docs.prose import TOP, snippets

PAGE = (TOP / "docs" / "policy.md").read_text(encoding="utf-8")
SECTIONS = {
    "## `[policy]`": Heading,
    "## `[terms]`": TermsTable,
    "## `[kinds.NAME]`": KindTable,
    "### `[kinds.NAME.fields]`": FieldTable,
    "## `[purposes.NAME]`": PurposeTable,
    "### `[purposes.NAME.views.KIND]`": ViewTable,
    "### `[purposes.NAME.views.KIND.fields]`": TransformTable,
}


def example() -> Policy:
    return load_policy("\n".join(snippets(PAGE, "toml")), where="docs/policy.md")


def section(heading: str) -> str:
    return re.split(r"^#", PAGE.partition(f"\n{heading}")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_policy_of_the_page_loads_and_passes_the_check() -> None:
    assert {finding.level for finding in lint(example())} <= {Level.NOTE}


def test_the_policy_of_the_page_shows_every_field_type() -> None:
    assert {field.type for field in example().kinds["inverter"].fields} == set(FieldType)


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_of_a_table_is_in_its_section(heading: str) -> None:
    keys = set(descriptions(SECTIONS[heading]))
    assert keys <= set(re.findall(r"`(\w+)`", section(heading)))


CLOSED = [Basis, FieldClass, FieldType, Window, set(TextRule) - {TextRule.KEEP}, PROFILES, TRANSFERS, ChildAccount]


@pytest.mark.parametrize("words", CLOSED)
def test_every_word_of_a_closed_list_is_on_the_page(words: Iterable[object]) -> None:
    assert {str(word) for word in words} <= set(re.findall(r"`(\w+)`", PAGE))


def test_the_limits_are_those_of_the_loader() -> None:
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (\d+) \|$", section("## Limits"), re.MULTILINE))
    assert rows == {
        "characters of a file": str(MAX_CHARACTERS),
        "kinds": str(MAX_KINDS),
        "fields of a kind": str(MAX_FIELDS),
        "purposes": str(MAX_PURPOSES),
    }


def test_every_code_is_listed_with_its_level() -> None:
    rows = re.findall(r"^\| (L\d\d) \| (\w+) \|", PAGE, re.MULTILINE)
    assert rows == [(code.value, Finding(code, "", "", "").level.value) for code in Code]
