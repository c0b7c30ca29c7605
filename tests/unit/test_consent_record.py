"""
What is stored of consent can be read back, however long a site has been at work.
"""

from __future__ import annotations

from edge_sdk.consent_record import MAX_KIDS, MAX_STREAMS, Held, Use, decode_held, encode_held, note_use
from edge_sdk.core.messages import EndedStream, LedgerHead, Withdrawal


def test_what_is_held_comes_back_by_value() -> None:
    held = Held(
        recipients=b"recipients",
        statement=b"statement",
        floor_ms=7,
        denied=[b"d" * 16],
        policies=["one", "two"],
        to_tell=[
            Withdrawal("research", (b"g" * 16,)),
            EndedStream(b"s" * 16, "research", b"g" * 16, 5, 3, 2),
            LedgerHead(),
        ],
        uses={"research": Use([b"k" * 8], [b"s" * 16])},
        executed=[b"n" * 16],
    )
    assert decode_held(encode_held(held)) == held


def test_nothing_held_is_no_bytes() -> None:
    assert decode_held(b"") == Held()


def test_a_use_is_new_once() -> None:
    held = Held()
    assert note_use(held, "research", b"k" * 8, b"s" * 16)
    assert not note_use(held, "research", b"k" * 8, b"s" * 16)


def test_after_many_recipient_keys_and_streams_the_newest_are_held_and_can_be_read() -> None:
    held = Held()
    for number in range(MAX_STREAMS + 10):
        note_use(held, "research", number.to_bytes(8), number.to_bytes(16))
    again = decode_held(encode_held(held)).uses["research"]
    assert (len(again.kids), len(again.streams)) == (MAX_KIDS, MAX_STREAMS)
    assert again.streams[-1] == (MAX_STREAMS + 9).to_bytes(16)
