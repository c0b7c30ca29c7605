"""
What cannot be sealed waits as long as its purpose allows and no longer; streams and keys do not pile up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_sdk import retention
from edge_sdk.clock import Now
from edge_sdk.core.batch import Gap, Reason
from edge_sdk.core.claims import Status
from edge_sdk.core.messages import EndedStream
from edge_sdk.core.units import DAY_MS
from edge_sdk.errors import StorageError
from edge_sdk.keypage import MAX_ENTRIES
from edge_sdk.opening import Site
from edge_sdk.streams import Stream
from edge_sdk.uplink import Errand
from edge_sdk.vault import MAX_KEYS
from tests import site as sites
from tests.site import LocalSite, later, reading


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    return sites.local_site(tmp_path, granted=("improvement", "research"))


@pytest.fixture
def parts(site: LocalSite) -> Iterator[Site]:
    with sites.opened(site) as parts:
        yield parts


def stream_of(parts: Site, purpose: str = "research") -> Stream:
    (stream,) = [stream for stream in parts.line.binding.streams.values() if stream.record.purpose == purpose]
    return stream


def record(parts: Site, count: int = 5) -> None:
    for number in range(count):
        fields = {**reading(number), "ssid": "home"}
        assert parts.line.recording.record("inverter", fields, parts.clock.now().wall_ms)
    parts.line.step(parts.clock.now(), flush=True)


def hear(site: LocalSite, parts: Site, now: Now) -> None:
    parts.line.consent._heard_mono_ms = None
    with sites.reached(site.collector) as collector:
        errand = None
        while errand is not Errand.DOWNLINK:
            trip = parts.uplink.next_trip(now)
            assert not isinstance(trip, int)
            parts.uplink.settle(trip, collector.answer(trip.request), now)
            errand = trip.errand


def deliver(site: LocalSite, parts: Site, now: Now) -> None:
    with sites.reached(site.collector) as collector:
        while not isinstance(trip := parts.uplink.next_trip(now), int):
            parts.uplink.settle(trip, collector.answer(trip.request), now)


def hold(site: LocalSite, parts: Site, purpose: str = "research") -> None:
    site.set_grant(purpose, Status.RESTRICTED)
    hear(site, parts, later(parts.clock.now(), 10_000))
    parts.line.step(parts.clock.now())


def gaps_of(stream: Stream) -> list[Gap]:
    return [gap for _, gap in stream.record.gaps]


@pytest.fixture
def held(site: LocalSite) -> Iterator[Site]:
    """Lend a site that was started anew with five rows of a purpose on hold, which nothing can seal."""
    with sites.opened(site) as parts:
        site.set_grant("research", Status.GIVEN)
        hear(site, parts, later(parts.clock.now(), 10_000))  # the floor is of this minute, not of the template site
        parts.line.step(parts.clock.now())
        record(parts)
        hold(site, parts)
        parts.line.finish(parts.clock.now())
    with sites.opened(site) as parts:
        yield parts


def test_rows_on_hold_go_when_they_are_too_old_and_are_told_row_by_row(held: Site) -> None:
    stream = stream_of(held)
    place = (stream.row, stream.record.batch)
    assert place in held.line.rooms.page.entries
    now = held.clock.now()
    held.line.step(later(now, 14 * DAY_MS - 60_000))
    assert stream.open_rows == 5
    held.line.step(later(now, 14 * DAY_MS + 60_000))
    assert stream.open_rows == 0
    assert gaps_of(stream) == [Gap(0, 4, None, Reason.TOO_OLD)]
    assert held.line.rooms.outbox.pending_rows(stream.row) == 0
    assert place not in held.line.rooms.page.entries
    assert held.line.recording.totals()["too_old_rows"] == 5


def test_a_spoofed_wall_clock_ages_nothing(held: Site) -> None:
    now = held.clock.now()
    held.line.step(Now(now.mono_ms + 60_000, now.wall_ms + 365 * DAY_MS, now.floor_ms))
    assert stream_of(held).open_rows == 5


def test_where_the_recipient_lost_its_key_rows_age_as_well(site: LocalSite, parts: Site) -> None:
    record(parts)
    parts.line.consent.recipients = None
    parts.line.step(later(parts.clock.now(), 14 * DAY_MS + 60_000))
    assert gaps_of(stream_of(parts)) == [Gap(0, 4, None, Reason.TOO_OLD)]


def test_restarts_do_not_make_rows_on_hold_younger(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts)
        hold(site, parts)
        began = parts.clock.now()
    for _ in range(2):
        with sites.opened(site) as parts:
            parts.line.step(later(parts.clock.now(), 1000), flush=True)
    with sites.opened(site) as parts:
        parts.line.step(later(began, 14 * DAY_MS + 60_000))
        assert stream_of(parts).open_rows == 0
        assert Gap(0, 4, None, Reason.TOO_OLD) in gaps_of(stream_of(parts))


def test_rows_that_can_be_sealed_are_sealed_however_old(site: LocalSite, parts: Site) -> None:
    record(parts)
    certified, parts.line.consent.recipients = parts.line.consent.recipients, None
    began = parts.clock.now()
    parts.line.step(later(began, 29 * DAY_MS))
    parts.line.consent.recipients = certified
    parts.line.step(later(began, 31 * DAY_MS))
    stream = stream_of(parts, "monitoring")
    assert [(held.first, held.last) for held in parts.line.rooms.outbox.queues[stream.row].values()] == [(0, 4)]
    assert gaps_of(stream) == []


def test_open_windows_on_hold_go_too(site: LocalSite, parts: Site) -> None:
    record(parts)
    stream = stream_of(parts, "improvement")
    parts.line.binding.decisions.clear()
    retention.drop_open(stream, parts.line.rooms, Reason.TOO_OLD)
    assert gaps_of(stream) == [Gap(0, None, None, Reason.TOO_OLD)]
    assert parts.line.rooms.outbox.partial(stream.row) is None
    assert not stream.has_open_windows


def waiting(parts: Site, *rows: int) -> set[bytes]:
    """Return the ids of the batches that wait, of all streams or of *rows*."""
    queues = parts.line.rooms.outbox.queues
    return {held.batch_id for row in rows or queues for held in queues.get(row, {}).values()}


@dataclass(frozen=True)
class Forgotten:
    """What a site recorded under an edition whose text it has not any more."""

    row: int
    began: Now
    batches: set[bytes]


def forgotten(site: LocalSite, *, close: bool = False) -> Forgotten:
    """Record, have the site forget the text of the policy in force, and find another one at its next start."""
    with sites.opened(site) as parts:
        record(parts)
        row, began = stream_of(parts).row, parts.clock.now()
        parts.line.step(began, close=close)
        parts.line.consent.held.policies.clear()
        parts.line.consent.save()
        site.edit(('ssid = "keep"', ""), file="policy.toml")
        return Forgotten(row, began, waiting(parts, row))


def test_rows_of_an_edition_nobody_knows_wait_and_then_go(site: LocalSite) -> None:
    recorded = forgotten(site)
    row, began = recorded.row, recorded.began
    with sites.opened(site) as parts:
        parts.line.step(later(began, 14 * DAY_MS - 60_000), flush=True)
        stream = parts.line.binding.streams[row]
        assert stream.purpose is None
        assert parts.line.rooms.outbox.pending_rows(row) == 5
        parts.line.step(later(began, 14 * DAY_MS + 60_000), flush=True)
        assert parts.line.rooms.outbox.pending_rows(row) == 0
        assert Gap(0, 4, None, Reason.TOO_OLD) in gaps_of(stream)


def test_a_batch_of_an_edition_nobody_knows_ages_as_well(site: LocalSite) -> None:
    recorded = forgotten(site, close=True)
    with sites.opened(site) as parts:
        assert recorded.batches
        assert recorded.batches <= waiting(parts)
        parts.line.step(later(recorded.began, 14 * DAY_MS + 60_000))
        assert not recorded.batches & waiting(parts)


def test_a_stream_that_is_over_with_gaps_nobody_will_be_told_goes_and_the_authority_hears_of_it(
    site: LocalSite,
) -> None:
    recorded = forgotten(site)
    row, began = recorded.row, recorded.began
    with sites.opened(site) as parts:
        stream_id = parts.line.binding.streams[row].record.stream_id
        for days in (15, 16, 31):
            parts.line.step(later(began, days * DAY_MS), flush=True)
        assert row not in parts.line.binding.streams
        assert row not in {stored.id for stored in parts.line.rooms.outbox.streams()}
        told = [told for told in parts.line.consent.held.to_tell if isinstance(told, EndedStream)]
        assert (told[0].stream, told[0].rows, told[0].receipted) == (stream_id, 5, 0)


def test_streams_make_place_the_least_important_that_is_over_first(
    site: LocalSite, parts: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(parts)
    old = stream_of(parts)
    monkeypatch.setattr(retention, "MAX_STREAMS", len(parts.line.binding.streams))
    site.set_grant("research", Status.GIVEN)  # a new grant: another stream
    hear(site, parts, later(parts.clock.now(), 10_000))
    parts.line.step(parts.clock.now())
    assert parts.line.recording.totals()["streams_dropped"] == 1
    assert stream_of(parts).record.stream_id != old.record.stream_id
    (told,) = [told for told in parts.line.consent.held.to_tell if isinstance(told, EndedStream)]
    assert (told.stream, told.destroyed) == (old.record.stream_id, 5)


def test_where_no_stream_is_over_a_new_one_waits(parts: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_STREAMS", 1)
    with pytest.raises(StorageError, match="streams are open"):
        parts.line.binding.retention.make_place()


def test_a_crowded_key_page_makes_room_by_what_cannot_be_sealed(site: LocalSite) -> None:
    row = forgotten(site).row
    with sites.opened(site) as parts:
        page = parts.line.rooms.page
        for number in range(MAX_ENTRIES * 2 // 3 + 2 - len(page.entries)):
            page.put(1000 + number, 0, os.urandom(60))
        for _ in range(3):
            parts.line.step(parts.clock.now())
        assert (row, 0) not in page.entries
        assert Reason.QUOTA in [gap.reason for gap in gaps_of(parts.line.binding.streams[row])]


def test_keys_of_grants_that_are_over_and_empty_are_destroyed(site: LocalSite, parts: Site) -> None:
    vault = parts.line.rooms.vault
    grants = []
    for round_ in range(5):
        grants.append({entry.grant_id for entry in vault.ring.purposes.values() if entry.purpose == "research"})
        site.set_grant("research", Status.GIVEN)
        now = later(parts.clock.now(), 20_000 * (round_ + 1))
        hear(site, parts, now)
        parts.line.step(now, flush=True, close=True)
        deliver(site, parts, now)
    left = {entry.grant_id for entry in vault.ring.purposes.values() if entry.purpose == "research"}
    assert len(left) <= 3  # in force, the one before it, and one that is listed still
    assert not left & grants[0]
    assert {entry.purpose for entry in vault.ring.purposes.values()} >= {"monitoring", "improvement"}


def test_pseudonyms_go_with_the_last_key_of_a_purpose_the_policy_has_no_more(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts)
        assert "research" in parts.line.rooms.vault.ring.pseudonyms
        parts.line.binding.retention.prune((), declared=("monitoring",))
        assert "research" in parts.line.rooms.vault.ring.pseudonyms  # rows of it are stored
        parts.line.binding.retention._forget(stream_of(parts))
        parts.line.binding.retention.prune((), declared=("monitoring",))
        assert "research" not in parts.line.rooms.vault.ring.pseudonyms
        assert "improvement" in parts.line.rooms.vault.ring.pseudonyms


def test_the_vault_takes_no_key_that_it_could_not_read_back(parts: Site) -> None:
    vault = parts.line.rooms.vault
    entry = next(iter(vault.ring.purposes.values()))
    for number in range(MAX_KEYS - len(vault.ring.purposes)):
        vault.ring.purposes[number.to_bytes(8)] = entry
    with pytest.raises(StorageError, match="keys are in use"):
        vault.add_purpose("one_more", b"g" * 16)
    assert len(vault.ring.purposes) == MAX_KEYS
