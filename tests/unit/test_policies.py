"""
Policies are read from their text once; what is kept of them is believed only where this device made it, of that text.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.core import cbor
from edge_sdk.core.keys import NONCE_BYTES, PolicyKey, StateKey, policy_cache_key, wrap
from edge_sdk.core.policy_cbor import encode_policy
from edge_sdk.errors import ConfigError
from edge_sdk.gateway import Gateway
from edge_sdk.policies import MAX_KEPT, Policies
from edge_sdk.policy_file import PROFILES, profile_text
from edge_sdk.release import __version__
from tests import site as sites
from tests.site import LocalSite
from tests.unit.policy_texts import TEXT, WHERE, edited, policy

KEY = StateKey(b"s" * 32)
WIDER = edited("truncate_ip = 16", "truncate_ip = 24")
WRONG = edited("truncate_ip = 16", "truncate_ip = 240")
AAD = f"edge-sdk/policies/1 {__version__}".encode()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return the function that takes what was logged so far, with everything turned on."""
    caplog.set_level(logging.DEBUG, "edge_sdk")

    def take() -> list[str]:
        said = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return said

    return take


def start(folder: Path, *texts: str, key: StateKey = KEY) -> None:
    """Read *texts* as a start does."""
    policies = Policies(folder, key)
    for text in texts:
        assert policies.read(text, where=WHERE) == policy(text)
    policies.keep(os.urandom)


def put(folder: Path, claims: dict[str, str], *, key: PolicyKey | None = None, aad: bytes = AAD) -> None:
    """Write a file that says of each text what another one says."""
    entries = [
        [hashlib.sha256(text.encode()).digest(), encode_policy(policy(other))] for text, other in claims.items()
    ]
    sealed = wrap(key or policy_cache_key(KEY), os.urandom(NONCE_BYTES), cbor.encode(entries), aad)
    (folder / "policy.bin").write_bytes(sealed)


def test_a_text_is_read_once(tmp_path: Path, told: Callable[[], list[str]]) -> None:
    start(tmp_path, TEXT)
    assert told() == [f"policy_read characters={len(TEXT)}"]
    inode = (tmp_path / "policy.bin").stat().st_ino
    start(tmp_path, TEXT)
    assert told() == []
    assert (tmp_path / "policy.bin").stat().st_ino == inode


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_kept_of_a_profile_is_what_its_text_says(tmp_path: Path, profile: str) -> None:
    start(tmp_path, profile_text(profile))
    start(tmp_path, profile_text(profile))


def test_what_is_believed_is_what_this_device_wrote(tmp_path: Path) -> None:
    # The other tests would pass without believing anything: here is the one lie that is believed.
    put(tmp_path, {TEXT: WIDER})
    assert Policies(tmp_path, KEY).read(TEXT, where=WHERE) == policy(WIDER)


def test_one_character_more_is_another_text(tmp_path: Path, told: Callable[[], list[str]]) -> None:
    start(tmp_path, TEXT)
    told()
    start(tmp_path, TEXT + "\n")
    assert told() == [f"policy_read characters={len(TEXT) + 1}"]


def test_a_wrong_text_is_refused_whatever_is_kept(tmp_path: Path) -> None:
    start(tmp_path, TEXT)
    for _ in range(2):
        policies = Policies(tmp_path, KEY)
        with pytest.raises(ConfigError, match="truncate_ip"):
            policies.read(WRONG, where=WHERE)
        policies.keep(os.urandom)


def test_what_another_generation_kept_is_passed_over(tmp_path: Path, told: Callable[[], list[str]]) -> None:
    put(tmp_path, {TEXT: WIDER}, key=policy_cache_key(StateKey(b"t" * 32)))
    start(tmp_path, TEXT)
    assert told() == ["policy_passed_over", f"policy_read characters={len(TEXT)}"]
    start(tmp_path, TEXT)
    assert told() == []


def test_what_another_release_kept_is_passed_over(tmp_path: Path, told: Callable[[], list[str]]) -> None:
    put(tmp_path, {TEXT: WIDER}, aad=b"edge-sdk/policies/1 0.0.9")
    start(tmp_path, TEXT)
    assert told() == ["policy_passed_over", f"policy_read characters={len(TEXT)}"]


def test_the_state_key_itself_opens_and_makes_none(tmp_path: Path, told: Callable[[], list[str]]) -> None:
    put(tmp_path, {TEXT: WIDER}, key=PolicyKey(KEY.reveal()))
    start(tmp_path, TEXT)
    assert told()[0] == "policy_passed_over"


@pytest.mark.parametrize("damage", ["short", "empty", "long", "first", "middle", "last", "huge"])
def test_a_torn_or_damaged_file_is_passed_over_and_made_anew(
    tmp_path: Path, told: Callable[[], list[str]], damage: str
) -> None:
    start(tmp_path, TEXT)
    path = tmp_path / "policy.bin"
    held = bytearray(path.read_bytes())
    flipped = {"first": 0, "middle": len(held) // 2, "last": len(held) - 1}.get(damage)
    if flipped is not None:
        held[flipped] ^= 1
    cut = {"short": held[:-1], "empty": b"", "long": held + b"\x00", "huge": bytes(5 << 20)}
    path.write_bytes(cut.get(damage, held))
    told()
    start(tmp_path, TEXT)
    assert told() == ["policy_passed_over", f"policy_read characters={len(TEXT)}"]
    start(tmp_path, TEXT)
    assert told() == []


def test_bytes_that_are_no_policy_are_passed_over_also_under_the_right_key(
    tmp_path: Path, told: Callable[[], list[str]]
) -> None:
    entry = [hashlib.sha256(TEXT.encode()).digest(), b"\x00"]
    for content in (cbor.encode([entry]), cbor.encode([[1, 2]]), b"\xff"):
        sealed = wrap(policy_cache_key(KEY), os.urandom(NONCE_BYTES), content, AAD)
        (tmp_path / "policy.bin").write_bytes(sealed)
        start(tmp_path, TEXT)
        assert told() == ["policy_passed_over", f"policy_read characters={len(TEXT)}"]


def test_an_older_file_that_is_put_back_serves_no_newer_text(tmp_path: Path, told: Callable[[], list[str]]) -> None:
    start(tmp_path, WIDER)
    older = (tmp_path / "policy.bin").read_bytes()
    start(tmp_path, TEXT)
    (tmp_path / "policy.bin").write_bytes(older)
    told()
    start(tmp_path, TEXT)
    assert told() == [f"policy_read characters={len(TEXT)}"]


def test_only_what_the_last_start_asked_for_is_kept(tmp_path: Path, told: Callable[[], list[str]]) -> None:
    start(tmp_path, TEXT, WIDER)
    start(tmp_path, WIDER)
    told()
    start(tmp_path, TEXT)
    assert told() == [f"policy_read characters={len(TEXT)}"]


def test_what_is_kept_is_bounded_and_then_not_written_again_and_again(tmp_path: Path) -> None:
    texts = [TEXT + "\n" * number for number in range(MAX_KEPT + 2)]
    start(tmp_path, *texts)
    size, inode = (tmp_path / "policy.bin").stat().st_size, (tmp_path / "policy.bin").stat().st_ino
    assert size < MAX_KEPT * (len(encode_policy(policy())) + 64)
    start(tmp_path, *texts)
    assert (tmp_path / "policy.bin").stat().st_ino == inode


def test_a_full_disk_costs_the_next_start_a_reading_and_nothing_else(
    tmp_path: Path, told: Callable[[], list[str]]
) -> None:
    (tmp_path / "policy.bin.new").symlink_to("/dev/full")
    for _ in range(2):
        start(tmp_path, TEXT)
        assert told() == [f"policy_read characters={len(TEXT)}", "storage_error"]


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    made = sites.local_site(tmp_path)
    Gateway.open(made.toml).close()
    return made


def test_a_site_that_was_started_before_reads_no_text(site: LocalSite, told: Callable[[], list[str]]) -> None:
    Gateway.open(site.toml).close()
    assert not [said for said in told() if said.startswith("policy")]


def test_a_site_whose_policy_was_edited_has_the_new_one_in_force(
    site: LocalSite, told: Callable[[], list[str]]
) -> None:
    site.edit(("importance = 10", "importance = 12"), file="policy.toml")
    for reads in (1, 0):
        with sites.opened(site) as parts:
            assert parts.line.binding.policy.purposes["monitoring"].importance == 12
        assert sum(said.startswith("policy_read") for said in told()) == reads


def test_a_site_whose_policy_is_edited_wrongly_stays_with_the_one_in_force(
    site: LocalSite, told: Callable[[], list[str]]
) -> None:
    site.edit(("importance = 10", "importance = 1000"), file="policy.toml")
    for _ in range(2):
        with sites.opened(site) as parts:
            assert parts.line.binding.policy.purposes["monitoring"].importance == 10
        assert "policy_kept" in told()


def test_a_site_is_judged_by_its_text_where_the_file_beside_it_was_put_there(
    site: LocalSite, told: Callable[[], list[str]]
) -> None:
    for forged in (b"", os.urandom(400), (site.state / "state.bin").read_bytes()):
        (site.state / "policy.bin").write_bytes(forged)
        with sites.opened(site) as parts:
            assert parts.line.binding.policy.purposes["monitoring"].importance == 10
        assert "policy_passed_over" in told()
