from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
from collections.abc import Callable

import pytest

from edge_sdk.core import keys
from edge_sdk.errors import Malformed, Tampered
from tests.vectors import world

SECRET = bytes(range(32))
ROLES = sorted(keys.SecretBytes.__subclasses__(), key=lambda role: role.__name__)
EPOCH = 20_370


def test_there_is_one_type_per_role() -> None:
    assert [role.__name__ for role in ROLES] == [
        "BatchKey",
        "GenerationHpkeSeed",
        "GenerationSigningSeed",
        "LaneKey",
        "LedgerKey",
        "PolicyKey",
        "PseudonymKey",
        "PurposeKey",
        "RecipientSeed",
        "RoleSeed",
        "RootKey",
        "RoutingSecret",
        "StateKey",
        "StreamSecret",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_a_secret_says_only_its_role(role: type[keys.SecretBytes]) -> None:
    secret = role(SECRET)
    assert f"{secret} {secret!r} {[secret]}" == " ".join(
        [f"<{role.__name__}>", f"<{role.__name__}>", f"[<{role.__name__}>]"]
    )


def test_a_secret_is_revealed_by_one_word() -> None:
    assert keys.RootKey(SECRET).reveal() == SECRET


def test_a_destroyed_secret_is_zeroed_and_does_not_come_back() -> None:
    secret = keys.RootKey(SECRET)
    secret.destroy()
    secret.destroy()
    assert bytes(secret._held) == bytes(32)
    with pytest.raises(RuntimeError, match="RootKey is destroyed"):
        secret.reveal()


def test_secrets_compare_by_content_within_one_role() -> None:
    assert keys.RootKey(SECRET) == keys.RootKey(SECRET)
    assert keys.RootKey(SECRET) != keys.RootKey(SECRET[::-1])


def test_the_same_bytes_in_another_role_are_another_secret() -> None:
    assert keys.RootKey(SECRET) != keys.LaneKey(SECRET)
    assert keys.RootKey(SECRET) != SECRET


def test_a_secret_is_no_dictionary_key() -> None:
    with pytest.raises(TypeError):
        hash(keys.RootKey(SECRET))


@pytest.mark.parametrize("way_out", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_neither_pickled_nor_copied(way_out: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="RootKey"):
        way_out(keys.RootKey(SECRET))


@pytest.mark.parametrize("value", [b"", SECRET[:31], SECRET + b"x", bytes(32)])
def test_a_secret_of_wrong_length_or_all_zero_is_a_mistake(value: bytes) -> None:
    with pytest.raises(ValueError, match="RootKey"):
        keys.RootKey(value)


def test_what_is_wrapped_unwraps_under_the_same_key_and_aad() -> None:
    wrapped = keys.wrap(keys.RootKey(SECRET), b"n" * 12, b"purpose key", b"aad")
    assert keys.unwrap(keys.RootKey(SECRET), wrapped, b"aad") == b"purpose key"


@pytest.mark.parametrize(
    ("key", "aad", "cut"),
    [(SECRET[::-1], b"aad", 0), (SECRET, b"other", 0), (SECRET, b"aad", 1), (SECRET, b"aad", 30)],
)
def test_other_key_aad_or_bytes_do_not_unwrap(key: bytes, aad: bytes, cut: int) -> None:
    wrapped = keys.wrap(keys.RootKey(SECRET), b"n" * 12, b"purpose key", b"aad")
    with pytest.raises(Tampered):
        keys.unwrap(keys.RootKey(key), wrapped[: len(wrapped) - cut], aad)


def test_a_nonce_of_wrong_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        keys.wrap(keys.RootKey(SECRET), b"n" * 11, b"", b"")


def test_the_route_is_derived_as_the_specification_says() -> None:
    prk = hmac.digest(SECRET, b"edge-sdk/route/1" + EPOCH.to_bytes(8, "big"), "sha256")
    route = keys.route(keys.RoutingSecret(SECRET), EPOCH)
    assert route.tag == hmac.digest(prk, b"tag", "sha256")[:16]
    assert route.mac_key == hmac.digest(prk, b"mac", "sha256")
    assert route.phase == int.from_bytes(hmac.digest(prk, b"phase", "sha256")[:8], "big")


def test_routes_of_two_epochs_have_nothing_in_common() -> None:
    one, two = (keys.route(world.ROUTING, epoch) for epoch in (EPOCH, EPOCH + 1))
    assert not {one.tag, one.mac_key, one.phase} & {two.tag, two.mac_key, two.phase}


def test_a_route_shows_its_tag_and_nothing_else() -> None:
    route = keys.route(world.ROUTING, EPOCH)
    assert repr(route) == f"Route(tag={route.tag!r})"


def test_an_epoch_is_a_utc_day() -> None:
    assert (keys.epoch_of(86_399), keys.epoch_of(86_400)) == (0, 1)


def test_a_request_is_accepted_by_the_holder_of_the_same_route() -> None:
    route = keys.route(world.ROUTING, EPOCH)
    header = keys.authorization(route, "POST", "/v1/batches", b"body")
    tag, mac = keys.parse_authorization(header)
    keys.check_mac(route.mac_key, mac, "POST", "/v1/batches", b"body")
    assert tag == route.tag
    expected = hmac.digest(route.mac_key, b"POST/v1/batches" + hashlib.sha256(b"body").digest(), "sha256")
    assert mac == expected


@pytest.mark.parametrize(
    "request_line",
    [("GET", "/v1/batches", b"body"), ("POST", "/v1/control", b"body"), ("POST", "/v1/batches", b"Body")],
)
def test_a_mac_is_good_for_one_method_path_and_body(request_line: tuple[str, str, bytes]) -> None:
    route = keys.route(world.ROUTING, EPOCH)
    _, mac = keys.parse_authorization(keys.authorization(route, "POST", "/v1/batches", b"body"))
    with pytest.raises(Tampered):
        keys.check_mac(route.mac_key, mac, *request_line)


@pytest.mark.parametrize("line", [("post", "/v1"), ("POST", "v1"), ("POST/", "/v1"), ("POST", "/v 1")])
def test_a_request_line_out_of_form_is_neither_signed_nor_checked(line: tuple[str, str]) -> None:
    route = keys.route(world.ROUTING, EPOCH)
    with pytest.raises(ValueError, match="method or path"):
        keys.authorization(route, *line, b"")
    with pytest.raises(Malformed):
        keys.check_mac(route.mac_key, bytes(32), *line, b"")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic " + "a" * 32 + ":" + "b" * 64,
        "Edge " + "A" * 32 + ":" + "b" * 64,
        "Edge " + "a" * 31 + ":" + "b" * 64,
        "Edge " + "a" * 32 + ":" + "b" * 64 + "\n",
        "Edge " + "\u0660" * 32 + ":" + "b" * 64,
    ],
)
def test_an_authorization_of_another_form_is_malformed(header: str) -> None:
    with pytest.raises(Malformed):
        keys.parse_authorization(header)


def test_every_stream_has_its_own_seed() -> None:
    other = b"h" * 16
    seeds = {
        keys.stream_seed(world.STREAM_SECRET, purpose, grant_id, period)
        for purpose in ("a", "ab")
        for grant_id in (world.GRANT_ID, other)
        for period in (0, 1)
    }
    assert len(seeds) == 8
    assert {len(seed) for seed in seeds} == {32}


def test_derived_keys_differ_from_what_they_came_from_and_from_each_other() -> None:
    tag_key = keys.source_tag_key(keys.PurposeKey(SECRET))
    following = keys.next_pseudonym_key(keys.PseudonymKey(SECRET))
    kept = keys.policy_cache_key(keys.StateKey(SECRET))
    assert len({SECRET, tag_key, following.reveal(), kept.reveal()}) == 4


def test_derivations_are_hkdf_with_the_labels_of_the_specification() -> None:
    def hkdf(label: bytes) -> bytes:
        return hmac.digest(hmac.digest(bytes(32), SECRET, "sha256"), label + b"\x01", "sha256")

    # ["edge-sdk/stream/1", "monitoring", 16 bytes, 3]
    stream = b"\x84\x71edge-sdk/stream/1\x6amonitoring\x50" + bytes(16) + b"\x03"
    assert keys.stream_seed(keys.StreamSecret(SECRET), "monitoring", bytes(16), 3) == hkdf(stream)
    assert keys.source_tag_key(keys.PurposeKey(SECRET)) == hkdf(b"edge-sdk/source-tag/1")
    assert keys.policy_cache_key(keys.StateKey(SECRET)).reveal() == hkdf(b"edge-sdk/policy-cache/1")
    ratcheted = keys.next_pseudonym_key(keys.PseudonymKey(SECRET)).reveal()
    assert ratcheted == hkdf(b"edge-sdk/pseudonym-ratchet/1")
