"""
What an operator sees of a queue, what is told of a damaged one, and sending it at once. Contents stay sealed.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_sdk import Gateway
from edge_sdk.core.units import DAY_MS
from tests import site as sites
from tests.cli.command import called, run
from tests.site import CANARY, LocalSite, reading


def fill(site: LocalSite, *, close: bool) -> None:
    """Record ten readings, each into two purposes, and seal them where *close*."""
    with sites.opened(site) as parts:
        for number in range(10):
            parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)
        parts.line.step(parts.clock.now(), flush=True, close=close)
        parts.line.finish(parts.clock.now())


def change(site: LocalSite, statement: str) -> None:
    with closing(sqlite3.connect(site.state / "outbox.db", isolation_level=None)) as database:
        assert database.execute(statement).rowcount > 0


def listed(site: LocalSite, capsys: pytest.CaptureFixture[str], *, gathering: bool = False) -> list[dict[str, object]]:
    """Return what is listed of rows, or of windows that gather some."""
    said = called(capsys, "outbox", "list", "--json", "--config", site.toml)
    assert said.code == 0, said
    return [dict(one) for one in json.loads(said.out) if (one["state"] == "gathering") == gathering]


def test_an_empty_queue_is_said_to_be_empty(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    Gateway.open(site.toml).close()
    said = called(capsys, "outbox", "list", "--config", site.toml)
    assert (said.code, said.out) == (0, "nothing waits\n")


def test_a_site_that_was_never_started_is_refused(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("list", "check"):
        said = called(capsys, "outbox", verb, "--config", site.toml)
        assert said.code == 3
        assert "never started" in said.err


def test_open_rows_are_listed_by_purpose(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    fill(site, close=False)
    assert [(one["purpose"], one["state"], one["rows"]) for one in listed(site, capsys)] == [("monitoring", "open", 10)]


def test_windows_that_gather_are_listed_by_purpose(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    with sites.opened(site) as parts:
        for serial in ("4080001", "4080002"):
            parts.line.recording.record("inverter", reading(1, serial), parts.clock.now().wall_ms)
        parts.line.step(parts.clock.now(), flush=True)
    windows = listed(site, capsys, gathering=True)
    assert [(one["purpose"], one["rows"], one["age_ms"]) for one in windows] == [("improvement", 2, None)]
    said = called(capsys, "outbox", "list", "--config", site.toml)
    assert said.out.splitlines()[-1].split() == ["improvement", "gathering", "-", "2", "-", "-"]
    assert "windows open: improvement 2;" in called(capsys, "status", "--config", site.toml).out


def test_where_only_windows_gather_something_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = sites.POLICY.partition("[purposes.monitoring]")[0] + "[purposes.improvement]"
    only += sites.POLICY.partition("[purposes.improvement]")[2].partition("[purposes.research]")[0]
    site = sites.local_site(tmp_path, policy=only)
    with sites.opened(site) as parts:
        parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms)
        parts.line.step(parts.clock.now(), flush=True)
    said = called(capsys, "outbox", "list", "--config", site.toml)
    assert "nothing waits" not in said.out
    assert "gathering" in said.out


def test_sealed_batches_are_listed_with_rows_bytes_and_age(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    fill(site, close=True)
    (one,) = listed(site, capsys)
    assert (one["purpose"], one["state"], one["rows"]) == ("monitoring", "waiting", 10)
    with closing(sqlite3.connect(site.state / "outbox.db")) as database:
        assert database.execute("SELECT bytes FROM sealed").fetchone() == (one["size"],)
    assert 0 <= int(str(one["age_ms"])) < DAY_MS


def test_batches_of_one_purpose_are_summed_unless_each_is_asked_for(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        fill(site, close=True)
    summed = called(capsys, "outbox", "list", "--config", site.toml).out.splitlines()
    assert summed[2].split()[:4] == ["monitoring", "waiting", "3", "30"]
    each = called(capsys, "outbox", "list", "--batches", "--config", site.toml).out.splitlines()
    assert [line.split()[:4] for line in each[2:5]] == [["monitoring", "waiting", "1", "10"]] * 3


def test_a_set_aside_batch_is_listed_with_why(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    with sites.opened(site) as parts:
        parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms)
        parts.line.step(parts.clock.now(), close=True)
        outbox = parts.line.rooms.outbox
        (held,) = next(iter(outbox.queues.values())).values()
        with outbox.transaction():
            outbox.set_aside(held, "invalid")
    assert [(one["state"], one["rows"], one["age_ms"]) for one in listed(site, capsys)] == [("invalid", 1, None)]


def test_no_identifier_is_in_what_is_listed(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    with sites.opened(site) as parts:
        parts.line.recording.record("inverter", reading(1, CANARY), parts.clock.now().wall_ms)
        parts.line.step(parts.clock.now(), flush=True)
    for asked in (("list",), ("list", "--batches"), ("list", "--json"), ("check",)):
        said = called(capsys, "outbox", *asked, "--config", site.toml)
        assert CANARY not in said.out + said.err


def test_a_whole_queue_is_found_whole(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    fill(site, close=True)
    fill(site, close=False)
    said = called(capsys, "outbox", "check", "--config", site.toml)
    assert (said.code, said.out) == (0, "everything that is stored opens\n")


@pytest.mark.parametrize(
    ("close", "damage", "told"),
    [
        (True, "UPDATE sealed SET body = zeroblob(bytes)", "monitoring: a batch of 10 rows"),
        (False, "UPDATE pending SET body = zeroblob(length(body))", "monitoring: stored rows do not open"),
        (True, "UPDATE stream SET record = zeroblob(length(record))", "?: a stream of "),
        (True, "UPDATE stream SET ref = zeroblob(length(ref))", "?: a stream of "),
    ],
)
def test_what_is_damaged_is_told_with_what_becomes_of_it(
    site: LocalSite, capsys: pytest.CaptureFixture[str], close: bool, damage: str, told: str
) -> None:
    fill(site, close=close)
    change(site, damage)
    said = called(capsys, "outbox", "check", "--config", site.toml)
    assert said.code == 5, said
    assert told in said.out
    assert "; " in said.out


def test_a_database_with_torn_pages_is_told_without_a_traceback(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(8):
        fill(site, close=True)
    path = site.state / "outbox.db"
    content = bytearray(path.read_bytes())
    content[6 * 1024 : 7 * 1024] = bytes(1024)
    path.write_bytes(content)
    said = called(capsys, "outbox", "check", "--config", site.toml)
    assert said.code == 5, said
    assert "outbox.db" in said.out + said.err
    assert "Traceback" not in said.err


def contents(site: LocalSite) -> dict[str, bytes]:
    """Return what every file holds; of SQLite's, its index of a log and an empty log are no content."""
    held = {path.name: path.read_bytes() for path in site.state.iterdir()}
    return {name: content for name, content in held.items() if content and not name.endswith("-shm")}


def test_checking_changes_nothing(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    fill(site, close=True)
    before = contents(site)
    called(capsys, "outbox", "check", "--config", site.toml)
    assert contents(site) == before


def test_sending_now_seals_and_delivers_what_is_open(site: LocalSite) -> None:
    fill(site, close=False)
    with sites.serving(site):
        said = run("outbox", "send-now", "--config", site.toml)
    assert (said.code, said.out.splitlines()[0]) == (0, "everything is sent"), said
    assert len([row for row in site.rows() if row.purpose == "monitoring"]) == 10


def test_what_gathers_still_is_not_passed_off_as_sent(site: LocalSite) -> None:
    fill(site, close=False)
    with sites.serving(site):
        said = run("outbox", "send-now", "--config", site.toml)
    assert "windows that gather still: 1; each becomes a row when it closes" in said.out


def test_sending_now_is_asked_of_the_gateway_that_runs(site: LocalSite) -> None:
    with sites.serving(site):
        site.edit(('jitter = "1ms"', 'jitter = "1h"'))
        with Gateway.open(site.toml) as gateway:
            for number in range(10):
                gateway.record("inverter", reading(number))
            said = run("outbox", "send-now", "--config", site.toml)
    assert (said.code, said.out.splitlines()[0]) == (0, "everything is sent"), said
    assert len([row for row in site.rows() if row.purpose == "monitoring"]) == 10


def test_a_collector_that_is_away_is_told_with_what_is_left(site: LocalSite) -> None:
    fill(site, close=True)
    said = run("outbox", "send-now", "--timeout", "0.5", "--config", site.toml)
    assert said.code == 6, said
    assert "1 batches are still queued" in said.out
