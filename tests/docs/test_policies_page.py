"""
Every rule of the five policies has a row, every row what stands behind it, and docs/policies.md shows them all.
"""

from __future__ import annotations

import re
from typing import Final

import pytest

from edge_sdk.policy_file import PROFILES, RULED, find_policy
from edge_sdk.policy_file.rules import Duty, Rule, mechanisms, rules_of
from tests.docs.policies_page import PAGE, page
from tests.docs.prose import TOP, missing_tests

# The rules there are, by facet and number, and what the survey of the policies found a device can do about each.
# A row is here so that none can go missing, and none become the cloud's business, by an edit of the rows alone.
SURVEY: Final = {
    "aux_cloud": """
        D1 C, D2 E, D3 EV, D4 E, D5 E, D6 EV, D7 EV, D8 E, D9 E, D10 E, P1 C, P2 C, P3 C, P4 C, P5 EV, P6 C, P7 C,
        P8 EV, P9 E, N1 E, S1 EV, X1 EV, X2 EV, R1 P, R2 C, W1 EV, A1 E, G1 EV, T1 EV, B1 V, K1 C, V1 E, C1 C""",
    "auxconn_beauty": """
        D1 E, D2 C, P1 C, P2 C, P3 E, P4 EV, P5 E, P6 EV, N1 E, S1 E, I1 EV, I2 EV, X1 EV, X2 EV, G1 P, T1 EV, T2 EV,
        B1 V, K1 P, R1 P, R2 EV, W1 EV, A1 E, V1 EV, Q1 EV, Q2 E""",
    "nanolux_nccs": """
        D1 C, D2 E, D3 P, D4 E, P1 C, P2 E, P3 EV, S1 EV, S2 EV, S3 V, S4 EV, S5 E, G1 E, G2 P, G3 EV, G4 V, G5 C,
        T1 EV, T2 EV, B1 V, K1 P, R1 P, R2 EV, R3 EV, R4 V, R5 C, W1 EV, A1 EV, X1 EV, X2 EV, V1 EV""",
    "sofar_monitor": """
        D1 C, D2 EV, D3 EV, D4 C, D5 EV, P1 C, P2 EV, P3 EV, P4 C, N1 EV, S1 EV, S2 EV, S3 EV, S4 E, I1 EV, X1 EV,
        X2 EV, X3 C, G1 EV, G2 EV, G3 P, G4 C, T1 EV, B1 V, K1 P, R1 P, R2 C, R3 EV, R4 EV, R5 C, W1 EV, A1 EV, A2 E,
        V1 EV""",
    "apsystems_ema": """
        D1 C, D2 EV, D3 C, D4 C, D5 C, D6 EV, D7 E, P1 C, P2 EV, P3 EV, P4 E, N1 EV, L1 E, S1 EV, S2 V, S3 EV, S4 EV,
        S5 EV, S6 V, X1 EV, X2 EV, I1 EV, G1 EV, G2 EV, B1 V, T1 EV, K1 P, R1 P, W1 E, A1 EV, V1 EV, C1 C""",
}
RULES: Final = [rule for name in SURVEY for rule in rules_of(name)]


def surveyed(name: str) -> dict[str, str]:
    pairs = (pair.split() for pair in SURVEY[name].split(","))
    return {f"{name}.{number}": duty for number, duty in pairs}


def by_id(rule: Rule) -> str:
    return rule.id


@pytest.mark.parametrize("name", SURVEY)
def test_every_rule_of_the_survey_has_a_row_with_its_duty(name: str) -> None:
    assert {rule.id: str(rule.duty) for rule in rules_of(name)} == surveyed(name)


def test_there_are_156_rules_of_five_policies() -> None:
    assert (len(RULES), set(RULED)) == (156, {*SURVEY, "mechanisms"})


@pytest.mark.parametrize("rule", RULES, ids=by_id)
def test_a_row_has_what_its_duty_asks_for(rule: Rule) -> None:
    assert bool(rule.reason) == (rule.duty is Duty.CLOUD)
    assert bool(rule.enforced) == (rule.duty in (Duty.ENFORCE, Duty.BOTH, Duty.PART))
    if rule.duty in (Duty.EVIDENCE, Duty.BOTH):
        assert rule.evidenced
    assert bool(rule.all_tests) == (rule.duty is not Duty.CLOUD)


@pytest.mark.parametrize("name", mechanisms())
def test_every_test_that_a_mechanism_names_exists(name: str) -> None:
    tests = mechanisms()[name].tests
    assert tests
    assert missing_tests(" ".join(f"`{test}`" for test in tests), TOP) == []


def test_every_test_that_a_row_names_exists() -> None:
    assert missing_tests(" ".join(f"`{test}`" for rule in RULES for test in rule.tests), TOP) == []


def test_every_mechanism_answers_a_rule() -> None:
    used = {mechanism.name for rule in RULES for mechanism in (*rule.enforced, *rule.evidenced)}
    assert used == set(mechanisms())


@pytest.mark.parametrize("name", PROFILES)
def test_the_clauses_of_every_profile_are_rules_that_a_device_can_do_something_about(name: str) -> None:
    answered = {rule.id for rule in RULES if rule.duty is not Duty.CLOUD}
    clauses = {clause for purpose in find_policy(name).purposes.values() for clause in purpose.clauses}
    assert clauses <= answered


def test_the_page_is_what_the_rules_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"


def test_the_page_has_a_row_for_every_rule() -> None:
    rows = re.findall(r"^\| (\w+\.[A-Z]\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [rule.id for name in RULED[:-1] for rule in rules_of(name)]
