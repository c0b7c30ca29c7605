"""
A SunSpec device by Modbus TCP: inverter, inputs, meter and faults, with `pip install 'edge-sdk[sunspec]'`.

Run it in the folder of a site that `edge-sdk init --local . --policy sunspec_modbus.toml` made (the policy to begin
with is beside this file). `device.toml` there has `host`, and may have `port`, `unit`, `every` and `patience`, in
seconds. The chain of models is walked once for each connection; of the models only registers are asked for that some
purpose may have by then. What a device has not implemented arrives as null.
"""

import argparse
import asyncio
import signal
import tomllib
from pathlib import Path
from random import SystemRandom
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from edge_sdk import Gateway
from edge_sdk.sources import polling, registers, sunspec


class Device:
    """One device; after anything that is no answer the connection is closed, and its models are looked for anew."""

    def __init__(self, gateway: Gateway, host: str, *, port: int = 502, unit: int = 1, patience: float = 3.0) -> None:
        self._link = AsyncModbusTcpClient(
            host, port=port, timeout=patience, retries=0, reconnect_delay=0, trace_connect=self._changed
        )
        self._allowed, self._unit, self._plant, self._ended = gateway.allowed, unit, None, asyncio.Event()

    async def poll(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what the device says of everything that some purpose may have."""
        wanted = {found for found in sunspec.FIELDS if self._allowed(*found)}
        if not wanted:
            return []
        try:
            if not self._link.connected:
                self._plant = None
                if not await self._link.connect():
                    raise ConnectionError
            if self._plant is None:
                self._plant = await sunspec.find(self._read)
            points = [point for point in self._plant.points if (point.kind, point.field) in wanted]
            found = {}
            for run in registers.runs([span for point in points for span in point.spans], sunspec.MOST_REGISTERS):
                found.update(await self._read(run))
            return list(self._plant.made(points, found))
        except ModbusException:
            self._link.close()
            raise ConnectionError from None  # the library's own message has what came
        except BaseException:
            self._link.close()  # what arrives of this answer later is not to be taken for the next
            raise

    async def _read(self, run: range) -> dict[int, int]:
        asked = self._link.read_holding_registers(run.start, count=len(run), device_id=self._unit)
        tasks = [asyncio.ensure_future(asked), asyncio.ensure_future(self._ended.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not tasks[0].done():  # the other side has hung up, and the library would wait on
                raise ConnectionError
            answer = await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return registers.checked(None if answer.isError() else answer.registers, run)

    def _changed(self, is_there: bool) -> None:
        self._ended.clear() if is_there else self._ended.set()


async def feed(gateway: Gateway, said: dict[str, Any], polls: int | None) -> str:
    """Poll until told to end; return what came of it, in numbers."""
    stop, every_s = asyncio.Event(), said.pop("every", 10.0)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    device = polling.Polling(Device(gateway, **said).poll, gateway.record, every_s, SystemRandom().random)
    polling.silence(asyncio.get_running_loop(), device.counts, "pymodbus")
    await device.run(stop, polls)
    return ", ".join(f"{number} {what}" for what, number in device.counts.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polls", type=int, help="end after so many, and send everything")
    polls = parser.parse_args().polls
    with Gateway.open("site.toml") as gateway:
        print(asyncio.run(feed(gateway, tomllib.loads(Path("device.toml").read_text()), polls)))
        if polls:
            print(f"{gateway.drain(timeout_s=10, cut=True)} batches wait for the collector")
