"""
A folder that another release wrote in a format of its own is refused by the name of the file, and stays as it is.

Only the queue had another format before, which is read: raising its number is one write of SQLite, and what was
stored before stays as it is. The folders tried are made of a real one by raising or lowering the number that each file
has, those of the format before with the layout of windows that it had.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import opening
from edge_sdk.core import cbor, windows
from edge_sdk.core.gathering import OPENED, SLOTS
from edge_sdk.core.keys import unwrap, wrap
from edge_sdk.core.snapshots import KeptTrail, Packed, whole_trails
from edge_sdk.errors import StorageError
from edge_sdk.keystore import FileKeyStore
from edge_sdk.outbox import Outbox
from edge_sdk.vault import Vault
from tests.fault.folder import differences, snapshot
from tests.fault.line_ending import fill
from tests.fault.line_site import BEGIN_MS, ScriptedClock, config_for, make_site

LIMIT = 8 << 20
OTHER = (3, 99)


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


READS = {"outbox.db": 2}
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


def test_a_queue_of_the_format_before_goes_on_with_its_open_windows(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tmp_path / "older"
    make_site(older)
    with monkeypatch.context() as patched:
        patched.setattr(windows, "packed_trails", entries)
        fill(older)
    queue(older / "state", 1)
    held = open_windows(older)
    assert any(held)
    assert held == open_windows(shutil.copytree(filled, tmp_path / "site"))
    with closing(sqlite3.connect(older / "state" / "outbox.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)


def test_who_only_looks_leaves_a_queue_of_the_format_before_as_it_is(filled: Path, tmp_path: Path) -> None:
    place = shutil.copytree(filled, tmp_path / "site")
    queue(place / "state", 1)
    Outbox(place / "state", read_only=True).close()
    with closing(sqlite3.connect(place / "state" / "outbox.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
