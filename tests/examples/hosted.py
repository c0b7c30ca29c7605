"""
The collector's server in a thread of the tests: its own code on a real port, without the second that a process takes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from aiohttp import web

from edge_sdk.clock import wall_s
from edge_sdk.collector.folder import open_reception
from edge_sdk.collector.intake import Limits
from edge_sdk.collector.server import Hosting, Server

PATIENCE_S = 30


@contextmanager
def hosted(collector: Path, log: logging.Logger) -> Iterator[int]:
    """Serve the collector of a folder for as long as a block lasts; lend its port."""
    ready: SimpleQueue[int] = SimpleQueue()
    stop, loop = asyncio.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop, _serve(collector, log, ready.put, stop)), daemon=True)
    thread.start()
    try:
        yield ready.get(timeout=PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the collector did not stop"
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, serving: Coroutine[None, None, None]) -> None:
    loop.run_until_complete(serving)


async def _serve(collector: Path, log: logging.Logger, ready: Callable[[int], None], stop: asyncio.Event) -> None:
    with open_reception(collector, limits=Limits()) as reception:
        server = Server(reception, Hosting(now_s=wall_s, log=log, ready=ready))
        runner = web.AppRunner(server.application(), access_log=None, auto_decompress=False)
        try:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            ready(runner.addresses[0][1])
            await stop.wait()
        finally:
            await runner.cleanup()
