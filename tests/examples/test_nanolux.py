"""
Lamp controllers replayed by the example, through a real gateway and collector to opened rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.examples import captures
from tests.examples.captures import CONTROLLER, HOSTILE_LINES, HOSTILE_NAME, PLANTED, within_this_hour, written
from tests.examples.house import House, housed, views_of


@dataclass
class Told:
    """What one run of the example came to."""

    house: House
    printed: list[str]
    exposed: dict[str, Counter[str]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    records = within_this_hour(
        captures.controller(),
        captures.controller(fault=12, net=captures.NETWORK | {"ssid": HOSTILE_NAME}),
        captures.controller(fault=3, lamps=[HOSTILE_NAME, {"lampId": HOSTILE_NAME}, 5], licenceEnds="never" * 10),
    )
    with housed(tmp_path_factory.mktemp("nanolux"), "nanolux_nccs") as house:
        name = written(house.site.folder / "capture.jsonl", [*records, *HOSTILE_LINES])
        printed = house.run("nanolux.py", name).splitlines()
        (house.site.folder / name).unlink()
        house.ask_everything()
        yield Told(house, printed, house.exposed(*PLANTED, "06:17", "18:17"))


def without_name(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "controller_id"} for row in rows]


def test_what_came_in_is_counted_by_what_became_of_it(told: Told) -> None:
    assert told.printed == [
        "3 readings taken, 5 for no purpose, 9 lines that are no record", "0 batches wait for the collector",
    ]  # fmt: skip


def test_devices_are_counted_by_value(told: Told) -> None:
    counted = {"model": "NCCS-3", "online": True, "licence_days": [30, 90]}
    assert without_name(told.house.rows("device_count", "controller")) == [counted]


def test_improvement_gets_the_worst_fault_and_push_the_last(told: Told) -> None:
    worst = {"model": "NCCS-3", "firmware": "3.1.0", "fault_code": 12}
    assert without_name(told.house.rows("improvement", "controller")) == [worst]
    assert without_name(told.house.rows("push", "controller")) == [{"fault_code": 3}]


def test_rows_have_exactly_the_fields_of_their_views_and_every_view_has_one(told: Told) -> None:
    arrived = {(row.purpose, row.kind): set(row.fields) for row in told.house.opened()}
    assert arrived == views_of(told.house.policy)


def test_a_controller_has_another_name_for_every_purpose(told: Told) -> None:
    names = [row.fields["controller_id"] for row in told.house.opened()]
    assert len(set(names)) == len(names) == len(told.house.policy.purposes)
    assert CONTROLLER not in names


def test_who_and_where_and_when_lamps_are_lit_is_on_no_disk_wire_or_log(told: Told) -> None:
    assert told.exposed == {}


def test_who_and_where_and_when_lamps_are_lit_is_in_no_row(told: Told) -> None:
    rows = repr([row.fields for row in told.house.opened()])
    assert [mark for mark in (*PLANTED, "06:17", "lamp") if mark in rows] == []
