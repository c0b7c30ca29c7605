"""
What a site says of itself: per purpose whether it collects and why, what waits, what was dropped.

Plain values, made on the writer's thread; also as OpenMetrics text. Names of purposes and counts, never a reading or
an identifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edge_sdk.clock import Now
from edge_sdk.config import Config
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.batch import ClockQuality
from edge_sdk.core.consent import Decision
from edge_sdk.core.incidents import Incident
from edge_sdk.core.policy import Purpose
from edge_sdk.core.units import DAY_MS
from edge_sdk.outbox import Outbox
from edge_sdk.stream_record import Record

if TYPE_CHECKING:
    from edge_sdk.opening import Site  # who only looks on opens no site


@dataclass(frozen=True, slots=True)
class PurposeStatus:
    """
    How one purpose stands.
    """

    name: str
    basis: str
    collecting: bool
    sending: bool
    because: str
    open_rows: int
    queued_batches: int
    queued_bytes: int
    gaps: int


@dataclass(frozen=True, slots=True)
class Status:
    """
    How one site stands.
    """

    site: str
    fresh: bool
    clock: str
    clock_ahead_ms: int
    statement_version: int
    statement_expires_s: int
    purposes: tuple[PurposeStatus, ...]
    queued_bytes: int
    aside_batches: int
    counts: Mapping[str, int]
    last_acked_ms: int | None
    last_error: str
    incidents: tuple[Incident, ...]
    uploads_stopped: str
    """By what no batch is sent: ``site.toml``, ``switch``, or nothing."""

    @property
    def why(self) -> str:
        """
        Return, in one line a purpose, why readings of it are not taken, and what mends it; first what ails all of them.
        """
        closed = [purpose for purpose in self.purposes if not purpose.collecting]
        lines = [f"{purpose.name}: {purpose.because}. {_mend(purpose.because)}".rstrip() for purpose in closed]
        return "\n".join([_clock_trouble(self.clock_ahead_ms, self.site), *lines] if self.is_ahead else lines)

    @property
    def is_ahead(self) -> bool:
        """
        Tell whether a signed document has put this device so far ahead that its collector knows no tag of it.
        """
        return self.clock_ahead_ms >= DAY_MS

    def as_json(self) -> dict[str, Any]:
        """
        Return everything as values that JSON has.
        """
        incidents = [_incident_as_json(incident) for incident in self.incidents]
        return {**asdict(self), "counts": dict(self.counts), "incidents": incidents}

    def as_openmetrics(self) -> str:
        """
        Return the numbers in OpenMetrics text format.
        """
        lines = ["# TYPE edge_sdk_fresh gauge", f"edge_sdk_fresh {int(self.fresh)}"]
        for name, number in (("uploads_stopped", int(bool(self.uploads_stopped))), ("incidents", len(self.incidents))):
            lines += [f"# TYPE edge_sdk_{name} gauge", f"edge_sdk_{name} {number}"]
        for name in ("collecting", "sending", "open_rows", "queued_batches", "queued_bytes", "gaps"):
            lines.append(f"# TYPE edge_sdk_{name} gauge")
            for purpose in self.purposes:
                lines.append(f'edge_sdk_{name}{{purpose="{purpose.name}"}} {int(getattr(purpose, name))}')
        lines.append("# TYPE edge_sdk_events counter")
        lines += [f'edge_sdk_events_total{{event="{name}"}} {count}' for name, count in sorted(self.counts.items())]
        return "\n".join([*lines, "# EOF", ""])


def status_of(site: Site, now: Now) -> Status:
    """
    Return how the open *site* stands at *now*.
    """
    line = site.line
    outbox = line.rooms.outbox
    streams = line.binding.streams.values()
    return Status(
        site=site.config.name,
        fresh=line.consent.is_fresh(now),
        clock=clock_word(now),
        clock_ahead_ms=now.ahead_ms,
        statement_version=line.consent.statement.version if line.consent.statement else 0,
        statement_expires_s=line.consent.statement.exp_s if line.consent.statement else 0,
        purposes=tuple(
            purpose_status(
                purpose,
                line.binding.decisions.get(name),
                outbox,
                records={stream.row: stream.record for stream in streams if stream.record.purpose == name},
                open_rows=sum(stream.open_rows for stream in streams if stream.record.purpose == name),
            )
            for name, purpose in line.binding.policy.purposes.items()
        ),
        queued_bytes=outbox.order.sealed_bytes + outbox.pending_bytes,
        aside_batches=len(outbox.aside()),
        counts=dict(line.recording.totals() + line.queueing.counts),
        last_acked_ms=site.uplink.last_acked_ms,
        last_error=site.uplink.last_error,
        incidents=tuple(line.consent.held.incidents),
        uploads_stopped=stopped_by(site.config, line.consent),
    )


def stopped_by(config: Config, consent: ConsentState) -> str:
    """
    Return what stops uploads: the configuration, the switch of this device, or nothing.
    """
    return "site.toml" if config.uploads_stopped else "switch" if consent.held.stopped_s else ""


def clock_word(now: Now) -> str:
    """
    Return what the time rests on: the wall clock or the floor.
    """
    return "wall" if now.quality is ClockQuality.WALL else "floor"


def purpose_status(
    purpose: Purpose, decision: Decision | None, outbox: Outbox, *, records: Mapping[int, Record], open_rows: int
) -> PurposeStatus:
    """
    Return how one purpose stands, given its stream records by row.
    """
    queued = [held for row in records for held in outbox.queues.get(row, {}).values()]
    return PurposeStatus(
        name=purpose.name,
        basis=str(purpose.basis),
        collecting=decision is not None and decision.collect is not None,
        sending=decision is not None and decision.send is not None,
        because=decision.because if decision else "not decided yet",
        open_rows=open_rows,
        queued_batches=len(queued),
        queued_bytes=sum(held.size for held in queued),
        gaps=sum(len(record.gaps) for record in records.values()),
    )


def _incident_as_json(incident: Incident) -> dict[str, Any]:
    evidence = None if incident.evidence is None else incident.evidence.hex()
    return {**asdict(incident), "evidence": evidence, "notify_by_s": incident.notify_by_s}


def _clock_trouble(ahead_ms: int, site: str) -> str:
    days = -(-ahead_ms // DAY_MS)
    return (
        f"clock: a signed document has put this device {days} days ahead of its collector, which no answer undoes; it "
        f"collects, and nothing can be sent. The operator has to mend the clock that signs; then wait {days} days, or "
        f"erase this device ('edge-sdk wipe --confirm {site}') and enrol it anew."
    )


def _mend(because: str) -> str:
    if "not granted yet" in because:
        return "The operator grants it at the collector; the device learns with its next downlink."
    if "edition" in because:
        return "The policy was edited: 'edge-sdk policy digest' prints what a new grant must name."
    if "recipients" in because or "recipient key" in because:
        return "'edge-sdk doctor' looks whether the collector can be reached."
    if "expired" in because:
        return "Let the device reach the collector, or bring a statement with 'edge-sdk consent import'."
    if "refused, withdrawn" in because:
        return "The people of the house can allow it again with the operator, who grants it at the collector."
    return ""
