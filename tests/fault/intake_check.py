"""
What must hold of a collector that was cut off, whatever call it was: restart it, open, compare by value, send again.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from edge_sdk.collector import open_reception, open_rows, opener_report
from edge_sdk.collector.intake import Limits
from edge_sdk.collector.keyring import Places
from tests.fault.intake_plan import BATCHES, END_S, Plan


def check(plan: Plan, folder: Path, marks: Sequence[str]) -> Counter[str]:
    """
    Check the collector in *folder* against what its program said before it was cut off.

    Returns:
        How many batches were acknowledged, and how many of them are here.

    Raises:
        AssertionError: something acknowledged is not here, is here twice or changed, or batches are not taken now.
    """
    kept = {int(mark.removeprefix("kept ")) for mark in marks if mark.startswith("kept ")}
    sent = {int(mark.removeprefix("sending ")) for mark in marks if mark.startswith("sending ")}
    places = Places(folder)
    for path in (places.store, places.registry, places.opened):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",), path.name
    found = _powers(folder)
    assert set(found.values()) <= {1}, "a row is there twice"
    assert kept <= set(found), f"acknowledged and lost: {sorted(kept - set(found))}"
    assert set(found) <= sent, f"never sent: {sorted(set(found) - sent)}"
    with open_reception(folder, limits=Limits()) as reception:
        reception.upkeep(END_S)
        for batch in range(BATCHES):
            answer = reception.answer(plan.request(batch, END_S), END_S)
            assert plan.is_receipt(batch, answer), f"batch {batch} is answered with {answer.status} afterwards"
    assert _powers(folder) == Counter(range(BATCHES)), "not every batch once after all were sent again"
    report = opener_report(folder)
    assert not report.forks
    assert not report.gaps
    assert not report.set_aside
    return Counter(produced=len(kept), delivered=len(kept & set(found)))


def _powers(folder: Path) -> Counter[int]:
    return Counter(row.scaled["ac_power"] - 1 for row in open_rows(folder))
