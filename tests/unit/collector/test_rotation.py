"""
The next root: who signs it, who follows, what it resets, and that nobody loses the step.
"""

from __future__ import annotations

import contextlib
import secrets
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from edge_sdk import files
from edge_sdk.collector import grant, open_authority, open_reception
from edge_sdk.collector.casebook import Casebook
from edge_sdk.collector.intake import Limits, Request
from edge_sdk.collector.keyring import read_role, role_path
from edge_sdk.collector.offices import authority_keys
from edge_sdk.collector.orders import UNSIGNED, sign_again
from edge_sdk.collector.registry import Registry
from edge_sdk.collector.rotation import Rotation, rotate_root
from edge_sdk.core import keys, messages
from edge_sdk.core.claims import Role, Status
from edge_sdk.core.documents import (
    MAX_VERSION,
    Root,
    accept_recipients,
    accept_root,
    accept_statement,
    audience_of,
    pinned_root,
    sign_root,
    sign_statement,
)
from edge_sdk.errors import ConfigError, ConsentRefused, Refused, StorageError, Tampered
from tests.collector.household import NOW_S, Household
from tests.collector.town import Town, statuses

LATER_S = NOW_S + 3600


def rotate(place: Town, *roles: Role, now_s: int = LATER_S, **more: Any) -> Root:
    return rotate_root(place.folder, Rotation(roles, **more), now_s=now_s, draw=secrets.token_bytes)


def stolen(place: Town, role: Role, root: Root | None = None) -> keys.RoleSeed:
    kid = next(iter((root or place.founded.root).roles[role].by_kid))
    seed = read_role(place.places.folder_of(role), role, kid)
    assert seed is not None
    return seed


def test_a_device_takes_root_after_root_and_hears_after_each(place: Town, home: Household) -> None:
    for version, role in enumerate((Role.STATEMENT, Role.ROOT, Role.WIPE, Role.RECIPIENTS), 2):
        rotate(place, role, now_s=NOW_S + version)
        bundle = place.root(version)
        assert bundle is not None
        home.step(bundle)
        place.hear(home, NOW_S + version)
    assert (home.root.version, statuses(home)["monitoring"]) == (5, "given")


def test_a_device_that_missed_several_roots_catches_up_one_at_a_time(place: Town, home: Household) -> None:
    for version in (2, 3, 4):
        rotate(place, Role.ROOT, Role.STATEMENT, now_s=NOW_S + version)
    last = place.root(4)
    assert last is not None
    with pytest.raises((ConsentRefused, Tampered)):
        accept_root(home.root, last)
    for version in (2, 3, 4):
        bundle = place.root(version)
        assert bundle is not None
        home.step(bundle)
    assert place.hear(home, NOW_S + 4).wipe is None


@pytest.mark.parametrize("role", [Role.STATEMENT, Role.RECIPIENTS, Role.WIPE])
def test_a_device_that_has_not_taken_the_step_goes_on(place: Town, home: Household, role: Role) -> None:
    rotate(place, role)
    grant(place.folder, home.generation, "improvement", status=Status.WITHDRAWN, now_s=LATER_S + 1)
    with open_authority(place.folder) as authority:
        authority.cancel(home.generation, ["monitoring"], not_before_s=None, now_s=LATER_S + 2)
    heard = place.hear(home, LATER_S + 2)
    assert home.order(heard, LATER_S + 2).purposes == ("monitoring",)
    assert statuses(home)["improvement"] == "withdrawn"


def test_a_device_under_an_old_root_enrols(place: Town) -> None:
    rotate(place, Role.STATEMENT, enrolment=True)
    home = place.enrol(LATER_S)
    assert (home.root.version, statuses(home)["monitoring"]) == (1, "given")


def test_the_recipients_document_is_signed_for_both_roots(place: Town) -> None:
    successor = rotate(place, Role.RECIPIENTS)
    with open_reception(place.folder, limits=Limits()) as reception:
        bundle = reception.answer(Request("GET", "/v1/recipients", None, b""), LATER_S).body
    for root in (place.founded.root, successor):
        assert accept_recipients(bundle, root=root, newest=None, now_s=LATER_S).keys == place.founded.recipients


def test_a_running_intake_signs_with_the_new_keys_at_once(place: Town, home: Household) -> None:
    with open_reception(place.folder, limits=Limits()) as reception:
        successor = rotate(place, Role.TIME, Role.RECEIPT)
        nonce = secrets.token_bytes(16)
        request = messages.encode_time_request(nonce)
        answer = reception.answer(Request("POST", "/v1/time", None, request), LATER_S)
    assert messages.accept_time(answer.body, root=successor, nonce=nonce) == LATER_S
    with pytest.raises(Tampered):
        messages.accept_time(answer.body, root=home.root, nonce=nonce)


def test_a_running_authority_issues_under_the_new_root_at_once(place: Town, home: Household) -> None:
    with open_authority(place.folder) as authority:
        rotate(place, Role.STATEMENT)
        authority.set_grant(home.generation, "improvement", Status.WITHDRAWN, LATER_S + 1)
    bundle = place.root(2)
    assert bundle is not None
    home.step(bundle)
    place.hear(home, LATER_S + 1)
    assert statuses(home)["improvement"] == "withdrawn"


def test_an_open_order_is_signed_anew_with_the_same_nonce(place: Town, home: Household) -> None:
    order = place.cancel(home)
    for version in (2, 3):  # after two rotations no signature of the first root is left
        rotate(place, Role.WIPE, now_s=NOW_S + version)
        bundle = place.root(version)
        assert bundle is not None
        home.step(bundle)
    assert home.order(place.hear(home, LATER_S), LATER_S) == order


def test_a_poisoned_version_counter_is_reset_by_rotating_the_role(place: Town, home: Household) -> None:
    assert home.statement is not None
    poisoned = replace(home.statement, version=MAX_VERSION, account="suspended")
    bundle = sign_statement(poisoned, [stolen(place, Role.STATEMENT)])
    audience = audience_of(place.device(home).signing_key)
    home.statement = accept_statement(
        bundle, root=home.root, audience=audience, generation=home.generation,
        newest=(home.statement.version, home.statement.sha256), now_s=NOW_S,
    )  # fmt: skip
    rotate(place, Role.STATEMENT)
    with pytest.raises(ConsentRefused, match="check 6"):
        place.hear(home, LATER_S)
    successor = place.root(2)
    assert successor is not None
    home.step(successor)
    place.hear(home, LATER_S)
    assert home.statement is not None
    assert (home.statement.account, home.statement.version < MAX_VERSION) == ("active", True)


def test_the_stolen_key_is_worth_nothing_to_a_device_that_took_the_step(place: Town, home: Household) -> None:
    thief = stolen(place, Role.STATEMENT)
    rotate(place, Role.STATEMENT)
    bundle = place.root(2)
    assert bundle is not None
    home.step(bundle)
    place.hear(home, LATER_S)
    assert home.statement is not None
    forged = sign_statement(replace(home.statement, version=99), [thief])
    with pytest.raises(Tampered):
        accept_statement(
            forged, root=home.root, audience=audience_of(place.device(home).signing_key),
            generation=home.generation, newest=None, now_s=LATER_S,
        )  # fmt: skip


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ROOT])
def test_no_key_but_the_roots_makes_the_next_root(place: Town, home: Household, role: Role) -> None:
    current = place.founded.root
    forged = sign_root(replace(current, version=2), [stolen(place, role)])
    with pytest.raises(ConsentRefused, match="check 3"):
        accept_root(home.root, forged)


def test_a_threshold_of_two_is_met_by_two_keys_and_not_by_one(place: Town, home: Household) -> None:
    successor = rotate(place, Role.WIPE, keys=3, threshold=2)
    bundle = place.root(2)
    assert bundle is not None
    home.step(bundle)
    assert place.cancel(home, now_s=LATER_S).purposes == ()
    others = list(successor.roles[Role.WIPE].by_kid)[1:]
    for kid in others:
        role_path(place.places.authority, Role.WIPE, kid).unlink()
    neighbour = place.enrol(LATER_S)
    with open_authority(place.folder) as authority, pytest.raises(Refused, match="1 of the 2"):
        authority.cancel(neighbour.generation, not_before_s=None, now_s=LATER_S)
    assert place.device(neighbour).account == "active"


def test_one_key_of_two_signs_no_next_root(place: Town) -> None:
    successor = rotate(place, Role.ROOT, keys=2, threshold=2)
    rotate(place, now_s=LATER_S + 1)
    role_path(place.places.authority, Role.ROOT, next(iter(successor.roles[Role.ROOT].by_kid))).unlink()
    with pytest.raises(Refused, match="1 of the 2"):
        rotate(place, now_s=LATER_S + 2)


@pytest.mark.parametrize(("count", "threshold"), [(1, 2), (9, 1), (0, 3)])
def test_a_role_that_cannot_be_is_refused_and_nothing_changes(place: Town, count: int, threshold: int) -> None:
    before = place.places.read_root()
    with pytest.raises(ConfigError):
        rotate(place, Role.WIPE, keys=count, threshold=threshold)
    assert place.places.read_root() == before


def test_receipt_and_time_always_have_one_key(place: Town) -> None:
    successor = rotate(place, Role.RECEIPT, Role.TIME, keys=3, threshold=2)
    for role in (Role.RECEIPT, Role.TIME):
        assert (len(successor.roles[role].keys), successor.roles[role].threshold) == (1, 1)


def test_a_rotation_without_roles_is_the_next_version_with_the_same_keys(place: Town) -> None:
    successor = rotate(place)
    assert (successor.version, successor.roles) == (2, place.founded.root.roles)


def test_orders_that_cannot_be_signed_anew_raise_an_alarm(place: Town, home: Household) -> None:
    place.cancel(home)
    rotate(place, Role.WIPE, keys=2, threshold=1)
    successor = rotate(place, now_s=LATER_S + 1)
    assert (home.generation, UNSIGNED, 1) not in place.alarms()
    for kid in successor.roles[Role.WIPE].by_kid:
        role_path(place.places.authority, Role.WIPE, kid).unlink()
    with closing(Registry(place.places.registry)) as registry:
        held = authority_keys(place.places, place.places.read_root())
        sign_again(Casebook(registry.database), held, registry, LATER_S)
    assert (home.generation, UNSIGNED, 1) in place.alarms()


def test_seeds_of_two_roots_ago_are_gone_but_for_enrolment(place: Town) -> None:
    first = place.founded.root
    for at in (1, 2):
        rotate(place, Role.STATEMENT, enrolment=True, now_s=LATER_S + at)
    (kid,) = first.roles[Role.STATEMENT].by_kid
    assert read_role(place.places.authority, Role.STATEMENT, kid) is None
    assert len(list(place.places.authority.glob("enrolment-*.seed"))) == 3


@pytest.mark.parametrize("cut_at", range(1, 9))
def test_a_rotation_cut_short_leaves_the_old_root_or_the_new_one_and_a_hearing_device(
    place: Town, home: Household, monkeypatch: pytest.MonkeyPatch, cut_at: int
) -> None:
    count = 0
    whole = files.write

    def cut(*args: Any) -> None:
        nonlocal count
        count += 1
        if count == cut_at:
            raise StorageError("cut")
        whole(*args)

    with monkeypatch.context() as power:
        power.setattr(files, "write", cut)
        with contextlib.suppress(StorageError):
            rotate(place, Role.STATEMENT, Role.WIPE, Role.ROOT, enrolment=True)
    place.upkeep(LATER_S + 60)
    if (bundle := place.root(2)) is not None:
        home.step(bundle)
    place.hear(home, LATER_S + 60)
    assert statuses(home)["monitoring"] == "given"
    assert home.root == pinned_root(place.places.read_root())
