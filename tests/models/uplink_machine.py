"""
The uplink of a site beside a list of what it still owes, under any answers a collector or the way to it can give.

The device is real, with its files; so is the collector, in this process and in scripted time. Between them every class
of answer: honest ones, honest ones that never arrive, none, each status that says something with each ``Retry-After``,
receipts that were changed, that are of another batch or signed by nobody's key, and signed refusals. The list has its
own short rules: only a receipt for a batch, or a signed refusal of it, takes it away; where an answer asks for time,
nothing is asked before it has passed; a batch goes only when a downlink was heard since the start, byte for byte as it
was sealed, and never for a purpose that was withdrawn. What was receipted since the last step may be owed again after a
kill, and nothing that was receipted earlier. Who is told when to come back comes a drawn part of the spread later. At
the end the collector is honest, time passes, and everything recorded has arrived once, by value: the rows of each batch
that was handed to the collector, whatever the device was told of it, and of no other.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_sdk.collector import folder as collecting
from edge_sdk.collector import intake
from edge_sdk.core.receipt import UNPROCESSABLE, Receipt, sign_receipt
from edge_sdk.core.retry import CEILING_S, RETRY_AFTER_CEILING_S
from edge_sdk.outbox import Held
from edge_sdk.sealing import unseal_body
from edge_sdk.transport import Request, Response
from edge_sdk.uplink import Errand, Trip
from tests import site as sites
from tests.gateway.device import receipt_seed, wrong_seed
from tests.models.plant import CONSENTED, IMPORTANCE, MEMORY, POLICY, kill
from tests.site import LocalSite, later

MISDEEDS: Final = ("lost", "nothing", "status", "changed", "foreign", "forged", "refused")
STATUSES: Final = (200, 204, 302, 400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503)
WHOLE_COLLECTOR: Final = (401, 408, 425, 429)
WISHES: Final[dict[str, float]] = {
    "": 0, "1": 1, "120": 120, "99999999": RETRY_AFTER_CEILING_S, "-5": 0, "soon": 0,
    "Wed, 21 Oct 2099 07:28:00 GMT": RETRY_AFTER_CEILING_S,
}  # fmt: skip
JITTER_S: Final = 300
DRAWS: Final = (0.0, 0.5, 0.99)
LONGEST_S: Final = 12 * 3600  # of a run, before all is well: documents are as fresh as that


class Collector(sites.Reached):
    """The collector, in the time that passes in the test."""

    def at(self, request: Request, now_s: int) -> Response:
        asked = intake.Request(request.method, request.path, request.headers.get("Authorization"), request.body)
        answer = self._reception.answer(asked, now_s)
        return Response(answer.status, {}, answer.body)


class UplinkBesideAList(RuleBasedStateMachine):
    """A device that is driven call by call, its collector, and the list."""

    @initialize()
    def found(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.site: LocalSite = sites.local_site(self.folder, granted=CONSENTED, policy=POLICY)
        self.both = ExitStack()
        self.collector = Collector(self.both.enter_context(sites.reached(self.site.collector))._reception)
        self.owed: dict[bytes, bytes] = {}
        self.purposes: dict[bytes, str] = {}
        self.refused: set[bytes] = set()
        self.handed_over: set[bytes] = set()
        self.drawn = 0.0
        self.receipted: dict[bytes, bytes] = {}
        self.recorded: dict[int, str] = {}
        self.numbers: dict[bytes, list[int]] = {}
        self.unsent: dict[str, list[int]] = {name: [] for name in IMPORTANCE}
        self.closed: set[str] = set()
        self.passed_s = 0
        self.start()

    def start(self) -> None:
        self.opened = ExitStack()
        self.parts = self.opened.enter_context(sites.opened(self.site))
        real = self.parts.clock
        found_ms = real.now().floor_ms
        self.now = later(self.now, max(1, found_ms - self.now.floor_ms)) if hasattr(self, "now") else real.now()
        scripted: Any = SimpleNamespace(now=lambda: self.now, hear=real.hear, raise_floor=real.raise_floor)
        self.uplink = sites.uplink_of(self.parts, clock=scripted, chance=lambda: self.drawn, first_ms=1000 * JITTER_S)
        self.has_heard = False
        self.closed_until_ms = self.open_by_ms = self.now.mono_ms + int(1000 * self.drawn * JITTER_S)
        found = {held.batch_id for held, _ in self._queue()}
        self.owed |= {batch_id: digest for batch_id, digest in self.receipted.items() if batch_id in found}
        self.step()

    def teardown(self) -> None:
        if not hasattr(self, "opened"):
            return
        try:
            self.all_arrives_in_the_end()
        finally:
            self.opened.close()
            self.both.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------------------------------- what happens

    @rule(purpose=st.sampled_from(list(IMPORTANCE)), rows=st.integers(1, 3))
    def record(self, purpose: str, rows: int) -> None:
        for _ in range(rows):
            number = len(self.recorded)
            if self.parts.line.recording.record(purpose, {"serial": "a", "value": number}, self.now.wall_ms):
                self.recorded[number] = purpose
                self.unsent[purpose].append(number)
        self.step(flush=True, close=True)

    @rule()
    def honest(self) -> None:
        self.exchange("honest", 200, "")

    @rule(
        kind=st.sampled_from(MISDEEDS),
        status=st.sampled_from(STATUSES),
        wish=st.sampled_from(list(WISHES)),
        draw=st.sampled_from(DRAWS),
    )
    def misbehave(self, kind: str, status: int, wish: str, draw: float) -> None:
        self.drawn = draw
        self.exchange(kind, status, wish)

    @rule(
        status=st.sampled_from([429, 503]),
        wish=st.sampled_from(["1", "120", "99999999"]),
        draw=st.sampled_from(DRAWS),
    )
    def ask_for_time(self, status: int, wish: str, draw: float) -> None:
        """Ask for more than the uplink would wait by itself after a first failure, and see what it does then."""
        self.drawn = draw
        self.exchange("status", status, wish)
        self.wait(130)
        self.exchange("honest", 200, "")

    @rule(seconds=st.sampled_from([1, 30, 130, 900, 3600]))
    def wait(self, seconds: int) -> None:
        if self.passed_s + seconds < LONGEST_S:
            self.passed_s += seconds
            self.now = later(self.now, 1000 * seconds)
            self.step()

    @rule(purpose=st.sampled_from(CONSENTED), is_under_way=st.booleans(), sure=st.integers(0, 3))
    def withdraw(self, purpose: str, is_under_way: bool, sure: int) -> None:
        """Withdraw, perhaps while a request is under way; its answer comes all the same."""
        if sure or purpose in self.closed:
            return
        trip = self.uplink.next_trip(self.now) if is_under_way else 0
        self.parts.line.withdraw(purpose, self.now)
        self.closed.add(purpose)
        self.receipted.clear()
        for batch_id in [one for one in self.owed if self.purposes[one] == purpose]:
            del self.owed[batch_id]
        if isinstance(trip, Trip):
            is_gone = trip.parcel is not None and trip.parcel.held.batch_id not in self.owed
            assert self.uplink.may_go_on(trip, self.now) is not is_gone
            self.settle(trip, self.ask(trip), "honest", "")

    @rule(is_clean=st.booleans(), draw=st.sampled_from(DRAWS), is_hurried=st.booleans(), sure=st.integers(0, 2))
    def start_again(self, is_clean: bool, draw: float, is_hurried: bool, sure: int) -> None:
        """Stop or be killed, and start; where somebody waits for it, the first try is not put off."""
        if sure:
            return
        self.drawn = draw
        if is_clean:
            self.parts.line.finish(self.now)
            self.receipted.clear()
            self.opened.close()
        else:
            kill(self.site, self.opened)
        self.start()
        if is_hurried:
            self.uplink.hurry_once()
            self.closed_until_ms = self.open_by_ms = self.now.mono_ms

    def step(self, *, flush: bool = False, close: bool = False) -> None:
        """Have the line do what is due; nothing that was receipted before is owed again after it."""
        self.parts.line.step(self.now, flush=flush, close=close)
        self.receipted.clear()
        self.look()

    # --------------------------------------------------------------------------------------------- what holds

    def exchange(self, kind: str, status: int, wish: str) -> None:
        """Have one request asked and answered in one of the ways."""
        trip = self.uplink.next_trip(self.now)
        if not isinstance(trip, Trip):
            assert self.now.mono_ms < self.open_by_ms or not self._may_send(), "silent, with something to send"
            return
        assert self.now.mono_ms >= self.closed_until_ms, "asked before the time that was asked for"
        if trip.parcel is not None:
            self.check_parcel(trip)
        self.settle(trip, self._response(trip, kind, status, wish), kind, wish)

    def ask(self, trip: Trip) -> Response:
        """Hand a request to the real collector, and remember which batches it took."""
        response = self.collector.at(trip.request, self.now.wall_s)
        if trip.parcel is not None and response.status == 200:
            self.handed_over.add(trip.parcel.held.batch_id)
        return response

    def check_parcel(self, trip: Trip) -> None:
        assert trip.parcel is not None
        held = trip.parcel.held
        assert self.has_heard, "a batch before a downlink was heard"
        assert self.purposes[held.batch_id] not in self.closed, "a batch of a withdrawn purpose"
        assert hashlib.sha256(trip.request.body).digest() == self.owed[held.batch_id], "other bytes than were sealed"

    def settle(self, trip: Trip, response: Response | None, kind: str, wish: str) -> None:
        self.uplink.settle(trip, response, self.now)
        is_taken = kind == "honest" and response is not None and response.status == 200
        if trip.parcel is not None and (is_taken or kind == "refused"):
            batch_id = trip.parcel.held.batch_id
            digest = self.owed.pop(batch_id, None)
            if kind == "refused":
                self.refused.add(batch_id)
            elif digest is not None:
                self.receipted[batch_id] = digest
        self.has_heard = self.has_heard or (is_taken and trip.errand is Errand.DOWNLINK)
        wait_s = WISHES[wish] if response is not None else 0
        wait_s += self.drawn * max(JITTER_S, wait_s / 4) if wait_s else 0
        if response is not None and (response.status >= 500 or response.status in WHOLE_COLLECTOR):
            self.closed_until_ms = self.now.mono_ms + int(1000 * wait_s)
        self.open_by_ms = max(self.open_by_ms, self.now.mono_ms + int(1000 * max(wait_s, CEILING_S)))

    @invariant()
    def the_queue_is_what_is_owed(self) -> None:
        if hasattr(self, "parts"):
            self.look()
            assert {held.batch_id for held, _ in self._queue()} == set(self.owed), "other batches than are owed"

    def look(self) -> None:
        """Take batches that were sealed meanwhile into the list."""
        for held, purpose in self._queue():
            if held.batch_id not in self.purposes:
                self.purposes[held.batch_id] = purpose
                self.owed[held.batch_id] = self._digest(held)
                rows = held.last - held.first + 1
                self.numbers[held.batch_id], self.unsent[purpose] = (
                    self.unsent[purpose][:rows],
                    self.unsent[purpose][rows:],
                )

    def all_arrives_in_the_end(self) -> None:
        """Let hours pass with a collector that is honest: everything recorded arrives, once."""
        for _ in range(60):
            self.now = later(self.now, 1000 * int(RETRY_AFTER_CEILING_S))
            while isinstance(trip := self.uplink.next_trip(self.now), Trip):
                self.settle(trip, self.ask(trip), "honest", "")
            self.parts.line.step(self.now, close=True)
            self.look()
            waits = self.unsent[IMPORTANT] or self.unsent["alarms"] or self.owed
            if not waits and not self.parts.line.rooms.outbox.controls():
                break
        lost = {number for batch_id in self.refused - self.handed_over for number in self.numbers[batch_id]}
        arrived = sorted(row.fields["value"] for row in collecting.open_rows(self.site.collector))
        assert len(arrived) == len(set(arrived)), "a row arrived twice"
        wanted = {number for number, purpose in self.recorded.items() if purpose not in self.closed} - lost
        assert wanted <= set(arrived), "a row did not arrive"
        taken = {number for batch_id in self.handed_over for number in self.numbers[batch_id]}
        assert set(arrived) == taken, "other rows arrived than those of the batches that were handed over"

    # ------------------------------------------------------------------------------------------------ looking

    def _response(self, trip: Trip, kind: str, status: int, wish: str) -> Response | None:
        headers = {"retry-after": wish} if wish else {}
        if kind == "status":
            return Response(status, headers, b"<html>captive</html>" if status == 200 else b"")
        if kind == "nothing":
            return None
        if kind in ("refused", "forged") and trip.parcel is not None:
            seed = receipt_seed(self.site) if kind == "refused" else wrong_seed()
            return Response(422, headers, self._signed(trip.parcel.held.batch_id, trip.request.body, seed))
        honest = self.ask(trip)
        if kind == "lost":
            return None
        if kind == "foreign" and trip.parcel is not None:
            return Response(200, headers, self._signed(bytes(16), trip.request.body, receipt_seed(self.site), 0))
        if kind in ("changed", "foreign", "forged", "refused"):
            return Response(
                honest.status, headers, honest.body[:-1] + bytes([honest.body[-1] ^ 1]) if honest.body else b"x"
            )
        return honest

    def _signed(self, batch_id: bytes, body: bytes, seed: Any, result: int = UNPROCESSABLE) -> bytes:
        return sign_receipt(Receipt(batch_id, hashlib.sha256(body).digest(), self.now.wall_s, None, result), seed)

    def _queue(self) -> list[tuple[Held, str]]:
        streams, queues = self.parts.line.binding.streams, self.parts.line.rooms.outbox.queues
        found = [(held, streams[row].record.purpose) for row, queue in queues.items() for held in queue.values()]
        return sorted(found, key=lambda one: one[0].id)

    def _digest(self, held: Held) -> bytes:
        stream = self.parts.line.binding.streams[held.stream]
        return hashlib.sha256(unseal_body(stream.entry, held, self.parts.line.rooms.outbox.sealed_body(held))).digest()

    def _may_send(self) -> bool:
        return not self.has_heard or self.parts.line.next_parcel(self.now) is not None


IMPORTANT: Final = "operation"
