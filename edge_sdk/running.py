"""
A site at work: its writer thread, its uplink, and how both end.

:meth:`Running.start` sends from a thread of its own; :meth:`Running.send_until_stopped` does the same in the caller's
event loop. Stopping ends the uplink first, then has the writer keep everything, then closes the files.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Self, TypeVar

from edge_sdk import bell
from edge_sdk.carrying import let_go
from edge_sdk.clock import Now, mono_ms
from edge_sdk.config import Config
from edge_sdk.core.documents import WipeOrder
from edge_sdk.core.receipt import WipeReceipt
from edge_sdk.courier import drive
from edge_sdk.errors import LifecycleRefused, Refused
from edge_sdk.events import Event, tell
from edge_sdk.firmware import FirmwareLink
from edge_sdk.http_transport import transport_to
from edge_sdk.lanes import deliver, deliver_held
from edge_sdk.line import TICK_MS
from edge_sdk.opening import chance, draw, open_site
from edge_sdk.requests import Wish
from edge_sdk.transport import Transport
from edge_sdk.wipe import Finished

T = TypeVar("T")

_LOOK_MS = 20
_LATELY_MS = 3 * TICK_MS  # it looks that often while it lives, but for a job that takes long


class Running:
    """
    One open site; made by :class:`edge_sdk.Gateway`.
    """

    def __init__(self, config: Config, transport: Transport | None, firmware: FirmwareLink | None = None) -> None:
        self._transport = transport or transport_to(config, config.address)
        self.site, self._writer = open_site(config, firmware)
        self._process = os.getpid()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._stop_once = threading.Lock()
        self._is_ending = False
        self._closed = self._wiped = self._is_unstored = False
        self.is_open = True  # what record() looks at each time: a question to the kernel cost as much as three checks
        _shut_in_children(weakref.ref(self))
        self._pause = threading.Event()
        self.site.line.on_order = self._obey
        self.site.line.desk.does(Wish.WIPE, lambda *_: self._obey(None))
        self.site.line.desk.does(Wish.SEND, lambda _, now: self._send_now(now))
        self._writer.start(self.site.line)
        tell(Event.STARTED)

    @classmethod
    def open(cls, config: Config, transport: Transport | None, firmware: FirmwareLink | None) -> Self:
        """
        Open a site; of one that was wiped, try to deliver the receipts that wait first, for ``timeout`` at most.

        A program that is started again and again, and each time finds its site wiped, delivers its receipt so.

        Raises:
            Refused: the site is not enrolled, or was wiped.
        """
        try:
            return cls(config, transport, firmware)
        except Refused:
            in_time = threading.Thread(target=_deliver_in_time, args=(config,), name="edge-sdk-lane", daemon=True)
            in_time.start()  # a thread, since the caller may be in an event loop
            in_time.join()
            raise

    def check_process(self) -> None:
        """
        Refuse to work in a process that was forked from the one that opened the site.

        Raises:
            LifecycleRefused: in such a process, or when the site is closed.
        """
        if self._wiped:
            raise LifecycleRefused("this site was wiped", hint="enrol it anew with 'edge-sdk init'")
        if not self.is_open or os.getpid() != self._process:
            raise LifecycleRefused(
                "this gateway is closed, or was opened before a fork", hint="open one in this process"
            )

    def on_writer(self, job: Callable[[Now], T]) -> T:
        """
        Run *job* on the writer's thread; blocks until it has run.
        """
        self.check_process()
        return self._writer.call(job)

    async def answered(self) -> None:
        """
        Return when the writer has answered, at once where it looked lately: asking would be three wake-ups.

        Raises:
            LifecycleRefused: when the site is closed.
            RuntimeError: when the writer ended on a mistake of ours.
        """
        self.check_process()
        if self._writer.has_looked(mono_ms() - _LATELY_MS):
            return
        answer = self._writer.watch_async(lambda _: True)
        self._writer.wake()  # its next look comes early, and not once more a job
        await answer

    def start(self) -> None:
        """
        Send in the background, from a thread.

        Raises:
            LifecycleRefused: when the site is closed.
        """
        self.check_process()
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_in_thread, name="edge-sdk-uplink", daemon=True)
            self._thread.start()

    async def send_until_stopped(self) -> None:
        """
        Send in this event loop until :meth:`stop`, or until cancelled.

        Raises:
            LifecycleRefused: when the site sends already.
        """
        self.check_process()
        if self._stopped is not None:
            raise LifecycleRefused("this gateway sends already", hint="use either 'with' or run(), not both")
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        if self._is_ending:  # stop() came before there was anything to stop
            self._stopped.set()
        try:
            delivering = asyncio.create_task(self.deliver_receipts(self._stopped))
            try:
                with bell.hung(self.site.config.folder, self._look):
                    await drive(
                        self.site.uplink, self._transport, on_writer=self._writer.call_async,
                        watch=self._writer.watch_async, stopped=self._stopped,
                    )  # fmt: skip
            finally:
                delivering.cancel()
                await asyncio.wait({delivering})
        except LifecycleRefused:
            if not self._is_ending:  # closed while a job was on its way to the writer: that is a stop as well
                raise
        finally:
            self._stopped = None
            await let_go(self._transport)

    def drain(self, timeout_s: float, *, cut: bool = False) -> int:
        """
        Seal what is open, send at once, and return how many batches are still queued when done or out of time.

        Args:
            timeout_s: how long to wait for receipts, in seconds.
            cut: close open windows first, as partial rows.
        """
        self.on_writer(lambda now: self.site.line.step(now, close=True, cut=cut))
        ends_ms = mono_ms() + int(timeout_s * 1000)
        while True:
            self.on_writer(lambda _: self.site.uplink.hurry_once())
            left = self.on_writer(lambda _: sum(map(len, self.site.line.rooms.outbox.queues.values())))
            if not left or mono_ms() >= ends_ms:
                return left
            self._pause.wait(_LOOK_MS / 1000)

    def _send_now(self, now: Now) -> None:
        """
        Seal what is open and try once without any wait, on the writer's thread: an operator asks for it.

        Raises:
            LifecycleRefused: uploads are stopped; nothing was tried.
        """
        if self.site.line.incidents.is_stopped:
            raise LifecycleRefused("uploads are stopped", hint="'edge-sdk outbox resume', or uploads in site.toml")
        self.site.line.step(now, close=True)
        self.site.line.queueing.hurry()
        self.site.uplink.hurry_once(although_failed=True)

    def stop_uploads(self) -> None:
        """
        Send no batch any more, over restarts, until :meth:`resume_uploads`; collecting, consent and wipes go on.

        After a power cut: stopped, once this has returned.
        """
        self.on_writer(self.site.line.incidents.stop)

    def resume_uploads(self) -> None:
        """
        Send batches again, unless ``site.toml`` stops them.

        After a power cut: sending again, once this has returned.
        """
        self.on_writer(self.site.line.incidents.resume)

    def stop(self) -> None:
        """
        Stop sending, keep everything, close the files; harmless when done before.

        After a power cut: what :meth:`Gateway.flush` promised; before this returns the stop counts as unclean.
        """
        if os.getpid() != self._process:
            return
        with self._stop_once:
            if self._closed:
                return
            self._stop_sending()
            self._closed = True
            self.is_open = False
            try:
                self._writer.stop(self.site.line.finish)
            finally:
                self.site.close()
                tell(Event.STOPPED)

    def wipe(self) -> WipeReceipt:
        """
        Erase the site as :meth:`wipe_whole` does, and return the receipt.
        """
        return self.wipe_whole().receipt

    def wipe_whole(self, order: WipeOrder | None = None) -> Finished:
        """
        Erase the site: stop the line, destroy keys and files, keep a sealed receipt for the authority. Final.

        After a power cut: nothing has changed, or the next start finishes the erase before anything else.

        A medium that refuses keeps what it holds: that is ``failed`` in the receipt, which then may be in memory only.
        """
        with self._stop_once:
            self.check_process()
            self.site.line.recording.shut()
            self._stop_sending()
            self._closed = True
            self.is_open = False
            self._writer.stop(lambda now: self.site.begin_wipe(now, order))
            self._wiped = True
            done = self.site.finish_wipe()
            self._is_unstored = not done.is_stored
            return done

    async def deliver_receipts(self, stopped: asyncio.Event) -> None:
        """
        Deliver the receipts of wiped generations of this folder, until all are delivered or *stopped*.
        """
        await _deliver(self.site.config, stopped)

    def _obey(self, order: WipeOrder | None) -> None:
        """
        Erase the site, on a signed order or on the wish of who may write its folder, on a thread of its own.
        """
        self.site.line.on_order = lambda _: None
        threading.Thread(target=self._wipe_and_deliver, args=(order,), name="edge-sdk-wipe", daemon=True).start()

    def _wipe_and_deliver(self, order: WipeOrder | None) -> None:
        try:
            self.wipe_whole(order)
        except LifecycleRefused:  # not begun: the order comes again at the next start
            tell(Event.STORAGE_ERROR)
            return
        tell(Event.WIPED)
        asyncio.run(self._deliver_at_last())

    async def _deliver_at_last(self) -> None:
        """
        Deliver the receipt of this erase, for as long as the process lives: stopping the line was part of it.
        """
        if self._is_unstored:
            await self.deliver_from_memory(asyncio.Event())
        await self.deliver_receipts(asyncio.Event())

    async def deliver_from_memory(self, stopped: asyncio.Event) -> bool:
        """
        Deliver the receipt of this erase, which no file holds, until *stopped*; return whether it was signed for.
        """
        lane, reach = self.site.lane, partial(transport_to, self.site.config)
        return await deliver_held(lane, transport_to=reach, chance=chance, draw=draw, stopped=stopped)

    def _stop_sending(self) -> None:
        self._is_ending = True
        loop, stopped = self._loop, self._stopped
        if loop is not None and stopped is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended in between
                loop.call_soon_threadsafe(stopped.set)
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        if self.site.line.desk.is_asked:
            self._writer.wake()

    def _send_in_thread(self) -> None:
        try:
            asyncio.run(self.send_until_stopped())
        except BaseException:  # a mistake of ours: it shows on stderr, in the log and in the status
            self.site.uplink.last_error = "sending ended on an internal error; open the gateway again"
            tell(Event.SENDING_ENDED)
            raise


async def _deliver(config: Config, stopped: asyncio.Event) -> None:
    await deliver(config.folder, transport_to=partial(transport_to, config), chance=chance, draw=draw, stopped=stopped)


def _deliver_in_time(config: Config) -> None:
    with contextlib.suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(_deliver(config, asyncio.Event()), config.timeout_ms / 1000))


def _shut_in_children(running: weakref.ref[Running]) -> None:
    """
    See to it that a process forked from this one finds its copy closed.
    """

    def shut() -> None:
        if (forked := running()) is not None:
            forked.is_open = False

    os.register_at_fork(after_in_child=shut)
