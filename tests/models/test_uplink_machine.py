"""
Whatever a collector answers, in any order, the uplink owes what a list says; and the machine notices where it does not.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import pytest

from edge_sdk import uplink
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.receipt import Kind, Outcome
from tests.models.running import Broken, named, notices, run
from tests.models.uplink_machine import UplinkBesideAList


def test_under_any_answers_the_uplink_owes_what_a_list_says() -> None:
    run(UplinkBesideAList, examples=2, steps=25)


# In parts, each well below what a hanging test is given.
@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_under_many_answers_the_uplink_owes_what_a_list_says(part: int) -> None:
    run(UplinkBesideAList, examples=20, steps=50)


def _takes_any_200_for_a_receipt() -> AbstractContextManager[Any]:
    real = uplink.judge

    def judge(status: int, body: bytes, **how: Any) -> Outcome:
        return Outcome(Kind.ACKED, None, "status") if status == 200 else real(status, body, **how)

    return mock.patch.object(uplink, "judge", judge)


def _waits_for_nobody() -> AbstractContextManager[Any]:
    return mock.patch.object(uplink, "retry_after_s", return_value=None)


def _sends_before_it_has_heard() -> AbstractContextManager[Any]:
    return mock.patch.object(ConsentState, "is_fresh", return_value=True)


def _comes_with_all_the_others() -> AbstractContextManager[Any]:
    return mock.patch.object(uplink, "spread_s", lambda wish_s, least_s, draw: wish_s)


BROKEN: dict[Broken, str] = {
    _takes_any_200_for_a_receipt: "other batches",
    _waits_for_nobody: "before the time",
    _comes_with_all_the_others: "before the time",
    _sends_before_it_has_heard: "before a downlink",
}


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN, ids=named)
def test_an_uplink_that_is_broken_is_noticed(broken: Broken) -> None:
    notices(UplinkBesideAList, broken, BROKEN[broken], examples=40, steps=50)
