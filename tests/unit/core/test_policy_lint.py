"""
Each finding of the closed list: what brings it up, and what does not.
"""

from __future__ import annotations

import pytest

from edge_sdk.core.policy_lint import Code, Finding, Level, lint
from tests.unit.policy_texts import TEXT, edited, policy, termed

SUPPORT = "purposes.support.views.inverter"
MONITORING = "purposes.monitoring.views.inverter"


def findings(text: str) -> list[Finding]:
    return lint(policy(text))


def new_codes(text: str) -> set[Code]:
    return {finding.code for finding in findings(text)} - {finding.code for finding in findings(TEXT)}


WITH_CONTACT = edited(
    "place = { class",
    'phone = { class = "contact", type = "text" }\n'
    'remark = { class = "text", type = "text" }\n'
    'token = { class = "credential", type = "text" }\n'
    "place = { class",
)


def supported(line: str) -> str:
    """Return the text with the further fields above, and *line* in the view of support."""
    return edited('starts = "keep"', line, WITH_CONTACT)


BRINGS_UP = [
    (Code.CREDENTIAL_LEAVES, supported('token = "keep"')),
    (Code.CREDENTIAL_LEAVES, supported('token = { pseudonym = "30d" }')),
    (Code.RAW_IDENTIFIER, edited('{ pseudonym = "30d" }', '"keep"')),
    (Code.RAW_IDENTIFIER, edited("{ mask = 8 }", '"keep"')),
    (Code.RAW_IDENTIFIER, supported('lan_ip = "keep"')),
    (Code.RAW_IDENTIFIER, supported('phone = "keep"')),
    (Code.RAW_IDENTIFIER, edited("{ coarsen_location = 1 }", '"keep"')),
    (Code.RAW_IDENTIFIER, edited('starts = { class = "telemetry"', 'starts = { class = "location"')),
    (Code.FINE_LOCATION, edited("coarsen_location = 1", "coarsen_location = 3")),
    (Code.FINE_LOCATION, edited("{ coarsen_location = 1 }", '"keep"')),
    (Code.FREE_TEXT, supported('remark = "keep"')),
    (Code.BEYOND_CONTRACT, edited("dpv:RequestedServiceProvision", "dpv:Marketing")),
    (Code.BEYOND_CONTRACT, edited("dpv:RequestedServiceProvision", "dpv:ImproveExistingProductsAndServices")),
    (Code.MASK_SHOWS_MUCH, edited('serial = "keep"', "serial = { mask = 5 }")),
    (Code.MASK_SHOWS_MUCH, edited('serial = "keep"', "serial = { truncate_text = 8 }")),
    (Code.LONG_PSEUDONYM, edited('"30d" }', '"401d" }')),
    (Code.CALLED_ANONYMOUS, TEXT.replace("purposes.support", "purposes.anonymous_help")),
    (Code.CALLED_ANONYMOUS, edited('name = "example"', 'name = "anonymised"')),
    (Code.LONG_PREFIX, edited("truncate_ip = 16", "truncate_ip = 25")),
    (Code.SUM_OF_COUNTER, edited('"delta"', '"sum"')),
    (Code.PSEUDONYM_BESIDE_RAW, edited("{ mask = 8 }", '"keep"')),
    (Code.NO_CLAUSE, edited('clauses = ["example.P2"]\n', "")),
    (Code.UNUSED_FIELD, edited('starts = "keep"\n', "")),
    (Code.UNUSED_KIND, edited("[purposes.monitoring]", '[kinds.meter]\nsource = "id"\n[kinds.meter.fields]\n'
                              'id = { class = "device_identifier", type = "text" }\n[purposes.monitoring]')),
    (Code.NAMED_ABROAD, termed('"CH"]\ntransfer = ["scc"]', '"US"]\ntransfer = ["scc", "deidentified"]')),
    (Code.NO_PLACE, edited('["EU", "CH"]', '["EU", "ANY"]')),
    (Code.NO_PLACE, termed('["EU", "CH"]', '["EU", "CH", "WORLD"]')),
    (Code.WAITS_LONGER, termed('"365d"', '"20d"')),
    (Code.LATE_NOTICE, termed('"72h"', '"73h"')),
    (Code.LATE_ANSWER, termed('"30d"', '"32d"')),
]  # fmt: skip
LEAVES_ALONE = [
    (Code.CREDENTIAL_LEAVES, WITH_CONTACT),
    (Code.RAW_IDENTIFIER, edited('"consent"', '"contract"', edited("{ mask = 8 }", '"keep"'))),
    (Code.RAW_IDENTIFIER, edited("{ mask = 8 }", "{ truncate_text = 8 }")),
    (Code.RAW_IDENTIFIER, edited("starts = { class = \"telemetry\"", 'starts = { class = "text"')),
    (Code.FINE_LOCATION, edited("coarsen_location = 1", "coarsen_location = 2")),
    (Code.FREE_TEXT, supported("remark = { truncate_text = 3 }")),
    (Code.BEYOND_CONTRACT, edited("dpv:TechnicalServiceProvision", "dpv:Marketing")),
    (Code.MASK_SHOWS_MUCH, supported("remark = { mask = 20 }")),
    (Code.LONG_PSEUDONYM, edited('"30d" }', '"400d" }')),
    (Code.LONG_PREFIX, edited("truncate_ip = 16", "truncate_ip = 24")),
    (Code.SUM_OF_COUNTER, edited('"mean", round = 10', '"sum", round = 10')),
    (Code.PSEUDONYM_BESIDE_RAW, edited('"last", truncate_ip = 16', '"last"')),
    (Code.NAMED_ABROAD, termed('["scc"]', '["deidentified"]')),
    (Code.NAMED_ABROAD, termed('["EU", "CH"]', '["EU"]')),
    (Code.NO_PLACE, termed()),
    (Code.WAITS_LONGER, termed('"365d"', '"30d"')),
    (Code.LATE_NOTICE, termed()),
    (Code.LATE_ANSWER, termed('"30d"', '"31d"')),
    (Code.NO_TERMS, termed()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text"), BRINGS_UP, ids=[f"{code.name}-{n}" for n, (code, _) in enumerate(BRINGS_UP)]
)
def test_a_finding_comes_up(code: Code, text: str) -> None:
    assert code in {finding.code for finding in findings(text)}


@pytest.mark.parametrize(
    ("code", "text"), LEAVES_ALONE, ids=[f"{code.name}-{n}" for n, (code, _) in enumerate(LEAVES_ALONE)]
)
def test_what_is_sound_is_left_alone(code: Code, text: str) -> None:
    assert code not in new_codes(text)


def test_every_code_is_brought_up_above_or_by_the_text_itself() -> None:
    assert {code for code, _ in BRINGS_UP} | {finding.code for finding in findings(TEXT)} == set(Code)


def test_every_reading_on_consent_is_found_in_the_view() -> None:
    assert [
        (finding.where, finding.level) for finding in findings(TEXT) if finding.code is Code.EVERY_READING
    ] == [(SUPPORT, Level.WARNING)]


def test_windows_on_consent_are_left_alone() -> None:
    text = edited('basis = "contract"', 'basis = "consent"')
    assert [finding.where for finding in findings(text) if finding.code is Code.EVERY_READING] == [SUPPORT]


def test_a_counted_identifier_is_not_raw() -> None:
    text = edited('basis = "contract"', 'basis = "consent"', edited('"last", truncate_ip = 16', '"count"'))
    assert f"{MONITORING}.fields.lan_ip" not in {finding.where for finding in findings(text)}


def test_a_counted_location_is_not_fine() -> None:
    text = edited('lan_ip = { window = "last", truncate_ip = 16 }', 'place = { window = "count" }')
    assert f"{MONITORING}.fields.place" not in {finding.where for finding in findings(text)}


def test_rounding_and_bands_are_not_raw() -> None:
    text = edited('power = { class = "telemetry"', 'power = { class = "location"')
    text = edited('basis = "contract"', 'basis = "consent"', text)
    assert not [finding for finding in findings(text) if finding.where.endswith(".power")]


def test_a_source_that_does_not_leave_is_not_called_unused() -> None:
    text = edited('{ pseudonym = "30d" }', '"keep"', edited('serial = "keep"\n', ""))
    text = edited('serial = "keep"\n', "", text)
    assert "kinds.inverter.fields.serial" not in {finding.where for finding in findings(text)}


@pytest.mark.parametrize(
    ("code", "level"),
    [
        (Code.CREDENTIAL_LEAVES, Level.ERROR),
        (Code.RAW_IDENTIFIER, Level.WARNING),
        (Code.NO_CLAUSE, Level.NOTE),
    ],
)
def test_a_code_has_one_level(code: Code, level: Level) -> None:
    assert Finding(code, "", "", "").level is level


def test_every_finding_says_where_what_and_what_instead() -> None:
    for _, text in BRINGS_UP:
        assert all(finding.where and finding.what and finding.instead for finding in findings(text))


def test_codes_are_numbered_without_a_hole() -> None:
    assert [code.value for code in Code] == [f"L{number:02}" for number in range(1, len(Code) + 1)]
