"""
What is asked of a line again, after a restart or a refusal of the disk, is done as if it was asked the first time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from edge_sdk import files
from edge_sdk.core.batch import Reason
from edge_sdk.core.messages import Withdrawal
from edge_sdk.errors import ConsentRefused, StorageError
from edge_sdk.opening import Site
from tests import site as sites
from tests.site import LocalSite, reading


@contextmanager
def refused(name: str) -> Iterator[None]:
    """Have the disk refuse every new version of the file *name* inside the block."""
    real = files.write_beside

    def write_beside(path: Path, content: bytes, mode: int = 0o600) -> Path:
        if path.name == name:
            raise StorageError(f"cannot write {name}: EIO")
        return real(path, content, mode)

    with mock.patch.object(files, "write_beside", write_beside):
        yield


@pytest.fixture
def parts(site: LocalSite) -> Iterator[Site]:
    with sites.opened(site) as parts:
        yield parts


def record(parts: Site, count: int) -> None:
    for number in range(count):
        assert parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)


def later_life(site: LocalSite, name: str) -> LocalSite:
    """Return the site as a power cut leaves it now, in a folder of its own."""
    return LocalSite(shutil.copytree(site.folder, site.folder.parent / name))


def test_rows_flushed_after_a_stop_that_stored_a_gap_alone_are_there_at_the_next_start(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        for stream in parts.line.binding.streams.values():
            stream.miss(1, Reason.OVERFLOW)
        parts.line.finish(parts.clock.now())
    with sites.opened(site) as parts:
        record(parts, 5)
        parts.line.step(parts.clock.now(), flush=True)
        held = {stream.record.purpose: stream.open_rows for stream in parts.line.binding.streams.values()}
        cut = later_life(site, "cut")
    assert sum(held.values())
    with sites.opened(cut) as parts:
        found = {stream.record.purpose: stream.open_rows for stream in parts.line.binding.streams.values()}
        assert parts.line.recording.totals().get("damaged_rows", 0) == 0
        assert found == held


def test_a_withdrawal_the_disk_did_not_store_can_be_asked_for_again(site: LocalSite, parts: Site) -> None:
    with refused("state.bin"), pytest.raises(StorageError):
        parts.line.withdraw("improvement", parts.clock.now())
    parts.line.withdraw("improvement", parts.clock.now())
    with sites.opened(later_life(site, "next")) as after:
        assert "improvement" not in after.line.binding.collecting
        assert [told for told in after.line.consent.held.to_tell if isinstance(told, Withdrawal)]


def test_a_withdrawal_whose_keys_the_disk_keeps_is_not_called_done(parts: Site) -> None:
    record(parts, 5)
    parts.line.step(parts.clock.now(), flush=True)
    with refused("vault.bin"), pytest.raises(StorageError, match="the keys of improvement"):
        parts.line.withdraw("improvement", parts.clock.now())
    parts.line.withdraw("improvement", parts.clock.now())
    assert "improvement" not in {entry.purpose for entry in parts.line.rooms.vault.ring.purposes.values()}


def test_a_withdrawal_that_is_done_is_refused_the_second_time(parts: Site) -> None:
    parts.line.withdraw("improvement", parts.clock.now())
    with pytest.raises(ConsentRefused, match="no grant that could be withdrawn"):
        parts.line.withdraw("improvement", parts.clock.now())


def test_a_withdrawal_the_disk_did_not_store_is_stored_by_the_next_step_that_can(site: LocalSite, parts: Site) -> None:
    record(parts, 5)
    with refused("state.bin"), pytest.raises(StorageError):
        parts.line.withdraw("improvement", parts.clock.now())
    with refused("state.bin"):
        parts.line.step(parts.clock.now())
    parts.line.step(parts.clock.now())
    with sites.opened(later_life(site, "next")) as after:
        assert "improvement" not in after.line.binding.collecting
