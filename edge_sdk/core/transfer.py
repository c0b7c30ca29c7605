"""
May rows of a purpose go to this key: what a transfer out of the regions of home needs, and what of it is missing.

Owns: ``lacks``, ``key_for``, the only choice of a key to seal to, and ``fate`` of what was sealed before (SPEC 5.8).
Rules: a key at home needs nothing here. Elsewhere everything that the terms name has to be there at once: what the
recipients document certifies, what the household agreed to under ``cross_border``, what the views let leave. A word
that no rule here knows is never met. Asked at each seal and send; nothing is remembered.
Does not: accept documents, or decide whether the purpose itself may collect (consent).
Neighbours: documents, consent, deidentify below; consent_state asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from edge_sdk.core.claims import Mechanism
from edge_sdk.core.consent import CollectGrant, Queue, Standing, standing_of
from edge_sdk.core.deidentify import identifying
from edge_sdk.core.documents import RecipientKey, Recipients, Statement, recipient_for
from edge_sdk.core.policy import Basis, Purpose
from edge_sdk.core.terms import CROSS_BORDER
from edge_sdk.errors import ConsentRefused

Fate = Callable[[Purpose, bytes, bytes], Queue]
"""What becomes of a batch, by its purpose, the digest of that and the name of the key it was sealed to."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """
    What a device holds that bears on a transfer. ``denied`` are ids of the grants withdrawn on it.
    """

    statement: Statement | None
    denied: Collection[bytes]
    now_s: int


def key_for(
    purpose: Purpose, grant: CollectGrant, *, recipients: Recipients | None, held: Accepted, algs: Collection[int]
) -> RecipientKey:
    """
    Return the key that batches of *purpose* are sealed to now.

    Raises:
        ConsentRefused: no certified key fits purpose, regions and grant, or a transfer to it lacks something.
    """
    if recipients is None:
        raise ConsentRefused("no recipients document yet", hint="let the device reach the collector once")

    def choose(keys: tuple[RecipientKey, ...]) -> RecipientKey:
        return recipient_for(
            replace(recipients, keys=keys), operator=purpose.recipient, regions=purpose.regions,
            kids=grant.recipients, algs=algs, now_s=held.now_s,
        )  # fmt: skip

    missing = {key: lacks(purpose, grant.digest, key, held) for key in recipients.keys}
    try:
        return choose(tuple(key for key in recipients.keys if not missing[key]))
    except ConsentRefused:
        key = choose(recipients.keys)  # where there is none even so, that is what is told
        raise ConsentRefused(
            f"{purpose.name} would go abroad, and {' and '.join(missing[key])}",
            hint="'edge-sdk describe' says what a transfer needs",
        ) from None


def lacks(purpose: Purpose, digest: bytes, key: RecipientKey, held: Accepted) -> tuple[str, ...]:
    """
    Return what is missing before rows of *purpose* may be sealed to *key*; nothing where they may.

    Args:
        digest: of the edition the rows are of.
    """
    reach = purpose.reach
    if reach is None or key.region in reach.home:
        return ()
    if not reach.transfer:
        return ("the terms allow no transfer",)
    missing = [] if key.mechanism in reach.transfer else ["its key is certified for another mechanism"]
    rules = [_RULES.get(mechanism, _never) for mechanism in reach.transfer]
    return (*missing, *(said for rule in rules if (said := rule(purpose, digest, key, held))))


def fate(purpose: Purpose, digest: bytes, kid: bytes, *, recipients: Recipients | None, held: Accepted) -> Queue:
    """
    Return what becomes of a batch of *purpose* that was sealed to the key *kid* before.

    It may go where it could be sealed now. It is destroyed where the household took back that it goes abroad, and
    else it waits: what is missing may come again.
    """
    if purpose.reach is None or not purpose.reach.abroad(purpose.regions):
        return Queue.KEEP
    key = next((key for key in (() if recipients is None else recipients.keys) if key.kid == kid), None)
    if key is None:
        return Queue.HOLD
    if not lacks(purpose, digest, key, held):
        return Queue.KEEP
    asks = Mechanism.CONSENT in purpose.reach.transfer
    return Queue.DESTROY if asks and consent_to(digest, kid, held) is Standing.ENDED else Queue.HOLD


def consent_to(digest: bytes, kid: bytes, held: Accepted) -> Standing:
    """
    Return how the household's consent to transfers stands for one edition of a purpose and one key.
    """
    grant, standing = standing_of(
        CROSS_BORDER, Basis.CONSENT, digest, statement=held.statement, denied=held.denied, now_s=held.now_s
    )
    is_other = standing is Standing.VALID and (grant is None or kid not in grant.recipients)
    return Standing.NONE if is_other else standing


def _consented(_: Purpose, digest: bytes, key: RecipientKey, held: Accepted) -> str:
    standing = consent_to(digest, key.kid, held)
    return "" if standing is Standing.VALID else f"the consent to that ({CROSS_BORDER}): {standing}"


def _deidentified(purpose: Purpose, *_: object) -> str:
    reasons = identifying(purpose)
    return f"its rows are not de-identified: {reasons[0]}" if reasons else ""


def _certified(_: Purpose, __: bytes, key: RecipientKey, ___: Accepted) -> str:
    return "" if key.mechanism == Mechanism.SCC else "no contract clauses are certified for its key"


def _never(*_: object) -> str:
    return "this release does not know what the terms ask for"


_RULES: Final[Mapping[Mechanism, Callable[[Purpose, bytes, RecipientKey, Accepted], str]]] = {
    Mechanism.CONSENT: _consented,
    Mechanism.DEIDENTIFIED: _deidentified,
    Mechanism.SCC: _certified,
}
