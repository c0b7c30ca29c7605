"""
A policy in sentences: complete, in plain words, and true of how a device stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_sdk.core.claims import ALG_HPKE_X25519, Account, Mechanism, Status
from edge_sdk.core.consent import ABANDON_AFTER_S
from edge_sdk.core.describe import Description, Known, PurposeWords, describe, key_words
from edge_sdk.core.documents import RecipientKey, Recipients, Statement
from edge_sdk.core.documents.statement import Grant
from edge_sdk.core.policy import Policy, purpose_digest
from edge_sdk.policy_file import PROFILES, find_policy
from tests.unit.policy_texts import TEXT, edited, policy, termed

GRANT = b"g" * 16
NOW_S = 1_790_000_000  # 2026-09-21
DAY_S = 86_400
HOLD = "Nothing is collected or sent; what waits here, if anything, is kept."


def of(name: str, told: Description) -> PurposeWords:
    return next(purpose for purpose in told.purposes if purpose.name == name)


def statement(plan: Policy, purpose: str, status: str, *, account: str = Account.ACTIVE) -> Statement:
    wanted = plan.purposes[purpose]
    grant = Grant(GRANT, purpose, wanted.basis, status, (purpose_digest(wanted),), (b"k" * 8,), NOW_S - DAY_S)
    return Statement(b"a" * 16, b"e" * 16, 1, NOW_S, NOW_S, NOW_S + 45 * DAY_S, account, (grant,))


def key(**changes: Any) -> RecipientKey:
    made = RecipientKey(ALG_HPKE_X25519, b"p" * 32, "operator-eu", "EU", Mechanism.NONE, NOW_S, NOW_S + DAY_S)
    return replace(made, **changes)


def stands(
    status: str, *, purpose: str = "support", denied: tuple[bytes, ...] = (), at_s: int = NOW_S, account: str = "active"
) -> str:
    plan = policy()
    known = Known(statement(plan, purpose, status, account=account), denied, None, at_s)
    return of(purpose, describe(plan, known)).now


# ------------------------------------------------------------------------------------------------ what leaves


def test_every_field_of_a_view_is_told_but_the_source_which_has_a_sentence_of_its_own() -> None:
    (view,) = of("monitoring", describe(policy())).views
    assert view.heading == "Of each inverter, every 5 minutes:"
    assert view.leaves == (
        "how much the energy rose, rounded to 100 Wh",
        "the latest home network IP address, shortened to its first 16 of 32 bits (32 of 128 for an IPv6 address)",
        "the average power, rounded to 10 W; what lies below 0 or above 5000 W is told as that limit",
        "the latest state, as one of: off, on, fault",
    )
    assert view.identifier == "What it is about is told by the serial number, in full."


def test_what_a_purpose_does_not_get_of_a_kind_is_told() -> None:
    (view,) = of("monitoring", describe(policy())).views
    assert view.lacks == ("starts", "faults", "online", "hardware (MAC) address", "place")


def test_told_fields_and_lacking_fields_are_all_there_are() -> None:
    plan = find_policy("apsystems_ema")
    for purpose in describe(plan).purposes:
        for view in purpose.views:
            declared = len(plan.kinds[view.kind].fields)
            has_source = "It is not told" not in view.identifier
            assert len(view.leaves) + len(view.lacks) + has_source == declared


def test_what_no_purpose_has_is_told_once_for_each_kind() -> None:
    unused = '[kinds.meter]\nsource = "ecu_id"\n[kinds.meter.fields]\n'
    unused += 'ecu_id = { class = "device_identifier", type = "text" }\n'
    extra = 'ssid = { class = "network_identifier", type = "text" }\n\n[purposes.monitoring]'
    told = describe(policy(edited("\n[purposes.monitoring]\n", f"{extra}\n", TEXT) + unused))
    assert told.never == (
        "Never of each inverter: Wi-Fi network name.",
        "Nothing at all of each meter: ECU number.",
    )


def test_a_policy_that_uses_all_it_declares_has_nothing_that_never_leaves() -> None:
    assert describe(policy()).never == ()


def test_readings_that_leave_at_once_say_so() -> None:
    (view,) = of("support", describe(policy())).views
    assert view.heading == "With every inverter reading, sent at once:"


def test_readings_that_leave_one_by_one_say_so() -> None:
    (view,) = of("support", describe(policy(edited('send = "now"\n', "")))).views
    assert view.heading == "With every inverter reading:"


def test_an_identifier_that_is_replaced_is_told_with_how_long_the_name_lasts() -> None:
    (view,) = of("support", describe(policy())).views
    assert "The serial number does not leave" in view.identifier
    assert "changes every 30 days" in view.identifier


def test_an_identifier_that_does_not_leave_is_told() -> None:
    (view,) = of("monitoring", describe(policy(edited('serial = "keep"\n', "")))).views
    assert view.identifier == "It is not told which inverter this is about."


# ------------------------------------------------------------------------------------------- why, where, how long


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        ("consent", "Only if you agree"),
        ("contract", "service you signed up for"),
        ("legal_obligation", "The law requires"),
        ("legitimate_interest", "holds that yours does not outweigh it; you may object"),
        ("vital_interest", "life or health"),
        ("public_task", "public interest"),
    ],
)
def test_every_basis_has_plain_words(basis: str, words: str) -> None:
    told = describe(policy(edited('basis = "consent"', f'basis = "{basis}"')))
    assert words in of("support", told).why


@pytest.mark.parametrize("name", PROFILES)
def test_of_every_profile_it_is_told_in_words_of_our_own_what_each_purpose_is_for(name: str) -> None:
    for purpose in find_policy(name).purposes.values():
        why = of(purpose.name, describe(find_policy(name))).why
        assert why.startswith("To ") or "ResearchAndDevelopment" in purpose.dpv, why


def test_a_term_that_nobody_put_into_words_is_told_in_its_own() -> None:
    told = describe(policy(edited('"dpv:RequestedServiceProvision"', '"dpv:MaintainITContracts"')))
    assert of("monitoring", told).why.startswith("For maintain it contracts. It is part of the service")


def test_recipient_and_places_are_told() -> None:
    told = of("support", describe(policy()))
    assert told.recipient == (
        "The recipient that the policy calls operator-eu, in Switzerland or the European Union and nowhere else.",
    )


def test_how_long_rows_wait_is_told() -> None:
    assert "at most 14 days; then it is deleted" in of("support", describe(policy())).waits


def test_consent_is_stopped_by_withdrawing() -> None:
    told = of("support", describe(policy()))
    assert told.stop == "To withdraw your consent, on this device:"
    assert told.command == "edge-sdk consent withdraw support"
    assert "needs no network" in told.after[0]


def test_legitimate_interest_is_stopped_by_objecting() -> None:
    told = of("support", describe(policy(edited('basis = "consent"', 'basis = "legitimate_interest"'))))
    assert (told.stop, told.command) == ("To object, on this device:", "edge-sdk consent withdraw support")


def test_a_contract_is_stopped_with_the_account() -> None:
    told = of("monitoring", describe(policy()))
    assert "cancel the account" in told.stop
    assert told.command == "edge-sdk wipe --confirm NAME"
    assert "NAME is the name that site.toml gives this device" in told.stop


def test_a_command_for_a_site_elsewhere_says_where() -> None:
    known = Known(None, (), None, NOW_S, site="home", config="'my house/site.toml'")
    at = " --config 'my house/site.toml'"
    commands = [purpose.command for purpose in describe(policy(), known).purposes]
    assert all(command.endswith(at) for command in commands), commands
    assert f"edge-sdk wipe --confirm home{at}" in commands


def test_it_is_told_who_still_has_what_was_sent() -> None:
    assert all("ask operator-eu to have it deleted" in purpose.after[-1] for purpose in describe(policy()).purposes)


def test_who_answers_for_it_is_whom_to_ask_for_deletion() -> None:
    told = of("support", describe(policy(termed()))).after[-1]
    assert told.endswith("ask Example Ltd., privacy@example.com, to have it deleted.")


def test_equal_policies_give_equal_text() -> None:
    assert describe(find_policy("apsystems_ema")) == describe(find_policy("apsystems_ema"))


# --------------------------------------------------------------------------------------- what the terms promise


def test_a_policy_without_terms_promises_nothing() -> None:
    told = describe(policy())
    assert told.promises == ()
    assert {purpose.kept for purpose in told.purposes} == {""}


def test_the_promises_of_the_terms_are_told() -> None:
    assert describe(policy(termed())).promises == (
        "Who answers for it: Example Ltd.; where to turn: privacy@example.com.",
        "The data is at home in Switzerland or the European Union. It goes elsewhere only if the recipient is bound by "
        "the contract clauses that the law prescribes for it.",
        "Should data get into the wrong hands, the operator promises to tell the authorities within 72 hours of "
        "noticing, and you. What this device notices of that it tells the operator before anything else, without "
        "readings: edge-sdk status.",
        "Ask to see, correct, take along or delete what the operator has, and you are promised an answer within 30 "
        "days. What is here you can see at once: edge-sdk export.",
        "If the account is cancelled, or a new version of the policy refused, the operator orders this device to "
        "erase everything, which it does at once, and tells each recipient to delete what it got.",
        "A child, here anyone below 16, has an account only with a parent's consent: without it the operator cancels "
        "the account, which erases what is here.",
    )


def test_a_policy_that_allows_no_transfer_says_so() -> None:
    told = describe(policy(termed('["scc"]', "[]"))).promises[1]
    assert told == "The data is at home in Switzerland or the European Union and goes nowhere else."


def test_a_policy_without_a_rule_for_children_says_nothing_of_them() -> None:
    assert "child" not in " ".join(describe(policy(termed("child_below = 16", "child_below = 0"))).promises)


def test_a_notice_that_is_no_whole_number_of_hours_is_told_all_the_same() -> None:
    assert "within 90 minutes" in " ".join(describe(policy(termed('"72h"', '"90min"'))).promises)


def test_how_long_a_recipient_keeps_rows_is_told() -> None:
    told = of("support", describe(policy(termed())))
    assert told.kept == "operator-eu promises to delete what it got after 365 days at the latest."


def test_what_a_region_abroad_needs_is_told_with_the_recipient() -> None:
    text = termed('["EU", "CH"]\ntransfer = ["scc"]', '["EU"]\ntransfer = ["consent", "deidentified"]')
    told = of("support", describe(policy(text)))
    assert told.recipient[1:] == (
        "In Switzerland only if you have agreed to the transfer, which is asked for separately, and if the rows name "
        "no person and no device and have coarse values of whole days only; otherwise nothing is packed for there.",
        "To take back that you agreed to transfers: edge-sdk consent withdraw cross_border",
    )


def test_contract_clauses_are_nothing_a_household_can_take_back() -> None:
    told = of("support", describe(policy(termed('["EU", "CH"]', '["EU"]'))))
    assert len(told.recipient) == 2


# ------------------------------------------------------------------------------------------ how a device stands


def test_without_a_device_nothing_is_said_of_how_it_stands() -> None:
    told = describe(policy())
    assert told.account == ""
    assert {purpose.now for purpose in told.purposes} == {""}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.GIVEN, "Allowed since 2026-09-20."),
        (Status.WITHDRAWN, "Refused, withdrawn or objected to since 2026-09-20. "
         "Nothing is collected or sent, and what waited here is deleted."),
        (Status.RESTRICTED, f"On hold since 2026-09-20. {HOLD}"),
        (Status.REQUESTED, f"Not allowed yet. {HOLD}"),
        ("paused", f"In a state that this device does not know. {HOLD}"),
    ],
)  # fmt: skip
def test_a_grant_is_told_with_its_state_and_since_when(status: str, words: str) -> None:
    assert stands(status) == words


def test_what_was_withdrawn_on_the_device_is_told_as_that() -> None:
    told = stands(Status.GIVEN, denied=(GRANT,))
    assert told == "Withdrawn on this device. Nothing is collected or sent, and what waited here is deleted."


def test_a_purpose_without_a_grant_is_told() -> None:
    plan = policy()
    known = Known(statement(plan, "support", Status.GIVEN), (), None, NOW_S)
    assert of("monitoring", describe(plan, known)).now == f"Not allowed yet. {HOLD}"


def test_a_device_without_a_statement_has_nothing_allowed() -> None:
    told = describe(policy(), Known(None, (), None, NOW_S))
    assert told.account == ""
    assert {purpose.now for purpose in told.purposes} == {f"Not allowed yet. {HOLD}"}


def test_consent_for_another_edition_is_told_as_that() -> None:
    known = Known(statement(policy(), "support", Status.GIVEN), (), None, NOW_S)
    told = describe(policy(edited("mac = { mask = 8 }", 'mac = "keep"')), known)
    assert of("support", told).now == (
        f"Another edition of this purpose was allowed, but not the one described here. {HOLD}"
    )


def test_a_statement_that_ran_out_is_told_with_the_day() -> None:
    told = stands(Status.GIVEN, at_s=NOW_S + 46 * DAY_S)
    assert told == (
        f"Allowed since 2026-09-20, but what the operator confirmed was good until 2026-11-05 only. {HOLD}"
    )


def test_a_contract_goes_on_collecting_for_a_while_after_that() -> None:
    told = stands(Status.GIVEN, purpose="monitoring", at_s=NOW_S + 46 * DAY_S)
    assert told.endswith("What is read is kept here, and nothing is sent.")


def test_a_contract_that_nobody_confirms_any_more_collects_nothing() -> None:
    told = stands(Status.GIVEN, purpose="monitoring", at_s=NOW_S + 46 * DAY_S + ABANDON_AFTER_S)
    assert told.endswith(HOLD)


@pytest.mark.parametrize(
    ("account", "words"),
    [("active", ""), ("suspended", "is suspended"), ("cancelled", "is cancelled"), ("sleeping", "does not know")],
)
def test_the_account_is_told_where_it_stops_things(account: str, words: str) -> None:
    plan = policy()
    told = describe(plan, Known(statement(plan, "support", Status.GIVEN, account=account), (), None, NOW_S))
    assert (words in told.account) if words else (told.account == "")


def test_a_purpose_of_a_suspended_account_does_not_read_as_running() -> None:
    assert stands(Status.GIVEN, account=Account.SUSPENDED) == f"Allowed since 2026-09-20. {HOLD}"


@pytest.mark.parametrize(
    "changes",
    [{"operator": "research-eu"}, {"region": "US"}, {"nbf_s": NOW_S + 1}, {"exp_s": NOW_S}],
)
def test_a_recipient_without_a_key_that_fits_is_told(changes: dict[str, object]) -> None:
    plan = policy()
    recipients = Recipients(1, NOW_S, NOW_S, NOW_S + DAY_S, (key(**changes),))
    told = of("monitoring", describe(plan, Known(None, (), recipients, NOW_S)))
    assert told.recipient[1] == "No key of operator-eu is certified for that at present, so nothing can be packed."


def test_a_recipient_is_told_with_its_key() -> None:
    recipients = Recipients(1, NOW_S, NOW_S, NOW_S + DAY_S, (key(),))
    told = of("monitoring", describe(policy(), Known(None, (), recipients, NOW_S)))
    assert told.recipient[1] == f"It can be opened with this key only: {key_words(key())}."


@pytest.mark.parametrize("mechanism", [*Mechanism, "treaty"])
def test_every_ground_for_a_transfer_has_words(mechanism: str) -> None:
    told = key_words(key(mechanism=mechanism, region="US"))
    assert told.startswith(f"{key().kid.hex()} of operator-eu in the United States, ")
    assert told.endswith(", until 2026-09-22")
    assert ("on grounds this device does not know" in told) == (mechanism == "treaty")


def test_the_command_that_erases_names_the_site_where_one_was_asked() -> None:
    told = of("monitoring", describe(policy(), Known(None, (), None, NOW_S, site="roof-7")))
    assert told.command == "edge-sdk wipe --confirm roof-7"
