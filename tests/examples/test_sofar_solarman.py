"""
A Solarman stick on loopback, asked by the example through pysolarmanv5, through a real gateway and collector to opened
rows; and sticks that go away, break off, refuse and lie.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pysolarmanv5", reason="needs pysolarmanv5, of the extra `systems`")

from edge_sdk.errors import Malformed
from edge_sdk.sources import registers, sofar_g3
from tests.examples import stick as sticks
from tests.examples.house import EXAMPLES, House, Run, housed, views_of
from tests.examples.stick import LOGGER, Stick, Wrong, crc, handshake, plugged_in, v5
from tests.site import environ

LAN = "127.77.3.8"  # loopback has sixteen million addresses: one that stands nowhere by chance
PLANTED = (sticks.SERIAL, str(LOGGER), LOGGER.to_bytes(4, "little").hex() + "0201", sticks.MAC, sticks.LAN_IP,
           sticks.SSID, sticks.STICK_FIRMWARE, LAN)  # fmt: skip


HOSTILE = "CANARY\x1b]0;pwned\x07'; DROP TABLE rows;--"
FAULT = {0x0407: 512, 0x0687: 16192}
AWAY = 4  # polls after it was unplugged
OVER = {0x0407: 0, 0x0687: 16202}


@dataclass
class Told:
    """What two runs of the example came to: a day like any other, and a stick that lies until it is unplugged."""

    house: House
    stick: Stick
    day: Run
    lies: Run
    exposed: dict[str, Counter[str]]


def configure(house: House, stick: Stick) -> None:
    """Write down where *stick* is."""
    said = f'host = "{LAN}"\nport = {stick.port}\nlogger = {LOGGER}\nevery = 0.01\npatience = 3.0\n'
    (house.site.folder / "stick.toml").write_text(said)


def asked(house: House, stick: Stick) -> Run:
    """Have the example poll for as many turns as *stick* has."""
    configure(house, stick)
    return house.run_at("sofar_solarman.py", len(stick.turns) + (AWAY if stick.leaves else 0))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """On the day a fault comes and goes, and two kilowatt-hours are made; the liar answers well between its lies."""
    day = Stick(turns=[{}, FAULT, OVER])
    liar = Stick(turns=[turn for wrong in WRONG.values() for turn in (wrong, {})], leaves=True)
    with housed(tmp_path_factory.mktemp("stick"), "sofar_monitor") as house:
        with plugged_in(day, LAN), plugged_in(liar, LAN):
            runs = [asked(house, stick) for stick in (day, liar)]
        house.ask_everything()
        yield Told(house, day, *runs, house.exposed(*PLANTED, HOSTILE, "CANARY"))


# ------------------------------------------------------------------------------------ a day like any other


def test_a_stick_answers_as_recorded() -> None:
    question = bytes.fromhex("a517001045bb009d97e4a602000000000000000000000000000001030484000c04d65915")
    recorded = bytes.fromhex(
        "a52b001015bb2a9d97e4a60201e087e1018051010080fba36701031813890060fffe0061fff20000008c0000000008fd01a20060a7c0f815"
    )
    words = (0x1389, 0x60, 0xFFFE, 0x61, 0xFFF2, 0, 0x8C, 0, 0, 0x8FD, 0x1A2, 0x60)
    assert Stick(registers=dict(enumerate(words, 0x0484))).answer(question) == recorded


def test_every_poll_is_read_and_sent(told: Told) -> None:
    assert told.day.counts == {"polls": 3, "readings": 8}  # inverter and battery thrice, the alarm twice
    assert told.day.printed == ["0 batches wait for the collector"]


def test_only_registers_that_some_purpose_may_have_are_asked_for_and_none_is_written(told: Told) -> None:
    views = [view for purpose in told.house.policy.purposes.values() for view in purpose.views]
    may = {(view.kind.name, entry.field.name) for view in views for entry in view.fields}
    spans = [*sofar_g3.SERIAL, *(point.span for point in sofar_g3.POINTS if (point.kind, point.field) in may)]
    assert told.stick.asked == {register for span in spans for register in span}
    assert not {0x0488, 0x04AF, 0x068A} & told.stick.asked  # what the house uses
    assert told.stick.written == []


def test_monitoring_gets_the_inverter_by_value(told: Told) -> None:
    row = dict(told.day.one("monitoring", "inverter"))
    assert len(str(row.pop("serial"))) > 10
    assert row == {
        "model": None, "state": 2, "ac_power": 960, "frequency": Decimal("50.0"), "temperature": 38,
        "pv_power_1": 1030, "pv_power_2": 110, "energy": 21_281_000,
    }  # fmt: skip


def test_support_gets_it_finer_and_under_another_name(told: Told) -> None:
    row = dict(told.day.one("support", "inverter"))
    assert row.pop("serial") != told.day.one("monitoring", "inverter")["serial"]
    assert row == {
        "model": None, "firmware": sticks.FIRMWARE, "state": 2, "ac_power": 960, "grid_voltage": Decimal("230.1"),
        "frequency": Decimal("50.01"), "temperature": 38, "pv_power_1": 1030, "pv_power_2": 110,
        "pv_voltage_1": Decimal("331.2"), "pv_voltage_2": Decimal("287.0"),
    }  # fmt: skip


def test_the_fleet_gets_bands_of_nobody(told: Told) -> None:
    rows = told.day.of("fleet_statistics", "inverter")
    assert [row["temperature"] for row in rows] == [[None, 40]] * len(rows)
    assert sum(row["energy"] for row in rows) == 2000
    assert told.day.one("fleet_statistics", "battery") == {"soh": [80, 90]}


def test_a_fault_is_told_when_it_comes_and_when_it_goes(told: Told) -> None:
    rows = told.day.of("alarms", "alarm")
    assert [row["fault_3"] for row in rows] == [512, 0]
    assert all(row[f"fault_{place}"] == 0 for row in rows for place in (1, 2, 4, 5, 6))


def test_rows_have_exactly_the_fields_of_their_views(told: Told) -> None:
    arrived = {(row.purpose, row.kind): set(row.fields) for row in told.day.rows}
    # Of the stick itself this protocol tells nothing but its number.
    assert arrived == views_of(told.house.policy, but=["logger"])


def test_no_identifier_is_on_a_disk_on_the_wire_in_a_log_or_in_a_row(told: Told) -> None:
    assert told.exposed == {}
    assert sum(map(len, told.house.relay.sent)) > 3_000
    rows = repr([row.fields for row in told.house.opened()])
    assert [mark for mark in PLANTED if mark in rows] == []


# ------------------------------------------------------------------------------------ sticks that do not play along

def rtu(good: bytes, told: bytes) -> bytes:
    """Return the frame *good* with *told* as its Modbus answer."""
    return v5(sticks.ANSWER, good[5:7], good[11:25] + told + crc(told))


def from_masked(question: bytes, good: bytes) -> bytes:
    masked = bytes(letter ^ b"Growatt"[at % 7] for at, letter in enumerate(HOSTILE.encode() * 20))
    return b"\x00\x06\x01\x01\x01\x04" + masked


WRONG: dict[str, Wrong] = {
    "says nothing": sticks.silence,
    "ends the connection": lambda question, good: b"",
    "an exception": lambda question, good: rtu(good, b"\x01\x83\x02"),
    "breaks off within the head": lambda question, good: good[:4],
    "breaks off within the answer": lambda question, good: good[:-9],
    "a wrong sum": lambda question, good: good[:-2] + bytes([good[-2] ^ 1]) + good[-1:],
    "a wrong check of the answer": lambda question, good: v5(sticks.ANSWER, good[5:7], good[11:-3] + b"\x00"),
    "a length that is not its own": lambda question, good: good[:1] + b"\xff\xff" + good[3:],
    "another stick's number": lambda question, good: good[:7] + b"CNRY" + good[11:],
    "an answer to something else": lambda question, good: rtu(good, b"\x01\x03\x02\x00\x01"),
    "bits instead of registers": lambda question, good: rtu(good, b"\x01\x01\x02\xff\xff"),
    "letters that act on terminals": lambda question, good: rtu(good, good[25:28] + (HOSTILE * 9).encode()[: good[27]]),
    "another protocol": from_masked,
    "a megabyte": lambda question, good: HOSTILE.encode() * (1_000_000 // len(HOSTILE)),
    "a megabyte that looks like an answer": lambda question, good: good[:25] + HOSTILE.encode() * 30_000,
    "its own introduction before the answer": lambda question, good: handshake() + good,
    "a heartbeat after the answer": lambda question, good: good + v5(sticks.HEARTBEAT, b"\x02\x02", b"\x00"),
    "the question itself": lambda question, good: question,
}  # fmt: skip


def test_what_is_no_answer_is_counted_and_the_next_good_poll_is_read(told: Told) -> None:
    counts = told.lies.counts
    assert counts["polls"] == 2 * len(WRONG) + AWAY
    assert counts["readings"] == 2 * len(WRONG)
    assert counts["away"] + counts["rejected"] == len(WRONG) + AWAY
    assert counts["away"] > AWAY
    assert told.lies.one("monitoring", "inverter")["ac_power"] == 960


def test_nothing_is_printed_of_a_stick_that_lies_or_is_away_but_numbers(told: Told) -> None:
    assert told.lies.counts.keys() == {"polls", "away", "rejected", "outages", "readings"}
    assert told.lies.counts["outages"] == len(WRONG) + 1  # the last of which is that it is away
    assert told.lies.printed == ["0 batches wait for the collector"]


def test_it_polls_on_until_it_is_told_to_end_and_then_says_what_came_of_it(told: Told) -> None:
    stick = Stick()
    with plugged_in(stick, LAN):
        configure(told.house, stick)
        command = [sys.executable, str(EXAMPLES / "sofar_solarman.py")]
        with subprocess.Popen(command, cwd=told.house.site.folder, env=environ(), stdout=subprocess.PIPE) as process:
            assert stick.polled_often.wait(30)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert re.fullmatch(rb"\d+ polls, \d+ readings\n", said)


# ------------------------------------------------------------------------------------ the parsers by themselves

words = st.integers(0, 0xFFFF)


ANYTHING = st.one_of(st.none(), st.binary(max_size=3), st.lists(words | st.booleans() | st.integers(), max_size=4))


@given(ANYTHING, words)
def test_an_answer_is_as_many_registers_as_were_asked_for_or_malformed(answer: object, first: int) -> None:
    span = range(first, first + 3)
    try:
        found = registers.checked(answer, span)
    except Malformed:
        return
    assert list(found) == list(span)
    assert all(type(word) is int and 0 <= word <= 0xFFFF for word in found.values())


@given(st.binary(max_size=64), st.binary(min_size=32, max_size=64))
def test_any_registers_are_readings_or_malformed(said: bytes, name: bytes) -> None:
    held = bytearray((said * 96).ljust(0x600, b"\x00")[:0x600])
    held[0x8A : 0x8A + len(name)] = name  # where the serial number and what is behind it stands
    found = {0x0400 + at: int.from_bytes(held[2 * at : 2 * at + 2], "big") for at in range(0x300)}
    try:
        serial = sofar_g3.serial_number(found)
        readings = dict(sofar_g3.Readings().made(serial, sofar_g3.POINTS, found))
    except Malformed:
        return
    assert serial.strip()
    assert serial.isprintable()
    assert readings.keys() <= {"inverter", "battery", "meter", "alarm"}


@given(st.text(st.characters(min_codepoint=1, max_codepoint=255), min_size=1, max_size=16))
def test_a_text_is_printable_or_malformed(said: str) -> None:
    held = said.encode("latin-1").ljust(16, b"\x00")
    found = {at: int.from_bytes(held[2 * at : 2 * at + 2], "big") for at in range(8)}
    try:
        assert registers.letters(found, range(8)) == said.rstrip(" ")
    except Malformed:
        assert not (said.isascii() and said.isprintable())


@given(st.sets(st.builds(lambda first, size: range(first, first + size), st.integers(0, 200), st.integers(1, 16))))
def test_runs_cover_what_is_wanted_and_nothing_else(spans: set[range]) -> None:
    found = list(registers.runs(spans, 20))
    covered = [register for run in found for register in run]
    assert sorted(set(covered)) == sorted({register for span in spans for register in span})


def test_readings_carry_the_words_of_the_profile(told: Told) -> None:
    kinds = told.house.policy.kinds
    known: set[tuple[Any, str]] = {(kind.name, field.name) for kind in kinds.values() for field in kind.fields}
    assert {(point.kind, point.field) for point in sofar_g3.POINTS} <= known
