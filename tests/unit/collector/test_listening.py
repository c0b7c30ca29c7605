"""
What the authority takes from control messages, and what it does not take from hostile ones.
"""

from __future__ import annotations

import dataclasses
import secrets
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.collector import grant, init_collector, intake, open_authority
from edge_sdk.collector import listening as told
from edge_sdk.collector.casebook import MAX_ERASURES, Casebook
from edge_sdk.collector.registry import Registry
from edge_sdk.collector.rotation import Rotation, rotate_root
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core import cbor, keys, labels, seal
from edge_sdk.core.claims import ALG_A256GCM, Status
from edge_sdk.core.cose import key_id, public_key_of, sign1
from edge_sdk.core.messages import EndedStream, LedgerHead, Withdrawal, control
from edge_sdk.core.padding import pad_to
from edge_sdk.core.receipt import Method
from tests.collector.household import DAY_S, NOW_S, POLICY_TEXT, Household, founding
from tests.collector.town import Town, grant_id, statuses, town


def withdrawal(home: Household, purpose: str = "improvement") -> Withdrawal:
    return Withdrawal(purpose, (grant_id(home, purpose),))


def test_a_withdrawal_on_the_device_ends_the_grant_it_names_in_the_next_statement(place: Town, home: Household) -> None:
    before = grant_id(home, "improvement")
    place.tell(home, withdrawal(home), NOW_S + 60)
    place.hear(home, NOW_S + 60)
    assert statuses(home) == {"monitoring": "given", "improvement": "withdrawn"}
    assert grant_id(home, "improvement") == before


def test_a_withdrawal_is_lifted_only_by_a_grant_with_a_new_id(place: Town, home: Household) -> None:
    place.tell(home, withdrawal(home), NOW_S + 60)
    place.hear(home, NOW_S + 60)
    withdrawn = grant_id(home, "improvement")
    for at, status in enumerate((Status.RESTRICTED, Status.REQUESTED, Status.GIVEN)):
        grant(place.folder, home.generation, "improvement", status=status, now_s=NOW_S + 120 + at)
        place.hear(home, NOW_S + 180)
        if status is not Status.GIVEN:
            assert statuses(home)["improvement"] == "withdrawn"
    assert statuses(home)["improvement"] == "given"
    assert grant_id(home, "improvement") != withdrawn


def test_consent_given_after_the_withdrawal_but_before_it_arrived_stands(place: Town, home: Household) -> None:
    late = home.control(withdrawal(home), at_s=NOW_S + 60)
    grant(place.folder, home.generation, "improvement", status=Status.GIVEN, now_s=NOW_S + 120)
    place.send(home, late, NOW_S + 180)
    place.hear(home, NOW_S + 180)
    assert statuses(home)["improvement"] == "given"


def test_a_no_to_a_legitimate_interest_is_called_objected(tmp_path: Path) -> None:
    text = POLICY_TEXT.replace('basis = "contract"', 'basis = "legitimate_interest"')
    founded = init_collector(tmp_path / "c", founding(text=text), now_s=NOW_S, draw=secrets.token_bytes)
    place = Town(tmp_path / "c", founded)
    home = place.enrol()
    place.tell(home, withdrawal(home, "monitoring"), NOW_S + 60)
    place.hear(home, NOW_S + 60)
    assert statuses(home)["monitoring"] == "objected"


def test_a_withdrawal_speaks_for_the_device_that_signed_it_and_no_other(place: Town, home: Household) -> None:
    other = place.enrol()
    place.tell(other, withdrawal(home), NOW_S + 60)
    place.hear(home, NOW_S + 60)
    assert statuses(home)["improvement"] == "given"
    assert place.alarms() == [(other.generation, told.FOREIGN_GRANT, 1)]


def test_no_recipient_and_no_intake_learns_whose_withdrawal_it_was(place: Town, home: Household) -> None:
    others = [place.enrol() for _ in range(2)]
    before = [place.waiting(each, NOW_S) for each in (home, *others)]
    opener_before = place.places.opened.read_bytes()
    place.tell(home, withdrawal(home), NOW_S + 60)
    after = [place.waiting(each, NOW_S) for each in (home, *others)]
    assert all(old != new and len(old or b"") == len(new or b"") for old, new in zip(before, after, strict=True))
    assert home.generation not in opener_before + place.places.opened.read_bytes()


def test_a_message_is_read_once_and_changes_nothing_when_it_comes_again(place: Town, home: Household) -> None:
    sealed = home.control(withdrawal(home), at_s=NOW_S + 60)
    place.send(home, sealed, NOW_S + 60)
    version = place.device(home).statement_version
    for again_s in (NOW_S + 120, NOW_S + DAY_S):
        place.send(home, sealed, again_s)
    assert place.device(home).statement_version == version


def test_a_replay_after_the_intake_forgot_the_id_withdraws_no_newer_consent(place: Town, home: Household) -> None:
    sealed = home.control(withdrawal(home), at_s=NOW_S + 60)
    place.send(home, sealed, NOW_S + 60)
    grant(place.folder, home.generation, "improvement", status=Status.GIVEN, now_s=NOW_S + 120)
    later_s = NOW_S + 100 * DAY_S
    place.upkeep(later_s)
    with closing(IntakeStore(place.places.store)) as store:
        assert store.prune(later_s // DAY_S) > 0
    place.send(home, sealed, later_s)
    place.hear(home, later_s)
    assert statuses(home)["improvement"] == "given"


def test_a_message_that_was_stored_and_not_read_before_a_crash_is_read_at_the_next_upkeep(
    place: Town, home: Household
) -> None:
    assert place.upload(home, "/v1/control", home.control(withdrawal(home)), NOW_S) == 200
    place.upkeep(NOW_S + 60)
    place.hear(home, NOW_S + 60)
    assert statuses(home)["improvement"] == "withdrawn"


def test_a_message_whose_effect_failed_is_read_again(
    place: Town, home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.upload(home, "/v1/control", home.control(withdrawal(home)), NOW_S) == 200

    def broken(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as cut:
        cut.setattr(Casebook, "put_withdrawal", broken)
        with pytest.raises(OSError):
            place.upkeep(NOW_S)
    place.upkeep(NOW_S)
    place.hear(home, NOW_S)
    assert statuses(home)["improvement"] == "withdrawn"


def stranger_to(home: Household) -> Household:
    return dataclasses.replace(home, signing=keys.GenerationSigningSeed(secrets.token_bytes(32)))


def forged(place: Town, home: Household) -> bytes:
    """A message that names the key of *home* and is signed by another."""
    message_id = secrets.token_bytes(16)
    recipient = place.founded.root.enrolment
    signed = sign1(
        control._encode(control.Control(home.generation, NOW_S, None, withdrawal(home))),
        seed=secrets.token_bytes(32),
        kid=key_id(public_key_of(home.signing.reveal())),
        typ=labels.TYP_CONTROL,
        external_aad=cbor.encode([labels.PROFILES[labels.TYP_CONTROL], message_id, recipient.kid]),
    )
    return seal.seal(
        pad_to(signed, 4096), recipient=recipient, typ=labels.TYP_CONTROL, batch_id=message_id,
        content_alg=ALG_A256GCM, cek=secrets.token_bytes(32), iv=secrets.token_bytes(12),
    )  # fmt: skip


def sealed_noise(place: Town, content: bytes) -> bytes:
    return seal.seal(
        content, recipient=place.founded.root.enrolment, typ=labels.TYP_CONTROL, batch_id=secrets.token_bytes(16),
        content_alg=ALG_A256GCM, cek=secrets.token_bytes(32), iv=secrets.token_bytes(12),
    )  # fmt: skip


def test_a_message_signed_by_another_key_under_the_devices_name_is_not_believed(place: Town, home: Household) -> None:
    place.send(home, forged(place, home))
    place.hear(home, NOW_S)
    assert statuses(home)["improvement"] == "given"
    assert place.alarms() == [(None, told.FORGED, 1)]  # and the device whose name was used is not blamed


def test_a_message_of_no_enrolled_generation_is_counted_and_nothing_else(place: Town, home: Household) -> None:
    place.send(home, stranger_to(home).control(withdrawal(home)))
    place.hear(home, NOW_S)
    assert statuses(home)["improvement"] == "given"
    assert place.alarms() == [(None, told.STRANGER, 1)]


def test_a_device_cannot_speak_in_the_name_of_another_generation(place: Town, home: Household) -> None:
    other = place.enrol()
    place.send(other, other.control(withdrawal(home), generation=home.generation))
    receipt = other.receipt(generation=home.generation)
    place.send(other, other.control(receipt))
    place.hear(home, NOW_S)
    assert (statuses(home)["improvement"], place.device(home).erased_s) == ("given", None)
    assert place.alarms() == [(other.generation, told.MISNAMED, 2)]


@pytest.mark.parametrize("content", [b"", b"\x80", bytes(4096), b"\xd2\x84\x80", bytes(3) + b"\x80" + bytes(9)])
def test_garbage_that_was_sealed_to_the_authority_stops_nothing(place: Town, home: Household, content: bytes) -> None:
    place.send(home, sealed_noise(place, content))
    place.tell(home, withdrawal(home), NOW_S + 60)
    place.hear(home, NOW_S + 60)
    assert statuses(home)["improvement"] == "withdrawn"
    assert place.alarms() == [(None, told.UNREADABLE, 1)]


def test_a_truncated_message_never_reaches_the_authority(place: Town, home: Household) -> None:
    sealed = home.control(withdrawal(home))
    for cut in (1, len(sealed) // 2, len(sealed) - 1):
        assert place.upload(home, "/v1/control", sealed[:cut]) == 422


def test_a_message_sealed_to_another_authority_is_counted(place: Town, home: Household, tmp_path: Path) -> None:
    elsewhere = town(tmp_path / "other")
    place.send(home, home.control(withdrawal(home), root=elsewhere.founded.root))
    assert place.alarms() == [(None, told.UNREADABLE, 1)]


def head(letter: bytes, length: int) -> tuple[bytes, int]:
    return letter * 32, length


def ledger(place: Town, home: Household) -> tuple[bytes, int]:
    with closing(Registry(place.places.registry)) as registry:
        row = Casebook(registry.database).ledger(home.generation)
        assert row is not None
        return row.head, row.length


def test_the_longest_ledger_is_remembered(place: Town, home: Household) -> None:
    for at, reported in enumerate([head(b"a", 3), head(b"b", 9), head(b"b", 9)]):
        place.tell(home, LedgerHead(), NOW_S + at, ledger=reported)
    assert (ledger(place, home), place.alarms()) == (head(b"b", 9), [])


def test_a_ledger_that_became_shorter_raises_an_alarm_and_is_not_believed(place: Town, home: Household) -> None:
    place.tell(home, LedgerHead(), NOW_S, ledger=head(b"a", 9))
    place.tell(home, LedgerHead(), NOW_S + 60, ledger=head(b"b", 8))
    assert ledger(place, home) == head(b"a", 9)
    assert place.alarms() == [(home.generation, told.SHORTER, 1)]


def test_a_ledger_with_another_head_at_the_same_length_raises_an_alarm(place: Town, home: Household) -> None:
    place.tell(home, LedgerHead(), NOW_S, ledger=head(b"a", 9))
    place.tell(home, withdrawal(home), NOW_S + 60, ledger=head(b"b", 9))
    assert ledger(place, home) == head(b"a", 9)
    assert place.alarms() == [(home.generation, told.REWRITTEN, 1)]


def test_a_message_that_was_only_late_raises_no_alarm(place: Town, home: Household) -> None:
    late = home.control(LedgerHead(), at_s=NOW_S, ledger=head(b"a", 3))
    place.tell(home, LedgerHead(), NOW_S + 60, ledger=head(b"b", 9))
    place.send(home, late, NOW_S + 120)
    assert (ledger(place, home), place.alarms()) == (head(b"b", 9), [])


def ended(home: Household, purpose: str = "improvement", **changes: Any) -> EndedStream:
    plain = EndedStream(b"s" * 16, purpose, grant_id(home, purpose), rows=10, receipted=6, destroyed=4)
    return dataclasses.replace(plain, **changes)


def accounts(place: Town) -> list[tuple[int, int | None]]:
    with closing(Registry(place.places.registry)) as registry:
        return [(each.receipted, each.destroyed) for _, each in Casebook(registry.database).ended()]


def test_the_account_of_an_ended_stream_is_kept_and_a_later_one_takes_its_place(place: Town, home: Household) -> None:
    place.tell(home, ended(home))
    place.tell(home, ended(home, receipted=7, destroyed=3), NOW_S + 60)
    place.tell(home, ended(home), NOW_S + 120)
    assert accounts(place) == [(7, 3)]


def test_the_account_of_a_stream_under_somebody_elses_grant_is_not_kept(place: Town, home: Household) -> None:
    other = place.enrol()
    place.tell(other, ended(home))
    assert (accounts(place), place.alarms()) == ([], [(other.generation, told.FOREIGN_STREAM, 1)])


def test_a_wipe_receipt_confirms_the_order_with_its_nonce(place: Town, home: Household) -> None:
    order = place.cancel(home)
    place.confirm(home, home.receipt(order), NOW_S + 60)
    assert place.device(home).erased_s == NOW_S + 60


def test_an_order_that_was_carried_out_stands_for_a_copy_of_the_folder(place: Town, home: Household) -> None:
    order = place.cancel(home)
    before = place.hear(home, NOW_S).wipe
    place.confirm(home, home.receipt(order), NOW_S + 60)
    assert place.hear(home, NOW_S + 60).wipe == before is not None


def test_a_receipt_for_an_order_that_was_never_issued_confirms_nothing(place: Town, home: Household) -> None:
    order = place.cancel(home)
    place.confirm(home, home.receipt(dataclasses.replace(order, nonce=b"x" * 16)))
    assert place.device(home).erased_s is None
    assert place.alarms() == [(home.generation, told.UNORDERED, 1)]


def test_a_receipt_for_another_devices_order_confirms_nothing(place: Town, home: Household) -> None:
    other = place.enrol()
    order = place.cancel(home)
    place.confirm(other, other.receipt(order))
    assert (place.device(home).erased_s, place.device(other).erased_s) == (None, None)
    assert place.alarms() == [(other.generation, told.UNORDERED, 1)]


def test_a_receipt_with_a_smaller_scope_than_its_order_confirms_nothing(place: Town, home: Household) -> None:
    order = place.cancel(home)
    place.confirm(home, home.receipt(order, scope=["monitoring"]))
    assert place.device(home).erased_s is None
    assert place.alarms() == [(home.generation, told.OTHER_SCOPE, 1)]


def test_a_receipt_in_which_a_store_failed_is_shown_and_the_order_stays(place: Town, home: Household) -> None:
    order = place.cancel(home)
    place.confirm(home, home.receipt(order, method=Method.FAILED))
    assert place.alarms() == [(home.generation, told.INCOMPLETE, 1)]
    assert home.order(place.hear(home, NOW_S), NOW_S) == order
    place.confirm(home, home.receipt(order), NOW_S + 60)
    assert place.device(home).erased_s == NOW_S + 60


def test_a_wipe_asked_for_on_the_device_cancels_the_account(place: Town, home: Household) -> None:
    place.confirm(home, home.receipt(), NOW_S + 60)
    device = place.device(home)
    assert (device.account, device.erased_s) == ("cancelled", NOW_S + 60)


def test_a_wipe_of_one_purpose_asked_for_on_the_device_ends_its_grant(place: Town, home: Household) -> None:
    place.confirm(home, home.receipt(scope=["improvement"]), NOW_S + 60)
    place.hear(home, NOW_S + 60)
    assert statuses(home) == {"monitoring": "given", "improvement": "withdrawn"}
    assert place.device(home).account == "active"


def test_a_copy_of_a_device_that_speaks_after_its_wipe_raises_an_alarm(place: Town, home: Household) -> None:
    place.confirm(home, home.receipt(place.cancel(home), at_s=NOW_S), NOW_S)
    place.tell(home, LedgerHead(), NOW_S + DAY_S, at_s=NOW_S - 60)
    assert place.alarms() == []  # written before the wipe, only late
    place.tell(home, LedgerHead(), NOW_S + DAY_S)
    assert place.alarms() == [(home.generation, told.RETURNED, 1)]


def test_a_device_that_floods_the_authority_with_receipts_is_cut_off(place: Town, home: Household) -> None:
    with open_authority(place.folder) as authority, closing(IntakeStore(place.places.store)) as store:
        for at in range(MAX_ERASURES + 2):
            body = home.control(home.receipt(scope=["improvement"], at_s=NOW_S + at))
            row = store.tag_row(home.route(NOW_S).tag, (NOW_S // DAY_S,))
            arrival = intake.examine(
                home.request("POST", "/v1/control", body, NOW_S), row,
                signer=keys.RoleSeed(b"r" * 32), now_s=NOW_S, limits=intake.Limits(),
            )  # fmt: skip
            assert isinstance(arrival, intake.Arrival)
            assert store.keep(arrival) is intake.Kept.STORED
        authority.listen(NOW_S)
    assert (home.generation, told.TOO_MANY, 2) in place.alarms()


def test_a_message_sealed_to_the_enrolment_key_of_an_earlier_root_is_still_read(place: Town, home: Household) -> None:
    rotate_root(place.folder, Rotation(enrolment=True), now_s=NOW_S + 60, draw=secrets.token_bytes)
    place.tell(home, withdrawal(home), NOW_S + 120)
    place.hear(home, NOW_S + 120)
    assert statuses(home)["improvement"] == "withdrawn"
