"""
Carries the uplink's requests over a transport, one at a time, in an event loop.

Knows no protocol: what to ask and what an answer means is the uplink's, which runs on the writer's thread. Connections
are closed at each change of epoch, so that none carries two tags.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from edge_sdk.carrying import carry, let_go
from edge_sdk.clock import Now
from edge_sdk.errors import TransportFault, UplinkError, WrongHost
from edge_sdk.transport import Response, Transport
from edge_sdk.uplink import IDLE_MS, Trip, Uplink

_ASK_AGAIN_S: Final = 0.25  # how often a batch under way is asked about
_BREAK_OFF_S: Final = 1.0  # for a transport to let go of a request that nobody waits for any more

T = TypeVar("T")


class OnWriter(Protocol):
    """
    Runs a function of now on the writer's thread.
    """

    def __call__(self, job: Callable[[Now], T], /) -> Awaitable[T]:
        """
        Return what *job* returned.
        """


class Watch(Protocol):
    """
    Runs a function of now after every step of the writer, until it returns something.
    """

    def __call__(self, job: Callable[[Now], T | None], /) -> Awaitable[T]:
        """
        Return what *job* returned.
        """


async def drive(
    uplink: Uplink, transport: Transport, *, on_writer: OnWriter, watch: Watch, stopped: asyncio.Event
) -> None:
    """
    Run requests one at a time until *stopped*.

    Args:
        on_writer: runs a function of now on the writer's thread and returns its result.
        watch: does so after every step, until there is something to do.

    Connections are closed at each change of epoch, so that none carries two tags.
    """
    stopping = asyncio.ensure_future(stopped.wait())  # one for all requests: a task for each cost a tenth of it
    try:
        await _correspond(uplink, transport, on_writer=on_writer, watch=watch, stopped=stopped, stopping=stopping)
    finally:
        stopping.cancel()
        await asyncio.wait({stopping})
    await let_go(transport)


async def _correspond(
    uplink: Uplink,
    transport: Transport,
    *,
    on_writer: OnWriter,
    watch: Watch,
    stopped: asyncio.Event,
    stopping: asyncio.Future[Any],
) -> None:
    epoch: int | None = None
    trip: Trip | int | None = None
    while not stopped.is_set():
        if trip is None:
            trip = await on_writer(uplink.next_trip)
        if not isinstance(trip, Trip):
            if trip < IDLE_MS:
                await asyncio.wait({stopping}, timeout=trip / 1000)
                trip = None
                continue
            trip = await _found(watch, uplink, stopping)
            if trip is None:
                continue
        if epoch is not None and trip.epoch != epoch:
            await let_go(transport)
        epoch = trip.epoch
        answer = await _send(transport, trip, stopping, _asker(on_writer, uplink, trip))
        if answer is not None or not stopped.is_set():
            trip = await on_writer(_settler(uplink, trip, answer))


async def _send(
    transport: Transport, trip: Trip, stopping: asyncio.Future[Any], may_go_on: Callable[[], Awaitable[bool]]
) -> Response | TransportFault | WrongHost | None:
    """
    Return the answer to *trip*, None where there was none before the stop: a slow collector holds up no stop.
    A mistake of the transport is returned as well, so that it is told; so is that another host answered.

    While a batch is under way its permission is asked for again and again; a withdrawal breaks it off, connection and
    all. What has left the socket by then may arrive.
    """
    sending = asyncio.ensure_future(carry(transport, trip.request))
    try:
        while not sending.done() and not stopping.done():
            await asyncio.wait({sending, stopping}, timeout=_ASK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and trip.parcel is not None and not await may_go_on():
                return None
        return sending.result() if sending.done() else None
    except (TransportFault, WrongHost) as fault:
        return fault
    except (UplinkError, OSError):
        return None
    finally:
        if not sending.done():
            sending.cancel()
            await let_go(transport)
            await asyncio.wait({sending}, timeout=_BREAK_OFF_S)


def _asker(on_writer: OnWriter, uplink: Uplink, trip: Trip) -> Callable[[], Awaitable[bool]]:
    return lambda: on_writer(lambda now: uplink.may_go_on(trip, now))


def _settler(
    uplink: Uplink, trip: Trip, answer: Response | TransportFault | WrongHost | None
) -> Callable[[Now], Trip | int]:
    """
    Return the job that settles *trip* and asks for the next one: one turn of the writer for both.
    """

    def settle(now: Now) -> Trip | int:
        if isinstance(answer, TransportFault | WrongHost):
            uplink.settle(trip, None, now, why=str(answer), is_wrong_host=isinstance(answer, WrongHost))
        else:
            uplink.settle(trip, answer, now)
        return uplink.next_trip(now)

    return settle


async def _found(watch: Watch, uplink: Uplink, stopping: asyncio.Future[Any]) -> Trip | None:
    """
    Return the next request as soon as there is one, None when the stop came before.
    """

    def look(now: Now) -> Trip | None:
        trip = uplink.next_trip(now)
        return trip if isinstance(trip, Trip) else None

    looking = asyncio.ensure_future(watch(look))
    try:
        await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return looking.result() if looking.done() else None
    finally:
        looking.cancel()
        await asyncio.wait({looking})
