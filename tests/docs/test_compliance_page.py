"""
docs/compliance.md: every instrument has its section, every row a mark for its text, a test or the word none, a duty.
"""

from __future__ import annotations

import re

import pytest

from tests.docs.prose import TOP

PAGE = (TOP / "docs" / "compliance.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| clause", "| mechanism", "| point", "| article", "| condition"))
    and not line.startswith("| requirement")
]  # fmt: skip
INSTRUMENTS = ["ETSI EN 303 645", "EN 18031-2", "Cyber Resilience Act", "Data Act", "GDPR", "NIST SP 800-88", "UK PSTI"]
ARTICLES = [*range(5, 8), *range(12, 23), 25, *range(32, 36), *range(44, 50)]


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_instrument_has_a_section(instrument: str) -> None:
    assert re.search(rf"^## .*{re.escape(instrument)}", PAGE, re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_row_says_how_far_its_text_is_known_what_tests_it_and_what_stays(row: list[str]) -> None:
    assert len(row) == 5
    assert row[1] in ("s", "u")
    assert row[3] == "none" or re.fullmatch(r"`tests/[\w/]+\.py::\w+`", row[3])
    assert row[2]
    assert row[4]


@pytest.mark.parametrize("article", ARTICLES)
def test_every_article_of_the_gdpr_that_bears_on_it_is_there(article: int) -> None:
    section = PAGE.partition("## GDPR")[2].partition("\n## ")[0]
    firsts = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    spans = [
        set(range(int(low), int(high) + 1)) for first in firsts for low, high in re.findall(r"(\d+) to (\d+)", first)
    ]
    single = {int(number) for first in firsts for number in re.findall(r"(?<!\()\b(\d+)\b", first)}
    assert article in single.union(*spans)
