"""
Each profile keeps what the privacy policy it encodes promises, read the safer way; no edit that breaks it goes unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from zlib import crc32

import pytest

from edge_sdk.core.deidentify import identifying
from edge_sdk.core.policy import (
    Basis,
    Field,
    FieldClass,
    FieldType,
    Policy,
    Purpose,
    TextRule,
    ViewField,
    purpose_digest,
)
from edge_sdk.core.policy_lint import Level, lint
from edge_sdk.core.terms import TRANSFERS, Terms
from edge_sdk.core.units import DAY_MS, HOUR_MS
from edge_sdk.policy_file import PROFILES, find_policy
from tests.minimising import NOON_MS, Minimised
from tests.profiles import breaking, leaves

VENDORS: Final = [name for name in PROFILES if name != "strictest"]
CANARY: Final = "CANARY4080001"
ADDRESS: Final = "203.0.113.77"
HARDWARE: Final = "00:11:22:aa:bb:cc"


@cache
def profile(name: str) -> Policy:
    return find_policy(name)


def terms(name: str) -> Terms:
    found = profile(name).terms
    assert found is not None
    return found


def leaving(policy: Policy) -> Iterator[tuple[Purpose, str, ViewField]]:
    for purpose in policy.purposes.values():
        for view in purpose.views:
            yield from ((purpose, view.kind.name, entry) for entry in view.fields)


# ------------------------------------------------------------------------------------------- all profiles


@pytest.mark.parametrize("name", PROFILES)
def test_what_a_profile_lets_leave_is_what_was_looked_at(name: str) -> None:
    assert leaves.lines_of(profile(name)) == leaves.golden()[name]


@pytest.mark.parametrize("name", PROFILES)
def test_the_linter_has_no_more_than_notes_on_a_profile(name: str) -> None:
    assert {finding.level for finding in lint(profile(name))} <= {Level.NOTE}


@pytest.mark.parametrize("name", PROFILES)
def test_every_purpose_names_the_rules_it_answers(name: str) -> None:
    assert all(purpose.clauses for purpose in profile(name).purposes.values())


@pytest.mark.parametrize("name", PROFILES)
def test_names_addresses_credentials_and_free_text_are_for_no_purpose(name: str) -> None:
    denied = {FieldClass.CONTACT, FieldClass.CREDENTIAL, FieldClass.NETWORK_IDENTIFIER, FieldClass.TEXT}
    assert denied <= set(terms(name).never)
    assert not [entry for _, _, entry in leaving(profile(name)) if entry.field.cls in denied]


@pytest.mark.parametrize("name", PROFILES)
def test_no_purpose_has_a_place_finer_than_a_band_of_kilometres(name: str) -> None:
    places = [entry for _, _, entry in leaving(profile(name)) if entry.field.cls is FieldClass.LOCATION]
    assert all(entry.band for entry in places)


@pytest.mark.parametrize("name", PROFILES)
def test_an_identifier_is_kept_on_contract_only_and_replaced_under_a_key_elsewhere(name: str) -> None:
    for purpose, _, entry in leaving(profile(name)):
        if entry.field.cls is FieldClass.DEVICE_IDENTIFIER:
            kept = purpose.basis is Basis.CONTRACT and name == "apsystems_ema"  # the one policy that declares it
            assert entry.text is TextRule.PSEUDONYM or (kept and entry.text is TextRule.KEEP)


@pytest.mark.parametrize("name", PROFILES)
def test_no_identifier_is_masked_which_is_no_anonymity(name: str) -> None:
    masks = (TextRule.MASK, TextRule.TRUNCATE_TEXT)
    assert not [entry for _, _, entry in leaving(profile(name)) if entry.text in masks]


@pytest.mark.parametrize("name", PROFILES)
def test_authorities_are_told_within_72_hours_and_people_answered_within_30_days(name: str) -> None:
    assert terms(name).breach_notice_ms <= 72 * HOUR_MS
    assert terms(name).answer_within_ms <= 30 * DAY_MS


@pytest.mark.parametrize("name", PROFILES)
def test_a_recipient_keeps_rows_for_a_number_of_days(name: str) -> None:
    assert DAY_MS <= terms(name).reach.retention_ms <= 730 * DAY_MS
    assert all(purpose.keep_at_most_ms <= 30 * DAY_MS for purpose in profile(name).purposes.values())


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_for_improvement_or_others_rests_on_consent_of_its_own(name: str) -> None:
    for purpose in profile(name).purposes.values():
        if "Improve" in purpose.dpv or "Analytics" in purpose.dpv or purpose.reach is None:
            assert purpose.basis is Basis.CONSENT
        assert purpose.reach is not None
        if purpose.reach.abroad(purpose.regions):
            assert purpose.basis is Basis.CONSENT


@pytest.mark.parametrize("name", VENDORS)
def test_a_profile_names_the_text_it_was_made_from(name: str) -> None:
    assert len(terms(name).text_sha256) == 64


@pytest.mark.parametrize("name", PROFILES)
def test_recipients_of_two_purposes_share_no_name_of_a_device(name: str) -> None:
    # A pseudonym is made under a key of its purpose, so the names of two purposes are never equal.
    own = Counter(purpose.name for purpose in profile(name).purposes.values() if purpose.period_ms is not None)
    assert set(own.values()) <= {1}
    made = [entry for purpose, _, entry in leaving(profile(name)) if entry.text is TextRule.PSEUDONYM]
    assert all(entry.amount <= 365 * DAY_MS for entry in made)


# ---------------------------------------------------------------------------------------------- canaries


def planted(field: Field) -> Any:
    """Return a value that a reading may hold, marked where it is text."""
    if field.type is FieldType.TEXT:
        return f"{crc32(field.name.encode()):08x}{CANARY}"[: field.max_length]
    if field.type is FieldType.ENUM:
        return field.values[0]
    values = {FieldType.IP: ADDRESS, FieldType.MAC: HARDWARE, FieldType.LOCATION: (48.137, 11.575)}
    return values.get(field.type, True if field.type is FieldType.BOOL else max(0, field.low))


@pytest.mark.parametrize("name", PROFILES)
def test_marked_values_leave_only_where_a_purpose_keeps_them(name: str) -> None:
    policy = profile(name)
    for purpose in policy.purposes.values():
        for view in purpose.views:
            minimised = Minimised(view.kind, view)
            fields = {field.name: planted(field) for field in view.kind.fields} | {"owner_note": CANARY}
            for minute in range(3):
                minimised.take(fields, NOON_MS + 60_000 * minute)
            rows = minimised.closed() if view.every_ms is not None else minimised.rows()
            kept = {planted(entry.field) for entry in view.fields if entry.text is TextRule.KEEP}
            assert rows, (purpose.name, view.kind.name)
            texts = {cell for row in rows for cell in row if isinstance(cell, str)}
            assert texts <= kept, (purpose.name, view.kind.name)


def test_a_reading_of_a_kind_that_no_purpose_has_leaves_nothing() -> None:
    silent = [(name, kind) for name in PROFILES for kind in profile(name).kinds
              if not any(kind == of for _, of, _ in leaving(profile(name)))]  # fmt: skip
    assert silent == [
        ("apsystems_ema", "meter"),
        ("aux_cloud", "inverter"),
        ("aux_cloud", "air_conditioner"),
        ("auxconn_beauty", "member"),
        ("nanolux_nccs", "lamp"),
        ("sofar_monitor", "station"),
        ("sofar_monitor", "meter"),
    ]


# ------------------------------------------------------------------------------------- one policy at a time


def fields_of(name: str, *purposes: str) -> set[str]:
    return {f"{kind}.{entry.field.name}" for purpose, kind, entry in leaving(profile(name)) if purpose.name in purposes}


def test_apsystems_gets_generation_and_alarms_and_nothing_that_its_policy_does_not_declare() -> None:
    undeclared = {"gateway.ssid", "gateway.mac", "gateway.imei", "gateway.lan_ip", "gateway.grid_profile"}
    undeclared |= {"gateway.installer_name", "gateway.time_zone", "meter.power_a", "meter.power_b", "meter.power_c"}
    undeclared |= {"inverter.signal"}
    assert not undeclared & fields_of("apsystems_ema", *profile("apsystems_ema").purposes)


def test_apsystems_installers_are_a_recipient_of_their_own_on_a_consent_of_its_own() -> None:
    purpose = profile("apsystems_ema").purposes["installers"]
    assert (purpose.basis, purpose.recipient) == (Basis.CONSENT, "installer-eu")
    others = [other.recipient for other in profile("apsystems_ema").purposes.values() if other is not purpose]
    assert purpose.recipient not in others


def test_apsystems_data_stays_in_europe() -> None:
    assert {purpose.regions for purpose in profile("apsystems_ema").purposes.values()} == {("EU",)}


def test_aux_gets_no_telemetry_as_its_policy_declares_none() -> None:
    kinds = {kind for _, kind, _ in leaving(profile("aux_cloud"))}
    assert kinds == {"gateway", "installation"}


def test_aux_gets_device_identifiers_for_security_by_a_made_up_name() -> None:
    assert profile("aux_cloud").purposes["security"].basis is Basis.CONSENT
    assert fields_of("aux_cloud", "security") & {"gateway.ip_address", "gateway.mac", "gateway.login_device"} == set()


def test_aux_gets_a_band_of_the_distance_and_neither_place_nor_kilometres() -> None:
    got = fields_of("aux_cloud", "distance_to_service_center")
    assert got == {"installation.device_id", "installation.service_distance"}
    (entry,) = [e for p, _, e in leaving(profile("aux_cloud")) if e.field.name == "service_distance"]
    assert entry.band == (25, 50, 100, 200, 400)


def test_aux_headquarters_are_a_recipient_of_their_own_that_needs_certified_clauses() -> None:
    purpose = profile("aux_cloud").purposes["platform_maintenance"]
    assert (purpose.recipient, purpose.regions, purpose.basis) == ("aux-hq", ("CN",), Basis.CONSENT)
    assert purpose.reach is not None
    assert [str(word) for word in purpose.reach.transfer] == ["scc"]


def test_no_purpose_of_aux_can_rest_on_legitimate_interest() -> None:
    assert terms("aux_cloud").bases == (Basis.CONSENT, Basis.CONTRACT)


def test_auxconn_gets_faults_and_versions_and_no_course_of_energy() -> None:
    assert fields_of("auxconn_beauty", "safety_fault") == {
        "appliance.device_id", "appliance.model", "appliance.firmware", "appliance.error_code", "appliance.restarts",
    }  # fmt: skip


def test_auxconn_push_is_a_consent_of_its_own_with_a_day_of_queue() -> None:
    purpose = profile("auxconn_beauty").purposes["push"]
    assert (purpose.basis, purpose.keep_at_most_ms) == (Basis.CONSENT, DAY_MS)


def test_auxconn_has_one_recipient_at_home() -> None:
    purposes = profile("auxconn_beauty").purposes.values()
    assert {(purpose.recipient, purpose.regions) for purpose in purposes} == {("auxconn-cn", ("CN",))}


def test_nanolux_counts_devices_by_a_name_of_one_day() -> None:
    counted = [entry for purpose, _, entry in leaving(profile("nanolux_nccs")) if purpose.name == "device_count"]
    assert [entry.amount for entry in counted if entry.text is TextRule.PSEUDONYM] == [DAY_MS]


def test_nanolux_gets_neither_schedules_nor_energy() -> None:
    assert {kind for _, kind, _ in leaving(profile("nanolux_nccs"))} == {"controller"}


def test_nanolux_push_is_another_recipient_abroad_and_asks_for_consent_to_the_transfer() -> None:
    purpose = profile("nanolux_nccs").purposes["push"]
    assert (purpose.recipient, purpose.basis) == ("push-cn", Basis.CONSENT)
    assert purpose.reach is not None
    assert purpose.reach.abroad(purpose.regions) == ("CN",)
    assert "consent" in purpose.reach.transfer


def test_sofar_gets_no_serial_number_name_or_place_of_a_plant() -> None:
    told = fields_of("sofar_monitor", *profile("sofar_monitor").purposes)
    assert not told & {"station.station_name", "station.place", "station.time_zone", "inverter.grid_code"}


def test_sofar_gets_neither_consumption_nor_what_it_may_operate() -> None:
    kinds = {kind for _, kind, _ in leaving(profile("sofar_monitor"))}
    assert kinds == {"inverter", "alarm", "logger", "battery"}
    assert not [purpose for purpose in profile("sofar_monitor").purposes if "operat" in purpose or "control" in purpose]


def test_sofar_support_is_finer_on_a_consent_of_its_own_and_waits_three_days_at_most() -> None:
    purpose = profile("sofar_monitor").purposes["support"]
    assert (purpose.basis, purpose.keep_at_most_ms) == (Basis.CONSENT, 3 * DAY_MS)


def test_sofar_rows_for_headquarters_pass_as_deidentified() -> None:
    assert identifying(profile("sofar_monitor").purposes["fleet_statistics"]) == ()


# ---------------------------------------------------------------------------------------------- strictest


def test_every_purpose_of_the_strictest_rests_on_consent() -> None:
    assert {purpose.basis for purpose in profile("strictest").purposes.values()} == {Basis.CONSENT}


@pytest.mark.parametrize("name", VENDORS)
def test_the_strictest_is_at_least_as_strict_as(name: str) -> None:
    strict, other = terms("strictest"), terms(name)
    assert set(strict.bases) <= set(other.bases)
    assert set(strict.never) >= set(other.never)
    assert strict.reach.retention_ms <= other.reach.retention_ms
    assert set(strict.reach.transfer) >= set(other.reach.transfer)
    assert strict.breach_notice_ms <= other.breach_notice_ms
    assert strict.answer_within_ms <= other.answer_within_ms
    assert strict.child_below >= other.child_below


def test_the_strictest_needs_every_mechanism_before_a_transfer() -> None:
    assert set(terms("strictest").reach.transfer) == set(TRANSFERS)


# ------------------------------------------------------------------------------------------ breaking a profile


@cache
def tried(name: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return every edit of a profile: what it is, who catches it, the document."""
    return [(said, breaking.caught(name, document), document) for said, document in breaking.edits(name)]


@pytest.mark.parametrize("name", PROFILES)
def test_no_way_of_breaking_a_profile_goes_unseen(name: str) -> None:
    assert [said for said, caught, _ in tried(name) if not caught] == []


@pytest.mark.parametrize("name", PROFILES)
def test_what_loads_after_widening_it_is_opened_by_no_grant_given_before(name: str) -> None:
    for said, caught, document in tried(name):
        if caught != "loader" and not said.startswith("terms: "):
            assert not breaking.is_granted_as_before(name, document), said


def test_digests_of_all_profiles_differ() -> None:
    digests = [purpose_digest(purpose) for name in PROFILES for purpose in profile(name).purposes.values()]
    assert len(set(digests)) == len(digests)
