"""
A folder that another release wrote in a format of its own is refused by the name of the file, and stays as it is.

Only the queue had formats before, which are read: raising its number is one write of SQLite, and what was stored
before stays as it is. The folders tried are made of a real one by raising or lowering the number that each file has,
those of a format before with the layout of windows and rows that it had.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import opening, streams
from edge_sdk.core import cbor, windows
from edge_sdk.core.gathering import OPENED, SLOTS
from edge_sdk.core.keys import unwrap, wrap
from edge_sdk.core.policy import View
from edge_sdk.core.snapshots import KeptTrail, Packed, whole_trails
from edge_sdk.core.table import Memory, Row, encode_tables
from edge_sdk.errors import StorageError
from edge_sdk.keystore import FileKeyStore
from edge_sdk.outbox import Outbox
from edge_sdk.vault import Vault
from tests.fault.folder import differences, snapshot
from tests.fault.line_ending import fill
from tests.fault.line_site import BEGIN_MS, ScriptedClock, config_for, make_site

LIMIT = 8 << 20
OTHER = (4, 99)


def renumber(content: bytes, number: int) -> bytes:
    fields = cbor.decode(content, LIMIT, "file")
    assert isinstance(fields, dict)
    return cbor.encode({**fields, 0: number})


def lane(state: Path, number: int) -> None:
    path = state / "lane.bin"
    path.write_bytes(renumber(path.read_bytes(), number))


def vault(state: Path, number: int) -> None:
    root, _ = FileKeyStore(state).load()
    assert root is not None
    path, aad = state / "vault.bin", b"edge-sdk/vault/1"
    path.write_bytes(wrap(root, bytes(12), renumber(unwrap(root, path.read_bytes(), aad), number), aad))


def consent(state: Path, number: int) -> None:
    kept = Vault.open(state, FileKeyStore(state), draw=bytes)
    path, aad = state / "state.bin", b"edge-sdk/state/1"
    path.write_bytes(wrap(kept.ring.state, bytes(12), renumber(kept.read_state(), number), aad))


def queue(state: Path, number: int) -> None:
    with closing(sqlite3.connect(state / "outbox.db")) as database:
        database.execute(f"PRAGMA user_version={number}")


READS = {"outbox.db": 3}
FILES: dict[str, Callable[[Path, int], None]] = {
    "lane.bin": lane,
    "vault.bin": vault,
    "state.bin": consent,
    "outbox.db": queue,
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("formats") / "site"
    make_site(place)
    fill(place)
    return place


def started(place: Path) -> None:
    with ScriptedClock(BEGIN_MS + 900_000).installed():
        opening.open_site(config_for(place, place / "state"))[0].close()


@pytest.mark.parametrize("number", OTHER)
@pytest.mark.parametrize("name", FILES)
def test_a_folder_of_another_format_is_refused_by_name_and_stays_as_it_is(
    filled: Path, tmp_path: Path, name: str, number: int
) -> None:
    place = shutil.copytree(filled, tmp_path / "site")
    FILES[name](place / "state", number)
    before = snapshot(place / "state")
    for _ in range(2):
        told = rf"{name} has format {number}, this release reads {READS.get(name, 1)}"
        with pytest.raises(StorageError, match=told) as refused:
            started(place)
        assert refused.value.hint
    assert not differences(before, snapshot(place / "state"))


def test_a_folder_of_this_format_starts(filled: Path, tmp_path: Path) -> None:
    started(shutil.copytree(filled, tmp_path / "site"))


def entries(trails: Sequence[KeptTrail], _: Packed | None) -> list[Any]:
    """Lay out windows as the queue's format 1 had them: an entry for each source, no number packed."""
    return [
        [trail.tag, trail.source, trail.closed_until, [[SLOTS + slot, value] for slot, value in trail.carry.items()],
         [[*pane[:OPENED], *pane[SLOTS]] for pane in trail.panes]]
        for trail in trails
    ]  # fmt: skip


def open_windows(place: Path) -> list[list[KeptTrail]]:
    """Start the site and return what its streams have open, but for the tags, which go by its keys."""
    with ScriptedClock(BEGIN_MS + 900_000).installed():
        site = opening.open_site(config_for(place, place / "state"))[0]
        held = [
            [trail._replace(tag=b"") for trail in whole_trails(outlet.view, outlet.windows.snapshot(str.encode))]
            for _, stream in sorted(site.line.binding.streams.items())
            for outlet in stream.outlets
            if outlet.windows is not None
        ]
        site.close()
    return held


def columns(views: Sequence[View], at: int, rows: Sequence[Row], memory: Memory | None) -> bytes:
    """Lay out rows that wait as the queue's formats 1 and 2 had them."""
    return encode_tables(views, {at: rows}, memory)


def rows_that_wait(place: Path) -> list[dict[int, list[Row]]]:
    """Start the site and return the rows that its streams have for the open batches."""
    with ScriptedClock(BEGIN_MS + 900_000).installed():
        site = opening.open_site(config_for(place, place / "state"))[0]
        held = [dict(stream.rows) for _, stream in sorted(site.line.binding.streams.items())]
        site.close()
    return held


@pytest.mark.parametrize("number", [1, 2])
def test_a_queue_of_a_format_before_goes_on_with_its_open_windows_and_rows(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    older = tmp_path / "older"
    make_site(older)
    with monkeypatch.context() as patched:
        patched.setattr(streams, "encode_pending", columns)
        if number == 1:
            patched.setattr(windows, "packed_trails", entries)
        fill(older)
    queue(older / "state", number)
    before = shutil.copytree(older, tmp_path / "before")
    held = open_windows(older)
    assert any(held)
    assert held == open_windows(shutil.copytree(filled, tmp_path / "site"))
    with closing(sqlite3.connect(older / "state" / "outbox.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)
    assert rows_that_wait(before) == rows_that_wait(shutil.copytree(filled, tmp_path / "rows"))


def test_who_only_looks_leaves_a_queue_of_the_format_before_as_it_is(filled: Path, tmp_path: Path) -> None:
    place = shutil.copytree(filled, tmp_path / "site")
    queue(place / "state", 1)
    Outbox(place / "state", read_only=True).close()
    with closing(sqlite3.connect(place / "state" / "outbox.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
