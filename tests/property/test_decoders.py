"""
Any bytes into every decoder of core give a value or BadInput, and nothing else.

Three kinds of bytes: any at all, well-formed CBOR of any shape, and good messages with a piece changed. The last get
past the first checks, and where a signature or tag stands in the way the piece is changed before it is made.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.core import cbor, cose, envelope
from edge_sdk.errors import BadInput, ConsentRefused
from tests.vectors.decoders import DECODERS, SIGNED, VALUES, Decoder, changed

TAGS = st.sampled_from([b"", cose.SIGN1_TAG, envelope.ENCRYPT_TAG])


def refuses_or_returns(decoder: Decoder, data: bytes) -> None:
    try:
        decoder(data)
    except (BadInput, ConsentRefused):
        # A document that is well formed but not for us is refused, which is no fault of its bytes.
        return


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS.keys())
@given(data=st.binary(max_size=600))
def test_any_bytes_give_a_value_or_bad_input(decoder: Decoder, data: bytes) -> None:
    refuses_or_returns(decoder, data)


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS.keys())
@given(tag=TAGS, value=VALUES)
def test_any_cbor_gives_a_value_or_bad_input(decoder: Decoder, tag: bytes, value: object) -> None:
    refuses_or_returns(decoder, tag + cbor.encode(value))


@pytest.mark.parametrize("what", SIGNED)
@given(chance=st.data())
def test_a_changed_payload_under_a_good_signature_gives_a_value_or_bad_input(what: str, chance: st.DataObject) -> None:
    payload, sign = SIGNED[what]
    refuses_or_returns(DECODERS[what], sign(chance.draw(changed(payload))))


@pytest.mark.parametrize("what", SIGNED)
def test_the_payloads_that_are_changed_are_good(what: str) -> None:
    payload, sign = SIGNED[what]
    assert DECODERS[what](sign(payload)) is not None
