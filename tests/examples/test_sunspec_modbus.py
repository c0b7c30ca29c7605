"""
A SunSpec device on loopback (pymodbus' own server), asked by the example through pymodbus, through a real gateway and
collector to opened rows; and devices that hang up, refuse and lie.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pymodbus", reason="needs pymodbus, of the extra `systems`")

from edge_sdk.core.policy_lint import Level, lint
from edge_sdk.errors import Malformed
from edge_sdk.policy_file import find_policy
from edge_sdk.sources import sunspec
from edge_sdk.sources.registers import checked
from tests.examples import sunspec_device as devices
from tests.examples.house import EXAMPLES, House, Run, housed, views_of
from tests.examples.sunspec_device import BASE, NONE16, Device, Wrong, chain, connected, place

LAN = "127.77.3.7"
POLICY = str(EXAMPLES / "sunspec_modbus.toml")
HOSTILE = "CANARY\x1b]0;pwned\x07'; DROP TABLE rows;--"
PLANTED = (devices.SERIAL, devices.VERSION, devices.OPTION, devices.LEFT, devices.RIGHT, devices.OWN, LAN)

AWAY = 4  # polls after it has left
FAULT = {place(103, 39): 2, place(103, 23): 45_346, place(201, 37): 26_013}
OVER = {place(103, 39): 0, place(103, 23): 45_356, place(201, 37): 26_113, place(201, 45): 52_018}


def mbap(question: bytes, told: bytes) -> bytes:
    """Return *told* as an answer to *question*."""
    return question[:4] + (len(told) + 1).to_bytes(2, "big") + question[6:7] + told


VALUES: dict[str, Wrong] = {
    "says nothing": devices.silence,
    "an exception": lambda question, good: mbap(question, b"\x83\x06"),
    "hangs up": lambda question, good: b"",
    "breaks off within the head": lambda question, good: good[:5],
    "breaks off within the answer": lambda question, good: good[:-1],
    "a length that is not its own": lambda question, good: good[:4] + b"\xff\xff" + good[6:],
    "a count that is not its own": lambda question, good: good[:8] + b"\xff" + good[9:],
    "a register too few": lambda question, good: mbap(question, b"\x03" + bytes([good[8] - 2]) + good[9:-2]),
    "an answer to something before": lambda question, good: b"\xff\xfe" + good[2:],
    "another unit's answer": lambda question, good: good[:6] + b"\x63" + good[7:],
    "another function": lambda question, good: mbap(question, b"\x01\x02\xff\xff"),
    "a function that there is not": lambda question, good: mbap(question, b"\x7f" + HOSTILE.encode()),
    "another protocol": lambda question, good: good[:2] + b"\x41\x41" + good[4:],
    "a megabyte": lambda question, good: HOSTILE.encode() * (1_000_000 // len(HOSTILE)),
    "a megabyte of frames": lambda question, good: mbap(b"\x00\x01\x00\x00\x00\x00\x01", b"\x03\x02ab") * 90_000,
}
MODELS: dict[str, Wrong] = {
    "registers of some other device": lambda question, good: mbap(question, good[7:9] + b"\x41" * good[8]),
    "a serial number that acts on terminals": lambda question, good: (
        mbap(question, good[7:9] + (HOSTILE * 2).encode()[:32]) if good[8] == 32 else good
    ),
    "a chain without an end": lambda question, good: (
        mbap(question, b"\x03\x04\x00\x02\x00\x00") if int.from_bytes(question[8:10], "big") > BASE + 70 else good
    ),
}


@dataclass
class Told:
    """What two runs of the example came to: a day like any other, and a device that lies until it goes away."""

    house: House
    device: Device
    day: Run
    lies: Run
    exposed: dict[str, Counter[str]]


def asked(house: House, port: int, polls: int) -> Run:
    """Have the example poll *polls* times."""
    said = f'host = "{LAN}"\nport = {port}\nevery = 0.01\npatience = 1.0\n'
    (house.site.folder / "device.toml").write_text(said)
    return house.run_at("sunspec_modbus.py", polls)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """On the day a fault comes and goes; the liar tells its values well once before it lies about them."""
    day = Device(changes=[{}, FAULT, OVER])
    liar = Device(lies=[*((True, wrong) for wrong in MODELS.values()), *((False, wrong) for wrong in VALUES.values())])
    with housed(tmp_path_factory.mktemp("device"), POLICY) as house:
        with connected(day, LAN), connected(liar, LAN):
            runs = [asked(house, day.port, 3), asked(house, liar.port, len(MODELS) + 2 * len(VALUES) + AWAY)]
        house.ask_everything()
        yield Told(house, day, *runs, house.exposed(*PLANTED, HOSTILE, "CANARY"))


def test_every_poll_is_read_and_sent(told: Told) -> None:
    assert told.day.counts == {"polls": 3, "readings": 14}  # inverter, two inputs and meter thrice, the alarm twice
    assert told.day.printed == ["0 batches wait for the collector"]


def test_registers_of_names_and_of_what_no_purpose_may_have_are_not_asked_for(told: Told) -> None:
    assert told.device.functions == {3}
    private = {place(1, register) for register in range(32, 48)}  # options and version
    private |= {place(160, 8 + 20 * number + at) for number in (0, 1) for at in (*range(10), *range(12, 20))}
    private |= {place(103, 8), place(103, 14), place(201, 16), *(place(64_001, at) for at in range(10))}
    assert told.device.asked & private == set()


def test_monitoring_gets_the_inverter_by_value_and_null_where_nothing_is_implemented(told: Told) -> None:
    row = told.day.one("monitoring", "inverter")
    assert len(str(row.pop("serial"))) > 10
    energy = sum(row["energy"] for row in told.day.of("monitoring", "inverter"))
    assert row | {"energy": energy} == {
        "model": devices.MODEL, "state": 4, "ac_power": 1900, "temperature": None, "energy": 20,
    }  # fmt: skip


def test_monitoring_gets_each_input_by_its_number(told: Told) -> None:
    rows = {row["number"]: row for row in told.day.of("monitoring", "input")}
    assert len({row.pop("place") for row in rows.values()}) == 2
    assert rows == {
        1: {"number": 1, "dc_power": 1030, "dc_voltage": 331},
        2: {"number": 2, "dc_power": 890, "dc_voltage": None},
    }


def test_what_the_house_uses_comes_by_the_hour_under_a_consent_of_its_own(told: Told) -> None:
    rows = told.day.of("energy_insight", "meter")
    assert sum(row["exported"] for row in rows) == 200
    assert sum(row["imported"] for row in rows) == 100


def test_a_fault_is_told_when_it_comes_and_when_it_goes(told: Told) -> None:
    assert [row["events"] for row in told.day.of("alarms", "alarm")] == [2, 0]


def test_rows_have_exactly_the_fields_of_their_views(told: Told) -> None:
    arrived = {(row.purpose, row.kind): set(row.fields) for row in told.day.rows}
    assert arrived == views_of(told.house.policy)


def test_no_identifier_is_on_a_disk_on_the_wire_in_a_log_or_in_a_row(told: Told) -> None:
    assert told.exposed == {}
    assert sum(map(len, told.house.relay.sent)) > 3_000
    rows = repr([row.fields for row in told.house.opened()])
    assert [mark for mark in PLANTED if mark in rows] == []


def test_what_is_no_answer_is_counted_and_the_next_good_poll_is_read(told: Told) -> None:
    counts = told.lies.counts
    assert counts["polls"] == len(MODELS) + 2 * len(VALUES) + AWAY
    assert counts["readings"] == 4 * len(VALUES)
    assert counts["away"] >= AWAY
    assert counts["rejected"] >= len(MODELS)
    assert told.lies.one("monitoring", "inverter")["ac_power"] == 1900


def test_nothing_is_printed_of_a_device_that_lies_or_is_away_but_numbers(told: Told) -> None:
    assert told.lies.counts.keys() == {"polls", "away", "rejected", "outages", "readings"}
    assert told.lies.counts["outages"] == 1 + len(VALUES)  # lies about models come one after the other
    assert told.lies.printed == ["0 batches wait for the collector"]


def test_the_policy_to_begin_with_is_sound() -> None:
    assert [finding for finding in lint(find_policy(POLICY)) if finding.level is Level.ERROR] == []
    strictest = tomllib.loads(Path(EXAMPLES.parent, "edge_sdk/profiles/strictest.toml").read_text())
    assert tomllib.loads(Path(POLICY).read_text())["terms"] == strictest["terms"]


# ------------------------------------------------------------------------------------ the parser by itself


def found(held: Mapping[int, int]) -> sunspec.Plant:
    """Look for the models of a device with the registers *held*."""

    async def read(run: range) -> Mapping[int, int]:
        return checked([held[register] for register in run] if held.keys() >= set(run) else None, run)

    return asyncio.run(sunspec.find(read))


@pytest.mark.parametrize("base", [0, 40000, 50000])
def test_a_device_is_found_at_each_of_the_known_places(base: int) -> None:
    assert found(dict(enumerate(chain(), base))).serial == devices.SERIAL


@given(st.dictionaries(st.integers(0, len(chain()) - 1), st.integers(0, NONE16), max_size=12))
def test_any_registers_are_a_device_with_readings_or_malformed(changes: dict[int, int]) -> None:
    held = dict(enumerate([*chain(), *[0] * 200], BASE)) | {BASE + at: word for at, word in changes.items()}
    try:
        plant = found(held)
    except Malformed:
        return
    points = [point for point in plant.points if all(held.keys() >= set(span) for span in point.spans)]
    for kind, fields in plant.made(points, held):
        assert {(kind, name) for name in fields} <= sunspec.FIELDS | {
            (kind, name) for name in ("serial", "model", "place", "number")
        }


@given(st.integers(-0x8000, 0x7FFF), st.integers(0, NONE16))
def test_a_value_is_scaled_exactly_or_left_out(told: int, scale: int) -> None:
    point = sunspec.Point("inverter", "ac_power", 0, sunspec.Form.INT16, 1)
    value = sunspec.value(point, {0: told & 0xFFFF, 1: scale})
    exponent = scale - 0x10000 if scale >= 0x8000 else scale
    if told == -0x8000 or abs(exponent) > 10:
        assert value is None
    else:
        assert value == (told * 10**exponent if exponent >= 0 else told / 10**-exponent)
