"""
The documents keep to their size, state no number without its origin and name no test that is not there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.prose import TOP, broken_links, missing_tests, named_tests, undated_numbers

DOCUMENTS = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("*.md"), *TOP.glob("*/README.md")])
LINES = {"README.md": 120, "DESIGN.md": 250, "SPEC.md": 500}
INVARIANTS = [f"I{number}" for number in range(1, 11)]


def by_name(path: Path) -> str:
    return str(path.relative_to(TOP))


@pytest.mark.parametrize(("name", "limit"), LINES.items())
def test_a_document_stays_short(name: str, limit: int) -> None:
    assert len((TOP / name).read_text(encoding="utf-8").splitlines()) <= limit


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_what_was_measured_has_a_date_and_a_command(document: Path) -> None:
    assert undated_numbers(document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    assert missing_tests(document.read_text(encoding="utf-8"), TOP) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_link_inside_the_tree_leads_somewhere(document: Path) -> None:
    assert broken_links(document.read_text(encoding="utf-8"), document.parent) == []


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_every_invariant_names_what_tries_to_break_it(invariant: str) -> None:
    text = (TOP / "DESIGN.md").read_text(encoding="utf-8")
    section = re.search(rf"^\*\*{invariant}\b.*?(?=^\*\*I\d|^## )", text, re.MULTILINE | re.DOTALL)
    assert section is not None, f"DESIGN.md has no paragraph that opens with **{invariant}"
    assert named_tests(section.group()) or "Not built yet" in section.group()


def test_the_licence_is_the_whole_apache_text() -> None:
    text = (TOP / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize(
    "text",
    [
        "Sealing takes 90 us.",
        "It is 3.5x as fast.",
        "The disk was measured.",
        "Costs 12 % of a core.",
        "Speeds:\n\n| stage | cost |\n|---|---|\n| seal | 0.5 ms |\n",
    ],
)
def test_a_number_without_origin_is_found(text: str) -> None:
    assert undated_numbers(text) != []


@pytest.mark.parametrize(
    "text",
    [
        "Sealing takes 90 us (2026-11-22, `make bench`).",
        "A batch closes after 60 s; an id has 16 bytes; codes live 24 h.",
        "```\nseal 90 us\n```",
        "Speeds of 2026-11-22 with `make bench`:\n\n| stage | cost |\n|---|---|\n| seal | 0.5 ms |\n",
    ],
)
def test_a_number_with_its_origin_passes(text: str) -> None:
    assert undated_numbers(text) == []


def test_a_test_that_does_not_exist_is_found() -> None:
    assert missing_tests("`tests/docs/test_documents.py::test_nobody_wrote`", TOP) != []
    assert missing_tests("`tests/docs/test_absent.py::test_a_document_stays_short`", TOP) != []
    assert missing_tests("`tests/docs/test_documents.py::test_a_document_stays_short`", TOP) == []


def test_a_link_to_nowhere_is_found() -> None:
    assert broken_links("see [it](no/such/file.md)", TOP) == ["no/such/file.md"]
    assert broken_links("see [it](README.md#use) or [there](https://example.org)", TOP) == []
