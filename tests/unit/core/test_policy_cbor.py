"""
A checked policy comes back from its bytes as it was, and nothing else comes back as a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import pytest

from edge_sdk.core import cbor
from edge_sdk.core.policy import Field, Kind, Policy, Purpose, View, ViewField
from edge_sdk.core.policy_cbor import decode_policy, encode_policy
from edge_sdk.core.terms import Reach, Terms
from edge_sdk.core.units import Step
from edge_sdk.errors import Malformed
from edge_sdk.policy_file import PROFILES, find_policy
from tests.unit.policy_texts import edited, policy

TRIED = {
    "without terms": policy(),
    "strict": policy(edited('on_invalid = "field"', 'on_invalid = "reading"')),
    **{name: find_policy(name) for name in PROFILES},
}
WHOLE = (Policy, Kind, Field, Step, Purpose, View, ViewField, Reach, Terms)


def parts_of(value: Any) -> Iterator[Any]:
    """Yield every dataclass instance in *value*."""
    if is_dataclass(value):
        yield value
        for declared in fields(value):
            yield from parts_of(getattr(value, declared.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from parts_of(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from parts_of(item)


def assert_same(found: Policy, wanted: Policy) -> None:
    assert found == wanted
    assert list(found.kinds) == list(wanted.kinds)
    assert list(found.purposes) == list(wanted.purposes)
    assert [type(part) for part in parts_of(found)] == [type(part) for part in parts_of(wanted)]


@pytest.mark.parametrize("name", TRIED)
def test_every_profile_comes_back_as_it_was(name: str) -> None:
    assert_same(decode_policy(encode_policy(TRIED[name])), TRIED[name])


def test_views_of_one_kind_share_it_as_they_did_when_it_was_read() -> None:
    found = decode_policy(encode_policy(find_policy("apsystems_ema")))
    for purpose in found.purposes.values():
        for view in purpose.views:
            assert view.kind is found.kinds[view.kind.name]
            assert all(any(item.field is field for field in view.kind.fields) for item in view.fields)


def test_whatever_a_policy_may_hold_is_in_the_policies_that_are_tried_here() -> None:
    # A field that is added to these classes, with a default, and that the codec forgets, shows here.
    seen = [part for wanted in TRIED.values() for part in parts_of(wanted)]
    for cls in WHOLE:
        own = [part for part in seen if type(part) is cls]
        for declared in fields(cls):
            if declared.default is not MISSING:
                assert any(getattr(part, declared.name) != declared.default for part in own), (cls, declared.name)
    assert {type(part) for part in seen} == set(WHOLE)


def changed(change: Callable[[Any], None]) -> bytes:
    value: Any = cbor.decode(encode_policy(find_policy("apsystems_ema")), 1 << 20)
    change(value)
    return cbor.encode(value)


def put(value: Any, *path: int) -> Callable[[Any], None]:
    def change(whole: Any) -> None:
        for at in path[:-1]:
            whole = whole[at]
        whole[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put(2, 0),  # another format
        put(5, 1),  # a name that is no text
        put("hue", 3, 0, 4, 0, 1),  # a class, a type, a basis, a window nobody knows
        put("hue", 3, 0, 4, 0, 2),
        put("hue", 4, 0, 1),
        put("hue", 4, 0, 8, 0, 1, 0, 1),
        put(5, 4, 0, 1),  # a word that is a number
        put(9_999, 4, 0, 8, 0, 0),  # a kind, a field that is not there
        put(9_999, 4, 0, 8, 0, 1, 0, 0),
        put(-1, 4, 0, 8, 0, 1, 0, 0),
        put(1, 4, 0, 8, 0, 3),  # a number where a truth value belongs
        put([], 5),  # terms that are none
        put([1], 4, 0, 8, 0, 1, 0, 2),  # half a clip
        lambda whole: whole.append(None),
    ],
)
def test_bytes_that_say_something_else_are_malformed(change: Callable[[Any], None]) -> None:
    with pytest.raises(Malformed):
        decode_policy(changed(change))


def test_bytes_that_are_no_cbor_are_malformed() -> None:
    with pytest.raises(Malformed):
        decode_policy(b"\xff")
