"""
Recipient keys: added ones are used, retired ones let what is under way arrive, withdrawn ones do not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sdk.collector.keyring import read_recipients
from edge_sdk.collector.operating import KeyOffer, add_recipient, recipients, retire_recipient
from edge_sdk.collector.publishing import Publisher
from edge_sdk.core.claims import ALG_HPKE_X25519, Mechanism
from edge_sdk.core.documents import RecipientKey, recipient_for
from edge_sdk.errors import BadInput, ConfigError, ConsentRefused
from tests.collector.household import DAY_S, NOW_S, Household, policy
from tests.collector.town import Town, town

LATER_S = NOW_S + 3600
MONITORING = policy().purposes["monitoring"]


@pytest.fixture
def place(tmp_path: Path) -> Town:
    return town(tmp_path / "c")


def offer(public: bytes | None = None, region: str = "EU") -> KeyOffer:
    return KeyOffer(
        operator="operator-eu", region=region, mechanism=Mechanism.SCC, alg=ALG_HPKE_X25519,
        nbf_s=LATER_S, exp_s=LATER_S + 90 * DAY_S, public=public,
    )  # fmt: skip


def sealed_to(place: Town, home: Household, now_s: int) -> RecipientKey:
    """The key a device would choose now."""
    place.hear(home, now_s)
    assert home.statement is not None
    (grant,) = home.statement.grants
    return recipient_for(
        recipients(place.folder), operator="operator-eu", regions=MONITORING.regions, kids=grant.recipients,
        algs=[ALG_HPKE_X25519], now_s=now_s,
    )  # fmt: skip


def first_kid(place: Town) -> bytes:
    return next(key.kid for key in place.founded.recipients if key.operator == "operator-eu")


def test_an_added_key_is_in_the_next_version_and_in_the_grants_it_fits(place: Town, home: Household) -> None:
    key = add_recipient(place.folder, offer(), now_s=LATER_S)
    assert recipients(place.folder).version == 2
    assert sealed_to(place, home, LATER_S) == key
    assert key.mechanism == "scc"


def test_a_key_made_here_can_be_opened_here_beside_the_old_ones(place: Town) -> None:
    key = add_recipient(place.folder, offer(), now_s=LATER_S)
    assert set(read_recipients(place.places.opener)) == {key.kid, *(old.kid for old in place.founded.recipients)}


def test_an_operators_own_key_leaves_no_seed_here(place: Town) -> None:
    key = add_recipient(place.folder, offer(b"p" * 32), now_s=LATER_S)
    assert key.key == b"p" * 32
    assert key.kid not in read_recipients(place.places.opener)


def test_a_key_in_a_region_that_no_purpose_lists_gets_no_data(place: Town, home: Household) -> None:
    key = add_recipient(place.folder, offer(region="US"), now_s=LATER_S)
    place.hear(home, LATER_S)
    assert home.statement is not None
    assert key.kid not in home.statement.grants[0].recipients


def test_a_key_is_certified_once(place: Town) -> None:
    add_recipient(place.folder, offer(b"p" * 32), now_s=LATER_S)
    with pytest.raises(ConfigError, match="already"):
        add_recipient(place.folder, offer(b"p" * 32), now_s=LATER_S)


def test_a_key_of_another_size_is_refused_and_changes_nothing(place: Town) -> None:
    with pytest.raises(BadInput):
        add_recipient(place.folder, offer(b"short"), now_s=LATER_S)
    assert recipients(place.folder).version == 1


def test_a_retired_key_is_sealed_to_no_more_and_what_waits_may_still_be_sent(place: Town, home: Household) -> None:
    key = add_recipient(place.folder, offer(), now_s=LATER_S)
    retire_recipient(place.folder, first_kid(place), withdraw=False, now_s=LATER_S)
    assert sealed_to(place, home, LATER_S) == key
    assert home.statement is not None
    assert set(home.statement.grants[0].recipients) == {first_kid(place), key.kid}


def test_a_withdrawn_key_leaves_document_and_grants(place: Town, home: Household) -> None:
    key = add_recipient(place.folder, offer(), now_s=LATER_S)
    retire_recipient(place.folder, first_kid(place), withdraw=True, now_s=LATER_S)
    place.hear(home, LATER_S)
    assert home.statement is not None
    assert home.statement.grants[0].recipients == (key.kid,)
    assert first_kid(place) not in {listed.kid for listed in recipients(place.folder).keys}


def test_the_last_key_of_a_purpose_is_not_retired(place: Town) -> None:
    with pytest.raises(ConfigError, match="monitoring"):
        retire_recipient(place.folder, first_kid(place), withdraw=False, now_s=LATER_S)


def test_the_last_key_of_a_purpose_is_withdrawn_when_it_is_in_the_wrong_hands(place: Town, home: Household) -> None:
    retire_recipient(place.folder, first_kid(place), withdraw=True, now_s=LATER_S)
    with pytest.raises(ConsentRefused):
        sealed_to(place, home, LATER_S)


def test_an_unknown_key_is_told(place: Town) -> None:
    with pytest.raises(ConfigError, match="no recipient key"):
        retire_recipient(place.folder, b"x" * 8, withdraw=False, now_s=LATER_S)


def test_grants_that_a_crash_left_without_the_new_key_get_it_at_the_next_upkeep(
    place: Town, home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as cut:
        cut.setattr(Publisher, "publish", lambda *_: None)
        key = add_recipient(place.folder, offer(), now_s=LATER_S)
    place.upkeep(LATER_S)
    assert sealed_to(place, home, LATER_S) == key
