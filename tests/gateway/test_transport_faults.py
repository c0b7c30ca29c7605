"""
A transport that somebody else wrote and that is wrong: it shows, and readings go out as soon as it is mended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from edge_sdk import Gateway
from edge_sdk.lanes import deliver
from edge_sdk.transport import Request, Response
from tests import site as sites
from tests.site import CANARY, LocalSite, Reached, reading

WAIT_S = 20


class Wrong:
    """A transport that does *misdeed* until it is mended."""

    def __init__(self, reached: Reached, misdeed: Callable[[], Any]) -> None:
        self.reached = reached
        self.misdeed: Callable[[], Any] | None = misdeed
        self.asked = 0

    async def send(self, request: Request) -> Any:
        self.asked += 1
        if self.misdeed is not None:
            return self.misdeed()
        return self.reached.answer(request)

    async def close(self) -> None:
        if self.misdeed is not None:
            raise KeyError(CANARY)


def raising(error: BaseException) -> Callable[[], Any]:
    def misdeed() -> Any:
        raise error

    return misdeed


def answered(status: Any, body: Any) -> Response:
    """Return a response as a transport without types may make it."""
    return Response(status, {}, body)


MISDEEDS: dict[str, tuple[Callable[[], Any], str]] = {
    "an exception of its own": (raising(KeyError(CANARY)), "raised KeyError in line"),
    "an assertion": (raising(AssertionError(CANARY)), "raised AssertionError in line"),
    "nothing": (lambda: None, "returned NoneType"),
    "a tuple": (lambda: (200, b""), "returned tuple"),
    "a response without a number": (lambda: answered("200", b""), "returned Response"),
    "a response with text": (lambda: answered(200, CANARY), "returned Response"),
}


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize("name", MISDEEDS)
def test_a_mistake_in_a_transport_is_in_the_status_and_sending_goes_on(
    site: LocalSite, name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    misdeed, told = MISDEEDS[name]
    monkeypatch.setattr("edge_sdk.opening.chance", lambda: 0.0)
    with sites.reached(site.collector) as reached, caplog.at_level(logging.ERROR, "edge_sdk"):
        transport = Wrong(reached, misdeed)
        with Gateway.open(site.toml, transport=transport) as gateway:
            gateway.record("inverter", reading(1))
            until(lambda: told in gateway.status().last_error)
            assert CANARY not in gateway.status().last_error
            transport.misdeed = None
            gateway._running.site.uplink._not_before_ms = 0
            assert gateway.drain(WAIT_S) == 0
            assert gateway.status().last_error == ""
    assert "transport_fault" in caplog.text
    assert CANARY not in caplog.text


def test_a_mistake_in_a_transport_is_followed_by_a_pause(site: LocalSite) -> None:
    with sites.reached(site.collector) as reached:
        transport = Wrong(reached, raising(KeyError("x")))
        with Gateway.open(site.toml, transport=transport) as gateway:
            until(lambda: transport.asked > 0)
            time.sleep(1.0)
            assert gateway._running.site.uplink._failures == transport.asked
            assert transport.asked < 100


def test_a_mistake_in_a_transport_does_not_end_the_delivery_of_a_receipt(site: LocalSite) -> None:
    Gateway.open(site.toml).wipe()

    async def within(transport: Wrong) -> None:
        stopped = asyncio.Event()
        delivering = asyncio.create_task(
            deliver(
                site.state, transport_to=lambda _: transport, chance=lambda: 0.0, draw=os.urandom, stopped=stopped
            )
        )
        while transport.asked < 3:
            await asyncio.sleep(0.01)
        transport.misdeed = None
        await asyncio.wait_for(delivering, WAIT_S)

    with sites.reached(site.collector) as reached:
        asyncio.run(within(Wrong(reached, raising(KeyError("x")))))
    assert [path.name for path in site.state.iterdir()] == ["lock"]
