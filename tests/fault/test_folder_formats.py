"""
A folder that another release wrote in a format of its own is refused by the name of the file, and stays as it is.

There has been one format of each file so far: nothing is upgraded, so nothing can be cut off in an upgrade. The
folders tried are made of a real one by raising or lowering the number that each file has.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_sdk import opening
from edge_sdk.core import cbor
from edge_sdk.core.keys import unwrap, wrap
from edge_sdk.errors import StorageError
from edge_sdk.keystore import FileKeyStore
from edge_sdk.vault import Vault
from tests.fault.folder import differences, snapshot
from tests.fault.line_ending import fill
from tests.fault.line_site import BEGIN_MS, ScriptedClock, config_for, make_site

LIMIT = 8 << 20
OTHER = (2, 99)


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
        with pytest.raises(StorageError, match=rf"{name} has format {number}, this release reads 1") as refused:
            started(place)
        assert refused.value.hint
    assert not differences(before, snapshot(place / "state"))


def test_a_folder_of_this_format_starts(filled: Path, tmp_path: Path) -> None:
    started(shutil.copytree(filled, tmp_path / "site"))
