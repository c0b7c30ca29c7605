"""
Whatever happens to a queue, in any order, it holds what a list would hold; and the machine notices where it does not.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import pytest

from edge_sdk import order
from edge_sdk.outbox import Held, Outbox
from edge_sdk.queueing import Queueing
from tests.models.outbox_machine import OutboxBesideAList
from tests.models.running import Broken, named, notices, run


def test_in_any_order_of_events_the_queue_holds_what_a_list_would() -> None:
    run(OutboxBesideAList, examples=4, steps=30)


# In parts, each well below what a hanging test is given.
@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_in_any_of_many_orders_the_queue_holds_what_a_list_would(part: int) -> None:
    run(OutboxBesideAList, examples=25, steps=60)


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


def _lets_receipted_rows_pile_up() -> AbstractContextManager[Any]:
    return mock.patch.object(order, "MAX_RECEIPTED", 1 << 20)


BROKEN: dict[Broken, str] = {
    _forgets_in_memory_only: "other batches",
    _forgets_without_a_receipt: "other batches",
    _tells_no_gap: "a loss is not told",
    _evicts_the_newest: "other batches",
    _keeps_what_is_withdrawn: "other batches|withdrawn purpose",
    _keeps_rows_that_were_receipted: "other batches|too many rows",
    _lets_receipted_rows_pile_up: "too many rows",
}
SHORT = _forgets_in_memory_only


@pytest.mark.parametrize(
    "broken",
    [pytest.param(one, marks=() if one is SHORT else pytest.mark.slow) for one in BROKEN],
    ids=named,
)
def test_a_queue_that_is_broken_is_noticed(broken: Broken) -> None:
    notices(OutboxBesideAList, broken, BROKEN[broken], examples=100, steps=60)
