"""
What state a site is in, what changes it, and which rooms are open in each.

Owns: the transition table and the table of open rooms (SPEC 10.1).
Rules: both tables are total; nothing leads out of a wipe but its end; a site that is being wiped opens no
room but the wipe's own.
Does not: act on a change or remember the state (vault, wipe). Neighbours: consent, wipe and opening above.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from edge_sdk.errors import LifecycleRefused


class State(enum.StrEnum):
    """
    Name the state of a site.
    """

    UNPROVISIONED = "unprovisioned"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"
    WIPING = "wiping"
    WIPED = "wiped"


class Event(enum.StrEnum):
    """
    Name what can happen to a site.
    """

    ENROLLED = "enrolled"
    ACCOUNT_ACTIVE = "account active"
    ACCOUNT_SUSPENDED = "account suspended"
    ACCOUNT_CANCELLED = "account cancelled"
    WIPE_INTENT = "wipe intent on disk"
    ERASED = "erased"
    RECEIPT_DELIVERED = "wipe receipt delivered"


class Room(enum.StrEnum):
    """
    Name what a site can do.
    """

    ENROL = "enrol"
    COLLECT = "collect"
    SEND = "send"
    LISTEN = "fetch documents"
    """Fetch downlinks, root and recipients."""
    LANE = "deliver control messages"
    """Deliver control messages and wipe receipts."""
    WIPE = "wipe"


_U, _A, _S, _C = State.UNPROVISIONED, State.ACTIVE, State.SUSPENDED, State.CANCELLED
_W, _X = State.WIPING, State.WIPED

# One row per state, one column per event in the order of Event; None is refused.
_TABLE: Final[Mapping[State, tuple[State | None, ...]]] = {
    #   enrolled  active  suspended  cancelled  intent  erased  delivered
    _U: (_A, None, None, None, _W, None, _U),
    _A: (None, _A, _S, _C, _W, None, _A),
    _S: (None, _A, _S, _C, _W, None, _S),
    _C: (None, _A, _S, _C, _W, None, _C),
    _W: (None, _W, _W, _W, _W, _X, _W),  # no consent, account or second order changes a wipe
    _X: (_A, None, None, None, _X, _X, _U),  # a new owner may come before the old receipt is delivered
}
TRANSITIONS: Final[Mapping[tuple[State, Event], State | None]] = {
    (state, event): row[column] for state, row in _TABLE.items() for column, event in enumerate(Event)
}
OPEN: Final[Mapping[State, frozenset[Room]]] = {
    _U: frozenset({Room.ENROL, Room.WIPE}),
    _A: frozenset({Room.COLLECT, Room.SEND, Room.LISTEN, Room.LANE, Room.WIPE}),
    _S: frozenset({Room.LISTEN, Room.LANE, Room.WIPE}),
    _C: frozenset({Room.LISTEN, Room.LANE, Room.WIPE}),
    _W: frozenset({Room.WIPE}),
    _X: frozenset({Room.ENROL, Room.LANE, Room.WIPE}),
}


def after(state: State, event: Event) -> State:
    """
    Return the state that follows *event*.

    Raises:
        LifecycleRefused: the event has no place in *state*.
    """
    following = TRANSITIONS[state, event]
    if following is None:
        raise LifecycleRefused(f"a site that is {state} cannot be told: {event}")
    return following


def check_open(state: State, room: Room) -> None:
    """
    Check that *room* is open in *state*.

    Raises:
        LifecycleRefused: it is closed.
    """
    if room not in OPEN[state]:
        raise LifecycleRefused(f"a site that is {state} does not {room}", hint=_HINTS[state])


_HINTS: Final[Mapping[State, str]] = {
    _U: "enrol it with a claim code",
    _A: "nothing is wrong; the caller asked for the wrong thing",
    _S: "the account is suspended; its operator lifts that",
    _C: "the account is cancelled; wipe the device or have the account renewed",
    _W: "wait for the wipe to end; it resumes by itself after a restart",
    _X: "enrol it anew with 'edge-sdk init'",
}
