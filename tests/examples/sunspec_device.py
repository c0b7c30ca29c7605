"""
A SunSpec device on loopback: pymodbus' own server with a chain of models, and a wire to it that a test may tamper with.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.examples.peers import talking

BASE: Final = 40000
MAKER, MODEL, VERSION, SERIAL = "EXAMPLE", "X-5K", "1.4.2-CANARY", "EX26000998877"
OPTION, LEFT, RIGHT, OWN = "Fam. CANARY, Main St 1", "Balkon CANARY", "Dach CANARY", "SSID=HomeNet-CANARY"
NONE16, NONE_SIGNED, NONE32 = 0xFFFF, 0x8000, 0xFFFFFFFF

Wrong = Callable[[bytes, bytes], bytes]  # from the question and the good answer


def letters(said: str, words: int) -> list[int]:
    held = said.encode().ljust(2 * words, b"\x00")[: 2 * words]
    return [int.from_bytes(held[at : at + 2], "big") for at in range(0, 2 * words, 2)]


def model(number: int, length: int, at: Mapping[int, int | list[int]]) -> list[int]:
    """Return a model whose registers are not implemented but for those *at* their places."""
    registers = [NONE16] * length
    for first, held in at.items():
        words = held if isinstance(held, list) else [held]
        registers[first : first + len(words)] = words
    return [number, length, *registers]


def chain() -> list[int]:
    """Return everything from the mark to the end of the chain: common, an unknown one, inverter, inputs, meter."""
    common = {
        0: letters(MAKER, 16), 16: letters(MODEL, 16), 32: letters(OPTION, 8), 40: letters(VERSION, 8),
        48: letters(SERIAL, 16), 64: 1,
    }  # fmt: skip
    inverter = {
        8: 2301, 11: 0xFFFF, 12: 1920, 13: 0, 14: 5001, 15: 0xFFFE, 22: [324, 45_336], 24: 0, 31: NONE_SIGNED,
        35: 0xFFFF, 36: 4, 38: [0, 0],
    }  # fmt: skip
    left = [1, *letters(LEFT, 8), 310, 3312, 1027, 0, 9000, 0, 0, NONE_SIGNED, 4, 0, 0]
    right = [2, *letters(RIGHT, 8), 40, NONE16, 888, 0, 400, 0, 0, NONE_SIGNED, 4, 0, 0]
    meter = {16: 65_396, 20: 0, 36: [12, 25_913], 44: [35, 51_918], 52: 0}
    return [
        *letters("SunS", 2),
        *model(1, 66, common),
        *model(64_001, 10, {0: letters(OWN, 10)}),
        *model(103, 50, inverter),
        *model(160, 48, {0: [0xFFFE, 0xFFFF, 0, 0, 0, 0, 2, 0], 8: left, 28: right}),
        *model(201, 105, meter),
        NONE16,
        0,
    ]


def place(of: int, register: int) -> int:
    """Return where *register* of the model *of* is."""
    held, at = chain(), 2
    while held[at] != of:
        at += 2 + held[at + 1]
    return BASE + at + 2 + register


def silence(question: bytes, good: bytes) -> bytes:
    """Answer nothing, and keep the connection."""
    return b""


POWER: Final = place(103, 12)  # what is read once in each poll


@dataclass
class Device:
    """
    What a device holds, and what happens to it.

    With each poll one set of *changes* comes to the registers. Each connection has a lie, if there are any: one that is
    told at once, or one that is told at the second poll. With the last lie the device leaves.
    """

    changes: Sequence[Mapping[int, int]] = ({},)
    lies: Sequence[tuple[bool, Wrong]] = ()
    held: list[int] = field(default_factory=chain)
    asked: set[int] = field(default_factory=set)
    functions: set[int] = field(default_factory=set)
    connections: int = 0
    port: int = 0
    behind: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    _polls: int = 0

    async def read(self, code: int, start: int, address: int, count: int, now: list[int], *_: object) -> None:
        """Be asked for registers, as pymodbus' server tells it."""
        span = range(address, address + count)
        self.asked.update(span)
        self.functions.add(code)
        if POWER in span and not self.lies:
            for register, word in self.changes[min(self._polls, len(self.changes) - 1)].items():
                now[register - start] = word
            self._polls += 1


@contextmanager
def connected(device: Device, host: str) -> Iterator[Device]:
    """Serve *device* on loopback."""
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        block = SimData(BASE, values=device.held, datatype=DataType.REGISTERS)
        server = ModbusTcpServer(SimDevice(1, [block], action=device.read), address=(host, 0))
        await server.serve_forever(background=True)
        device.behind = server.transport.sockets[0].getsockname()[1]
        ready.set()
        try:
            await stop.wait()
        finally:
            await server.shutdown()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        with tampered(device, host):
            yield device
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def tampered(device: Device, host: str) -> Iterator[None]:
    """Put a wire between, on which lies come about."""

    def talk(wire: socket.socket) -> None:
        turn, device.connections = device.connections, device.connections + 1
        at_once, wrong = device.lies[turn] if turn < len(device.lies) else (False, None)
        polls = 0
        with socket.create_connection((host, device.behind)) as behind:
            while question := wire.recv(4096):
                polls += question[8:10] == POWER.to_bytes(2, "big")
                behind.sendall(question)
                good = behind.recv(4096)
                told = wrong(question, good) if wrong is not None and (at_once or polls > 1) else good
                if told != good and turn == len(device.lies) - 1:
                    listener.leave()
                wire.sendall(told)
                if wrong is silence and told != good:
                    device.over.wait()
                if told != good:
                    return

    with talking(talk, host) as listener:
        device.port = listener.port
        yield
        device.over.set()
