"""
What an incident is: something that should not have happened to what a household entrusted; by when it is to be told.

Owns: ``Incident`` with its wire form, which refusal of a document is one (``kind_of``), when an occurrence belongs to
one that is known (``occurred``), which are told (``is_news``) and which of many are kept (``newest_of``).
Rules: kinds, counts, times and digests of public things, never a value. Occurrences a day apart at most are one
incident, whose clock began with the first. Numbers of incidents are bounded whatever happens.
Does not: notice anything (incidents), deliver it (telling), or say who must be told (the collector's operator).
Neighbours: shape below; messages, consent_record and incidents above.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from edge_sdk.core import claims
from edge_sdk.core.shape import array, octets, one_of, optional, seconds, text, uint
from edge_sdk.core.units import DAY_MS
from edge_sdk.errors import ConsentRefused, EdgeError, Tampered

MAX_INCIDENTS: Final = 32
QUIET_S: Final = DAY_MS // 1000  # an occurrence after a longer silence is another incident
NOTICE_LIMIT_S: Final = 72 * 3600  # GDPR Art. 33, for what no policy has a clock for
_MOST: Final = 1 << 32


class Kind(StrEnum):
    """
    Name what kind of thing happened; the order is that of the ledger's numbers.
    """

    TAMPERING = "tampering"
    ROLLBACK = "rollback"
    FORGED = "forged"
    EGRESS = "egress"


KINDS: Final = tuple(Kind)

_BY_CHECK: Final[Mapping[int, Kind]] = {
    2: Kind.FORGED, 3: Kind.FORGED, 4: Kind.FORGED, 5: Kind.FORGED, 6: Kind.ROLLBACK,
}  # fmt: skip
_OF_SIGNERS: Final = frozenset({1, 2, 3})


@dataclass(frozen=True, slots=True)
class Incident:
    """
    One incident. Times are Unix seconds by the clock of who noticed it.

    ``from_floor``: there was no usable wall, so it was noticed at ``first_s`` at the earliest. ``notice_s`` is how
    long the policy in force gave to tell of it, None where it has no breach clock. ``evidence`` is the SHA-256 of the
    document or public key it was noticed by.
    """

    kind: str
    what: str
    first_s: int
    last_s: int
    count: int
    from_floor: bool
    notice_s: int | None
    evidence: bytes | None = None

    @property
    def notify_by_s(self) -> int | None:
        """
        Return by when it is to be told, by the clock of who noticed it; None where nothing says so.
        """
        return None if self.notice_s is None else self.first_s + self.notice_s


def kind_of(error: EdgeError) -> Kind | None:
    """
    Return what kind of incident the refusal of a signed document is, None where it is none.

    A document out of its times is what clocks do, and bytes that are no document are what captive portals answer.
    """
    if isinstance(error, Tampered):
        return Kind.FORGED
    return _BY_CHECK.get(error.check) if isinstance(error, ConsentRefused) else None


def may_be_newer(error: EdgeError) -> bool:
    """
    Tell whether keys of a root that is not known yet would explain the refusal.
    """
    return isinstance(error, Tampered) or (isinstance(error, ConsentRefused) and error.check in _OF_SIGNERS)


def occurred(known: Sequence[Incident], seen: Incident) -> tuple[list[Incident], Incident]:
    """
    Return *known* with *seen*, and the incident that it belongs to or begins.

    Args:
        known: oldest first.
        seen: one occurrence.
    """
    for at in range(len(known) - 1, -1, -1):
        had = known[at]
        if (had.kind, had.what) == (seen.kind, seen.what):
            if seen.first_s - had.last_s > QUIET_S:
                break
            now = replace(
                had, last_s=max(had.last_s, seen.last_s), count=min(had.count + seen.count, _MOST),
                evidence=had.evidence or seen.evidence,
            )  # fmt: skip
            return [*known[:at], now, *known[at + 1 :]], now
    return [*known, seen], seen


def is_news(incident: Incident, more: int) -> bool:
    """
    Tell whether the last *more* occurrences of *incident* are to be told: the first, and each time they have doubled,
    so that a flood makes few messages.
    """
    return incident.count.bit_length() != (incident.count - more).bit_length()


def newest_of(incidents: Iterable[Incident]) -> list[Incident]:
    """
    Return at most MAX_INCIDENTS: where there are more, the oldest of whatever happened most often goes first.
    """
    kept = list(incidents)
    while len(kept) > MAX_INCIDENTS:
        often = Counter((one.kind, one.what) for one in kept).most_common(1)[0][0]
        kept.remove(next(one for one in kept if (one.kind, one.what) == often))
    return kept


def incident_value(incident: Incident) -> list[Any]:
    """
    Return *incident* as SPEC 9.3 has it.
    """
    said = (incident.kind, incident.what, incident.first_s, incident.last_s, incident.count)
    return [*said, int(incident.from_floor), incident.notice_s, incident.evidence]


def incident_of(value: object, where: str) -> Incident:
    """
    Return what :func:`incident_value` was given; words of a later release stay words.

    Raises:
        Malformed: another structure.
    """
    kind, what, first_s, last_s, count, floor, notice_s, evidence = _SHAPE(value, where)
    return Incident(kind, what, first_s, last_s, count, bool(floor), notice_s, evidence)


_SHAPE: Final = array(
    text(claims.WORD_CHARS), text(claims.WORD_CHARS), seconds, seconds, uint(_MOST), one_of(0, 1),
    optional(uint(_MOST)), optional(octets(claims.DIGEST_BYTES)),
)  # fmt: skip
