"""
Deletion on the receiving side: what an ended account or grant had sent goes, and nothing of anybody else.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_sdk.collector import grant, init_collector, open_rows, opener_report
from edge_sdk.collector.operating import cases, delete_ended, endings
from edge_sdk.core.claims import Status
from edge_sdk.core.messages import EndedStream
from edge_sdk.core.policy import Purpose
from edge_sdk.core.receipt import PurposeUse
from tests.collector.household import DAY_S, NOW_S, POLICY_TEXT, Household, Stream, founding, policy
from tests.collector.town import Town, grant_id

PURPOSES = policy().purposes
SERIAL = "408000123456"


def row(purpose: Purpose, energy: int = 1) -> tuple[object, ...]:
    by_name = {"ac_power": 5, "energy": energy, "serial": SERIAL if purpose.name == "monitoring" else b"p" * 16}
    values = tuple(by_name[item.field.name] for item in purpose.views[0].fields)
    return (NOW_S * 1000, *((2,) if purpose.views[0].every_ms else ()), *values)


def sealed(home: Household, purpose: Purpose, stream: Stream | None = None, energy: int = 1) -> bytes:
    return home.batch(purpose, stream or home.stream(purpose, NOW_S), [row(purpose, energy)])


def send(place: Town, home: Household, *names: str) -> None:
    for name in names:
        assert place.upload(home, "/v1/batches", sealed(home, PURPOSES[name])) == 200


def kept(place: Town) -> list[str]:
    return sorted(each.purpose for each in open_rows(place.folder))


def on_disk(place: Town, words: Sequence[bytes]) -> list[str]:
    paths = [path for path in place.folder.rglob("*") if path.is_file()]
    return [path.name for path in paths if any(word in path.read_bytes() for word in words)]


def test_a_wiped_households_rows_go_and_its_neighbours_stay(place: Town) -> None:
    home, other = place.enrol(), place.enrol()
    for each in (home, other):
        send(place, each, "monitoring", "improvement")
    place.confirm(home, home.receipt(place.cancel(home)))
    deleted = delete_ended(place.folder, now_s=NOW_S + 60)
    assert (deleted.streams, deleted.rows, deleted.kept) == (2, 2, ())
    assert kept(place) == ["improvement", "monitoring"]


def test_deleted_rows_and_bodies_are_on_no_disk_of_the_collector(place: Town) -> None:
    home = place.enrol()
    body = sealed(home, PURPOSES["monitoring"])
    assert place.upload(home, "/v1/batches", body) == 200
    list(open_rows(place.folder))
    place.confirm(home, home.receipt(place.cancel(home)))
    delete_ended(place.folder, now_s=NOW_S + 60)
    assert on_disk(place, [SERIAL.encode(), body[200:300]]) == []


def test_a_withdrawn_purpose_goes_and_the_households_others_stay(place: Town) -> None:
    home = place.enrol()
    send(place, home, "monitoring", "improvement")
    grant(place.folder, home.generation, "improvement", status=Status.WITHDRAWN, now_s=NOW_S + 60)
    delete_ended(place.folder, now_s=NOW_S + 60)
    assert kept(place) == ["monitoring"]


def test_new_consent_does_not_bring_the_old_rows_under_deletion_or_the_new_ones(place: Town) -> None:
    home = place.enrol()
    send(place, home, "improvement")
    for at, status in enumerate((Status.WITHDRAWN, Status.GIVEN)):
        grant(place.folder, home.generation, "improvement", status=status, now_s=NOW_S + 60 + at)
    place.hear(home, NOW_S + 120)
    send(place, home, "improvement")
    deleted = delete_ended(place.folder, now_s=NOW_S + 120)
    assert (deleted.rows, kept(place)) == (1, ["improvement"])


def test_a_batch_that_comes_after_the_deletion_is_receipted_and_kept_nowhere(place: Town) -> None:
    home = place.enrol()
    stream = home.stream(PURPOSES["monitoring"], NOW_S)
    late = sealed(home, PURPOSES["monitoring"], stream)
    place.cancel(home)
    delete_ended(place.folder, now_s=NOW_S + 60)
    assert place.upload(home, "/v1/batches", late) == 200
    assert kept(place) == []
    assert opener_report(place.folder).set_aside == {}
    assert on_disk(place, [late[200:300]]) == []


def test_deleting_twice_deletes_nothing_more(place: Town) -> None:
    home = place.enrol()
    send(place, home, "monitoring")
    place.cancel(home)
    assert [delete_ended(place.folder, now_s=NOW_S + 60).rows for _ in range(2)] == [1, 0]


def test_a_deletion_cut_short_is_completed_by_the_next(place: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_sdk.collector.opened import OpenerStore

    home = place.enrol()
    body = sealed(home, PURPOSES["monitoring"])
    assert place.upload(home, "/v1/batches", body) == 200
    place.cancel(home)

    def cut(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as power:
        power.setattr(OpenerStore, "forget", cut)
        with pytest.raises(OSError):
            delete_ended(place.folder, now_s=NOW_S + 60)
    assert delete_ended(place.folder, now_s=NOW_S + 60).rows == 1
    assert on_disk(place, [SERIAL.encode(), body[200:300]]) == []


def test_a_receipt_that_names_a_neighbours_stream_deletes_nothing_of_it(place: Town) -> None:
    home, other = place.enrol(), place.enrol()
    stream = other.stream(PURPOSES["monitoring"], NOW_S)
    assert place.upload(other, "/v1/batches", sealed(other, PURPOSES["monitoring"], stream)) == 200
    use = PurposeUse("monitoring", (b"k" * 8,), (stream.id,))
    place.confirm(home, home.receipt(place.cancel(home), uses=[use]))
    delete_ended(place.folder, now_s=NOW_S + 60)
    assert kept(place) == ["monitoring"]


def test_what_a_legal_obligation_keeps_is_kept_and_named(tmp_path: Path) -> None:
    text = POLICY_TEXT.replace('basis = "contract"', 'basis = "legal_obligation"')
    plan = founding(text=text, granted=["improvement"])
    place = Town(tmp_path / "c", init_collector(tmp_path / "c", plan, now_s=NOW_S, draw=secrets.token_bytes))
    home = place.enrol()
    for purpose in policy(text).purposes.values():
        assert place.upload(home, "/v1/batches", sealed(home, purpose)) == 200
    place.cancel(home)
    deleted = delete_ended(place.folder, now_s=NOW_S + 60)
    assert (deleted.kept, kept(place)) == (("monitoring",), ["monitoring"])


def test_the_report_names_per_purpose_where_else_to_delete(place: Town) -> None:
    home = place.enrol()
    use = PurposeUse("monitoring", (b"k" * 8,), (b"s" * 16, b"t" * 16))
    place.confirm(home, home.receipt(place.cancel(home), uses=[use]))
    (elsewhere,) = endings(place.folder, now_s=NOW_S + 60).elsewhere
    assert (elsewhere.generation, elsewhere.purpose) == (home.generation, "monitoring")
    assert (elsewhere.recipients, elsewhere.streams) == (use.recipients, use.streams)


def test_a_withdrawals_streams_are_named_with_the_keys_of_its_grant(place: Town) -> None:
    home = place.enrol()
    grant(place.folder, home.generation, "improvement", status=Status.WITHDRAWN, now_s=NOW_S + 60)
    account = EndedStream(b"s" * 16, "improvement", grant_id(home, "improvement"), 3, receipted=2, destroyed=1)
    place.tell(home, account, NOW_S + 120)
    (elsewhere,) = endings(place.folder, now_s=NOW_S + 120).elsewhere
    kids = tuple(key.kid for key in place.founded.recipients if key.operator == "research-eu")
    assert (elsewhere.streams, elsewhere.recipients) == ((b"s" * 16,), kids)


def test_who_has_not_confirmed_is_named_since_when(place: Town) -> None:
    home, other = place.enrol(), place.enrol()
    for each in (home, other):
        place.cancel(each)
    place.confirm(home, home.receipt(home.order(place.hear(home, NOW_S), NOW_S)), NOW_S + DAY_S)
    report = endings(place.folder, now_s=NOW_S + DAY_S)
    assert [(row.generation, row.issued_s) for row in report.orders if row.is_open] == [(other.generation, NOW_S)]
    assert [each.generation for each in report.erasures] == [home.generation]


def test_what_devices_told_is_read_before_it_is_shown(place: Town) -> None:
    home = place.enrol()
    sealed_receipt = home.control(home.receipt(place.cancel(home)))
    assert place.upload(home, "/v1/control", sealed_receipt) == 200
    assert cases(place.folder, now_s=NOW_S + 60)[home.generation].erased_s == NOW_S + 60
