"""
Founding a collector: what is made, who may read it, what is refused before anything is.
"""

from __future__ import annotations

import dataclasses
import secrets
import stat
from pathlib import Path

import pytest

from edge_sdk.collector import Founding, init_collector, open_authority, open_rows
from edge_sdk.collector.keyring import Places, read_enrolment, read_recipients, read_role, role_path
from edge_sdk.collector.offices import authority_keys, intake_signers
from edge_sdk.core.claims import ALG_HPKE_X_WING, Role
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.documents import pinned_root
from edge_sdk.errors import ConfigError, StorageError
from tests.collector.household import NOW_S, found, founding, policy


def refused(folder: Path, plan: Founding) -> str:
    with pytest.raises(ConfigError) as caught:
        init_collector(folder, plan, now_s=NOW_S, draw=secrets.token_bytes)
    assert not folder.exists()
    return str(caught.value)


def test_the_root_is_what_devices_pin_and_says_it_is_a_test(tmp_path: Path) -> None:
    founded = found(tmp_path / "c")
    assert pinned_root(founded.root_path.read_bytes()) == founded.root
    assert (founded.root.test, founded.root.version) == (True, 1)


def test_every_role_has_a_key_of_its_own_and_its_seed_lies_with_who_uses_it(tmp_path: Path) -> None:
    founded = found(tmp_path / "c")
    places = Places(tmp_path / "c")
    for role in Role:
        folder = places.intake if role in (Role.RECEIPT, Role.TIME) else places.authority
        (kid,) = founded.root.roles[role].by_kid
        seed = read_role(folder, role, kid)
        assert seed is not None
        assert founded.root.roles[role].keys == (public_key_of(seed.reveal()),)


def test_only_the_root_may_be_read_by_others(tmp_path: Path) -> None:
    root = found(tmp_path / "c").root_path
    for path in (tmp_path / "c").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o644 if path == root else 0o600), path.name


def test_each_recipient_of_the_policy_has_a_certified_key_and_the_opener_its_seed(tmp_path: Path) -> None:
    founded = found(tmp_path / "c")
    assert [key.operator for key in founded.recipients] == ["operator-eu", "research-eu"]
    assert set(read_recipients(Places(tmp_path / "c").opener)) == {key.kid for key in founded.recipients}


def test_post_quantum_keys_work_the_same(tmp_path: Path) -> None:
    founded = found(tmp_path / "c", alg=ALG_HPKE_X_WING)
    assert {len(key.key) for key in founded.recipients} == {1216}
    assert founded.root.enrolment.alg == ALG_HPKE_X_WING
    assert read_enrolment(Places(tmp_path / "c").authority, founded.root.enrolment) is not None


def test_a_collector_is_not_founded_over_another(tmp_path: Path) -> None:
    root = found(tmp_path / "c").root
    with pytest.raises(ConfigError, match="already holds a collector"):
        found(tmp_path / "c")
    assert pinned_root(Places(tmp_path / "c").read_root()) == root


def test_a_founding_that_was_cut_short_starts_over(tmp_path: Path) -> None:
    draws = 0

    def broken(size: int) -> bytes:
        nonlocal draws
        draws += 1
        if draws > 8:
            raise OSError
        return secrets.token_bytes(size)

    with pytest.raises(OSError):
        init_collector(tmp_path / "c", founding(), now_s=NOW_S, draw=broken)
    with pytest.raises(ConfigError, match="there is no collector"):
        list(open_rows(tmp_path / "c"))
    found(tmp_path / "c")
    assert list(open_rows(tmp_path / "c")) == []


def test_a_region_that_a_purpose_does_not_list_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / "c", dataclasses.replace(founding(), region="US"))
    assert "monitoring" in message


def test_consent_is_granted_for_known_purposes_that_rest_on_it_only(tmp_path: Path) -> None:
    for name in ("marketing", "monitoring"):
        refused(tmp_path / "c", founding(granted=[name]))


def test_two_purposes_of_one_name_or_none_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "c", dataclasses.replace(founding(), policies=[]))
    refused(tmp_path / "c", dataclasses.replace(founding(), policies=[policy(), policy()]))


def test_a_folder_that_holds_no_collector_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no collector"), open_authority(tmp_path):
        pass


@pytest.mark.parametrize("role", [Role.RECEIPT, Role.TIME])
@pytest.mark.parametrize("content", [b"short", bytes(32), b"another key's seed, 32 bytes long"[:32]])
def test_a_damaged_seed_is_told_by_its_file(tmp_path: Path, role: Role, content: bytes) -> None:
    founded = found(tmp_path / "c")
    places = Places(tmp_path / "c")
    (kid,) = founded.root.roles[role].by_kid
    path = role_path(places.intake, role, kid)
    path.write_bytes(content)
    with pytest.raises(StorageError, match=path.name):
        intake_signers(places, places.read_root())


def test_an_intake_without_its_seed_is_told(tmp_path: Path) -> None:
    found(tmp_path / "c")
    places = Places(tmp_path / "c")
    for path in places.intake.glob("receipt-*.seed"):
        path.unlink()
    with pytest.raises(StorageError, match="receipt role"):
        intake_signers(places, places.read_root())


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x80", b"\x81\x81\x00", b"\x00"])
def test_damaged_recipient_seeds_are_told(tmp_path: Path, content: bytes) -> None:
    found(tmp_path / "c")
    path = Places(tmp_path / "c").opener / "recipients.seeds"
    path.write_bytes(content)
    if content == b"\x80":
        assert read_recipients(path.parent) == {}  # an opener that holds no key yet
    else:
        with pytest.raises(StorageError, match=r"recipients\.seeds"):
            read_recipients(path.parent)


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x82\x00\x40", b"\x82\x18\x32\x58\x20" + bytes(32)])
def test_a_damaged_enrolment_seed_is_told(tmp_path: Path, content: bytes) -> None:
    found(tmp_path / "c")
    places = Places(tmp_path / "c")
    (path,) = places.authority.glob("enrolment-*.seed")
    path.write_bytes(content)
    with pytest.raises(StorageError, match=path.name):
        authority_keys(places, places.read_root())
