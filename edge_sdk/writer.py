"""
The one thread that owns the state folder.

It has the line look every two seconds or so and step when that is due, or at once when woken, and runs what other
threads hand it, one job at a time and in order; a step follows a job within :data:`AFTER_JOB_MS`, a look one that
stepped the line itself. Nothing else touches a file of the folder, so no room needs a lock of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from edge_sdk.clock import Clock, Now, mono_ms
from edge_sdk.errors import LifecycleRefused
from edge_sdk.line import Line

AFTER_JOB_MS: Final = 50  # what a job changed takes effect by then; a step after each one cost a fifth of the line

T = TypeVar("T")


class Writer:
    """
    Runs a line on a thread of its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._line: Line | None = None
        self._condition = threading.Condition()
        self._jobs: deque[tuple[Callable[[Now], Any], Future[Any]]] = deque()
        self._watches: list[tuple[Callable[[Now], Any], Future[Any]]] = []
        self._woken = False
        self._looked_ms = 0
        self._stopping = False
        self._died: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="edge-sdk-writer", daemon=True)

    def start(self, line: Line) -> None:
        """
        Begin to step *line*.
        """
        self._line = line
        self._thread.start()

    def wake(self) -> None:
        """
        Step soon; callable from any thread, never blocks on the writer's work.
        """
        with self._condition:
            self._woken = True
            self._condition.notify()

    def submit(self, job: Callable[[Now], T]) -> Future[T]:
        """
        Have *job* run on the writer's thread.

        Raises:
            LifecycleRefused: when the writer has stopped.
            RuntimeError: when it ended on a mistake of ours; its traceback is on stderr.
        """
        future: Future[T] = Future()
        with self._condition:
            self._check_alive()
            if self._stopping:
                raise LifecycleRefused("the gateway is closed", hint="open it again")
            self._jobs.append((job, future))
            self._condition.notify()
        return future

    def call(self, job: Callable[[Now], T]) -> T:
        """
        Run *job* on the writer's thread and return its result; blocks until it has run.
        """
        return self.submit(job).result()

    def call_async(self, job: Callable[[Now], T]) -> Awaitable[T]:
        """
        Run *job* on the writer's thread; awaits its result.
        """
        return asyncio.wrap_future(self.submit(job))

    def watch_async(self, job: Callable[[Now], T | None]) -> Awaitable[T]:
        """
        Run *job* after every look and step, until it returns something; awaits that. Cancelling it ends it.

        So whoever waits for something to do costs no wake-up besides that of the step.
        """
        future: Future[T] = Future()
        with self._condition:
            self._check_alive()
            if self._stopping:
                raise LifecycleRefused("the gateway is closed", hint="open it again")
            self._watches.append((job, future))
        return asyncio.wrap_future(future)

    def has_looked(self, since_ms: int) -> bool:
        """
        Tell whether it looked, on the monotonic clock, after *since_ms*; costs it nothing.

        Raises:
            RuntimeError: as :meth:`submit` does.
        """
        self._check_alive()
        return self._looked_ms > since_ms

    def stop(self, last: Callable[[Now], Any]) -> None:
        """
        Run *last* after everything handed in before, then end the thread; blocks until it has ended.
        """
        with self._condition:
            self._check_alive()
            if self._stopping:
                return
            future: Future[Any] = Future()
            self._jobs.append((last, future))
            self._stopping = True
            self._condition.notify()
        self._thread.join()
        future.result()

    def _check_alive(self) -> None:
        if self._died is not None:
            raise RuntimeError("the writer of this gateway ended on an internal error") from self._died

    def _run(self) -> None:
        try:
            self._step_until_stopped()
        except BaseException as error:
            with self._condition:
                self._died = error
                jobs, self._jobs = self._jobs, deque()
                jobs.extend(self._watches)
            for _, future in jobs:  # nobody waits for a thread that is gone
                if future.set_running_or_notify_cancel():
                    future.set_exception(RuntimeError("the writer of this gateway ended on an internal error"))
            raise

    def _step_until_stopped(self) -> None:
        has_work, stepped_ms = True, mono_ms()
        due_ms = stepped_ms
        while True:
            wait_ms = due_ms - mono_ms()
            with self._condition:
                if not self._jobs and not self._woken and not self._stopping and wait_ms > 0:
                    self._condition.wait(wait_ms / 1000)
                jobs, self._jobs = self._jobs, deque()
                woken, self._woken = self._woken, False
                ending = self._stopping
            assert self._line is not None
            for job, future in jobs:
                steps = self._line.steps
                self._run_job(job, future)
                has_work = self._line.steps == steps  # one that stepped leaves nothing to do for those before it either
            if ending:
                return
            now = self._clock.now()
            if jobs:
                due_ms = min(due_ms, stepped_ms + AFTER_JOB_MS)
            if woken or now.mono_ms >= due_ms:
                wait_ms = self._line.step(now) if woken or has_work else self._line.tick(now)
                has_work, stepped_ms, due_ms = False, now.mono_ms, now.mono_ms + wait_ms
                self._look(now)
                self._looked_ms = now.mono_ms

    def _look(self, now: Now) -> None:
        with self._condition:
            watches, self._watches = self._watches, []
        waiting = []
        for job, future in watches:
            try:
                found = None if future.cancelled() else job(now)
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it, bugs included
                future.set_exception(error)
                continue
            if found is not None and future.set_running_or_notify_cancel():
                future.set_result(found)
            elif not future.cancelled():
                waiting.append((job, future))
        with self._condition:
            self._watches += waiting

    def _run_job(self, job: Callable[[Now], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(job(self._clock.now()))
        except BaseException as error:  # noqa: BLE001 - whoever waits for the job gets it, bugs included
            future.set_exception(error)
