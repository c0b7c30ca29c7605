"""
What an edit lets leave: narrower, wider or different, and never nothing where the digest is another.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.core.policy import purpose_digest
from edge_sdk.core.policy_diff import Change, Direction, diff, needs_new_grant
from tests.unit.core.test_policy import IRRELEVANT, RELEVANT, edit
from tests.unit.policy_texts import TEXT, edited, policy, termed


def changes(old: str, new: str) -> list[Change]:
    return diff(policy(old), policy(new))


def directions(old: str, new: str, purpose: str) -> set[Direction]:
    return {change.direction for change in changes(old, new) if change.purpose == purpose}


# An edit that is wider; the way back is narrower.
WIDER = [
    ("monitoring", 'every = "5min"', 'every = "1min"'),
    ("monitoring", '"30d"\nclauses', '"60d"\nclauses'),
    ("support", '["EU", "CH"]', '["EU", "CH", "US"]'),
    ("monitoring", "round = 10,", "round = 5,"),
    ("monitoring", ", clip = [0, 5000]", ""),
    ("monitoring", "[0, 5000]", "[-100, 6000]"),
    ("monitoring", '"delta", round = 100', '"delta"'),
    ("monitoring", '"last", truncate_ip = 16', '"last", truncate_ip = 24'),
    ("monitoring", '"last", truncate_ip = 16', '"last"'),
    ("monitoring", 'state = { window = "count" }', 'state = { window = "last" }'),
    ("monitoring", 'lan_ip = { window = "count" }', 'lan_ip = { window = "last", truncate_ip = 16 }'),
    ("support", "mask = 8", "mask = 9"),
    ("support", "{ mask = 8 }", '"keep"'),
    ("support", "coarsen_location = 1", "coarsen_location = 2"),
    ("support", '"30d" }', '"60d" }'),
    ("support", "[100, 1000]", "[100, 500, 1000]"),
    ("support", "{ band = [100, 1000] }", '"keep"'),
    ("support", 'starts = "keep"', 'starts = "keep"\nstate = "keep"'),
    ("support", "max_sources = 64", "max_sources = 65"),
    ("support", "max_length = 12", "max_length = 13"),
    ("support", "min = -100, max = 100000", "min = -200, max = 200000"),
    ("support", '"hot", "cold"', '"hot", "cold", "wet"'),
    (
        "support",
        "{ coarsen_location = 1 }",
        '{ coarsen_location = 1 }\n[purposes.support.views.meter.fields]\nid = "keep"',
    ),
]
DIFFERENT = [
    ("monitoring", 'basis = "contract"', 'basis = "consent"'),
    ("monitoring", '"operator-eu"\nregions = ["EU"]\n', '"operator-us"\nregions = ["EU"]\n'),
    ("support", '["EU", "CH"]', '["EU", "US"]'),
    ("monitoring", 'every = "5min"', 'every = "7min"'),
    ("monitoring", '"mean"', '"max"'),
    ("monitoring", "round = 10,", "round = 15,"),
    ("monitoring", "[0, 5000]", "[100, 6000]"),
    ("monitoring", "round = 10, clip", "band = [10], clip"),
    ("monitoring", "wraps_at = 65536", "wraps_at = 65537"),
    ("support", "[100, 1000]", "[100, 2000]"),
    ("support", "{ band = [100, 1000] }", "{ round = 10 }"),
    ("support", "mask = 8", "truncate_text = 8"),
    ("support", '"hot", "cold"', '"cold", "hot"'),
    ("support", 'unit = "W"', 'unit = "kW"'),
    ("support", 'starts = { class = "telemetry"', 'starts = { class = "text"'),
    ("support", 'type = "mac"', 'type = "text"'),
    ("support", 'source = "serial"', 'source = "mac"'),
]


METER = """\
[kinds.meter]
source = "id"
[kinds.meter.fields]
id = { class = "device_identifier", type = "text" }
"""


def with_meter(text: str) -> str:
    """Return *text* with a second kind, and with windows that count where an edit starts from that."""
    return text.replace("[purposes.monitoring]", f"{METER}[purposes.monitoring]")


def before(old: str) -> str:
    text = with_meter(TEXT)
    if old.startswith('state = { window = "count"'):
        return text.replace('state = { window = "last" }', old)
    if old.startswith('lan_ip = { window = "count"'):
        return text.replace('lan_ip = { window = "last", truncate_ip = 16 }', old)
    return text


def edits(old: str, new: str) -> tuple[str, str]:
    start = before(old)
    end = edited(old, new, start)
    if new == 'source = "mac"':  # the former source then needs a window, and the new one none
        start, end = (text.replace('serial = "keep"\n', "") for text in (start, end))
    return start, end


@pytest.mark.parametrize(("purpose", "old", "new"), WIDER)
def test_what_lets_more_leave_is_wider(purpose: str, old: str, new: str) -> None:
    assert directions(*edits(old, new), purpose) == {Direction.WIDER}


@pytest.mark.parametrize(("purpose", "old", "new"), WIDER)
def test_the_way_back_is_narrower(purpose: str, old: str, new: str) -> None:
    start, end = edits(old, new)
    assert directions(end, start, purpose) == {Direction.NARROWER}


@pytest.mark.parametrize(("purpose", "old", "new"), DIFFERENT)
def test_what_can_not_be_compared_is_different(purpose: str, old: str, new: str) -> None:
    assert Direction.DIFFERENT in directions(*edits(old, new), purpose)


@pytest.mark.parametrize(("purpose", "old", "new"), DIFFERENT)
def test_what_can_not_be_compared_is_different_the_other_way_too(purpose: str, old: str, new: str) -> None:
    start, end = edits(old, new)
    assert Direction.DIFFERENT in directions(end, start, purpose)


HOME, NEEDS = 'home = ["EU", "CH"]', 'transfer = ["scc"]'
TERMS_WIDER = [
    (HOME, HOME, 'home = ["EU", "CH", "GB"]'),
    ("retention", 'retention = "365d"', 'retention = "366d"'),
    (NEEDS, 'transfer = ["scc", "consent"]', NEEDS),
    (NEEDS, "transfer = []", NEEDS),
]


@pytest.mark.parametrize(("where", "old", "new"), TERMS_WIDER)
def test_terms_that_let_rows_go_further_are_wider_and_back_narrower(where: str, old: str, new: str) -> None:
    start = termed(where, old) if where == NEEDS else termed()
    end = termed(where if where == NEEDS else old, new)
    if old == "transfer = []":
        start, end = (text.replace('["EU", "CH"]', '["EU", "CH", "US"]', 1) for text in (start, end))
    assert {directions(start, end, name).pop() for name in policy().purposes} == {Direction.WIDER}
    assert {directions(end, start, name).pop() for name in policy().purposes} == {Direction.NARROWER}


def test_terms_that_need_another_thing_for_a_transfer_are_different() -> None:
    assert directions(termed(), termed(NEEDS, 'transfer = ["consent"]'), "support") == {Direction.DIFFERENT}


def test_adding_terms_is_narrower_and_removing_them_wider() -> None:
    assert directions(TEXT, termed(), "support") == {Direction.NARROWER}
    assert directions(termed(), TEXT, "support") == {Direction.WIDER}


def test_sending_at_once_is_wider_than_sending_later() -> None:
    assert directions(edited('send = "now"\n', ""), TEXT, "support") == {Direction.WIDER}


def test_sending_later_is_narrower_than_sending_at_once() -> None:
    assert directions(TEXT, edited('send = "now"\n', ""), "support") == {Direction.NARROWER}


ALARMS = """
[purposes.alarms]
basis = "contract"
dpv = "dpv:ServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
keep_at_most = "1d"
[purposes.alarms.views.inverter]
[purposes.alarms.views.inverter.fields]
starts = "keep"
"""
WINDOWED = ALARMS.replace("views.inverter]\n", 'views.inverter]\nevery = "1h"\n').replace(
    '"keep"', '{ window = "sum" }'
)


def test_windows_instead_of_every_reading_are_narrower() -> None:
    assert directions(TEXT + ALARMS, TEXT + WINDOWED, "alarms") == {Direction.NARROWER}


def test_every_reading_instead_of_windows_is_wider() -> None:
    assert directions(TEXT + WINDOWED, TEXT + ALARMS, "alarms") == {Direction.WIDER}


def test_a_new_purpose_is_wider() -> None:
    assert changes(TEXT, TEXT + ALARMS) == [Change("alarms", "purpose added", Direction.WIDER)]


def test_a_purpose_less_is_narrower() -> None:
    assert changes(TEXT + ALARMS, TEXT) == [Change("alarms", "purpose removed", Direction.NARROWER)]


def test_a_change_says_what_it_was_and_what_it_is() -> None:
    assert changes(TEXT, edited("round = 10,", "round = 20,")) == [
        Change("monitoring", "view inverter, field power: round: 10, now 20", Direction.NARROWER)
    ]


def test_a_changed_period_is_told_as_a_duration() -> None:
    assert changes(TEXT, edited('"30d" }', '"7d" }')) == [
        Change("support", "view inverter, field serial: pseudonym: 30d, now 7d", Direction.NARROWER)
    ]


def test_a_new_grant_is_needed_for_what_is_wider_or_different() -> None:
    text = edited("[100, 1000]", "[100]", edited('every = "5min"', 'every = "7min"'))
    assert needs_new_grant(changes(TEXT, text)) == ["monitoring"]


def test_no_new_grant_is_needed_for_what_is_narrower_throughout() -> None:
    assert needs_new_grant(changes(TEXT, edited("[100, 1000]", "[100]"))) == []


@pytest.mark.parametrize(("old", "new", "purposes"), RELEVANT, ids=lambda part: str(part)[:40])
def test_a_change_is_told_for_every_other_digest(old: str, new: str, purposes: set[str]) -> None:
    told = {change.purpose for change in changes(TEXT, edit(old, new))}
    assert purposes <= told


@pytest.mark.parametrize(("old", "new"), IRRELEVANT, ids=lambda part: str(part)[:40])
def test_no_change_is_told_for_the_same_digests(old: str, new: str) -> None:
    assert changes(TEXT, edited(old, new)) == []


EDITS = [(old, new) for old, new, _ in RELEVANT if not old.startswith("[purposes")] + IRRELEVANT


@given(
    st.lists(st.sampled_from(EDITS), max_size=6, unique=True),
    st.lists(st.sampled_from(EDITS), max_size=6, unique=True),
)
@settings(max_examples=100, deadline=None)
def test_a_purpose_has_changes_if_and_only_if_its_digest_is_another(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    old, new = (policy(all_edited(steps)) for steps in (first, second))
    other = {
        name
        for name in old.purposes
        if purpose_digest(old.purposes[name]) != purpose_digest(new.purposes[name])
    }
    assert {change.purpose for change in diff(old, new)} == other


def all_edited(steps: list[tuple[str, str]]) -> str:
    text = TEXT
    for old, new in steps:
        if text.count(old) == 1:
            text = text.replace(old, new)
    return text
