"""
How a model is run: so many stories of so many steps, and with a fault planted, until its machine notices.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

Broken = Callable[[], AbstractContextManager[Any]]


def run(
    machine: type[RuleBasedStateMachine], *, examples: int, steps: int, phases: tuple[Phase, ...] = tuple(Phase)
) -> None:
    """Tell *examples* stories of up to *steps* steps each."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            phases=phases,
            report_multiple_bugs=False,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def notices(machine: type[RuleBasedStateMachine], broken: Broken, says: str, *, examples: int, steps: int) -> None:
    """
    See the machine notice what is broken, and say so.

    The story is not made smaller: that there is one is enough.
    """
    with broken(), pytest.raises(AssertionError, match=says):
        run(machine, examples=examples, steps=steps, phases=(Phase.generate,))


def named(broken: Broken) -> str:
    """Return what a planted fault is called in the list of tests."""
    return broken.__name__.removeprefix("_")
