"""
Ways to make the line forget, each planted by replacing one thing: the sweep must catch every one of them.

Each entry of SABOTAGE, and of DEAF, is a context in which the package is broken; ``none`` breaks nothing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final
from unittest import mock

from edge_sdk import consent_state, files
from edge_sdk.clock import Now
from edge_sdk.consent_state import ConsentState
from edge_sdk.errors import StorageError
from edge_sdk.keypage import KeyPage
from edge_sdk.line import TICK_MS, Line
from edge_sdk.order import Held
from edge_sdk.outbox import Outbox
from edge_sdk.streams import Stream


@contextmanager
def _database_without_syncs() -> Iterator[None]:
    real = files.open_database

    def opened(path: Path, **how: Any) -> sqlite3.Connection:
        connection = real(path, **how)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    with mock.patch.object(files, "open_database", opened):
        yield


def _names_without_syncs() -> AbstractContextManager[object]:
    return mock.patch.object(files, "sync_folder", return_value=None)


@contextmanager
def _page_without_syncs() -> Iterator[None]:
    def write_slot(self: Any, slot: int, content: bytes) -> None:
        os.pwrite(self._descriptor, content.ljust(self._slot_bytes, b"\x00"), slot * self._slot_bytes)

    with mock.patch.object(files.Page, "write_slot", write_slot):
        yield


@contextmanager
def _key_after_its_rows() -> Iterator[None]:
    """
    Put an open batch's key on the page once the rows under it are in the database.
    """
    late: list[tuple[KeyPage, Any]] = []
    real_put_all, real_transaction = KeyPage.put_all, Outbox.transaction

    def put_all(self: KeyPage, wrapped: Any) -> None:
        late.append((self, wrapped))

    @contextmanager
    def transaction(self: Outbox) -> Iterator[None]:
        with real_transaction(self):
            yield
        while late:
            real_put_all(*late.pop(0))

    with mock.patch.object(KeyPage, "put_all", put_all), mock.patch.object(Outbox, "transaction", transaction):
        yield


@contextmanager
def _sealed_after_pending_went() -> Iterator[None]:
    """
    Drop the pending rows in one transaction and queue the sealed batch in the next.
    """
    late: list[dict[str, Any]] = []
    real_put, real_transaction = Outbox.put_sealed, Outbox.transaction

    def put_sealed(self: Outbox, **values: Any) -> Held:
        late.append(dict(values))
        first, last = values.pop("span")
        return Held(id=0, size=0, first=first, last=last, **{key: values[key] for key in values if key != "body"})

    @contextmanager
    def transaction(self: Outbox) -> Iterator[None]:
        with real_transaction(self):
            yield
        with real_transaction(self):
            while late:
                real_put(self, **late.pop(0))

    with mock.patch.object(Outbox, "put_sealed", put_sealed), mock.patch.object(Outbox, "transaction", transaction):
        yield


def _numbers_not_stored() -> AbstractContextManager[object]:
    """
    Leave the stream's record as it was when it began: its next row number comes back after a restart.
    """
    return mock.patch.object(Stream, "store", return_value=None)


@contextmanager
def _every_stop_looks_clean() -> Iterator[None]:
    """
    Say before anything is recorded that the last stop was a clean one.
    """
    real = Outbox.set_number

    def set_number(self: Outbox, key: str, value: int) -> None:
        real(self, key, 1 if key == "clean" else value)

    with mock.patch.object(Outbox, "set_number", set_number):
        yield


@contextmanager
def _refused_flush_swallowed() -> Iterator[None]:
    """
    Have a flush that the medium refused return as if it was kept.
    """
    real = Line.step

    def step(self: Line, now: Now, **how: bool) -> int:
        try:
            return real(self, now, **how)
        except StorageError:
            return TICK_MS

    with mock.patch.object(Line, "step", step):
        yield


def _grant_before_it_is_stored() -> AbstractContextManager[object]:
    """
    Have a statement open what it opens although the medium did not take it.
    """
    return mock.patch.object(consent_state, "unopened", lambda statement, _: statement)


@contextmanager
def _denial_in_memory_alone() -> Iterator[None]:
    """
    Never make up for a denial that the medium refused.
    """
    real = ConsentState.save

    def save(self: ConsentState) -> None:
        try:
            real(self)
        finally:
            self.is_owed = False

    with mock.patch.object(ConsentState, "save", save):
        yield


SABOTAGE: Final[dict[str, Callable[[], AbstractContextManager[object]]]] = {
    "none": nullcontext,
    "the database does not sync": _database_without_syncs,
    "folders are not synced": _names_without_syncs,
    "the key page is not synced": _page_without_syncs,
    "a key comes after its rows": _key_after_its_rows,
    "a batch comes after its rows went": _sealed_after_pending_went,
    "row numbers are not stored": _numbers_not_stored,
    "every stop looks clean": _every_stop_looks_clean,
}
# Ways to get a refusal of the medium wrong.
DEAF: Final[dict[str, Callable[[], AbstractContextManager[object]]]] = {
    "a refused flush is swallowed": _refused_flush_swallowed,
    "a grant is in force before it is stored": _grant_before_it_is_stored,
    "a refused denial is in memory alone": _denial_in_memory_alone,
}
