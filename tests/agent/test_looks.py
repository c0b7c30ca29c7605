"""
How long the agent leaves messages in a socket: long enough that a wake-up brings many, never so long that it fills.
"""

from __future__ import annotations

import pytest

from edge_sdk.agent.peer import LOOK_LATE_S, LOOK_SOON_S, MESSAGES_AT_ONCE, WANTED, rest_s

SOCKET_HOLDS = 70  # of messages with 64 points, where the kernel's buffer is the smaller of the usual two


def looks(per_s: float, count: int = 20) -> list[tuple[float, int]]:
    """The rests of *count* looks at a connection with so many messages a second, and what each then found."""
    rested_s, came, found = 0.0, 1, []
    for _ in range(count):
        rested_s = rest_s(rested_s, came)
        came = round(per_s * rested_s)
        found.append((rested_s, came))
    return found


@pytest.mark.parametrize("per_s", [0.5, 2, 7, 8, 9, 15, 30, 60, 120, 400, 800])
def test_at_a_steady_pace_a_look_finds_what_a_socket_holds_or_less(per_s: float) -> None:
    assert max(came for _, came in looks(per_s)[1:]) <= max(SOCKET_HOLDS, per_s * LOOK_SOON_S)


@pytest.mark.parametrize("per_s", [15, 30, 60, 120, 400])
def test_many_messages_are_left_until_about_as_many_came_as_are_wanted(per_s: float) -> None:
    assert all(WANTED / 2 <= came <= MESSAGES_AT_ONCE for _, came in looks(per_s)[2:])


@pytest.mark.parametrize("per_s", [0.1, 1, 8, 10, 1000])
def test_nothing_is_left_for_longer_than_is_promised(per_s: float) -> None:
    assert all(LOOK_SOON_S <= rested_s <= LOOK_LATE_S for rested_s, _ in looks(per_s))


@pytest.mark.parametrize("came", [WANTED + 1, MESSAGES_AT_ONCE, 1000])
def test_after_a_burst_the_next_look_is_soon(came: int) -> None:
    assert rest_s(0.0, came) == LOOK_SOON_S


def test_a_pace_that_rises_tenfold_is_met_at_the_next_look() -> None:
    rested_s = looks(10)[-1][0]
    assert rest_s(rested_s, round(100 * rested_s)) * 100 <= SOCKET_HOLDS
