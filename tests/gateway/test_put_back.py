"""
A state folder that is put back, or that runs twice: no number of a stream is used for two rows, and it shows.

Real sites, a real collector; the image is a copy of the folder, made while the site runs or when it was closed.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from edge_sdk import retention
from edge_sdk.collector import folder as collecting
from edge_sdk.collector.opened import Place
from edge_sdk.core.batch import Reason
from edge_sdk.opening import Site
from edge_sdk.streams import Stream
from tests import site as sites
from tests.site import LocalSite, later, reading


def image_of(site: LocalSite, name: str = "image") -> Path:
    return shutil.copytree(site.state, site.folder / name)


def put_back(site: LocalSite, image: Path) -> None:
    shutil.rmtree(site.state)
    shutil.copytree(image, site.state)


def record(parts: Site, count: int, *, first: int = 0) -> None:
    for number in range(first, first + count):
        assert parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)
    parts.line.step(parts.clock.now(), flush=True)


def seal(parts: Site, *, cut: bool = True) -> None:
    parts.line.step(parts.clock.now(), close=True, cut=cut)


def deliver(site: LocalSite, parts: Site) -> None:
    """Send all there is, and what a receipt leaves to tell."""
    with sites.reached(site.collector) as collector:
        for second in range(2):
            now = later(parts.clock.now(), 10 + 1000 * second)
            parts.line.step(now)
            while not isinstance(trip := parts.uplink.next_trip(now), int):
                parts.uplink.settle(trip, collector.answer(trip.request), now)
    assert not parts.line.rooms.outbox.queues


def streams_of(parts: Site, purpose: str = "monitoring") -> list[Stream]:
    return [s for s in parts.line.binding.streams.values() if s.record.purpose == purpose]


def stream_of(parts: Site, purpose: str = "monitoring") -> Stream:
    (stream,) = [s for s in streams_of(parts, purpose) if not s.record.ended]
    return stream


def forks(site: LocalSite) -> list[Place]:
    return list(collecting.opener_report(site.collector).forks)


def energies(site: LocalSite) -> list[int]:
    return [row.fields["energy"] for row in site.rows() if row.purpose == "monitoring"]


def places(site: LocalSite) -> Counter[tuple[bytes, int]]:
    return Counter((row.stream, row.seq) for row in site.rows())


def test_each_start_writes_to_streams_that_were_not_there_before(site: LocalSite) -> None:
    ids = []
    for number in range(3):
        with sites.opened(site) as parts:
            ids += [stream.record.stream_id for stream in parts.line.binding.streams.values()]
            record(parts, 1, first=number)
            parts.line.finish(parts.clock.now())
    assert len(set(ids)) == len(ids) == 9  # three purposes, three starts


def test_starts_lose_nothing_and_double_nothing(site: LocalSite) -> None:
    for number in range(5):
        with sites.opened(site) as parts:
            record(parts, 2, first=2 * number)
            if number == 1:
                seal(parts, cut=False)
            if number == 3:
                deliver(site, parts)
            parts.line.finish(parts.clock.now())
    with sites.opened(site) as parts:
        seal(parts)
        deliver(site, parts)
    assert energies(site) == list(range(10))
    assert sum(row.count or 0 for row in site.rows() if row.purpose == "improvement") == 10
    assert site.gaps() == []
    assert forks(site) == []


def test_what_a_stop_left_open_goes_over_with_its_windows(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 3)
        seal(parts, cut=False)
        record(parts, 3, first=3)
        parts.line.finish(parts.clock.now())
    with sites.opened(site) as parts:
        assert stream_of(parts).open_rows == 3
        assert [stream.record.next_seq for stream in streams_of(parts)] == [0, 3]
        (windows,) = [outlet.windows for outlet in stream_of(parts, "improvement").outlets]
        assert windows is not None
        assert windows.latest_ms() > 0


def test_a_stream_that_has_sent_all_and_told_all_is_not_kept(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 3)
        seal(parts)
        deliver(site, parts)
        parts.line.finish(parts.clock.now())
    with sites.opened(site) as parts:
        assert len(parts.line.rooms.outbox.streams()) == 3


def test_a_power_gap_is_told_once_where_the_rows_would_have_been(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 3)
        seal(parts)
        record(parts, 2, first=3)
        stream_id = stream_of(parts).record.stream_id
    with sites.opened(site) as parts:
        seal(parts)
        deliver(site, parts)
        new = stream_of(parts).record.stream_id
    told = [gap for gap in site.gaps() if gap.stream in (stream_id, new)]
    assert [(gap.stream, gap.first, gap.last, gap.count, gap.reason) for gap in told] == [
        (new, 2, None, None, Reason.POWER)
    ]


def test_losses_told_before_a_stop_are_told_with_the_same_count_after_it(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 3)
        seal(parts)
        deliver(site, parts)
        stream = stream_of(parts)
        stream.miss(4, Reason.LATE)
        record(parts, 2, first=3)
        stream.miss(3, Reason.LATE)
        parts.line.finish(parts.clock.now())
    with sites.opened(site) as parts:
        seal(parts)
        deliver(site, parts)
    late = [gap for gap in site.gaps() if gap.reason is Reason.LATE]
    assert [(gap.stream, gap.first, gap.count) for gap in late] == [(stream.record.stream_id, 3, 7)]
    assert energies(site) == list(range(5))


def test_a_folder_put_back_numbers_no_row_like_one_that_was_sent(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 3)
        seal(parts, cut=False)
        record(parts, 2, first=3)
        image = image_of(site)
        record(parts, 4, first=5)
        seal(parts)
        deliver(site, parts)
    before = site.rows()
    put_back(site, image)
    with sites.opened(site) as parts:
        record(parts, 5, first=100)
        seal(parts)
        deliver(site, parts)
    assert max(places(site).values()) == 1
    assert set(energies(site)) == {*range(9), *range(100, 105)}
    assert site.rows()[: len(before)] == before


def test_a_folder_put_back_is_reported_where_its_history_parts_from_the_one_that_was_sent(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 3)
        seal(parts)
        image = image_of(site)
        record(parts, 4, first=3)
        seal(parts)
        deliver(site, parts)
        stream_id = stream_of(parts).record.stream_id
    assert forks(site) == []
    put_back(site, image)
    with sites.opened(site) as parts:
        record(parts, 1, first=100)
        seal(parts)
        deliver(site, parts)
    assert Place(stream_id, 3) in forks(site)


def test_two_folders_of_one_device_that_both_run_are_reported(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 3)
        seal(parts)
        deliver(site, parts)
        stream_id = stream_of(parts).record.stream_id
        parts.line.finish(parts.clock.now())
    image = image_of(site)
    for first in (10, 20):  # first on the folder, then on its image
        with sites.opened(site) as parts:
            record(parts, 2, first=first)
            seal(parts)
            deliver(site, parts)
        put_back(site, image)
    assert Place(stream_id, 3) in forks(site)
    assert max(places(site).values()) == 1
    assert energies(site) == [0, 1, 2, 10, 11, 20, 21]


def test_a_medium_that_forgot_a_sealed_batch_numbers_none_like_it(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 3)
        image = image_of(site)  # what a card that lied about its last sync would still hold
        seal(parts)
        deliver(site, parts)
    put_back(site, image)
    with sites.opened(site) as parts:
        record(parts, 1, first=100)
        seal(parts)
        deliver(site, parts)
    assert max(places(site).values()) == 1


def test_what_waited_at_a_stop_keeps_its_numbers_and_is_stored_once(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 3)
        seal(parts)
        stream_id = stream_of(parts).record.stream_id
        image = image_of(site)
        deliver(site, parts)
    put_back(site, image)
    with sites.opened(site) as parts:
        deliver(site, parts)
    assert [(row.stream, row.seq) for row in site.rows() if row.purpose == "monitoring"] == [
        (stream_id, seq) for seq in range(3)
    ]
    assert forks(site) == []


def test_only_streams_that_were_sealed_are_listed_as_used(site: LocalSite) -> None:
    for number in range(4):
        with sites.opened(site) as parts:
            record(parts, 1, first=number)
            parts.line.finish(parts.clock.now())
    with sites.opened(site) as parts:
        seal(parts)
        used = parts.line.consent.held.uses["monitoring"].streams
        assert len(used) == 2  # the very first, and the one that was sealed
        assert used[-1] == stream_of(parts).record.stream_id


def test_a_device_that_starts_ever_again_without_a_network_keeps_a_bounded_number_of_streams(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_STREAMS", 9)
    for number in range(5):
        with sites.opened(site) as parts:
            record(parts, 1, first=number)
            seal(parts)
            parts.line.finish(parts.clock.now())
            assert len(parts.line.rooms.outbox.streams()) <= 9
    with sites.opened(site) as parts:
        assert parts.line.recording.totals()["streams_dropped"] > 0
        deliver(site, parts)
    assert energies(site) == list(range(5))  # what is less important goes first
    assert forks(site) == []


def test_streams_that_follow_one_another_have_the_key_certified_for_their_purpose(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 1)
        seal(parts)
        deliver(site, parts)
    with sites.opened(site) as parts:
        record(parts, 1, first=1)
        seal(parts)
        deliver(site, parts)
    with collecting.open_opener(site.collector) as opener, opener._store._database.read() as connection:
        pairs = connection.execute(
            "SELECT key, group_concat(DISTINCT purpose) FROM streams JOIN rows ON rows.stream = streams.id GROUP BY key"
        ).fetchall()
    assert sorted(purpose for _, purpose in pairs) == ["improvement", "monitoring"]
