"""
What of one device can be recognised again: by its recipients across streams, by the intake across days.

A string of 8 bytes is what can be searched for: two random ones are equal once in 2**64 times, shorter ones by chance.
"""

from __future__ import annotations

from itertools import combinations

from edge_sdk.core import cbor, labels
from edge_sdk.core.batch import Batch
from edge_sdk.core.claims import ALG_A256GCM, ALG_HPKE_X_WING
from edge_sdk.core.envelope import Outer, outer
from edge_sdk.core.keys import parse_authorization
from edge_sdk.core.messages.downlink import NO_KID
from edge_sdk.transport import Request
from tests.privacy.conftest import Observed
from tests.privacy.plants import BATCHES_A_DAY, OpenedStream

SHORTEST = 8


def strings_in(*texts: bytes) -> set[bytes]:
    """Return every byte string of 8 bytes in *texts*; a longer common one has a common one of 8 in it."""
    return {text[at : at + SHORTEST] for text in texts for at in range(len(text) - SHORTEST + 1)}


# --- streams, as their recipients read them


def test_each_purpose_has_a_stream_of_several_batches_in_each_period(observed: Observed) -> None:
    streams = observed.plant.streams(epochs=observed.epochs)
    assert sorted(stream.purpose.name for stream in streams) == ["care", "care", "study", "study"]
    assert {sum(bool(batch.tables) for batch in stream.batches) for stream in streams} == {BATCHES_A_DAY}


def test_no_two_streams_of_a_device_have_a_byte_string_in_common_but_declared_values(observed: Observed) -> None:
    streams = observed.plant.streams(epochs=observed.epochs)
    for one, two in combinations([strings_in(*stream.parts) for stream in streams], 2):
        assert len(one) > 200
        assert one & two == set()


def test_the_test_would_see_a_name_that_two_streams_share(observed: Observed) -> None:
    one, two, *_ = observed.plant.streams(epochs=observed.epochs)
    name = next(iter(pseudonyms(one)))
    assert strings_in(*one.parts) & strings_in(*two.parts, name) >= strings_in(name)


def test_no_two_envelopes_have_a_byte_string_in_common_but_the_public_header(observed: Observed) -> None:
    bodies = [body for found in observed.plant.envelopes.values() for body in found]
    for one, two in combinations([strings_in(*drawn_or_encrypted(body)) for body in bodies], 2):
        assert one & two == set()


def test_a_source_has_another_name_in_every_stream(observed: Observed) -> None:
    names = [pseudonyms(stream) for stream in observed.plant.streams(epochs=observed.epochs)]
    assert all(len(found) == 6 for found in names)  # three serials, three hardware addresses
    assert len(set().union(*names)) == 6 * len(names)


def pseudonyms(stream: OpenedStream) -> set[bytes]:
    rows = (row for batch in stream.batches for row in rows_in(batch))
    return {value for row in rows for value in row if isinstance(value, bytes)}


def rows_in(batch: Batch) -> list[tuple[object, ...]]:
    return [row for rows in batch.tables.values() for row in rows]


def test_nothing_that_no_view_keeps_is_in_any_stream(observed: Observed) -> None:
    raw = [*observed.plant.serials(), "CANARY", "192.168.77.", "02:00:5e:10"]
    for stream in observed.plant.streams(epochs=observed.epochs):
        assert not [text for text in raw if any(text.encode() in part for part in stream.parts)]


# --- epochs, as the intake sees them


def header(kid: bytes, typ: str = labels.TYP_BATCH) -> tuple[bytes, ...]:
    """
    Return the bytes of an envelope that are the same for every device.

    They stand between batch id, iv, ciphertext, encapsulated key and wrapped key. What stands before the ciphertext
    is its length, a Padme class, which is known to be visible.
    """
    has_id = typ in (labels.TYP_BATCH, labels.TYP_CONTROL)
    protected = {1: ALG_A256GCM, 16: typ} | ({-70010: bytes(16)} if has_id else {})
    named = cbor.encode(protected).removesuffix(bytes(16))
    length = len(cbor.encode(protected))
    recipient = cbor.encode({1: ALG_HPKE_X_WING, 4: kid})
    begin, iv = b"\xd8\x60\x84\x58" + bytes([length]) + named, b"\xa1\x05\x4c"
    head = (begin, iv) if has_id else (begin + iv,)
    return (*head, b"\x81\x83" + cbor.encode(recipient) + b"\xa1\x23\x59\x04\x60", b"\x58\x30")


def taken_apart(envelope: bytes) -> tuple[tuple[bytes, ...], Outer]:
    """Return what stands between the parts of an envelope that are drawn or encrypted, and those parts."""
    parts = outer(envelope)
    pieces, rest = [], envelope
    for part in (parts.batch_id or b"", parts.iv, parts.ciphertext, parts.ek, parts.wrapped):
        if part:
            before, _, rest = rest.partition(part)
            pieces.append(before)
    assert rest == b""
    size = cbor.encode(bytes(len(parts.ciphertext))).removesuffix(bytes(len(parts.ciphertext)))
    return tuple(piece for piece in pieces if piece != size), parts


def drawn_or_encrypted(envelope: bytes) -> list[bytes]:
    parts = taken_apart(envelope)[1]
    return [parts.batch_id or b"", parts.iv, parts.ciphertext, parts.ek, parts.wrapped]


def shown(request: Request) -> list[bytes]:
    """Return what a request shows that its path and method do not."""
    assert set(request.headers) <= {"Authorization", "Content-Type"}
    return [*parse_authorization(request.headers["Authorization"]), request.headers["Authorization"].encode()[5:]]


def test_everything_constant_in_what_the_intake_is_handed_is_the_same_for_every_device(observed: Observed) -> None:
    wanted = {header(outer(body).kid) for body in observed.plant.envelopes[observed.epochs[0]]}
    assert len(wanted) == 2  # one for each recipient
    for plant in (observed.plant, observed.other):
        for epoch in observed.epochs:
            assert {taken_apart(body)[0] for body in plant.envelopes[epoch]} == wanted
            assert {(request.method, request.path) for request in plant.asked[epoch]} == {
                ("GET", "/v1/downlink"),
                ("GET", "/v1/root/2"),
                ("POST", "/v1/batches"),
            }
            kinds = {request.headers.get("Content-Type") for request in plant.asked[epoch]}
            assert kinds == {None, "application/cose"}


def test_of_what_the_intake_is_handed_no_byte_string_recurs_in_another_epoch(observed: Observed) -> None:
    first, second = (everything_but_constants(observed, epoch) for epoch in observed.epochs)
    assert len(first) > 10_000
    assert first & second == set()


def everything_but_constants(observed: Observed, epoch: int) -> set[bytes]:
    """Return all strings that the intake gets of a device in one epoch, from it and from the authority about it."""
    plant = observed.plant
    found = [piece for request in plant.asked[epoch] for piece in shown(request)]
    *row, downlink = plant.told[epoch]
    found += [part for envelope in (*plant.envelopes[epoch], downlink) for part in drawn_or_encrypted(envelope)]
    return strings_in(*found, *row)


def test_a_downlink_names_nobody_and_has_one_size(observed: Observed) -> None:
    downlinks = [plant.told[epoch][-1] for plant in (observed.plant, observed.other) for epoch in observed.epochs]
    assert {taken_apart(downlink)[0] for downlink in downlinks} == {header(NO_KID, labels.TYP_DOWNLINK)}
    assert len(set(map(len, downlinks))) == 1


def test_the_tag_of_a_request_is_that_of_its_epoch_only(observed: Observed) -> None:
    tags = {
        epoch: {parse_authorization(request.headers["Authorization"])[0] for request in observed.plant.asked[epoch]}
        for epoch in observed.epochs
    }
    assert all(len(found) == 1 for found in tags.values())
    assert tags[observed.epochs[0]] != tags[observed.epochs[1]]
