"""
Whatever a collector answers, in any order, the uplink owes what a list says; and the machine notices where it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from edge_sdk import uplink
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.receipt import Kind, Outcome
from tests.models.uplink_machine import UplinkBesideAList

Broken = Callable[[], AbstractContextManager[Any]]
GENERATE = (Phase.generate,)  # what was found is not made smaller: that it is found is enough here


def run(examples: int, steps: int, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
    run_state_machine_as_test(
        UplinkBesideAList,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            phases=phases,
            report_multiple_bugs=False,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_under_any_answers_the_uplink_owes_what_a_list_says() -> None:
    run(2, 25)


# In parts, each well below what a hanging test is given.
@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_under_many_answers_the_uplink_owes_what_a_list_says(part: int) -> None:
    run(20, 50)


def _takes_any_200_for_a_receipt() -> AbstractContextManager[Any]:
    real = uplink.judge

    def judge(status: int, body: bytes, **how: Any) -> Outcome:
        return Outcome(Kind.ACKED, None, "status") if status == 200 else real(status, body, **how)

    return mock.patch.object(uplink, "judge", judge)


def _waits_for_nobody() -> AbstractContextManager[Any]:
    return mock.patch.object(uplink, "retry_after_s", return_value=None)


def _sends_before_it_has_heard() -> AbstractContextManager[Any]:
    return mock.patch.object(ConsentState, "is_fresh", return_value=True)


BROKEN: tuple[Broken, ...] = (_takes_any_200_for_a_receipt, _waits_for_nobody, _sends_before_it_has_heard)


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.__name__)
def test_an_uplink_that_is_broken_is_noticed(broken: Broken) -> None:
    with broken(), pytest.raises(AssertionError):
        run(40, 50, GENERATE)
