"""
A second opinion on SPEC.md's CDDL: zcbor, which shares no code with the checker of ``make test``.

It reads the CDDL with its rules written out (``plain_cddl``) and knows nothing of the encoding: that an encoding is
deterministic is the first checker's to say.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.interop import peers
from tests.interop.plain_cddl import plain
from tests.vectors import test_cddl as first

ONLY_ENCODED_OTHERWISE: Final = {"envelope-indefinite", "envelope-long-head", "envelope-trailing-byte"}


def good() -> dict[str, tuple[str, bytes]]:
    """Return rule and bytes of every real message, by a name to show."""
    samples = {name: (name.split(maxsplit=1)[0], data) for name, data in first.SAMPLES.items()}
    vectors = {
        f"{name}.vec": (first.RULE_OF_WHAT[first.HEADS[name]["what"]], first.vector(name)) for name in first.ACCEPTED
    }
    return samples | vectors


def bad() -> dict[str, tuple[str, bytes]]:
    """Return messages with something added, and envelopes of another form."""
    added = {name: (name.split(maxsplit=1)[0], first.broken(data)) for name, data in first.SAMPLES.items()}
    outer = {f"{name}.vec": ("envelope", first.vector(name)) for name in first.OUTER_FAULTS}
    return added | {
        name: found for name, found in outer.items() if name.removesuffix(".vec") not in ONLY_ENCODED_OTHERWISE
    }


GOOD: Final = good()
BAD: Final = bad()


def asked(messages: dict[str, tuple[str, bytes]]) -> dict[str, bool]:
    listed = [[rule, data.hex()] for rule, data in messages.values()]
    answers = peers.python("zcbor_program.py", {"cddl": plain(first.CDDL), "messages": listed})
    return dict(zip(messages, answers, strict=True))


@pytest.fixture(scope="module")
def matched() -> dict[str, bool]:
    return asked(GOOD)


@pytest.fixture(scope="module")
def refused() -> dict[str, bool]:
    return asked(BAD)


@pytest.mark.parametrize("name", GOOD)
def test_a_real_message_matches_its_rule(matched: dict[str, bool], name: str) -> None:
    assert matched[name]


@pytest.mark.parametrize("name", BAD)
def test_another_message_does_not(refused: dict[str, bool], name: str) -> None:
    assert not refused[name]
