"""
The targets of ``make test-fuzz`` without atheris: what the fuzzer begins with, and each beginning with a byte changed.
"""

from __future__ import annotations

import pytest

from tests.fuzz.taking import ALL, refuses_or_returns, seeds

BEGINNINGS = list(seeds())


def test_every_decoder_has_something_to_begin_with() -> None:
    assert set(ALL) - {name for name, _ in BEGINNINGS} == set()


@pytest.mark.parametrize("name", ALL)
def test_a_byte_changed_anywhere_gives_a_value_or_a_refusal(name: str) -> None:
    for message in [message for other, message in BEGINNINGS if other == name][:1]:
        for at in range(0, len(message), max(1, len(message) // 24)):
            refuses_or_returns(ALL[name], message[:at] + bytes([message[at] ^ 0x41]) + message[at + 1 :])
            refuses_or_returns(ALL[name], message[:at])
