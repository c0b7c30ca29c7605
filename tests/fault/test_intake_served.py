"""
The collector as it is run, under load from several connections: killed at random moments, and kept from its file.
"""

from __future__ import annotations

import http.client
import secrets
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_sdk.collector import open_rows, opener_report
from edge_sdk.collector.intake import Answer
from edge_sdk.collector.keyring import Places
from edge_sdk.core.receipt import Kind
from tests.collector.household import Household, found
from tests.collector.served import Running, now_s, sealed, start, stop
from tests.fault.sweep import Report

CONNECTIONS = 4
PATH = "/v1/batches"
Enter = Callable[[str, Report], None]
Batch = tuple[int, bytes, bytes]  # power, body, id


@dataclass
class Senders:
    """
    Connections that each send their share of *batches*, and what was acknowledged.

    They stop when the collector stops answering.
    """

    running: Running
    home: Household
    batches: Sequence[Batch]
    acknowledged: set[int] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)

    def __enter__(self) -> Senders:
        self._threads = [threading.Thread(target=self._send, args=(first,)) for first in range(CONNECTIONS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _send(self, first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=60)
        with closing(connection):
            for power, body, batch_id in self.batches[first::CONNECTIONS]:
                header = self.home.request("POST", PATH, body, now_s()).authorization or ""
                try:
                    connection.request("POST", PATH, body, {"Authorization": header})
                    response = connection.getresponse()
                    answer = Answer(response.status, response.read())
                except (OSError, http.client.HTTPException):
                    return
                self.statuses[answer.status] += 1
                if self.home.judged(answer, body, batch_id).kind is Kind.ACKED:
                    self.acknowledged.add(power)


def batches(home: Household, count: int, first: int = 1) -> list[Batch]:
    return [(power, *sealed(home, power)) for power in range(first, first + count)]


def powers(folder: Path) -> Counter[int]:
    return Counter(row.scaled["ac_power"] for row in open_rows(folder))


def killed_under_load(folder: Path, *, times: int, each: int) -> Report:
    """
    Kill the collector in *folder* again and again while it takes batches; then send everything once more.
    """
    founded = found(folder)
    running = start(folder, founded)
    home = running.household()
    prepared: list[Batch] = []
    acknowledged: set[int] = set()
    for _ in range(times):
        fresh = batches(home, each, first=len(prepared) + 1)
        prepared += fresh
        with Senders(running, home, fresh) as senders:
            time.sleep(secrets.randbelow(300) / 1000)
            stop(running, signal.SIGKILL)
        acknowledged |= senders.acknowledged
        there = powers(folder)
        assert acknowledged <= set(there), f"acknowledged and lost: {len(acknowledged - set(there))}"
        running = start(folder, founded)
    with Senders(running, home, prepared) as senders:
        pass
    stop(running)
    assert senders.acknowledged == {power for power, _, _ in prepared}
    assert powers(folder) == Counter(senders.acknowledged)
    assert opener_report(folder).repeats == 0
    return Report(times, (), Counter(produced=len(acknowledged), delivered=len(acknowledged & set(there))))


def test_killed_at_any_moment_under_load_what_was_acknowledged_is_there(tmp_path: Path, entered: Enter) -> None:
    entered("collector, kill -9 under load (sample)", killed_under_load(tmp_path / "c", times=2, each=40))


# In parts, each well below what a hanging test is given.
@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_killed_again_and_again_under_load_what_was_acknowledged_is_there(
    tmp_path: Path, entered: Enter, part: int
) -> None:
    entered("collector, kill -9 under load", killed_under_load(tmp_path / f"c{part}", times=6, each=120))


def locked_under_load(folder: Path, *, seconds: float) -> Senders:
    """
    Have another process's transaction hold the intake's file for so long while batches come.
    """
    running = start(folder, found(folder))
    home = running.household()
    holder = sqlite3.connect(Places(folder).store, isolation_level=None)
    with closing(holder), Senders(running, home, batches(home, 24)) as senders:
        holder.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        holder.execute("ROLLBACK")
    assert senders.acknowledged <= set(powers(folder))
    with Senders(running, home, senders.batches) as again:
        pass
    assert again.statuses == {200: 24}
    assert powers(folder) == Counter(range(1, 25))
    stop(running)
    return senders


def test_a_file_that_another_process_holds_for_a_moment_is_waited_for(tmp_path: Path, entered: Enter) -> None:
    senders = locked_under_load(tmp_path / "c", seconds=0.7)
    assert senders.statuses == {200: 24}
    counts = Counter(produced=24, delivered=len(senders.acknowledged))
    entered("collector, file held by another process", Report(1, (), counts))


@pytest.mark.slow
def test_a_file_that_another_process_holds_for_long_is_answered_with_503(tmp_path: Path, entered: Enter) -> None:
    senders = locked_under_load(tmp_path / "c", seconds=8)
    assert senders.statuses[503]
    assert set(senders.statuses) <= {200, 503}
    kept = len(senders.acknowledged)
    entered("collector, file held by another process", Report(1, (), Counter(produced=kept, delivered=kept)))
