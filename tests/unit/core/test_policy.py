"""
The digest of a purpose changes with every edit that lets leave otherwise, and with no other.
"""

from __future__ import annotations

import dataclasses
import random
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.core import cbor
from edge_sdk.core.policy import canonical_purpose, purpose_digest
from tests.unit.policy_texts import TEXT, edited, policy, toml

BEFORE = {name: purpose_digest(purpose) for name, purpose in policy().purposes.items()}

# What is edited, into what, and which purposes it concerns.
RELEVANT = [
    ('basis = "contract"', 'basis = "legal_obligation"', {"monitoring"}),
    ('"operator-eu"\nregions = ["EU"]\n', '"operator-us"\nregions = ["EU"]\n', {"monitoring"}),
    ('["EU", "CH"]', '["EU"]', {"support"}),
    ('"14d"', '"15d"', {"support"}),
    ('every = "5min"', 'every = "10min"', {"monitoring"}),
    ('send = "now"\n', "", {"support"}),
    ("[purposes.support]", "[purposes.help]", {"support"}),
    ("max_sources = 64", "max_sources = 65", {"monitoring", "support"}),
    ("max_length = 12", "max_length = 13", {"monitoring", "support"}),
    ("min = -100", "min = -101", {"monitoring", "support"}),
    ("max = 100000", "max = 100001", {"monitoring", "support"}),
    ("resolution = 0.1", "resolution = 0.2", {"monitoring", "support"}),
    ('unit = "W"', 'unit = "kW"', {"monitoring", "support"}),
    ("wraps_at = 65536", "wraps_at = 65537", {"monitoring"}),
    ('"fault"', '"broken"', {"monitoring"}),
    ('["hot", "cold"]', '["cold", "hot"]', {"support"}),
    ('power = { class = "telemetry"', 'power = { class = "location"', {"monitoring", "support"}),
    ('"mean", round = 10', '"max", round = 10', {"monitoring"}),
    ("round = 10,", "round = 20,", {"monitoring"}),
    ("[0, 5000]", "[0, 6000]", {"monitoring"}),
    (", clip = [0, 5000]", "", {"monitoring"}),
    ("[100, 1000]", "[100]", {"support"}),
    ("mask = 8", "mask = 7", {"support"}),
    ("mask = 8", "truncate_text = 8", {"support"}),
    ("truncate_ip = 16", "truncate_ip = 8", {"monitoring"}),
    ("coarsen_location = 1", "coarsen_location = 0", {"support"}),
    ('"30d" }', '"29d" }', {"support"}),
    ('serial = "keep"', "serial = { mask = 4 }", {"monitoring"}),
    ('starts = "keep"\n', "", {"support"}),
    ('starts = "keep"\n', 'starts = "keep"\nenergy = "keep"\n', {"support"}),
]
IRRELEVANT = [
    ('name = "example"', 'name = "other"'),
    ('version = "1"', 'version = "2"'),
    ('on_invalid = "field"', 'on_invalid = "reading"'),
    ("importance = 10", "importance = 20"),
    ('["example.P2"]', '["example.P3", "example.P4"]'),
    ('"dpv:RequestedServiceProvision"', '"dpv:ServiceProvision"'),
    ('["EU", "CH"]', '["CH", "EU"]'),
    ('"14d"', '"336h"'),
    ('every = "5min"', 'every = "300s"'),
    ("resolution = 0.1", "resolution = 0.10"),
    ("round = 10,", "round = 10.0,"),
    ("[purposes.monitoring]", "# a comment\n[purposes.monitoring]"),
    ('starts = "keep"\nfaults = "keep"', 'faults = "keep"\nstarts = "keep"'),
    (
        "[kinds.inverter.fields]\n",
        '[kinds.inverter.fields]\nspare = { class = "telemetry", type = "bool" }\n',
    ),
]


def changed(text: str) -> set[str]:
    after = {name: purpose_digest(purpose) for name, purpose in policy(text).purposes.items()}
    return {name for name in BEFORE if after.get(name) != BEFORE[name]}


def edit(old: str, new: str) -> str:
    if old.startswith("[purposes.support"):  # a renamed table is named three times
        return TEXT.replace("[purposes.support", "[purposes.help")
    return edited(old, new)


@pytest.mark.parametrize(("old", "new", "purposes"), RELEVANT, ids=lambda part: str(part)[:40])
def test_what_lets_leave_otherwise_changes_the_digest_of_just_that_purpose(
    old: str, new: str, purposes: set[str]
) -> None:
    assert changed(edit(old, new)) == purposes


@pytest.mark.parametrize(("old", "new"), IRRELEVANT, ids=lambda part: str(part)[:40])
def test_what_changes_nothing_that_leaves_keeps_the_digest(old: str, new: str) -> None:
    assert changed(edited(old, new)) == set()


@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_lines_of_a_file_does_not_change_a_digest(chance: random.Random) -> None:
    def shuffled(value: object) -> object:
        if not isinstance(value, dict):
            return value
        keys = list(value)
        chance.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    document = shuffled(tomllib.loads(TEXT))
    assert isinstance(document, dict)
    assert changed(toml(document)) == set()


def test_a_digest_is_one_hash_over_the_canonical_form() -> None:
    assert {len(digest) for digest in BEFORE.values()} == {32}


def test_the_canonical_form_survives_its_encoding() -> None:
    canonical = canonical_purpose(policy().purposes["support"])
    assert cbor.decode(cbor.encode(canonical), 1 << 16) == canonical


def test_purposes_of_equal_content_and_different_name_have_different_digests() -> None:
    purpose = policy().purposes["support"]
    assert purpose_digest(dataclasses.replace(purpose, name="help")) != purpose_digest(purpose)


def test_a_declared_field_is_found_by_name() -> None:
    assert policy().kinds["inverter"].field("mac").name == "mac"


def test_a_field_that_is_not_declared_is_not_found() -> None:
    with pytest.raises(KeyError):
        policy().kinds["inverter"].field("imei")


def test_the_group_of_a_view_is_where_its_source_stands() -> None:
    view = policy().purposes["monitoring"].views[0]
    assert view.group is not None
    assert view.fields[view.group].field.name == "serial"


def test_a_view_without_its_source_has_no_group() -> None:
    view = policy(edited('serial = "keep"\n', "")).purposes["monitoring"].views[0]
    assert view.group is None


@pytest.mark.parametrize(
    ("name", "is_text"), [("serial", True), ("mac", True), ("power", False), ("faults", False)]
)
def test_text_is_told_from_numbers(name: str, is_text: bool) -> None:
    fields = policy().purposes["support"].views[0].fields
    assert next(entry.is_text for entry in fields if entry.field.name == name) is is_text
