"""
Accounts and wipe orders: what is stopped, who is told, how often, and when it ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from edge_sdk.collector import grant, open_authority
from edge_sdk.collector.authority import Authority
from edge_sdk.collector.keyring import read_role
from edge_sdk.collector.orders import OrderLimit, TooManyOrders
from edge_sdk.collector.publishing import ACKNOWLEDGE_S
from edge_sdk.core import keys
from edge_sdk.core.claims import Account, Role, Status
from edge_sdk.core.documents import WipeOrder, accept_wipe, audience_of, sign_wipe
from edge_sdk.errors import ConfigError, ConsentRefused, Refused, Tampered
from tests.collector.household import DAY_S, NOW_S, Household
from tests.collector.town import Town, grant_id, statuses


@pytest.fixture
def authority(place: Town) -> Iterator[Authority]:
    with open_authority(place.folder) as authority:
        yield authority


def account(place: Town, home: Household, now_s: int = NOW_S) -> str:
    place.hear(home, now_s)
    assert home.statement is not None
    return home.statement.account


def test_a_suspended_account_is_told_and_taken_up_again(place: Town, home: Household, authority: Authority) -> None:
    authority.set_account(home.generation, Account.SUSPENDED, NOW_S + 1)
    assert account(place, home) == "suspended"
    authority.set_account(home.generation, Account.ACTIVE, NOW_S + 2)
    assert account(place, home) == "active"


def test_cancelling_comes_with_the_order_in_the_same_downlink(place: Town, home: Household) -> None:
    order = place.cancel(home)
    assert home.statement is not None
    assert (home.statement.account, order.purposes) == ("cancelled", ())


def test_nothing_takes_a_cancellation_back(place: Town, home: Household, authority: Authority) -> None:
    place.cancel(home)
    for status in (Account.ACTIVE, Account.SUSPENDED):
        with pytest.raises(Refused, match="cancelled"):
            authority.set_account(home.generation, status, NOW_S)
    with pytest.raises(Refused, match="cancelled"):
        authority.set_grant(home.generation, "improvement", Status.GIVEN, NOW_S)


def test_an_account_is_not_cancelled_without_an_order(home: Household, authority: Authority) -> None:
    with pytest.raises(ValueError, match="order"):
        authority.set_account(home.generation, Account.CANCELLED, NOW_S)


def test_ending_one_purpose_leaves_the_account_and_the_others(place: Town, home: Household) -> None:
    order = place.cancel(home, "improvement")
    assert order.purposes == ("improvement",)
    assert (account(place, home), statuses(home)) == ("active", {"monitoring": "given", "improvement": "revoked"})


def test_an_ended_purpose_opens_again_only_under_a_new_grant(place: Town, home: Household) -> None:
    place.cancel(home, "improvement")
    before = grant_id(home, "improvement")
    grant(place.folder, home.generation, "improvement", status=Status.GIVEN, now_s=NOW_S + 60)
    place.hear(home, NOW_S + 60)
    assert statuses(home)["improvement"] == "given"
    assert grant_id(home, "improvement") != before


def test_ordering_the_same_again_is_the_same_order(place: Town, home: Household) -> None:
    assert place.cancel(home) == place.cancel(home)


def test_a_newer_order_takes_over_the_scope_of_the_one_before(place: Town, home: Household) -> None:
    first = place.cancel(home, "improvement")
    both = place.cancel(home, "monitoring")
    assert both.purposes == ("improvement", "monitoring")
    place.confirm(home, home.receipt(both))
    assert place.hear(home, NOW_S).wipe is None
    assert both.nonce != first.nonce


def test_an_order_that_was_replaced_can_still_be_confirmed_and_leaves_the_wider_one_open(
    place: Town, home: Household
) -> None:
    first = place.cancel(home, "improvement")
    everything = place.cancel(home)
    place.confirm(home, home.receipt(first))
    assert home.order(place.hear(home, NOW_S), NOW_S) == everything


def test_what_is_due_for_a_purpose_does_not_hasten_the_accounts(
    place: Town, home: Household, authority: Authority
) -> None:
    place.cancel(home, "improvement")
    order = authority.cancel(home.generation, not_before_s=NOW_S + DAY_S, now_s=NOW_S + 60)
    assert (order.scope, order.not_before_s) == ((), NOW_S + DAY_S)


def test_an_account_that_is_due_is_not_put_off(home: Household, authority: Authority) -> None:
    authority.cancel(home.generation, not_before_s=None, now_s=NOW_S)
    order = authority.cancel(home.generation, not_before_s=NOW_S + DAY_S, now_s=NOW_S + 60)
    assert order.not_before_s is None


def test_an_order_for_later_is_refused_by_the_device_until_then(
    place: Town, home: Household, authority: Authority
) -> None:
    authority.cancel(home.generation, not_before_s=NOW_S + DAY_S, now_s=NOW_S)
    heard = place.hear(home, NOW_S)
    with pytest.raises(ConsentRefused, match="not due"):
        home.order(heard, NOW_S)
    assert home.order(heard, NOW_S + DAY_S).not_before_s == NOW_S + DAY_S


def test_an_order_for_an_unknown_device_or_purpose_is_told(home: Household, authority: Authority) -> None:
    with pytest.raises(ConfigError, match="device"):
        authority.cancel(b"x" * 16, not_before_s=None, now_s=NOW_S)
    with pytest.raises(ConfigError, match="purpose"):
        authority.cancel(home.generation, ["marketing"], not_before_s=None, now_s=NOW_S)


def test_a_device_that_erased_everything_is_ordered_nothing_more(
    place: Town, home: Household, authority: Authority
) -> None:
    place.confirm(home, home.receipt(place.cancel(home)))
    with pytest.raises(Refused, match="erased"):
        authority.cancel(home.generation, not_before_s=None, now_s=NOW_S)


def test_the_eleventh_order_within_an_hour_is_refused_and_says_when(place: Town, authority: Authority) -> None:
    homes = [place.enrol() for _ in range(11)]
    for at, each in enumerate(homes[:10]):
        authority.cancel(each.generation, not_before_s=None, now_s=NOW_S + 60 * at)
    with pytest.raises(TooManyOrders, match="in 3000 s") as caught:
        authority.cancel(homes[10].generation, not_before_s=None, now_s=NOW_S + 600)
    assert caught.value.wait_s == 3000
    assert place.device(homes[10]).account == "active"
    authority.cancel(homes[10].generation, not_before_s=None, now_s=NOW_S + 3600)


def test_the_limit_holds_over_a_restart_and_is_the_operators(place: Town, home: Household) -> None:
    other = place.enrol()
    limit = OrderLimit(orders=1)
    with open_authority(place.folder, limit=limit) as authority:
        authority.cancel(home.generation, not_before_s=None, now_s=NOW_S)
    with open_authority(place.folder, limit=limit) as authority, pytest.raises(TooManyOrders):
        authority.cancel(other.generation, not_before_s=None, now_s=NOW_S)


def test_a_crash_between_order_and_publishing_is_made_good_at_the_next_upkeep(
    place: Town, home: Household, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as cut:
        cut.setattr(authority, "publish", lambda now_s: None)
        authority.cancel(home.generation, not_before_s=None, now_s=NOW_S)
    place.upkeep(NOW_S + 60)
    assert home.order(place.hear(home, NOW_S + 60), NOW_S + 60).purposes == ()


def test_an_unconfirmed_order_waits_under_the_tag_of_every_day(place: Town, home: Household) -> None:
    order = place.cancel(home)
    for days in (1, 30, 200, 400):
        at_s = NOW_S + days * DAY_S
        place.upkeep(at_s)
        home.statement = None  # a copy of the device that remembers nothing
        assert home.order(place.hear(home, at_s), at_s) == order


def test_the_tags_of_a_confirmed_wipe_stay_for_a_lost_acknowledgement_and_then_end(
    place: Town, home: Household
) -> None:
    other = place.enrol()
    receipt = home.control(home.receipt(place.cancel(home)))
    place.send(home, receipt)
    last_s = NOW_S + ACKNOWLEDGE_S - DAY_S
    place.upkeep(last_s)
    assert place.upload(home, "/v1/control", receipt, last_s) == 200
    gone_s = NOW_S + ACKNOWLEDGE_S + DAY_S
    place.upkeep(gone_s)
    assert (place.waiting(home, gone_s), place.upload(home, "/v1/control", receipt, gone_s)) == (None, 401)
    assert place.waiting(other, gone_s) is not None


def test_a_copy_of_an_erased_device_that_enrols_again_with_its_old_code_is_refused(place: Town) -> None:
    home = Household(place.founded.root, place.founded.recipients)
    with open_authority(place.folder) as authority:
        code = authority.issue_code(NOW_S)
        home.hear(authority.enrol(home.enrol_body(code), NOW_S), NOW_S)
    place.confirm(home, home.receipt(place.cancel(home)))
    with open_authority(place.folder) as authority, pytest.raises(Refused, match="erased"):
        authority.enrol(home.enrol_body(code), NOW_S + 60)


def test_a_downlink_with_an_order_has_the_size_of_one_without(place: Town, home: Household) -> None:
    other = place.enrol()
    place.cancel(home)
    assert len(place.waiting(home, NOW_S) or b"") == len(place.waiting(other, NOW_S) or b"")


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.WIPE])
def test_the_stolen_key_of_another_role_orders_no_wipe(place: Town, home: Household, role: Role) -> None:
    (kid,) = place.founded.root.roles[role].by_kid
    stolen = read_role(place.places.folder_of(role), role, kid)
    assert stolen is not None
    device = place.device(home)
    audience = audience_of(device.signing_key)
    bundle = sign_wipe(WipeOrder(audience, home.generation, b"n" * 16, NOW_S), [stolen])
    with pytest.raises(ConsentRefused, match="check 3"):
        accept_wipe(
            bundle, root=home.root, audience=audience, generation=home.generation, executed=(), now_s=NOW_S
        )  # fmt: skip


def test_an_order_is_for_one_device_and_one_generation(place: Town, home: Household) -> None:
    other = place.enrol()
    place.cancel(home)
    heard = place.hear(home, NOW_S)
    with pytest.raises(ConsentRefused, match="check 4"):
        other.order(heard, NOW_S)
    home.generation = secrets.token_bytes(16)
    with pytest.raises(ConsentRefused, match="check 5"):
        home.order(heard, NOW_S)


def test_an_order_under_a_strangers_key_is_tampered(place: Town, home: Household) -> None:
    audience = audience_of(place.device(home).signing_key)
    stranger = keys.RoleSeed(secrets.token_bytes(32))
    bundle = sign_wipe(WipeOrder(audience, home.generation, b"n" * 16, NOW_S), [stranger])
    with pytest.raises(Tampered):
        accept_wipe(
            bundle, root=home.root, audience=audience, generation=home.generation, executed=(), now_s=NOW_S
        )  # fmt: skip
