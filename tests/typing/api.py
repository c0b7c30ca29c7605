"""
What a type checker says about the public names. Checked by mypy, never run.
"""

from __future__ import annotations

from typing import assert_type

import edge_sdk
from edge_sdk import Config, Event, Gateway, Lane, Mono, Request, Response, Status, Transport

assert_type(edge_sdk.__version__, str)


class Carrier:
    """
    A transport by its shape alone: nothing to inherit from.
    """

    async def send(self, request: Request) -> Response:
        assert_type(request.lane, Lane)
        return Response(503, {}, b"")

    async def close(self) -> None:
        pass


async def use(config: Config) -> None:
    carrier: Transport = Carrier()
    async with Gateway.open(config, transport=carrier, strict=True) as gateway:
        assert_type(gateway, Gateway)
        assert_type(gateway.record("inverter", {"serial": "1", "ac_power": 231.5}), int)
        assert_type(gateway.record("inverter", {"serial": "1"}, at=Mono(1)), int)
        assert_type(gateway.allowed("inverter", "ac_power"), bool)
        assert_type(gateway.drain(1.0, cut=True), int)
        assert_type(gateway.status(), Status)
        await gateway.run()
    said: str = Event.ACKED
    assert said
