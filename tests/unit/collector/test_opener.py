"""
The opener: what arrives, what is missing, what is set aside and why; nothing stops the next batch.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.collector import (
    Founded,
    grant,
    open_authority,
    open_opener,
    open_reception,
    open_rows,
    opener_report,
)
from edge_sdk.collector.intake import Limits
from edge_sdk.collector.keyring import Places, read_recipients
from edge_sdk.collector.opened import Certified, OpenerStore, Place
from edge_sdk.collector.opener import (
    DAMAGED,
    NO_KEY,
    OTHER_PURPOSE,
    UNCERTIFIED,
    UNKNOWN_PURPOSE,
    Opener,
)
from edge_sdk.collector.purposes import by_digest
from edge_sdk.collector.store import IntakeStore, KeptBody
from edge_sdk.core import cbor, seal
from edge_sdk.core.batch import Gap, Reason
from edge_sdk.core.claims import Status
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.table import Row
from tests.collector.household import DAY_S, NOW_S, POLICY_TEXT, Household, Stream, found, policy

MONITORING = policy().purposes["monitoring"]
IMPROVEMENT = policy().purposes["improvement"]
AT_MS = NOW_S * 1000


def row(power: int = 2315, energy: int = 42, serial: str = "S1", at_ms: int = AT_MS) -> tuple[object, ...]:
    by_name = {"ac_power": power, "energy": energy, "serial": serial}
    return (at_ms, *(by_name[item.field.name] for item in MONITORING.views[0].fields))

CERTIFIED = Certified("improvement", is_forgotten=False)


class Bench:
    """A collector folder, one enrolled household, and an opener fed by hand."""

    def __init__(self, folder: Path) -> None:
        self.founded: Founded = found(folder, granted=["improvement"])
        self.folder = folder
        self.home = Household(self.founded.root, self.founded.recipients)
        with open_authority(folder) as authority:
            self.home.hear(authority.enrol(self.home.enrol_body(authority.issue_code(NOW_S)), NOW_S), NOW_S)
        self.store = OpenerStore(Places(folder).opened)
        self.opener = Opener(
            self.store,
            seeds=read_recipients(Places(folder).opener),
            purposes=by_digest([MONITORING, IMPROVEMENT]),
        )
        self.stream = self.home.stream(MONITORING, NOW_S)
        self.number = 0

    def take(self, *bodies: bytes, kid: bytes | None = None) -> None:
        for body in bodies:
            self.number += 1
            outer = seal.outer(body)
            name = outer.batch_id or b""
            self.opener.take([KeptBody(self.number, name, kid or outer.kid, body)])

    def batch(self, rows: Sequence[Row], **more: Any) -> bytes:
        return self.home.batch(MONITORING, self.stream, rows, **more)

    def places(self) -> list[tuple[int, object]]:
        return [(found.seq, found.fields["ac_power"]) for _, found in self.opener.rows()]

    def reasons(self) -> list[str]:
        return [kept.reason for kept in self.opener.set_aside()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "c")


def test_rows_come_out_as_they_went_in_by_value(bench: Bench) -> None:
    bench.take(bench.batch([row(), row(-1, 43, "S2")]))
    rows = [found for _, found in bench.opener.rows()]
    assert [found.scaled for found in rows] == [
        {"ac_power": 2315, "energy": 42, "serial": "S1"}, {"ac_power": -1, "energy": 43, "serial": "S2"},
    ]  # fmt: skip
    assert [found.fields["ac_power"] for found in rows] == [Decimal("231.5"), Decimal("-0.1")]
    assert [(found.stream, found.seq, found.purpose) for found in rows] == [
        (bench.stream.id, 0, "monitoring"), (bench.stream.id, 1, "monitoring"),
    ]  # fmt: skip


def test_a_batch_taken_twice_gives_its_rows_once(bench: Bench) -> None:
    body = bench.batch([row()])
    bench.take(body, body)
    assert len(bench.places()) == 1


def test_the_same_rows_in_another_batch_are_repeats(bench: Bench) -> None:
    bench.take(bench.batch([row(), row()]), bench.batch([row(), row()], first=0))
    assert len(bench.places()) == 2
    assert (bench.opener.repeats(), bench.opener.forks()) == (2, [])


def test_two_contents_of_one_place_are_both_kept_and_told(bench: Bench) -> None:
    bench.take(bench.batch([row(1)]), bench.batch([row(2)], first=0))
    assert [power for _, power in bench.places()] == [Decimal("0.1"), Decimal("0.2")]
    assert [(fork.stream, fork.seq) for fork in bench.opener.forks()] == [(bench.stream.id, 0)]


def test_a_missing_batch_is_a_hole_until_it_comes(bench: Bench) -> None:
    first, second, third = (bench.batch([row(power)] * 3) for power in (1, 2, 3))
    bench.take(first, third)
    assert [(gap.first, gap.last, gap.reason) for gap in bench.opener.gaps()] == [(3, 5, None)]
    bench.take(second)
    assert bench.opener.gaps() == []


def test_a_declared_gap_is_told_with_its_reason(bench: Bench) -> None:
    bench.take(bench.batch([row()], first=5, gaps=[Gap(0, 4, None, Reason.QUOTA), Gap(5, None, None, Reason.POWER)]))
    assert [(gap.first, gap.last, gap.reason) for gap in bench.opener.gaps()] == [
        (0, 4, Reason.QUOTA), (5, None, Reason.POWER),
    ]  # fmt: skip


def test_an_empty_batch_brings_gaps_only(bench: Bench) -> None:
    bench.take(bench.batch([], gaps=[Gap(0, None, 7, Reason.LATE)]))
    assert (bench.places(), [gap.count for gap in bench.opener.gaps()]) == ([], [7])


def test_a_batch_to_a_key_that_is_not_held_is_set_aside(bench: Bench) -> None:
    bench.take(bench.batch([row()]), kid=b"stranger")
    assert bench.reasons() == [NO_KEY]


@pytest.mark.parametrize("at", [60, 200, -1])
def test_a_changed_batch_is_set_aside_as_damaged_and_the_next_is_opened(bench: Bench, at: int) -> None:
    body = bytearray(bench.batch([row(1)]))
    outer = seal.outer(bytes(body))
    body[at] ^= 1
    bench.opener.take([KeptBody(1, outer.batch_id or b"", outer.kid, bytes(body))])
    bench.take(bench.batch([row(2)]))
    assert bench.reasons() == [DAMAGED]
    assert bench.places() == [(1, Decimal("0.2"))]


def test_a_batch_under_a_key_nobody_certified_waits_and_is_opened_once_it_is(bench: Bench) -> None:
    seed = secrets.token_bytes(32)
    stranger = Stream(secrets.token_bytes(16), seed, public_key_of(seed))
    bench.take(bench.home.batch(MONITORING, stranger, [row()]))
    assert bench.reasons() == [UNCERTIFIED]
    bench.store.certify([(stranger.key, "monitoring")])
    bench.opener.retry(IntakeStore(Places(bench.folder).store))
    assert (bench.reasons(), len(bench.places())) == ([], 1)


def test_a_stream_key_speaks_for_its_own_purpose_only(bench: Bench) -> None:
    other = bench.home.stream(IMPROVEMENT, NOW_S)
    bench.take(bench.home.batch(MONITORING, other, [row()]))
    assert bench.reasons() == [OTHER_PURPOSE]


def test_an_edition_the_opener_does_not_know_waits_for_its_policy(bench: Bench) -> None:
    edited = policy(POLICY_TEXT.replace("round = 0.1", "round = 10"))
    with open_authority(bench.folder) as authority:
        authority.adopt(edited.purposes.values(), NOW_S + 1)
    purpose = edited.purposes["monitoring"]
    bench.home.hear(_waiting(bench), NOW_S + 1)
    bench.take(bench.home.batch(purpose, bench.home.stream(purpose, NOW_S), [row()]))
    assert bench.reasons() == [UNKNOWN_PURPOSE]
    with open_opener(bench.folder) as opener:
        assert opener.set_aside() == []
        assert [str(found.fields["ac_power"]) for _, found in opener.rows()] == ["23150"]


def _waiting(bench: Bench) -> bytes:
    store = IntakeStore(Places(bench.folder).store)
    found = store.tag_row(bench.home.route(NOW_S).tag, (NOW_S // DAY_S,))
    assert found is not None
    downlink = store.downlink(found)
    store.close()
    assert downlink is not None
    return downlink


@pytest.mark.parametrize(
    "change",
    [
        {2: 5},
        {3: 9},
        {2: 1 << 60, 3: 1 << 60},
        {6: [[1 << 60, None, None, 0]]},
        {6: [[0, None, None, 9]]},
        {7: b"not deflated"},
        {0: 2},
        {11: -(1 << 60)},
    ],
)
def test_a_signed_batch_no_device_could_have_written_is_set_aside(bench: Bench, change: dict[int, object]) -> None:
    def changed(payload: bytes) -> bytes:
        value = cbor.decode(payload, len(payload))
        assert isinstance(value, dict)
        return cbor.encode({**value, **change})

    bench.take(bench.batch([row()], change=changed))
    assert bench.reasons() == [DAMAGED]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=400))
def test_any_signed_payload_is_stored_or_set_aside(bench: Bench, noise: bytes) -> None:
    before = len(bench.reasons())
    bench.take(bench.batch([row()], change=lambda payload: payload.replace(payload[-60:-40], noise)))
    assert len(bench.reasons()) <= before + 1


def test_rows_timed_from_the_floor_are_put_right_when_the_offset_comes(bench: Bench) -> None:
    boot = secrets.token_bytes(16)

    def timed(**more: object) -> Callable[[bytes], bytes]:
        def change(payload: bytes) -> bytes:
            value = cbor.decode(payload, len(payload))
            assert isinstance(value, dict)
            return cbor.encode({**value, 10: boot, **{int(key[1:]): item for key, item in more.items()}})

        return change

    bench.take(bench.batch([row(1, at_ms=5000)], change=timed(_5=1)))
    assert [(found.at_ms, found.clock) for _, found in bench.opener.rows()] == [(5000, "floor")]
    bench.take(bench.batch([row(2)], change=timed(_11=60_000)))
    assert [(found.at_ms, found.clock) for _, found in bench.opener.rows()] == [
        (65_000, "wall"),
        (AT_MS, "wall"),
    ]


def test_two_streams_that_go_on_from_one_are_a_fork_and_one_is_none(bench: Bench) -> None:
    def following(stream: bytes, rows: int) -> Callable[[bytes], bytes]:
        def change(payload: bytes) -> bytes:
            value = cbor.decode(payload, len(payload))
            assert isinstance(value, dict)
            return cbor.encode({**value, 12: [stream, rows]})

        return change

    first = bench.stream
    bench.take(bench.batch([row(1), row(2)]))
    streams = [Stream(bytes([number]) * 16, first.seed, first.key) for number in range(3)]
    for stream, expected in zip(streams, ([], [Place(first.id, 2)], [Place(first.id, 1)]), strict=True):
        after = 1 if stream is streams[2] else 2
        bench.take(bench.home.batch(MONITORING, stream, [row(3)], change=following(first.id, after)))
        assert bench.opener.forks() == expected


def test_windows_and_pseudonyms_come_out(bench: Bench) -> None:
    stream = bench.home.stream(IMPROVEMENT, NOW_S)
    by_name = {"energy": 12, "serial": b"\xab" * 16}
    values = [by_name[item.field.name] for item in IMPROVEMENT.views[0].fields]
    bench.take(bench.home.batch(IMPROVEMENT, stream, [(AT_MS, -3, *values)]))
    ((_, found),) = bench.opener.rows()
    assert (found.count, found.partial, found.length_ms) == (3, True, DAY_S * 1000)
    assert found.fields == {"energy": 1200, "serial": "ab" * 16}


def test_the_stream_of_the_next_pseudonym_period_is_certified_ahead(bench: Bench) -> None:
    for days in (0, 30):
        stream = bench.home.stream(IMPROVEMENT, NOW_S + days * DAY_S)
        assert bench.store.certified(stream.key) == CERTIFIED


def test_later_periods_are_certified_as_time_goes_on(bench: Bench) -> None:
    later_s = NOW_S + 100 * DAY_S
    key = bench.home.stream(IMPROVEMENT, later_s + 29 * DAY_S).key
    assert bench.store.certified(key) is None
    with open_authority(bench.folder) as authority:
        authority.upkeep(later_s)
    assert bench.store.certified(key) == CERTIFIED


def test_a_withdrawn_grant_stays_certified_for_what_is_under_way(bench: Bench) -> None:
    stream = bench.home.stream(IMPROVEMENT, NOW_S)
    grant(bench.folder, bench.home.generation, "improvement", status=Status.WITHDRAWN, now_s=NOW_S + 60)
    assert bench.store.certified(stream.key) == CERTIFIED


def test_a_folder_opens_each_waiting_batch_once_and_reports(bench: Bench) -> None:
    with open_reception(bench.folder, limits=Limits()) as reception:
        for power in (1, 2):
            body = bench.batch([row(power)])
            request = bench.home.request("POST", "/v1/batches", body, NOW_S)
            assert reception.answer(request, NOW_S).status == 200
    assert [str(found.fields["ac_power"]) for found in open_rows(bench.folder)] == ["0.1", "0.2"]
    assert [found.seq for found in open_rows(bench.folder)] == [0, 1]
    report = opener_report(bench.folder)
    assert (report.gaps, report.forks, report.repeats, report.set_aside) == ((), (), 0, {})


def test_an_opener_that_lost_its_file_is_told_everything_again_and_reads_it_again(bench: Bench) -> None:
    old = bench.home.stream(IMPROVEMENT, NOW_S)
    with open_reception(bench.folder, limits=Limits()) as reception:
        body = bench.batch([row()])
        reception.answer(bench.home.request("POST", "/v1/batches", body, NOW_S), NOW_S)
    assert len(list(open_rows(bench.folder))) == 1
    bench.store.close()
    for path in Places(bench.folder).opener.glob("opener.db*"):
        path.unlink()
    with open_authority(bench.folder) as authority:
        authority.publish(NOW_S + 200 * DAY_S)
    assert len(list(open_rows(bench.folder))) == 1
    assert OpenerStore(Places(bench.folder).opened).certified(old.key) == CERTIFIED


def test_what_is_sealed_to_others_is_looked_through_once(bench: Bench) -> None:
    body = bench.batch([row()])
    with open_reception(bench.folder, limits=Limits()) as reception:
        assert reception.answer(bench.home.request("POST", "/v1/batches", body, NOW_S), NOW_S).status == 200
    intake = IntakeStore(Places(bench.folder).store)
    assert bench.opener.take_waiting(intake).opened == 1
    looked = {bench.store.progress(kid.hex()) for kid in read_recipients(Places(bench.folder).opener)}
    assert looked == {intake.newest()}  # of the improvement's recipient too, who got nothing
    intake.close()
