"""
What each purpose of the policy in force may do, decided anew when anything that it rests on has changed.

A decision rests on the documents that are accepted, the grants denied on this device, whether the authority was heard
lately, what rows are timed by, and time. Documents are replaced and never changed, so that the same one decides the
same; of time only certain instants count (a document or key that begins or ends, a pseudonym period that turns), and a
clock that goes back counts as one. Nothing is remembered over a start. What follows from a decision is ``binding``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edge_sdk.clock import Now
from edge_sdk.consent_state import FRESH_WITHIN_MS, ConsentState
from edge_sdk.core.batch import ClockQuality
from edge_sdk.core.consent import ABANDON_AFTER_S, Decision, Queue
from edge_sdk.core.documents import Recipients, Statement
from edge_sdk.core.policy import Policy, Purpose, purpose_digest
from edge_sdk.core.pseudonym import period_of
from edge_sdk.errors import Refused
from edge_sdk.vault import Vault

Wanted = tuple[bytes, bytes, int, int | None]  # grant id, purpose digest, pseudonym period, timing


class _Grounds(NamedTuple):
    """
    What was decided on, and between which instants that stays so: wall in seconds, floor in milliseconds.
    """

    statement: Statement | None
    recipients: Recipients | None
    denied: tuple[bytes, ...]
    is_fresh: bool
    timing: int | None
    wall_s: tuple[int, float]
    floor_ms: tuple[int, float]


class Deciding:
    """
    The decisions of one site, by purpose.
    """

    def __init__(self, policy: Policy, vault: Vault, consent: ConsentState) -> None:
        self.decisions: dict[str, Decision] = {}
        self._purposes = policy.purposes
        self._vault = vault
        self._consent = consent
        self._digests = {name: purpose_digest(purpose) for name, purpose in policy.purposes.items()}
        self._grounds: _Grounds | None = None
        self._known: dict[tuple[str, bytes], Decision] = {}  # decided on those grounds

    def decide(self, now: Now) -> None:
        """
        Ask what every purpose may do now.
        """
        for name, purpose in self._purposes.items():
            self.decisions[name] = self._consent.decide_digest(purpose, self._digests[name], now)

    def of_edition(self, purpose: Purpose, digest: bytes, now: Now) -> Decision:
        """
        Return what *purpose* in the edition *digest* may do at *now*.
        """
        if not self.is_settled(now):
            return self._consent.decide_digest(purpose, digest, now)
        decision = self._known.get((purpose.name, digest))
        if decision is None:
            decision = self._consent.decide_digest(purpose, digest, now)
            self._known[purpose.name, digest] = decision
        return decision

    def wanted(self, now: Now) -> dict[str, Wanted | None]:
        """
        Return what each purpose is to be bound to by its decision, None for nothing.

        A purpose without a recipient is put on hold, and its decision says so.
        """
        return {name: self._wanted(purpose, now) for name, purpose in self._purposes.items()}

    def remember(self, now: Now) -> None:
        """
        Take note of what was decided on at *now*.
        """
        consent, wall_s, floor_ms = self._consent, now.wall_s, now.floor_ms
        turns = (_periods_end(purpose, floor_ms) for purpose in self._purposes.values())
        self._known = {}
        self._grounds = _Grounds(
            consent.statement, consent.recipients, tuple(consent.held.denied), consent.is_fresh(now),
            timing_of(now),
            (wall_s, min((at for at in _instants(consent) if at > wall_s), default=float("inf"))),
            (floor_ms, min(turns, default=float("inf"))),
        )  # fmt: skip

    def is_settled(self, now: Now) -> bool:
        """
        Tell whether everything that was decided on is still so at *now*.
        """
        grounds, consent = self._grounds, self._consent
        return (
            grounds is not None
            and grounds.statement is consent.statement
            and grounds.recipients is consent.recipients
            and grounds.denied == tuple(consent.held.denied)
            and grounds.is_fresh == consent.is_fresh(now)
            and grounds.timing == timing_of(now)
            and grounds.wall_s[0] <= now.wall_s < grounds.wall_s[1]
            and grounds.floor_ms[0] <= now.floor_ms < grounds.floor_ms[1]
        )

    def rest_ms(self, now: Now, most_ms: int, due_ms: int) -> int:
        """
        Return in how many milliseconds time alone ends what was decided last, or *due_ms* comes on the monotonic clock,
        or *most_ms*: also where one of them is over, and what follows is tried again.
        """
        left_ms: list[float] = [due_ms - now.mono_ms]
        if (grounds := self._grounds) is not None:
            left_ms += grounds.wall_s[1] * 1000 - now.wall_ms, grounds.floor_ms[1] - now.floor_ms
            if grounds.is_fresh:
                left_ms.append(self._consent.heard_at(now) + FRESH_WITHIN_MS - now.wall_ms)
        return int(min([most_ms, *(left for left in left_ms if left > 0)]))

    def _wanted(self, purpose: Purpose, now: Now) -> Wanted | None:
        decision = self.decisions[purpose.name]
        if decision.collect is None:
            return None
        try:
            self._consent.recipient(purpose, decision.collect, now)
        except Refused as refused:
            self.decisions[purpose.name] = Decision(None, None, Queue.HOLD, str(refused))
            return None
        period = period_of(now.floor_ms, purpose.period_ms)
        stored = self._vault.ring.pseudonyms.get(purpose.name)
        timing = timing_of(now)
        return decision.collect.grant_id, decision.collect.digest, max(period, stored[0] if stored else 0), timing


def timing_of(now: Now) -> int | None:
    """
    Return what rows are timed by: None for the wall, or the floor at the board's power-on.
    """
    return now.origin_ms if now.quality is ClockQuality.FLOOR else None


def _periods_end(purpose: Purpose, floor_ms: int) -> float:
    """
    Return when, by the floor, the pseudonym period of *purpose* is over; never for one without pseudonyms.
    """
    if purpose.period_ms is None:
        return float("inf")
    return (period_of(floor_ms, purpose.period_ms) + 1) * purpose.period_ms


def _instants(consent: ConsentState) -> Iterator[int]:
    """
    Yield every instant, in Unix seconds, at which a document or key begins or ceases to count.
    """
    if consent.statement is not None:
        exp_s = consent.statement.exp_s
        yield from (consent.statement.nbf_s, exp_s, exp_s + ABANDON_AFTER_S)
    if consent.recipients is not None:
        yield from (consent.recipients.nbf_s, consent.recipients.exp_s)
        for key in consent.recipients.keys:
            yield from (key.nbf_s, key.exp_s)
