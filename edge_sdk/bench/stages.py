"""
One configuration of the line, stage by stage: processor time, bytes on the wire, bytes and flushes of the medium.

The stages are those of an open site, driven without its threads so that each can be timed: *record* (check, minimise,
take), *journal* (make it durable), *seal* (encode, sign, encrypt, queue), *send* (upload, receipt, forget), the last by
the gateway itself with the collector in another process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_sdk.bench import meter
from edge_sdk.config import Config
from edge_sdk.errors import UplinkError
from edge_sdk.gateway import Gateway
from edge_sdk.http_transport import HttpTransport
from edge_sdk.opening import open_site
from edge_sdk.transport import Request, Response

STAGES: Final = ("record", "journal", "seal", "send")
KIND: Final = "inverter"
_PATIENCE_S: Final = 600.0
_BATCHES: Final = "/v1/batches"

Readings = Sequence[tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Cost:
    """
    What one reading cost: us of processor time by stage, bytes on the wire, bytes written and flushes of the medium.

    ``disk`` and ``flushes`` are None where the kernel does not count; ``seconds`` is the wall time of all but sending.
    """

    readings: int
    batches: int
    cpu_us: dict[str, float]
    wire: float
    disk: float | None
    flushes: float | None
    seconds: float

    @property
    def all_us(self) -> float:
        """
        Return the processor time of a reading through all stages, in us.
        """
        return sum(self.cpu_us.values())


class _Counting:
    """
    The transport that ships, keeping the batches that pass.
    """

    def __init__(self, config: Config) -> None:
        self._inner = HttpTransport(config.address, timeout_ms=config.timeout_ms)
        self.batches: list[Request] = []

    async def send(self, request: Request) -> Response:
        """
        Send one request.
        """
        if request.path == _BATCHES:
            self.batches.append(request)
        return await self._inner.send(request)

    async def close(self) -> None:
        """
        Close.
        """
        await self._inner.close()


def run(config: Config, readings: Readings, *, per_batch: int, flushes: int = 1) -> Cost:
    """
    Take *readings* through the line of an enrolled site whose collector listens, and return what one of them cost.

    Args:
        config: the site; its ``max_rows`` is over *per_batch*, so that batches are sealed when asked.
        readings: as (Unix milliseconds, fields), in the order of their times.
        per_batch: readings of a batch.
        flushes: how often each batch is made durable before it is sealed.

    Raises:
        UplinkError: the collector did not take everything.
        StorageError: the medium does not keep it.

    After a power cut: a site like any other, that sends what it has.
    """
    before = meter.written(config.folder)
    began = meter.wall_ns()
    spent = _to_the_queue(config, _parts(readings, per_batch), -(-per_batch // flushes))
    seconds = (meter.wall_ns() - began) / 1e9
    after = meter.written(config.folder)
    transport = _Counting(config)
    with Gateway.open(config, transport=transport) as gateway:
        cpu = meter.cpu_s()
        if gateway.drain(_PATIENCE_S, cut=True):
            raise UplinkError("the collector did not take everything", hint="look at what else runs on this board")
        spent["send"] = meter.cpu_s() - cpu
    count = len(readings)
    sent = transport.batches
    head = asyncio.run(head_bytes(sent[0])) if sent else 0
    wire = sum(len(request.body) + head for request in sent)
    nbytes, synced = (None, None) if before is None or after is None else after.since(before)
    return Cost(
        readings=count,
        batches=len(sent),
        cpu_us={stage: spent[stage] / count * 1e6 for stage in STAGES},
        wire=wire / count,
        disk=None if nbytes is None else nbytes / count,
        flushes=None if synced is None else synced / count,
        seconds=seconds,
    )


def _to_the_queue(config: Config, batches: Iterable[Readings], per_flush: int) -> dict[str, float]:
    """
    Record, journal and seal; return the processor seconds of each.
    """
    spent = dict.fromkeys(STAGES, 0.0)
    site, _ = open_site(config)
    try:
        for batch in batches:
            for part in _parts(batch, per_flush):
                cpu = meter.cpu_s()
                record = site.line.recording.record
                for at_ms, fields in part:
                    record(KIND, fields, at_ms)
                recorded = meter.cpu_s()
                site.line.step(site.clock.now(), flush=True)
                spent["record"] += recorded - cpu
                spent["journal"] += meter.cpu_s() - recorded
            cpu = meter.cpu_s()
            site.line.step(site.clock.now(), close=True)
            spent["seal"] += meter.cpu_s() - cpu
        site.line.finish(site.clock.now())
    finally:
        site.close()
    return spent


def _parts(readings: Readings, size: int) -> Iterable[Readings]:
    return (readings[start : start + size] for start in range(0, len(readings), size))


async def head_bytes(request: Request) -> int:
    """
    Return the size of the head of *request* on the wire, as a listener on loopback meets it.
    """
    heads: list[int] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(len(await reader.readuntil(b"\r\n\r\n")))
        await reader.readexactly(len(request.body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        await transport.send(request)
        await transport.close()
    return heads[0]
