"""
Whatever happens to a queue, in any order, it holds what a list would hold; and the machine notices where it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from edge_sdk.outbox import Held, Outbox
from edge_sdk.queueing import Queueing
from tests.models.outbox_machine import OutboxBesideAList

Broken = Callable[[], AbstractContextManager[Any]]
GENERATE = (Phase.generate,)  # what was found is not made smaller: that it is found is enough here


def run(examples: int, steps: int, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
    run_state_machine_as_test(
        OutboxBesideAList,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            phases=phases,
            report_multiple_bugs=False,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_in_any_order_of_events_the_queue_holds_what_a_list_would() -> None:
    run(4, 30)


# In parts, each well below what a hanging test is given.
@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_in_any_of_many_orders_the_queue_holds_what_a_list_would(part: int) -> None:
    run(25, 60)


def _forgets_in_memory_only() -> AbstractContextManager[Any]:
    return mock.patch.object(Outbox, "drop_sealed", lambda self, held: self.order.take(held))


def _tells_no_gap() -> AbstractContextManager[Any]:
    def lose(self: Any, stream: Any, held: Held, reason: Any, *, keep: bool) -> None:
        outbox = self._rooms.outbox
        with outbox.transaction():
            outbox.set_aside(held, reason.name.lower()) if keep else outbox.drop_sealed(held)

    return mock.patch.object(Queueing, "_lose", lose)


def _evicts_the_newest() -> AbstractContextManager[Any]:
    def least(self: Any) -> Any:
        held = [(one.id, row) for row, queue in self._rooms.outbox.queues.items() for one in queue.values()]
        return (self._streams[max(held)[1]], self._rooms.outbox.queues[max(held)[1]][max(held)[0]]) if held else None

    return mock.patch.object(Queueing, "_least_important", least)


def _keeps_what_is_withdrawn() -> AbstractContextManager[Any]:
    return mock.patch.object(Outbox, "drop_stream", return_value=None)


def _forgets_without_a_receipt() -> AbstractContextManager[Any]:
    real = Queueing.settle

    def settle(self: Any, parcel: Any, outcome: Any, **how: Any) -> None:
        if outcome.kind.name == "LATER" and self.has(parcel.held):
            with self._rooms.outbox.transaction():
                self._rooms.outbox.drop_sealed(parcel.held)
        else:
            real(self, parcel, outcome, **how)

    return mock.patch.object(Queueing, "settle", settle)


def _keeps_rows_that_were_receipted() -> AbstractContextManager[Any]:
    return mock.patch.object(Outbox, "_delete_receipted", return_value=None)


BROKEN: tuple[Broken, ...] = (
    _forgets_in_memory_only,
    _forgets_without_a_receipt,
    _tells_no_gap,
    _evicts_the_newest,
    _keeps_what_is_withdrawn,
    _keeps_rows_that_were_receipted,
)


@pytest.mark.parametrize(
    "broken",
    [BROKEN[0], *(pytest.param(one, marks=pytest.mark.slow) for one in BROKEN[1:])],
    ids=lambda one: one.__name__,
)
def test_a_queue_that_is_broken_is_noticed(broken: Broken) -> None:
    with broken(), pytest.raises(AssertionError):
        run(100, 60, GENERATE)
