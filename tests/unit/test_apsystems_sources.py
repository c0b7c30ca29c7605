"""
Frames of APsystems gateways: what is one and what an ECU says with it; everything else is told by place and length.
"""

from __future__ import annotations

import json
import pickle
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import BadInput, Malformed
from edge_sdk.sources.apsystems_asking import ask
from edge_sdk.sources.apsystems_frame import MAX_FRAME_BYTES, MAX_NOISE_BYTES, Frames
from edge_sdk.sources.apsystems_local import (
    ASK_SYSTEM,
    MAX_FILE_BYTES,
    ask_inverters,
    ask_signals,
    parse_events,
    parse_inverters,
    parse_parameters,
    parse_signals,
    parse_system,
)
from edge_sdk.sources.apsystems_upload import MAX_CHANNELS, MAX_INVERTERS, compose_upload, parse_upload
from tests.examples.ecu import ECU_ID, FIRMWARE, FOUR, MAC, STAMP, TIME_ZONE, TWO, Ecu, Inverter, framed
from tests.examples.peers import answering

ECU = Ecu()
MARK = "CANARY'; DROP TABLE\x1b[2J"
PARSERS = [parse_system, parse_inverters, parse_signals, parse_parameters, parse_upload]
STAMPED = "20260206112214"
GATEWAY = {"ecu_id": ECU_ID, "ac_power": 190.0, "energy": 2127.9, "inverters_online": 2}
UPLOADED = {
    "serial": TWO, "online": True, "model_code": 7, "ac_voltage": 228, "frequency": 50.0, "temperature": -3,
    "dc_voltage_1": 33.8, "dc_current_1": 4.09, "dc_power_1": 17, "dc_voltage_2": 33.9, "dc_current_2": 4.19,
    "dc_power_2": 18, "ac_power": 35,
}  # fmt: skip
UPLOAD = compose_upload(STAMPED, GATEWAY, [UPLOADED, UPLOADED | {"serial": FOUR}])


# ------------------------------------------------------------------------------------------------- what an ECU says


def test_an_ecu_says_what_it_is() -> None:
    assert parse_system(ECU.system()) == {
        "ecu_id": ECU_ID, "energy": 2127.9, "ac_power": 190, "inverters_online": 2, "firmware": FIRMWARE,
        "time_zone": TIME_ZONE, "mac": MAC,
    }  # fmt: skip


def test_an_ecu_of_the_other_layout_has_no_time_in_between() -> None:
    numbers = b"".join(number.to_bytes(4, "big") for number in (21279, 190, 62))
    reply = framed(b"0001", b"21510009987702", numbers, b"\x00\x02\x00\x01", b"xxxxxx", b"005C1.27", b"and more")
    assert parse_system(reply) == {
        "ecu_id": "215100099877", "energy": 2127.9, "ac_power": 190, "inverters_online": 1, "firmware": "C1.27",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "values", "power", "channels"),
    [
        ("01", (17, 228, 18, 229), 35, 2),
        ("04", (17, 228, 18, 229), 35, 2),
        ("02", (1, 228, 2, 229, 3, 230, 4), 10, 4),
        ("05", (1, 228, 2, 229, 3, 230, 4), 10, 4),
        ("03", (1, 228, 2, 3, 4), 10, 4),
    ],
)
def test_an_inverter_of_each_type_says_what_each_channel_gives(
    kind: str, values: tuple[int, ...], power: int, channels: int
) -> None:
    ecu = Ecu([Inverter(TWO, kind, values)])
    (asked,) = parse_inverters(ecu.rounds()).inverters
    (filed,) = parse_parameters(ecu.file().encode()).inverters
    assert asked == filed
    assert (asked["serial"], asked["model_code"], asked["ac_voltage"]) == (TWO, int(kind), 228)
    assert (asked["ac_power"], asked["frequency"], asked["temperature"]) == (power, 50.0, 13)
    assert sum(asked[f"dc_power_{channel}"] for channel in range(1, channels + 1)) == power


def test_an_inverter_that_is_offline_says_nothing_of_what_it_gives() -> None:
    ecu = Ecu([Inverter(FOUR, "03", (0, 0, 0, 0, 0), online=False)])
    expected = {"serial": FOUR, "online": False, "model_code": 3}
    assert parse_inverters(ecu.rounds()).inverters == (expected,)
    assert parse_parameters(ecu.file().encode()).inverters == (expected,)


def test_a_round_is_known_by_its_time() -> None:
    assert parse_inverters(ECU.rounds()).stamp == parse_parameters(ECU.file().encode()).stamp == STAMP


def test_signals_are_told_by_serial_in_percent() -> None:
    assert parse_signals(ECU.signals()) == {TWO: 80, FOUR: 80}


@pytest.mark.parametrize(
    ("eve", "words"),
    [
        ("", (0, 0, 0)),
        ("1", (1, 0, 0)),
        ("0" * 31 + "1", (1 << 31, 0, 0)),
        ("0" * 40 + "1" + "0" * 45, (0, 1 << 8, 0)),
        ("1" * 86, (2**32 - 1, 2**32 - 1, 2**22 - 1)),
        ("1" * 96, (2**32 - 1, 2**32 - 1, 2**32 - 1)),
    ],
)
def test_events_are_bits_from_the_first_on(eve: str, words: tuple[int, ...]) -> None:
    found = parse_events(TWO, eve)
    assert found == {"serial": TWO} | dict(zip(("events_1", "events_2", "events_3"), words, strict=True))


@pytest.mark.parametrize(
    ("device", "eve"), [(TWO, "1" * 97), (TWO, "012"), (TWO, None), (TWO, b"1"), (MARK, "1"), (None, "1"), (5, "1")]
)
def test_what_is_no_event_is_refused_and_not_repeated(device: object, eve: object) -> None:
    with pytest.raises(Malformed) as caught:
        parse_events(device, eve)
    assert "CANARY" not in str(caught.value)


def test_questions_are_frames_too() -> None:
    questions = [ASK_SYSTEM, ask_inverters(ECU_ID), ask_signals(ECU_ID)]
    assert [ECU.answer(question) for question in questions] == [ECU.system(), ECU.rounds(), ECU.signals()]
    assert Frames().feed(b"".join(questions)) == questions


def test_no_question_is_made_of_an_id_that_is_none() -> None:
    with pytest.raises(Malformed):
        ask_inverters("2160'); END")


# ----------------------------------------------------------------------------------------- what it sends to its cloud


def test_an_upload_is_the_ecu_and_its_inverters() -> None:
    upload = parse_upload(UPLOAD)
    assert (upload.stamp, upload.gateway) == (STAMPED, GATEWAY)
    assert upload.inverters == (UPLOADED, UPLOADED | {"serial": FOUR})


def test_an_upload_is_as_long_as_what_was_seen_of_them() -> None:
    # 83 bytes and 4, 88 for an inverter of two channels: as captured, 967 bytes for ten of them and 2,727 for thirty
    sizes = [len(compose_upload(STAMPED, GATEWAY, [UPLOADED] * count)) for count in (1, 10, 30)]
    assert sizes == [175, 967, 2727]
    assert UPLOAD[:30] == b"APS18AA262AAAAAAA1" + ECU_ID.encode()


def test_every_byte_of_an_upload_is_in_one_piece() -> None:
    pieces = parse_upload(UPLOAD).pieces
    assert [piece.at + piece.size for piece in pieces] == [*(piece.at for piece in pieces[1:]), len(UPLOAD)]


def test_pieces_of_an_upload_say_what_they_are_and_their_repr_does_not_say_what_they_say() -> None:
    upload = parse_upload(UPLOAD)
    said = [piece.says for piece in upload.pieces]
    assert ECU_ID in said
    assert "2127.9 kWh" in said
    assert any(TWO in text for text in said)
    assert ECU_ID not in repr(upload)
    assert TWO not in repr(upload)


@pytest.mark.parametrize(
    "frame",
    [
        UPLOAD.replace(b"AA262", b"AA261"),
        UPLOAD.replace(b"APS18", b"APS13"),
        UPLOAD.replace(b"END4080", b"END4'80"),
        UPLOAD.replace(b"00500", b"5e+00"),
        UPLOAD[:-50] + UPLOAD[-49:],
        compose_upload(STAMPED, GATEWAY, [UPLOADED] * (MAX_INVERTERS + 1)),
        compose_upload(STAMPED, GATEWAY, [UPLOADED]).replace(b"APS18AA174", b"APS18AA254").replace(
            b"01800END", b"01800" + b"0" * 20 * (MAX_CHANNELS - 1) + b"0" * 20 + b"END"
        ),
    ],
)  # fmt: skip
def test_what_is_no_upload_is_refused_whole(frame: bytes) -> None:
    with pytest.raises(Malformed):
        parse_upload(frame)


@pytest.mark.parametrize(
    ("gateway", "inverter"),
    [
        (GATEWAY | {"ecu_id": "2160"}, UPLOADED),
        (GATEWAY | {"ecu_id": "\u0662" * 12}, UPLOADED),
        (GATEWAY, UPLOADED | {"serial": MARK[:12]}),
        (GATEWAY, UPLOADED | {"temperature": -101}),
        (GATEWAY, UPLOADED | {"dc_power_1": 1000}),
    ],
)
def test_what_does_not_fit_into_an_upload_is_refused_and_not_repeated(
    gateway: dict[str, object], inverter: dict[str, object]
) -> None:
    with pytest.raises(BadInput) as caught:
        compose_upload(STAMPED, gateway, [inverter])
    assert "CANARY" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------- what is none

WRONG_FILES = {
    "empty": "",
    "no head": ECU.file().split("\n", 1)[1],
    "another count": ECU.file().replace("01,2,", "01,3,"),
    "a count that is no number": ECU.file().replace("01,2,", "01,x,"),
    "no serial": ECU.file().replace(TWO, MARK),
    "a serial that is short": ECU.file().replace(TWO, TWO[:-1]),
    "a type nobody knows": ECU.file().replace(",03,", ",77,"),
    "too few values": ECU.file().replace(",18,229\n", "\n"),
    "a value that is none": ECU.file().replace(",228,", ",NaN,"),
    "a value that is negative": ECU.file().replace(",228,", ",-228,"),
    "a frequency that is none": ECU.file().replace("50.0", "5e400"),
    "other digits": ECU.file().replace("228", "\u0662\u0662\u0668"),
    "online or so": ECU.file().replace(f"{TWO},1", f"{TWO},maybe"),
    "too long": ECU.file() + "\n" * MAX_FILE_BYTES,
}


@pytest.mark.parametrize("text", WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_a_file_that_is_wrong_is_refused_whole(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_parameters(text.encode())
    assert "CANARY" not in str(caught.value) + repr(caught.value)


WRONG_REPLIES = {
    "nothing": b"",
    "cut short": ECU.rounds()[:-5],
    "longer than it says": ECU.rounds()[:-4] + b"x" + ECU.rounds()[-4:],
    "a length that is another's": ECU.rounds().replace(b"0073", b"0072"),
    "a length that is none": ECU.rounds().replace(b"0073", b"00 7"),
    "another end": ECU.rounds()[:-4] + b"end\n",
    "another answer": ECU.system(),
    "a serial that is no number": ECU.rounds().replace(bytes.fromhex(TWO), b"\xca\xfe\xba\xbe\x00\x01"),
    "more inverters than bytes": framed(b"0002", b"0001\x00\x03", bytes.fromhex(STAMP)),
    "no end of inverters": framed(b"0002", b"0001\xff\xff", bytes.fromhex(STAMP)),
    "more bytes than inverters": framed(b"0002", b"0001\x00\x00", bytes.fromhex(STAMP), b"x"),
    "a type nobody knows": Ecu([Inverter(TWO, "77", (1, 2))]).rounds(),
    "an error": framed(b"0002", b"0101"),
}


@pytest.mark.parametrize("reply", WRONG_REPLIES.values(), ids=WRONG_REPLIES.keys())
def test_a_reply_that_is_wrong_is_refused_whole(reply: bytes) -> None:
    with pytest.raises(Malformed):
        parse_inverters(reply)


@pytest.mark.parametrize("ecu", [Ecu(firmware=MARK), Ecu(time_zone=MARK), Ecu(firmware="x" * 200, time_zone="\x00")])
def test_a_name_with_anything_but_a_name_in_it_is_refused_and_not_repeated(ecu: Ecu) -> None:
    with pytest.raises(Malformed) as caught:
        parse_system(ecu.system())
    assert "CANARY" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------- the stream


def test_frames_come_whole_however_they_are_cut() -> None:
    stream = ECU.system() + ECU.rounds() + ECU.signals()
    frames = Frames()
    found = [frame for letter in stream for frame in frames.feed(bytes([letter]))]
    assert found == [ECU.system(), ECU.rounds(), ECU.signals()]
    assert not frames.counts


def test_what_is_between_frames_is_counted_and_passed_over() -> None:
    frames = Frames()
    assert frames.feed(b"HTTP/1.1 400\r\n" + ECU.system() + b"APSAPS11" + ECU.rounds()) == [ECU.system(), ECU.rounds()]
    assert dict(frames.counts) == {"noise_bytes": 22, "bad_length": 2}


def test_a_frame_written_into_another_is_found_and_the_other_is_not() -> None:
    frames = Frames()
    assert frames.feed(ECU.system()[:40] + ECU.rounds() + ECU.system()[40:]) == [ECU.rounds()]
    assert frames.counts["no_end"] == 1


def test_an_end_within_a_frame_does_not_end_it() -> None:
    ecu = Ecu(energy_tenths=int.from_bytes(b"END\n", "big"))
    assert Frames().feed(ecu.system()) == [ecu.system()]


@pytest.mark.parametrize("noise", [b"x", b"APS", b"APS11", b"APS110099", b"APS189", b"APS1116383", b"END\n"])
def test_a_megabyte_of_anything_is_refused_and_nothing_of_it_is_held(noise: bytes) -> None:
    frames = Frames()
    with pytest.raises(Malformed, match=str(MAX_NOISE_BYTES)):
        frames.feed(noise * (1_000_000 // len(noise)))
    assert len(pickle.dumps(frames)) < MAX_FRAME_BYTES
    assert frames.feed(ECU.system()) == [ECU.system()]


# ---------------------------------------------------------------------------------------------------- asking an ECU


def asked(answer: Callable[[bytes], bytes], patience_s: float = 5.0) -> bytes:
    with answering(answer) as peer:
        host, _, port = peer.address.partition(":")
        return ask(host, int(port), ASK_SYSTEM, patience_s=patience_s)


def test_the_first_whole_frame_is_the_answer() -> None:
    assert asked(lambda _: b"noise " + ECU.system() + ECU.rounds()) == ECU.system()


def test_an_answer_that_breaks_off_is_none() -> None:
    with pytest.raises(TimeoutError):
        asked(lambda _: ECU.system()[:50])


def test_who_talks_without_end_is_not_listened_to() -> None:
    with pytest.raises(Malformed):
        asked(lambda _: b"CANARY" * 200_000)


def test_an_answer_that_drips_has_its_time_and_no_more() -> None:
    heard: list[float] = []

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            while len(heard) < 400:
                connection.sendall(b"x")
                heard.append(time.monotonic())
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = threading.Thread(target=drip, args=(listener,))
        peer.start()
        with pytest.raises(TimeoutError):
            ask("127.0.0.1", listener.getsockname()[1], ASK_SYSTEM, patience_s=0.5)
        peer.join()
    assert 2 <= len(heard) < 400  # it was still dripping when it was left, some 20 s before it would have ended


# ------------------------------------------------------------------------------------------------------------- fuzz


def damaged(frame: bytes) -> st.SearchStrategy[bytes]:
    """Return byte strings that are *frame* with pieces replaced, left out, doubled or put elsewhere."""
    places = st.integers(0, len(frame))
    piece = st.one_of(st.binary(max_size=6), st.sampled_from([b"END", b"APS11", b"0001", b"\xff" * 8, frame]))

    def cut(a: int, b: int, between: bytes) -> bytes:
        return frame[:a] + between + frame[b:]

    return st.builds(cut, places, places, piece)


def measured(length: int, content: bytes) -> bytes:
    """Return *content* as a frame whose length is right, so that what is inside is looked at."""
    return framed(content[:4].ljust(4, b"0"), content[4 : 4 + length])


def uploaded(content: bytes) -> bytes:
    """Return *content* as a frame of type 18 whose length is right."""
    return b"APS18" + f"{13 + len(content)}".rjust(5, "A").encode() + content + b"END\n"


INPUTS = st.one_of(
    st.binary(max_size=200),
    *(damaged(frame) for frame in (ECU.system(), ECU.rounds(), ECU.signals(), ECU.file().encode(), UPLOAD)),
    damaged(UPLOAD[10:-4]).map(uploaded),
    st.builds(measured, st.integers(0, 200), st.sampled_from([ECU.system()[9:], ECU.rounds()[9:], ECU.signals()[9:]])),
    st.builds(measured, st.just(300), damaged(ECU.rounds()[9:])),
)


def look_at(content: bytes) -> None:
    """Have every parser look at *content*: what it makes of it is a reading, or it is Malformed and carries nothing."""
    for parse in PARSERS:
        try:
            found = parse(content)
        except Malformed as error:
            carried = error.__context__
        else:
            carried = None
            assert json.dumps(found if isinstance(found, dict) else found.inverters)
        assert carried is None


@given(INPUTS)
def test_any_bytes_are_a_reading_or_malformed(content: bytes) -> None:
    look_at(content)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(INPUTS)
def test_a_great_many_bytes_are_a_reading_or_malformed(content: bytes) -> None:
    look_at(content)


@given(st.lists(INPUTS, max_size=6), st.integers(1, 50))
def test_any_stream_gives_frames_or_counts(chunks: list[bytes], size: int) -> None:
    frames, stream = Frames(), b"".join(chunks)
    found = [frame for at in range(0, len(stream), size) for frame in frames.feed(stream[at : at + size])]
    assert found == Frames().feed(stream)
    assert sum(map(len, found)) + frames.counts["noise_bytes"] <= len(stream)
