from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge_sdk.core import documents as docs
from edge_sdk.core import labels
from edge_sdk.core.claims import ALG_HPKE_X25519, ALG_HPKE_X_WING, Role
from edge_sdk.core.cose import key_id, sign_document
from edge_sdk.core.documents.root import CLOCK_SKEW_S
from edge_sdk.core.documents.statement import STATEMENT_LIMIT
from edge_sdk.core.documents.wipe import WIPE_LIMIT
from edge_sdk.core.seal import hpke_key_pair
from edge_sdk.errors import BadInput, ConsentRefused, Equivocation, Malformed
from tests.vectors import world

NOW_S = world.NOW_S
ROOT = world.root()


def accept_root(bundle: bytes, current: docs.Root = ROOT) -> docs.Root:
    return docs.accept_root(current, bundle)


def accept_statement(bundle: bytes, **changes: Any) -> docs.Statement:
    arguments: dict[str, Any] = {
        "root": ROOT,
        "audience": world.AUDIENCE,
        "generation": world.GENERATION,
        "newest": None,
        "now_s": NOW_S,
    }
    return docs.accept_statement(bundle, **(arguments | changes))


def accept_recipients(bundle: bytes, **changes: Any) -> docs.Recipients:
    arguments: dict[str, Any] = {"root": ROOT, "newest": None, "now_s": NOW_S}
    return docs.accept_recipients(bundle, **(arguments | changes))


def accept_wipe(bundle: bytes, **changes: Any) -> docs.WipeOrder:
    arguments: dict[str, Any] = {
        "root": ROOT,
        "audience": world.AUDIENCE,
        "generation": world.GENERATION,
        "executed": (),
        "now_s": NOW_S,
    }
    return docs.accept_wipe(bundle, **(arguments | changes))


def statement_bundle(role: Role = Role.STATEMENT, **changes: Any) -> bytes:
    return docs.sign_statement(world.statement(**changes), world.seeds(role))


def recipients_bundle(**changes: Any) -> bytes:
    return docs.sign_recipients(world.recipients(**changes), world.seeds(Role.RECIPIENTS))


def wipe_bundle(**changes: Any) -> bytes:
    return docs.sign_wipe(world.wipe_order(**changes), world.seeds(Role.WIPE))


def successor_bundle(**changes: Any) -> bytes:
    arguments: dict[str, Any] = {"version": 2, "iat_s": NOW_S}
    return docs.sign_root(world.root(**(arguments | changes)), world.seeds(Role.ROOT))


ACCEPTED: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    "root": (successor_bundle(), accept_root),
    "statement": (statement_bundle(), accept_statement),
    "recipients": (recipients_bundle(), accept_recipients),
    "wipe order": (wipe_bundle(), accept_wipe),
}


# --- every document


@pytest.mark.parametrize(("bundle", "accept"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_good_document_is_accepted(bundle: bytes, accept: Callable[[bytes], Any]) -> None:
    assert accept(bundle)


@pytest.mark.parametrize("what", ACCEPTED)
def test_a_document_of_another_type_is_refused_although_its_signers_are_right(what: str) -> None:
    _, accept = ACCEPTED[what]
    role = {"root": Role.ROOT, "statement": Role.STATEMENT, "recipients": Role.RECIPIENTS}.get(what, Role.WIPE)
    bundle = sign_document(b"\xa0", typ=labels.TYP_TIME, seeds=[seed.reveal() for seed in world.seeds(role)])
    with pytest.raises(ConsentRefused, match=f"{what} check 2 .typ."):
        accept(bundle)


@pytest.mark.parametrize("what", ACCEPTED)
def test_a_document_signed_by_another_role_is_refused(what: str) -> None:
    _, accept = ACCEPTED[what]
    typ = {"wipe order": labels.TYP_WIPE}.get(what, f"application/edge-sdk.{what}+cose")
    bundle = sign_document(b"\xa0", typ=typ, seeds=[seed.reveal() for seed in world.seeds(Role.TIME)])
    with pytest.raises(ConsentRefused, match=f"{what} check 3 .role."):
        accept(bundle)


@pytest.mark.parametrize(("bundle", "accept"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_every_flipped_bit_of_a_document_is_refused(bundle: bytes, accept: Callable[[bytes], Any]) -> None:
    for bit in range(len(bundle) * 8):
        flipped = bytearray(bundle)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((BadInput, ConsentRefused)):
            accept(bytes(flipped))


@pytest.mark.parametrize("what", ["root", "wipe order"])
def test_one_signature_does_not_meet_a_threshold_of_two(what: str) -> None:
    _, accept = ACCEPTED[what]
    if what == "root":
        bundle = docs.sign_root(world.root(version=2), world.seeds(Role.ROOT, 1))
    else:
        bundle = docs.sign_wipe(world.wipe_order(), world.seeds(Role.WIPE, 1))
    with pytest.raises(ConsentRefused, match=r"check 3 .role.: 1 of 2"):
        accept(bundle)


def test_a_payload_with_a_field_too_many_is_malformed_however_well_it_is_signed() -> None:
    payload = docs.encode_statement(world.statement())
    payload = bytes([payload[0] + 1]) + b"\x01\x00" + payload[1:]
    bundle = sign_document(
        payload, typ=labels.TYP_STATEMENT, seeds=[seed.reveal() for seed in world.seeds(Role.STATEMENT)]
    )
    with pytest.raises(Malformed, match="unknown keys"):
        accept_statement(bundle)


# --- statement


def test_a_statement_is_read_as_it_was_signed() -> None:
    assert accept_statement(statement_bundle()) == world.statement()


def test_words_a_release_does_not_know_are_kept() -> None:
    strange = (world.grant(status="paused", basis="whim"),)
    accepted = accept_statement(statement_bundle(account="dormant", grants=strange))
    assert (accepted.account, accepted.grants) == ("dormant", strange)


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"audience": bytes(16)}, "check 4 .audience."),
        ({"generation": bytes(16)}, "check 5 .generation."),
        ({"newest": (8, bytes(32))}, "check 6 .version.: older"),
        ({"now_s": NOW_S - CLOCK_SKEW_S - 1}, "check 7 .times.: not valid yet"),
        ({"now_s": NOW_S + docs.STATEMENT_VALID_S}, "check 7 .times.: expired"),
    ],
)
def test_a_statement_for_another_device_version_or_time_is_refused(changes: dict[str, Any], check: str) -> None:
    with pytest.raises(ConsentRefused, match=f"statement {check}"):
        accept_statement(statement_bundle(), **changes)


def test_a_statement_valid_before_it_was_issued_waits_for_its_issue() -> None:
    bundle = statement_bundle(iat_s=NOW_S + CLOCK_SKEW_S + 1)
    with pytest.raises(ConsentRefused, match="check 7"):
        accept_statement(bundle)


@pytest.mark.parametrize(
    "changes",
    [
        {"now_s": NOW_S - CLOCK_SKEW_S},
        {"now_s": NOW_S + docs.STATEMENT_VALID_S - 1},
        {"newest": (6, bytes(32))},
        {"newest": (7, world.statement().sha256)},
    ],
)
def test_the_edges_of_the_checks_are_inside(changes: dict[str, Any]) -> None:
    assert accept_statement(statement_bundle(), **changes)


def test_one_version_with_two_contents_is_an_equivocation() -> None:
    with pytest.raises(Equivocation, match="statement check 6"):
        accept_statement(statement_bundle(account="suspended"), newest=(7, world.statement().sha256))


def test_a_kept_statement_is_read_again_whatever_the_time() -> None:
    read = docs.reread_statement(statement_bundle(), root=ROOT, audience=world.AUDIENCE, generation=world.GENERATION)
    assert read == world.statement()


def test_a_statement_that_gives_one_grant_id_twice_is_not_signed() -> None:
    with pytest.raises(Malformed, match="grant id twice"):
        statement_bundle(grants=(world.grant(), world.grant()))


@pytest.mark.parametrize("length", [38, 64])
def test_24_grants_with_long_names_do_not_fit_a_downlink(length: int) -> None:
    long = [world.grant(id=world.named(str(at), 16), purpose="p" * length) for at in range(24)]
    with pytest.raises(Malformed, match=f"{STATEMENT_LIMIT} bytes"):
        statement_bundle(grants=tuple(long))


def test_24_grants_of_usual_length_fit() -> None:
    usual = [world.grant(id=world.named(str(at), 16), purpose=f"purpose_{at:06}") for at in range(24)]
    assert len(statement_bundle(grants=tuple(usual))) <= STATEMENT_LIMIT


# --- recipients


def test_recipients_are_read_as_they_were_signed() -> None:
    assert accept_recipients(recipients_bundle()) == world.recipients()
    assert docs.reread_recipients(recipients_bundle(), root=ROOT) == world.recipients()


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"newest": (4, bytes(32))}, "check 6 .version.: older"),
        ({"now_s": NOW_S - CLOCK_SKEW_S - 1}, "check 7 .times.: not valid yet"),
        ({"now_s": NOW_S + 90 * world.DAY_S}, "check 7 .times.: expired"),
    ],
)
def test_recipients_of_another_version_or_time_are_refused(changes: dict[str, Any], check: str) -> None:
    with pytest.raises(ConsentRefused, match=f"recipients {check}"):
        accept_recipients(recipients_bundle(), **changes)


def test_recipients_with_one_version_and_two_contents_are_an_equivocation() -> None:
    with pytest.raises(Equivocation, match="recipients check 6"):
        accept_recipients(recipients_bundle(keys=()), newest=(3, world.recipients().sha256))


@pytest.mark.parametrize(
    "keys",
    [
        (world.recipient_key(), world.recipient_key()),
        (world.recipient_key(key=bytes(31)),),
        (world.recipient_key(operator=""),),
        (world.recipient_key(operator="\x1b[31mred"),),
    ],
)
def test_recipients_no_device_would_take_are_not_signed(keys: tuple[docs.RecipientKey, ...]) -> None:
    with pytest.raises(Malformed):
        recipients_bundle(keys=keys)


def choose(keys: tuple[docs.RecipientKey, ...], **changes: Any) -> docs.RecipientKey:
    arguments: dict[str, Any] = {
        "operator": "operator-eu",
        "regions": ("EU",),
        "kids": [key.kid for key in keys],
        "algs": (ALG_HPKE_X25519, ALG_HPKE_X_WING),
        "now_s": NOW_S,
    }
    return docs.recipient_for(world.recipients(keys=keys), **(arguments | changes))


def test_the_newest_fitting_key_is_chosen() -> None:
    old = world.recipient_key()
    new = world.recipient_key(ALG_HPKE_X_WING, nbf_s=NOW_S)
    assert choose((new, old)) == new
    assert new.kid == key_id(hpke_key_pair(world.RECIPIENT_SEED, ALG_HPKE_X_WING)[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"operator": "another"},
        {"regions": ("US",)},
        {"kids": ()},
        {"algs": (ALG_HPKE_X_WING,)},
        {"now_s": NOW_S - world.DAY_S - 1},
        {"now_s": NOW_S + 90 * world.DAY_S},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_key_of_another_operator_region_grant_suite_or_time_is_not_chosen(changes: dict[str, Any]) -> None:
    with pytest.raises(ConsentRefused, match="no certified recipient key"):
        choose((world.recipient_key(),), **changes)


# --- wipe order


@pytest.mark.parametrize("changes", [{}, {"purposes": ("monitoring", "research")}, {"not_before_s": NOW_S}])
def test_a_wipe_order_is_read_as_it_was_signed(changes: dict[str, Any]) -> None:
    assert accept_wipe(wipe_bundle(**changes)) == world.wipe_order(**changes)


@pytest.mark.parametrize(
    ("order", "changes", "check"),
    [
        ({}, {"audience": bytes(16)}, "check 4 .audience."),
        ({}, {"generation": bytes(16)}, "check 5 .generation."),
        ({}, {"executed": {world.wipe_order().nonce}}, "check 6 .version.: carried out before"),
        ({}, {"now_s": NOW_S - CLOCK_SKEW_S - 1}, "check 7 .times.: not valid yet"),
        ({"not_before_s": NOW_S + 1}, {}, "check 7 .times.: not due yet"),
    ],
)
def test_a_wipe_order_for_another_device_or_time_is_refused(
    order: dict[str, Any], changes: dict[str, Any], check: str
) -> None:
    with pytest.raises(ConsentRefused, match=f"wipe order {check}"):
        accept_wipe(wipe_bundle(**order), **changes)


def test_a_wipe_order_does_not_expire() -> None:
    assert accept_wipe(wipe_bundle(), now_s=NOW_S + 3650 * world.DAY_S)


@pytest.mark.parametrize("count", [10, 16])
def test_a_wipe_order_over_more_purposes_than_fit_a_downlink_is_not_signed(count: int) -> None:
    with pytest.raises(Malformed, match=f"{WIPE_LIMIT} bytes"):
        wipe_bundle(purposes=tuple(f"{at:064}" for at in range(count)))


@pytest.mark.parametrize("purposes", [("p",) * 17, ("",)])
def test_a_wipe_order_no_device_would_take_is_not_signed(purposes: tuple[str, ...]) -> None:
    with pytest.raises(Malformed, match="scope"):
        wipe_bundle(purposes=purposes)


def test_recipient_and_statement_keys_keep_their_names() -> None:
    key = world.recipient_key()
    assert replace(key, operator="other").kid == key.kid == key_id(key.key)
    assert docs.HpkePublic(key.alg, key.key).kid == key.kid
