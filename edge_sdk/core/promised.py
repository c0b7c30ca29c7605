"""
The promises of a policy in sentences for the people whose data it is about.

Owns: how ``Terms`` and ``Reach`` read.
Rules: as in describe: pure, deterministic, no word of law without a plain one. What binds the operator and cannot be
seen to by this software is told as the operator's promise, not as a fact.
Does not: say whether a transfer is allowed now (describe asks transfer).
Neighbours: spoken below; describe above.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from edge_sdk.core.claims import Mechanism
from edge_sdk.core.spoken import counted, length_words, place_words
from edge_sdk.core.terms import CROSS_BORDER, ChildAccount, Reach, Terms
from edge_sdk.core.units import HOUR_MS

_NEEDS: Final[Mapping[Mechanism, str]] = {
    Mechanism.CONSENT: "you have agreed to the transfer, which is asked for separately",
    Mechanism.DEIDENTIFIED: "the rows name no person and no device and have coarse values of whole days only",
    Mechanism.SCC: "the recipient is bound by the contract clauses that the law prescribes for it",
}
_CHILD: Final[Mapping[ChildAccount, str]] = {
    ChildAccount.WIPE: "has no account: where one is found, the operator cancels it, which erases what is here",
    ChildAccount.PARENT: "has an account only with a parent's consent: without it the operator cancels the account, "
    "which erases what is here",
}


def promise_words(terms: Terms) -> tuple[str, ...]:
    """
    Return what holds for all purposes, a sentence or two each.
    """
    return tuple(_promises(terms))


def abroad_words(reach: Reach, regions: Collection[str]) -> tuple[str, ...]:
    """
    Return what has to be there before anything goes to those of *regions* that are not home; nothing if none is.
    """
    abroad = reach.abroad(regions)
    if not abroad:
        return ()
    said = [f"In {place_words(abroad)} only if {needs_words(reach.transfer)}; otherwise nothing is packed for there."]
    if Mechanism.CONSENT in reach.transfer:
        said.append(f"To take back that you agreed to transfers: edge-sdk consent withdraw {CROSS_BORDER}")
    return tuple(said)


def needs_words(transfer: Collection[Mechanism]) -> str:
    """
    Return what a transfer needs, all of it.
    """
    return ", and if ".join(_NEEDS[mechanism] for mechanism in transfer)


def kept_words(recipient: str, reach: Reach) -> str:
    """
    Return for how long a recipient may keep a row.
    """
    return f"{recipient} promises to delete what it got after {length_words(reach.retention_ms)} at the latest."


def _promises(terms: Terms) -> Iterator[str]:
    yield f"Who answers for it: {terms.controller}; where to turn: {terms.contact}."
    home = place_words(terms.reach.home)
    if terms.reach.transfer:
        yield f"The data is at home in {home}. It goes elsewhere only if {needs_words(terms.reach.transfer)}."
    else:
        yield f"The data is at home in {home} and goes nowhere else."
    yield (
        "Should data get into the wrong hands, the operator promises to tell the authorities within "
        f"{_hours(terms.breach_notice_ms)} of noticing, and you. What this device notices of that it tells the "
        "operator before anything else, without readings: edge-sdk status."
    )
    yield (
        "Ask to see, correct, take along or delete what the operator has, and you are promised an answer within "
        f"{length_words(terms.answer_within_ms)}. What is here you can see at once: edge-sdk export."
    )
    yield (
        "If the account is cancelled, or a new version of the policy refused, the operator orders this device to erase "
        "everything, which it does at once, and tells each recipient to delete what it got."
    )
    if terms.child_below:
        yield f"A child, here anyone below {terms.child_below}, {_CHILD[terms.child_account]}."


def _hours(length_ms: int) -> str:
    """
    Return a time limit as the law counts it: ``72 hours``, not ``3 days``.
    """
    return length_words(length_ms) if length_ms % HOUR_MS else counted(length_ms // HOUR_MS, "hour")
