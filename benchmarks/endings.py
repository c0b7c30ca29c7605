"""
How soon a change of consent takes effect, and how long a wipe takes: on a running gateway with a real collector.

*Arrival* is when the answer with the new downlink is there (by receipt, by poll), when the request of ``edge-sdk
consent import`` lies in the state folder (by file), or the call itself (withdrawn on the device). *Effect* is when
record() feeds the purpose no more: asked for without pause. For the wipe the queue is filled with random bytes in
place of sealed batches, which is what they look like.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.line import make_site
from benchmarks.peers import collector
from edge_sdk.bench.workload import make_policy, make_readings
from edge_sdk.clock import Now, wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.config import Config
from edge_sdk.consent_state import FRESH_WITHIN_MS
from edge_sdk.core.claims import Status
from edge_sdk.core.keys import NONCE_BYTES, wrap
from edge_sdk.gateway import Gateway
from edge_sdk.http_transport import HttpTransport
from edge_sdk.requests import Asked, Wish, ask
from edge_sdk.transport import Request, Response
from edge_sdk.wipe import is_complete

PURPOSE = "purpose_1"
QUEUE_BYTES = 64 * 10**6
BODY_BYTES = 64_000
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Effects:
    """
    Milliseconds: from arrival to effect by each way, from the operator's word to its arrival by receipt, of a wipe
    until the keys are gone and until everything is.
    """

    receipt: float
    announced: float
    poll: float
    file: float
    local: float
    keys_gone: float
    wiped: float


class Noting:
    """
    The HTTP transport, noting when the last downlink was there.
    """

    def __init__(self, address: str) -> None:
        self._inner = HttpTransport(address)
        self.heard_s = 0.0

    async def send(self, request: Request) -> Response:
        """
        Send one request.
        """
        response = await self._inner.send(request)
        if request.path == "/v1/downlink":
            self.heard_s = time.perf_counter()
        return response

    async def close(self) -> None:
        """
        Close.
        """
        await self._inner.close()


@dataclass
class _Trial:
    """
    A running gateway with two purposes, the second of which comes and goes.
    """

    gateway: Gateway
    transport: Noting
    config: Config
    collector: Path
    fields: dict[str, object]

    def say(self, status: Status) -> None:
        """
        Record a consent event at the operator.
        """
        (device,) = collecting.devices(self.collector)
        collecting.grant(self.collector, device.generation, PURPOSE, status=status, now_s=wall_s())

    def fed(self) -> int:
        """
        Return how many purposes a reading is taken for now.
        """
        return self.gateway.record("inverter", self.fields)

    def until(self, purposes: int) -> float:
        """
        Return when readings are taken for so many purposes (seconds).
        """
        ends = time.perf_counter() + PATIENCE_S
        while self.fed() != purposes:
            if time.perf_counter() > ends:
                raise RuntimeError("the change did not take effect")
            time.sleep(0.0005)
        return time.perf_counter()

    def poll(self) -> None:
        """
        Have what was heard be a day old: the next request asks for the downlink.
        """
        line = self.gateway._running.site.line
        self.gateway._running.on_writer(lambda now: line.consent.count_as_heard(now.mono_ms - FRESH_WITHIN_MS))

    def give(self) -> None:
        """
        Have consent given anew, and heard.
        """
        self.say(Status.GIVEN)
        self.poll()
        self.until(2)

    def arrival_to_effect(self, bring: Callable[[], None]) -> tuple[float, float]:
        """
        Return ms from the operator's word to its arrival, and from there to its effect.
        """
        self.give()
        self.say(Status.WITHDRAWN)
        said_s = time.perf_counter()
        bringing = threading.Thread(target=bring)
        bringing.start()
        effect_s = self.until(1)
        bringing.join()
        return 1000 * (self.transport.heard_s - said_s), 1000 * (effect_s - self.transport.heard_s)


def run_endings(folder: Path) -> Effects:
    """
    Return how long each way took once.
    """
    policy = make_policy(2).replace(
        '[purposes.purpose_1]\nbasis = "contract"', '[purposes.purpose_1]\nbasis = "consent"'
    )
    config = make_site(folder, policy, per_batch=500)
    transport = Noting(config.address)
    port = int(config.address.rsplit(":", 1)[1])
    with collector(folder / "collector", port), Gateway.open(config, transport=transport) as gateway:
        fields = make_readings(1)[0][1]
        trial = _Trial(gateway, transport, config, folder / "collector", fields)
        announced, receipt = trial.arrival_to_effect(lambda: _upload(gateway))
        _, poll = trial.arrival_to_effect(trial.poll)
        file, local = _by_file(trial), _on_the_device(trial)
    keys_gone, wiped = _wipe(config)
    return Effects(receipt, announced, poll, file, local, keys_gone, wiped)


def _upload(gateway: Gateway) -> None:
    gateway.drain(PATIENCE_S)


def _by_file(trial: _Trial) -> float:
    trial.give()
    trial.say(Status.WITHDRAWN)
    (device,) = collecting.devices(trial.collector)
    statement = operating.statement(trial.collector, device.generation, now_s=wall_s())
    began_s = time.perf_counter()
    ask(trial.config.folder, Asked(Wish.IMPORT, content=statement))
    return 1000 * (trial.until(1) - began_s)


def _on_the_device(trial: _Trial) -> float:
    trial.give()
    began_s = time.perf_counter()
    trial.gateway.withdraw(PURPOSE)
    return 1000 * (trial.until(1) - began_s)


def _wipe(config: Config) -> tuple[float, float]:
    """
    Return after how many ms a wipe with a full queue had destroyed the keys, and was done.
    """
    gateway = Gateway.open(config)
    gateway._running.on_writer(lambda now: _fill(gateway, now))
    began_s = time.perf_counter()
    with _watching(config.folder / "root.key") as gone:
        receipt = gateway.wipe()
    done_s = time.perf_counter()
    if not is_complete(receipt):
        raise RuntimeError("the wipe was not complete")
    return 1000 * (gone[0] - began_s), 1000 * (done_s - began_s)


def _fill(gateway: Gateway, now: Now) -> None:
    rooms = gateway._running.site.line.rooms
    row, stream = next(iter(gateway._running.site.line.binding.streams.items()))
    with rooms.outbox.transaction():
        for number in range(QUEUE_BYTES // BODY_BYTES):
            batch_id = os.urandom(16)
            body = wrap(stream.entry.key, os.urandom(NONCE_BYTES), os.urandom(BODY_BYTES - 28), batch_id)
            span = (number, number)
            rooms.outbox.put_sealed(
                stream=row, span=span, told=0, kept_ms=now.floor_ms, batch_id=batch_id, body=body
            )  # fmt: skip
    rooms.outbox.checkpoint()


@contextlib.contextmanager
def _watching(path: Path) -> Iterator[list[float]]:
    """
    Lend a list that has, at the end of the block, when *path* was first seen to be gone (seconds).
    """
    gone: list[float] = []

    def look() -> None:
        while path.exists():
            time.sleep(0.0005)
        gone.append(time.perf_counter())

    watcher = threading.Thread(target=look)
    watcher.start()
    yield gone
    watcher.join()
