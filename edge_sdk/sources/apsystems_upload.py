"""
What an APsystems ECU sends to its cloud today: one frame of ASCII for each round of the radio, over plain TCP.

The frame (type 18) has a head of 83 bytes (who, how much, when) and for each inverter 48 bytes and 20 for each of its
channels. Every byte of it can be read, and written, by anyone on the way. Laid out after what integrations that sit in
between were made from; units of an inverter that those do not name are zeros in what they saw, and are passed over.

Owns: :func:`parse_upload`, which also says what every byte is, and :func:`compose_upload`, its inverse, for showing
what a household's gateway would send.
Rules: as in apsystems_local.
Does not: send anything.
Neighbours: apsystems_frame takes frames apart; the command ``preview`` shows both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge_sdk.errors import BadInput, Malformed
from edge_sdk.sources.apsystems_frame import END, TAIL, Cut

HOST: Final = "ecu.apsystemsema.com"
PORTS: Final = (8995, 8996, 8997)
MAX_INVERTERS: Final = 64
MAX_CHANNELS: Final = 4

_WHAT: Final = "ECU upload"
_UNNAMED: Final = b"AAAAAAA1", b"000000", b"0" * 20, b"00"  # in the head twice, in an inverter, in a channel
_BELOW_ZERO: Final = 100

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """
    What some bytes of a frame are, and what they say to whoever reads them.
    """

    at: int
    size: int
    what: str
    says: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """
    One frame as readings, and byte by byte.
    """

    stamp: str
    gateway: Fields = field(repr=False)
    inverters: tuple[Fields, ...] = field(repr=False)
    pieces: tuple[Piece, ...]


def parse_upload(frame: bytes) -> Upload:
    """
    Return what a frame says: a reading of kind ``gateway``, one of kind ``inverter`` for each, and its pieces.

    Raises:
        Malformed: it is no such frame.
    """
    cut = Cut(frame, _WHAT)
    cut.exactly(b"APS18", "type")
    cut.take(5, "length")
    cut.take(8, "head, unnamed")
    gateway: Fields = {"ecu_id": cut.digits(12, "ECU id")}
    gateway["ac_power"] = cut.number(12, "power now") / 100
    gateway["energy"] = cut.number(18, "lifetime energy") / 10
    stamp = cut.digits(14, "time, where the household is")
    gateway["inverters_online"] = cut.number(3, "inverters online")
    cut.digits(6, "head, unnamed")
    said = _said_by_head(gateway, stamp)
    pieces = [
        Piece(at, size, name, said.get(name, frame[at : at + size].decode("latin-1"))) for at, size, name in cut.spans
    ]
    inverters: list[Fields] = []
    while cut.left:
        if len(inverters) == MAX_INVERTERS:
            raise Malformed(f"{_WHAT}: more than {MAX_INVERTERS} inverters", cut.at)
        began = cut.at
        inverters.append(_inverter(cut))
        pieces.append(Piece(began, cut.at - began, "one inverter", _said_by(inverters[-1])))
    pieces.append(Piece(cut.at, len(TAIL), "end", "END"))
    return Upload(stamp, gateway, tuple(inverters), tuple(pieces))


def compose_upload(stamp: str, gateway: Mapping[str, Any], inverters: Iterable[Mapping[str, Any]]) -> bytes:
    """
    Return the frame that says this; a value that is missing is 0.

    Args:
        stamp: 14 digits, the ECU's local time.
        gateway: ``ecu_id``, ``ac_power`` (W), ``energy`` (kWh), ``inverters_online``.
        inverters: as :func:`parse_upload` returns them.

    Raises:
        BadInput: a value does not fit its place.
    """
    content = b"".join(
        (
            _UNNAMED[0],
            _digits(gateway["ecu_id"], 12),
            _scaled(gateway.get("ac_power"), 100, 12),
            _scaled(gateway.get("energy"), 10, 18),
            _digits(stamp, 14),
            _scaled(gateway.get("inverters_online"), 1, 3),
            _UNNAMED[1],
            *map(_inverter_bytes, inverters),
            TAIL,
        )
    )
    return b"APS18" + f"{10 + len(content) - 1}".rjust(5, "A").encode("ascii") + content


def _said_by_head(gateway: Fields, stamp: str) -> dict[str, str]:
    return {
        "ECU id": gateway["ecu_id"],
        "power now": f"{gateway['ac_power']:.2f} W",
        "lifetime energy": f"{gateway['energy']:.1f} kWh",
        "time, where the household is": stamp,
        "inverters online": str(gateway["inverters_online"]),
    }


def _inverter(cut: Cut) -> Fields:
    cut.exactly(END, "begin of an inverter")
    fields: Fields = {"serial": cut.digits(12, "serial"), "online": True, "model_code": cut.number(2, "model")}
    fields["ac_voltage"] = cut.number(3, "grid voltage")
    fields["frequency"] = cut.number(5, "frequency") / 10
    fields["temperature"] = cut.number(3, "temperature") - _BELOW_ZERO
    cut.digits(20, "inverter, unnamed")
    powers: list[int] = []
    while cut.left and not cut.has_next(END):
        channel = len(powers) + 1
        if channel > MAX_CHANNELS:
            raise Malformed(f"{_WHAT}: more than {MAX_CHANNELS} channels", cut.at)
        fields[f"dc_voltage_{channel}"] = cut.number(6, "voltage of a channel") / 10
        fields[f"dc_current_{channel}"] = cut.number(9, "current of a channel") / 100
        powers.append(cut.number(3, "power of a channel"))
        cut.digits(2, "channel, unnamed")
        fields[f"dc_power_{channel}"] = powers[-1]
    return fields | {"ac_power": sum(powers)}


def _said_by(inverter: Fields) -> str:
    said = [f"serial {inverter['serial']}", f"model {inverter['model_code']}"]
    said += [f"{inverter['ac_voltage']} V", f"{inverter['frequency']:.1f} Hz", f"{inverter['temperature']} degC"]
    for channel in range(1, MAX_CHANNELS + 1):
        if f"dc_power_{channel}" in inverter:
            values = (inverter[f"dc_{what}_{channel}"] for what in ("voltage", "current", "power"))
            said.append("{:.1f} V {:.2f} A {} W".format(*values))
    return ", ".join(said)


def _inverter_bytes(inverter: Mapping[str, Any]) -> bytes:
    temperature = round(inverter.get("temperature") or 0) + _BELOW_ZERO
    parts = [
        END,
        _digits(inverter["serial"], 12),
        _scaled(inverter.get("model_code"), 1, 2),
        _scaled(inverter.get("ac_voltage"), 1, 3),
        _scaled(inverter.get("frequency"), 10, 5),
        _scaled(temperature, 1, 3),
        _UNNAMED[2],
    ]
    for channel in range(1, MAX_CHANNELS + 1):
        if f"dc_power_{channel}" in inverter:
            parts.append(_scaled(inverter.get(f"dc_voltage_{channel}"), 10, 6))
            parts.append(_scaled(inverter.get(f"dc_current_{channel}"), 100, 9))
            parts.append(_scaled(inverter[f"dc_power_{channel}"], 1, 3))
            parts.append(_UNNAMED[3])
    return b"".join(parts)


def _scaled(value: float | None, times: int, places: int) -> bytes:
    scaled = round((value or 0) * times)
    if not 0 <= scaled < 10**places:
        raise BadInput(f"{_WHAT}: a value does not fit into {places} digits")
    return f"{scaled:0{places}}".encode("ascii")


def _digits(text: str, places: int) -> bytes:
    if len(text) != places or not (text.isascii() and text.isdigit()):
        raise BadInput(f"{_WHAT}: what should be {places} digits is not")
    return text.encode("ascii")
