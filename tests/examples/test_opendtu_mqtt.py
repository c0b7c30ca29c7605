"""
An OpenDTU that publishes to a real broker, heard by the example through aiomqtt, through a real gateway and collector
to opened rows; and a broker that is away, a connection that is cut, and messages that nobody should publish.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("aiomqtt", reason="needs aiomqtt, of the extra `systems`")

from edge_sdk.sources import opendtu
from tests.examples.broker import (
    DTU_SERIAL,
    NAMES,
    SERIAL,
    START_S,
    OpenDTU,
    Wire,
    broker,
    packets,
    publisher,
    wired,
)
from tests.examples.house import House, Run, declared, housed

LAN = "127.77.3.6"
HOSTILE = "CANARY\x1b]0;pwned\x07'; DROP TABLE rows;--"
PLANTED = (SERIAL, DTU_SERIAL, LAN, *(name for name in NAMES.values() if len(name) > 9))
POWER = f"solar/{SERIAL}/0/power"
LIES = (
    ("solar/'; DROP TABLE rows;-- CANARY/0/power", b"1"),
    ("solar/1164/0/power", b"1"),
    (POWER, HOSTILE.encode()),
    (POWER, HOSTILE.encode() * (1_000_000 // len(HOSTILE))),
    *((POWER, said) for said in (b"", b"nan", b"1e9", b"0x10", b"--1", b"1 ", b"\xff\xfe", b"1" * 1000)),
)


@dataclass
class Told:
    """What two runs of the example came to: a day like any other, and one of everything that goes wrong."""

    house: House
    wire: Wire
    day: Run
    trouble: Run
    exposed: dict[str, Counter[str]]


def heard(house: House, wire: Wire, polls: int, play: Callable[[threading.Event], None]) -> Run:
    """Have the example listen through *wire* while *play* is played, until *polls* are over."""
    said = f'host = "{LAN}"\nport = {wire.port}\npatience = 10.0\n'
    (house.site.folder / "broker.toml").write_text(said)
    over = threading.Event()
    with ThreadPoolExecutor(1) as players:
        played = players.submit(play, over)
        try:
            return house.run_at("opendtu_mqtt.py", polls)
        finally:
            over.set()
            played.result()  # why nothing was published says more than an example that waits for it


def day(house: House, port: int, dtu: OpenDTU) -> tuple[Wire, Run]:
    """Publish three rounds to who listens, and one before that nobody should take for new."""
    dtu.burst("9999", "1")
    with wired(port, LAN) as wire:

        def play(_: threading.Event) -> None:
            assert wire.confirmed.acquire(timeout=START_S)
            for power, total in (("312.4", "40.981"), ("298.6", "41.481"), ("305.0", "42.981"), ("9999", "99")):
                dtu.burst(power, total)

        return wire, heard(house, wire, 3, play)


def trouble(house: House, port: int, dtu: OpenDTU) -> Run:
    """Turn the first connection away, cut the second after a while, tell lies on the third."""
    with wired(port, LAN, turned_away=1) as wire:

        def play(over: threading.Event) -> None:
            assert wire.confirmed.acquire(timeout=START_S)
            dtu.burst("100", "50")
            wire.cut()
            assert wire.confirmed.acquire(timeout=START_S)
            for lie in LIES:
                dtu.say(*lie)
            while not over.wait(0.02):
                dtu.burst("100", "50")

        return heard(house, wire, 7, play)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("opendtu")
    with housed(folder, "strictest") as house, broker(folder, LAN) as port, publisher(port, LAN) as dtu:
        wire, first = day(house, port, dtu)
        second = trouble(house, port, dtu)
        house.ask_everything()
        yield Told(house, wire, first, second, house.exposed(*PLANTED, HOSTILE, "CANARY"))


def test_every_round_is_heard_and_sent_and_what_was_retained_is_passed_over(told: Told) -> None:
    assert told.day.counts == {"polls": 3, "readings": 3, "retained": 3}
    assert told.day.printed == ["0 batches wait for the collector"]


def test_only_topics_of_what_some_purpose_may_have_come(told: Told) -> None:
    subscribed = b"".join(told.wire.sent)
    assert subscribed.count(b"solar/") == 3
    assert all(f"solar/+/0/{topic}".encode() in subscribed for topic in ("power", "temperature", "yieldtotal"))
    carried = b"".join(told.wire.received)
    assert SERIAL.encode() in carried
    assert [name for name in NAMES.values() if name.encode() in carried] == []


def test_monitoring_gets_the_inverter_by_value(told: Told) -> None:
    row = told.day.one("monitoring", "inverter")
    assert len(str(row.pop("serial"))) > 10
    energy = sum(each["energy"] for each in told.day.of("monitoring", "inverter"))
    assert row | {"energy": energy} == {"model": None, "ac_power": 300, "energy": 2000}


def test_improvement_gets_bands_and_a_day_of_nobody(told: Told) -> None:
    assert told.day.of("improvement", "inverter") == [{"temperature": [40, 60], "energy": 2000}]


def test_rows_have_exactly_the_fields_of_their_views(told: Told) -> None:
    policy = told.house.policy
    assert {(row.purpose, row.kind): set(row.fields) for row in told.day.rows} == {
        (purpose, "inverter"): declared(policy, purpose, "inverter") for purpose in ("monitoring", "improvement")
    }


def test_a_connection_turned_away_and_one_cut_are_made_anew_and_lies_counted(told: Told) -> None:
    counts = told.trouble.counts
    assert counts["polls"] == 7
    assert counts["away"] == 2
    assert counts["rejected"] == len(LIES)
    assert counts["readings"] >= 3
    assert {row["ac_power"] for row in told.trouble.of("monitoring", "inverter")} == {100}


def test_no_identifier_and_nothing_of_a_lie_is_on_a_disk_on_the_wire_in_a_log_or_in_a_row(told: Told) -> None:
    assert told.exposed == {}
    assert sum(map(len, told.house.relay.sent)) > 2_000
    rows = repr([row.fields for row in told.house.opened()])
    assert [mark for mark in PLANTED if mark in rows] == []


@pytest.mark.parametrize("cut", range(8))
def test_the_wire_knows_a_confirmation_behind_and_before_other_packets(cut: int) -> None:
    published, confirmation = b"\x30\x81\x01" + b"\x90" * 129, b"\x90\x03\x00\x01\x00"
    stream = published + confirmation + published
    kinds, unread = packets(stream[: len(published) + cut])
    more, rest = packets(unread + stream[len(published) + cut :])
    assert (kinds + more, rest) == ([0x30, 0x90, 0x30], b"")


# ------------------------------------------------------------------------------------ the gathering by itself

SERIALS = st.text(st.sampled_from("0123456789abF"), min_size=12, max_size=12) | st.sampled_from([SERIAL]) | st.text()
NAMES_OF_VALUES = st.sampled_from(["power", "yieldtotal", "temperature", "name"]) | st.text(max_size=8)
TOLD = st.sampled_from([b"1", b"-0.5", b"312.4", None, 7]) | st.binary(max_size=20)
MESSAGES = st.lists(st.tuples(SERIALS, NAMES_OF_VALUES, TOLD, st.booleans()), max_size=20)


@given(MESSAGES)
def test_whatever_is_published_is_readings_of_numbers_or_counted(said: list[tuple[str, str, object, bool]]) -> None:
    gathering = opendtu.Gathering("solar")
    for at, (serial, name, told, retained) in enumerate(said):
        gathering.add(f"solar/{serial}/0/{name}", told, retained=retained, now_s=at / 10)
    readings = list(gathering.readings(now_s=1000.0))
    values = sum(len(fields) - 1 for _, fields in readings)
    assert values + gathering.counts.total() <= len(said)
    for kind, fields in readings:
        assert kind == "inverter"
        assert fields.keys() <= {"serial", "ac_power", "energy", "temperature", "grid_voltage", "frequency"}
        assert all(isinstance(value, int | float) for name, value in fields.items() if name != "serial")


def test_inverters_that_were_never_there_take_a_bounded_room() -> None:
    gathering = opendtu.Gathering("solar")
    for number in range(1000):
        gathering.add(f"solar/{number:012}/0/power", b"1", retained=False, now_s=0.0)
    assert len(list(gathering.readings(now_s=10.0))) == opendtu.MAX_INVERTERS
    assert gathering.counts == {"rejected": 1000 - opendtu.MAX_INVERTERS}


def test_a_total_of_nothing_is_no_total() -> None:
    gathering = opendtu.Gathering("solar")
    gathering.add(f"solar/{SERIAL}/0/power", b"3.5", retained=False, now_s=0.0)
    gathering.add(f"solar/{SERIAL}/0/yieldtotal", b"0.000", retained=False, now_s=0.0)
    assert list(gathering.readings(now_s=2.0)) == [("inverter", {"serial": SERIAL, "ac_power": 3.5})]
