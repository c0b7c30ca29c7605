"""
What an APsystems ECU tells anyone on its LAN, by three answers on TCP port 8899, and what it keeps on its own disk.

Each answer is a frame of type 11 to a question of the same type: the ECU itself (0001), its inverters (0002), how well
they are heard (0030). The file ``parameters_app.conf`` has the values of the second as lines of text. Both are written
after each round of the radio, every five minutes; ``stamp`` says which round it is, in the ECU's own local time, so it
tells rounds apart and nothing else. Its database has events of inverters (table ``Event``, columns ``device`` and
``eve``), as a text with a 0 or 1 for each bit.

Owns: the questions, and what an answer says as readings by the names that the profile apsystems_ema declares.
Rules: a frame is right to its last byte or Malformed; serials are twelve digits; nothing found is in a message.
Does not: ask (whoever has the socket does), keep rounds, or leave anything out: that is what the policy is for.
Neighbours: apsystems_frame takes frames apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from edge_sdk.errors import Malformed
from edge_sdk.sources.apsystems_frame import Cut

PORT: Final = 8899
ASK_SYSTEM: Final = b"APS1100160001END\n"
MAX_INVERTERS: Final = 256
MAX_FILE_BYTES: Final = 65_536

_POWERS: Final = "pvpv", "pvpvpvp", "pvppp"  # what follows the temperature: powers of channels, voltages of the grid
_LAYOUTS: Final = {"01": _POWERS[0], "04": _POWERS[0], "02": _POWERS[1], "05": _POWERS[1], "03": _POWERS[2]}
_TEMPERATURE_IS_ABOVE: Final = -100
_SIGNAL_FULL: Final = 255
_SERIAL: Final = re.compile(r"[0-9]{12}")
_STAMP: Final = re.compile(r"20[0-9]{12}")
_WORD_BITS: Final = 32
_BITS: Final = re.compile(r"[01]{0,96}")
_WHOLE: Final = re.compile(r"[0-9]{1,6}")
_TENTHS: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9])?")

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Round:
    """
    All inverters, as one round of the radio found them.
    """

    stamp: str
    inverters: tuple[Fields, ...]


def ask_inverters(ecu_id: str) -> bytes:
    """
    Return the question for the inverters of an ECU.
    """
    return _question("0002", ecu_id)


def ask_signals(ecu_id: str) -> bytes:
    """
    Return the question for how well each inverter is heard.
    """
    return _question("0030", ecu_id)


def parse_system(reply: bytes) -> Fields:
    """
    Return what an ECU says of itself: a reading of kind ``gateway``.

    Raises:
        Malformed: it is no such answer.
    """
    cut = _answer(reply, "ECU reply 0001", "0001")
    fields: Fields = {"ecu_id": cut.digits(12, "ECU id")}
    layout = cut.digits(2, "layout")
    fields["energy"] = cut.binary(4, "lifetime energy") / 10
    fields["ac_power"] = cut.binary(4, "power")
    cut.take(4, "energy of the day")
    if layout == "01":
        cut.take(7, "time of the last round")
    elif layout != "02":
        raise cut.wrong("layout")
    cut.take(2, "inverters")
    fields["inverters_online"] = cut.binary(2, "inverters online")
    cut.take(2 if layout == "01" else 6, "channel")
    fields["firmware"] = cut.word(cut.number(3, "length of the firmware's name"), "firmware")
    if layout == "01":
        fields["time_zone"] = cut.word(cut.number(3, "length of the time zone"), "time zone")
        if cut.left >= 6:
            fields["mac"] = cut.take(6, "hardware address").hex(":")
    return fields


def parse_inverters(reply: bytes) -> Round:
    """
    Return what an ECU says of its inverters: readings of kind ``inverter``.

    Raises:
        Malformed: it is no such answer, or its last inverters are of a type without a known layout.
    """
    cut = _answer(reply, "ECU reply 0002", "0002")
    cut.exactly(b"0001", "status")
    count = cut.binary(2, "inverters")
    if count > MAX_INVERTERS:
        raise cut.wrong("inverters")
    stamp = cut.packed(7, "time")
    found = tuple(_inverter(cut) for _ in range(count))
    if cut.left:
        raise Malformed(f"{cut.what}: more than its inverters", cut.at)
    return Round(stamp, found)


def parse_signals(reply: bytes) -> dict[str, int]:
    """
    Return how well each inverter is heard, in percent, by serial.

    Raises:
        Malformed: it is no such answer.
    """
    cut = _answer(reply, "ECU reply 0030", "0030")
    cut.take(2, "status")
    found: dict[str, int] = {}
    while cut.left:
        serial = cut.packed(6, "serial")
        found[serial] = cut.binary(1, "signal") * 100 // _SIGNAL_FULL
    return found


def parse_parameters(content: bytes) -> Round:
    """
    Return what is in a ``parameters_app.conf``.

    Raises:
        Malformed: it is too long, no text of digits, or not as many inverters as its first line says.
    """
    if len(content) > MAX_FILE_BYTES:
        raise Malformed(f"parameter file: longer than {MAX_FILE_BYTES} bytes")
    if not content.isascii():
        raise Malformed("parameter file: not ASCII")
    lines = content.decode("ascii").split("\n")
    head, rows = lines[0].rstrip("\r").split(","), [line.rstrip("\r") for line in lines[1:] if line.strip()]
    if len(head) != 3 or not _WHOLE.fullmatch(head[1]) or not _STAMP.fullmatch(head[2]):
        raise Malformed("parameter file: line 1 is not version, count and time")
    if int(head[1]) != len(rows) or len(rows) > MAX_INVERTERS:
        raise Malformed(f"parameter file: {len(rows)} lines of inverters, and line 1 says another number")
    return Round(head[2], tuple(_line(row.split(","), number) for number, row in enumerate(rows, 2)))


def parse_events(device: object, eve: object) -> Fields:
    """
    Return one row of the table of events: a reading of kind ``alarm``, its bits in words of 32, the first bit lowest.

    Raises:
        Malformed: it is no serial, or no text of bits.
    """
    if not isinstance(device, str) or not _SERIAL.fullmatch(device):
        raise Malformed("ECU event: device is not twelve digits")
    if not isinstance(eve, str) or not _BITS.fullmatch(eve):
        raise Malformed(f"ECU event: eve is no text of up to {3 * _WORD_BITS} bits")
    words = (eve[at : at + _WORD_BITS] for at in range(0, 3 * _WORD_BITS, _WORD_BITS))
    return {"serial": device} | {f"events_{at}": int(word[::-1] or "0", 2) for at, word in enumerate(words, 1)}


def _question(code: str, ecu_id: str) -> bytes:
    if not _SERIAL.fullmatch(ecu_id):
        raise Malformed("ECU id: not twelve digits")
    return f"APS110028{code}{ecu_id}END\n".encode("ascii")


def _answer(reply: bytes, what: str, code: str) -> Cut:
    cut = Cut(reply, what)
    cut.exactly(b"APS11", "type")
    cut.digits(4, "length")
    cut.exactly(code.encode("ascii"), "code")
    return cut


def _inverter(cut: Cut) -> Fields:
    fields: Fields = {"serial": cut.packed(6, "serial"), "online": cut.binary(1, "online") != 0}
    kind = cut.digits(2, "type of inverter")
    if kind not in _LAYOUTS:
        raise cut.wrong("type of inverter")  # where the next one begins is not known either
    fields["model_code"] = int(kind)
    frequency, temperature = cut.binary(2, "frequency"), cut.binary(2, "temperature")
    values = [cut.binary(2, "value") for _ in _LAYOUTS[kind]]
    return fields | (_measured(kind, frequency / 10, temperature, values) if fields["online"] else {})


def _line(cells: list[str], number: int) -> Fields:
    """
    Return the inverter of one line: serial, online, type, and of one that is online frequency, temperature and values.
    """
    wrong = Malformed(f"parameter file: line {number} is no inverter")
    if len(cells) < 3 or not _SERIAL.fullmatch(cells[0]) or cells[1] not in ("0", "1") or cells[2] not in _LAYOUTS:
        raise wrong
    fields: Fields = {"serial": cells[0], "online": cells[1] == "1", "model_code": int(cells[2])}
    if not fields["online"]:
        return fields
    values = cells[4:]
    if len(values) != 1 + len(_LAYOUTS[cells[2]]) or not all(map(_WHOLE.fullmatch, values)):
        raise wrong
    if not _TENTHS.fullmatch(cells[3]):
        raise wrong
    temperature, *measured = map(int, values)
    return fields | _measured(cells[2], float(cells[3]), temperature, measured)


def _measured(kind: str, frequency: float, temperature: int, values: list[int]) -> Fields:
    layout = _LAYOUTS[kind]
    powers = list(_of("p", layout, values))
    voltages = list(_of("v", layout, values))
    fields: Fields = {
        "frequency": frequency,
        "temperature": temperature + _TEMPERATURE_IS_ABOVE,
        "ac_power": sum(powers),
        "ac_voltage": voltages[0],
    }
    return fields | {f"dc_power_{at}": power for at, power in enumerate(powers, 1)}


def _of(letter: str, layout: str, values: list[int]) -> Iterator[int]:
    return (value for place, value in zip(layout, values, strict=True) if place == letter)
