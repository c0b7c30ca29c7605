from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from edge_sdk.core import consent
from edge_sdk.core.claims import Status
from edge_sdk.core.consent import Account, Basis, Queue, Standing
from edge_sdk.core.lifecycle import OPEN, Room, State
from tests.vectors import world

NOW_S = world.NOW_S
EXPIRED_S = world.statement().exp_s
ABANDONED_S = EXPIRED_S + consent.ABANDON_AFTER_S
CONTRACTUAL = (Basis.CONTRACT, Basis.LEGAL_OBLIGATION, Basis.VITAL_INTEREST, Basis.PUBLIC_TASK)
CHOSEN = (Basis.CONSENT, Basis.LEGITIMATE_INTEREST)
OTHER_ID = world.named("another grant", 16)


def decide(grant: dict[str, Any] | None = None, /, **changes: Any) -> consent.Decision:
    basis = changes.get("basis", Basis.CONSENT)
    account = changes.pop("account", Account.ACTIVE)
    grants = () if grant is None else (world.grant(**({"basis": basis} | grant)),)
    return world.decision(**({"statement": world.statement(account=account, grants=grants)} | changes))


def shape(decision: consent.Decision) -> tuple[bool, bool, Queue]:
    return decision.collect is not None, decision.send is not None, decision.queue


GO = (True, True, Queue.KEEP)
GATHER = (True, False, Queue.HOLD)
HOLD = (False, False, Queue.HOLD)
DESTROY = (False, False, Queue.DESTROY)


# --- the table of the specification, cell by cell


@pytest.mark.parametrize("basis", Basis)
@pytest.mark.parametrize("status", [Status.GIVEN, Status.RENEWED])
def test_a_valid_grant_collects_and_sends(basis: Basis, status: Status) -> None:
    assert shape(decide({"status": status}, basis=basis)) == GO


@pytest.mark.parametrize(
    "status", [Status.REFUSED, Status.WITHDRAWN, Status.OBJECTED, Status.REVOKED, Status.INVALIDATED]
)
@pytest.mark.parametrize("basis", CHOSEN)
def test_refusal_withdrawal_and_objection_destroy_what_is_queued(basis: Basis, status: Status) -> None:
    assert shape(decide({"status": status}, basis=basis)) == DESTROY


@pytest.mark.parametrize("basis", CONTRACTUAL)
def test_a_duty_that_is_objected_to_stops_without_destroying(basis: Basis) -> None:
    assert shape(decide({"status": Status.OBJECTED}, basis=basis)) == HOLD


@pytest.mark.parametrize("basis", Basis)
def test_a_restriction_holds(basis: Basis) -> None:
    assert shape(decide({"status": Status.RESTRICTED}, basis=basis)) == HOLD


@pytest.mark.parametrize("basis", CHOSEN)
def test_an_expired_statement_holds_what_was_chosen(basis: Basis) -> None:
    assert shape(decide({}, basis=basis, now_s=EXPIRED_S)) == HOLD


@pytest.mark.parametrize("basis", CONTRACTUAL)
def test_an_expired_statement_lets_a_duty_collect_for_a_while(basis: Basis) -> None:
    assert shape(decide({}, basis=basis, now_s=EXPIRED_S - 1)) == GO
    assert shape(decide({}, basis=basis, now_s=EXPIRED_S)) == GATHER
    assert shape(decide({}, basis=basis, now_s=ABANDONED_S - 1)) == GATHER
    assert shape(decide({}, basis=basis, now_s=ABANDONED_S)) == HOLD


def test_how_long_a_duty_goes_on_is_the_callers_to_shorten() -> None:
    assert shape(decide({}, basis=Basis.CONTRACT, now_s=EXPIRED_S + 60, abandon_after_s=60)) == HOLD


@pytest.mark.parametrize("basis", Basis)
def test_without_a_grant_nothing_happens(basis: Basis) -> None:
    assert shape(decide(None, basis=basis)) == HOLD
    assert shape(decide(statement=None, basis=basis)) == HOLD


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.REQUESTED, Status.EXPIRED, "paused"])
def test_a_status_that_permits_nothing_denies_and_destroys_nothing(status: str) -> None:
    assert shape(decide({"status": status})) == HOLD


# --- account and freshness


@pytest.mark.parametrize("account", [Account.SUSPENDED, Account.CANCELLED, "dormant"])
def test_an_account_that_is_not_active_holds_everything(account: str) -> None:
    assert shape(decide({}, account=account)) == HOLD


def test_a_withdrawal_destroys_also_while_the_account_is_suspended() -> None:
    assert shape(decide({"status": Status.WITHDRAWN}, account=Account.SUSPENDED)) == DESTROY


def test_without_a_fresh_downlink_collecting_goes_on_and_sending_waits() -> None:
    assert shape(decide({}, fresh=False)) == GATHER


# --- which grant counts


def two(older: dict[str, Any], newer: dict[str, Any], **changes: Any) -> consent.Decision:
    grants = (
        world.grant(**({"since_s": NOW_S - 20} | older)),
        world.grant(**({"since_s": NOW_S - 10, "id": OTHER_ID} | newer)),
    )
    return world.decision(statement=world.statement(grants=grants), **changes)


def test_the_newest_grant_counts() -> None:
    decision = two({"status": Status.WITHDRAWN}, {})
    assert decision.send is not None
    assert decision.send.grant_id == OTHER_ID


def test_a_newer_withdrawal_closes_an_older_grant() -> None:
    assert shape(two({}, {"status": Status.WITHDRAWN})) == DESTROY


def test_of_two_grants_of_one_second_the_narrower_counts() -> None:
    assert shape(two({"status": Status.RESTRICTED, "since_s": NOW_S - 10}, {})) == HOLD


def test_a_newer_grant_of_another_edition_leaves_this_one_alone() -> None:
    decision = two({}, {"digests": (bytes(32),)})
    assert decision.send is not None
    assert decision.send.grant_id == world.GRANT_ID


@pytest.mark.parametrize(("status", "shaped"), [(Status.REFUSED, DESTROY), (Status.RESTRICTED, HOLD), ("paused", HOLD)])
def test_a_newer_word_that_narrows_another_edition_closes_this_one_too(status: str, shaped: object) -> None:
    assert shape(two({}, {"digests": (bytes(32),), "status": status})) == shaped


@pytest.mark.parametrize("basis", Basis)
def test_an_edited_purpose_is_closed_under_an_old_grant(basis: Basis) -> None:
    decision = decide({}, basis=basis, digest=bytes(32))
    assert shape(decision) == HOLD
    assert decision.because == Standing.CLOSED


def test_a_grant_for_another_basis_does_not_count() -> None:
    assert shape(decide({"basis": Basis.CONTRACT})) == HOLD


def test_a_grant_for_another_purpose_does_not_count() -> None:
    assert decide({"purpose": "marketing"}).because == Standing.NONE


def test_a_grant_denied_on_the_device_is_ended() -> None:
    assert shape(decide({}, denied={world.GRANT_ID})) == DESTROY


def test_a_denial_is_lifted_by_a_grant_with_another_id_only() -> None:
    assert shape(two({}, {}, denied={world.GRANT_ID})) == GO
    assert shape(two({}, {}, denied={OTHER_ID})) == DESTROY


def test_the_grants_name_purpose_digest_and_recipients() -> None:
    decision = decide({})
    for granted in (decision.collect, decision.send):
        assert granted is not None
        assert granted.purpose == world.PURPOSE
        assert granted.digest == world.DIGEST
        assert granted.recipients == world.grant().recipients


# --- totality


def test_the_table_has_a_cell_for_every_basis_and_standing() -> None:
    cells = {(basis, standing) for basis, row in consent.BY_STANDING.items() for standing in row}
    assert cells == set(itertools.product(Basis, Standing))


def test_every_status_and_account_word_has_a_row() -> None:
    assert set(consent.STANDING_OF) == set(Status) == set(consent.DPV)
    assert set(consent.BY_ACCOUNT) == set(Account)
    assert set(consent.BY_FRESHNESS) == {True, False}


@pytest.mark.parametrize("basis", [*Basis, "whim"])
def test_only_listed_words_ever_permit_anything(basis: str) -> None:
    words = itertools.product([*Status, "paused"], [*Account, "dormant"], [True, False], [NOW_S, EXPIRED_S])
    for status, account, fresh, now_s in words:
        decision = decide({"status": status}, basis=basis, account=account, fresh=fresh, now_s=now_s)
        listed = basis in set(Basis) and status in {Status.GIVEN, Status.RENEWED} and account == Account.ACTIVE
        assert decision.because
        if not listed:
            assert decision.collect is None
        if not listed or not fresh or now_s >= EXPIRED_S:
            assert decision.send is None


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({}, "granted"),
        ({"fresh": False}, "granted, but not confirmed since the last start or for too long"),
        ({"account": Account.SUSPENDED}, "the account is suspended"),
        ({"account": "dormant"}, "the account is in a state this release does not know"),
        ({"now_s": EXPIRED_S}, "the statement has expired"),
        ({"now_s": ABANDONED_S}, "the statement expired long ago"),
        ({"digest": bytes(32)}, "granted, but not this edition of the purpose"),
    ],
)
def test_the_decision_says_why(changes: dict[str, Any], because: str) -> None:
    assert decide({}, **changes).because == because


@pytest.mark.parametrize(
    ("status", "because"),
    [
        (Status.WITHDRAWN, "refused, withdrawn or objected to"),
        (Status.RESTRICTED, "restricted"),
        (Status.REQUESTED, "not granted yet"),
        ("paused", "in a state this release does not know"),
    ],
)
def test_the_decision_says_how_the_purpose_stands(status: str, because: str) -> None:
    assert decide({"status": status}).because == because


# --- who may make a grant


@pytest.mark.parametrize("kind", [consent.CollectGrant, consent.SendGrant])
def test_nobody_but_decide_makes_a_grant(kind: Any) -> None:
    with pytest.raises(TypeError, match="decide"):
        kind(world.GRANT_ID, world.PURPOSE, world.DIGEST, (), object())
    with pytest.raises(TypeError):
        kind(world.GRANT_ID, world.PURPOSE, world.DIGEST, ())


# --- what is to be destroyed


@pytest.mark.parametrize("basis", CHOSEN)
def test_a_withdrawn_grant_is_ended_although_a_later_one_opened_its_purpose(basis: Basis) -> None:
    grants = (world.grant(status=Status.WITHDRAWN, basis=basis), world.grant(id=OTHER_ID, basis=basis))
    ended = consent.ended_grants(world.statement(grants=grants), denied=())
    assert ended == {world.GRANT_ID}


def test_a_denied_grant_is_ended_with_or_without_a_statement() -> None:
    assert consent.ended_grants(world.statement(), denied={world.GRANT_ID}) == {world.GRANT_ID}
    assert consent.ended_grants(None, denied={world.GRANT_ID}) == {world.GRANT_ID}


@pytest.mark.parametrize("basis", CONTRACTUAL)
@pytest.mark.parametrize("status", [Status.GIVEN, Status.WITHDRAWN])
def test_the_data_of_a_duty_is_not_destroyed_by_a_denial(basis: Basis, status: Status) -> None:
    grants = (world.grant(basis=basis, status=status),)
    assert consent.ended_grants(world.statement(grants=grants), denied={world.GRANT_ID}) == frozenset()


def test_a_valid_grant_is_not_ended() -> None:
    assert consent.ended_grants(world.statement(), denied=()) == frozenset()


# --- a statement that the device has not stored yet


def held(*grants: Any) -> Any:
    return world.statement(grants=grants)


def both(*, first: str | None, then: str) -> consent.Decision:
    """Return what one grant may do that stood as *first* when it was stored, and stands as *then* since."""
    before = held() if first is None else held(world.grant(status=first))
    return world.decision(statement=consent.unopened(held(world.grant(status=then)), before))


@pytest.mark.parametrize("first", [None, *(s for s in Status if s not in (Status.GIVEN, Status.RENEWED))])
@pytest.mark.parametrize("then", [Status.GIVEN, Status.RENEWED])
def test_what_a_statement_opens_stays_closed_and_kept_until_it_is_stored(first: str | None, then: str) -> None:
    assert shape(both(first=first, then=then)) == HOLD


@pytest.mark.parametrize("first", [Status.GIVEN, Status.RENEWED])
@pytest.mark.parametrize("then", [Status.GIVEN, Status.RENEWED])
def test_what_was_open_and_is_goes_on_meanwhile(first: str, then: str) -> None:
    assert shape(both(first=first, then=then)) == GO


@pytest.mark.parametrize("then", [*(s for s in Status if s not in (Status.GIVEN, Status.RENEWED)), "paused"])
def test_what_a_statement_closes_is_closed_before_it_is_stored(then: str) -> None:
    assert shape(both(first=Status.GIVEN, then=then)) == shape(decide({"status": then}))


def test_the_first_statement_opens_nothing_until_it_is_stored() -> None:
    assert shape(world.decision(statement=consent.unopened(held(world.grant()), None))) == HOLD


def test_a_grant_with_another_id_is_opened_by_no_older_one() -> None:
    renewed = world.grant(id=OTHER_ID, since_s=world.grant().since_s + 1)
    meanwhile = consent.unopened(held(world.grant(), renewed), held(world.grant()))
    assert shape(world.decision(statement=meanwhile)) == HOLD
    assert [grant.status for grant in meanwhile.grants] == [Status.GIVEN, Status.UNKNOWN]


@pytest.mark.parametrize("status", [*Status, "paused"])
def test_until_it_is_stored_a_statement_ends_the_grants_it_ends_and_no_other(status: str) -> None:
    made = held(world.grant(status=status), world.grant(id=OTHER_ID))
    assert consent.ended_grants(consent.unopened(made, None), denied=()) == consent.ended_grants(made, denied=())


def test_until_it_is_stored_a_statement_keeps_its_version_account_and_times() -> None:
    made = world.statement(version=9, account=Account.SUSPENDED)
    meanwhile = consent.unopened(made, None)
    assert dataclasses.replace(meanwhile, grants=made.grants) == made


# --- what a change of one place would otherwise pass unnoticed (make test-mutation)


@pytest.mark.parametrize("kind", [consent.CollectGrant, consent.SendGrant])
@pytest.mark.parametrize("mint", [None, object()])
def test_nobody_makes_a_grant_but_decide(kind: Any, mint: object) -> None:
    with pytest.raises(TypeError):
        kind(OTHER_ID, "improvement", world.DIGEST, (), mint)


@pytest.mark.parametrize("what", ["collect", "send"])
def test_a_grant_that_was_given_cannot_be_made_another(what: str) -> None:
    grant = getattr(decide({"status": Status.GIVEN}), what)
    with pytest.raises(AttributeError):
        grant.purpose = "another"


def test_a_decision_and_a_cell_of_a_table_cannot_be_changed() -> None:
    for held, name in ((decide(), "queue"), (consent.BY_ACCOUNT[Account.ACTIVE], "collect")):
        with pytest.raises(AttributeError):
            setattr(held, name, None)


def test_a_decision_and_what_it_grants_carry_nothing_beside_their_fields() -> None:
    decision = decide({"status": Status.GIVEN})
    for held in (decision, decision.collect, decision.send, consent.BY_ACCOUNT[Account.ACTIVE]):
        with pytest.raises(TypeError):
            vars(held)


@pytest.mark.parametrize("account", Account)
def test_an_account_permits_what_its_state_of_the_lifecycle_opens(account: Account) -> None:
    rooms = OPEN[State(account)]
    assert shape(decide({}, account=account))[:2] == (Room.COLLECT in rooms, Room.SEND in rooms)


def test_every_cell_of_the_tables_says_yes_or_no() -> None:
    cells = [*consent.BY_ACCOUNT.values(), *consent.BY_FRESHNESS.values()]
    cells += [cell for row in consent.BY_STANDING.values() for cell in row.values()]
    assert {type(word) for cell in cells for word in (cell.collect, cell.send)} == {bool}


def test_the_three_fates_of_a_queue_are_three() -> None:
    assert list(Queue) == [Queue.KEEP, Queue.HOLD, Queue.DESTROY] == sorted(set(Queue))


def test_a_duty_is_collected_for_until_ninety_days_after_the_statement_expired() -> None:
    last_s = EXPIRED_S + 90 * 86400 - 1
    assert shape(decide({"status": Status.GIVEN}, basis=Basis.CONTRACT, now_s=last_s)) == GATHER
    assert shape(decide({"status": Status.GIVEN}, basis=Basis.CONTRACT, now_s=last_s + 1)) == HOLD


def test_without_a_statement_the_reason_is_that_nothing_is_granted() -> None:
    assert decide(statement=None).because == "not granted yet"
    said = {"statement": None, "denied": (), "now_s": NOW_S}
    assert consent.standing_of(world.PURPOSE, Basis.CONSENT, world.DIGEST, **said) == (None, Standing.NONE)


NARROWER = (Status.GIVEN, Status.REQUESTED, "paused", Status.RESTRICTED, Status.WITHDRAWN)


@pytest.mark.parametrize(("wider", "narrower"), [*itertools.combinations(NARROWER, 2)])
@pytest.mark.parametrize("ids", [(bytes(16), b"\xff" * 16), (b"\xff" * 16, bytes(16))])
def test_of_two_grants_of_one_second_the_narrower_counts_whatever_their_ids(
    wider: Status, narrower: Status, ids: tuple[bytes, bytes]
) -> None:
    both = [world.grant(id=one, status=status) for one, status in zip(ids, (wider, narrower), strict=True)]
    found, _ = consent.standing_of(
        both[0].purpose,
        both[0].basis,
        both[0].digests[0],
        statement=world.statement(grants=tuple(both)),
        denied=(),
        now_s=NOW_S,
    )
    assert found is not None
    assert found.id == ids[1]


def test_every_status_has_the_name_that_dpv_gives_it() -> None:
    words = "Unknown Requested Given Refused Withdrawn Revoked Invalidated Expired"
    named = {Status[word.upper()]: f"dpv:Consent{word}" for word in words.split()}
    rights = {Status.OBJECTED: "eu-gdpr:A21", Status.RESTRICTED: "eu-gdpr:A18"}
    assert named | rights | {Status.RENEWED: "dpv:RenewedConsentGiven"} == consent.DPV
