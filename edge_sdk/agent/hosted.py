"""
One site of the agent: its line, what it grants, who feeds it, and the firmware's part in its wipe.

What the line grants reaches every shim when it changes, and again before it runs out. A site that is not enrolled, was
wiped, or whose folder cannot be opened is served without a line: its shims are told so, and the next that asks has it
tried again. One site's trouble is no other's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from edge_sdk.agent.accounts import Accounts
from edge_sdk.agent.checking import check_apart, schema_apart
from edge_sdk.agent.guests import SiteGuest, WipedGuest
from edge_sdk.agent.peer import Guest, Peer
from edge_sdk.agent.wiping import Link, Wiping
from edge_sdk.clock import mono_ms
from edge_sdk.config import Config
from edge_sdk.core.receipt import Firmware
from edge_sdk.core.shim_ids import ALL_PURPOSES, Schema
from edge_sdk.core.shim_wire import MAX_POINTS, WIRE, Bye, Hello, Result, Wiped, encode_state, encode_welcome
from edge_sdk.errors import ConfigError, EdgeError, StorageError
from edge_sdk.events import Event, tell
from edge_sdk.http_transport import transport_to
from edge_sdk.lanes import deliver
from edge_sdk.opening import chance, draw
from edge_sdk.policy_file import policy_text
from edge_sdk.running import Running

TRY_EVERY_MS: Final = 10_000  # a site that could not be opened is tried again, when a shim asks


class Hosted:
    """
    One site; everything but :meth:`open`'s work happens in the agent's loop.

    Args:
        failed: is told when the line ended on a mistake of ours.
        refused: is told why a firmware's HELLO was refused.
        closed: is told why the site is closed, whenever that is another reason than before.
    """

    def __init__(
        self,
        config: Config,
        *,
        points_per_s: int,
        failed: Callable[[BaseException], None],
        refused: Callable[[Result], None],
        closed: Callable[[str], None],
    ) -> None:
        self.config = config
        self.running: Running | None = None
        self._problem = ""
        self._loop = asyncio.get_running_loop()
        self._failed = failed
        self._refused = refused
        self._closed = closed
        self._points_per_s = points_per_s
        self._schema: Schema | None = None
        self._accounts: Accounts | None = None
        self._guests: dict[Peer, tuple[bytes, SiteGuest | WipedGuest]] = {}
        self._collecting: frozenset[str] = frozenset()
        self._denied: frozenset[str] = frozenset()
        self._is_denied = self._is_delivering = False
        self._generation = 1
        self._wipings: dict[int, Wiping] = {}
        self._opening = asyncio.Lock()
        self._tried_ms = -TRY_EVERY_MS
        self._jobs: set[asyncio.Task[Any]] = set()
        self._stopped = asyncio.Event()

    async def open(self) -> None:
        """
        Open the site and send for it; where that fails, say why, and try again when firmware asks for it.
        """
        async with self._opening:
            self._tried_ms = mono_ms()
            if self.running is not None or self._stopped.is_set():
                return
            link = Link(self._loop, deny=self._deny, ask=self._ask)
            try:
                self._take(*await asyncio.to_thread(_opened, self.config, link))
            except EdgeError as error:
                self._tell_closed(str(error))
                tell(Event.SITE_CLOSED)
                if not self._is_delivering:
                    self._start(self._deliver_receipts())

    async def close(self, reason: Bye) -> None:
        """
        Take what is in the sockets, keep everything, and let go of the site.

        After a power cut: what was flushed before; when this has returned, everything the shims had sent until then.
        """
        self._dismiss(reason)
        async with self._opening:
            running, self.running = self.running, None
            if running is not None:
                await asyncio.to_thread(running.stop)
            self._is_denied = True

    async def end(self) -> None:
        """
        Close for good, and wait for what was begun.
        """
        self._stopped.set()
        await self.close(Bye.STOPPING)
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=1.0)

    async def reload(self) -> None:
        """
        Read the policy again; a wrong one leaves the old one in force.
        """
        try:
            text = await asyncio.to_thread(policy_text, self.config.policy)
            if self.running is not None and text == self.running.site.line.consent.held.policies[-1]:
                return
            schema = await asyncio.to_thread(schema_apart, text)
        except ConfigError:
            tell(Event.POLICY_KEPT)
            return
        if self.running is not None:
            is_same = self._schema is not None and schema == self._schema.hash
            await self.close(Bye.STOPPING if is_same else Bye.SCHEMA)
        await self.open()

    def greet(self, peer: Peer, hello: Hello) -> Guest | None:
        """
        Answer a HELLO; return who takes the messages behind it, None when it was refused.
        """
        if any(wiping.is_account for wiping in self._wipings.values()):
            guest: SiteGuest | WipedGuest = WipedGuest(
                answered=lambda said: self._hear(peer, said), left=lambda: self._leave(peer)
            )
        else:
            admitted = self._admit(peer, hello)
            if isinstance(admitted, Result):
                self._refused(admitted)
                peer.tell(self._welcome(admitted))
                return None
            guest = admitted
        self._guests[peer] = hello.boot_nonce, guest
        peer.tell(self._welcome(Result.ACCEPTED))
        peer.tell(encode_state(self._generation, self._mask()))
        for wiping in self._wipings.values():
            wiping.expect(hello.boot_nonce)
            peer.look_at_once()
            peer.tell(wiping.message)
        return guest

    def refresh(self) -> None:
        """
        Tell every shim what is granted, before it runs out.
        """
        state = encode_state(self._generation, self._mask())
        for peer in list(self._guests):
            peer.tell(state)

    async def check(self) -> None:
        """
        Return when the line has answered; a line that does not, or is gone, is for the watchdog.

        Raises:
            RuntimeError: it ended on a mistake of ours.
        """
        running = self.running
        if running is not None:
            with contextlib.suppress(EdgeError):  # closed or wiped in between
                await running.answered()

    def _take(self, running: Running, accounts: Accounts) -> None:
        line = running.site.line
        try:
            self._schema = Schema(line.binding.policy)
        except ConfigError:
            running.stop()
            raise
        self.running, self._problem = running, ""
        self._accounts = accounts
        self._is_denied, self._denied = False, frozenset()
        line.on_collecting = lambda names: self._tell_loop(self._collects, names)
        self._collects(line.binding.collecting)
        self._start(self._send(running))

    def _tell_closed(self, why: str) -> None:
        if why != self._problem:  # it is tried again and again while firmware asks for it
            self._problem = why
            self._closed(why)

    def _tell_loop(self, job: Callable[[frozenset[str]], None], names: frozenset[str]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(job, names)

    async def _send(self, running: Running) -> None:
        """
        Send for the site until it is closed or wiped.
        """
        why = "this site was wiped"
        try:
            await running.send_until_stopped()
        except EdgeError as error:
            why = str(error)
        except RuntimeError as error:
            why = str(error)
            self._failed(error)
        if self.running is running:  # not closed by us
            self.running = None
            self._tell_closed(why)

    async def _deliver_receipts(self) -> None:
        config, self._is_delivering = self.config, True
        with contextlib.suppress(EdgeError):
            await deliver(
                config.folder,
                transport_to=partial(transport_to, config),
                chance=chance,
                draw=draw,
                stopped=self._stopped,
            )
        self._is_delivering = False

    def _admit(self, peer: Peer, hello: Hello) -> SiteGuest | Result:
        if not hello.wire_min <= WIRE <= hello.wire_max:
            return Result.WIRE_VERSION
        running, schema, accounts = self.running, self._schema, self._accounts
        if running is None or schema is None or accounts is None:
            if mono_ms() - self._tried_ms >= TRY_EVERY_MS:
                self._start(self.open())
            return Result.NOT_PROVISIONED
        if hello.schema_hash != schema.hash:
            return Result.SCHEMA
        for other in [other for other, (nonce, _) in self._guests.items() if nonce == hello.boot_nonce]:
            other.close(Bye.STOPPING)  # this shim has left it: what lies in it came before what comes now
        recording = running.site.line.recording
        with recording.lock:
            account = accounts.open(hello.boot_nonce)
        if account is None:
            return Result.BUSY

        def left() -> None:
            accounts.close(hello.boot_nonce)
            self._leave(peer)

        return SiteGuest(
            recording, schema, account, answered=lambda said: self._hear(peer, said), left=left
        )

    def _welcome(self, result: Result) -> bytes:
        return encode_welcome(result, max_points=MAX_POINTS, points_per_s=self._points_per_s)

    def _mask(self) -> int:
        if self._schema is None or self._is_denied or self.running is None:
            return 0
        return self._schema.mask_of(self._collecting - self._denied)

    def _collects(self, names: frozenset[str]) -> None:
        self._collecting = names
        self._change()

    def _change(self) -> None:
        self._generation += 1
        self.refresh()

    def _deny(self, purposes: tuple[str, ...]) -> None:
        """
        Grant nothing of *purposes* any more, or nothing at all; what is open of an account's readings is forgotten.
        """
        if purposes:
            self._denied |= set(purposes)
        else:
            self._is_denied = True
            for _, guest in self._guests.values():
                guest.discard()
        self._change()

    async def _ask(self, purposes: tuple[str, ...], wait_s: float) -> Firmware:
        """
        Have every shim asked to clear what the firmware keeps; return what came of it within *wait_s*.
        """
        schema = self._schema
        wiping = Wiping(0 if schema is None else schema.mask_of(purposes)) if purposes else Wiping(ALL_PURPOSES)
        self._wipings[wiping.id] = wiping
        ends_ms = mono_ms() + int(wait_s * 1000)
        try:
            while (outcome := wiping.outcome(is_over=mono_ms() >= ends_ms)) is None:
                for peer, (nonce, _) in list(self._guests.items()):
                    if wiping.expect(nonce):
                        peer.look_at_once()
                        peer.tell(wiping.message)
                await wiping.wait((ends_ms - mono_ms()) / 1000)
            return outcome
        finally:
            del self._wipings[wiping.id]
            self._settle(purposes)

    def _settle(self, purposes: tuple[str, ...]) -> None:
        """
        Let shims that were wiped go, or go on.
        """
        for peer in self._guests:
            peer.is_eager = bool(self._wipings)
        if purposes:
            self._denied -= set(purposes)
            self._change()
        else:
            self._dismiss(Bye.WIPED)

    def _hear(self, peer: Peer, said: Wiped) -> None:
        wiping = self._wipings.get(said.wipe_id)
        if wiping is not None:
            wiping.hear(self._guests[peer][0], failed=said.failed)

    def _leave(self, peer: Peer) -> None:
        self._guests.pop(peer, None)

    def _dismiss(self, reason: Bye) -> None:
        for peer in list(self._guests):
            peer.close(reason)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


def _opened(config: Config, link: Link) -> tuple[Running, Accounts]:
    """
    Open a site, and have it durable that it was served before anybody is asked for points.

    After a power cut: it was served, or nobody was asked yet. A disk that refuses is counted and tried again.
    """
    check_apart(config)
    running = Running(config, None, link)
    line = running.site.line
    line.recording.compile_ahead()
    with line.recording.lock:
        accounts = Accounts(line.recording)
    if accounts.is_first:
        with contextlib.suppress(StorageError):
            running.on_writer(lambda now: line.step(now, flush=True))
    return running, accounts
