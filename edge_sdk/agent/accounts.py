"""
How many points each shim sent, how many the disk has, and the difference: exactly what was lost.

A shim says with each message how many points it had sent before (docs/shim_wire.md 3.2). What was accounted for, point
by point, is a mark of the site: it becomes durable in the transaction that stores the rows, so that after a kill the
next message shows what was read and not stored, and what was never read. Drops that a shim counted itself are taken
over by reason, each once, however often it tells them.

A shim may be older than the household it feeds: it lives through a wipe and goes on counting. That a site was served at
all is a mark as well, so in the process that served it first, the count of a shim that has sent already begins there.
Callers hold the record lock.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from edge_sdk.core.shim_bytes import COUNT32
from edge_sdk.core.shim_wire import Drops
from edge_sdk.errors import Malformed
from edge_sdk.recording import Recording

MAX_SHIMS: Final = 64  # boots of shims remembered for one site
_REASONS: Final = ("full", "denied", "expired", "wiped", "invalid")
_SERVED: Final = "served"
_TELLING: Final = frozenset({"full"})  # a loss of what was granted; the others were not granted or not values


class Account:
    """
    One shim since its boot, or since the enrolment of the site where that is younger.

    Args:
        may_be_older: what the shim sent before its first message here went to another household.
    """

    def __init__(self, recording: Recording, nonce: str, *, may_be_older: bool) -> None:
        self._recording = recording
        self._numbers = recording.marks.numbers
        self._counts = recording.marks.counts
        self._points = f"{nonce}.points"
        self._drops = [(reason, f"{nonce}.{reason}") for reason in _REASONS]
        self._told: Drops | None = None
        self._may_be_older = may_be_older and self._points not in self._numbers
        self._received = self._numbers.setdefault(self._points, 0)

    def arrived(self, first: int, points: int, drops: Drops) -> None:
        """
        Take note of a message with *points* points that *first* others were sent before.

        Raises:
            Malformed: it says less than an earlier one.
        """
        if self._may_be_older:
            self._may_be_older = False
            self._begin(first, drops)
        lost = first - self._received
        if lost < 0:
            raise Malformed("shim message: first is lower than before")
        self._received = first + points
        if lost:
            self._numbers[self._points] += lost
            self._counts["shim_lost"] += lost
            self._recording.lose_unseen()
        if drops != self._told:
            self._take_drops(drops)

    def _begin(self, first: int, drops: Drops) -> None:
        if first:
            self._received = self._numbers[self._points] = first
            self._numbers |= {name: getattr(drops, reason) for reason, name in self._drops}

    def settle(self, points: int) -> None:
        """
        Account for points that were recorded, or dropped and counted.
        """
        self._numbers[self._points] += points

    def _take_drops(self, drops: Drops) -> None:
        self._told = drops
        for reason, name in self._drops:
            now = getattr(drops, reason)
            more = (now - self._numbers.get(name, 0)) % COUNT32
            if more:
                self._numbers[name] = now
                self._counts[f"shim_{reason}"] += more
                if reason in _TELLING:
                    self._recording.lose_unseen()


class Accounts:
    """
    The shims of one site, the one that connected last at the end.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._accounts: dict[str, Account] = {}
        self._in_use: Counter[str] = Counter()
        self.is_first = _SERVED not in recording.marks.numbers  # nobody was asked for points of this enrolment before
        recording.marks.numbers[_SERVED] = 1

    def open(self, nonce: bytes) -> Account | None:
        """
        Return the account of the shim with *nonce*, for as long as its connection; None where there is no room.
        """
        name = nonce.hex()
        account = self._accounts.pop(name, None)
        if account is None:
            if not self._make_room(name):
                return None
            account = Account(self._recording, name, may_be_older=self.is_first)
        self._accounts[name] = account
        self._in_use[name] += 1
        return account

    def close(self, nonce: bytes) -> None:
        """
        Say that a connection of the shim with *nonce* has ended.
        """
        self._in_use[nonce.hex()] -= 1

    def _make_room(self, wanted: str) -> bool:
        """
        Forget a boot that was not heard of in this process, else the one that connected longest ago and is gone.
        """
        numbers = self._recording.marks.numbers
        names = {name.partition(".")[0] for name in numbers if name != _SERVED}
        if len(names) < MAX_SHIMS or wanted in names:
            return True
        gone = [name for name in (*sorted(names - self._accounts.keys()), *self._accounts) if not self._in_use[name]]
        if not gone:
            return False
        self._accounts.pop(gone[0], None)
        for name in [name for name in numbers if name.partition(".")[0] == gone[0]]:
            del numbers[name]
        return True
