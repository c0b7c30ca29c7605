from __future__ import annotations

from enum import IntEnum

import pytest

from edge_sdk.core import cbor
from edge_sdk.errors import Malformed


class Number(IntEnum):
    TWO = 2


VALUES = [
    0,
    23,
    24,
    255,
    256,
    65535,
    65536,
    (1 << 32) - 1,
    1 << 32,
    (1 << 64) - 1,
    -1,
    -(1 << 64),
    b"",
    b"x" * 300,
    "",
    "grün",
    True,
    False,
    None,
    [],
    [1, [2, [3]]],
    {},
    {0: 1, 16: "typ", -4: b"ek", -70001: b"generation"},
    {-24: [-(1 << 64), None, {23: [(1 << 64) - 1, "x"]}], -65537: [b"", True, [[], {}]], -(1 << 32): 0},
]

BAD = {
    "nothing": "",
    "tag": "c000",
    "half float": "f90000",
    "double": "fb3ff0000000000000",
    "undefined": "f7",
    "simple value 24 in two bytes": "f818",
    "indefinite array": "9f01ff",
    "indefinite bytes": "5f4101ff",
    "break alone": "ff",
    "reserved length": "1c",
    "one in two bytes": "1801",
    "255 in three bytes": "1900ff",
    "65535 in five bytes": "1a0000ffff",
    "2**32-1 in nine bytes": "1b00000000ffffffff",
    "head cut short": "19ff",
    "array cut short": "8201",
    "bytes cut short": "4201",
    "text that is not UTF-8": "61ff",
    "text with a surrogate": "63eda080",
    "bytes after the end": "0000",
    "array of 2**64-1": "9bffffffffffffffff",
    "map of more than there is": "a50001",
    "text as key": "a1616101",
    "bytes as key": "a1416101",
    "array as key": "a18001",
    "null as key": "a1f601",
    "key of two bytes": "a1181801",
    "key of five bytes, unsigned": "a11a0001000001",
    "key of two bytes, negative": "a1381801",
    "repeated key": "a200010002",
    "keys out of order": "a2010100ff"[:8] + "00",
    "private key before a small one": "a23a000111700000" + "00",
    "thirteen arrays deep": "81" * 13 + "00",
}


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_encoded_decodes_to_itself(value: object) -> None:
    assert cbor.decode(cbor.encode(value), 400) == value


@pytest.mark.parametrize("encoded", BAD.values(), ids=BAD.keys())
def test_what_is_not_the_one_encoding_is_malformed(encoded: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode(bytes.fromhex(encoded), 400)


def test_twelve_arrays_deep_is_deep_enough() -> None:
    assert cbor.decode(b"\x81" * 12 + b"\x00", 400) is not None


def test_a_long_message_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(Malformed, match="longer than 2 bytes"):
        cbor.decode(b"\xff\xff\xff", 2)


def test_the_message_names_what_was_read_and_where() -> None:
    with pytest.raises(Malformed, match=r"statement has a tag.* at byte 1"):
        cbor.decode(bytes.fromhex("81c000"), 400, "statement")


def test_the_message_does_not_repeat_text_that_is_not_utf8() -> None:
    with pytest.raises(Malformed) as caught:
        cbor.decode(b"\x66secre\xff", 400)
    assert "secre" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_stands_for_a_value_is_written_as_it() -> None:
    assert cbor.encode((1, Number.TWO, (b"x",))) == cbor.encode([1, 2, [b"x"]])


TOO_DEEP: list[object] = [1]
for _ in range(12):
    TOO_DEEP = [TOO_DEEP]
UNREADABLE = [
    1.5, 1 << 64, {"a": 1}, {24: 1}, {True: 1}, float("nan"), -(1 << 64) - 1, [0, 1 << 64], [[None, 1 << 64]],
    {0: 1 << 64}, {-25: 0}, {-65536: 0}, [{0: [2.5]}], TOO_DEEP, {0: TOO_DEEP},
]  # fmt: skip


@pytest.mark.parametrize("value", UNREADABLE)
def test_what_could_not_be_read_back_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match="not encodable"):
        cbor.encode(value)


def test_both_published_key_orders_agree_on_the_keys_of_the_format() -> None:
    keys = [*range(24), *range(-24, 0), *range(-70012, -70000)]
    heads = [cbor.encode([key])[1:] for key in keys]
    assert sorted(heads) == sorted(heads, key=lambda head: (len(head), head))
