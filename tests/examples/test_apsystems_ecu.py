"""
An APsystems ECU on loopback, asked by the example, through a real gateway and collector to opened rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from tests.examples.ecu import ECU_ID, FIRMWARE, FOUR, INVERTERS, MAC, TIME_ZONE, TWO, Ecu, Inverter
from tests.examples.house import House, Run, declared, housed, views_of
from tests.examples.peers import answering

LAN = "127.77.3.9"  # loopback has sixteen million addresses: one that stands nowhere by chance
SSID = "Casa-CANARY-Wifi"
OWNER = "Fam. CANARY, Main St 1"
PLANTED = (ECU_ID, TWO, FOUR, MAC, TIME_ZONE, LAN, SSID, OWNER)
OFFLINE = "408000998803"


@dataclass
class Told:
    """What the runs of the example came to: one of a good day, and then its file and an ECU that answers badly."""

    house: House
    asked: list[bytes]
    day: Run
    later: Run
    exposed: dict[str, Counter[str]]


HOSTILE = "CANARY\x1b]0;pwned\x07'; DROP TABLE rows;--"


def hostile_answers() -> list[bytes]:
    """Return eight answers to the first question that are none: cut short, wrong, foreign, interleaved, endless."""
    good = Ecu()
    masked = bytes(letter ^ b"Growatt"[at % 7] for at, letter in enumerate(HOSTILE.encode() * 20))
    return [
        good.system()[:-9],
        good.system().replace(b"0097", b"0096"),
        Ecu(firmware=HOSTILE).system(),
        Ecu(time_zone=HOSTILE).system(),
        b"\x00\x06\x01\x01\x01\x04" + masked,
        HOSTILE.encode() * (1_000_000 // len(HOSTILE)),
        b"APS1100",
        good.system()[:40] + good.rounds() + good.system()[40:],
    ]


def good_day(house: House) -> tuple[Run, list[bytes]]:
    """Ask an ECU once; before its answer to the second question it talks of the household, as no ECU should."""
    ecu = Ecu([*INVERTERS, Inverter(OFFLINE, "01", (0, 0, 0, 0), online=False)])
    ecu.wrong["0002"] = f"ssid={SSID} owner={OWNER} APS11".encode() + ecu.rounds()
    with answering(ecu.answer, LAN) as peer:
        printed = house.run("apsystems_ecu.py", "--ecu", peer.address).splitlines()
    return Run({}, printed, house.opened()), peer.asked


def bad_day(house: House) -> list[str]:
    """Read the file of an ECU three times, then ask one that answers badly eight times and then well."""
    good, every = Ecu(), ("--every", "0", "--polls")
    turns = iter([*hostile_answers(), good.system()])
    (house.site.folder / "parameters_app.conf").write_text(good.file())
    printed = house.run("apsystems_ecu.py", "--file", "parameters_app.conf", *every, "3").splitlines()
    with answering(lambda asked: next(turns) if asked[9:13] == b"0001" else good.answer(asked)) as peer:
        return printed + house.run("apsystems_ecu.py", "--ecu", peer.address, *every, "9").splitlines()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with housed(tmp_path_factory.mktemp("ecu"), "apsystems_ema") as house:
        day, asked = good_day(house)
        printed = bad_day(house)
        known = {(row.stream, row.seq) for row in day.rows}
        later = Run({}, printed, [row for row in house.opened() if (row.stream, row.seq) not in known])
        house.ask_everything()
        yield Told(house, asked, day, later, house.exposed(*PLANTED, "CANARY", HOSTILE))


def by_serial(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["serial"]: {name: value for name, value in row.items() if name != "serial"} for row in rows}


def test_every_inverter_and_the_ecu_are_read_and_sent(told: Told) -> None:
    assert told.day.printed == [
        "4 readings taken, 0 of 1 polls without a valid answer", "0 batches wait for the collector",
    ]  # fmt: skip


def test_what_no_purpose_may_have_is_not_even_asked_for(told: Told) -> None:
    assert [question[9:13] for question in told.asked] == [b"0001", b"0002"]  # not 0030, the signals


def test_monitoring_gets_what_each_inverter_measured_by_value(told: Told) -> None:
    nothing = dict.fromkeys(declared(told.house.policy, "monitoring", "inverter") - {"serial"})
    common = {"online": True, "frequency": Decimal("50.0")}
    assert by_serial(told.day.of("monitoring", "inverter")) == {
        TWO: nothing | common | {
            "model_code": 1, "ac_power": 35, "ac_voltage": 228, "temperature": 13, "dc_power_1": 17, "dc_power_2": 18,
        },
        FOUR: nothing | common | {
            "model_code": 3, "ac_power": 155, "ac_voltage": 231, "temperature": 15, "dc_power_1": 29, "dc_power_2": 38,
            "dc_power_3": 45, "dc_power_4": 43,
        },
        OFFLINE: nothing | {"model_code": 1, "online": False},
    }  # fmt: skip


def test_monitoring_gets_what_the_ecu_says_of_itself_by_value(told: Told) -> None:
    assert told.day.of("monitoring", "gateway") == [
        {"ecu_id": ECU_ID, "firmware": FIRMWARE, "inverters_online": 2, "energy": Decimal("2127.9")}
    ]


def test_the_other_purposes_get_it_coarser_and_under_names_of_their_own(told: Told) -> None:
    kept = {row["model_code"]: row for row in told.day.of("diagnostics", "inverter") if row["temperature"]}
    assert {name: kept[3][name] for name in ("ac_voltage", "frequency", "temperature")} == {
        "ac_voltage": 232, "frequency": Decimal("50.0"), "temperature": 15,
    }  # fmt: skip
    names = {
        purpose: {row["serial"] for row in told.day.of(purpose, "inverter")}
        for purpose in ("diagnostics", "improvement", "installers")
    }
    assert [len(found) for found in names.values()] == [3, 3, 3]
    assert not set.intersection(*names.values())
    assert not {TWO, FOUR, OFFLINE} & set.union(*names.values())


def test_improvement_gets_a_band_of_power(told: Told) -> None:
    rows = [row for row in told.day.of("improvement", "inverter") if row["ac_power"]]
    bands = {row["model_code"]: row["ac_power"] for row in rows}
    assert bands == {1: [None, Decimal("50.0")], 3: [Decimal("50.0"), Decimal("250.0")]}


def test_rows_have_exactly_the_fields_of_their_views_and_are_of_no_other_kind(told: Told) -> None:
    arrived = {(row.purpose, row.kind): set(row.fields) for row in told.day.rows}
    assert arrived == views_of(told.house.policy, but=["alarm"])  # alarms: test_apsystems_alarms.py


def test_no_identifier_is_on_a_disk_on_the_wire_or_in_a_log(told: Told) -> None:
    assert told.exposed == {}  # those that monitoring keeps included, and all that hostile answers said
    assert sum(map(len, told.house.relay.sent)) > 3_000


def test_only_what_a_purpose_keeps_is_in_rows(told: Told) -> None:
    rows = repr([row.fields for row in told.day.rows + told.later.rows])
    assert "CANARY" not in rows
    assert [mark for mark in PLANTED if mark in rows] == [ECU_ID, TWO, FOUR]


def test_the_search_finds_what_is_there(told: Told) -> None:
    told.house.said.append(f"poll of {MAC} failed")
    assert told.house.exposed(MAC, SSID) == {"said": Counter({MAC: 1})}


# ------------------------------------------------------------------------------------ its file, and hostile answers


def test_a_round_in_the_parameter_file_is_read_once(told: Told) -> None:
    assert told.later.printed[0] == "2 readings taken, 0 of 3 polls without a valid answer"


def test_hostile_answers_are_counted_and_the_next_good_round_is_read(told: Told) -> None:
    assert told.later.printed[2] == "3 readings taken, 8 of 9 polls without a valid answer"


def test_file_and_port_become_the_same_rows(told: Told) -> None:
    asked = by_serial(told.day.of("monitoring", "inverter"))
    rows = told.later.of("monitoring", "inverter")
    assert sorted(row["serial"] for row in rows) == [TWO, TWO, FOUR, FOUR]
    assert all({"serial": row["serial"], **asked[row["serial"]]} == row for row in rows)
