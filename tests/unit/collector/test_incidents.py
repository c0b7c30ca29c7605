"""
What the authority makes of incidents: who told of them, by when somebody is to be told, how many it keeps.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from edge_sdk.collector import listening as heard
from edge_sdk.collector.incidents import AUTHORITY, DEVICE, MAX_OF_DEVICE, Case, IncidentList
from edge_sdk.collector.operating import close_incident
from edge_sdk.collector.registry import Registry
from edge_sdk.core.incidents import NOTICE_LIMIT_S, QUIET_S, Incident, Kind
from edge_sdk.core.messages import LedgerHead
from edge_sdk.errors import ConfigError
from tests.collector.household import NOW_S, Household
from tests.collector.town import Town

SEEN = Incident("forged", "statement", NOW_S - 3600, NOW_S - 60, 2, False, 259_200, bytes(32))


def cases(place: Town) -> list[Case]:
    with closing(Registry(place.places.registry)) as registry:
        return IncidentList(registry.database).cases()


def test_what_a_device_told_is_in_the_list_by_value(place: Town, home: Household) -> None:
    place.tell(home, SEEN, NOW_S)
    assert cases(place) == [Case(1, home.generation, DEVICE, NOW_S, None, SEEN)]


def test_a_later_account_grows_and_an_older_one_that_comes_late_takes_nothing_back(
    place: Town, home: Household
) -> None:
    grown = replace(SEEN, last_s=NOW_S, count=8)
    for at, account in enumerate((SEEN, grown, SEEN)):
        place.tell(home, account, NOW_S + at)
    (case,) = cases(place)
    assert (case.incident, case.heard_s) == (grown, NOW_S)


def test_the_limit_runs_from_when_the_device_noticed(place: Town, home: Household) -> None:
    place.tell(home, SEEN, NOW_S + 7200)
    assert cases(place)[0].notify_by_s == SEEN.first_s + 259_200


def test_a_device_whose_clock_is_ahead_gains_no_time(place: Town, home: Household) -> None:
    place.tell(home, replace(SEEN, first_s=NOW_S + 9_000_000, last_s=NOW_S + 9_000_000), NOW_S)
    assert cases(place)[0].notify_by_s == NOW_S + 259_200


def test_without_a_breach_clock_in_the_policy_there_is_no_limit(place: Town, home: Household) -> None:
    place.tell(home, replace(SEEN, notice_s=None), NOW_S)
    assert cases(place)[0].notify_by_s is None


def test_a_ledger_that_became_shorter_is_an_incident_by_the_limit_of_the_law(place: Town, home: Household) -> None:
    place.tell(home, LedgerHead(), NOW_S, ledger=(b"a" * 32, 9))
    for at in (60, 120):
        place.tell(home, LedgerHead(), NOW_S + at, ledger=(b"b" * 32, 8))
    (case,) = cases(place)
    assert (case.generation, case.told_by, case.incident.kind, case.incident.count) == (
        home.generation, AUTHORITY, "rollback", 2,
    )  # fmt: skip
    assert case.notify_by_s == NOW_S + 60 + NOTICE_LIMIT_S


def test_what_no_device_is_blamed_for_is_an_incident_of_nobody(place: Town) -> None:
    with closing(Registry(place.places.registry)) as registry:
        incidents = IncidentList(registry.database)
        for at in (0, 60, 60 + QUIET_S + 1):
            incidents.notice(None, Kind.FORGED, "message", NOW_S + at)
    assert [(case.generation, case.incident.count) for case in cases(place)] == [(None, 2), (None, 1)]


def test_every_alarm_that_tells_of_forging_or_rollback_starts_a_clock() -> None:
    assert set(heard.INCIDENT_OF) == {
        heard.STRANGER, heard.FORGED, heard.MISNAMED, heard.FOREIGN_GRANT, heard.FOREIGN_STREAM, heard.UNORDERED,
        heard.OTHER_SCOPE, heard.SHORTER, heard.REWRITTEN, heard.RETURNED,
    }  # fmt: skip


def test_a_closed_incident_is_closed_once(place: Town, home: Household) -> None:
    place.tell(home, SEEN, NOW_S)
    close_incident(place.folder, 1, now_s=NOW_S + 60)
    assert cases(place)[0].closed_s == NOW_S + 60
    with pytest.raises(ConfigError, match="no open incident"):
        close_incident(place.folder, 1, now_s=NOW_S + 120)


def test_a_device_that_floods_the_list_pushes_out_nothing_open_and_is_cut_off(place: Town, home: Household) -> None:
    with closing(Registry(place.places.registry)) as registry:
        incidents = IncidentList(registry.database)
        for number in range(MAX_OF_DEVICE):
            assert incidents.put(home.generation, replace(SEEN, first_s=NOW_S - number), NOW_S)
        assert not incidents.put(home.generation, replace(SEEN, first_s=NOW_S + 1), NOW_S)
        assert incidents.put(home.generation, replace(SEEN, first_s=NOW_S, count=9), NOW_S)
        assert incidents.put(b"x" * 16, SEEN, NOW_S)
        incidents.close(3, NOW_S)
        assert incidents.put(home.generation, replace(SEEN, first_s=NOW_S + 1), NOW_S)
        numbers = [case.number for case in incidents.cases(home.generation)]
    assert len(numbers) == MAX_OF_DEVICE
    assert 3 not in numbers


def test_what_finds_no_room_in_the_list_is_an_alarm(place: Town, home: Household) -> None:
    with closing(Registry(place.places.registry)) as registry:
        for number in range(MAX_OF_DEVICE):
            IncidentList(registry.database).put(home.generation, replace(SEEN, first_s=NOW_S - number), NOW_S)
    place.tell(home, replace(SEEN, first_s=NOW_S + 1), NOW_S)
    assert place.alarms() == [(home.generation, heard.TOO_MANY, 1)]
