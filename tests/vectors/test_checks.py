"""
Every acceptance check that SPEC.md numbers has a vector that fails it: the checks are read from SPEC.md itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from edge_sdk.core.documents import Check
from tests.vectors.vector import FOLDER, read

SPEC: Final = (Path(__file__).resolve().parents[2] / "SPEC.md").read_text(encoding="utf-8")
WHAT: Final = {
    "5.2": "root",
    "5.4": "recipients",
    "5.5": "statement",
    "5.6": "wipe order",
    "6.7": "receipt",
    "9.4": "time",
}
"""What the refusals of each section call their document."""


def common_checks(spec: str) -> dict[int, str]:
    """Return the table of 5.1."""
    section = spec.partition("**5.1 ")[2].partition("**5.2 ")[0]
    return {int(number): name for number, name in re.findall(r"^\| (\d) ([a-z ]+?) \|", section, re.M)}


def checks_of(spec: str) -> dict[str, dict[int, str]]:
    """Return by section the checks its sentence ``Checks: ...`` asks for, with their names."""
    common, found = common_checks(spec), dict[str, dict[int, str]]()
    for section in re.split(r"^\*\*(?=\d)", spec, flags=re.M)[1:]:
        told = re.search(r"\bChecks: ([^.;]*)", re.sub(r"\([^)]*\)| of 5\.1", "", " ".join(section.split())))
        if told is None:
            continue
        checks = {}
        for part in told[1].split(","):
            check = re.fullmatch(r"\s*(\d)(?: to (\d))?\s*([a-z ]*?)\s*", part)
            assert check is not None, part
            first, last, name = check.groups()
            for number in range(int(first), int(last or first) + 1):
                checks[number] = name or common[number]
        found[section.split()[0]] = checks
    return found


CHECKS: Final = checks_of(SPEC)
ASKED: Final = [(WHAT[section], number, name) for section, checks in CHECKS.items() for number, name in checks.items()]


def test_the_checks_of_the_code_are_those_of_the_table() -> None:
    assert common_checks(SPEC) == {check.value: check.name.lower() for check in Check}


def test_every_section_with_checks_is_known_here() -> None:
    assert set(CHECKS) == set(WHAT)


def test_a_check_that_is_added_to_the_specification_is_seen() -> None:
    more = SPEC.replace("Checks: 1 to 3 of 5.1, 4 nonce.", "Checks: 1 to 3 of 5.1, 4 nonce, 5 century.")
    assert checks_of(more)["9.4"][5] == "century"


@pytest.mark.parametrize(("what", "number", "name"), ASKED, ids=lambda part: str(part).replace(" ", "-"))
def test_an_acceptance_check_has_a_vector_that_fails_it(what: str, number: int, name: str) -> None:
    failed = {read(path)[0].get("check", "") for path in FOLDER.glob("*.vec")}
    assert f"{what} check {number} ({name})" in failed


def test_every_numbered_vector_fails_a_check_of_the_specification() -> None:
    failed = {read(path)[0].get("check", "") for path in FOLDER.glob("*.vec")}
    asked = {f"{what} check {number} ({name})" for what, number, name in ASKED}
    assert {check for check in failed if re.search(r" check \d", check)} <= asked
