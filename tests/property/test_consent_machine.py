"""
Consent under any order of events: whatever happens, nothing is taken, kept or sent that no grant in force allows.

And the machine itself: broken in one place after the other, it says which check noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from edge_sdk import consent_state, opening, wipe
from edge_sdk.binding import Binding
from edge_sdk.consent_record import encode_held
from edge_sdk.consent_state import ConsentState
from edge_sdk.core import consent
from edge_sdk.core.claims import Account
from edge_sdk.core.documents import accept_statement
from edge_sdk.core.receipt import Method, StoreErased
from edge_sdk.line import Line
from edge_sdk.vault import Vault
from tests.property.consent_machine import Household

Broken = Callable[[], AbstractContextManager[Any]]


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Household,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_in_any_order_of_events_nothing_goes_that_no_grant_allows() -> None:
    run(5, 50)


# In parts, each well below what a hanging test is given; together more than ten thousand steps.
@pytest.mark.slow
@pytest.mark.parametrize("part", range(24))
def test_in_ten_thousand_steps_nothing_goes_that_no_grant_allows(part: int) -> None:
    run(5, 100)


def _suspended_counts_as_active() -> AbstractContextManager[Any]:
    return mock.patch.dict(consent.BY_ACCOUNT, {Account.SUSPENDED: consent.BY_ACCOUNT[Account.ACTIVE]})


def _no_statement_expires() -> AbstractContextManager[Any]:
    return mock.patch.object(consent_state, "decide", lambda **how: consent.decide(**{**how, "now_s": 0}))


def _sends_for_a_suspended_account() -> AbstractContextManager[Any]:
    def permit(self: Line, stream: Any, now: Any) -> Any:
        held = self.consent.statement
        if held is None or stream.purpose is None or not self.consent.stands(stream.purpose, stream.record.grant_id):
            return None
        with mock.patch.object(self.consent, "statement", replace(held, account=Account.ACTIVE)):
            return self.consent.decide_digest(stream.purpose, stream.record.digest, now).send

    return mock.patch.object(Line, "permit", permit)


def _sends_before_it_has_heard() -> AbstractContextManager[Any]:
    return mock.patch.object(ConsentState, "is_fresh", return_value=True)


def _takes_an_older_statement() -> AbstractContextManager[Any]:
    return mock.patch.object(
        consent_state, "accept_statement", lambda *bundle, **how: accept_statement(*bundle, **{**how, "newest": None})
    )


def _takes_any_signature() -> AbstractContextManager[Any]:
    return mock.patch("edge_sdk.core.documents.root._check_signatures", lambda _, keys, what: frozenset(keys))


def _takes_what_is_for_others() -> AbstractContextManager[Any]:
    return mock.patch("edge_sdk.core.documents.statement.check_addressee")


def _leaves_data_of_ended_grants() -> AbstractContextManager[Any]:
    return mock.patch.object(Binding, "_destroy_ended")


def _leaves_keys_of_ended_grants() -> AbstractContextManager[Any]:
    return mock.patch.object(Vault, "destroy_purposes")


def _forgets_withdrawals() -> AbstractContextManager[Any]:
    return mock.patch.object(consent_state, "encode_held", lambda held: encode_held(replace(held, denied=[])))


def _finishes_uploads() -> AbstractContextManager[Any]:
    return mock.patch.object(Line, "may_go_on", return_value=True)


def _opens_while_an_erase_is_due() -> AbstractContextManager[Any]:
    return mock.patch.object(opening, "finish_wipe")


def _erases_nothing_and_says_it_did() -> AbstractContextManager[Any]:
    return mock.patch.object(wipe, "_erase", lambda _, store, __: StoreErased(store, Method.CLEAR, True, 1))


def _forgets_the_intent_first() -> AbstractContextManager[Any]:
    def finish(folder: Path, *rest: Any, **how: Any) -> Any:
        wipe.close_intent(folder)
        return wipe.finish(folder, *rest, **how)

    return mock.patch.object(opening, "finish", finish)


BROKEN: dict[str, tuple[Broken, str]] = {
    "a suspended account counts as active": (_suspended_counts_as_active, "I1: "),
    "no statement expires": (_no_statement_expires, "I1: "),
    "a suspended account sends": (_sends_for_a_suspended_account, "I1: a batch is sent without a grant"),
    "it sends before it has heard": (_sends_before_it_has_heard, "I6: sent"),
    "an older statement is taken": (_takes_an_older_statement, "I6: an older statement counts"),
    "any signature is taken": (_takes_any_signature, "I6: a forged statement counts"),
    "what is for others is taken": (_takes_what_is_for_others, "I6: a foreign statement counts"),
    "data of ended grants stays": (_leaves_data_of_ended_grants, "I6: .* is left"),
    "keys of ended grants stay": (_leaves_keys_of_ended_grants, "I6: .* is left"),
    "withdrawals are forgotten": (_forgets_withdrawals, "I6: a withdrawal is forgotten"),
    "uploads under way are finished": (_finishes_uploads, "I6: an upload goes on after the withdrawal"),
    "it opens while an erase is due": (_opens_while_an_erase_is_due, "I7: a site opened"),
    "an erase erases nothing": (_erases_nothing_and_says_it_did, "I7: an erase ended and left"),
    "the intent goes first": (_forgets_the_intent_first, "I7: "),
}
ONE_EACH = ("a suspended account counts as active", "withdrawals are forgotten", "it opens while an erase is due")


def caught(name: str) -> None:
    broken, noticed = BROKEN[name]
    quick = settings(
        max_examples=200,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with broken(), pytest.raises(AssertionError, match=noticed):
        run_state_machine_as_test(Household, settings=quick)


@pytest.mark.parametrize("name", ONE_EACH)
def test_a_machine_that_is_broken_in_one_place_is_caught(name: str) -> None:
    caught(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BROKEN if name not in ONE_EACH])
def test_a_machine_that_is_broken_in_any_place_is_caught(name: str) -> None:
    caught(name)
