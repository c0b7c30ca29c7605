from __future__ import annotations

import itertools

import pytest

from edge_sdk.core import lifecycle
from edge_sdk.core.lifecycle import Event, Room, State
from edge_sdk.errors import LifecycleRefused


def test_every_state_answers_every_event() -> None:
    assert set(lifecycle.TRANSITIONS) == set(itertools.product(State, Event))


# As in 10.1 of the specification; a dash is refused.
MOVES = """
               enrolled  active     suspended  cancelled  intent  erased  delivered
unprovisioned  active    -          -          -          wiping  -       unprovisioned
active         -         active     suspended  cancelled  wiping  -       active
suspended      -         active     suspended  cancelled  wiping  -       suspended
cancelled      -         active     suspended  cancelled  wiping  -       cancelled
wiping         -         wiping     wiping     wiping     wiping  wiped   wiping
wiped          active    -          -          -          wiped   wiped   unprovisioned
"""
OPEN = {
    State.UNPROVISIONED: {Room.ENROL, Room.WIPE},
    State.ACTIVE: {Room.COLLECT, Room.SEND, Room.LISTEN, Room.LANE, Room.WIPE},
    State.SUSPENDED: {Room.LISTEN, Room.LANE, Room.WIPE},
    State.CANCELLED: {Room.LISTEN, Room.LANE, Room.WIPE},
    State.WIPING: {Room.WIPE},
    State.WIPED: {Room.ENROL, Room.LANE, Room.WIPE},
}


@pytest.mark.parametrize("row", MOVES.splitlines()[2:])
def test_each_state_is_followed_by_what_the_specification_says(row: str) -> None:
    state, *following = row.split()
    for event, to in zip(Event, following, strict=True):
        assert lifecycle.TRANSITIONS[State(state), event] == (None if to == "-" else to)


@pytest.mark.parametrize(("state", "room"), [*itertools.product(State, Room)])
def test_a_state_opens_the_rooms_that_the_specification_says_and_no_other(state: State, room: Room) -> None:
    if room in OPEN[state]:
        lifecycle.check_open(state, room)
    else:
        with pytest.raises(LifecycleRefused):
            lifecycle.check_open(state, room)


def test_every_state_says_which_rooms_are_open() -> None:
    assert set(lifecycle.OPEN) == set(State)


@pytest.mark.parametrize("event", [event for event in Event if event not in (Event.ENROLLED, Event.ERASED)])
def test_nothing_but_its_end_leads_out_of_a_wipe(event: Event) -> None:
    assert lifecycle.after(State.WIPING, event) is State.WIPING


def test_a_wipe_ends_when_everything_is_erased() -> None:
    assert lifecycle.after(State.WIPING, Event.ERASED) is State.WIPED


@pytest.mark.parametrize("state", State)
def test_a_wipe_can_begin_in_every_state_but_after_one(state: State) -> None:
    following = State.WIPED if state is State.WIPED else State.WIPING
    assert lifecycle.after(state, Event.WIPE_INTENT) is following


def test_the_account_moves_a_site_between_three_states() -> None:
    moved = {
        lifecycle.after(state, event)
        for state in (State.ACTIVE, State.SUSPENDED, State.CANCELLED)
        for event in (Event.ACCOUNT_ACTIVE, Event.ACCOUNT_SUSPENDED, Event.ACCOUNT_CANCELLED)
    }
    assert moved == {State.ACTIVE, State.SUSPENDED, State.CANCELLED}


def test_a_wiped_site_is_unprovisioned_once_its_receipt_is_delivered() -> None:
    assert lifecycle.after(State.WIPED, Event.RECEIPT_DELIVERED) is State.UNPROVISIONED


@pytest.mark.parametrize("state", [State.UNPROVISIONED, State.WIPED])
def test_a_new_owner_enrols_before_or_after_the_old_receipt_is_delivered(state: State) -> None:
    assert lifecycle.after(state, Event.ENROLLED) is State.ACTIVE


@pytest.mark.parametrize("state", [State.ACTIVE, State.SUSPENDED, State.CANCELLED, State.WIPING])
def test_an_enrolled_site_is_not_enrolled_again(state: State) -> None:
    with pytest.raises(LifecycleRefused, match=f"{state} cannot be told: enrolled"):
        lifecycle.after(state, Event.ENROLLED)


def test_only_an_active_site_collects_and_sends() -> None:
    for room in (Room.COLLECT, Room.SEND):
        assert {state for state in State if room in lifecycle.OPEN[state]} == {State.ACTIVE}


def test_a_site_being_wiped_opens_no_other_room() -> None:
    assert lifecycle.OPEN[State.WIPING] == {Room.WIPE}


def test_an_open_room_may_be_entered() -> None:
    lifecycle.check_open(State.ACTIVE, Room.COLLECT)


@pytest.mark.parametrize("state", [state for state in State if state is not State.ACTIVE])
def test_a_closed_room_says_which_state_closed_it_and_what_to_do(state: State) -> None:
    with pytest.raises(LifecycleRefused, match=f"{state} does not collect") as caught:
        lifecycle.check_open(state, Room.COLLECT)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("state", "event", "said"),
    [
        (State.UNPROVISIONED, Event.ACCOUNT_ACTIVE, "a site that is unprovisioned cannot be told: account active"),
        (State.WIPED, Event.ACCOUNT_SUSPENDED, "a site that is wiped cannot be told: account suspended"),
        (State.WIPED, Event.ACCOUNT_CANCELLED, "a site that is wiped cannot be told: account cancelled"),
        (State.ACTIVE, Event.ERASED, "a site that is active cannot be told: erased"),
        (State.SUSPENDED, Event.ENROLLED, "a site that is suspended cannot be told: enrolled"),
    ],
)
def test_a_refused_event_is_told_in_words(state: State, event: Event, said: str) -> None:
    with pytest.raises(LifecycleRefused) as caught:
        lifecycle.after(state, event)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("state", "room", "said"),
    [
        (State.ACTIVE, Room.ENROL, "a site that is active does not enrol"),
        (State.SUSPENDED, Room.COLLECT, "a site that is suspended does not collect"),
        (State.CANCELLED, Room.SEND, "a site that is cancelled does not send"),
        (State.WIPING, Room.LISTEN, "a site that is wiping does not fetch documents"),
        (State.UNPROVISIONED, Room.LANE, "a site that is unprovisioned does not deliver control messages"),
    ],
)
def test_a_closed_room_is_told_in_words(state: State, room: Room, said: str) -> None:
    with pytest.raises(LifecycleRefused) as caught:
        lifecycle.check_open(state, room)
    assert str(caught.value) == said
