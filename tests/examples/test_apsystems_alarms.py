"""
Events out of an ECU's database, by the example, through a real gateway and collector to opened rows.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.examples.ecu import FOUR, TWO
from tests.examples.house import House, declared, housed

QUIET = "408000998804"
HOSTILE = "'; DROP TABLE Event;--\x1b[2J"


@dataclass
class Told:
    """What one run of the example came to."""

    house: House
    printed: list[str]
    exposed: dict[str, Counter[str]]


def bits(*places: int) -> str:
    return "".join("1" if at in places else "0" for at in range(86))


def ecu_database(path: Path) -> None:
    """Write the table of events as an ECU keeps it, oldest first."""
    rows = [
        (TWO, bits(0, 9), "20260206110000"),
        (TWO, bits(16, 83), "20260206111500"),
        (FOUR, bits(32, 40), "20260206111500"),
        (QUIET, bits(), "20260206111500"),
        (HOSTILE, bits(1), HOSTILE),
        (FOUR, HOSTILE, ""),
        (b"\xff\x00", None, 5),
    ]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE Event (device TEXT, eve TEXT, date TEXT)")
        database.executemany("INSERT INTO Event VALUES (?, ?, ?)", rows)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    path = tmp_path_factory.mktemp("disk") / "database.db"
    ecu_database(path)
    with housed(tmp_path_factory.mktemp("alarms"), "apsystems_ema") as house:
        printed = house.run("apsystems_alarms.py", str(path), "--polls", "3", "--every", "0").splitlines()
        house.ask_everything()
        yield Told(house, printed, house.exposed(TWO, FOUR, QUIET, HOSTILE))


def test_an_alarm_is_told_once_and_rows_that_are_none_are_counted(told: Told) -> None:
    assert told.printed == ["2 alarms taken, 3 rows that are none", "0 batches wait for the collector"]


def test_the_newest_events_of_each_inverter_arrive_by_name(told: Told) -> None:
    rows = {row["serial"]: row for row in told.house.rows("alarms", "alarm")}
    assert rows == {
        TWO: {"serial": TWO, "events_1": ["too_hot"], "events_2": [], "events_3": ["d_signal_lost"]},
        FOUR: {
            "serial": FOUR, "events_1": [], "events_2": ["ac_frequency_low_stage_2", "c_dc_voltage_low"],
            "events_3": [],
        },
    }  # fmt: skip


def test_every_purpose_that_may_have_alarms_gets_them_with_exactly_its_fields(told: Told) -> None:
    policy = told.house.policy
    assert {(row.purpose, row.kind): set(row.fields) for row in told.house.opened()} == {
        (purpose, "alarm"): declared(policy, purpose, "alarm") for purpose in ("alarms", "diagnostics", "installers")
    }


def test_no_serial_is_on_a_disk_on_the_wire_or_in_a_log(told: Told) -> None:
    assert told.exposed == {}
