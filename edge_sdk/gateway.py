"""
The public object: readings in, a durable and consented line behind it.

    source -> record() -> minimise -> batch -> seal -> outbox -> uplink -> receipt

``record`` minimises and appends to memory; a writer thread keeps, seals and queues; the uplink sends, from a thread
of its own (``with``) or in the caller's event loop (``async with`` and ``await run()``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from edge_sdk.config import Config
from edge_sdk.core.reading import Mono
from edge_sdk.core.receipt import WipeReceipt
from edge_sdk.firmware import FirmwareLink
from edge_sdk.running import Running
from edge_sdk.status import Status, status_of
from edge_sdk.transport import Transport


class Gateway:
    """
    One site: one household, one state folder, one process. Made by :meth:`open`; safe to use from several threads.
    """

    def __init__(self, running: Running, *, strict: bool) -> None:
        recording = running.site.line.recording
        self._running = running
        self._record = recording.record_strictly if strict else recording.record
        self._record_many = recording.record_many_strictly if strict else recording.record_many
        self.stop_uploads, self.resume_uploads = running.stop_uploads, running.resume_uploads  # kept over restarts
        self.allowed = recording.allowed  # (kind, field=None) -> bool: ask before a register is read

    @classmethod
    def open(
        cls, site: str | Path | Config, *, transport: Transport | None = None, strict: bool = False,
        firmware: FirmwareLink | None = None,
    ) -> Self:  # fmt: skip
        """
        Open the site of a ``site.toml``; with *strict*, ``record`` raises BadInput on what it would drop.

        *firmware* is denied before a wipe and has to clear its caches after it. Of a site that was wiped the receipt is
        delivered, if that can be done within ``timeout``, before NotProvisioned is raised.
        """
        config = site if isinstance(site, Config) else Config.read(site)
        return cls(Running.open(config, transport, firmware), strict=strict)

    def record(self, kind: str, fields: Mapping[str, Any], *, at_ms: int | None = None, at: Mono | None = None) -> int:
        """
        Minimise one reading for every purpose that may have it; return how many took it (0: see ``status().why``).

        *at_ms* is when it was measured by the system clock (Unix ms), *at* the same on the monotonic clock, which is
        exact also while the system clock is not set; now when neither is given.
        """
        if not self._running.is_open:
            self._running.check_process()
        return self._record(kind, fields, at if at_ms is None else at_ms)

    def record_many(self, kind: str, readings: Sequence[tuple[int, Mapping[str, Any]]]) -> int:
        """
        Minimise many readings of one kind, each with its time as *at_ms* of :meth:`record`; return how many of them
        some purpose took. Readings that name the same fields cost less than one by one; rows and counts are the same.
        """
        if not self._running.is_open:
            self._running.check_process()
        return self._record_many(kind, readings)

    def flush(self) -> None:
        """
        Return when every reading recorded before would survive a power cut; StorageError when the disk refuses.
        """
        self._running.on_writer(lambda now: self._running.site.line.step(now, flush=True))

    def drain(self, timeout_s: float = 30.0, *, cut: bool = False) -> int:
        """
        Seal and send everything now, with *cut* also open windows, as partial rows; return how many batches are left
        after at most *timeout_s* seconds.
        """
        return self._running.drain(timeout_s, cut=cut)

    def status(self) -> Status:
        """
        Return what is collected and why not, what waits, what was dropped.
        """
        return self._running.on_writer(lambda now: status_of(self._running.site, now))

    def withdraw(self, purpose: str) -> None:
        """
        Withdraw consent for *purpose*, here and now: its keys and data are destroyed, the authority will be told.
        """
        self._running.on_writer(lambda now: self._running.site.line.withdraw(purpose, now))

    def wipe(self) -> WipeReceipt:
        """
        Erase the site for good; return the receipt, which waits for the collector. The object is unusable afterwards.
        """
        return self._running.wipe()

    async def run(self) -> None:
        """
        Send in this event loop until cancelled or closed.
        """
        await self._running.send_until_stopped()

    def close(self) -> None:
        """
        Stop sending and keep everything; what is not sent waits for the next start.
        """
        self._running.stop()

    def __enter__(self) -> Self:
        self._running.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)  # run() of this loop ends meanwhile
