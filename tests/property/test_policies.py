"""
Random policies and random readings: what a view does not name does not leave, nothing leaves but by its rule.

The compiled function is compared with ``tests.slowly``, an interpreter of the policy that shares no code with it.
"""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.core import cbor
from edge_sdk.core.compile import Minimiser, Outlet, Tally, compile_columns, compile_kind, make_outlet
from edge_sdk.core.keys import PseudonymKey
from edge_sdk.core.policy import (
    NUMERIC,
    TEXTUAL,
    Field,
    FieldType,
    Kind,
    Policy,
    TextRule,
    View,
    ViewField,
    purpose_digest,
)
from edge_sdk.core.policy_cbor import decode_policy, encode_policy
from edge_sdk.core.policy_lint import lint
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.reading import check
from edge_sdk.core.table import decode_tables, encode_tables
from edge_sdk.core.units import BINARY64_INTEGER
from tests.minimising import NOON_MS, STEPS, Minimised, collect_grant, field, kind_of, view_of
from tests.policies import JUNK, numbers_near, policies, readings, values_of
from tests.slowly import SlowKind
from tests.vectors import world


@given(policies())
def test_a_policy_that_was_kept_is_the_policy_that_was_read(policy: Policy) -> None:
    kept = decode_policy(encode_policy(policy))
    assert kept == policy
    assert list(kept.purposes.values()) == list(policy.purposes.values())
    assert [*map(purpose_digest, kept.purposes.values())] == [*map(purpose_digest, policy.purposes.values())]
    assert lint(kept) == lint(policy)


class Compiled:
    """The one kind of a policy, compiled for all its purposes, each with a pseudonym key of its own."""

    def __init__(self, policy: Policy) -> None:
        (self.kind,) = policy.kinds.values()
        self.views: list[View] = [purpose.views[0] for purpose in policy.purposes.values()]
        self.keys = [world.named(f"key of {name}") for name in policy.purposes]
        self.tally = Tally()
        self.outlets = [
            make_outlet(view, names=names(view, key)) for view, key in zip(self.views, self.keys, strict=True)
        ]
        granted = [(outlet, collect_grant()) for outlet in self.outlets]
        self.minimise: Minimiser = compile_kind(self.kind, granted, self.tally)

    def close(self) -> None:
        for outlet in self.outlets:
            if outlet.windows is not None:
                outlet.windows.cut()


def names(view: View, key: bytes) -> dict[str, Pseudonyms]:
    hidden = [item.field.name for item in view.fields if item.text is TextRule.PSEUDONYM]
    return {name: Pseudonyms(PseudonymKey(key), name) for name in hidden}


@given(st.data(), policies())
def test_the_compiled_policy_does_what_the_policy_says(chance: st.DataObject, policy: Policy) -> None:
    fast = Compiled(policy)
    slow = SlowKind(fast.kind, fast.views, fast.keys)
    for fields, at_ms in chance.draw(st.lists(readings(fast.kind), min_size=4, max_size=8)):
        assert fast.minimise(fields, at_ms) == slow.take(fields, at_ms)
    assert asdict(fast.tally) == asdict(slow.dropped)
    fast.close()
    for outlet, view in zip(fast.outlets, slow.views, strict=True):
        if view.view.every_ms is not None:
            assert outlet.windows is not None
            assert outlet.windows.late == view.late
            view.cut()
        assert sorted(outlet.rows, key=repr) == sorted(view.rows, key=repr)


@settings(max_examples=settings().max_examples // 2)
@given(st.data(), policies(), st.booleans())
def test_readings_by_column_become_the_rows_they_become_one_by_one(
    chance: st.DataObject, policy: Policy, is_known: bool
) -> None:
    several, single = Compiled(policy), Compiled(policy)
    fields, at_ms = chance.draw(readings(several.kind))
    if is_known:  # else its source may be new
        assert several.minimise(fields, at_ms) == single.minimise(fields, at_ms)
    by_column = compile_columns(several.kind, several.outlets, several.minimise)
    known = {declared.name for declared in several.kind.fields}
    alike = [{name: value for name, value in fields.items() if is_known <= (name in known and value is not None)}]
    alike += [{name: chance.draw(st.just(value) | JUNK) for name, value in alike[0].items()}]
    times = [at_ms, at_ms + chance.draw(st.integers(0, 900_000))]
    before = [len(outlet.rows) for outlet in several.outlets], asdict(several.tally)
    taken = by_column({name: [one[name] for one in alike] for name in alike[0]}, times)
    if taken is None:
        assert before == ([len(outlet.rows) for outlet in several.outlets], asdict(several.tally))
        return
    assert taken == sum(single.minimise(one, at) > 0 for one, at in zip(alike, times, strict=True))
    assert several.tally == single.tally
    for compiled in (several, single):
        compiled.close()
    for ours, theirs in zip(several.outlets, single.outlets, strict=True):
        assert repr(ours.rows) == repr(theirs.rows)


@settings(max_examples=settings().max_examples // 2)
@given(st.data(), policies())
def test_rows_of_any_policy_travel_and_hold_no_other_type_than_the_format_has(
    chance: st.DataObject, policy: Policy
) -> None:
    compiled = Compiled(policy)
    for fields, at_ms in chance.draw(st.lists(readings(compiled.kind), min_size=4, max_size=8)):
        compiled.minimise(fields, at_ms)
    compiled.close()
    rows = {at: outlet.rows for at, outlet in enumerate(compiled.outlets) if outlet.rows}
    assert decode_tables(compiled.views, encode_tables(compiled.views, rows)) == rows
    assert {type(value) for found in rows.values() for row in found for value in row} <= {int, str, bytes, type(None)}


MARK = "ZQX" * 4  # in nobody's value
LONG = 6  # a shorter mark may turn up in a pseudonym by chance


@st.composite
def marked(draw: st.DrawFn, kind: Kind) -> dict[str, Any]:
    """A reading whose every text and every unknown field bears a mark of its own."""
    fields: dict[str, Any] = {"ssid": "CANARY-ssid", "owner": b"CANARY-owner", "\ud800": "CANARY"}
    for declared in kind.fields:
        if declared.type is FieldType.TEXT:
            fields[declared.name] = (declared.name[-1] + MARK)[: declared.max_length]
        else:
            fields[declared.name] = draw(values_of(declared))
    return fields


@settings(max_examples=settings().max_examples // 2)
@given(st.data(), policies())
def test_a_text_leaves_whole_only_where_the_view_keeps_it(chance: st.DataObject, policy: Policy) -> None:
    compiled = Compiled(policy)
    fields = chance.draw(marked(compiled.kind))
    compiled.minimise(fields, NOON_MS)
    compiled.close()
    for outlet in compiled.outlets:
        told = cbor.encode([list(row) for row in outlet.rows]) + repr(outlet).encode()
        assert b"CANARY" not in told
        for declared in compiled.kind.fields:
            is_marked = declared.type is FieldType.TEXT and declared.max_length >= LONG
            if is_marked and not leaves_whole(outlet, declared):
                assert fields[declared.name].encode() not in told


def leaves_whole(outlet: Outlet, declared: Field) -> bool:
    shown = [item for item in outlet.view.fields if item.field.name == declared.name]
    return bool(shown) and shown[0].text is TextRule.KEEP


# --- the compiled comparison and the strict definition


@st.composite
def numeric_fields(draw: st.DrawFn) -> Field:
    step = draw(st.sampled_from(STEPS))
    most = min(BINARY64_INTEGER - 1, int((BINARY64_INTEGER - 1) / step.decimal(1)))
    low, high = draw(
        st.sampled_from([(-most, most), (0, most), (-1000, 1000), (1, 9), (0, 1), (-most, -most + 1)])
        | st.lists(st.integers(-most, most), min_size=2, max_size=2, unique=True).map(lambda ends: tuple(sorted(ends)))
    )
    return field("value", draw(st.sampled_from(sorted(NUMERIC))), step=step, low=low, high=high)


def agrees_with_the_definition(declared: Field, value: Any) -> None:
    kind = kind_of(declared)
    minimised = Minimised(
        kind, view_of(kind, ViewField(declared, text=TextRule.KEEP if declared.type in TEXTUAL else None))
    )
    assert minimised.take({"serial": "A", "value": value}) == 1
    wanted = check(declared, value)
    found = minimised.rows()[0][1]
    assert found == wanted
    assert type(found) is type(wanted)
    assert type(found) in (int, str, type(None))
    assert minimised.tally.invalid_values == (value is not None and wanted is None)


@given(st.data(), numeric_fields())
def test_fast_and_strict_agree_on_every_number(chance: st.DataObject, declared: Field) -> None:
    for value in chance.draw(st.lists(numbers_near(declared) | JUNK, min_size=3, max_size=8)):
        agrees_with_the_definition(declared, value)


@pytest.mark.parametrize("kind", sorted(set(FieldType) - NUMERIC))
@given(chance=st.data())
def test_fast_and_strict_agree_on_every_other_value(kind: FieldType, chance: st.DataObject) -> None:
    declared = field("value", kind, max_length=4, values=("off", "on"))
    agrees_with_the_definition(declared, chance.draw(values_of(declared) | JUNK))


@given(st.data(), numeric_fields())
def test_a_number_is_in_range_and_nearest(chance: st.DataObject, declared: Field) -> None:
    value: float = chance.draw(st.floats(allow_nan=False, allow_infinity=False) | numbers_near(declared))
    scaled = check(declared, value)
    if scaled is None:
        return
    assert isinstance(scaled, int)
    assert declared.low <= scaled <= declared.high
    step = declared.step.decimal(1)
    # Binary64 has 53 bits, so at the far end of the range nearest means within a few of the last of them.
    slack = step * (abs(scaled) + 1) * 4 / BINARY64_INTEGER
    assert abs(Decimal(value) - step * scaled) <= step / 2 + slack
