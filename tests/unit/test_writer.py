"""
The writer's thread: jobs in order, a stop that waits for them, and nobody who waits for a thread that is gone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

import pytest

from edge_sdk.clock import Clock, Now, mono_ms
from edge_sdk.errors import LifecycleRefused, StorageError
from edge_sdk.line import Line
from edge_sdk.writer import Writer


class Steps:
    """In the place of a line: counts steps, and fails when told to."""

    def __init__(self) -> None:
        self.steps = 0
        self.stepped, self.looked = threading.Event(), threading.Event()
        self.fails_with: BaseException | None = None

    def tick(self, now: Now) -> int:
        self.looked.set()
        return 60_000

    def step(self, now: Now) -> int:
        self.steps += 1
        self.stepped.set()
        self.looked.set()
        if self.fails_with is not None:
            raise self.fails_with
        return 60_000


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def writer(steps: Steps) -> Iterator[Writer]:
    writer = Writer(Clock())
    writer.start(cast(Line, steps))
    yield writer
    if steps.fails_with is None:
        writer.stop(lambda _: None)


def test_jobs_run_in_order_on_one_thread_that_is_not_the_callers(writer: Writer) -> None:
    ran: list[tuple[int, int]] = []

    def note(number: int, _: Now) -> None:
        ran.append((number, threading.get_ident()))

    futures = [writer.submit(partial(note, number)) for number in range(20)]
    futures[-1].result(5)
    assert [number for number, _ in ran] == list(range(20))
    assert {thread for _, thread in ran}.isdisjoint({threading.get_ident()})


def test_the_result_or_the_error_of_a_job_comes_back(writer: Writer) -> None:
    def fail(_: Now) -> None:
        raise StorageError("outbox.db: SQLITE_FULL")

    assert writer.call(lambda now: now.wall_ms) > 0
    with pytest.raises(StorageError, match="SQLITE_FULL"):
        writer.call(fail)
    assert asyncio.run(awaited(writer)) == 5


async def awaited(writer: Writer) -> int:
    return await writer.call_async(lambda _: 5)


def test_waking_steps_soon(writer: Writer, steps: Steps) -> None:
    steps.stepped.wait(5)
    steps.stepped.clear()
    writer.wake()
    assert steps.stepped.wait(5)


def test_a_step_follows_a_job(writer: Writer, steps: Steps) -> None:
    steps.stepped.wait(5)
    steps.stepped.clear()
    writer.call(lambda _: None)
    assert steps.stepped.wait(5)


def test_a_look_follows_a_job_that_stepped_itself_and_no_other_step(writer: Writer, steps: Steps) -> None:
    def step(now: Now) -> int:
        steps.step(now)
        steps.looked.clear()
        return steps.steps

    steps.stepped.wait(5)
    made = writer.call(step)
    assert steps.looked.wait(5)
    assert steps.steps == made


def test_it_looked_lately_only_where_it_did(writer: Writer, steps: Steps) -> None:
    steps.stepped.wait(5)
    writer.call(lambda _: None)  # a job runs after the look before it is over
    assert writer.has_looked(0)
    assert not writer.has_looked(mono_ms())


def test_a_stop_runs_what_was_handed_in_before_it_and_then_refuses(writer: Writer) -> None:
    ran: list[str] = []
    writer.submit(lambda _: ran.append("job"))
    writer.stop(lambda _: ran.append("last"))
    assert ran == ["job", "last"]
    with pytest.raises(LifecycleRefused, match="closed"):
        writer.call(lambda _: None)
    writer.stop(lambda _: ran.append("never"))
    assert ran == ["job", "last"]


def test_a_stop_that_fails_says_so(writer: Writer) -> None:
    def fail(_: Now) -> None:
        raise StorageError("outbox.db: SQLITE_FULL")

    with pytest.raises(StorageError, match="SQLITE_FULL"):
        writer.stop(fail)


def test_a_cancelled_job_is_not_run(writer: Writer) -> None:
    running, go = threading.Event(), threading.Event()

    def wait(_: Now) -> None:
        running.set()
        go.wait(5)

    first = writer.submit(wait)
    running.wait(5)
    ran: list[int] = []
    second: Future[Any] = writer.submit(lambda _: ran.append(1))
    assert second.cancel()
    go.set()
    first.result(5)
    writer.call(lambda _: None)
    assert ran == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_writer_that_ended_on_a_mistake(writer: Writer, steps: Steps) -> None:
    steps.stepped.wait(5)
    steps.fails_with = ZeroDivisionError()
    writer.wake()
    writer._thread.join(5)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="internal error"):
            writer.call(lambda _: None)
    with pytest.raises(RuntimeError, match="internal error"):
        writer.has_looked(0)
    with pytest.raises(RuntimeError, match="internal error"):
        writer.stop(lambda _: None)
