"""
An APsystems ECU as its LAN sees it, made from what is known of the protocol: answers to its three questions, its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

ECU_ID = "216000998877"
TWO, FOUR = "408000998801", "806000998802"  # serials of inverters with two and four channels
MAC = "80:97:1b:0c:5a:77"
TIME_ZONE = "Etc/GMT-8"
FIRMWARE = "ECU_R_1.2.31009"
STAMP = "20260206112214"


@dataclass(frozen=True)
class Inverter:
    """One inverter as its ECU keeps it: *values* are powers of channels and voltages, by its type."""

    serial: str
    kind: str
    values: Sequence[int]
    online: bool = True
    tenth_hertz: int = 500
    above_minus_100: int = 113


INVERTERS = (
    Inverter(TWO, "01", (17, 228, 18, 229)),
    Inverter(FOUR, "03", (29, 231, 38, 45, 43), above_minus_100=115),
)


@dataclass
class Ecu:
    """What an ECU holds, and what it answers; *wrong* replaces the answer to a question by its code."""

    inverters: Sequence[Inverter] = INVERTERS
    stamp: str = STAMP
    firmware: str = FIRMWARE
    time_zone: str = TIME_ZONE
    energy_tenths: int = 21279
    watts: int = 190
    wrong: dict[str, bytes] = field(default_factory=dict)

    def answer(self, question: bytes) -> bytes:
        """Answer a question of type 11."""
        code = question[9:13].decode("ascii", "replace")
        answers = {"0001": self.system, "0002": self.rounds, "0030": self.signals}
        return self.wrong.get(code) or answers.get(code, bytes)()

    def system(self) -> bytes:
        online = sum(inverter.online for inverter in self.inverters)
        return framed(
            b"0001",
            ECU_ID.encode() + b"01",
            *(number.to_bytes(4, "big") for number in (self.energy_tenths, self.watts, 62)),
            b"\xd0" * 7,
            len(self.inverters).to_bytes(2, "big"),
            online.to_bytes(2, "big"),
            b"10",
            *(f"{len(text):03}{text}".encode() for text in (self.firmware, self.time_zone)),
            bytes.fromhex(MAC.replace(":", "")),
            bytes(6),
        )

    def rounds(self) -> bytes:
        head = b"0001" + len(self.inverters).to_bytes(2, "big") + bytes.fromhex(self.stamp)
        return framed(b"0002", head, *map(inverter_bytes, self.inverters))

    def signals(self) -> bytes:
        return framed(b"0030", b"00", *(bytes.fromhex(inverter.serial) + b"\xcc" for inverter in self.inverters))

    def file(self) -> str:
        lines = [f"01,{len(self.inverters)},{self.stamp}", *map(inverter_line, self.inverters)]
        return "\n".join(lines) + "\n"


def framed(code: bytes, *parts: bytes) -> bytes:
    """Return a whole frame of type 11: its length counts everything but the line feed."""
    content = code + b"".join(parts) + b"END"
    return b"APS11" + f"{9 + len(content):04}".encode() + content + b"\n"


def inverter_bytes(inverter: Inverter) -> bytes:
    numbers = (inverter.tenth_hertz, inverter.above_minus_100, *inverter.values)
    head = bytes.fromhex(inverter.serial) + bytes([inverter.online]) + inverter.kind.encode()
    return head + b"".join(number.to_bytes(2, "big") for number in numbers)


def inverter_line(inverter: Inverter) -> str:
    head = f"{inverter.serial},{int(inverter.online)},{inverter.kind}"
    if not inverter.online:
        return head
    return ",".join([head, f"{inverter.tenth_hertz / 10}", str(inverter.above_minus_100), *map(str, inverter.values)])
