"""
Where readings enter: whatever comes, it is counted by reason, never raised, never told.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.core.batch import Reason
from edge_sdk.core.reading import AHEAD_MS, EARLIEST_MS, Mono
from edge_sdk.errors import BadInput
from edge_sdk.opening import Site
from tests import site as sites
from tests.site import CANARY, reading

Record = Callable[..., int]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Site]:
    with sites.opened(sites.local_site(tmp_path)) as parts:
        yield parts


def counted(parts: Site) -> Counter[str]:
    """Return the counts after the line has taken what came."""
    parts.line.step(parts.clock.now())
    return parts.line.recording.totals()


def gaps_of(parts: Site, purpose: str) -> dict[Reason, int | None]:
    streams = parts.line.binding.streams.values()
    return {gap.reason: gap.count for s in streams if s.record.purpose == purpose for _, gap in s.record.gaps}


def test_a_reading_goes_to_each_purpose_that_may_have_it(parts: Site) -> None:
    now = parts.clock.now()
    assert parts.line.recording.record("inverter", reading(1), now.wall_ms) == 2  # monitoring, improvement
    assert parts.line.recording.record("alarm", {"serial": CANARY, "code": 7}, now.wall_ms) == 1


def test_a_kind_without_a_grant_is_not_taken_and_counted(parts: Site) -> None:
    assert parts.line.recording.record("meter", {"serial": CANARY, "power": 5}, parts.clock.now().wall_ms) == 0
    assert counted(parts)["no_grant"] == 1


def test_an_unknown_kind_is_counted_and_told_nowhere(parts: Site) -> None:
    assert parts.line.recording.record(CANARY, reading(1), parts.clock.now().wall_ms) == 0
    assert counted(parts) == {"unknown_kind": 1}


def test_an_unknown_field_is_counted_and_the_rest_is_taken(parts: Site) -> None:
    taken = parts.line.recording.record("inverter", {**reading(1), CANARY: 1, "x": 2}, parts.clock.now().wall_ms)
    assert taken == 2
    assert counted(parts)["unknown_fields"] == 2


INVALID: dict[str, Any] = {
    "text for a number": "100",
    "bool for a number": True,
    "list for a number": [1],
    "not a number": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "beyond the range": 10_000.1,
    "below the range": -100.1,
    "an integer of 400 digits": 10**400,
    "bytes for a number": b"100",
    "an object": object(),
    "10 MB of text": "9" * 10_000_000,
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_number_is_counted_and_the_rest_of_the_reading_is_taken(parts: Site, name: str) -> None:
    now = parts.clock.now()
    assert parts.line.recording.record("inverter", {**reading(1), "power": INVALID[name]}, now.wall_ms) == 2
    counts = counted(parts)
    assert counts["invalid_values"] == 1
    row = next(s for s in parts.line.binding.streams.values() if s.record.purpose == "monitoring").rows[0][0]
    assert row[1:] == (CANARY, None, 1, 1) or None in row


BAD_SERIALS: dict[str, Any] = {
    "10 MB of text": "x" * 10_000_000,
    "10 MB of bytes": b"x" * 10_000_000,
    "bytes that are not UTF-8": b"\xff\xfe" + CANARY.encode(),
    "a lone surrogate": CANARY + "\ud800",
    "too long by one": "x" * 17,
    "too long in UTF-8": "ä" * 9,
    "a number": 408000123456,
    "a list": [CANARY],
    "absent": None,
}


@pytest.mark.parametrize("name", BAD_SERIALS)
def test_without_a_valid_source_the_reading_is_dropped_and_a_gap_tells_it(parts: Site, name: str) -> None:
    now = parts.clock.now()
    assert parts.line.recording.record("inverter", {**reading(1), "serial": BAD_SERIALS[name]}, now.wall_ms) == 0
    assert counted(parts)["invalid_readings"] == 1
    assert gaps_of(parts, "monitoring")[Reason.INVALID] == 1


@pytest.mark.parametrize(
    "at_ms",
    [0, 1, -1, EARLIEST_MS - 1, 4_102_444_800_000, 1 << 63, -(1 << 80), 10**30],
    ids=["1970", "1 ms later", "1969", "1999", "2100", "64 bits", "negative", "30 digits"],
)
def test_a_time_out_of_range_is_dropped_counted_and_told_as_a_gap(parts: Site, at_ms: int) -> None:
    assert parts.line.recording.record("inverter", reading(1), at_ms) == 0
    assert counted(parts) == {"clock": 1}
    assert gaps_of(parts, "monitoring") == {Reason.CLOCK: 1}


def test_the_first_and_the_last_instant_of_the_range_are_taken(parts: Site) -> None:
    now = parts.clock.now()
    parts.line.step(now)
    assert parts.line.recording.record("inverter", reading(1), EARLIEST_MS)
    assert parts.line.recording.record("inverter", reading(1, "other"), now.wall_ms + AHEAD_MS)
    assert not parts.line.recording.record("inverter", reading(1), now.wall_ms + AHEAD_MS + 1)


def test_ten_thousand_invented_serials_take_the_places_of_a_kind_and_no_more(parts: Site) -> None:
    now = parts.clock.now()
    record = parts.line.recording.record
    taken = sum(bool(record("inverter", reading(1, f"invented{n}"), now.wall_ms)) for n in range(10_000))
    assert taken == 8  # max_sources
    assert counted(parts)["too_many_sources"] == 9_992
    assert gaps_of(parts, "monitoring")[Reason.INVALID] == 9_992


def test_mistakes_of_a_programmer_are_type_errors_that_name_types_only(parts: Site) -> None:
    record = parts.line.recording.record
    now_ms = parts.clock.now().wall_ms
    fraction: Any = float(now_ms)
    wrong: list[tuple[Any, Any]] = [
        ([CANARY], now_ms), (None, now_ms), (CANARY, now_ms), (reading(1), float(now_ms)), (reading(1), True),
        (reading(1), str(now_ms)), (reading(1), Mono(True)), (reading(1), Mono(fraction)),
    ]  # fmt: skip
    for fields, at_ms in wrong:
        with pytest.raises(TypeError) as told:
            record("inverter", fields, at_ms)
        assert CANARY not in str(told.value)
        assert str(now_ms) not in str(told.value)
    assert counted(parts) == {}


def test_any_mapping_will_do(parts: Site) -> None:
    class Registers(Mapping[str, Any]):
        def __getitem__(self, name: str) -> Any:
            return reading(1)[name]

        def __iter__(self) -> Iterator[str]:
            return iter(reading(1))

        def __len__(self) -> int:
            return len(reading(1))

    assert parts.line.recording.record("inverter", Registers(), parts.clock.now().wall_ms) == 2


def test_what_finds_no_room_is_counted_and_told_as_a_gap(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path)
    site.edit(("max_rows = 50", "max_rows = 50\nmemory_rows = 100"))
    with sites.opened(site) as parts:
        now = parts.clock.now()
        record = parts.line.recording.record
        taken = sum(bool(record("inverter", reading(n), now.wall_ms)) for n in range(250))
        assert taken <= 100
        assert counted(parts)["overflow"] == 250 - taken
        assert gaps_of(parts, "improvement") == {Reason.OVERFLOW: 250 - taken}
        assert record("inverter", reading(1), now.wall_ms)  # the line took what was there: there is room again


def test_losses_between_two_steps_survive_a_rebinding(parts: Site) -> None:
    record = parts.line.recording.record
    record("inverter", {**reading(1), "serial": None}, parts.clock.now().wall_ms)
    record("inverter", {**reading(1), "power": "x"}, parts.clock.now().wall_ms)
    parts.line.binding._bound = {}  # as after a withdrawal of another purpose
    counts = counted(parts)
    assert (counts["invalid_readings"], counts["invalid_values"]) == (1, 1)
    assert gaps_of(parts, "monitoring") == {Reason.INVALID: 1}


def test_nothing_a_reading_said_is_in_any_log_or_message(parts: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    record, strictly = parts.line.recording.record, parts.line.recording.record_strictly
    now_ms = parts.clock.now().wall_ms
    told = []
    for value in (*INVALID.values(), *BAD_SERIALS.values(), CANARY, CANARY.encode()):
        fields = {**reading(1), "serial": value, "power": value, CANARY: value}
        record("inverter", fields, now_ms)
        record(CANARY, fields, now_ms)
        for kind in ("inverter", CANARY, "meter"):
            with pytest.raises(BadInput) as error:
                strictly(kind, fields, now_ms)
            told.append(str(error.value) + error.value.hint)
    parts.line.step(parts.clock.now(), flush=True)
    said = caplog.text + "".join(told)
    assert CANARY not in said
    assert "408000123456" not in said
    assert "ÿ" not in said


def test_strictly_a_drop_is_told_by_reason_and_count(parts: Site) -> None:
    strictly = parts.line.recording.record_strictly
    now_ms = parts.clock.now().wall_ms
    with pytest.raises(BadInput, match=r"invalid_values 1, unknown_fields 2$"):
        strictly("inverter", {**reading(1), "power": "x", "a": 1, "b": 2}, now_ms)
    with pytest.raises(BadInput, match=r"unknown_kind 1$"):
        strictly("nothing", {}, now_ms)
    with pytest.raises(BadInput, match=r"clock 1$"):
        strictly("inverter", reading(1), 0)
    assert strictly("inverter", reading(1), now_ms) == 2


def test_strictly_nobody_elses_drops_are_told(parts: Site) -> None:
    recording, now_ms = parts.line.recording, parts.clock.now().wall_ms
    stop = threading.Event()

    def drop() -> None:
        while not stop.is_set():
            recording.record("nothing", {}, now_ms)

    thread = threading.Thread(target=drop)
    thread.start()
    try:
        for _ in range(2_000):
            assert recording.record_strictly("inverter", reading(1), now_ms) == 2
    finally:
        stop.set()
        thread.join()


def test_many_threads_and_a_flushing_line_lose_nothing_and_double_nothing(parts: Site) -> None:
    recording, now_ms = parts.line.recording, parts.clock.now().wall_ms
    threads = 4
    each = 1_500

    def feed(source: int) -> None:
        for number in range(each):
            assert recording.record("inverter", reading(number, f"s{source}"), now_ms) == 2
            recording.record(f"kind-{source}-{number % 7}", {}, now_ms)

    feeders = [threading.Thread(target=feed, args=(source,)) for source in range(threads)]
    for feeder in feeders:
        feeder.start()
    while any(feeder.is_alive() for feeder in feeders):
        parts.line.step(parts.clock.now(), flush=True)
        recording.totals()
    parts.line.step(parts.clock.now(), flush=True, close=True)
    streams = {stream.row: stream for stream in parts.line.binding.streams.values()}
    monitoring = next(row for row, stream in streams.items() if stream.record.purpose == "monitoring")
    spans = [(held.first, held.last) for held in parts.line.rooms.outbox.queues[monitoring].values()]
    assert spans[0][0] == 0
    assert spans[-1][1] == threads * each - 1
    assert all(left[1] + 1 == right[0] for left, right in pairwise(spans))
    totals = recording.totals()
    assert totals["recorded"] == threads * each
    assert totals["unknown_kind"] == threads * each


def test_allowed_answers_before_a_register_is_read(parts: Site) -> None:
    allowed = parts.line.recording.allowed
    assert allowed("inverter")
    assert allowed("inverter", "power")
    assert not allowed("inverter", "ssid")  # only research has it, and research has no grant
    assert not allowed("meter")
    assert not allowed("meter", "power")
    assert not allowed("nothing")


def test_the_source_of_a_kind_is_allowed_where_anything_of_the_kind_is(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path, granted=("research",))
    with sites.opened(site) as parts:
        allowed = parts.line.recording.allowed
        assert allowed("meter", "power")
        assert allowed("meter", "serial")  # no view shows it, but without it the reading is dropped


def test_a_shut_entry_takes_nothing_and_says_so(parts: Site) -> None:
    recording = parts.line.recording
    recording.shut()
    assert recording.record("inverter", reading(1), parts.clock.now().wall_ms) == 0
    parts.line.step(parts.clock.now())
    assert not recording.allowed("inverter")


def test_sources_that_gave_way_to_others_are_counted(parts: Site) -> None:
    now = parts.clock.now()
    for day in range(3):  # eight each day, which a window of an hour does not outlive
        parts.line.recording.forget_sources()
        for number in range(8):
            at_ms = now.wall_ms
            assert parts.line.recording.record("inverter", reading(1, f"day{day} {number}"), at_ms)
    assert counted(parts)["sources_forgotten"] == 8
