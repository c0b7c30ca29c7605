"""
The line on a disk that fails, and across decisions that change: what was promised stays, what is ended goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from edge_sdk import files, requests
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.batch import Reason
from edge_sdk.core.claims import Status
from edge_sdk.core.units import DAY_MS
from edge_sdk.errors import StorageError
from edge_sdk.line import REST_MS, RETRY_MS, TICK_MS
from edge_sdk.opening import Site
from edge_sdk.requests import Wish
from edge_sdk.streams import Stream
from edge_sdk.uplink import Errand
from tests import site as sites
from tests.site import CANARY, LocalSite, later, reading


@pytest.fixture
def parts(site: LocalSite) -> Iterator[Site]:
    with sites.opened(site) as parts:
        yield parts


@contextmanager
def read_only_queue(parts: Site) -> Iterator[None]:
    """Have SQLite refuse every write inside the block."""
    database = parts.line.rooms.outbox._db
    database.execute("PRAGMA query_only=ON")
    try:
        yield
    finally:
        database.execute("PRAGMA query_only=OFF")


@contextmanager
def read_only_files() -> Iterator[None]:
    """Have every write of a file beside the queue fail inside the block."""
    with mock.patch.object(files, "write_beside", side_effect=StorageError("cannot write: ENOSPC")):
        yield


def streams_of(parts: Site, purpose: str) -> list[Stream]:
    return [s for s in parts.line.binding.streams.values() if s.record.purpose == purpose]


def record(parts: Site, count: int, *, first: int = 0) -> None:
    for number in range(first, first + count):
        assert parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)


def hear(site: LocalSite, parts: Site, *, after_ms: int = 10_000) -> None:
    """Have the device hear the downlink that waits for it now."""
    parts.line.consent._heard_mono_ms = None
    with sites.reached(site.collector) as collector:
        now = later(parts.clock.now(), after_ms)
        errand = None
        while errand is not Errand.DOWNLINK:  # what the authority is to be told goes first
            trip = parts.uplink.next_trip(now)
            assert not isinstance(trip, int)
            parts.uplink.settle(trip, collector.answer(trip.request), now)
            errand = trip.errand


def test_a_flush_the_disk_refuses_is_told_and_nothing_is_lost_or_doubled(site: LocalSite, parts: Site) -> None:
    record(parts, 5)
    with read_only_queue(parts):
        for _ in range(3):
            with pytest.raises(StorageError):
                parts.line.step(parts.clock.now(), flush=True)
        with pytest.raises(StorageError):
            parts.line.step(parts.clock.now(), close=True)
    record(parts, 5, first=5)
    parts.line.step(parts.clock.now(), flush=True, close=True)
    deliver(site, parts)
    assert [row.fields["energy"] for row in site.rows() if row.purpose == "monitoring"] == list(range(10))


def deliver(site: LocalSite, parts: Site) -> None:
    now = later(parts.clock.now(), 10)
    with sites.reached(site.collector) as collector:
        while not isinstance(trip := parts.uplink.next_trip(now), int):
            parts.uplink.settle(trip, collector.answer(trip.request), now)
    assert not parts.line.rooms.outbox.queues


def test_without_being_asked_a_refusing_disk_is_counted_and_tried_again_after_a_while(parts: Site) -> None:
    now = parts.clock.now()
    record(parts, 60)  # enough to close a batch
    with read_only_queue(parts):
        parts.line.step(now)
        parts.line.step(later(now, 1))
        parts.line.step(later(now, RETRY_MS + 1))
    assert parts.line.recording.totals()["storage_errors"] == 2
    parts.line.step(later(now, 2 * RETRY_MS + 2))
    assert len(parts.line.rooms.outbox.queues) == 1


def test_a_refusing_disk_is_tried_again_by_the_look_that_comes_then(parts: Site) -> None:
    now = parts.clock.now()
    record(parts, 60)
    with read_only_queue(parts):
        parts.line.step(now)
    parts.line.tick(later(now, RETRY_MS - 1))
    assert len(parts.line.rooms.outbox.queues) == 0
    parts.line.tick(later(now, RETRY_MS))
    assert len(parts.line.rooms.outbox.queues) == 1


@pytest.mark.parametrize("flush_ms", [100, 5_000, 60_000])
def test_rows_are_stored_as_often_as_the_site_says(site: LocalSite, flush_ms: int) -> None:
    site.edit(("max_rows = 50", f'max_rows = 50\nflush_every = "{flush_ms}ms"'))
    with sites.opened(site) as parts:
        now = at = parts.clock.now()
        parts.line.step(now, flush=True)
        record(parts, 3)
        while at.mono_ms < now.mono_ms + flush_ms:
            assert parts.line.rooms.outbox.pending_rows(streams_of(parts, "monitoring")[0].row) == 0
            at = later(at, parts.line.tick(at))
        assert at.mono_ms == now.mono_ms + flush_ms
        parts.line.tick(at)
        assert parts.line.rooms.outbox.pending_rows(streams_of(parts, "monitoring")[0].row) == 3


def test_memory_stays_bounded_while_the_disk_refuses_and_the_loss_is_a_gap(site: LocalSite) -> None:
    site.edit(("max_rows = 50", "max_rows = 50\nmemory_rows = 100"))
    with sites.opened(site) as parts:
        now = parts.clock.now()
        with read_only_queue(parts):
            for round_ in range(20):
                for number in range(50):
                    parts.line.recording.record("inverter", reading(number), now.wall_ms)
                parts.line.step(later(now, round_ * RETRY_MS))
            (stream,) = streams_of(parts, "monitoring")
            assert stream.open_rows <= 150
        parts.line.step(later(now, 30 * RETRY_MS), close=True)
        lost = [gap.count for _, gap in stream.record.gaps if gap.reason is Reason.OVERFLOW]
        assert lost == [1000 - stream.record.next_seq]


def test_a_purpose_that_cannot_begin_for_the_disk_stops_no_other_and_begins_later(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path, granted=())
    with sites.opened(site) as parts:
        site.set_grant("improvement", Status.GIVEN)
        hear(site, parts)
        with read_only_files():
            parts.line.step(parts.clock.now())
            assert parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms) == 1
            assert "the disk refuses" in parts.line.binding.decisions["improvement"].because
            assert streams_of(parts, "improvement") == []
        parts.line.step(parts.clock.now())
        assert parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms) == 2
        (stream,) = streams_of(parts, "improvement")
        assert [(gap.first, gap.count, gap.reason) for _, gap in stream.record.gaps] == [(0, None, Reason.DAMAGED)]
    with sites.opened(site) as parts:
        assert len(streams_of(parts, "improvement")) == 1  # its key was stored before the stream was


def test_a_request_that_a_full_disk_leaves_unanswered_is_done_once_and_stops_nothing(parts: Site) -> None:
    done = []
    parts.line.desk.does(Wish.SEND, lambda _asked, _now: done.append(1))
    requests.ask(parts.config.folder, requests.Asked(Wish.SEND))
    with read_only_files():
        for second in range(3):
            parts.line.step(later(parts.clock.now(), 1000 * second))
        assert parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms) > 0
    assert requests.take_answer(parts.config.folder) is None
    parts.line.step(later(parts.clock.now(), 4000))
    assert requests.take_answer(parts.config.folder) == (True, "done")
    assert done == [1]
    requests.ask(parts.config.folder, requests.Asked(Wish.SEND))
    parts.line.step(later(parts.clock.now(), 5000))
    assert done == [1, 1]


def test_a_withdrawal_destroys_keys_rows_and_batches_and_no_other_purpose_notices(
    site: LocalSite, parts: Site
) -> None:
    record(parts, 5)
    parts.line.step(parts.clock.now(), flush=True)
    (improvement,) = streams_of(parts, "improvement")
    key = improvement.entry.key
    site.set_grant("improvement", Status.WITHDRAWN)
    hear(site, parts)
    parts.line.step(parts.clock.now())
    assert streams_of(parts, "improvement") == []
    with pytest.raises(RuntimeError, match="destroyed"):
        key.reveal()
    outbox = parts.line.rooms.outbox
    assert improvement.row not in {row.id for row in outbox.streams()}
    assert outbox.partial(improvement.row) is None
    assert all(place[0] != improvement.row for place in parts.line.rooms.page.entries)
    (monitoring,) = streams_of(parts, "monitoring")
    assert monitoring.open_rows == 5
    assert parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms) == 1


def test_a_withdrawal_on_a_full_disk_stops_at_once_and_is_finished_when_there_is_room(
    site: LocalSite, parts: Site
) -> None:
    record(parts, 5)
    parts.line.step(parts.clock.now(), flush=True)
    (improvement,) = streams_of(parts, "improvement")
    site.set_grant("improvement", Status.WITHDRAWN)
    with read_only_files():
        hear(site, parts)
        parts.line.step(parts.clock.now())
        assert not parts.line.recording.allowed("inverter", "nothing")
        assert streams_of(parts, "improvement") == []
        assert parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms) == 1
    with read_only_queue(parts):
        parts.line.step(parts.clock.now())
    assert improvement.row in {row.id for row in parts.line.rooms.outbox.streams()}
    parts.line.step(parts.clock.now())
    assert improvement.row not in {row.id for row in parts.line.rooms.outbox.streams()}
    hear(site, parts, after_ms=60_000)
    shutil.copytree(site.folder, site.folder.parent / "copy")
    with sites.opened(LocalSite(site.folder.parent / "copy")) as copy:
        here, there = parts.line.consent.statement, copy.line.consent.statement
        assert here is not None
        assert there is not None
        assert there.version == here.version
        assert streams_of(copy, "improvement") == []


def test_consent_given_anew_opens_nothing_before_it_is_stored(site: LocalSite, parts: Site) -> None:
    site.set_grant("improvement", Status.WITHDRAWN)
    hear(site, parts)
    site.set_grant("improvement", Status.GIVEN)
    with read_only_files():
        hear(site, parts, after_ms=60_000)
        parts.line.step(parts.clock.now())
        assert parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms) == 1
    hear(site, parts, after_ms=120_000)
    parts.line.step(parts.clock.now())
    assert parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms) == 2


def test_a_wipe_order_that_comes_with_a_statement_the_disk_refuses_is_due_all_the_same(
    site: LocalSite, parts: Site
) -> None:
    (device,) = collecting.devices(site.collector)
    operating.cancel(site.collector, device.generation, ["improvement"], not_before_s=None, now_s=wall_s())
    site.set_grant("monitoring", Status.RESTRICTED)
    with read_only_files():
        hear(site, parts)
    assert parts.line.consent.due_order(later(parts.clock.now(), 20_000)) is not None


def test_consent_given_anew_revives_no_old_rows(site: LocalSite, parts: Site) -> None:
    record(parts, 5)
    parts.line.step(parts.clock.now(), close=True, cut=True)
    (old,) = streams_of(parts, "improvement")
    assert old.row in parts.line.rooms.outbox.queues
    site.set_grant("improvement", Status.WITHDRAWN)
    site.set_grant("improvement", Status.GIVEN)
    hear(site, parts)
    parts.line.step(parts.clock.now())
    assert old.row not in parts.line.rooms.outbox.queues
    (new,) = streams_of(parts, "improvement")
    assert new.record.stream_id != old.record.stream_id
    assert new.entry.key != old.entry.key
    assert new.open_rows == 0
    assert parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms) == 2


def test_consent_renewed_still_delivers_what_waited_under_the_one_before(site: LocalSite, parts: Site) -> None:
    record(parts, 5)
    parts.line.step(parts.clock.now(), close=True, cut=True)
    site.set_grant("improvement", Status.GIVEN)
    hear(site, parts)
    parts.line.step(parts.clock.now(), close=True)
    deliver(site, parts)
    assert [row.count for row in site.rows() if row.purpose == "improvement"] == [5]


def test_what_waits_under_a_consent_that_is_listed_no_more_is_held(site: LocalSite, parts: Site) -> None:
    record(parts, 5)
    parts.line.step(parts.clock.now(), close=True, cut=True)
    (old,) = streams_of(parts, "improvement")
    for _ in range(2):  # twice: the statement lists only the newest of the replaced ones
        site.set_grant("improvement", Status.WITHDRAWN)
        site.set_grant("improvement", Status.GIVEN)
    hear(site, parts)
    parts.line.step(parts.clock.now())
    assert parts.line.permit(old, parts.clock.now()) is None


def test_a_power_gap_found_while_on_hold_survives_a_clean_stop(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 5)
        parts.line.step(parts.clock.now(), flush=True)  # and no finish(): the power goes
    with sites.opened(site) as parts:
        site.set_grant("improvement", Status.RESTRICTED)
        hear(site, parts)
        parts.line.step(parts.clock.now())
        parts.line.finish(parts.clock.now())
    with sites.opened(site) as parts:
        (stream,) = streams_of(parts, "improvement")
        assert [gap.reason for _, gap in stream.record.gaps] == [Reason.POWER]


def test_a_clean_stop_tells_no_gap(site: LocalSite) -> None:
    for _ in range(2):
        with sites.opened(site) as parts:
            record(parts, 2)
            parts.line.finish(parts.clock.now())
    with sites.opened(site) as parts:
        assert not any(s.record.gaps for s in parts.line.binding.streams.values())
        assert streams_of(parts, "monitoring")[0].open_rows == 4


def test_an_unclean_stop_is_told_once_in_each_stream(site: LocalSite) -> None:
    for _ in range(2):
        with sites.opened(site) as parts:
            record(parts, 2)
            parts.line.step(parts.clock.now(), flush=True)
    with sites.opened(site) as parts:
        gaps = {s.record.purpose: [g.reason for _, g in s.record.gaps] for s in parts.line.binding.streams.values()}
        assert set(gaps) == {"monitoring", "alarms", "improvement"}
        assert all(set(reasons) == {Reason.POWER} for reasons in gaps.values())


def test_rows_whose_key_is_gone_are_a_counted_gap(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 5)
        parts.line.finish(parts.clock.now())
    (site.state / "page.bin").unlink()
    with sites.opened(site) as parts:
        (stream,) = streams_of(parts, "monitoring")
        assert stream.open_rows == 0
        assert [(gap.reason, gap.count) for _, gap in stream.record.gaps] == [(Reason.DAMAGED, 5)]


def test_a_key_that_could_not_be_put_on_the_page_is_not_used(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        record(parts, 5)
        with (
            mock.patch.object(files.Page, "write_slot", side_effect=StorageError("EIO")),
            pytest.raises(StorageError),
        ):
            parts.line.step(parts.clock.now(), flush=True)
        parts.line.step(parts.clock.now(), flush=True)
    with sites.opened(site) as parts:
        assert streams_of(parts, "monitoring")[0].open_rows == 5


def test_the_pseudonym_of_a_source_is_the_same_after_a_disk_that_failed_at_its_making(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path, granted=())
    with sites.opened(site) as parts:
        site.set_grant("improvement", Status.GIVEN)
        hear(site, parts)
        real = files.write_beside
        calls = []

        def fail_second(path: Path, content: bytes, mode: int = 0o600) -> Path:
            calls.append(path.name)
            if len(calls) == 2:  # the purpose's key is stored, its pseudonym key is not
                raise StorageError("cannot write vault.bin: ENOSPC")
            return real(path, content, mode)

        with mock.patch.object(files, "write_beside", fail_second):
            parts.line.step(parts.clock.now())
        assert calls == ["vault.bin", "vault.bin"]
        parts.line.step(parts.clock.now())
        key = parts.line.rooms.vault.ring.pseudonyms["improvement"][1]
    with sites.opened(site) as parts:
        assert parts.line.rooms.vault.ring.pseudonyms["improvement"][1] == key


def test_night_included_an_empty_batch_goes_out_at_each_cadence(parts: Site) -> None:
    now = parts.clock.now()
    now = later(now, DAY_MS * 3 // 2 - now.wall_ms % DAY_MS)  # noon: at midnight the cadence gets another phase
    parts.line.step(now)
    hour = parts.config.limits.max_age_ms
    parts.line.step(later(now, hour))
    first = {row: len(queue) for row, queue in parts.line.rooms.outbox.queues.items()}
    assert len(first) == 3  # one a purpose that may collect
    parts.line.step(later(now, 2 * hour))
    assert {row: len(queue) for row, queue in parts.line.rooms.outbox.queues.items()} == first  # none while one waits


def test_an_alarm_closes_its_batch_at_once_but_not_more_often_than_allowed(parts: Site) -> None:
    now = parts.clock.now()
    for at_ms in (0, 1_000, 9_000, 11_000):
        parts.line.recording.record("alarm", {"serial": CANARY, "code": 7}, now.wall_ms)
        parts.line.step(later(now, at_ms))
    (alarms,) = streams_of(parts, "alarms")
    spans = [(held.first, held.last) for held in parts.line.rooms.outbox.queues[alarms.row].values()]
    assert spans == [(0, 0), (1, 3)]


def test_draining_with_a_cut_loses_nothing_of_a_counter(site: LocalSite, parts: Site) -> None:
    for number in (10, 30, 70, 150):
        parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)
        parts.line.step(parts.clock.now(), close=True, cut=True)
    hear(site, parts)
    deliver(site, parts)
    rows = [row for row in site.rows() if row.purpose == "improvement"]
    assert sum(row.fields["energy"] for row in rows) == 150 - 10
    assert all(row.partial for row in rows)


def test_a_tick_at_which_nothing_changed_leaves_rows_to_the_next_step_that_is_due(parts: Site) -> None:
    now = parts.clock.now()
    parts.line.step(now)
    record(parts, 3)
    parts.line.tick(later(now, TICK_MS))
    assert parts.line.recording.counts["recorded"] == 0
    parts.line.tick(later(now, REST_MS))
    assert parts.line.recording.counts["recorded"] == 3


def test_an_alarm_waits_for_no_step_that_is_due(parts: Site) -> None:
    now = parts.clock.now()
    parts.line.step(now)
    parts.line.recording.record("alarm", {"serial": CANARY, "code": 7}, now.wall_ms)
    parts.line.tick(later(now, TICK_MS))
    (alarms,) = streams_of(parts, "alarms")
    assert len(parts.line.rooms.outbox.queues[alarms.row]) == 1


def test_a_request_is_served_at_the_next_tick(parts: Site) -> None:
    now = parts.clock.now()
    parts.line.step(now)
    requests.ask(parts.config.folder, requests.Asked(Wish.STOP))
    parts.line.tick(later(now, TICK_MS))
    assert parts.line.incidents.is_stopped


def test_what_is_denied_is_collected_no_more_from_the_next_tick_on(parts: Site) -> None:
    now = parts.clock.now()
    parts.line.step(now)
    parts.line.consent.deny({"monitoring"})
    assert "monitoring" in parts.line.binding.collecting
    parts.line.tick(later(now, TICK_MS))
    assert "monitoring" not in parts.line.binding.collecting
