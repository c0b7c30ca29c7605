"""
The care of sealed batches: what quota and age take, what damage costs, what a failing disk must not double.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk.clock import Now
from edge_sdk.core.batch import Gap, Reason
from edge_sdk.core.receipt import Kind, Outcome
from edge_sdk.errors import StorageError
from edge_sdk.opening import Site
from edge_sdk.order import Held
from edge_sdk.queueing import MAX_ASIDE, NOW_TRIES, REMEMBERED, UNREADABLE_MS, Parcel
from edge_sdk.streams import Stream
from edge_sdk.transport import Lane
from tests import site as sites
from tests.site import CANARY, later, reading

DAY_MS = 86_400_000
ACKED = Outcome(Kind.ACKED, None, "receipt")
REFUSED = Outcome(Kind.REFUSED, None, "signed refusal 422")
LATER = Outcome(Kind.LATER, None, "status 500")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Site]:
    with sites.opened(sites.local_site(tmp_path)) as parts:
        parts.line.consent.count_as_heard(parts.clock.now().mono_ms)
        yield parts


def seal(parts: Site, *, alarms: bool = False, now: Now | None = None, times: int = 1) -> None:
    """Queue *times* batches of one row each, of monitoring or of alarms."""
    now = now or parts.clock.now()
    for _ in range(times):
        if alarms:
            assert parts.line.recording.record("alarm", {"serial": CANARY, "code": 7}, now.wall_ms)
        else:
            assert parts.line.recording.record("inverter", reading(1), now.wall_ms)
        parts.line.step(now, close=True)


def stream_of(parts: Site, purpose: str = "monitoring") -> Stream:
    return next(s for s in parts.line.binding.streams.values() if s.record.purpose == purpose)


def queue_of(parts: Site, purpose: str = "monitoring") -> list[Held]:
    return list(parts.line.rooms.outbox.queues.get(stream_of(parts, purpose).row, {}).values())


def gaps_of(parts: Site, purpose: str = "monitoring") -> list[Gap]:
    return [gap for _, gap in stream_of(parts, purpose).record.gaps]


def enforce(parts: Site, floor_ms: int, *, allowed_bytes: int = 1 << 40) -> None:
    parts.line.queueing.enforce(floor_ms, allowed_bytes=allowed_bytes)


def parcel_of(parts: Site, now: Now | None = None) -> Parcel:
    parcel = parts.line.next_parcel(now or parts.clock.now())
    assert parcel is not None
    return parcel


def settle(parts: Site, outcome: Outcome, now: Now | None = None) -> None:
    now = now or parts.clock.now()
    parts.line.settle(parcel_of(parts, now), outcome, now, 0.5)


def test_quota_takes_the_least_important_purpose_first_and_its_oldest_batch(parts: Site) -> None:
    seal(parts, alarms=True)  # importance 30, and the oldest
    seal(parts, times=3)  # importance 10
    held = parts.line.rooms.outbox.held_bytes()
    enforce(parts, 0, allowed_bytes=held - 1)
    assert [(one.first, one.last) for one in queue_of(parts)] == [(1, 1), (2, 2)]
    assert gaps_of(parts) == [Gap(0, 0, None, Reason.QUOTA)]
    enforce(parts, 0, allowed_bytes=1)
    assert queue_of(parts) == queue_of(parts, "alarms") == []
    assert gaps_of(parts) == [Gap(0, 2, None, Reason.QUOTA)]
    assert gaps_of(parts, "alarms") == [Gap(0, 0, None, Reason.QUOTA)]
    assert parts.line.queueing.counts["quota"] == 4


def test_within_its_quota_nothing_is_taken(parts: Site) -> None:
    seal(parts, times=3)
    enforce(parts, 0, allowed_bytes=parts.line.rooms.outbox.held_bytes())
    assert len(queue_of(parts)) == 3


def test_a_gap_of_quota_is_durable_with_the_loss(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path)
    with sites.opened(site) as parts:
        seal(parts)
        enforce(parts, 0, allowed_bytes=1)
    with sites.opened(site) as parts:
        told = [gap for stream in parts.line.binding.streams.values() for _, gap in stream.record.gaps]
        assert Gap(0, 0, None, Reason.QUOTA) in told
        assert all(held.last < held.first for held in queue_of(parts))


def test_age_is_counted_by_the_floor_only(parts: Site) -> None:
    now = parts.clock.now()
    seal(parts, now=now)
    spoofed = replace(now, mono_ms=now.mono_ms + 1, wall_ms=now.wall_ms + 40 * DAY_MS)
    parts.line.step(spoofed)
    assert len(queue_of(parts)) == 1  # a spoofed wall destroys nothing
    enforce(parts, now.floor_ms + 30 * DAY_MS)
    assert len(queue_of(parts)) == 1
    enforce(parts, now.floor_ms + 30 * DAY_MS + 1)
    assert queue_of(parts) == []
    assert gaps_of(parts) == [Gap(0, 0, None, Reason.TOO_OLD)]


def test_a_signed_refusal_sets_aside_with_a_gap(parts: Site) -> None:
    seal(parts)
    settle(parts, REFUSED)
    assert [row[4] for row in parts.line.rooms.outbox.aside()] == ["invalid"]
    assert gaps_of(parts) == [Gap(0, 0, None, Reason.INVALID)]


def test_what_is_set_aside_is_bounded_in_number(parts: Site) -> None:
    seal(parts, times=MAX_ASIDE + 3)
    for _ in range(MAX_ASIDE + 3):
        settle(parts, REFUSED)
    aside = parts.line.rooms.outbox.aside()
    assert [row[2] for row in aside] == list(range(3, MAX_ASIDE + 3))  # the oldest went first
    assert gaps_of(parts) == [Gap(0, MAX_ASIDE + 2, None, Reason.INVALID)]
    assert parts.line.queueing.counts["aside_dropped"] == 3


def test_what_is_set_aside_gives_way_before_anything_that_can_be_sent(parts: Site) -> None:
    seal(parts, times=3)
    settle(parts, REFUSED)
    settle(parts, REFUSED)
    size = queue_of(parts)[0].size
    enforce(parts, 0, allowed_bytes=2 * size)
    assert [row[2] for row in parts.line.rooms.outbox.aside()] == [1]
    assert len(queue_of(parts)) == 1
    assert parts.line.queueing.counts["aside_dropped"] == 1
    enforce(parts, 0, allowed_bytes=size)
    assert parts.line.rooms.outbox.aside() == []
    assert len(queue_of(parts)) == 1


def test_a_damaged_batch_is_set_aside_and_the_next_one_goes(parts: Site) -> None:
    seal(parts, times=2)
    first = queue_of(parts)[0]
    parts.line.rooms.outbox._db.execute("UPDATE sealed SET body=zeroblob(500) WHERE id=?", (first.id,))
    assert parcel_of(parts).held.first == 1
    assert [row[4] for row in parts.line.rooms.outbox.aside()] == ["damaged"]
    assert gaps_of(parts) == [Gap(0, 0, None, Reason.DAMAGED)]


def test_a_batch_the_medium_cannot_copy_is_dropped_and_one_it_cannot_drop_is_passed_over(
    parts: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(parts, times=3)
    outbox = parts.line.rooms.outbox
    unreadable = queue_of(parts)[0]
    real_body = outbox.sealed_body

    def body(held: Held) -> bytes:
        if held == unreadable:
            raise StorageError("outbox.db: SQLITE_CORRUPT")
        return real_body(held)

    def refuse(*_: object) -> None:
        raise StorageError("outbox.db: SQLITE_CORRUPT")

    monkeypatch.setattr(outbox, "sealed_body", body)
    monkeypatch.setattr(outbox, "set_aside", refuse)
    with monkeypatch.context() as narrower:
        narrower.setattr(outbox, "drop_sealed", refuse)
        now = parts.clock.now()
        assert parcel_of(parts, now).held.first == 1
        assert gaps_of(parts) == []
        assert unreadable in queue_of(parts)
    now = later(now, UNREADABLE_MS + 1)
    assert parcel_of(parts, now).held.first == 1
    assert gaps_of(parts) == [Gap(0, 0, None, Reason.DAMAGED)]
    assert unreadable not in queue_of(parts)


@pytest.mark.parametrize("what", ["refusal", "quota", "age", "receipt"])
def test_a_disk_that_refuses_doubles_no_gap_and_loses_no_batch(
    parts: Site, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "receipt":  # one that ends a gap is written at once
        stream_of(parts).miss(2, Reason.LATE)
    seal(parts, times=2)
    floor = parts.clock.now().floor_ms
    before, gaps = queue_of(parts), gaps_of(parts)
    does: Callable[[], None] = {
        "refusal": lambda: settle(parts, REFUSED),
        "receipt": lambda: settle(parts, ACKED),
        "quota": lambda: enforce(parts, 0, allowed_bytes=before[0].size),
        "age": lambda: enforce(parts, floor + 31 * DAY_MS),
    }[what]
    outbox = parts.line.rooms.outbox
    outbox._db.execute("PRAGMA query_only=ON")
    for _ in range(3):
        with pytest.raises(StorageError, match="SQLITE_READONLY"):
            does()
        assert (queue_of(parts), gaps_of(parts)) == (before, gaps)
    outbox._db.execute("PRAGMA query_only=OFF")
    does()
    told = gaps_of(parts)
    assert len(queue_of(parts)) == {"age": 0}.get(what, 1)
    assert told == {"receipt": [], "age": [Gap(0, 1, None, Reason.TOO_OLD)]}.get(
        what, [Gap(0, 0, None, Reason.INVALID if what == "refusal" else Reason.QUOTA)]
    )


def test_receipts_that_end_no_gap_go_with_the_next_write_or_the_next_step(parts: Site) -> None:
    seal(parts, times=5)
    statements: list[str] = []
    outbox = parts.line.rooms.outbox
    outbox._db.set_trace_callback(statements.append)
    for _ in range(2):
        settle(parts, ACKED)
    assert (len(queue_of(parts)), statements.count("COMMIT")) == (3, 0)
    seal(parts)
    assert (len(queue_of(parts)), statements.count("COMMIT")) == (4, 1)
    for _ in range(2):
        settle(parts, ACKED)
    parts.line.step(parts.clock.now())
    assert (len(queue_of(parts)), statements.count("COMMIT")) == (2, 2)
    outbox._db.set_trace_callback(None)
    assert outbox._db.execute("SELECT COUNT(*) FROM sealed").fetchone() == (2,)


def test_a_receipt_clears_the_gaps_its_batch_told_and_no_newer_ones(parts: Site) -> None:
    stream = stream_of(parts)
    stream.miss(2, Reason.LATE)
    seal(parts)
    stream.miss(3, Reason.OVERFLOW)
    settle(parts, ACKED)
    assert [gap.reason for gap in gaps_of(parts)] == [Reason.OVERFLOW]
    seal(parts)
    settle(parts, ACKED)
    assert gaps_of(parts) == []


def test_what_is_wanted_now_goes_first_in_its_own_lane(parts: Site) -> None:
    seal(parts, times=2)
    seal(parts, alarms=True)
    parcel = parcel_of(parts)
    assert (parcel.lane, parcel.held) == (Lane.NOW, queue_of(parts, "alarms")[0])
    settle(parts, ACKED)
    assert parcel_of(parts).lane is Lane.NORMAL


def test_a_batch_wanted_now_that_is_answered_badly_again_and_again_goes_behind_the_others(parts: Site) -> None:
    seal(parts)
    seal(parts, alarms=True)
    now = parts.clock.now()
    for _ in range(NOW_TRIES):
        assert parcel_of(parts, now).lane is Lane.NOW
        settle(parts, LATER, now)
        now = later(now, 60_000)
    parts.line.consent.count_as_heard(now.mono_ms)
    assert parcel_of(parts, now).lane is Lane.NORMAL


def test_an_outcome_for_a_batch_evicted_meanwhile_changes_nothing(parts: Site) -> None:
    seal(parts)
    parcel = parcel_of(parts)
    enforce(parts, 0, allowed_bytes=1)
    for outcome in (ACKED, REFUSED, LATER):
        parts.line.settle(parcel, outcome, parts.clock.now(), 0.5)
    assert gaps_of(parts) == [Gap(0, 0, None, Reason.QUOTA)]
    assert parts.line.rooms.outbox.aside() == []


def test_what_is_remembered_of_batches_goes_when_they_are_gone(parts: Site) -> None:
    seal(parts)
    settle(parts, LATER)
    queueing, (held,) = parts.line.queueing, queue_of(parts)
    queueing._tries.update(range(1_000_000, 1_000_000 + REMEMBERED))  # of streams that were withdrawn
    enforce(parts, 0)
    assert dict(queueing._tries) == {held.id: 1}
