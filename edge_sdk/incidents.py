"""
The incident clock: what should not have happened on this device, since when, and by when it is to be told.

Notices what other rooms refused or found damaged (documents, orders, stored rows, the ledger) and where data was asked
to go that the policy and the configuration do not name: a recipient, a region, a host. Keeps each as an incident in
``state.bin``, has the authority told before anything else is sent (telling, uplink), and notes it in the ledger. Also
the switch that stops uploads: batches wait while it is on, everything that consent and wipes need goes on.

Rules: no value and no name, only what happened, how often and when. A document whose signers this root does not know
is an incident once there is no newer root, or nobody has shown one for an hour. What is counted is written when it
has doubled, so that a flood wears out no card. Does not send, and stops nothing by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from edge_sdk.bookkeeping import Bookkeeping
from edge_sdk.clock import Now
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.batch import ClockQuality
from edge_sdk.core.incidents import KINDS, Incident, Kind, is_news, kind_of, may_be_newer, newest_of, occurred
from edge_sdk.core.policy import Policy, purpose_digest
from edge_sdk.errors import BadInput, EdgeError, StorageError
from edge_sdk.events import Event, tell
from edge_sdk.ledger import Happened

SUSPECT_MS: Final = 3_600_000  # for a newer root to show that a document was good after all
DAMAGE: Final = {"damaged_streams": "streams", "damaged_rows": "rows", "damaged": "batches", "queues_lost": "queue"}
_REDIRECTS: Final = range(300, 400)


@dataclass(frozen=True, slots=True)
class _Suspect:
    seen: Incident
    until_mono_ms: int


class Incidents:
    """
    The incidents of one site, and its switch for uploads.

    Args:
        consent: where they are kept.
        books: for the ledger.
        policy: in force; gives the breach clock.
        host: of the configured address, and no other is expected.
        damage: counts of damage that were known before this start.
        is_stopped: uploads are stopped by the configuration.
    """

    def __init__(
        self, consent: ConsentState, books: Bookkeeping, *, policy: Policy, host: str, damage: Mapping[str, int],
        is_stopped: bool = False,
    ) -> None:  # fmt: skip
        self._consent = consent
        self._books = books
        self._purposes = {purpose_digest(purpose): purpose for purpose in policy.purposes.values()}
        self._notice_s = None if policy.terms is None else policy.terms.breach_notice_ms // 1000
        self._host = host
        self._damage = {name: damage.get(name, 0) for name in DAMAGE}
        self._is_stopped = is_stopped
        self._suspects: dict[str, _Suspect] = {}
        self._wants_root = False
        self._order = b""
        self._papers: tuple[int, int] | None = None
        self._unsaved: list[Incident] = []

    @property
    def is_stopped(self) -> bool:
        """
        Tell whether no batch may be sent, by the switch or by the configuration.
        """
        return self._is_stopped or bool(self._consent.held.stopped_s)

    def stop(self, now: Now) -> None:
        """
        Send no batch until :meth:`resume`, over restarts; what is under way is broken off.

        After a power cut: stopped, or nothing has changed.

        Raises:
            StorageError: it is stopped, until the next start only.
        """
        if not self._consent.held.stopped_s:
            self._consent.held.stopped_s = max(1, now.wall_s)
            self._books.add(Happened.UPLOADS_STOPPED, now)
        self._consent.save()

    def resume(self, now: Now) -> None:
        """
        Send batches again, unless the configuration stops them.

        After a power cut: sending, or nothing has changed.

        Raises:
            StorageError: the medium does not take it; uploads stay stopped.
        """
        before, self._consent.held.stopped_s = self._consent.held.stopped_s, 0
        try:
            self._consent.save()
        except StorageError:
            self._consent.held.stopped_s = before
            raise
        if before:
            self._books.add(Happened.UPLOADS_RESUMED, now)

    def check(self, verify: Callable[[], None], now: Now) -> None:
        """
        Note that the ledger was changed, where *verify* raises BadInput; a start asks for it once.

        After a power cut: as :meth:`note`.
        """
        try:
            verify()
        except BadInput as error:  # it names the entry, and the same damage is told once
            self.note(Kind.TAMPERING, "ledger", now, evidence=str(error).encode(), once=True)
        except StorageError:
            tell(Event.STORAGE_ERROR)

    def look(self, now: Now, counts: Mapping[str, int]) -> None:
        """
        Note what is new: damage that was counted, an order that was refused, keys that the policy does not name.

        After a power cut: as :meth:`note`.
        """
        for name, what in DAMAGE.items():
            more = counts.get(name, 0) - self._damage[name]
            self._damage[name] = counts.get(name, 0)
            if more > 0:
                self.note(Kind.TAMPERING, what, now, count=more)
        refused = self._consent.refused
        if refused is not None and refused[1] != self._order:
            self._order = refused[1]
            if kind_of(refused[0]) is not Kind.ROLLBACK:  # one carried out comes again until its receipt is there
                self.judge("wipe order", refused[0], now, refused[1])
        self._look_at_papers(now)
        if any(now.mono_ms >= suspect.until_mono_ms for suspect in self._suspects.values()):
            self.confirm(now)
        if self._unsaved:
            self._keep()

    def judge(self, what: str, error: EdgeError, now: Now, document: bytes) -> None:
        """
        Note that *document* was refused, where that is an incident; at once, or when no newer root explains it.
        """
        kind = kind_of(error)
        if kind is not None and not may_be_newer(error):
            self.note(kind, what, now, evidence=document)
        elif kind is not None and what not in self._suspects:
            self._suspects[what] = _Suspect(self._seen(kind, what, now, 1, document), now.mono_ms + SUSPECT_MS)
            self._wants_root = True

    def wants_root(self) -> bool:
        """
        Tell, once for each document under suspicion, that a newer root may explain it.
        """
        wants, self._wants_root = self._wants_root, False
        return wants

    def confirm(self, now: Now) -> None:
        """
        Take every suspicion for an incident: there is no newer root.

        After a power cut: as :meth:`note`.
        """
        suspects, self._suspects = list(self._suspects.values()), {}
        for suspect in suspects:
            self._note(suspect.seen, now)

    def clear(self) -> None:
        """
        Drop every suspicion: there is a newer root, by which the documents are judged anew.
        """
        self._suspects.clear()
        self._order = b""

    def answered(self, status: int, headers: Mapping[str, str], now: Now) -> None:
        """
        Note that an answer would have sent this device to another host; no redirect is followed.

        After a power cut: as :meth:`note`.
        """
        if status in _REDIRECTS and _host_of(headers.get("location", "")) not in ("", self._host):
            self.other_host(now)

    def other_host(self, now: Now) -> None:
        """
        Note that somebody else than the configured host answered, or asked this device to come.

        After a power cut: as :meth:`note`.
        """
        self.note(Kind.EGRESS, "host", now)

    def note(
        self, kind: Kind, what: str, now: Now, *, evidence: bytes | None = None, count: int = 1, once: bool = False
    ) -> None:
        """
        Note one occurrence; the authority is told of the first, and each time they have doubled.

        Args:
            evidence: what is kept is its SHA-256.
            once: the same evidence is no second occurrence.

        After a power cut: noted, or not and noted when it occurs again; of later ones the count may be that last told.
        """
        seen = self._seen(kind, what, now, count, evidence)
        known = {(one.kind, one.what, one.evidence) for one in self._consent.held.incidents}
        if not once or (seen.kind, seen.what, seen.evidence) not in known:
            self._note(seen, now)

    def _seen(self, kind: Kind, what: str, now: Now, count: int, evidence: bytes | None) -> Incident:
        return Incident(
            kind, what, now.wall_s, now.wall_s, count, now.quality is ClockQuality.FLOOR, self._notice_s,
            None if evidence is None else hashlib.sha256(evidence).digest(),
        )  # fmt: skip

    def _note(self, seen: Incident, now: Now) -> None:
        held = self._consent.held
        known, incident = occurred(held.incidents, seen)
        held.incidents = newest_of(known)
        self._consent.count("incidents", seen.count)
        if is_news(incident, seen.count):
            self._unsaved.append(incident)
            self._books.add(Happened.INCIDENT, now, counts=(KINDS.index(Kind(incident.kind)), incident.count))
            tell(Event.INCIDENT, kind=KINDS.index(Kind(incident.kind)), count=incident.count)
            self._keep()

    def _keep(self) -> None:
        try:
            self._consent.tell_later(self._unsaved)
            self._unsaved = []
        except StorageError:  # kept in memory; the next look tries again
            tell(Event.STORAGE_ERROR)

    def _look_at_papers(self, now: Now) -> None:
        """
        Note keys that a grant of the edition in force names and its purpose does not: of another recipient or region.
        """
        statement, recipients = self._consent.statement, self._consent.recipients
        if statement is None or recipients is None or self._papers == (statement.version, recipients.version):
            return
        self._papers = statement.version, recipients.version
        certified = {key.kid: key for key in recipients.keys}
        for grant in statement.grants:
            purpose = self._purposes.get(grant.digests[0]) if len(grant.digests) == 1 else None
            if purpose is None or purpose.name != grant.purpose:
                continue
            for key in [certified[kid] for kid in grant.recipients if kid in certified]:
                if key.operator != purpose.recipient:
                    self.note(Kind.EGRESS, "recipient", now, evidence=key.key, once=True)
                elif key.region not in purpose.regions:
                    self.note(Kind.EGRESS, "region", now, evidence=key.key, once=True)


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return "?"
