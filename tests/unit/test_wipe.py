"""
The intent of an erase has a place of fixed size, and whatever a household's receipt would list, it finds room there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_sdk.core.keys import GenerationSigningSeed, LaneKey, RoutingSecret
from edge_sdk.core.receipt import MAX_USE_KIDS, MAX_USE_STREAMS, MAX_USES, WipeReceipt
from edge_sdk.vault import Lane
from edge_sdk.wipe import INTENT_BYTES, Intent, begin, compose_draft, fitting, pending_intent, reserve

LANE = Lane(RoutingSecret(b"r" * 32), "https://ingest.example", b"root", LaneKey(b"l" * 32))
Uses = dict[str, tuple[list[bytes], list[bytes]]]


def draft_with(uses: Uses) -> WipeReceipt:
    return compose_draft(
        generation=b"g" * 16, nonce=b"n" * 16, scope=(), at_s=7, uses=uses, ledger=(b"h" * 32, 9), software="edge-sdk",
    )  # fmt: skip


def named(number: int) -> str:
    return "\U0001d400" * 62 + f"{number:02}"  # 64 characters, nearly all of four bytes


FULL: dict[str, Uses] = {
    "as many streams of one purpose as a receipt takes": {
        "monitoring": ([b"k" * 8], [n.to_bytes(16) for n in range(MAX_USE_STREAMS)])
    },
    "as many purposes, keys and streams as a receipt takes": {
        named(n): ([k.to_bytes(8) for k in range(MAX_USE_KIDS)], [s.to_bytes(16) for s in range(MAX_USE_STREAMS)])
        for n in range(MAX_USES)
    },
    "nothing but long names and keys": {
        named(n): ([k.to_bytes(8) for k in range(MAX_USE_KIDS)], []) for n in range(MAX_USES)
    },
}


@pytest.mark.parametrize("name", FULL)
def test_an_erase_begins_however_much_its_receipt_would_list(tmp_path: Path, name: str) -> None:
    reserve(tmp_path)
    begin(tmp_path, LANE, Intent(draft_with(FULL[name]), GenerationSigningSeed(b"s" * 32)), draw=os.urandom)
    assert (tmp_path / "wipe.bin").stat().st_size == INTENT_BYTES
    found = pending_intent(tmp_path, LANE)
    assert found is not None
    assert found.signing.reveal() == b"s" * 32
    assert [use.purpose for use in found.draft.uses] == sorted(FULL[name])


def test_what_does_not_fit_are_the_oldest_ids_of_what_there_is_most_of() -> None:
    streams = [n.to_bytes(16) for n in range(MAX_USE_STREAMS)]
    kept = {use.purpose: use for use in fitting(draft_with({"a": ([b"k" * 8], streams), "b": ([], [b"s" * 16])})).uses}
    assert kept["a"].streams == tuple(streams[-len(kept["a"].streams) :])
    assert len(kept["a"].streams) >= 1000
    assert (kept["a"].recipients, kept["b"].streams) == ((b"k" * 8,), (b"s" * 16,))


def test_what_fits_is_left_alone() -> None:
    draft = draft_with({"a": ([b"k" * 8], [b"s" * 16])})
    assert fitting(draft) == draft
