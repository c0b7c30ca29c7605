"""
What a statement says: from grants as the authority keeps them to the signed document.

Rules: a device gets the grant in force for each purpose, ended ones no more; purposes on a basis other than
consent are granted at enrolment, consent only when the operator named the purpose; an event that gives
consent makes a new grant id, so that a denial made on the device is never lifted by the old one. Pure: ids
come in as random bytes. Not here: keeping (``registry``), when to issue (``authority``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final

from edge_sdk.collector.offices import AuthorityKeys, signed
from edge_sdk.collector.registry import Device, GrantRow
from edge_sdk.core.claims import ID_BYTES, Mechanism, Role, Status
from edge_sdk.core.consent import STANDING_OF, Standing
from edge_sdk.core.documents import (
    STATEMENT_VALID_S,
    Grant,
    RecipientKey,
    Statement,
    audience_of,
    sign_statement,
)
from edge_sdk.core.documents.statement import MAX_DIGESTS, MAX_GRANT_RECIPIENTS, MAX_GRANTS
from edge_sdk.core.policy import Basis, Purpose
from edge_sdk.core.terms import CROSS_BORDER
from edge_sdk.errors import ConfigError

Draw = Callable[[int], bytes]

_EDITIONS: Final = 2
_WITHDRAWABLE: Final = frozenset({str(Basis.CONSENT), str(Basis.LEGITIMATE_INTEREST)})
GIVING: Final = frozenset({Status.GIVEN, Status.RENEWED})


def new_grant(
    generation: bytes,
    edition: tuple[bytes, Purpose],
    *,
    status: Status,
    recipients: Iterable[RecipientKey],
    now_s: int,
    draw: Draw,
) -> GrantRow:
    """
    Return a grant with an id of its own.

    Args:
        generation: whose it is.
        edition: digest and purpose it covers.
        status: what the event came to.
        recipients: every certified key; those of the purpose's recipient in its regions are listed.
        now_s: Unix seconds.
        draw: returns random bytes.
    """
    digest, purpose = edition
    return GrantRow(
        id=draw(ID_BYTES),
        generation=generation,
        purpose=purpose.name,
        basis=str(purpose.basis),
        status=str(status),
        digests=(digest,),
        kids=fitting_kids(purpose, recipients),
        issued_s=now_s,
        since_s=now_s,
    )


def transfer_grant(
    generation: bytes,
    purposes: Mapping[bytes, Purpose],
    *,
    status: Status,
    recipients: Iterable[RecipientKey],
    now_s: int,
    draw: Draw,
) -> GrantRow:
    """
    Return a grant on the consent to transfers, for every purpose among *purposes* whose terms ask for it.

    Raises:
        ConfigError: none does, or more than one grant has room for.
    """
    asking = {digest: purpose for digest, purpose in purposes.items() if asks_for_transfer(purpose)}
    if not 1 <= len(asking) <= MAX_DIGESTS:
        raise ConfigError(
            f"{len(asking)} purposes ask for consent to transfers", hint=f"1 to {MAX_DIGESTS} can be consented to"
        )
    return GrantRow(
        id=draw(ID_BYTES),
        generation=generation,
        purpose=CROSS_BORDER,
        basis=str(Basis.CONSENT),
        status=str(status),
        digests=tuple(sorted(asking)),
        kids=grant_kids(CROSS_BORDER, asking.values(), recipients),
        issued_s=now_s,
        since_s=now_s,
    )


def asks_for_transfer(purpose: Purpose) -> bool:
    """
    Tell whether *purpose* may go abroad and its terms ask for consent to that.
    """
    reach = purpose.reach
    return reach is not None and Mechanism.CONSENT in reach.transfer and bool(reach.abroad(purpose.regions))


def grant_kids(name: str, purposes: Iterable[Purpose], recipients: Iterable[RecipientKey]) -> tuple[bytes, ...]:
    """
    Return the keys that a grant called *name* lists for *purposes*; of the consent to transfers those abroad.
    """
    certified = list(recipients)
    kids = {kid for purpose in purposes for kid in fitting_kids(purpose, _abroad(name, purpose, certified))}
    newest = sorted((key.nbf_s, key.kid) for key in certified if key.kid in kids)[-MAX_GRANT_RECIPIENTS:]
    return tuple(sorted(kid for _, kid in newest))


def _abroad(name: str, purpose: Purpose, certified: list[RecipientKey]) -> list[RecipientKey]:
    if name != CROSS_BORDER or purpose.reach is None:
        return certified
    return [key for key in certified if key.region not in purpose.reach.home]


def first_grants(
    generation: bytes,
    purposes: Mapping[bytes, Purpose],
    *,
    consented: Collection[str],
    recipients: Collection[RecipientKey],
    now_s: int,
    draw: Draw,
) -> list[GrantRow]:
    """
    Return the grants of a newly enrolled device: every purpose that needs no consent, and the consented ones.
    """
    grants = [
        new_grant(generation, edition, status=Status.GIVEN, recipients=recipients, now_s=now_s, draw=draw)
        for edition in sorted(purposes.items(), key=lambda item: item[1].name)
        if edition[1].basis is not Basis.CONSENT or edition[1].name in consented
    ]
    if CROSS_BORDER in consented:
        made = transfer_grant(
            generation, purposes, status=Status.GIVEN, recipients=recipients, now_s=now_s, draw=draw
        )
        grants.append(made)
    return grants


def is_final(status: str) -> bool:
    """
    Tell whether a grant in this state is over: it never changes again, and only one with another id lifts it.
    """
    return STANDING_OF.get(status) is Standing.ENDED


def withdrawn_status(basis: str) -> Status:
    """
    Return what a household's no to a grant on *basis* is called.
    """
    return Status.OBJECTED if basis == Basis.LEGITIMATE_INTEREST else Status.WITHDRAWN


def fitting_kids(purpose: Purpose, recipients: Iterable[RecipientKey]) -> tuple[bytes, ...]:
    """
    Return the keys of a purpose's recipient in its regions, the newest ones that a grant has room for, by kid.
    """
    fitting = [key for key in recipients if key.operator == purpose.recipient and key.region in purpose.regions]
    newest = sorted(fitting, key=lambda key: (key.nbf_s, key.kid))[-MAX_GRANT_RECIPIENTS:]
    return tuple(sorted(key.kid for key in newest))


def issue(
    device: Device, grants: Iterable[GrantRow], *, version: int, now_s: int, keys: AuthorityKeys
) -> tuple[bytes, int]:
    """
    Return the signed statement of *device* and the Unix second it expires.

    Args:
        device: whom it is for.
        grants: all of its grants; of those that were replaced only the newest are listed.
        version: above every version issued before.
        now_s: Unix seconds.
        keys: what signs for the statement role.

    Raises:
        Refused: fewer keys of the role are here than its threshold asks for.
    """
    expires_s = now_s + STATEMENT_VALID_S
    statement = Statement(
        audience=audience_of(device.signing_key),
        generation=device.generation,
        version=version,
        iat_s=now_s,
        nbf_s=now_s,
        exp_s=expires_s,
        account=device.account,
        grants=tuple(_grant(row) for row in _listed(grants)),
    )
    return signed(partial(sign_statement, statement), keys, Role.STATEMENT), expires_s


def _listed(grants: Iterable[GrantRow]) -> list[GrantRow]:
    # The edition before the newest stays listed, so that what was queued under it can still be sent. So does, as far
    # as there is room, the grant that a newer consent took the place of: a device that was away learns from it whether
    # what it still has was withdrawn or only renewed.
    by_purpose: dict[str, list[GrantRow]] = {}
    replaced: dict[str, GrantRow] = {}
    for row in grants:
        if row.ended_s is None:
            by_purpose.setdefault(row.purpose, []).append(row)
        elif row.basis in _WITHDRAWABLE:
            replaced[row.purpose] = row
    in_force = [row for rows in by_purpose.values() for row in rows[-_EDITIONS:]]
    latest = sorted(replaced.values(), key=lambda row: row.since_s, reverse=True)
    return [*latest[: max(0, MAX_GRANTS - len(in_force))], *in_force]


def _grant(row: GrantRow) -> Grant:
    return Grant(
        id=row.id,
        purpose=row.purpose,
        basis=row.basis,
        status=row.status,
        digests=row.digests,
        recipients=row.kids,
        since_s=row.since_s,
    )
