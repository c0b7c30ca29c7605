from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.core import padding
from edge_sdk.errors import Malformed


@pytest.mark.parametrize(
    ("length", "padded"), [(0, 0), (1, 1), (2, 2), (8, 8), (9, 10), (100, 104), (1000, 1024), (4097, 4352)]
)
def test_padme_gives_the_classes_of_its_paper(length: int, padded: int) -> None:
    assert padding.padme(length) == padded


@given(length=st.integers(1, 1 << 24))
def test_a_class_holds_the_length_costs_12_percent_at_most_and_is_its_own_class(length: int) -> None:
    padded = padding.padme(length)
    assert length <= padded <= length * 1.12
    assert padding.padme(padded) == padded


@given(content=st.binary(max_size=300))
def test_what_is_padded_unpads(content: bytes) -> None:
    padded = padding.pad(content)
    assert len(padded) == padding.padme(len(content) + 1)
    assert padding.unpad(padded) == content
    assert padding.unpad(padding.pad_to(content, 400)) == content


def test_content_that_leaves_no_room_for_the_mark_is_a_mistake() -> None:
    assert len(padding.pad_to(bytes(3), 4)) == 4
    with pytest.raises(ValueError, match="do not fit"):
        padding.pad_to(bytes(4), 4)


@pytest.mark.parametrize("padded", [b"", b"\x00\x00", b"content\x00", b"content\x81\x00"])
def test_padding_without_its_mark_is_malformed(padded: bytes) -> None:
    with pytest.raises(Malformed):
        padding.unpad(padded)
