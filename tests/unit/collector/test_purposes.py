"""
Purposes as a collector stores them: what comes back has the digest it went in with.
"""

from __future__ import annotations

import pytest

from edge_sdk.collector.purposes import by_digest, decode_purpose, encode_purpose
from edge_sdk.core.policy import Purpose, purpose_digest
from edge_sdk.errors import StorageError
from edge_sdk.policy_file import find_policy
from tests.collector.household import policy

PURPOSES = [*policy().purposes.values(), *find_policy("apsystems_ema").purposes.values()]  # one without terms, one with


@pytest.mark.parametrize("purpose", PURPOSES, ids=lambda purpose: purpose.name)
def test_a_purpose_comes_back_with_its_digest_views_and_period(purpose: Purpose) -> None:
    digest = purpose_digest(purpose)
    back = decode_purpose(encode_purpose(purpose), digest)
    assert purpose_digest(back) == digest
    assert (back.name, back.recipient, back.period_ms) == (purpose.name, purpose.recipient, purpose.period_ms)
    assert back.reach == purpose.reach
    assert [view.fields for view in back.views] == [view.fields for view in purpose.views]


def test_a_purpose_under_another_digest_is_refused() -> None:
    with pytest.raises(StorageError):
        decode_purpose(encode_purpose(PURPOSES[0]), bytes(32))


@pytest.mark.parametrize("stored", [b"\x80", b"\x87\x01\x60\x60\x60\x80\x00\x80", b"\xff", b""])
def test_damage_is_told(stored: bytes) -> None:
    with pytest.raises(StorageError):
        decode_purpose(stored, bytes(32))


def test_purposes_are_found_by_digest() -> None:
    assert by_digest(PURPOSES)[purpose_digest(PURPOSES[1])] is PURPOSES[1]
