"""
What to ask the collector next, and what its answers mean.

Signs each request with the tag of the epoch at the moment it is made, asks for a fresh downlink before anything is
sent, sends one batch at a time, and waits longer after each failure, a random part of it (full jitter), so that
devices that come back together do not arrive together. No status code forgets a batch: only what is signed counts.
Sends nothing itself; :func:`drive` hands requests to a transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeVar

from edge_sdk.clock import Clock, Now
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.keys import RoutingSecret, authorization, epoch_of, route
from edge_sdk.core.receipt import Kind, Outcome, judge
from edge_sdk.core.retry import delay_s, retry_after_s
from edge_sdk.errors import EdgeError, StorageError, UplinkError
from edge_sdk.events import Event, tell
from edge_sdk.queueing import Parcel
from edge_sdk.transport import Request, Response, Transport

IDLE_MS = 1_000  # looks for something to send once a second, at most
PATIENCE = 3  # batches answered badly in a row before the collector as a whole is given time
_WHOLE_COLLECTOR: Final = (401, 408, 425, 429)  # these say nothing about one batch
_BREAK_OFF_S: Final = 1.0  # for a transport to let go of a request that nobody waits for any more
_CONTENT: Final = {"Content-Type": "application/cose"}

T = TypeVar("T")


class Errand(Enum):
    """
    What a request is for.
    """

    DOWNLINK = "downlink"
    RECIPIENTS = "recipients"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Trip:
    """
    One request under way; ``parcel`` is the batch it carries.
    """

    errand: Errand
    request: Request
    epoch: int
    parcel: Parcel | None = None


class Desk(Protocol):
    """
    What the uplink asks of the line; every call is made on the writer's thread.
    """

    consent: ConsentState

    def next_parcel(self, now: Now) -> Parcel | None:
        """
        Return the next batch that may be sent.
        """

    def settle(self, parcel: Parcel, outcome: Outcome, now: Now, draw: float) -> None:
        """
        Do what the answer to a batch means.
        """


class Uplink:
    """
    The correspondence of one site with its collector.

    Args:
        desk: the line, for batches and documents.
        routing: gives the tags.
        clock: lifted when a newer signed time is accepted.
        chance: draws from [0, 1) for jitter.
        first_ms: the longest wait before the first request after a start.
    """

    def __init__(
        self, desk: Desk, *, routing: RoutingSecret, clock: Clock, chance: Callable[[], float], first_ms: int
    ) -> None:
        self._desk = desk
        self._routing = routing
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._bad_answers = 0
        self._not_before_ms = clock.now().mono_ms + int(chance() * first_ms)
        self.last_acked_ms: int | None = None
        self.last_error = ""

    def hurry_once(self) -> None:
        """
        Skip the wait after a start: someone is waiting. The wait after a failure is kept.
        """
        if not self._failures:
            self._not_before_ms = 0

    def next_trip(self, now: Now) -> Trip | int:
        """
        Return the next request, or for how many milliseconds there is none.
        """
        if now.mono_ms < self._not_before_ms:
            return min(IDLE_MS, self._not_before_ms - now.mono_ms)
        try:
            return self._next_trip(now)
        except StorageError as error:
            self._tell_trouble(error)
            return IDLE_MS

    def settle(self, trip: Trip, response: Response | None, now: Now) -> None:
        """
        Do what the answer, or its absence, means.
        """
        try:
            self._settle(trip, response, now)
        except StorageError as error:  # what was answered comes again with the next try
            self._tell_trouble(error)
            self._fail(now, None, str(error))

    def _next_trip(self, now: Now) -> Trip | int:
        consent = self._desk.consent
        if consent.wants_downlink(now):
            return self._trip(Errand.DOWNLINK, "GET", "/v1/downlink", now)
        if consent.wants_recipients(now):
            return self._trip(Errand.RECIPIENTS, "GET", "/v1/recipients", now)
        parcel = self._desk.next_parcel(now)
        if parcel is None:
            return IDLE_MS
        return self._trip(Errand.BATCH, "POST", "/v1/batches", now, parcel)

    def _settle(self, trip: Trip, response: Response | None, now: Now) -> None:
        if response is None or response.status >= 500 or response.status in _WHOLE_COLLECTOR:
            why = f"the collector answered {response.status}" if response else "the collector could not be reached"
            self._fail(now, response, why)
            tell(Event.UNREACHED, status=response.status if response else 0)
            if trip.parcel is not None:  # it may be this batch that fells the collector: the next try takes another
                self._desk.settle(trip.parcel, Outcome(Kind.LATER, None, why), now, self._chance())
        elif trip.parcel is not None:
            self._settle_batch(trip.parcel, response, now)
        else:
            self._settle_document(trip, response, now)

    def _trip(self, errand: Errand, method: str, path: str, now: Now, parcel: Parcel | None = None) -> Trip:
        body = b"" if parcel is None else parcel.body
        epoch = epoch_of(now.wall_s)
        headers = {"Authorization": authorization(route(self._routing, epoch), method, path, body)}
        if body:
            headers |= _CONTENT
        request = Request(method, path, headers, body, parcel.lane) if parcel else Request(method, path, headers)
        return Trip(errand, request, epoch, parcel)

    def _settle_batch(self, parcel: Parcel, response: Response, now: Now) -> None:
        outcome = judge(
            response.status,
            response.body,
            root=self._desk.consent.root,
            batch_id=parcel.held.batch_id,
            body_sha256=hashlib.sha256(parcel.body).digest(),
        )
        self._desk.settle(parcel, outcome, now, self._chance())
        if outcome.kind is Kind.LATER:
            self._bad_answers += 1
            self.last_error = outcome.why
            tell(Event.LATER, status=response.status)
            if self._bad_answers >= PATIENCE:
                self._fail(now, response, outcome.why)
            return
        self._failures = self._bad_answers = 0
        if outcome.downlink_hash is not None:
            self._desk.consent.waiting_hash = outcome.downlink_hash
        if outcome.kind is Kind.ACKED:
            self.last_acked_ms = now.wall_ms
            self.last_error = ""
            tell(Event.ACKED, bytes=len(parcel.body))
        else:
            tell(Event.REFUSED, status=response.status)

    def _settle_document(self, trip: Trip, response: Response, now: Now) -> None:
        consent = self._desk.consent
        try:
            if response.status != 200:
                raise UplinkError(f"the collector answered {response.status} to a request for the {trip.errand.value}")
            if trip.errand is Errand.DOWNLINK:
                self._clock.raise_floor(consent.accept_downlink(response.body, now, epochs=(trip.epoch,)))
            else:
                consent.accept_recipients(response.body, now)
        except EdgeError as error:
            tell(Event.DOCUMENT_REFUSED, status=response.status)
            self._fail(now, response, str(error))
            return
        self._failures = 0
        self.last_error = ""

    def _tell_trouble(self, error: StorageError) -> None:
        self.last_error = str(error)
        tell(Event.STORAGE_ERROR)

    def _fail(self, now: Now, response: Response | None, why: str) -> None:
        self._failures += 1
        self.last_error = why
        wait_s = delay_s(self._failures - 1, self._chance())
        if response is not None:
            wait_s = max(wait_s, retry_after_s(response.headers.get("retry-after", ""), now.wall_s) or 0)
        self._not_before_ms = now.mono_ms + int(wait_s * 1000)


class OnWriter(Protocol):
    """
    Runs a function of now on the writer's thread.
    """

    def __call__(self, job: Callable[[Now], T], /) -> Awaitable[T]:
        """
        Return what *job* returned.
        """


async def drive(
    uplink: Uplink,
    transport: Transport,
    *,
    on_writer: OnWriter,
    stopped: asyncio.Event,
) -> None:
    """
    Run requests one at a time until *stopped*.

    Args:
        on_writer: runs a function of now on the writer's thread and returns its result.

    Connections are closed at each change of epoch, so that none carries two tags.
    """
    epoch: int | None = None
    while not stopped.is_set():
        trip = await on_writer(uplink.next_trip)
        if not isinstance(trip, Trip):
            await _pause(trip, stopped)
            continue
        if epoch is not None and trip.epoch != epoch:
            await transport.close()
        epoch = trip.epoch
        response = await _send(transport, trip.request, stopped)
        if response is not None or not stopped.is_set():
            await on_writer(_settler(uplink, trip, response))
    await transport.close()


async def _send(transport: Transport, request: Request, stopped: asyncio.Event) -> Response | None:
    """
    Return the answer to *request*, None where there was none before *stopped*: a slow collector holds up no stop.
    """
    sending, stopping = asyncio.ensure_future(transport.send(request)), asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return sending.result() if sending.done() else None
    except (UplinkError, OSError):
        return None
    finally:
        sending.cancel()
        stopping.cancel()
        await asyncio.wait({sending, stopping}, timeout=_BREAK_OFF_S)


def _settler(uplink: Uplink, trip: Trip, response: Response | None) -> Callable[[Now], None]:
    return lambda now: uplink.settle(trip, response, now)


async def _pause(wait_ms: int, stopped: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopped.wait(), wait_ms / 1000)
