"""
How far a source got: numbers that become durable with the rows that came before them.

Owns: the numbers a source of readings keeps (how many points of a sender were taken), the counts that belong to them,
and which of both the disk has. Changed under the record lock; taken with the rows, in one grip of that lock; stored in
the transaction that stores the rows. So after a kill the numbers say exactly what is on disk, and a source that knows
what it was sent can tell the difference as lost.
Does not: know what the numbers mean (sources.shim) or open a database (outbox); what writes them is handed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, Protocol

_PREFIX: Final = "mark."


class Numbers(Protocol):
    """
    Where numbers are stored, inside a transaction.
    """

    def set_number(self, key: str, value: int | None) -> None:
        """
        Set a number; None forgets it.
        """


class Marks:
    """
    The marks of one site. ``numbers`` and ``counts`` are changed by sources that hold the record lock.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self._stored: dict[str, int] = {}
        self._taken: tuple[dict[str, int], Counter[str]] = {}, Counter()
        self._whole = self._taken

    def load(self, numbers: Mapping[str, int]) -> None:
        """
        Take up the marks among the stored numbers of a site, at a start.
        """
        self._stored = {
            name.removeprefix(_PREFIX): value for name, value in numbers.items() if name.startswith(_PREFIX)
        }
        self.numbers = dict(self._stored)
        self._taken = self._whole = dict(self._stored), Counter()

    def take(self) -> None:
        """
        Remember the marks as they are; callers hold the record lock and take the rows in the same grip.
        """
        self._taken = dict(self.numbers), self.counts.copy()

    @property
    def is_new(self) -> bool:
        """
        Tell whether the disk has other marks than those taken last.
        """
        return self._taken[0] != self._stored

    def store(self, numbers: Numbers, *, whole: bool) -> Counter[str]:
        """
        Write the marks, inside a transaction, and return the counts that go with what is then stored.

        Args:
            whole: every row taken with these marks is stored when the transaction is; otherwise they stay as they were.
        """
        if whole:
            self._whole = self._taken
        wanted, counts = self._whole
        for name in self._stored.keys() - wanted.keys():
            numbers.set_number(_PREFIX + name, None)
        for name, value in wanted.items():
            if self._stored.get(name) != value:
                numbers.set_number(_PREFIX + name, value)
        return counts

    def stored(self) -> None:
        """
        Remember that the transaction is durable.
        """
        self._stored = self._whole[0]


def stored_counts(numbers: Mapping[str, int]) -> dict[str, int]:
    """
    Return the counts among the stored numbers of a site.
    """
    return {name.removeprefix("count."): count for name, count in numbers.items() if name.startswith("count.")}
