"""
Hoymiles inverters through an OpenDTU and its MQTT broker, with `pip install 'edge-sdk[opendtu]'`.

Run it in the folder of a site that `edge-sdk init --local . --profile strictest` made. `broker.toml` there has `host`,
and may have `port`, `username`, `password`, `tls`, `prefix` and `patience`, in seconds. Subscribed to are only topics
of fields that some purpose may have by then. Retained messages are not of now, and are passed over.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import ssl
import tomllib
from pathlib import Path
from random import SystemRandom
from typing import Any

from aiomqtt import Client, MqttError

from edge_sdk import Gateway
from edge_sdk.sources import opendtu, polling

SILENT = logging.Logger("mqtt", logging.CRITICAL + 1)  # noqa: LOG001 - no handler set elsewhere gets its topics
MOST_WAITING = 1000  # messages; what comes faster than it is taken is dropped


class Broker:
    """One broker: a connection that lasts until it breaks, or until other fields may be had than before."""

    def __init__(self, gateway: Gateway, host: str, *, prefix: str = "solar", patience: float = 10.0,
                 tls: bool = False, **more: Any) -> None:  # fmt: skip
        self._where = {"hostname": host, "tls_context": ssl.create_default_context() if tls else None, **more}
        self._allowed, self._patience, self._filters = gateway.allowed, patience, []
        self._open, self.gathering = contextlib.AsyncExitStack(), opendtu.Gathering(prefix)

    async def poll(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the next readings; none after a while without any, as at night."""
        filters = opendtu.filters(self.gathering.prefix, self._allowed)
        if not filters:
            await self.close()
            return []
        try:
            if filters != self._filters:
                await self._subscribe(filters)
            return await self._next()
        except BaseException as error:
            await self.close()
            if isinstance(error, MqttError):
                raise ConnectionError from None  # the library's own message has the address
            raise

    async def close(self) -> None:
        """Disconnect."""
        self._filters = []
        with contextlib.suppress(MqttError):
            await self._open.aclose()

    async def _subscribe(self, filters: list[str]) -> None:
        await self.close()
        client = Client(logger=SILENT, timeout=self._patience, max_queued_incoming_messages=MOST_WAITING, **self._where)
        self._messages = (await self._open.enter_async_context(client)).messages
        await client.subscribe([(topic, 0) for topic in filters])
        self._filters = filters

    async def _next(self) -> list[tuple[str, dict[str, Any]]]:
        now_s = asyncio.get_running_loop().time
        ends_s = now_s() + self._patience
        while not (found := list(self.gathering.readings(now_s()))) and now_s() < ends_s:
            with contextlib.suppress(TimeoutError):
                message = await asyncio.wait_for(anext(self._messages), min(opendtu.GATHER_S, self._patience))
                self.gathering.add(message.topic.value, message.payload, retained=message.retain, now_s=now_s())
        return found


async def feed(gateway: Gateway, said: dict[str, Any], polls: int | None) -> str:
    """Listen until told to end; return what came of it, in numbers."""
    stop, broker = asyncio.Event(), Broker(gateway, **said)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    device = polling.Polling(broker.poll, gateway.record, 0.1, SystemRandom().random, broker.gathering.counts)
    polling.silence(asyncio.get_running_loop(), device.counts)
    await device.run(stop, polls)
    await broker.close()
    return ", ".join(f"{number} {what}" for what, number in device.counts.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polls", type=int, help="end after so many, and send everything")
    polls = parser.parse_args().polls
    with Gateway.open("site.toml") as gateway:
        print(asyncio.run(feed(gateway, tomllib.loads(Path("broker.toml").read_text()), polls)))
        if polls:
            print(f"{gateway.drain(timeout_s=10, cut=True)} batches wait for the collector")
