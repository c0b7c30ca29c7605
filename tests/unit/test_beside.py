"""
Reading beside a running gateway: never an error for what the gateway is in the middle of, never a write.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_sdk.beside import status_beside
from edge_sdk.errors import LifecycleRefused, NotProvisioned, StorageError
from tests import site as sites
from tests.site import CANARY, LocalSite, reading


def fill(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        for number in range(60):
            parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)
        parts.line.finish(parts.clock.now())


def test_it_tells_what_the_gateway_would_as_of_the_last_flush(site: LocalSite) -> None:
    fill(site)
    status = status_beside(site.config)
    purposes = {purpose.name: purpose for purpose in status.purposes}
    assert (purposes["monitoring"].queued_batches, purposes["monitoring"].open_rows) == (1, 0)
    assert purposes["improvement"].collecting
    assert not purposes["research"].collecting
    assert status.counts["recorded"] == 60
    assert CANARY not in repr(status)


def test_it_changes_no_file_that_is_there(site: LocalSite) -> None:
    fill(site)
    kept = ("vault.bin", "root.key", "lane.bin", "state.bin", "page.bin", "outbox.db")
    before = {name: (site.state / name).read_bytes() for name in kept}
    status_beside(site.config)
    assert {name: (site.state / name).read_bytes() for name in kept} == before


def test_a_root_key_being_replaced_again_and_again_is_read_through(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        parts.line.step(parts.clock.now(), flush=True)
        stop = threading.Event()
        trouble: list[BaseException] = []

        def replace() -> None:
            try:
                while not stop.is_set():
                    parts.line.rooms.vault.replace_root()
            except BaseException as error:  # noqa: BLE001 - told below
                trouble.append(error)

        thread = threading.Thread(target=replace)
        thread.start()
        try:
            for _ in range(25):
                assert status_beside(site.config).statement_version == 1
        finally:
            stop.set()
            thread.join(10)
    assert trouble == []


def test_an_interrupted_replacement_is_left_to_the_gateway(site: LocalSite) -> None:
    fill(site)
    (site.state / "root.key.new").write_bytes((site.state / "root.key").read_bytes())
    (site.state / "root.key").write_bytes(bytes(32))
    assert status_beside(site.config).statement_version == 1
    assert (site.state / "root.key").read_bytes() == bytes(32)


def test_before_enrolment_and_before_the_first_start_it_says_which(site: LocalSite, tmp_path: Path) -> None:
    with pytest.raises(LifecycleRefused, match="enrolled but never started"):
        status_beside(site.config)
    for path in site.state.iterdir():
        path.unlink()
    with pytest.raises(NotProvisioned):
        status_beside(site.config)


def test_a_damaged_queue_is_told_by_name(site: LocalSite) -> None:
    fill(site)
    (site.state / "outbox.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StorageError, match=r"outbox\.db: SQLITE_NOTADB"):
        status_beside(site.config)


def test_a_damaged_stream_is_left_out_and_the_rest_told(site: LocalSite) -> None:
    fill(site)
    with sites.opened(site) as parts:
        parts.line.rooms.outbox._db.execute("UPDATE stream SET record=zeroblob(100) WHERE id=1")
    purposes = {purpose.name: purpose for purpose in status_beside(site.config).purposes}
    assert len(purposes) == 4
