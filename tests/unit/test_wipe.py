"""
The intent of an erase has a place of fixed size, and whatever a household's receipt would list, it finds room there.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from edge_sdk.core import cbor
from edge_sdk.core.keys import LaneKey, unwrap, wrap
from edge_sdk.core.lifecycle import State
from edge_sdk.core.receipt import (
    MAX_USE_KIDS,
    MAX_USE_STREAMS,
    MAX_USES,
    Firmware,
    PurposeUse,
    WipeReceipt,
    decode_wipe_receipt,
    encode_wipe_receipt,
)
from edge_sdk.errors import StorageError
from edge_sdk.wipe import INTENT_BYTES, Finished, begin, compose_draft, fitting, pending_intent, reserve, state_of
from tests.unit.erasing import LANE_KEY, Uses, draft_with, intent_with, lane_set
from tests.vectors import world

LANE = lane_set()
ROOM = 65_280  # of the 65,536: the rest is for head, signing key and wrapping


def begun(folder: Path, uses: Uses | None = None) -> bytes:
    """Put an intent on disk, and return the file."""
    begin(folder, LANE, intent_with(uses), draw=os.urandom)
    return (folder / "wipe.bin").read_bytes()


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
    assert len(begun(tmp_path, FULL[name])) == INTENT_BYTES
    found = pending_intent(tmp_path, LANE)
    assert found is not None
    assert found.signing == world.SIGNING_SEED
    assert [use.purpose for use in found.draft.uses] == sorted(FULL[name])


def test_a_site_is_active_then_wiping_then_wiped() -> None:
    intent = intent_with()
    assert state_of(LANE, None) is State.ACTIVE
    assert state_of(LANE, intent) is State.WIPING
    assert state_of(replace(LANE, receipt=b"sealed"), intent) is State.WIPED
    assert state_of(replace(LANE, receipt=b"sealed"), None) is State.WIPED


# --- what is left out of a list that is too long


def ids(count: int) -> list[bytes]:
    return [n.to_bytes(16) for n in range(count)]


def kids(count: int) -> list[bytes]:
    return [n.to_bytes(8) for n in range(count)]


def test_what_does_not_fit_are_the_oldest_ids_of_what_there_is_most_of() -> None:
    streams = ids(MAX_USE_STREAMS)
    kept = {use.purpose: use for use in fitting(draft_with({"a": ([b"k" * 8], streams), "b": ([], [b"s" * 16])})).uses}
    assert kept["a"].streams == tuple(streams[-len(kept["a"].streams) :])
    assert len(kept["a"].streams) >= 1000
    assert (kept["a"].recipients, kept["b"].streams) == ((b"k" * 8,), (b"s" * 16,))


def test_what_fits_is_left_alone() -> None:
    draft = draft_with({"a": ([b"k" * 8], [b"s" * 16])})
    assert fitting(draft) == draft


def filled(room: int) -> WipeReceipt:
    """Return a draft of exactly *room* bytes: whole streams, and the rest in the name of the software."""
    least = draft_with({"a": ([], ids(256))}, "s" * 24)
    streams, rest = divmod(room - len(encode_wipe_receipt(least)), 17)
    return draft_with({"a": ([], ids(256 + streams))}, "s" * (24 + rest))


@pytest.mark.parametrize(("taken", "fits"), [(ROOM, True), (ROOM + 1, False)])
def test_the_room_for_a_draft_is_used_to_its_last_byte(taken: int, fits: bool) -> None:
    draft = filled(taken)
    assert len(encode_wipe_receipt(draft)) == taken
    assert (fitting(draft) == draft) is fits


def test_a_draft_that_fills_its_room_has_a_place_in_the_intent(tmp_path: Path) -> None:
    draft = filled(ROOM)
    begin(tmp_path, LANE, replace(intent_with(), draft=draft), draw=os.urandom)
    found = pending_intent(tmp_path, LANE)
    assert found is not None
    assert found.draft == draft


@pytest.mark.parametrize(
    ("uses", "left"),
    [
        ({"a": ([], ids(4000))}, {"a": (0, 2000)}),
        ({"a": ([], ids(4001))}, {"a": (0, 2000)}),
        ({"a": (kids(2600), ids(2600))}, {"a": (2600, 1300)}),
        ({"a": (kids(3000), ids(2000)), "b": ([], ids(1000))}, {"a": (1500, 2000), "b": (0, 1000)}),
        ({"a": (kids(3001), ids(2000)), "b": ([], ids(1000))}, {"a": (1500, 2000), "b": (0, 1000)}),
        ({"a": (kids(64), ids(1990)), "b": ([], ids(2000))}, {"a": (64, 995), "b": (0, 2000)}),
        ({"a": (kids(64), ids(4096)), "b": (kids(64), ids(4096))}, {"a": (64, 1024), "b": (64, 2048)}),
    ],
    ids=["streams", "an odd number", "as many keys", "more keys", "an odd number of keys", "both count", "in turn"],
)
def test_half_of_what_there_is_most_of_goes_at_a_time(uses: Uses, left: dict[str, tuple[int, int]]) -> None:
    kept = {use.purpose: use for use in fitting(draft_with(uses)).uses}
    assert {name: (len(use.recipients), len(use.streams)) for name, use in kept.items()} == left
    for name, (recipients, streams) in uses.items():
        assert kept[name].recipients == tuple(recipients[len(recipients) - left[name][0] :])
        assert kept[name].streams == tuple(streams[len(streams) - left[name][1] :])


@pytest.mark.parametrize(("more", "left"), [(0, 2000), (1, 1000)])
def test_what_is_left_fills_its_room_to_the_last_byte_too(more: int, left: int) -> None:
    bare = len(encode_wipe_receipt(draft_with({"a": ([], []), "b": ([], [])}, "s" * 24)))
    others, rest = divmod(ROOM - bare - 2 * 4 - 17 * 2000, 17)  # the longest heads that lists can have are counted
    draft = draft_with({"a": ([], ids(4000)), "b": ([], ids(others))}, "s" * (24 + rest + more))
    assert [len(use.streams) for use in fitting(draft).uses] == [left, others]


# --- the file


def test_the_place_of_an_intent_is_made_in_its_full_size_and_holds_none(tmp_path: Path) -> None:
    reserve(tmp_path)
    assert (tmp_path / "wipe.bin").read_bytes().count(0) == 65_536
    assert pending_intent(tmp_path, LANE) is None


def test_where_there_is_no_file_there_is_no_intent(tmp_path: Path) -> None:
    assert pending_intent(tmp_path, LANE) is None


def test_making_the_place_again_leaves_an_intent_in_it(tmp_path: Path) -> None:
    held = begun(tmp_path)
    reserve(tmp_path)
    assert hashlib.sha256((tmp_path / "wipe.bin").read_bytes()).digest() == hashlib.sha256(held).digest()


def test_an_intent_lies_on_disk_as_the_spec_says(tmp_path: Path) -> None:
    held = begun(tmp_path)
    length = int.from_bytes(held[4:8])
    body = held[24 : 24 + length]
    assert len(held) == 65_536
    assert held[:4] == b"EWI1"
    assert held[8:24] == hashlib.sha256(held[:8] + body).digest()[:16]
    assert not any(held[24 + length :])
    content = cbor.decode(unwrap(LaneKey(LANE_KEY), body, b"edge-sdk/wipe/1"), 65_536)
    assert isinstance(content, dict)
    assert (content[0], content[2]) == (1, world.SIGNING_SEED.reveal())
    assert decode_wipe_receipt(content[1]) == intent_with().draft


def written(folder: Path, content: cbor.Value, aad: bytes = b"edge-sdk/wipe/1") -> None:
    """Write what another release may have: the frame is that of the spec, *content* anything."""
    body = wrap(LANE.key, os.urandom(12), cbor.encode(content), aad)
    head = b"EWI1" + len(body).to_bytes(4)
    (folder / "wipe.bin").write_bytes(head + hashlib.sha256(head + body).digest()[:16] + body)


def test_an_intent_in_a_format_of_its_own_does_not_count_as_none(tmp_path: Path) -> None:
    written(tmp_path, {0: 2, 1: b"what a later release wants to say"})
    with pytest.raises(StorageError, match=r"wipe\.bin has format 2, this release reads 1"):
        pending_intent(tmp_path, LANE)


@pytest.mark.parametrize("draft", [b"", b"\xa0"])
def test_what_is_no_draft_is_no_intent(tmp_path: Path, draft: bytes) -> None:
    written(tmp_path, {0: 1, 1: draft, 2: b"s" * 32})
    assert pending_intent(tmp_path, LANE) is None


@pytest.mark.parametrize("length", [31, 33])
def test_without_a_whole_signing_key_there_is_no_intent(tmp_path: Path, length: int) -> None:
    written(tmp_path, {0: 1, 1: encode_wipe_receipt(draft_with({})), 2: b"s" * length})
    assert pending_intent(tmp_path, LANE) is None


def test_what_the_lane_key_wrapped_as_something_else_is_no_intent(tmp_path: Path) -> None:
    written(tmp_path, {0: 1, 1: encode_wipe_receipt(draft_with({})), 2: b"s" * 32}, b"edge-sdk/wipe/2")
    assert pending_intent(tmp_path, LANE) is None


def test_an_intent_of_another_lane_set_is_none(tmp_path: Path) -> None:
    begun(tmp_path)
    assert pending_intent(tmp_path, replace(LANE, key=LaneKey(b"o" * 32))) is None


def test_no_changed_byte_of_an_intent_passes(tmp_path: Path) -> None:
    held = begun(tmp_path)
    for at in range(24 + int.from_bytes(held[4:8])):
        changed = bytearray(held)
        changed[at] ^= 1
        (tmp_path / "wipe.bin").write_bytes(changed)
        assert pending_intent(tmp_path, LANE) is None, f"byte {at}"


def test_two_intents_are_wrapped_under_two_nonces(tmp_path: Path) -> None:
    assert begun(tmp_path)[24:36] != begun(tmp_path)[24:36]


def test_a_file_that_is_longer_than_an_intent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wipe.bin").write_bytes(bytes(65_537))
    with pytest.raises(StorageError, match="larger than 65536 bytes"):
        pending_intent(tmp_path, LANE)


# --- what is held in memory


def test_a_draft_says_what_is_known_before_anything_is_erased() -> None:
    uses = {"monitoring": ([b"k" * 8], [b"s" * 16]), "alarms": ([], [b"t" * 16])}
    draft = compose_draft(
        generation=b"g" * 16,
        nonce=b"n" * 16,
        scope=("alarms",),
        at_s=7,
        uses=uses,
        ledger=(b"h" * 32, 9),
        software="e",
    )
    named = (PurposeUse("alarms", (), (b"t" * 16,)), PurposeUse("monitoring", (b"k" * 8,), (b"s" * 16,)))
    expected = WipeReceipt(b"g" * 16, b"n" * 16, ("alarms",), 7, (), named, Firmware.NONE, b"h" * 32, 9, "e")
    assert draft == expected


def test_neither_an_intent_nor_what_came_of_it_can_be_changed_or_added_to() -> None:
    for held in (intent_with(), Finished(draft_with({}), True)):
        for field in fields(held):
            with pytest.raises(FrozenInstanceError):
                setattr(held, field.name, None)
        with pytest.raises(TypeError):
            vars(held)
