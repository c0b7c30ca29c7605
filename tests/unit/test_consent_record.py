"""
What is stored of consent can be read back, however long a site has been at work.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_sdk.consent_record import (
    MAX_DENIED,
    MAX_KIDS,
    MAX_STREAMS,
    MAX_TOLD_RECEIPTS,
    MAX_TOLD_STREAMS,
    MAX_USES,
    Held,
    Use,
    decode_held,
    deny,
    encode_held,
    note_use,
    wait_to_tell,
)
from edge_sdk.core import cbor
from edge_sdk.core.incidents import Incident
from edge_sdk.core.messages import EndedStream, LedgerHead, Withdrawal
from edge_sdk.core.messages.control import MAX_WITHDRAWN
from edge_sdk.core.receipt import Firmware, WipeReceipt
from edge_sdk.errors import StorageError

INCIDENT = Incident("forged", "root", 1_790_000_000, 1_790_000_060, 2, False, 259_200, bytes(32))


def test_what_is_held_comes_back_by_value() -> None:
    held = Held(
        recipients=b"recipients",
        statement=b"statement",
        denied=[b"d" * 16],
        policies=["one", "two"],
        to_tell=[
            Withdrawal("research", (b"g" * 16,)),
            EndedStream(b"s" * 16, "research", b"g" * 16, 5, 3, 2),
            LedgerHead(),
            INCIDENT,
        ],
        uses={"research": Use([b"k" * 8], [b"s" * 16])},
        executed=[b"n" * 16],
        incidents=[INCIDENT],
        stopped_s=1_790_000_000,
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


def ended(number: int) -> EndedStream:
    return EndedStream(number.to_bytes(16), "research", b"g" * 16, 5, 3, 2)


def erased(number: int) -> WipeReceipt:
    return WipeReceipt(b"g" * 16, number.to_bytes(16), ("research",), 7, (), (), Firmware.NONE, b"h" * 32, 1, "sdk")


def test_no_account_of_a_stream_ever_pushes_out_a_withdrawal_or_a_receipt() -> None:
    held = Held()
    withdrawal = Withdrawal("research", (b"g" * 16,))
    wait_to_tell(held, [withdrawal, erased(1)])
    lost = sum(wait_to_tell(held, [ended(number)]) for number in range(2 * MAX_TOLD_STREAMS))
    assert lost == MAX_TOLD_STREAMS
    assert withdrawal in held.to_tell
    assert erased(1) in held.to_tell
    assert held.to_tell[-1] == ended(2 * MAX_TOLD_STREAMS - 1)
    assert decode_held(encode_held(held)) == held


def test_withdrawals_of_one_purpose_are_one_as_far_as_a_message_goes() -> None:
    held = Held()
    for number in range(30):
        wait_to_tell(held, [Withdrawal("research", (number.to_bytes(16),))])
        wait_to_tell(held, [Withdrawal("research", (number.to_bytes(16),)), LedgerHead()])
    told = [entry for entry in held.to_tell if isinstance(entry, Withdrawal)]
    assert [len(entry.grants) for entry in told] == [MAX_WITHDRAWN, 30 - MAX_WITHDRAWN]
    assert held.to_tell.count(LedgerHead()) == 1


def test_the_newest_account_of_a_stream_is_the_one_that_is_told() -> None:
    held = Held()
    wait_to_tell(held, [ended(1)])
    newer = EndedStream(ended(1).stream, "research", b"g" * 16, 9, 9, 0)
    wait_to_tell(held, [newer])
    assert held.to_tell == [newer]


def test_incidents_are_told_first_each_in_its_newest_account() -> None:
    held = Held()
    newer = replace(INCIDENT, count=4)
    wait_to_tell(held, [Withdrawal("research", (b"g" * 16,)), INCIDENT])
    wait_to_tell(held, [LedgerHead(), newer])
    assert held.to_tell == [newer, Withdrawal("research", (b"g" * 16,)), LedgerHead()]


def test_what_an_earlier_release_held_has_no_incidents_and_sends() -> None:
    values = cbor.decode(encode_held(Held()), 1 << 20, "state")
    assert isinstance(values, dict)
    del values[9], values[10]
    assert decode_held(cbor.encode(values)) == Held()


def test_with_as_many_receipts_as_are_kept_the_next_is_refused_and_nothing_is_lost() -> None:
    held = Held()
    wait_to_tell(held, [erased(number) for number in range(MAX_TOLD_RECEIPTS)])
    wait_to_tell(held, [erased(0)])  # told already
    with pytest.raises(StorageError, match="receipts wait"):
        wait_to_tell(held, [erased(MAX_TOLD_RECEIPTS)])
    assert held.to_tell == [erased(number) for number in range(MAX_TOLD_RECEIPTS)]
    assert decode_held(encode_held(held)) == held


def test_after_many_withdrawals_the_newest_denials_are_held_and_can_be_read() -> None:
    held = Held()
    for number in range(MAX_DENIED + 10):
        deny(held, [number.to_bytes(16)])
        deny(held, [number.to_bytes(16)])
    again = decode_held(encode_held(held))
    assert len(again.denied) == MAX_DENIED
    assert again.denied[-1] == (MAX_DENIED + 9).to_bytes(16)


def test_after_many_purposes_the_newest_uses_are_held_and_can_be_read() -> None:
    held = Held()
    for number in range(MAX_USES + 3):
        note_use(held, f"purpose_{number}", b"k" * 8, number.to_bytes(16))
    again = decode_held(encode_held(held))
    assert len(again.uses) == MAX_USES
    assert f"purpose_{MAX_USES + 2}" in again.uses
