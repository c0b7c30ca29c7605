"""
What a policy does with a household's readings, in sentences for the people who live there.

Owns: ``describe``: for each purpose what leaves and how coarse, what does not, why, to whom and where, how long it
may wait, how devices are named and how to stop it; with what a device holds (``Known``), also how it stands now.
Rules: pure and deterministic: equal policies give equal text. A sentence never says less than the policy lets
leave. No word of law or technique stands without a plain one beside it.
Does not: wrap, print, or read a device (rights, the command line).
Neighbours: spoken (fields in words), policy, consent, documents below.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from edge_sdk.core.claims import Account, Mechanism
from edge_sdk.core.consent import Decision, Queue, Standing, decide, standing_of
from edge_sdk.core.documents import Recipients, Statement
from edge_sdk.core.documents.recipients import RecipientKey
from edge_sdk.core.policy import Basis, Policy, Purpose, TextRule, View, purpose_digest
from edge_sdk.core.promised import abroad_words, kept_words, promise_words
from edge_sdk.core.spoken import (
    day_words,
    every_words,
    field_words,
    length_words,
    listed,
    name_words,
    place_words,
    text_words,
)
from edge_sdk.core.terms import Terms

_OPENING: Final = (
    "Through this software only what is listed here leaves the device, each line only for the purpose it stands "
    "under, and only while that purpose is allowed. Whatever else is read is dropped before anything is stored.",
    "What is stored or sent is encrypted on this device. Once it is packed for its recipient, nobody else can read it: "
    "not your network, not the servers in between, and not this device either.",
    "Beside that the operator learns what you allow, withdraw and erase here, and whoever carries the data sees when "
    "it is sent, about how much it is, and from which network address.",
)
_WHY: Final[Mapping[Basis, str]] = {
    Basis.CONSENT: "Only if you agree, and only for as long as you do (consent, GDPR Article 6(1)(a)).",
    Basis.CONTRACT: "It is part of the service you signed up for (contract, GDPR Article 6(1)(b)).",
    Basis.LEGAL_OBLIGATION: "The law requires the operator to have it (legal obligation, GDPR Article 6(1)(c)).",
    Basis.VITAL_INTEREST: "It protects somebody's life or health (vital interest, GDPR Article 6(1)(d)).",
    Basis.PUBLIC_TASK: "It serves a task in the public interest (public task, GDPR Article 6(1)(e)).",
    Basis.LEGITIMATE_INTEREST: "The operator has an interest in it and holds that yours does not outweigh it; you may "
    "object (legitimate interest, GDPR Article 6(1)(f)).",
}
_WHAT_FOR: Final[Mapping[str, str]] = {
    "EnforceSecurity": "To keep the service secure.",
    "ImproveExistingProductsAndServices": "To improve products and services that there are.",
    "MaintainITSystems": "To look after the operator's computers.",
    "RequestedServiceProvision": "To give you the service you asked for.",
    "ResearchAndDevelopment": "For research and development.",
    "ServiceOptimisation": "To make the service better.",
    "ServiceUsageAnalytics": "To learn how the service is used.",
    "TechnicalServiceProvision": "To keep the service working.",
}
_MECHANISM: Final[Mapping[str, str]] = {
    Mechanism.NONE: "where no transfer abroad takes place",
    Mechanism.ADEQUACY: "which is recognised as protecting data as well as the law here does",
    Mechanism.SCC: "under contract clauses that the law prescribes for transfers abroad",
    Mechanism.CONSENT: "because you agreed to the transfer abroad",
    Mechanism.DEIDENTIFIED: "as data that names nobody",
}
_ACCOUNT: Final[Mapping[str, str]] = {
    Account.ACTIVE: "",
    Account.SUSPENDED: "The account is suspended: nothing is collected or sent, and what waits here is kept.",
    Account.CANCELLED: "The account is cancelled: nothing is collected or sent any more.",
}
_UNFAMILIAR_ACCOUNT: Final = "The account is in a state this device does not know: nothing is collected or sent."
_STANDS: Final[Mapping[Standing, str]] = {
    Standing.VALID: "Allowed since {since}.",
    Standing.ENDED: "Refused, withdrawn or objected to since {since}.",
    Standing.RESTRICTED: "On hold since {since}.",
    Standing.EXPIRED: "Allowed since {since}, but what the operator confirmed was good until {until} only.",
    Standing.ABANDONED: "Allowed since {since}, but what the operator confirmed was good until {until} only.",
    Standing.NONE: "Not allowed yet.",
    Standing.CLOSED: "Another edition of this purpose was allowed, but not the one described here.",
    Standing.UNFAMILIAR: "In a state that this device does not know.",
}
_WITHDRAWN_HERE: Final = "Withdrawn on this device."
_STOPPED_HERE: Final = frozenset({Basis.CONSENT, Basis.LEGITIMATE_INTEREST})


@dataclass(frozen=True, slots=True)
class Known:
    """
    What a device holds beside its policy. ``denied`` are ids of the grants withdrawn on it, ``site`` what it is called,
    ``config`` the file that commands have to be told of, quoted for a shell; empty where they find it themselves.
    """

    statement: Statement | None
    denied: Collection[bytes]
    recipients: Recipients | None
    now_s: int
    site: str = ""
    config: str = ""


@dataclass(frozen=True, slots=True)
class ViewWords:
    """
    What one purpose gets of one kind of reading: a heading, what leaves below it, and what of the kind does not.
    """

    kind: str
    heading: str
    leaves: tuple[str, ...]
    identifier: str
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PurposeWords:
    """
    One purpose. ``now`` is empty where no device was asked; ``command`` is what stops it, exactly as to be typed.
    """

    name: str
    title: str
    now: str
    views: tuple[ViewWords, ...]
    why: str
    recipient: tuple[str, ...]
    waits: str
    kept: str
    stop: str
    command: str
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """
    A whole policy. ``never`` has what the policy declares and no purpose has, kind by kind; ``promises`` what holds for
    all purposes, nothing where the policy has no terms.
    """

    title: str
    opening: tuple[str, ...]
    account: str
    purposes: tuple[PurposeWords, ...]
    never: tuple[str, ...]
    promises: tuple[str, ...]


def describe(policy: Policy, known: Known | None = None) -> Description:
    """
    Return *policy* in words.

    Args:
        policy: as it is in force, or as it would be.
        known: what a device holds, None to describe the policy alone.
    """
    return Description(
        title=f"What this device may send: policy {policy.name}, version {policy.version}",
        opening=_OPENING,
        account=_account(known),
        purposes=tuple(_purpose(purpose, policy.terms, known) for purpose in policy.purposes.values()),
        never=_never(policy),
        promises=() if policy.terms is None else promise_words(policy.terms),
    )


def key_words(key: RecipientKey) -> str:
    """
    Return whose a certified key is, where and until when.
    """
    mechanism = _MECHANISM.get(key.mechanism, "on grounds this device does not know")
    place = place_words([key.region])
    return f"{key.kid.hex()} of {key.operator} in {place}, {mechanism}, until {day_words(key.exp_s)}"


def _purpose(purpose: Purpose, terms: Terms | None, known: Known | None) -> PurposeWords:
    stop, command, after = _stop(purpose, terms, known)
    return PurposeWords(
        name=purpose.name,
        title=name_words(purpose.name),
        now="" if known is None else _now(purpose, known),
        views=tuple(_view(view) for view in purpose.views),
        why=f"{_what_for(purpose.dpv)} {_WHY[purpose.basis]}",
        recipient=_recipient(purpose, known),
        waits=f"What could not be sent yet waits on this device, encrypted, for at most "
        f"{length_words(purpose.keep_at_most_ms)}; then it is deleted.",
        kept="" if purpose.reach is None else kept_words(purpose.recipient, purpose.reach),
        stop=stop,
        command=command,
        after=after,
    )


def _what_for(dpv: str) -> str:
    """
    Return a term of the Data Privacy Vocabulary as a sentence; one that no table knows in its own words:
    ``dpv:DirectMarketing`` is direct marketing.
    """
    term = dpv.rpartition(":")[2]
    words = " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z\s]+", term)).lower()
    return _WHAT_FOR.get(term, f"For {words}.")


def _view(view: View) -> ViewWords:
    kind = name_words(view.kind.name)
    if view.every_ms is not None:
        heading = f"Of each {kind}, {every_words(view.every_ms)}:"
    else:
        heading = f"With every {kind} reading{', sent at once' if view.now else ''}:"
    shown = {view_field.field.name for view_field in view.fields}
    return ViewWords(
        kind=view.kind.name,
        heading=heading,
        leaves=tuple(field_words(entry) for entry in view.fields if entry.field.name != view.kind.source),
        identifier=_identifier(view, kind),
        lacks=tuple(name_words(field.name) for field in view.kind.fields if field.name not in shown),
    )


def _identifier(view: View, kind: str) -> str:
    source = name_words(view.kind.source)
    if view.group is None:
        return f"It is not told which {kind} this is about."
    entry = view.fields[view.group]
    if entry.text is TextRule.PSEUDONYM:
        return (
            f"The {source} does not leave: in its place stands a name made up on this device, which changes "
            f"{every_words(entry.amount)} and which nobody but this device can lead back to the {source}."
        )
    return f"What it is about is told by the {source}, {text_words(entry)}."


def _recipient(purpose: Purpose, known: Known | None) -> tuple[str, ...]:
    to = f"The recipient that the policy calls {purpose.recipient}, in {place_words(purpose.regions)} and nowhere else."
    abroad = () if purpose.reach is None else abroad_words(purpose.reach, purpose.regions)
    if known is None:
        return (to, *abroad)
    certified = [
        key
        for key in (known.recipients.keys if known.recipients is not None else ())
        if key.operator == purpose.recipient and key.region in purpose.regions and key.nbf_s <= known.now_s < key.exp_s
    ]
    if not certified:
        none = f"No key of {purpose.recipient} is certified for that at present, so nothing can be packed."
        return (to, *abroad, none)
    return (to, *abroad, *(f"It can be opened with this key only: {key_words(key)}." for key in certified))


def _stop(purpose: Purpose, terms: Terms | None, known: Known | None) -> tuple[str, str, tuple[str, ...]]:
    """
    Return how to stop *purpose*, the command for it, and what to know afterwards.
    """
    whom = purpose.recipient if terms is None else f"{terms.controller}, {terms.contact},"
    left = f"What {purpose.recipient} has received already is no longer here: ask {whom} to have it deleted."
    at = f" --config {known.config}" if known is not None and known.config else ""
    if purpose.basis in _STOPPED_HERE:
        verb = "withdraw your consent" if purpose.basis is Basis.CONSENT else "object"
        effect = (
            "That needs no network, takes effect at once and deletes what waits here for this purpose. The operator "
            "is told, and can do the same for you."
        )
        return f"To {verb}, on this device:", f"edge-sdk consent withdraw {purpose.name}{at}", (effect, left)
    name = known.site if known is not None and known.site else "NAME"
    meant = "" if name != "NAME" else " (NAME is the name that site.toml gives this device)"
    goes = "It goes with the account: cancel the account with the operator, or erase all there is on this device"
    return f"{goes}{meant}:", f"edge-sdk wipe --confirm {name}{at}", (left,)


def _never(policy: Policy) -> tuple[str, ...]:
    told = []
    for kind in policy.kinds.values():
        leaves = {
            view_field.field.name
            for purpose in policy.purposes.values()
            for view in purpose.views
            if view.kind.name == kind.name
            for view_field in view.fields
        }
        never = [name_words(field.name) for field in kind.fields if field.name not in leaves]
        if never:
            whole = "Nothing at all" if not leaves else "Never"
            told.append(f"{whole} of each {name_words(kind.name)}: {listed(never)}.")
    return tuple(told)


def _account(known: Known | None) -> str:
    if known is None or known.statement is None:
        return ""
    return _ACCOUNT.get(known.statement.account, _UNFAMILIAR_ACCOUNT)


def _now(purpose: Purpose, known: Known) -> str:
    """
    Return how *purpose* stands by what the device holds, and what that means; contact with the operator aside.
    """
    digest = purpose_digest(purpose)
    grant, standing = standing_of(
        purpose.name, purpose.basis, digest, statement=known.statement, denied=known.denied, now_s=known.now_s
    )
    decision = decide(
        purpose=purpose.name, basis=purpose.basis, digest=digest, statement=known.statement, fresh=True,
        denied=known.denied, now_s=known.now_s,
    )  # fmt: skip
    stands = _STANDS[standing]
    if grant is not None and known.statement is not None:
        stands = _WITHDRAWN_HERE if grant.id in known.denied else stands
        stands = stands.format(since=day_words(grant.since_s), until=day_words(known.statement.exp_s))
    return " ".join(filter(None, (stands, _meaning(decision))))


def _meaning(decision: Decision) -> str:
    if decision.send is not None:
        return ""
    if decision.collect is not None:
        return "What is read is kept here, and nothing is sent."
    if decision.queue is Queue.DESTROY:
        return "Nothing is collected or sent, and what waited here is deleted."
    return "Nothing is collected or sent; what waits here, if anything, is kept."
