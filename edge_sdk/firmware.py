"""
The firmware's part in an erase: it is denied first and asked to clear its caches last.

Owns the seam to whatever feeds the gateway (:class:`FirmwareLink`, plugged in by an agent or an integrator) and the
bound on it: each call runs on a thread of its own, so a firmware that never answers, or a link that hangs or raises,
holds up no erase for longer than ``wait`` (SPEC 10.2). What came of it stands in the receipt.
Does not speak to a firmware itself, and knows no socket. Neighbours: opening asks for a site, obeying for purposes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Final, Protocol

from edge_sdk.clock import mono_ms
from edge_sdk.core.receipt import Firmware

DENY_MS: Final = 1_000  # a link denies by setting a flag; one that hangs must not keep the keys alive


class FirmwareLink(Protocol):
    """
    What a site is told to deny and clear through; *purposes* are names, none of them for the whole account.
    """

    def deny(self, purposes: tuple[str, ...]) -> None:
        """
        Take nothing more for *purposes*; returns at once.
        """
        ...

    def clear(self, purposes: tuple[str, ...], wait_ms: int) -> Firmware:
        """
        Have the firmware clear its caches; blocks for at most *wait_ms*. Asked again after a restart.
        """
        ...


class Question:
    """
    One request to clear, answered within its time or taken for not reachable.
    """

    def __init__(self, ask: Callable[[], Firmware] | None, *, wait_ms: int, otherwise: Firmware) -> None:
        self._said = otherwise if ask is None else None
        self._ends_ms = mono_ms() + wait_ms
        self._thread = None if ask is None else _start(lambda: self._hear(ask))

    def answer(self) -> Firmware | None:
        """
        Return what the firmware said, None while it may still answer.
        """
        if self._said is None and mono_ms() >= self._ends_ms:
            return Firmware.NOT_REACHABLE
        return self._said

    def wait(self) -> Firmware:
        """
        Return what the firmware said; blocks until then, or until its time is over.
        """
        if self._thread is not None:
            self._thread.join(max(0, self._ends_ms - mono_ms()) / 1000)
        return self._said or Firmware.NOT_REACHABLE

    def _hear(self, ask: Callable[[], Firmware]) -> None:
        try:
            self._said = Firmware(ask())
        except Exception:  # noqa: BLE001 - whatever a link raises, its caches are not known to be clear
            self._said = Firmware.FAILED


class Attachment:
    """
    The firmware of one site, or that there is none.

    Args:
        wait_ms: how long it may take to clear its caches (``firmware_wait``).
        is_expected: the site has a firmware, also where no link to it was handed in.
    """

    def __init__(self, link: FirmwareLink | None, *, wait_ms: int, is_expected: bool) -> None:
        self._link = link
        self._wait_ms = wait_ms
        self._otherwise = Firmware.NOT_REACHABLE if is_expected else Firmware.NONE

    def deny(self, purposes: tuple[str, ...] = ()) -> None:
        """
        Have nothing more taken for *purposes*, or for the account. Blocks: one second at most.
        """
        if self._link is not None:
            link = self._link
            _start(lambda: _deny(link, purposes)).join(DENY_MS / 1000)

    def ask(self, purposes: tuple[str, ...] = ()) -> Question:
        """
        Ask the firmware to clear its caches of *purposes*, or of everything; returns at once.
        """
        link = self._link
        ask = None if link is None else lambda: link.clear(purposes, self._wait_ms)
        return Question(ask, wait_ms=self._wait_ms, otherwise=self._otherwise)

    def clear(self) -> Firmware:
        """
        Ask for everything and wait for the answer.
        """
        return self.ask().wait()


def _deny(link: FirmwareLink, purposes: tuple[str, ...]) -> None:
    with contextlib.suppress(Exception):  # the erase goes on; what comes in meanwhile is not taken by the line either
        link.deny(purposes)


def _start(job: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=job, name="edge-sdk-firmware", daemon=True)
    thread.start()
    return thread
