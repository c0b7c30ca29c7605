"""
What a firmware can do to an erase: answer, or be waited for so long and no longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge_sdk.core.receipt import Firmware
from edge_sdk.firmware import Attachment, FirmwareLink

WAIT_MS = 200


@dataclass
class Link:
    """A firmware that does as told; *never* keeps it from answering until the test ends."""

    says: Firmware | Exception = Firmware.CLEARED
    never: threading.Event | None = None
    told: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def deny(self, purposes: tuple[str, ...]) -> None:
        self.told.append(("deny", purposes))
        self._answer()

    def clear(self, purposes: tuple[str, ...], wait_ms: int) -> Firmware:
        assert wait_ms == WAIT_MS
        self.told.append(("clear", purposes))
        self._answer()
        assert isinstance(self.says, Firmware)
        return self.says

    def _answer(self) -> None:
        if self.never is not None:
            self.never.wait()
        if isinstance(self.says, Exception):
            raise self.says


@pytest.fixture
def silent() -> Iterator[Link]:
    never = threading.Event()
    yield Link(never=never)
    never.set()


def attached(link: FirmwareLink | None, *, is_expected: bool = False) -> Attachment:
    return Attachment(link, wait_ms=WAIT_MS, is_expected=is_expected)


@pytest.mark.parametrize("says", [Firmware.CLEARED, Firmware.FAILED, Firmware.NOT_REACHABLE])
def test_what_a_firmware_says_is_what_the_receipt_says(says: Firmware) -> None:
    assert attached(Link(says)).clear() is says


def test_a_site_without_a_firmware_asks_none() -> None:
    assert attached(None).clear() is Firmware.NONE


def test_a_firmware_that_nothing_leads_to_is_not_reachable() -> None:
    assert attached(None, is_expected=True).clear() is Firmware.NOT_REACHABLE


def test_a_firmware_that_never_answers_is_waited_for_no_longer_than_its_time(silent: Link) -> None:
    began = time.monotonic()
    assert attached(silent).clear() is Firmware.NOT_REACHABLE
    assert WAIT_MS - 5 <= 1000 * (time.monotonic() - began) < WAIT_MS + 1000


def test_a_firmware_that_never_takes_a_denial_keeps_nobody_waiting(silent: Link) -> None:
    began = time.monotonic()
    attached(silent).deny()
    assert time.monotonic() - began < 2


def test_a_link_that_raises_has_cleared_nothing() -> None:
    link = Link(OSError("gone"))
    attached(link).deny()
    assert attached(link).clear() is Firmware.FAILED


def test_an_answer_that_is_none_of_the_words_has_cleared_nothing() -> None:
    class Odd(Link):
        def clear(self, purposes: tuple[str, ...], wait_ms: int) -> Any:
            return "yes"

    assert attached(Odd()).clear() is Firmware.FAILED


def test_a_question_is_open_until_it_is_answered(silent: Link) -> None:
    question = attached(silent).ask(("research",))
    assert question.answer() is None
    assert silent.never is not None
    silent.never.set()
    assert question.wait() is Firmware.CLEARED
    assert question.answer() is Firmware.CLEARED


def test_a_question_that_stays_open_is_answered_for_who_does_not_wait(silent: Link) -> None:
    question = attached(silent).ask()
    time.sleep((WAIT_MS + 50) / 1000)
    assert question.answer() is Firmware.NOT_REACHABLE


def test_a_firmware_hears_which_purposes_are_meant() -> None:
    link = Link()
    firmware = attached(link)
    firmware.deny(("research",))
    firmware.ask(("research",)).wait()
    firmware.deny()
    firmware.clear()
    assert link.told == [("deny", ("research",)), ("clear", ("research",)), ("deny", ()), ("clear", ())]
