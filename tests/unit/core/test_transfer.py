"""
What has to be there before rows go abroad: each mechanism alone, all of them together, and everything that is not one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

import pytest

from edge_sdk.core.claims import ALG_HPKE_X25519, Account, Mechanism, Status
from edge_sdk.core.consent import CollectGrant, Queue, decide
from edge_sdk.core.documents import RecipientKey, Recipients, Statement
from edge_sdk.core.documents.statement import Grant
from edge_sdk.core.policy import Basis, Purpose, purpose_digest
from edge_sdk.core.terms import CROSS_BORDER, Reach
from edge_sdk.core.transfer import Accepted, fate, key_for, lacks
from edge_sdk.core.units import DAY_MS
from edge_sdk.errors import ConsentRefused
from tests.unit.core.test_deidentify import HEAD
from tests.unit.policy_texts import policy

NOW_S = 1_790_000_000
DAY_S = 86_400
HOME, ABROAD, OTHER = "EU", "CN", "US"
COARSE = 'energy = { window = "delta", round = 1000 }'
FINE = 'serial = "keep"\nenergy = { window = "delta" }'


def purpose(*transfer: Mechanism, line: str = COARSE) -> Purpose:
    text = f'{HEAD}every = "1d"\n[purposes.abroad.views.inverter.fields]\n{line}\n'
    made = policy(text).purposes["abroad"]
    return replace(made, regions=(HOME, ABROAD), reach=Reach((HOME,), transfer, 30 * DAY_MS))


def key(region: str, mechanism: str = Mechanism.SCC, *, made: int = 1) -> RecipientKey:
    return RecipientKey(ALG_HPKE_X25519, bytes([made]) * 32, "research", region, mechanism, NOW_S - made, NOW_S + DAY_S)


def consent(wanted: Purpose, to: RecipientKey, **changes: Any) -> Grant:
    digests, kids = (purpose_digest(wanted),), (to.kid,)
    grant = Grant(b"x" * 16, CROSS_BORDER, Basis.CONSENT, Status.GIVEN, digests, kids, NOW_S - 1)
    return replace(grant, **changes)


def accepted(*grants: Grant, denied: Collection[bytes] = (), at_s: int = NOW_S) -> Accepted:
    made = Statement(b"a" * 16, b"e" * 16, 1, NOW_S, NOW_S, NOW_S + DAY_S, Account.ACTIVE, grants)
    return Accepted(made, denied, at_s)


def missing(wanted: Purpose, to: RecipientKey, held: Accepted | None = None) -> tuple[str, ...]:
    return lacks(wanted, purpose_digest(wanted), to, held or accepted())


# ---------------------------------------------------------------------------------------------- each mechanism


def test_a_key_at_home_needs_nothing() -> None:
    assert missing(purpose(line=FINE), key(HOME, Mechanism.NONE)) == ()


def test_a_policy_without_terms_knows_no_transfer() -> None:
    assert missing(replace(purpose(), reach=None), key(ABROAD, Mechanism.NONE)) == ()


def test_where_the_terms_allow_no_transfer_nothing_makes_up_for_it() -> None:
    assert missing(purpose(), key(ABROAD, Mechanism.SCC)) == ("the terms allow no transfer",)


def test_certified_contract_clauses_are_enough_where_the_terms_ask_for_them() -> None:
    assert missing(purpose(Mechanism.SCC, line=FINE), key(ABROAD, Mechanism.SCC)) == ()


@pytest.mark.parametrize("word", [Mechanism.NONE, Mechanism.ADEQUACY, Mechanism.CONSENT, Mechanism.DEIDENTIFIED, "bcr"])
def test_a_key_certified_for_something_else_is_no_key_with_contract_clauses(word: str) -> None:
    assert "no contract clauses are certified for its key" in missing(purpose(Mechanism.SCC), key(ABROAD, word))


def test_consent_to_the_transfer_is_enough_where_the_terms_ask_for_it() -> None:
    wanted, to = purpose(Mechanism.CONSENT, line=FINE), key(ABROAD, Mechanism.CONSENT)
    assert missing(wanted, to, accepted(consent(wanted, to))) == ()


def test_consent_to_the_purpose_is_no_consent_to_the_transfer() -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.CONSENT)
    held = accepted(consent(wanted, to, purpose=wanted.name))
    assert missing(wanted, to, held) == (f"the consent to that ({CROSS_BORDER}): not granted yet",)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": Status.WITHDRAWN},
        {"status": Status.RESTRICTED},
        {"status": "paused"},
        {"digests": (b"d" * 32,)},
        {"recipients": (b"k" * 8,)},
        {"recipients": ()},
        {"basis": Basis.CONTRACT},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_consent_of_another_kind_edition_or_key_is_none(changes: dict[str, object]) -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.CONSENT)
    assert missing(wanted, to, accepted(consent(wanted, to, **changes))) != ()


def test_consent_withdrawn_on_the_device_is_none() -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.CONSENT)
    assert missing(wanted, to, accepted(consent(wanted, to), denied=(b"x" * 16,))) != ()


def test_consent_lasts_no_longer_than_the_statement() -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.CONSENT)
    assert missing(wanted, to, accepted(consent(wanted, to), at_s=NOW_S + DAY_S)) != ()


def test_without_a_statement_there_is_no_consent() -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.CONSENT)
    assert missing(wanted, to, Accepted(None, (), NOW_S)) != ()


def test_rows_of_nobody_are_enough_where_the_terms_ask_for_them() -> None:
    assert missing(purpose(Mechanism.DEIDENTIFIED), key(ABROAD, Mechanism.DEIDENTIFIED)) == ()


def test_a_key_that_calls_rows_deidentified_does_not_make_them_so() -> None:
    told = missing(purpose(Mechanism.DEIDENTIFIED, line=FINE), key(ABROAD, Mechanism.DEIDENTIFIED))
    assert told == ("its rows are not de-identified: view inverter has energy in a form that may point at somebody",)


def test_all_that_the_terms_name_has_to_be_there() -> None:
    wanted, to = purpose(Mechanism.CONSENT, Mechanism.DEIDENTIFIED, Mechanism.SCC, line=FINE), key(ABROAD, "scc")
    assert len(missing(wanted, to)) == 2
    wanted = purpose(Mechanism.CONSENT, Mechanism.DEIDENTIFIED, Mechanism.SCC)
    assert missing(wanted, to, accepted(consent(wanted, to))) == ()


def test_a_key_certified_for_no_transfer_gets_nothing_abroad() -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.NONE)
    assert missing(wanted, to, accepted(consent(wanted, to))) == ("its key is certified for another mechanism",)


def test_a_mechanism_that_this_release_does_not_know_is_never_met() -> None:
    unknown: Any = "bcr"
    wanted = replace(purpose(), reach=Reach((HOME,), (unknown,), DAY_MS))
    assert missing(wanted, key(ABROAD, "bcr")) == ("this release does not know what the terms ask for",)


# ------------------------------------------------------------------------------------------- which key it is


def chosen(wanted: Purpose, *keys: RecipientKey) -> RecipientKey:
    digest = purpose_digest(wanted)
    grant = Grant(b"g" * 16, wanted.name, wanted.basis, Status.GIVEN, (digest,), tuple(k.kid for k in keys), NOW_S)
    held = accepted(grant)
    assert held.statement is not None
    decision = decide(purpose=wanted.name, basis=wanted.basis, digest=digest, statement=held.statement, fresh=True,
                      denied=(), now_s=NOW_S)  # fmt: skip
    assert isinstance(decision.collect, CollectGrant)
    document = Recipients(1, NOW_S, NOW_S, NOW_S + DAY_S, keys)
    return key_for(wanted, decision.collect, recipients=document, held=held, algs=(ALG_HPKE_X25519,))


def test_the_newest_key_is_taken_where_nothing_is_missing() -> None:
    newest, older = key(ABROAD, made=1), key(HOME, Mechanism.NONE, made=2)
    assert chosen(purpose(Mechanism.SCC), older, newest) == newest


def test_an_older_key_at_home_is_taken_where_the_newer_one_abroad_lacks_something() -> None:
    newest, older = key(ABROAD, Mechanism.NONE, made=1), key(HOME, Mechanism.NONE, made=2)
    assert chosen(purpose(Mechanism.SCC), older, newest) == older


def test_what_is_missing_is_told_where_no_key_is_left() -> None:
    with pytest.raises(ConsentRefused, match="abroad would go abroad, and its key is certified for another mechanism"):
        chosen(purpose(Mechanism.SCC), key(ABROAD, Mechanism.NONE))


def test_a_region_that_the_purpose_does_not_name_is_no_matter_of_transfers() -> None:
    with pytest.raises(ConsentRefused, match="no certified recipient key fits the purpose"):
        chosen(purpose(Mechanism.SCC), key(OTHER))


def test_without_a_recipients_document_there_is_no_key() -> None:
    wanted, none = purpose(), cast(CollectGrant, None)
    with pytest.raises(ConsentRefused, match="no recipients document"):
        key_for(wanted, none, recipients=None, held=accepted(), algs=())


# -------------------------------------------------------------------------------------- what was sealed before


def becomes(wanted: Purpose, to: RecipientKey, held: Accepted, *, listed: bool = True) -> Queue:
    document = Recipients(1, NOW_S, NOW_S, NOW_S + DAY_S, (to,) if listed else ())
    return fate(wanted, purpose_digest(wanted), to.kid, recipients=document, held=held)


def test_what_could_be_sealed_now_may_go() -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.CONSENT)
    assert becomes(wanted, to, accepted(consent(wanted, to))) is Queue.KEEP


def test_what_stays_at_home_may_always_go() -> None:
    at_home = replace(purpose(Mechanism.CONSENT), regions=(HOME,))
    assert becomes(at_home, key(HOME), accepted(), listed=False) is Queue.KEEP
    assert becomes(replace(purpose(), reach=None), key(ABROAD), accepted(), listed=False) is Queue.KEEP


@pytest.mark.parametrize("ended", [Status.WITHDRAWN, Status.REFUSED, Status.REVOKED])
def test_what_the_household_took_back_is_destroyed(ended: Status) -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.CONSENT)
    assert becomes(wanted, to, accepted(consent(wanted, to, status=ended))) is Queue.DESTROY


@pytest.mark.parametrize("waits", [Status.RESTRICTED, Status.UNKNOWN, "paused"])
def test_what_nobody_took_back_waits(waits: str) -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.CONSENT)
    assert becomes(wanted, to, accepted(consent(wanted, to, status=waits))) is Queue.HOLD


def test_where_no_consent_is_asked_for_what_lacks_something_waits() -> None:
    assert becomes(purpose(Mechanism.SCC), key(ABROAD, Mechanism.NONE), accepted()) is Queue.HOLD


def test_what_was_sealed_to_a_key_that_is_listed_no_more_waits() -> None:
    wanted, to = purpose(Mechanism.CONSENT), key(ABROAD, Mechanism.CONSENT)
    assert becomes(wanted, to, accepted(consent(wanted, to)), listed=False) is Queue.HOLD
    assert fate(wanted, purpose_digest(wanted), to.kid, recipients=None, held=accepted()) is Queue.HOLD
