"""
The authority: who is enrolled, what a device is told, and what intake and opener may know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_sdk.collector import Founded, add_policies, devices, enrol_code, grant, open_authority
from edge_sdk.collector.authority import Authority
from edge_sdk.collector.claim import TooManyTries
from edge_sdk.collector.keyring import Places
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core import keys
from edge_sdk.core.claims import ALG_HPKE_X25519, Status
from edge_sdk.core.documents import accept_recipients
from edge_sdk.core.policy import purpose_digest
from edge_sdk.errors import BadInput, ConfigError, Refused
from tests.collector.household import DAY_S, NOW_S, POLICY_TEXT, Household, found, policy


@pytest.fixture
def founded(tmp_path: Path) -> Founded:
    return found(tmp_path / "c")


@pytest.fixture
def folder(founded: Founded) -> Path:
    return founded.root_path.parent


@pytest.fixture
def authority(folder: Path) -> Iterator[Authority]:
    with open_authority(folder) as authority:
        yield authority


def household(founded: Founded, alg: int = ALG_HPKE_X25519) -> Household:
    return Household(founded.root, founded.recipients, hpke_alg=alg)


def enrolled(founded: Founded, authority: Authority, now_s: int = NOW_S) -> Household:
    home = household(founded)
    home.hear(authority.enrol(home.enrol_body(authority.issue_code(now_s)), now_s), now_s)
    return home


def statuses(home: Household) -> dict[str, str]:
    assert home.statement is not None
    return {item.purpose: item.status for item in home.statement.grants}


def waiting(folder: Path, home: Household, now_s: int) -> bytes:
    store = IntakeStore(Places(folder).store)
    row = store.tag_row(home.route(now_s).tag, (keys.epoch_of(now_s),))
    assert row is not None
    downlink = store.downlink(row)
    store.close()
    assert downlink is not None
    return downlink


def test_the_first_downlink_is_of_today_and_grants_what_needs_no_consent(
    founded: Founded, authority: Authority
) -> None:
    home = household(founded)
    heard = home.hear(authority.enrol(home.enrol_body(authority.issue_code(NOW_S)), NOW_S), NOW_S)
    assert heard.epoch == NOW_S // DAY_S
    assert statuses(home) == {"monitoring": "given"}


def test_a_purpose_that_rests_on_consent_is_granted_only_when_the_operator_named_it(tmp_path: Path) -> None:
    founded = found(tmp_path / "c", granted=["improvement"])
    with open_authority(tmp_path / "c") as authority:
        home = enrolled(founded, authority)
    assert statuses(home) == {"monitoring": "given", "improvement": "given"}


def test_a_grant_names_the_digest_and_the_key_of_its_own_recipient(founded: Founded, authority: Authority) -> None:
    home = enrolled(founded, authority)
    assert home.statement is not None
    (item,) = home.statement.grants
    assert item.digests == (purpose_digest(policy().purposes["monitoring"]),)
    assert item.recipients == tuple(key.kid for key in founded.recipients if key.operator == "operator-eu")


def test_repeating_the_request_repeats_the_answer(founded: Founded, authority: Authority) -> None:
    home = household(founded)
    code = authority.issue_code(NOW_S)
    first = authority.enrol(home.enrol_body(code), NOW_S)
    assert authority.enrol(home.enrol_body(code), NOW_S + 60) == first
    assert authority.enrol(home.enrol_body(code), NOW_S + 2 * 3600) == first


def test_a_code_is_good_for_one_device(founded: Founded, authority: Authority) -> None:
    code = authority.issue_code(NOW_S)
    authority.enrol(household(founded).enrol_body(code), NOW_S)
    with pytest.raises(Refused):
        authority.enrol(household(founded).enrol_body(code), NOW_S)


def test_a_known_generation_with_other_keys_is_refused(founded: Founded, authority: Authority) -> None:
    home = enrolled(founded, authority)
    thief = household(founded)
    thief.generation = home.generation
    with pytest.raises(Refused):
        authority.enrol(thief.enrol_body(authority.issue_code(NOW_S)), NOW_S)


def test_a_code_is_good_for_a_day(founded: Founded, authority: Authority) -> None:
    code = authority.issue_code(NOW_S)
    with pytest.raises(Refused):
        authority.enrol(household(founded).enrol_body(code), NOW_S + DAY_S)


def test_after_thirty_wrong_codes_even_the_right_one_waits(founded: Founded, authority: Authority) -> None:
    code = authority.issue_code(NOW_S)
    stranger = household(founded)
    for _ in range(30):
        with pytest.raises(Refused):
            authority.enrol(stranger.enrol_body("0000-0000-0000-0000"), NOW_S)
    with pytest.raises(TooManyTries) as caught:
        authority.enrol(household(founded).enrol_body(code), NOW_S)
    assert caught.value.wait_s == 3600
    authority.enrol(household(founded).enrol_body(code), NOW_S + 3600)


def test_wrong_tries_are_remembered_over_a_restart(founded: Founded, folder: Path) -> None:
    stranger = household(founded)
    for _ in range(30):
        with open_authority(folder) as authority, pytest.raises(Refused):
            authority.enrol(stranger.enrol_body("0000-0000-0000-0000"), NOW_S)
    with open_authority(folder) as authority, pytest.raises(TooManyTries):
        authority.enrol(stranger.enrol_body("0000-0000-0000-0000"), NOW_S)


def test_a_device_that_pins_a_newer_root_is_refused_before_its_code_is_used(
    founded: Founded, authority: Authority
) -> None:
    home, code = household(founded), authority.issue_code(NOW_S)
    with pytest.raises(Refused):
        authority.enrol(home.enrol_body(code, root_version=2), NOW_S)
    authority.enrol(home.enrol_body(code), NOW_S)


@pytest.mark.parametrize(
    "change",
    [lambda body: body[:-1], lambda body: body[:-1] + bytes([body[-1] ^ 1]), lambda _: b""],
    ids=["shorter", "another last byte", "nothing"],
)
def test_a_damaged_request_is_bad_input(
    founded: Founded, authority: Authority, change: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(BadInput):
        authority.enrol(change(household(founded).enrol_body("0000-0000-0000-0000")), NOW_S)


def test_a_request_to_another_authority_is_bad_input(founded: Founded, authority: Authority, tmp_path: Path) -> None:
    other = found(tmp_path / "other")
    with pytest.raises(BadInput):
        authority.enrol(household(other).enrol_body(authority.issue_code(NOW_S)), NOW_S)


def test_no_claim_code_is_stored(founded: Founded, folder: Path) -> None:
    code = enrol_code(folder, now_s=NOW_S)
    stored = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert code.encode() not in stored
    assert code.replace("-", "").encode() not in stored


def test_given_consent_reaches_the_device_with_its_next_downlink(
    founded: Founded, authority: Authority, folder: Path
) -> None:
    home = enrolled(founded, authority)
    grant(folder, home.generation, "improvement", status=Status.GIVEN, now_s=NOW_S + 60)
    home.hear(waiting(folder, home, NOW_S + 60), NOW_S + 60)
    assert statuses(home)["improvement"] == "given"


def test_a_withdrawal_keeps_the_grant_id_and_consent_given_again_has_a_new_one(
    founded: Founded, authority: Authority, folder: Path
) -> None:
    home = enrolled(founded, authority)
    seen = []
    for at, status in enumerate((Status.GIVEN, Status.WITHDRAWN, Status.GIVEN), 1):
        authority.set_grant(home.generation, "improvement", status, NOW_S + at)
        home.hear(waiting(folder, home, NOW_S), NOW_S + at)
        assert home.statement is not None
        seen += [item for item in home.statement.grants if item.purpose == "improvement"][-1:]
    assert [item.status for item in seen] == ["given", "withdrawn", "given"]
    assert seen[0].id == seen[1].id != seen[2].id


def test_lifting_a_restriction_keeps_the_grant_so_that_what_was_held_can_be_sent(
    founded: Founded, authority: Authority, folder: Path
) -> None:
    home = enrolled(founded, authority)
    for at, status in enumerate((Status.GIVEN, Status.RESTRICTED, Status.GIVEN), 1):
        authority.set_grant(home.generation, "improvement", status, NOW_S + at)
    home.hear(waiting(folder, home, NOW_S), NOW_S + 3)
    assert home.statement is not None
    (item,) = [item for item in home.statement.grants if item.purpose == "improvement"]
    assert (item.status, item.since_s) == ("given", NOW_S + 3)


def test_an_event_for_an_unknown_device_or_purpose_is_told(founded: Founded, authority: Authority) -> None:
    home = enrolled(founded, authority)
    with pytest.raises(ConfigError):
        authority.set_grant(b"x" * 16, "improvement", Status.GIVEN, NOW_S)
    with pytest.raises(ConfigError):
        authority.set_grant(home.generation, "marketing", Status.GIVEN, NOW_S)


def test_a_change_for_one_device_replaces_the_downlinks_of_all(
    founded: Founded, authority: Authority, folder: Path
) -> None:
    homes = [enrolled(founded, authority) for _ in range(3)]
    before = [waiting(folder, home, NOW_S) for home in homes]
    authority.set_grant(homes[0].generation, "improvement", Status.GIVEN, NOW_S)
    after = [waiting(folder, home, NOW_S) for home in homes]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert len({len(downlink) for downlink in before + after}) == 1


def test_yesterday_to_three_days_ahead_are_prepared_each_with_its_own_epoch(
    founded: Founded, authority: Authority, folder: Path
) -> None:
    home = enrolled(founded, authority)
    for days in range(-1, 4):
        at_s = NOW_S + days * DAY_S
        assert home.hear(waiting(folder, home, at_s), NOW_S).epoch == at_s // DAY_S


def test_upkeep_prepares_the_next_epochs_and_forgets_old_ones(
    founded: Founded, authority: Authority, folder: Path
) -> None:
    home = enrolled(founded, authority)
    later_s = NOW_S + 3 * DAY_S
    authority.upkeep(later_s)
    assert home.hear(waiting(folder, home, later_s + 3 * DAY_S), later_s).epoch == later_s // DAY_S + 3
    store = IntakeStore(Places(folder).store)
    assert store.tag_row(home.route(NOW_S).tag, (keys.epoch_of(NOW_S),)) is None
    store.close()


def test_upkeep_within_an_epoch_leaves_what_is_waiting(founded: Founded, authority: Authority, folder: Path) -> None:
    home = enrolled(founded, authority)
    authority.upkeep(NOW_S + 60)
    before = waiting(folder, home, NOW_S)
    authority.upkeep(NOW_S + 120)
    assert waiting(folder, home, NOW_S) == before


def test_a_statement_is_renewed_before_it_expires(founded: Founded, authority: Authority, folder: Path) -> None:
    home = enrolled(founded, authority)
    later_s = NOW_S + 23 * DAY_S
    authority.upkeep(later_s)
    home.hear(waiting(folder, home, later_s), later_s)
    assert home.statement is not None
    assert (home.statement.version, home.statement.exp_s) == (2, later_s + 45 * DAY_S)


def test_the_recipients_document_is_renewed_and_published(founded: Founded, authority: Authority, folder: Path) -> None:
    later_s = NOW_S + 200 * DAY_S
    authority.upkeep(later_s)
    store = IntakeStore(Places(folder).store)
    bundle = store.document("recipients")
    store.close()
    assert bundle is not None
    renewed = accept_recipients(bundle, root=founded.root, newest=None, now_s=later_s)
    assert (renewed.version, renewed.keys) == (2, founded.recipients)


def test_a_change_whose_statement_was_cut_off_is_issued_at_the_next_upkeep(
    founded: Founded, authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = enrolled(founded, authority)
    authority.upkeep(NOW_S)
    with monkeypatch.context() as cut:
        cut.setattr(authority, "publish", lambda now_s: None)
        authority.set_grant(home.generation, "improvement", Status.GIVEN, NOW_S)
    authority.upkeep(NOW_S + 60)
    home.hear(waiting(folder, home, NOW_S), NOW_S + 60)
    assert statuses(home)["improvement"] == "given"


def test_an_edited_purpose_is_granted_anew_unless_it_needs_consent(
    founded: Founded, authority: Authority, folder: Path
) -> None:
    home = enrolled(founded, authority)
    authority.set_grant(home.generation, "improvement", Status.GIVEN, NOW_S + 1)
    edited = policy(POLICY_TEXT.replace("round = 0.1", "round = 10").replace("round = 100", "round = 10"))
    add_policies(folder, [edited], now_s=NOW_S + 2)
    home.hear(waiting(folder, home, NOW_S), NOW_S + 2)
    assert home.statement is not None
    covered = {digest for item in home.statement.grants for digest in item.digests}
    digests = {name: purpose_digest(purpose) for name, purpose in edited.purposes.items()}
    old = {name: purpose_digest(purpose) for name, purpose in policy().purposes.items()}
    assert digests["monitoring"] in covered
    assert digests["improvement"] not in covered
    assert set(old.values()) <= covered  # what was queued under the old edition can still be sent


def test_a_policy_whose_recipient_has_no_key_is_not_taken(folder: Path) -> None:
    strange = policy(POLICY_TEXT.replace("operator-eu", "somebody-else"))
    with pytest.raises(ConfigError, match="monitoring"):
        add_policies(folder, [strange], now_s=NOW_S)


def eights(blob: bytes) -> set[bytes]:
    return {blob[at : at + 8] for at in range(len(blob) - 7)}


def runs_over(window: bytes, frame: set[bytes]) -> bool:
    """At an edge of what all devices share, up to 3 random bytes may be equal by chance."""
    return any(known.find(window[at : at + 5]) >= 0 for known in frame for at in (0, 3))


def test_what_the_intake_holds_for_one_device_in_two_epochs_shares_only_what_all_devices_share(
    founded: Founded, authority: Authority, folder: Path
) -> None:
    home, other = enrolled(founded, authority), enrolled(founded, authority)
    frame = eights(waiting(folder, home, NOW_S)) & eights(waiting(folder, other, NOW_S))
    store = IntakeStore(Places(folder).store)
    rows = []
    for epoch in range(NOW_S // DAY_S - 1, NOW_S // DAY_S + 4):
        row = store.tag_row(keys.route(home.routing, epoch).tag, (epoch,))
        assert row is not None
        rows.append(row.tag + row.mac_key + row.downlink_hash + (store.downlink(row) or b""))
    store.close()
    common = [eights(left) & eights(right) for at, left in enumerate(rows) for right in rows[:at]]
    assert len(common) == 10
    assert not {window for window in set().union(*common) if not runs_over(window, frame)}


def test_the_intake_file_holds_no_key_or_name_of_a_device(founded: Founded, authority: Authority, folder: Path) -> None:
    home = enrolled(founded, authority)
    told = b"".join(path.read_bytes() for path in Places(folder).intake.iterdir())
    shown = devices(folder)[0]
    assert shown.generation == home.generation
    for secret in (
        home.generation,
        home.routing.reveal(),
        home.stream_secret.reveal(),
        home.signing.reveal(),
    ):
        assert secret not in told


def test_the_openers_file_holds_no_name_of_a_device(founded: Founded, authority: Authority, folder: Path) -> None:
    home = enrolled(founded, authority)
    told = b"".join(path.read_bytes() for path in Places(folder).opener.iterdir())
    for name in (home.generation, home.routing.reveal(), home.route(NOW_S).tag, home.stream_secret.reveal()):
        assert name not in told
