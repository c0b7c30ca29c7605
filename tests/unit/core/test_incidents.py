"""
What is an incident, which occurrences are one, and how few of very many are kept and told.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_sdk.core.documents.root import Check, refusal
from edge_sdk.core.incidents import (
    MAX_INCIDENTS,
    QUIET_S,
    Incident,
    Kind,
    incident_of,
    incident_value,
    is_news,
    kind_of,
    may_be_newer,
    newest_of,
    occurred,
)
from edge_sdk.errors import ConsentRefused, EdgeError, Equivocation, Malformed, Tampered, UplinkError

AT_S = 1_790_000_000
ONE = Incident("forged", "statement", AT_S, AT_S, 1, False, 72 * 3600, bytes(32))


def seen(at_s: int, what: str = "statement", count: int = 1) -> Incident:
    return replace(ONE, what=what, first_s=at_s, last_s=at_s, count=count)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Tampered("statement"), Kind.FORGED),
        (refusal("statement", Check.TYP, "-"), Kind.FORGED),
        (refusal("statement", Check.ROLE, "-"), Kind.FORGED),
        (refusal("statement", Check.AUDIENCE, "-"), Kind.FORGED),
        (refusal("statement", Check.GENERATION, "-"), Kind.FORGED),
        (refusal("statement", Check.VERSION, "-"), Kind.ROLLBACK),
        (Equivocation("-", check=6), Kind.ROLLBACK),
        (refusal("statement", Check.TIMES, "-"), None),
        (ConsentRefused("-"), None),
        (Malformed("statement"), None),
        (UplinkError("-"), None),
    ],
    ids=repr,
)
def test_a_refusal_is_an_incident_by_the_check_that_failed(error: EdgeError, kind: Kind | None) -> None:
    assert kind_of(error) is kind


@pytest.mark.parametrize("check", Check)
def test_only_what_its_signers_fail_in_can_be_explained_by_a_newer_root(check: Check) -> None:
    assert may_be_newer(refusal("statement", check, "-")) == (check.value <= 3)
    assert may_be_newer(Tampered("statement"))
    assert not may_be_newer(Malformed("statement"))


def test_an_incident_comes_back_by_value() -> None:
    for incident in (ONE, replace(ONE, from_floor=True, notice_s=None, evidence=None)):
        assert incident_of(incident_value(incident), "incident") == incident


def test_a_word_of_a_later_release_stays_a_word() -> None:
    later = replace(ONE, kind="eavesdropping", what="antenna")
    assert incident_of(incident_value(later), "incident") == later


@pytest.mark.parametrize("at", range(8))
def test_an_incident_with_one_wrong_field_is_malformed(at: int) -> None:
    value = incident_value(ONE)
    value[at] = True
    with pytest.raises(Malformed):
        incident_of(value, "incident")


def test_the_clock_runs_from_the_first_occurrence() -> None:
    _, incident = occurred([seen(AT_S)], seen(AT_S + QUIET_S))
    assert (incident.first_s, incident.last_s, incident.count) == (AT_S, AT_S + QUIET_S, 2)
    assert incident.notify_by_s == AT_S + 72 * 3600


def test_a_policy_without_a_breach_clock_sets_no_limit() -> None:
    assert replace(ONE, notice_s=None).notify_by_s is None


def test_after_more_than_a_day_of_silence_it_is_another_incident() -> None:
    known, incident = occurred([seen(AT_S)], seen(AT_S + QUIET_S + 1))
    assert (len(known), incident.count) == (2, 1)


def test_what_happens_to_different_things_is_different_incidents() -> None:
    known, _ = occurred([seen(AT_S)], seen(AT_S, "root"))
    assert [one.what for one in known] == ["statement", "root"]


def test_the_newest_of_its_kind_goes_on() -> None:
    first, second = seen(AT_S), seen(AT_S + QUIET_S + 1)
    known, incident = occurred([first, second, seen(AT_S, "root")], seen(AT_S + QUIET_S + 2))
    assert known == [first, incident, seen(AT_S, "root")]


def test_evidence_is_that_of_the_first_that_had_any() -> None:
    without = replace(ONE, evidence=None)
    assert occurred([without], ONE)[1].evidence == ONE.evidence
    assert occurred([ONE], replace(ONE, evidence=b"x" * 32))[1].evidence == ONE.evidence


def test_a_hundred_thousand_occurrences_are_told_seventeen_times() -> None:
    told = sum(is_news(replace(ONE, count=count), 1) for count in range(1, 100_001))
    assert told == 17


def test_many_at_once_are_told() -> None:
    assert is_news(replace(ONE, count=7), 7)
    assert is_news(replace(ONE, count=9), 3)
    assert not is_news(replace(ONE, count=7), 2)


def test_a_flood_of_one_thing_pushes_out_nothing_else() -> None:
    flood = [seen(AT_S + number) for number in range(2 * MAX_INCIDENTS)]
    rare = [seen(AT_S, "root"), seen(AT_S, "ledger")]
    kept = newest_of([*rare, *flood])
    assert len(kept) == MAX_INCIDENTS
    assert kept[:2] == rare
    assert kept[2:] == flood[-(MAX_INCIDENTS - 2) :]
