"""
The collector's SQLite files: durable, private, of one known format.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge_sdk.collector.database import Database
from edge_sdk.errors import StorageError

SCHEMA = "CREATE TABLE words (word TEXT PRIMARY KEY); CREATE TABLE more (word TEXT)"


def opened(path: Path, version: int = 3) -> Database:
    return Database(path, schema=SCHEMA, version=version)


def test_a_write_is_seen_by_the_next_opening(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")
    with database.write() as connection:
        connection.execute("INSERT INTO words VALUES ('kept')")
    database.close()
    with opened(tmp_path / "a.db").read() as connection:
        assert connection.execute("SELECT word FROM words").fetchall() == [("kept",)]


def test_commits_are_synced_in_a_write_ahead_log(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db").read() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_the_file_and_its_log_are_private(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")
    with database.write() as connection:
        connection.execute("INSERT INTO words VALUES ('kept')")
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def failing(database: Database) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO words VALUES ('lost')")
        raise RuntimeError


def insert(database: Database, word: str) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO words VALUES (?)", (word,))


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")
    with pytest.raises(RuntimeError):
        failing(database)
    with database.read() as connection:
        assert connection.execute("SELECT * FROM words").fetchall() == []


def test_an_sqlite_error_leaves_as_ours_without_the_value(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")
    insert(database, "secret")
    with pytest.raises(StorageError) as caught:
        insert(database, "secret")
    assert "secret" not in str(caught.value)


def test_another_format_is_refused_by_number(tmp_path: Path) -> None:
    opened(tmp_path / "a.db", version=3).close()
    with pytest.raises(StorageError, match=r"format 3.*reads format 2"):
        opened(tmp_path / "a.db", version=2)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database, but long enough to look at" * 99)
    with pytest.raises(StorageError):
        opened(tmp_path / "a.db")


def test_two_processes_may_write_one_after_the_other(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "a.db"), opened(tmp_path / "a.db")
    for database, word in ((first, "one"), (second, "two"), (first, "three")):
        with database.write() as connection:
            connection.execute("INSERT INTO words VALUES (?)", (word,))
    assert sqlite3.connect(tmp_path / "a.db").execute("SELECT count(*) FROM words").fetchone() == (3,)


def test_another_process_that_opens_and_closes_leaves_the_log_of_a_live_connection(tmp_path: Path) -> None:
    database, second = opened(tmp_path / "a.db"), opened(tmp_path / "a.db")
    insert(database, "before")
    other = (
        "import sys; from pathlib import Path; from edge_sdk.collector.database import Database;"
        f"Database(Path(sys.argv[1]), schema={SCHEMA!r}, version=3).close()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", other, str(tmp_path / "a.db")], check=True, env=environment)
    assert (tmp_path / "a.db-wal").exists()
    second.close()
    database.close()


def test_a_transaction_inside_another_is_undone_with_it(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")

    def outer() -> None:
        with database.write():
            insert(database, "inner")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        outer()
    with database.read() as connection:
        assert connection.execute("SELECT * FROM words").fetchall() == []


def test_what_was_deleted_is_in_neither_file_nor_log_once_the_log_is_emptied(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")
    insert(database, "a word that must go")
    with database.write() as connection:
        connection.execute("DELETE FROM words")
    database.empty_log()
    assert not [path.name for path in tmp_path.iterdir() if b"a word that must go" in path.read_bytes()]
