"""
Ten thousand devices and one collector, in simulated time: when their requests arrive.

Each device is the uplink as it ships (:class:`edge_sdk.uplink.Uplink`: first wait, back-off, Retry-After, what it asks
next, receipts verified), with its own routing secret and its own chance, over a desk that holds batches in memory
instead of on a disk. The desk's waits after a bad answer are those of ``edge_sdk.core.retry``;
``test_herd.py::test_a_device_of_the_herd_asks_when_a_whole_device_asks`` holds them against a whole device.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final

from edge_sdk.clock import Now
from edge_sdk.core.consent import SendGrant
from edge_sdk.core.keys import RoleSeed, RoutingSecret, epoch_of, route
from edge_sdk.core.receipt import STORED, Kind, Outcome, Receipt, sign_receipt
from edge_sdk.core.retry import delay_s
from edge_sdk.queueing import Parcel
from edge_sdk.transport import Lane, Response
from edge_sdk.uplink import Errand, Trip, Uplink

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
NEVER_MS: Final = 1 << 62
ROUND_TRIP_MS: Final = 80


@dataclass
class Batches:
    """
    What of a line an uplink asks for: batches in memory, one more at each hour of the device's own phase.
    """

    waiting: deque[SimpleNamespace]
    heard_ms: int | None = None
    tries: Counter[bytes] = field(default_factory=Counter)
    due_ms: dict[bytes, int] = field(default_factory=dict)
    root: Any = None
    waiting_hash: bytes | None = None

    def __post_init__(self) -> None:
        self.consent = self.telling = self.incidents = self

    # consent
    def wants_downlink(self, now: Now) -> bool:
        return self.heard_ms is None or now.mono_ms - self.heard_ms >= DAY_MS

    def accept_downlink(self, body: bytes, now: Now, *, epochs: tuple[int, ...]) -> int:
        self.heard_ms = now.mono_ms
        return 0

    def wants_recipients(self, now: Now) -> bool:
        return False

    def count(self, name: str, by: int) -> None:
        raise AssertionError(f"{name}: the collector of the herd sends no bad documents")

    # telling
    def seal_waiting(self, now: Now) -> None:
        pass

    def next_message(self) -> None:
        return None

    # incidents
    def wants_root(self) -> bool:
        return False

    def answered(self, status: int, headers: Any, now: Now) -> None:
        pass

    def confirm(self, now: Now) -> None:
        pass

    # the queue: untried first, then the oldest, as edge_sdk.queueing
    def may_go_on(self, parcel: Parcel, now: Now) -> bool:
        return True

    def next_parcel(self, now: Now) -> Parcel | None:
        ready = [held for held in self.waiting if self.due_ms.get(held.batch_id, 0) <= now.mono_ms]
        if not ready:
            return None
        held = min(ready, key=lambda held: self.tries[held.batch_id] > 0)
        return Parcel(held, held.body, _NO_GRANT, Lane.NORMAL)

    def settle(self, parcel: Parcel, outcome: Outcome, now: Now, draw: float) -> None:
        held: Any = parcel.held
        if outcome.kind is Kind.ACKED:
            self.waiting.remove(held)
            return
        self.tries[held.batch_id] += 1
        self.due_ms[held.batch_id] = now.mono_ms + int(1000 * delay_s(self.tries[held.batch_id] - 1, draw))


_NO_GRANT: Any = SendGrant.__new__(SendGrant)  # nothing here asks what it permits


class Collector:
    """
    What answers, and when each request arrived; ``fault`` answers in its place while it returns something.
    """

    def __init__(self, seed: RoleSeed, fault: Callable[[int], Response | int | None]) -> None:
        self._seed = seed
        self._fault = fault
        self._receipts: dict[bytes, bytes] = {}
        self.arrivals: list[tuple[int, str]] = []
        self._firsts: dict[bytes, int] = {}

    def answer(self, trip: Trip, at_ms: int) -> Response | None:
        """
        Return the answer to *trip* at *at_ms*, None where there is none.
        """
        self.arrivals.append((at_ms, trip.request.path))
        self._firsts.setdefault(bytes(trip.request.headers["Authorization"][:27], "ascii"), at_ms)
        fault = self._fault(at_ms)
        if fault is not None:
            return fault if isinstance(fault, Response) else None
        if trip.errand is Errand.ROOT:
            return Response(404, {}, b"")
        if trip.parcel is None:
            return Response(200, {}, b"")
        return Response(200, {}, self._receipt(trip.parcel.held))

    def _receipt(self, held: Any) -> bytes:
        if held.batch_id not in self._receipts:  # devices share batch bytes, so that signing costs nothing
            receipt = Receipt(held.batch_id, held.sha256, 1_790_000_000, None, STORED)
            self._receipts[held.batch_id] = sign_receipt(receipt, self._seed)
        return self._receipts[held.batch_id]

    def first_a_second(self) -> list[int]:
        """
        Return how many devices were heard of first in each second in which there were any, told apart by their tags.
        """
        return list(Counter(at_ms // 1000 for at_ms in self._firsts.values()).values())

    def a_second(self, first_ms: int, last_ms: int) -> Counter[int]:
        """
        Return how many requests arrived in each second of a span.
        """
        return Counter(at_ms // 1000 for at_ms, _ in self.arrivals if first_ms <= at_ms < last_ms)


@dataclass
class Member:
    """
    One device of the herd.
    """

    uplink: Uplink
    desk: Batches
    phase_ms: int
    next_batch_ms: int = NEVER_MS


class Herd:
    """
    Devices whose power comes back at *start_ms*, and the hours that follow.

    Args:
        parcels: gives batches by number, the same for every device.
        backlog: how many wait at the start.
        first_ms: ``jitter`` of site.toml.
    """

    def __init__(
        self, count: int, collector: Collector, *, parcels: Callable[[int], SimpleNamespace], start: Now, root: Any,
        backlog: int = 1, first_ms: int = 30_000, seed: int = 7,
    ) -> None:  # fmt: skip
        self._collector = collector
        self._parcels = parcels
        self.now = start
        self._queue: list[tuple[int, int]] = []
        self.members: list[Member] = []
        draws = random.Random(seed)
        for number in range(count):
            own = random.Random(draws.random())
            routing = RoutingSecret(own.randbytes(32))
            desk = Batches(deque(parcels(at) for at in range(backlog)), root=root)
            clock: Any = SimpleNamespace(now=lambda: start, raise_floor=lambda _: None)
            uplink = Uplink(
                desk, routing=routing, clock=clock, chance=own.random, draw=own.randbytes, first_ms=first_ms
            )
            phase_ms = route(routing, epoch_of(start.wall_s)).phase % HOUR_MS
            self.members.append(Member(uplink, desk, phase_ms, _next_slot(start.wall_ms, phase_ms) - start.wall_ms))
            heapq.heappush(self._queue, (0, number))
        self._batch = backlog

    def run(self, until_ms: int) -> None:
        """
        Let time pass up to *until_ms* after the start.
        """
        start = self.now
        while self._queue and self._queue[0][0] < until_ms:
            at_ms, number = heapq.heappop(self._queue)
            member = self.members[number]
            now = replace(start, mono_ms=start.mono_ms + at_ms, wall_ms=start.wall_ms + at_ms, floor_ms=at_ms)
            heapq.heappush(self._queue, (self._look(member, now, at_ms), number))

    def _look(self, member: Member, now: Now, at_ms: int) -> int:
        """
        Have a device do what it has to do; return when it looks again.
        """
        if at_ms >= member.next_batch_ms:
            member.desk.waiting.append(self._parcels(self._batch + at_ms // HOUR_MS))
            member.next_batch_ms += HOUR_MS
        trip = member.uplink.next_trip(now)
        if isinstance(trip, Trip):
            arrived_ms = at_ms + ROUND_TRIP_MS // 2
            answer = self._collector.answer(trip, arrived_ms)
            back = replace(now, mono_ms=now.mono_ms + ROUND_TRIP_MS, wall_ms=now.wall_ms + ROUND_TRIP_MS)
            member.uplink.settle(trip, answer, back)
            return at_ms + ROUND_TRIP_MS
        return at_ms + max(trip, self._quiet_ms(member, now, at_ms))

    def _quiet_ms(self, member: Member, now: Now, at_ms: int) -> int:
        """
        Return for how long a look would find what this one found: the uplink is asked once a second otherwise.
        """
        uplink, desk = member.uplink, member.desk
        events = [
            uplink._not_before_ms - now.mono_ms,
            member.next_batch_ms - at_ms,
            DAY_MS - now.wall_ms % DAY_MS,
            *(desk.due_ms.get(held.batch_id, 0) - now.mono_ms for held in desk.waiting),
        ]
        if desk.heard_ms is not None:
            events.append(desk.heard_ms + DAY_MS - now.mono_ms)
        events.append(uplink._root_due_ms - now.mono_ms)
        return min((event for event in events if event > 0), default=1000)


def _next_slot(wall_ms: int, phase_ms: int) -> int:
    return ((wall_ms - phase_ms) // HOUR_MS + 1) * HOUR_MS + phase_ms


def numbered(bodies: int = 64) -> Callable[[int], SimpleNamespace]:
    """
    Return what gives batches by number: an id, a body and its hash.
    """
    made = []
    for number in range(bodies):
        body = b"sealed" + number.to_bytes(2, "big")
        digest = hashlib.sha256(body).digest()
        made.append(SimpleNamespace(batch_id=digest[:16], body=body, sha256=digest))
    return lambda number: made[number % bodies]
