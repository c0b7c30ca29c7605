"""
AUX systems replayed by the example, through a real gateway and collector to opened rows, under both their profiles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.examples import captures
from tests.examples.captures import DID, HOSTILE_LINES, HOSTILE_NAME, PLANTED, SN, within_this_hour, written
from tests.examples.house import House, housed, views_of

PROFILES = ("aux_cloud", "auxconn_beauty")


@dataclass
class Told:
    """What one run of the example came to."""

    house: House
    printed: list[str]
    exposed: dict[str, Counter[str]]


def lines() -> list[bytes]:
    """Return a capture of a household with an inverter, an appliance, a module and what an installer left behind."""
    return [
        *within_this_hour(
            captures.module(),
            captures.auxsol_inverter(),
            captures.survey(),
            captures.appliance(),
            captures.appliance(err_flag=36) | {"restarts": 9},
            {"member": captures.MEMBER},
            captures.module(failedLogins=5, ssid=HOSTILE_NAME, loginDevice=HOSTILE_NAME),
            captures.auxsol_inverter(status=HOSTILE_NAME, energyData={"power": "1.9", "pvList": [{"p": 1e999}, 7]}),
        ),
        *HOSTILE_LINES,
    ]


def play(folder: Path, profile: str) -> Iterator[Told]:
    with housed(folder, profile) as house:
        name = written(house.site.folder / "capture.jsonl", lines())
        printed = house.run("aux_cloud.py", name, "--centre", "48.4,11.7").splitlines()
        (house.site.folder / name).unlink()
        house.ask_everything()
        yield Told(house, printed, house.exposed(*PLANTED))


@pytest.fixture(scope="module")
def solar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    yield from play(tmp_path_factory.mktemp("aux"), "aux_cloud")


@pytest.fixture(scope="module")
def beauty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    yield from play(tmp_path_factory.mktemp("auxconn"), "auxconn_beauty")


@pytest.fixture(scope="module", params=PROFILES)
def told(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("solar" if request.param == "aux_cloud" else "beauty")


def without_name(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "device_id"} for row in rows]


def test_what_came_in_is_counted_by_what_became_of_it(solar: Told, beauty: Told) -> None:
    refused = "9 lines that are no record"
    assert solar.printed == [f"3 readings taken, 9 for no purpose, {refused}", "0 batches wait for the collector"]
    assert beauty.printed == [f"2 readings taken, 10 for no purpose, {refused}", "0 batches wait for the collector"]


def test_security_gets_module_and_failed_logins_by_value(solar: Told) -> None:
    module = {"model": "AUX-MOD-2", "operating_system": "rtos", "firmware": "1.8.3", "failed_logins": 3}
    assert without_name(solar.house.rows("security", "gateway")) == [module]


def test_headquarters_get_model_and_firmware_by_value(solar: Told) -> None:
    rows = without_name(solar.house.rows("platform_maintenance", "gateway"))
    assert rows == [{"model": "AUX-MOD-2", "firmware": "1.8.3"}]


def test_of_the_place_a_band_of_kilometres_leaves(solar: Told) -> None:
    rows = without_name(solar.house.rows("distance_to_service_center", "installation"))
    assert rows == [{"service_distance": [25, 50]}]  # 30.7 km


def test_faults_of_an_appliance_arrive_by_value(beauty: Told) -> None:
    fault = {"model": "AUX-AC-9", "firmware": "2.0.1", "error_code": 36, "restarts": 2}
    assert without_name(beauty.house.rows("safety_fault", "appliance")) == [fault]
    assert without_name(beauty.house.rows("push", "appliance")) == [{"error_code": 36}]


def test_rows_have_exactly_the_fields_of_their_views_and_every_view_has_one(told: Told) -> None:
    arrived = {(row.purpose, row.kind): set(row.fields) for row in told.house.opened()}
    assert arrived == views_of(told.house.policy)


def test_a_device_has_another_name_for_every_purpose(told: Told) -> None:
    names = [row.fields["device_id"] for row in told.house.opened()]
    assert len(set(names)) == len(names) == len(told.house.policy.purposes)
    assert DID not in names


def test_who_and_where_is_on_no_disk_wire_or_log(told: Told) -> None:
    assert told.exposed == {}


def test_who_and_where_is_in_no_row(told: Told) -> None:
    rows = repr([row.fields for row in told.house.opened()])
    assert [mark for mark in PLANTED if mark in rows] == []


def test_of_what_the_policy_does_not_declare_nothing_leaves(solar: Told) -> None:
    assert {row.kind for row in solar.house.opened()} == {"gateway", "installation"}  # no inverter, no air conditioner
    assert SN not in repr(solar.house.opened())
    assert Decimal(2127900) not in [value for row in solar.house.opened() for value in row.fields.values()]
