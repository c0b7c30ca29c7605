from __future__ import annotations

from typing import Any

import pytest

from edge_sdk.core import shape
from edge_sdk.errors import Malformed

GOOD: list[tuple[shape.Shape[Any], object, object]] = [
    (shape.uint(), 0, 0),
    (shape.uint(5), 5, 5),
    (shape.seconds, 1_760_000_000, 1_760_000_000),
    (shape.integer(), -1, -1),
    (shape.integer(-3, 3), -3, -3),
    (shape.exactly(1), 1, 1),
    (shape.one_of(0, 413), 413, 413),
    (shape.octets(2), b"ab", b"ab"),
    (shape.octets(None, 3), b"", b""),
    (shape.octets(None, 3, least=1), b"abc", b"abc"),
    (shape.text(4), "grün", "grün"),
    (shape.boolean, False, False),
    (shape.optional(shape.uint()), None, None),
    (shape.optional(shape.uint()), 3, 3),
    (shape.list_of(shape.uint(), 2), [], ()),
    (shape.list_of(shape.uint(), 2, least=1), [1, 2], (1, 2)),
    (shape.array(shape.uint(), shape.text(3)), [1, "a"], (1, "a")),
    (shape.record({0: shape.uint()}), {0: 1}, {0: 1}),
    (shape.record({0: shape.uint()}, {1: shape.uint()}), {0: 1}, {0: 1}),
    (shape.record({0: shape.uint()}, {1: shape.uint()}), {0: 1, 1: 2}, {0: 1, 1: 2}),
]

BAD: list[tuple[shape.Shape[Any], object]] = [
    (shape.uint(), -1),
    (shape.uint(), True),
    (shape.uint(), "1"),
    (shape.uint(5), 6),
    (shape.seconds, (1 << 40) + 1),
    (shape.integer(), 1 << 64),
    (shape.exactly(1), 2),
    (shape.exactly(1), True),
    (shape.one_of(0, 413), 1),
    (shape.one_of(0, 413), False),
    (shape.octets(2), b"a"),
    (shape.octets(2), "ab"),
    (shape.octets(None, 3), b"abcd"),
    (shape.octets(None, 3, least=1), b""),
    (shape.text(4), ""),
    (shape.text(4), "fives"),
    (shape.text(4), b"four"),
    (shape.text(9), "\x1b[2J"),
    (shape.text(9), "two\nrows"),
    (shape.boolean, 1),
    (shape.optional(shape.uint()), "3"),
    (shape.list_of(shape.uint(), 2), [1, 2, 3]),
    (shape.list_of(shape.uint(), 2, least=1), []),
    (shape.list_of(shape.uint(), 2), {}),
    (shape.list_of(shape.uint(), 2), ["a"]),
    (shape.array(shape.uint(), shape.text(3)), [1]),
    (shape.array(shape.uint(), shape.text(3)), [1, 2]),
    (shape.array(shape.uint()), "1"),
    (shape.record({0: shape.uint()}), {}),
    (shape.record({0: shape.uint()}), {0: 1, 1: 1}),
    (shape.record({0: shape.uint()}, {1: shape.uint()}), {0: 1, 1: "a"}),
    (shape.record({}), []),
]


@pytest.mark.parametrize(("check", "value", "result"), GOOD)
def test_a_value_of_the_shape_is_returned(check: shape.Shape[Any], value: object, result: object) -> None:
    assert check(value, "field") == result


@pytest.mark.parametrize(("check", "value"), BAD)
def test_a_value_of_another_shape_is_malformed(check: shape.Shape[Any], value: object) -> None:
    with pytest.raises(Malformed, match="field"):
        check(value, "field")


def test_fields_are_taken_by_name_and_none_is_left_over() -> None:
    fields = shape.Fields({0: 1, 1: b"x"}, "message")
    assert fields.take(0, "version", shape.uint()) == 1
    assert fields.maybe(1, "body", shape.octets(1)) == b"x"
    assert fields.maybe(2, "extra", shape.uint()) is None
    fields.end()


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Malformed, match="message lacks version"):
        shape.Fields({}, "message").take(0, "version", shape.uint())


def test_a_field_nobody_took_is_malformed() -> None:
    with pytest.raises(Malformed, match="message has 1 unknown keys"):
        shape.Fields({9: 1}, "message").end()


def test_a_message_says_where_and_never_what() -> None:
    with pytest.raises(Malformed) as caught:
        shape.list_of(shape.octets(16), 2)([b"serial 408000123456"], "grant recipients")
    assert str(caught.value) == "grant recipients[0] is not a byte string of its size"
