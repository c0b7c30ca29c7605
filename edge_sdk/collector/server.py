"""
The collector on the network: HTTP to :class:`reception.Reception` and back.

Reads bodies within their limits and time, runs every answer on one worker thread (the one writer of the
files), writes no access log and never logs an address, a tag or a path. TLS ends in front of it: without a
proxy it is meant for loopback. Not here: what any endpoint does (``reception``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, ParamSpec, TypeVar

from aiohttp import web

from edge_sdk.collector.intake import READ_BYTES, Answer, Request
from edge_sdk.collector.reception import Reception
from edge_sdk.core.keys import SECONDS_PER_EPOCH
from edge_sdk.errors import EdgeError

BODY_S: Final = 30.0  # 2 MiB at 70 kB/s; slower links send smaller batches
SHUTDOWN_S: Final = 10.0
LINGER_S: Final = 10.0
UPKEEP_S: Final = 3600
BODIES_AT_ONCE: Final = 32  # times the most bytes read of one body: the memory bodies can take
RETRY_AFTER_FAILURE_S: Final = 60

_SMALL_BYTES: Final = 64 << 10
_MEDIA_TYPE: Final = "application/cose"

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Hosting:
    """
    What a server needs from the world.

    ``now_s`` returns Unix seconds; ``log`` is told of failures by event name only; ``ready`` is called with
    the port once connections are taken.
    """

    now_s: Callable[[], int]
    log: logging.Logger
    ready: Callable[[int], None]


class Server:
    """
    Turns HTTP requests into answers of one reception.
    """

    def __init__(self, reception: Reception, hosting: Hosting) -> None:
        self._reception = reception
        self._hosting = hosting
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector")
        self._large_bodies = asyncio.Semaphore(BODIES_AT_ONCE)

    def application(self) -> web.Application:
        """
        Return the aiohttp application; its clean-up ends the worker thread.
        """
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve_one)
        app.cleanup_ctx.append(self._keep_up)
        return app

    async def run(self, host: str, port: int) -> None:
        """
        Serve until SIGTERM or SIGINT, then finish what was begun.

        Args:
            host: address to listen on.
            port: 0 for any free one, which ``ready`` is told.

        Raises:
            OSError: when the address cannot be had.
        """
        runner = web.AppRunner(
            self.application(),
            access_log=None,
            logger=_silent(),  # aiohttp's own reports name the peer's address
            shutdown_timeout=SHUTDOWN_S,
            lingering_time=0,  # _let_go does it, and stops
            auto_decompress=False,  # inflating for a stranger is a way to run out of memory
        )
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            await runner.setup()
            await web.TCPSite(runner, host, port).start()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            self._hosting.ready(runner.addresses[0][1])
            await stop.wait()
        finally:
            await runner.cleanup()

    async def _serve_one(self, http: web.Request) -> web.Response:
        try:
            answer = await self._answer(http)
        except EdgeError as error:
            answer = self._failed(error)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug must not cost the next request, nor be logged with its peer
            answer = self._failed(error)
        response = _response(answer)
        if http.can_read_body:
            await response.prepare(http)
            await response.write_eof()
            await _let_go(http)
        return response

    async def _answer(self, http: web.Request) -> Answer:
        head = Request(http.method, http.raw_path, http.headers.get("Authorization"), b"")
        limit = await self._on_writer(self._reception.prepare, head, self._hosting.now_s())
        if isinstance(limit, Answer):
            return limit
        if (http.content_length or 0) > limit:
            return Answer(413)
        if http.headers.get("Content-Encoding", "identity") != "identity":
            return Answer(415)
        if limit <= _SMALL_BYTES:
            return await self._answer_body(http, head, limit)
        async with self._large_bodies:
            return await self._answer_body(http, head, limit)

    async def _answer_body(self, http: web.Request, head: Request, limit: int) -> Answer:
        try:
            async with asyncio.timeout(BODY_S):
                body = await _read(http, limit)
        except TimeoutError:
            return Answer(408)
        if body is None:
            return Answer(413)
        request = replace(head, body=body)
        return await self._on_writer(self._reception.answer, request, self._hosting.now_s())

    async def _keep_up(self, _: web.Application) -> AsyncIterator[None]:
        await self._on_writer(self._reception.upkeep, self._hosting.now_s())
        task = asyncio.create_task(self._keep_up_forever())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self._writer.shutdown()

    async def _keep_up_forever(self) -> None:
        while True:
            try:
                while await self._on_writer(self._reception.prune, self._hosting.now_s()):
                    pass  # piece by piece: requests get their turn between
            except EdgeError as error:
                self._failed(error)
            to_midnight_s = SECONDS_PER_EPOCH - self._hosting.now_s() % SECONDS_PER_EPOCH
            await asyncio.sleep(min(UPKEEP_S, to_midnight_s + 1))
            try:
                await self._on_writer(self._reception.upkeep, self._hosting.now_s())
            except EdgeError as error:
                self._failed(error)

    async def _on_writer(
        self, work: Callable[_Params, _Result], *args: _Params.args, **kwargs: _Params.kwargs
    ) -> _Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, lambda: work(*args, **kwargs))

    def _failed(self, error: Exception) -> Answer:
        self._hosting.log.error("collector.failed %s", type(error).__name__)
        return Answer(503, retry_after_s=RETRY_AFTER_FAILURE_S)


async def _read(http: web.Request, limit: int) -> bytes | None:
    body = bytearray()
    async for chunk in http.content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


async def _let_go(http: web.Request) -> None:
    # A device still sends when it is refused, and would not see the answer if the connection went under it.
    with contextlib.suppress(TimeoutError, ConnectionError, web.RequestPayloadError):
        async with asyncio.timeout(LINGER_S):
            await _read(http, READ_BYTES)


def _response(answer: Answer) -> web.Response:
    headers = {"Server": "edge-sdk", "Cache-Control": "no-store"}
    if answer.retry_after_s is not None:
        headers["Retry-After"] = str(answer.retry_after_s)
    return web.Response(status=answer.status, body=answer.body, headers=headers, content_type=_MEDIA_TYPE)


def _silent() -> logging.Logger:
    logger = logging.Logger("edge_sdk.collector.http")  # noqa: LOG001 - nobody may turn it on by name
    logger.addHandler(logging.NullHandler())
    return logger
