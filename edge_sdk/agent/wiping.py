"""
The firmware's part in a wipe: asked each second until every shim has answered, or the time is over.

:class:`Wiping` is one question and its answers, in the agent's loop; :class:`Link` is what the line calls, from threads
of its own (``edge_sdk.firmware``). A shim that was asked and is gone without an answer is not reachable; one that comes
back, or comes for the first time while the question stands, is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from edge_sdk.clock import mono_ms
from edge_sdk.core.receipt import Firmware
from edge_sdk.core.shim_bytes import COUNT32
from edge_sdk.core.shim_ids import ALL_PURPOSES
from edge_sdk.core.shim_wire import encode_wipe

ASK_EVERY_S: Final = 1.0
_MORE_S: Final = 1.0  # for the answer to come back from the loop

Ask = Callable[[tuple[str, ...], float], Coroutine[Any, Any, Firmware]]
Deny = Callable[[tuple[str, ...]], None]


class Wiping:
    """
    One question to the firmware of a site.
    """

    def __init__(self, scope_mask: int) -> None:
        self.id = mono_ms() % COUNT32
        self.is_account = scope_mask == ALL_PURPOSES
        self.message = encode_wipe(self.id, scope_mask)
        self._failed: dict[bytes, bool | None] = {}
        self._heard = asyncio.Event()

    def expect(self, nonce: bytes) -> bool:
        """
        Count on an answer of the shim with *nonce*; return whether it is still to be asked.
        """
        return self._failed.setdefault(nonce, None) is None

    def hear(self, nonce: bytes, *, failed: bool) -> None:
        """
        Take an answer.
        """
        self._failed[nonce] = failed
        self._heard.set()

    async def wait(self, left_s: float) -> None:
        """
        Wait for an answer, a second and *left_s* at most.
        """
        self._heard.clear()
        try:
            await asyncio.wait_for(self._heard.wait(), min(ASK_EVERY_S, max(0.0, left_s)))
        except TimeoutError:
            return

    def outcome(self, *, is_over: bool) -> Firmware | None:
        """
        Return what the firmware did, None while an answer may still come.
        """
        answers = list(self._failed.values())
        if True in answers:
            return Firmware.FAILED
        if answers and None not in answers:
            return Firmware.CLEARED
        return Firmware.NOT_REACHABLE if is_over else None


class Link:
    """
    What the line of a site calls; its methods are called on threads, what they do happens in the agent's loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, deny: Deny, ask: Ask) -> None:
        self._loop = loop
        self._deny = deny
        self._ask = ask

    def deny(self, purposes: tuple[str, ...]) -> None:
        """
        Have the shims told that nothing of *purposes* is granted.
        """
        self._loop.call_soon_threadsafe(self._deny, purposes)

    def clear(self, purposes: tuple[str, ...], wait_ms: int) -> Firmware:
        """
        Have the firmware asked; blocks until it has answered, at most *wait_ms*.
        """
        asking = asyncio.run_coroutine_threadsafe(self._ask(purposes, wait_ms / 1000), self._loop)
        try:
            return asking.result(wait_ms / 1000 + _MORE_S)
        except TimeoutError:
            asking.cancel()
            return Firmware.NOT_REACHABLE
