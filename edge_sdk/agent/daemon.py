"""
The agent's loop: connections to their sites, signals, and the watchdog.

SIGTERM and SIGINT drain: what lies in the sockets is read, everything is flushed, the files are closed. SIGHUP reads
the policies again. A connection of somebody who is not on the list is closed before a byte of it is read; so is one
too many of the same user, whose own others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from edge_sdk.agent.hosted import Hosted
from edge_sdk.agent.notify import notify, watchdog_s
from edge_sdk.agent.peer import Guest, Peer
from edge_sdk.agent.place import Place, who
from edge_sdk.agent.settings import Settings
from edge_sdk.clock import mono_ms
from edge_sdk.core.shim_wire import MAX_POINTS, TTL_MS, Hello, Result, encode_welcome
from edge_sdk.events import Event, tell

ACCEPTED_AT_ONCE: Final = 32
CHECK_EVERY_S: Final = TTL_MS / 3000  # without systemd: with the refresh of what is granted, in one wake-up
_TRY_LISTENING_S: Final = 1.0  # after the process ran out of descriptors
_GARBAGE_AFTER: Final = 10_000  # objects: as many as rows wait, which are no garbage and were walked every 700


def serve(settings: Settings, *, closed: Callable[[str, str], None]) -> None:
    """
    Serve until SIGTERM or SIGINT.

    Args:
        closed: is told the name of a site that does not open or was wiped, and why.

    Raises:
        ConfigError, StorageError: the socket cannot be made.
        RuntimeError: the line of a site ended on a mistake of ours; start again.
    """
    asyncio.run(_serve(settings, closed))


async def _serve(settings: Settings, closed: Callable[[str, str], None]) -> None:
    place = Place(settings.socket, group=settings.group)
    agent = Agent(settings, place.listener, closed)
    try:
        await agent.run()
    finally:
        place.close()


class Agent:
    """
    All sites and all connections of one process.
    """

    def __init__(self, settings: Settings, listener: socket.socket, closed: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._stop: asyncio.Future[None] = self._loop.create_future()
        self._peers: dict[Peer, int] = {}
        self._of_uid: Counter[int] = Counter()
        self._refused: Counter[Result | None] = Counter()  # None: who may not connect at all
        self._jobs: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._sites = {
            config.name: Hosted(
                config,
                points_per_s=settings.points_per_s,
                failed=self._fail,
                refused=self._tell_refused,
                closed=partial(closed, config.name),
            )
            for config in settings.sites
        }

    async def run(self) -> None:
        """
        Serve until told to stop.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end)
        self._loop.add_signal_handler(signal.SIGHUP, lambda: self._start(self._reload()))
        self._listen()  # before the sites are opened: firmware may have to answer a wipe that was cut off
        try:
            await asyncio.gather(*(site.open() for site in self._sites.values()))
            _look_for_garbage_less()
            self._tell_ready()
            self._start(self._watch())
            await self._stop
        finally:
            notify("STOPPING=1")
            self._loop.remove_reader(self._listener)
            for job in self._jobs:
                job.cancel()
            await asyncio.gather(*(site.end() for site in self._sites.values()))
            for peer in list(self._peers):
                peer.end()

    def _end(self) -> None:
        if not self._stop.done():
            self._stop.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if not self._stop.done():
            self._stop.set_exception(RuntimeError(str(error)))

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # no descriptors left: the connections there are go on
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_TRY_LISTENING_S, self._listen)
                return
            self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        try:
            caller = who(connection)
        except OSError:
            connection.close()
            return
        is_full = self._of_uid[caller.uid] >= self._settings.connections
        if is_full or not self._settings.allowed.takes(caller.uid, caller.gids):
            self._refuse(connection)
        else:
            connection.setblocking(False)
            peer = Peer(connection, points_per_s=self._settings.points_per_s, greet=self._greet, gone=self._gone)
            self._peers[peer] = caller.uid
            self._of_uid[caller.uid] += 1

    def _refuse(self, connection: socket.socket) -> None:
        connection.close()
        self._tell_refused(None)

    def _tell_refused(self, why: Result | None) -> None:
        self._refused[why] += 1
        so_far = self._refused[why]
        if so_far & (so_far - 1):  # the log must not be filled by who is not let in
            return
        if why is None:
            tell(Event.PEER_REFUSED, so_far=so_far)
        else:
            tell(Event.SHIM_REFUSED, welcome=why, so_far=so_far)

    def _greet(self, peer: Peer, hello: Hello) -> Guest | None:
        site = self._sites.get(hello.site)
        if site is None:
            self._tell_refused(Result.UNKNOWN_SITE)
            peer.tell(encode_welcome(Result.UNKNOWN_SITE, max_points=MAX_POINTS, points_per_s=0))
            return None
        return site.greet(peer, hello)

    def _gone(self, peer: Peer) -> None:
        uid = self._peers.pop(peer, None)
        if uid is not None:
            self._of_uid[uid] -= 1

    async def _watch(self) -> None:
        """
        Tell the shims what is granted before it runs out, and systemd that this process lives: that every line answers.
        """
        every_s = min(CHECK_EVERY_S, watchdog_s() or CHECK_EVERY_S)
        while True:
            await asyncio.sleep(every_s)
            for site in self._sites.values():
                site.refresh()
            try:
                async with asyncio.timeout(every_s):
                    await asyncio.gather(*(site.check() for site in self._sites.values()))
            except TimeoutError:
                continue  # not told: systemd starts it again when this goes on
            except RuntimeError as error:
                self._fail(error)
                return
            notify("WATCHDOG=1")

    async def _reload(self) -> None:
        async with self._reloading:
            notify("RELOADING=1", f"MONOTONIC_USEC={mono_ms() * 1000}")
            for site in self._sites.values():
                with contextlib.suppress(OSError):
                    await site.reload()
            self._tell_ready()

    def _tell_ready(self) -> None:
        open_now = sum(site.running is not None for site in self._sites.values())
        notify("READY=1", f"STATUS={open_now} of {len(self._sites)} sites open")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


def _look_for_garbage_less() -> None:
    """
    Leave what is loaded by now out of every later search for cycles, and search when more has come.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE_AFTER, *gc.get_threshold()[1:])
