"""
May this purpose collect, may it send, and what becomes of what is queued: one decision, from tables.

Owns: ``decide``, the only maker of ``CollectGrant`` and ``SendGrant``, and its tables (SPEC 5.7); ``unopened``.
Rules: total over basis, standing, freshness and account; what no table lists denies; several reasons combine
to the narrowest. Asked for again at pending, at seal and at each send: a grant is not kept.
Does not: accept statements (documents), know which grants the household denied (vault) or act on the answer.
Neighbours: documents and lifecycle below; line, outbox, uplink and seal take its grants.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection, Mapping
from dataclasses import InitVar, dataclass
from typing import Final, final

from edge_sdk.core.claims import Account, Status
from edge_sdk.core.documents.statement import Grant, Statement
from edge_sdk.core.lifecycle import OPEN, Room, State
from edge_sdk.core.policy import Basis

__all__ = [
    "ABANDON_AFTER_S",
    "Account",
    "Basis",
    "CollectGrant",
    "Decision",
    "Queue",
    "SendGrant",
    "Standing",
    "Status",
    "Verdict",
    "decide",
    "ended_grants",
    "standing_of",
    "unopened",
]

ABANDON_AFTER_S: Final = 90 * 86400  # a season offline; after that nobody is waiting for a contract's data

DPV: Final[Mapping[Status, str]] = {
    Status.UNKNOWN: "dpv:ConsentUnknown",
    Status.REQUESTED: "dpv:ConsentRequested",
    Status.GIVEN: "dpv:ConsentGiven",
    Status.RENEWED: "dpv:RenewedConsentGiven",
    Status.REFUSED: "dpv:ConsentRefused",
    Status.WITHDRAWN: "dpv:ConsentWithdrawn",
    Status.REVOKED: "dpv:ConsentRevoked",
    Status.INVALIDATED: "dpv:ConsentInvalidated",
    Status.EXPIRED: "dpv:ConsentExpired",
    Status.OBJECTED: "eu-gdpr:A21",
    Status.RESTRICTED: "eu-gdpr:A18",
}
"""Status words as DPV 2.3 names them (ISO/IEC TS 27560 event states), for records and exports."""


class Queue(enum.IntEnum):
    """
    Name what becomes of what is queued; the larger is the narrower.
    """

    KEEP = 0
    HOLD = 1
    DESTROY = 2


class Standing(enum.StrEnum):
    """
    Name how a purpose stands; the values are what people are told.
    """

    VALID = "granted"
    ENDED = "refused, withdrawn or objected to"
    RESTRICTED = "restricted"
    EXPIRED = "the statement has expired"
    ABANDONED = "the statement expired long ago"
    NONE = "not granted yet"
    CLOSED = "granted, but not this edition of the purpose"
    UNFAMILIAR = "in a state this release does not know"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Hold one cell of a table.
    """

    collect: bool
    send: bool
    queue: Queue

    def narrowed(self, other: Verdict) -> Verdict:
        """
        Return what both allow.
        """
        return Verdict(self.collect and other.collect, self.send and other.send, max(self.queue, other.queue))


_GO = Verdict(collect=True, send=True, queue=Queue.KEEP)
_GATHER = Verdict(collect=True, send=False, queue=Queue.HOLD)
_HOLD = Verdict(collect=False, send=False, queue=Queue.HOLD)
_DESTROY = Verdict(collect=False, send=False, queue=Queue.DESTROY)

# Nothing is destroyed on a word that is missing or not understood: only on one that says so.
BY_STANDING: Final[Mapping[Basis, Mapping[Standing, Verdict]]] = {
    basis: {
        Standing.VALID: _GO,
        Standing.ENDED: ended,
        Standing.RESTRICTED: _HOLD,
        Standing.EXPIRED: expired,
        Standing.ABANDONED: _HOLD,
        Standing.NONE: _HOLD,
        Standing.CLOSED: _HOLD,
        Standing.UNFAMILIAR: _HOLD,
    }
    for basis, ended, expired in (
        (Basis.CONSENT, _DESTROY, _HOLD),
        (Basis.LEGITIMATE_INTEREST, _DESTROY, _HOLD),
        (Basis.CONTRACT, _HOLD, _GATHER),
        (Basis.LEGAL_OBLIGATION, _HOLD, _GATHER),
        (Basis.VITAL_INTEREST, _HOLD, _GATHER),
        (Basis.PUBLIC_TASK, _HOLD, _GATHER),
    )
}
# No state opens one of collecting and sending without the other. A cancelled account's erase comes as a wipe order.
BY_ACCOUNT: Final[Mapping[str, Verdict]] = {
    account: _GO if Room.SEND in OPEN[State(account)] else _HOLD for account in Account
}
BY_FRESHNESS: Final[Mapping[bool, Verdict]] = {True: _GO, False: _GATHER}
STANDING_OF: Final[Mapping[str, Standing]] = {
    Status.GIVEN: Standing.VALID,
    Status.RENEWED: Standing.VALID,
    Status.REFUSED: Standing.ENDED,
    Status.WITHDRAWN: Standing.ENDED,
    Status.OBJECTED: Standing.ENDED,
    Status.REVOKED: Standing.ENDED,
    Status.INVALIDATED: Standing.ENDED,
    Status.RESTRICTED: Standing.RESTRICTED,
    Status.UNKNOWN: Standing.NONE,
    Status.REQUESTED: Standing.NONE,
    Status.EXPIRED: Standing.NONE,
}
_ERASABLE: Final = frozenset({Basis.CONSENT, Basis.LEGITIMATE_INTEREST})
# A grant of another edition says nothing about this one, unless it narrows the purpose itself.
_BINDS_EVERY_EDITION: Final = frozenset({Standing.ENDED, Standing.RESTRICTED, Standing.UNFAMILIAR})
# Of two grants of one second the narrower counts.
_NARROWNESS: Final[Mapping[Standing, int]] = {
    Standing.VALID: 0,
    Standing.NONE: 1,
    Standing.UNFAMILIAR: 2,
    Standing.RESTRICTED: 3,
    Standing.ENDED: 4,
}

_MINT: Final = object()


@final
@dataclass(frozen=True, slots=True)
class CollectGrant:
    """
    Permit one step of collecting or sealing for one purpose; only ``decide`` makes it.
    """

    grant_id: bytes
    purpose: str
    digest: bytes
    recipients: tuple[bytes, ...]
    mint: InitVar[object]

    def __post_init__(self, mint: object) -> None:
        _check_mint(mint)


@final
@dataclass(frozen=True, slots=True)
class SendGrant:
    """
    Permit one try of sending for one purpose; only ``decide`` makes it.
    """

    grant_id: bytes
    purpose: str
    digest: bytes
    recipients: tuple[bytes, ...]
    mint: InitVar[object]

    def __post_init__(self, mint: object) -> None:
        _check_mint(mint)


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Hold what one purpose may do now.
    """

    collect: CollectGrant | None
    send: SendGrant | None
    queue: Queue
    because: str


def decide(
    *,
    purpose: str,
    basis: Basis,
    digest: bytes,
    statement: Statement | None,
    fresh: bool,
    denied: Collection[bytes],
    now_s: int,
    abandon_after_s: int = ABANDON_AFTER_S,
) -> Decision:
    """
    Return what *purpose* may do now.

    Args:
        purpose, basis, digest: as in the policy in force (for a queued batch: its own digest).
        statement: the accepted statement, expired or not; None if there is none.
        fresh: a downlink of the current epoch was opened within ``fresh_within``.
        denied: ids of the grants withdrawn on this device.
        now_s: the larger of wall and floor.
        abandon_after_s: how long after expiry the duties of a contract are still collected for.
    """
    if statement is None:
        return Decision(None, None, Queue.HOLD, Standing.NONE)
    grant, standing = standing_of(
        purpose, basis, digest, statement=statement, denied=denied, now_s=now_s, abandon_after_s=abandon_after_s
    )
    verdict = BY_STANDING.get(basis, {}).get(standing, _HOLD)
    verdict = verdict.narrowed(BY_ACCOUNT.get(statement.account, _HOLD)).narrowed(BY_FRESHNESS[fresh])
    because = _because(statement.account, standing, fresh)
    if grant is None:
        return Decision(None, None, verdict.queue, because)
    parts = (grant.id, purpose, digest, grant.recipients, _MINT)
    return Decision(
        collect=CollectGrant(*parts) if verdict.collect else None,
        send=SendGrant(*parts) if verdict.send else None,
        queue=verdict.queue,
        because=because,
    )


def standing_of(
    purpose: str,
    basis: Basis,
    digest: bytes,
    *,
    statement: Statement | None,
    denied: Collection[bytes],
    now_s: int,
    abandon_after_s: int = ABANDON_AFTER_S,
) -> tuple[Grant | None, Standing]:
    """
    Return how this edition of *purpose* stands, whatever the account and freshness, and the grant that says so.

    Args:
        As ``decide``.
    """
    if statement is None:
        return None, Standing.NONE
    grant, standing = _newest(purpose, basis, digest, statement=statement, denied=denied)
    if standing is Standing.VALID and now_s >= statement.exp_s:
        abandoned = now_s >= statement.exp_s + abandon_after_s
        standing = Standing.ABANDONED if abandoned else Standing.EXPIRED
    return grant, standing


def ended_grants(statement: Statement | None, *, denied: Collection[bytes]) -> frozenset[bytes]:
    """
    Return the ids of all grants whose data is to be destroyed.

    A grant stays among them where a later one opened its purpose again: new consent revives no old data.
    """
    listed = () if statement is None else statement.grants
    erasable = [grant for grant in listed if grant.basis in _ERASABLE]
    ended = {grant.id for grant in erasable if _standing(grant, denied) is Standing.ENDED}
    lasting = {grant.id for grant in listed} - {grant.id for grant in erasable}
    return frozenset(ended | (set(denied) - lasting))


def unopened(statement: Statement, before: Statement | None) -> Statement:
    """
    Return *statement* as it counts until the device has stored it: what it closes is closed, what it opens is not.

    A grant that *before* does not list as valid counts as not given yet. What was collected under one that a restart
    forgets would be destroyed, with nobody left who knows that it was there.
    """
    listed = () if before is None else before.grants
    open_before = {grant.id for grant in listed if _standing(grant, ()) is Standing.VALID}
    grants = tuple(
        dataclasses.replace(grant, status=Status.UNKNOWN)
        if _standing(grant, ()) is Standing.VALID and grant.id not in open_before
        else grant
        for grant in statement.grants
    )
    return dataclasses.replace(statement, grants=grants)


def _newest(
    purpose: str, basis: Basis, digest: bytes, *, statement: Statement, denied: Collection[bytes]
) -> tuple[Grant | None, Standing]:
    """
    Return the grant that counts for this edition of *purpose*, and how the purpose stands by it.
    """
    of_purpose = [(grant, _standing(grant, denied)) for grant in statement.grants if grant.purpose == purpose]
    counting = [
        (grant, standing)
        for grant, standing in of_purpose
        if standing in _BINDS_EVERY_EDITION or (digest in grant.digests and grant.basis == basis)
    ]
    if not counting:
        return None, Standing.CLOSED if of_purpose else Standing.NONE
    return max(counting, key=lambda pair: (pair[0].since_s, _NARROWNESS[pair[1]], pair[0].id))


def _standing(grant: Grant, denied: Collection[bytes]) -> Standing:
    if grant.id in denied:
        return Standing.ENDED
    return STANDING_OF.get(grant.status, Standing.UNFAMILIAR)


def _because(account: str, standing: Standing, fresh: bool) -> str:
    if account not in BY_ACCOUNT:
        return "the account is in a state this release does not know"
    if account != Account.ACTIVE:
        return f"the account is {Account(account)}"
    if standing is Standing.VALID and not fresh:
        return "granted, but not confirmed since the last start or for too long"
    return standing


def _check_mint(mint: object) -> None:
    if mint is not _MINT:
        raise TypeError("a grant comes from decide(), nobody else makes one")
