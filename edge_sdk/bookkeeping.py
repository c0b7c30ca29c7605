"""
What goes into the ledger, and when: changes of what was accepted and decided, and what was sealed, summed by day.

Called by the line with every step; compares with what was noted last and writes only what changed. A ledger that
cannot be written stops nothing: the change is noted again at the next step.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge_sdk.clock import Now
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.consent import Decision
from edge_sdk.core.units import DAY_MS
from edge_sdk.errors import StorageError
from edge_sdk.events import Event, tell
from edge_sdk.ledger import Happened, Ledger


class Bookkeeping:
    """
    The notes of one site.
    """

    def __init__(self, ledger: Ledger, consent: ConsentState) -> None:
        self.ledger = ledger
        self._consent = consent
        self._versions: dict[Happened, int] | None = None
        self._open: dict[str, bool] = {}
        self._sealed: dict[str, tuple[int, int]] = {}
        self._day = 0
        self._refused_day = -1

    def start(self, now: Now, *, unclean: bool) -> None:
        """
        Note a start, and that the last stop was none.
        """
        if self.ledger.head[1] == 0:
            self.add(Happened.ENROLLED, now)
            self._versions = dict.fromkeys((Happened.ROOT, Happened.RECIPIENTS, Happened.STATEMENT), 0)
        if unclean and self.ledger.head[1] > 1:
            self.add(Happened.POWER_LOST, now)
        self.add(Happened.STARTED, now)
        self._day = now.wall_ms // DAY_MS

    def note(self, decisions: Mapping[str, Decision], now: Now) -> None:
        """
        Note what has changed since the last call; what a start finds is what the last run noted.
        """
        consent = self._consent
        documents = {
            Happened.ROOT: consent.root.version,
            Happened.RECIPIENTS: consent.recipients.version if consent.recipients else 0,
            Happened.STATEMENT: consent.statement.version if consent.statement else 0,
        }
        is_open = {purpose: decision.collect is not None for purpose, decision in decisions.items()}
        if self._versions is not None:
            for happened, version in documents.items():
                if version != self._versions[happened]:
                    self.add(happened, now, counts=(version,))
            for purpose, opened in is_open.items():
                if opened != self._open.get(purpose, False):
                    self.add(Happened.OPENED if opened else Happened.HELD, now, purpose=purpose)
        self._versions, self._open = documents, is_open
        if now.wall_ms // DAY_MS != self._day:
            self.close_day(now)

    def sealed(self, purpose: str, batches: int, size: int) -> None:
        """
        Count what was sealed; it is noted once a day.
        """
        had = self._sealed.get(purpose, (0, 0))
        self._sealed[purpose] = (had[0] + batches, had[1] + size)

    def refused(self, now: Now) -> None:
        """
        Note that a document failed its checks, once a day: who replays one replays it often.
        """
        if now.wall_ms // DAY_MS != self._refused_day:
            self._refused_day = now.wall_ms // DAY_MS
            self.add(Happened.DOCUMENT_REFUSED, now)

    def close_day(self, now: Now) -> None:
        """
        Note what was sealed since the day began: day number, batches, bytes in padded sizes.
        """
        for purpose, (batches, size) in self._sealed.items():
            self.add(Happened.SEALED, now, purpose=purpose, counts=(self._day, batches, size))
        self._sealed = {}
        self._day = now.wall_ms // DAY_MS

    def add(
        self, happened: Happened, now: Now, *, purpose: str | None = None, counts: tuple[int, ...] = ()
    ) -> None:
        """
        Append one entry; a disk that refuses is told of and stops nothing.
        """
        try:
            self.ledger.add(happened, now.wall_s, purpose=purpose, counts=counts)
        except StorageError:
            tell(Event.STORAGE_ERROR)
