"""
The root on its own; what all documents have in common is in test_documents.
"""

from __future__ import annotations

from typing import Any

import pytest

from edge_sdk.core import documents as docs
from edge_sdk.core.claims import ALG_HPKE_X25519, Role
from edge_sdk.errors import ConsentRefused, Malformed, Tampered
from tests.vectors import world

ROOT = world.root()


def accept_root(bundle: bytes) -> docs.Root:
    return docs.accept_root(ROOT, bundle)


def successor_bundle(**changes: Any) -> bytes:
    arguments: dict[str, Any] = {"version": 2, "iat_s": world.NOW_S}
    return docs.sign_root(world.root(**(arguments | changes)), world.seeds(Role.ROOT))


def test_a_pinned_root_is_read_as_it_was_signed() -> None:
    assert docs.pinned_root(docs.sign_root(ROOT, world.seeds(Role.ROOT))) == ROOT


def test_a_pinned_root_must_meet_its_own_threshold() -> None:
    with pytest.raises(ConsentRefused, match=r"root check 3"):
        docs.pinned_root(docs.sign_root(ROOT, world.seeds(Role.ROOT, 1)))


def test_a_pinned_root_with_a_damaged_signature_is_refused() -> None:
    bundle = docs.sign_root(ROOT, world.seeds(Role.ROOT))
    with pytest.raises(Tampered, match=r"root check 1"):
        docs.pinned_root(bundle[:-1] + bytes([bundle[-1] ^ 1]))


def rotated(edition: str = " new") -> docs.Root:
    roles = dict(ROOT.roles) | {Role.ROOT: world.role_keys(Role.ROOT, edition=edition)}
    return world.root(version=2, roles=roles)


def test_new_root_keys_are_taken_when_old_and_new_keys_sign() -> None:
    signers = [*world.seeds(Role.ROOT), *world.seeds(Role.ROOT, edition=" new")]
    assert accept_root(docs.sign_root(rotated(), signers)) == rotated()


def test_new_root_keys_that_did_not_sign_are_refused() -> None:
    with pytest.raises(Tampered, match=r"root check 1"):
        accept_root(docs.sign_root(rotated(), world.seeds(Role.ROOT)))


def test_a_root_signed_by_its_own_new_keys_only_is_refused() -> None:
    with pytest.raises(Tampered, match=r"root check 1"):
        accept_root(docs.sign_root(rotated(), world.seeds(Role.ROOT, edition=" new")))


def test_a_root_short_of_new_signatures_is_refused() -> None:
    signers = [*world.seeds(Role.ROOT), *world.seeds(Role.ROOT, 1, edition=" new")]
    with pytest.raises(ConsentRefused, match=r"root check 3 .role.: 1 of 2"):
        accept_root(docs.sign_root(rotated(), signers))


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"test": False}, "check 4 .audience."),
        ({"version": 1}, "check 6 .version."),
        ({"version": 3}, "check 6 .version."),
        ({"iat_s": ROOT.iat_s - 1}, "check 7 .times."),
    ],
)
def test_a_root_that_does_not_follow_is_refused(changes: dict[str, Any], check: str) -> None:
    with pytest.raises(ConsentRefused, match=f"root {check}"):
        accept_root(successor_bundle(**changes))


def with_role(role: Role, keys: docs.RoleKeys) -> docs.Root:
    return world.root(roles=dict(ROOT.roles) | {role: keys})


@pytest.mark.parametrize(
    "root",
    [
        with_role(Role.TIME, docs.RoleKeys(0, world.role_keys(Role.TIME).keys)),
        with_role(Role.TIME, docs.RoleKeys(2, world.role_keys(Role.TIME).keys)),
        with_role(Role.TIME, docs.RoleKeys(1, ())),
        with_role(Role.TIME, docs.RoleKeys(1, (bytes(31),))),
        with_role(Role.TIME, docs.RoleKeys(1, world.role_keys(Role.WIPE).keys)),
        with_role(Role.WIPE, docs.RoleKeys(1, world.role_keys(Role.WIPE).keys * 2)),
        with_role(Role.RECEIPT, docs.RoleKeys(2, world.role_keys(Role.RECEIPT).keys)),
        world.root(roles={role: keys for role, keys in ROOT.roles.items() if role is not Role.WIPE}),
        world.root(enrolment=docs.HpkePublic(ALG_HPKE_X25519, bytes(1216))),
        world.root(enrolment=docs.HpkePublic(42, bytes(32))),
        world.root(version=docs.MAX_VERSION + 1),
    ],
)
def test_a_root_no_device_would_take_is_not_signed(root: docs.Root) -> None:
    with pytest.raises(Malformed):
        docs.sign_root(root, world.seeds(Role.ROOT))


def test_replacing_a_roles_keys_ends_the_memory_of_its_versions() -> None:
    roles = dict(ROOT.roles) | {Role.STATEMENT: world.role_keys(Role.STATEMENT, edition=" new")}
    new = world.root(version=2, roles=roles)
    assert not docs.keeps_versions(ROOT, new, Role.STATEMENT)
    assert docs.keeps_versions(ROOT, new, Role.RECIPIENTS)


def test_a_document_is_known_by_the_hash_of_its_payload() -> None:
    assert len({ROOT.sha256, world.statement().sha256, world.recipients().sha256}) == 3
