"""
What to ask the collector next, and what its answers mean.

Signs each request with the tag of the epoch at the moment it is made, asks for a fresh downlink before anything is
sent, sends one batch at a time, and waits longer after each failure, a random part of it (full jitter), so that
devices that come back together do not arrive together; nor do those that were all told one time to come back, or that
all see midnight. No status code forgets a batch: only what is signed counts.
Sends nothing itself; ``courier`` hands its requests to a transport.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from edge_sdk.clock import Clock, Now
from edge_sdk.consent_state import ConsentState
from edge_sdk.core import claims
from edge_sdk.core.batch import ClockQuality
from edge_sdk.core.keys import RoutingSecret, authorization, epoch_of, route
from edge_sdk.core.messages import accept_time, encode_time_request
from edge_sdk.core.receipt import Kind, Outcome, judge
from edge_sdk.core.retry import delay_s, retry_after_s, spread_s
from edge_sdk.core.units import HOUR_MS
from edge_sdk.errors import ConsentRefused, EdgeError, StorageError, Tampered, UplinkError
from edge_sdk.events import Event, tell
from edge_sdk.incidents import Incidents
from edge_sdk.queueing import Parcel
from edge_sdk.telling import Message, Telling
from edge_sdk.transport import Lane, Request, Response

IDLE_MS = 1_000  # looks for something to send once a second, at most
PATIENCE = 3  # batches answered badly in a row before the collector as a whole is given time
_WHOLE_COLLECTOR: Final = (401, 408, 425, 429)  # these say nothing about one batch
_NO_ANSWER: Final = "the collector could not be reached"
_CONTENT: Final = {"Content-Type": "application/cose"}


class Errand(Enum):
    """
    What a request is for.
    """

    TIME = "time"
    ROOT = "root"
    CONTROL = "control"
    DOWNLINK = "downlink"
    RECIPIENTS = "recipients"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Trip:
    """
    One request under way, with the batch or message it carries, or the nonce an answer must repeat.
    """

    errand: Errand
    request: Request
    epoch: int
    parcel: Parcel | None = None
    message: Message | None = None
    nonce: bytes = b""


class Desk(Protocol):
    """
    What the uplink asks of the line; every call is made on the writer's thread.
    """

    consent: ConsentState
    telling: Telling
    incidents: Incidents

    def may_go_on(self, parcel: Parcel, now: Now) -> bool:
        """
        Tell whether a batch under way may still be sent.
        """

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
        draw: returns random bytes, for nonces.
        first_ms: the longest wait before the first request after a start; also over how long those spread at least
            who are told when to come back.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        routing: RoutingSecret,
        clock: Clock,
        chance: Callable[[], float],
        draw: Callable[[int], bytes],
        first_ms: int,
    ) -> None:
        self._desk = desk
        self._routing = routing
        self._clock = clock
        self._chance = chance
        self._first_ms = first_ms
        self._failures = 0
        self._bad_answers = 0
        self._not_before_ms = clock.now().mono_ms + int(chance() * first_ms)
        self._draw = draw
        self._asks_time = self._asks_root = self._batch_first = False
        self._others_first = False
        self._root_asked = self._root_epoch = -1
        self._root_due_ms = 0
        self.last_acked_ms: int | None = None
        self.last_error = ""
        self._no_answer = _NO_ANSWER

    def hurry_once(self, *, although_failed: bool = False) -> None:
        """
        Skip the wait after a start: someone is waiting. The wait after a failure is kept, unless *although_failed*: an
        operator who stands at this one device asks for a try now.
        """
        if although_failed or not self._failures:
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

    def may_go_on(self, trip: Trip, now: Now) -> bool:
        """
        Tell whether a request under way may still be finished.
        """
        return trip.parcel is None or self._desk.may_go_on(trip.parcel, now)

    def settle(
        self, trip: Trip, response: Response | None, now: Now, *, why: str = "", is_wrong_host: bool = False
    ) -> None:
        """
        Do what the answer, or its absence, means; *why* there is none, where that is known.
        """
        self._no_answer = why or _NO_ANSWER
        if is_wrong_host:
            self._desk.incidents.other_host(now)
        if response is not None:
            self._desk.incidents.answered(response.status, response.headers, now)
        try:
            self._settle(trip, response, now)
        except StorageError as error:  # what was answered comes again with the next try
            self._tell_trouble(error)
            self._fail(now, None, str(error))

    def _next_trip(self, now: Now) -> Trip | int:
        if self._asks_time or now.quality is ClockQuality.FLOOR:
            return self._time_trip(now)
        self._asks_root = self._asks_root or self._desk.incidents.wants_root()
        self._desk.telling.seal_waiting(now)
        message = self._desk.telling.next_message()
        if message is None:
            return self._other_trip(now)
        if self._others_first and isinstance(other := self._other_trip(now), Trip):
            return other
        return self._trip(Errand.CONTROL, "POST", "/v1/control", now, body=message.body, message=message)

    def _other_trip(self, now: Now) -> Trip | int:
        """
        Return the next request that tells the authority nothing.
        """
        consent = self._desk.consent
        if self._batch_first and (parcel := self._desk.next_parcel(now)) is not None:
            return self._trip(Errand.BATCH, "POST", "/v1/batches", now, body=parcel.body, parcel=parcel)
        if self._asks_root:
            return self._root_trip(now)
        if consent.wants_downlink(now):
            return self._trip(Errand.DOWNLINK, "GET", "/v1/downlink", now)
        if consent.wants_recipients(now):
            return self._trip(Errand.RECIPIENTS, "GET", "/v1/recipients", now)
        parcel = self._desk.next_parcel(now)
        if parcel is None:
            return self._root_trip(now) if self._is_root_due(now) else IDLE_MS
        return self._trip(Errand.BATCH, "POST", "/v1/batches", now, body=parcel.body, parcel=parcel)

    def _settle(self, trip: Trip, response: Response | None, now: Now) -> None:
        # A message that is not receipted lets others pass: root or time may be missing, then a batch has waited.
        if trip.errand not in (Errand.TIME, Errand.ROOT):
            self._others_first = trip.message is not None
        if trip.errand is Errand.TIME:
            self._settle_time(trip, response, now)
        elif response is None or response.status >= 500 or response.status in _WHOLE_COLLECTOR:
            self._settle_unreached(trip, response, now)
        elif trip.parcel is not None:
            self._batch_first = False
            self._settle_batch(trip.parcel, response, now)
        elif trip.message is not None:
            self._settle_message(trip.message, response, now)
        elif trip.errand is Errand.ROOT:
            self._settle_root(trip, response, now)
        else:
            self._settle_document(trip, response, now)

    def _settle_unreached(self, trip: Trip, response: Response | None, now: Now) -> None:
        why = f"the collector answered {response.status}" if response else self._no_answer
        self._fail(now, response, why)
        tell(Event.UNREACHED, status=response.status if response else 0)
        if response is not None and response.status == 401:
            self._asks_time = True  # a tag of another day is not known: perhaps it is this clock that is wrong
        if trip.parcel is not None:  # it may be this batch that fells the collector: the next try takes another
            self._desk.settle(trip.parcel, Outcome(Kind.LATER, None, why), now, self._chance())

    def _trip(
        self,
        errand: Errand,
        method: str,
        path: str,
        now: Now,
        *,
        body: bytes = b"",
        parcel: Parcel | None = None,
        message: Message | None = None,
    ) -> Trip:
        epoch = epoch_of(now.wall_s)
        headers = {"Authorization": authorization(route(self._routing, epoch), method, path, body)}
        if body:
            headers |= _CONTENT
        lane = parcel.lane if parcel is not None else Lane.NORMAL
        return Trip(errand, Request(method, path, headers, body, lane), epoch, parcel, message)

    def _time_trip(self, now: Now) -> Trip:
        """
        Return a request for signed time: no tag, since a tag needs the day.
        """
        nonce = self._draw(claims.ID_BYTES)
        request = Request("POST", "/v1/time", _CONTENT, encode_time_request(nonce))
        return Trip(Errand.TIME, request, epoch_of(now.wall_s), nonce=nonce)

    def _settle_time(self, trip: Trip, response: Response | None, now: Now) -> None:
        self._asks_time = False
        try:
            if response is None or response.status != 200:
                raise UplinkError("the collector did not say what time it is" if response else self._no_answer)
            at_s = accept_time(response.body, root=self._desk.consent.root, nonce=trip.nonce)
        except EdgeError as error:
            self._refuse_document("time", error, response, now)
            self._fail(now, response, str(error))
            return
        # Failures go on being counted: a device whose tag is still not known asks ever more rarely.
        self._clock.hear(at_s * 1000)

    def _settle_message(self, message: Message, response: Response, now: Now) -> None:
        body_sha256 = hashlib.sha256(message.body).digest()
        root, message_id = self._desk.consent.root, message.message_id
        outcome = judge(response.status, response.body, root=root, batch_id=message_id, body_sha256=body_sha256)
        if outcome.kind is Kind.LATER:
            self._asks_root = response.status == 200  # a receipt by keys this root does not know, or a portal
            self._fail(now, response, outcome.why)
            return
        self._desk.telling.done(message)
        self._others_first = False
        self._failures = 0

    def _settle_root(self, trip: Trip, response: Response, now: Now) -> None:
        """
        Take the next root, one step at a time; that there is none is an answer as well.
        """
        self._asks_root, self._root_asked = False, trip.epoch
        if response.status == 404:
            self._desk.incidents.confirm(now)
            return
        try:
            if response.status != 200:
                raise UplinkError(f"the collector answered {response.status} to a request for the next root")
            self._desk.consent.accept_root(response.body)
            self._asks_root = True  # there may be another one behind it
            self._desk.incidents.clear()
        except EdgeError as error:
            self._refuse_document("root", error, response, now)
            self._fail(now, response, str(error))

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
                self._asks_root = response.status == 200  # a receipt by keys this root does not know, or a portal
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
            self._refuse_document(str(trip.errand.value), error, response, now)
            self._asks_root = isinstance(error, Tampered | ConsentRefused)  # perhaps signed by keys of a newer root
            self._fail(now, response, str(error))
            return
        self._failures = 0
        self.last_error = ""

    def _is_root_due(self, now: Now) -> bool:
        """
        Tell whether to ask for the next root of one's own accord: after a start, and in the first hour of each day, at
        a moment that is drawn anew each day. All devices see midnight in the same second.
        """
        epoch = epoch_of(now.wall_s)
        if self._root_asked in (-1, epoch):
            return self._root_asked == -1
        if self._root_epoch != epoch:
            self._root_epoch, self._root_due_ms = epoch, now.mono_ms + int(self._chance() * HOUR_MS)
        return now.mono_ms >= self._root_due_ms

    def _root_trip(self, now: Now) -> Trip:
        """
        Return a request for the next root: when a document was refused, and once a day when there is nothing else.
        """
        return self._trip(Errand.ROOT, "GET", f"/v1/root/{self._desk.consent.root.version + 1}", now)

    def _refuse_document(self, what: str, error: EdgeError, response: Response | None, now: Now) -> None:
        self._batch_first = True  # a document that is refused time and again holds up nothing that may be sent
        if response is not None:
            self._desk.incidents.judge(what, error, now, response.body)
        self._desk.consent.count("documents_refused", 1)
        tell(Event.DOCUMENT_REFUSED, status=response.status if response else 0)

    def _tell_trouble(self, error: StorageError) -> None:
        self.last_error = str(error)
        tell(Event.STORAGE_ERROR)

    def _fail(self, now: Now, response: Response | None, why: str) -> None:
        self._failures += 1
        self.last_error = why
        wait_s = delay_s(self._failures - 1, self._chance())
        wish_s = None if response is None else retry_after_s(response.headers.get("retry-after", ""), now.wall_s)
        if wish_s:
            wait_s = max(wait_s, spread_s(wish_s, self._first_ms / 1000, self._chance()))
        self._not_before_ms = now.mono_ms + int(wait_s * 1000)
