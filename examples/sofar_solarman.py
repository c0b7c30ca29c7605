"""
A SOFAR G3 inverter through its Solarman stick (TCP 8899), with `pip install 'edge-sdk[solarman]'`.

Run it in the folder of a site that `edge-sdk init --local . --profile sofar_monitor` made. `stick.toml` there has
`host` and `logger`, the number on the stick, and may have `port`, `every` and `patience`, in seconds: a file, since a
command line is for everybody on the machine to read. Asked for are only registers that some purpose may have by then.
"""

import argparse
import asyncio
import logging
import signal
import tomllib
from pathlib import Path
from random import SystemRandom
from typing import Any

from pysolarmanv5 import NoSocketAvailableError, PySolarmanV5Async

from edge_sdk import Gateway
from edge_sdk.sources import polling, registers, sofar_g3

SILENT = logging.Logger("pysolarmanv5", logging.CRITICAL + 1)  # noqa: LOG001 - no handler set elsewhere gets its frames


class Stick:
    """One stick; a connection for each poll, so that an answer that comes late belongs to nothing any more."""

    def __init__(self, gateway: Gateway, host: str, logger: int, *, port: int = 8899, patience: float = 30.0) -> None:
        self._link = PySolarmanV5Async(host, logger, port=port, socket_timeout=patience, logger=SILENT)
        self._allowed, self._patience, self._readings = gateway.allowed, patience, sofar_g3.Readings()

    async def poll(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what the inverter says of everything that some purpose may have."""
        points = [point for point in sofar_g3.POINTS if self._allowed(point.kind, point.field)]
        if not points:
            return []
        spans = [*sofar_g3.SERIAL, *(point.span for point in points)]
        try:
            async with asyncio.timeout(self._patience):
                found = await self._read(list(registers.runs(spans, sofar_g3.MOST_REGISTERS)))
        except NoSocketAvailableError:
            raise ConnectionError from None  # the library's own message has the address
        return list(self._readings.made(sofar_g3.serial_number(found), points, found))

    async def _read(self, runs: list[range]) -> dict[int, int]:
        await self._link.connect()
        writer, tasks, found = self._link.writer, [self._link.reader_task], {}
        try:
            for run in runs:
                tasks[1:] = [asyncio.ensure_future(self._link.read_holding_registers(run.start, len(run)))]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if not tasks[1].done():  # the other side has hung up, and the library would wait on
                    raise ConnectionError
                found.update(registers.checked(await tasks[1], run))
        finally:  # what the library leaves open, and errors of its own tasks that would be logged
            writer.transport.abort()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return found


async def feed(gateway: Gateway, said: dict[str, Any], polls: int | None) -> str:
    """Poll until told to end; return what came of it, in numbers."""
    stop, every_s = asyncio.Event(), said.pop("every", 30.0)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    device = polling.Polling(Stick(gateway, **said).poll, gateway.record, every_s, SystemRandom().random)
    polling.silence(asyncio.get_running_loop(), device.counts)
    await device.run(stop, polls)
    return ", ".join(f"{number} {what}" for what, number in device.counts.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polls", type=int, help="end after so many, and send everything")
    polls = parser.parse_args().polls
    with Gateway.open("site.toml") as gateway:
        print(asyncio.run(feed(gateway, tomllib.loads(Path("stick.toml").read_text()), polls)))
        if polls:
            print(f"{gateway.drain(timeout_s=10, cut=True)} batches wait for the collector")
