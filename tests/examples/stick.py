"""
A Solarman stick with a SOFAR G3 inverter behind it, as the LAN sees it: V5 frames with Modbus RTU inside.

Made from what is known of the protocol. A frame is A5, the length of its payload, a control code, two bytes of a
sequence (the first echoes the question's), the number of the stick, the payload, a sum of all bytes but the first and
the last two, and 15. The stick answers holding registers it has and refuses others with exception 2.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.examples.peers import talking

LOGGER = 2_799_998_877
SERIAL = "SP1ES120CAN99887"
FIRMWARE = "V110007"
MAC = "34:ea:e7:0c:5a:77"
LAN_IP = "192.0.2.10"
SSID = "HomeNet-CANARY"
STICK_FIRMWARE = "LSW3_15_FFFF_1.0.9E"

OFTEN = 2
ASK, ANSWER = 0x4510, 0x1510
HANDSHAKE, HEARTBEAT = 0x4110, 0x4710
_TIMES = bytes.fromhex("e087e1018051010080fba367")

Wrong = Callable[[bytes, bytes], bytes]  # from the question and the good answer


def crc(told: bytes) -> bytes:
    """Return the check of a Modbus RTU frame."""
    register = 0xFFFF
    for byte in told:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register.to_bytes(2, "little")


def v5(control: int, sequence: bytes, payload: bytes) -> bytes:
    """Return a whole frame."""
    head = b"\xa5" + len(payload).to_bytes(2, "little") + control.to_bytes(2, "little") + sequence
    frame = head + LOGGER.to_bytes(4, "little") + payload
    return frame + bytes([sum(frame[1:]) & 0xFF]) + b"\x15"


def handshake() -> bytes:
    """Return how a stick introduces itself to its cloud: its firmware, address and the name of the home's network."""
    places = {19: STICK_FIRMWARE, 65: LAN_IP, 89: "V1.1.00.0B", 172: SSID}
    payload = bytearray(210)
    for at, text in places.items():
        payload[at : at + len(text)] = text.encode()
    payload[82:88] = bytes.fromhex(MAC.replace(":", ""))
    return v5(HANDSHAKE, b"\x01\x01", bytes(payload))


def text(first: int, said: str) -> dict[int, int]:
    """Return *said* in the registers from *first*."""
    padded = said.encode() + b"\x00" * (len(said) % 2)
    return {first + at // 2: int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2)}


def silence(question: bytes, good: bytes) -> bytes:
    """Answer nothing, and keep the connection."""
    return b""


def inverter() -> dict[int, int]:
    """Return the registers of an inverter by day."""
    return {
        0x0404: 2,
        **dict.fromkeys(range(0x0405, 0x0411), 0),
        0x041A: 38,
        **text(0x0445, SERIAL),
        0x0470: 0,
        0x0471: 0,
        **text(0x0453, FIRMWARE + "\x00"),
        0x0484: 5001,
        0x0485: 96,
        0x0488: 0xFFF2,
        0x048D: 2301,
        0x04AF: 110,
        **dict(enumerate((3312, 310, 103, 2870, 40, 11), 0x0584)),
        **dict(enumerate((0xFFD8, 21, 64, 88, 311), 0x0606)),
        **dict(enumerate((3, 16182), 0x0686)),
        **dict(enumerate((0, 7420), 0x068A)),
    }


@dataclass
class Stick:
    """
    What a stick holds and answers.

    *turns* are what happens on each connection, from the first: registers change, or answers go wrong.
    """

    registers: dict[int, int] = field(default_factory=inverter)
    turns: Sequence[dict[int, int] | Wrong] = ()
    leaves: bool = False
    asked: set[int] = field(default_factory=set)
    written: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    polled_often: threading.Event = field(default_factory=threading.Event)
    _answers: int = 0x29

    def answer(self, question: bytes) -> bytes:
        """Answer a frame that asks for holding registers."""
        rtu = question[26:-2]
        slave, function, first, count = rtu[0], rtu[1], int.from_bytes(rtu[2:4]), int.from_bytes(rtu[4:6])
        self._answers = (self._answers + 1) & 0xFF
        if function != 3:
            self.written.append(rtu)
        span = range(first, first + count)
        self.asked.update(span)
        if function != 3 or not self.registers.keys() >= set(span):
            told = bytes([slave, function | 0x80, 2])
        else:
            words = b"".join(self.registers[register].to_bytes(2, "big") for register in span)
            told = bytes([slave, function, len(words)]) + words
        return v5(ANSWER, bytes([question[5], self._answers]), b"\x02\x01" + _TIMES + told + crc(told))

    def turn(self) -> Wrong | None:
        """Begin a connection."""
        turn = self.turns[self.connections] if self.connections < len(self.turns) else {}
        self.connections += 1
        if self.connections > OFTEN:
            self.polled_often.set()
        if not isinstance(turn, dict):
            return turn
        self.registers.update(turn)
        return None


@contextmanager
def plugged_in(stick: Stick, host: str) -> Iterator[Stick]:
    """Serve *stick* on loopback; with its last turn it is unplugged, if it *leaves*."""

    def talk(wire: socket.socket) -> None:
        wrong = stick.turn()
        if stick.leaves and stick.connections == len(stick.turns):
            listener.leave()
        while question := wire.recv(4096):
            wire.sendall(stick.answer(question) if wrong is None else wrong(question, stick.answer(question)))
            if wrong is silence:
                stick.over.wait()
            if wrong is not None:
                return

    with talking(talk, host) as listener:
        stick.port = listener.port
        yield stick
        stick.over.set()
