"""
One SQLite file: opening it durably, and turning its errors into ours.

Rules: write-ahead log with ``synchronous=FULL``, so a committed transaction has been fsynced before the call
returns; files are 0600 from their first byte; a file of a newer format is refused by name. Not thread-safe:
the server gives each file to one thread. What is in the tables is ``store``, ``registry`` and ``opened``'s
business.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.errors import StorageError

_PAGE_BYTES: Final = 4096  # a server's disk, not a flash card: bodies and downlinks are kilobytes


class Database:
    """
    A connection to one file, with its format checked.

    Args:
        path: the file; its folder must exist.
        schema: statements that create format *version* in an empty file.
        version: the format this release reads and writes.
        indexes: statements that add what only makes finding faster, to any file that has them not yet.

    Raises:
        StorageError: when the file cannot be opened, or is of another format.

    After a power cut: the file is empty or complete; SQLite rolls back what was not committed.
    """

    def __init__(self, path: Path, *, schema: str, version: int, indexes: str = "") -> None:
        self.path = path
        self._connection = files.open_database(path, page_bytes=_PAGE_BYTES)
        try:
            self._set_up(schema, version, indexes)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """
        Close the file; a second call does nothing.
        """
        self._connection.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """
        Lend the connection for one or more SELECTs.

        Raises:
            StorageError: when SQLite reports any error.
        """
        try:
            yield self._connection
        except sqlite3.ProgrammingError:
            raise  # a mistake of ours, not of the disk
        except sqlite3.Error as exc:
            raise _as_storage_error(self.path, exc) from exc

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """
        Lend the connection for one transaction: all of it is durable on return, or none of it happened.

        Inside another one it joins that: durable, or undone, with the outer.

        Raises:
            StorageError: when SQLite reports any error, a full disk among them.
        """
        with self.read() as connection:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise

    def empty_log(self) -> None:
        """
        Move the write-ahead log into the file and cut it to nothing, so that what was deleted is in neither.

        A reader in another process may hold it back; then the next call does it.

        After a power cut: the log is whole or gone; what was deleted stays deleted.
        """
        with self.read() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _set_up(self, schema: str, version: int, indexes: str) -> None:
        with self.write() as connection:
            found = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if found == 0:
                _run_each(connection, schema)
                connection.execute(f"PRAGMA user_version={version}")
            if found in (0, version):
                _run_each(connection, indexes)
        if found not in (0, version):
            raise StorageError(
                f"{self.path.name} has format {found}, this release reads format {version}",
                hint="Use the release that wrote the file.",
            )


def _run_each(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        connection.execute(statement)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # SQLite has rolled back by itself after some errors
        connection.execute("ROLLBACK")


def _as_storage_error(path: Path, exc: sqlite3.Error) -> StorageError:
    kind = getattr(exc, "sqlite_errorname", None) or type(exc).__name__
    return StorageError(f"{path.name}: {kind}", hint="Check the free space and the owner of the collector's folder.")
