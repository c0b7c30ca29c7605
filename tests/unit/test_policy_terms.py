"""
The terms of a policy: read as they say, kept from the purposes what they keep from them, and part of the digest as
far as they say where rows may go.
"""

from __future__ import annotations

import pytest

from edge_sdk.core.claims import Mechanism
from edge_sdk.core.policy import Basis, FieldClass, purpose_digest
from edge_sdk.core.terms import CROSS_BORDER, ChildAccount, Reach
from edge_sdk.core.units import DAY_MS, HOUR_MS
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file import load_policy
from tests.unit.policy_texts import TEXT, WHERE, edited, policy, termed


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_policy(text, where=WHERE)
    return str(caught.value)


def test_terms_are_read() -> None:
    terms = policy(termed()).terms
    assert terms is not None
    assert (terms.controller, terms.contact) == ("Example Ltd.", "privacy@example.com")
    assert terms.bases == (Basis.CONSENT, Basis.CONTRACT)
    assert terms.never == (FieldClass.CONTACT, FieldClass.CREDENTIAL)
    assert (terms.breach_notice_ms, terms.answer_within_ms) == (72 * HOUR_MS, 30 * DAY_MS)
    assert (terms.child_below, terms.child_account) == (16, ChildAccount.PARENT)


def test_every_purpose_carries_where_its_rows_may_go() -> None:
    reach = Reach(("CH", "EU"), (Mechanism.SCC,), 365 * DAY_MS)
    assert {purpose.reach for purpose in policy(termed()).purposes.values()} == {reach}


def test_a_policy_without_terms_has_none() -> None:
    assert policy().terms is None
    assert {purpose.reach for purpose in policy().purposes.values()} == {None}


def test_terms_change_the_digest_of_every_purpose() -> None:
    plain, bound = policy().purposes, policy(termed()).purposes
    assert all(purpose_digest(plain[name]) != purpose_digest(bound[name]) for name in plain)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('home = ["EU", "CH"]', 'home = ["EU", "CH", "GB"]'),
        ('transfer = ["scc"]', 'transfer = ["scc", "consent"]'),
        ('retention = "365d"', 'retention = "366d"'),
    ],
)
def test_where_rows_may_go_is_in_the_digest(old: str, new: str) -> None:
    before, after = policy(termed()).purposes, policy(termed(old, new)).purposes
    assert all(purpose_digest(before[name]) != purpose_digest(after[name]) for name in before)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('home = ["EU", "CH"]', 'home = ["CH", "EU"]'),
        ('controller = "Example Ltd."', 'controller = "Another Ltd."'),
        ('breach_notice = "72h"', 'breach_notice = "24h"'),
        ('answer_within = "30d"', 'answer_within = "14d"'),
        ("child_below = 16", "child_below = 18"),
        ('bases = ["contract", "consent"]', 'bases = ["contract", "consent", "public_task"]'),
    ],
)
def test_what_binds_people_is_in_no_digest(old: str, new: str) -> None:
    before, after = policy(termed()).purposes, policy(termed(old, new)).purposes
    assert all(purpose_digest(before[name]) == purpose_digest(after[name]) for name in before)


WRONG = [
    ('controller = "Example Ltd."\n', "", "controller: is missing"),
    ('controller = "Example Ltd."', 'controller = "A\\u001b[2J"', "controller: has characters"),
    ('contact = "privacy@example.com"', 'contact = ""', "contact: is empty"),
    ("child_below = 16", 'child_below = 16\ntext_sha256 = "abc"', "text_sha256: has characters"),
    ('bases = ["contract", "consent"]', "bases = []", "bases: is empty"),
    ('bases = ["contract", "consent"]', 'bases = ["contract", "consnt"]', 'did you mean "consent"?'),
    ('home = ["EU", "CH"]', 'home = ["EU", "EU"]', "home: names one thing twice"),
    ('home = ["EU", "CH"]', 'home = ["Europe"]', "home: item 1 has characters"),
    ('transfer = ["scc"]', 'transfer = ["none"]', 'write one of "consent", "deidentified", "scc"'),
    ('transfer = ["scc"]', 'mechanism = "scc"\ntransfer = ["scc"]', 'did you mean "transfer"?'),
    ('retention = "365d"', 'retention = "1h"', "retention: is out of range; write 1d to 3650d"),
    ('breach_notice = "72h"', 'breach_notice = "60d"', "breach_notice: is out of range"),
    ('answer_within = "30d"', 'answer_within = "1y"', "answer_within: is no duration"),
    ("child_below = 16", "child_below = 99", "child_below: is too large"),
    ('child_account = "parent"', 'child_account = "keep"', "child_account: is not one of the values"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_wrong_terms_are_told_with_their_place(old: str, new: str, said: str) -> None:
    told = complaint(termed(old, new))
    assert said in told
    assert f"{WHERE}: [terms] " in told


def test_terms_that_are_no_table_are_told() -> None:
    assert "[terms]: is text; write a table" in complaint(f'terms = "x"\n{TEXT}')


def test_a_basis_that_the_policy_does_not_name_is_refused() -> None:
    text = edited('basis = "consent"', 'basis = "legitimate_interest"', termed())
    assert "[purposes.support] basis: is none that the policy names" in complaint(text)


def test_a_class_that_no_purpose_has_is_refused_in_every_form() -> None:
    for rule in ('"keep"', "{ mask = 2 }", '{ pseudonym = "30d" }'):
        text = termed('never = ["contact", "credential"]', 'never = ["network_identifier"]', TEXT)
        text = edited("mac = { mask = 8 }", f"mac = {rule}", text)
        said = "[purposes.support.views.inverter.fields] mac: is of class network_identifier; leave the line out"
        assert said in complaint(text)


def test_a_region_beyond_home_is_refused_where_no_transfer_is_named() -> None:
    text = termed('home = ["EU", "CH"]\ntransfer = ["scc"]', 'home = ["EU"]\ntransfer = []')
    assert "[purposes.support] regions: go beyond home" in complaint(text)


def test_the_name_of_the_consent_to_transfers_is_no_purpose() -> None:
    text = TEXT.replace("purposes.support", f"purposes.{CROSS_BORDER}")
    assert f"[purposes.{CROSS_BORDER}]: is the name of the consent to transfers" in complaint(text)
