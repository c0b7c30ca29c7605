"""
The durable queue: rows of open batches, sealed batches, and what each stream still has to tell.

One SQLite file, ``outbox.db`` (with its -wal and -shm), written by one thread. Everything in it that is about a
household is encrypted before it comes here; in clear are row numbers, sizes, counts and the times a batch was queued.
The order of sealed batches is kept in memory (``order``).

Callers group writes in :meth:`transaction`; each method says what it changes, the transaction says what a power cut
leaves. Knows nothing of keys, purposes or networks.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from edge_sdk import files
from edge_sdk.disk_errors import DAMAGED, database_error
from edge_sdk.errors import DatabaseDamaged, StorageError
from edge_sdk.order import Held, Order, PendingRow, StreamRow

FORMAT = 3
_BEFORE = (1, 2)  # the same but for how bodies are laid out, which whoever reads them sees (core.snapshots, pending)
PAGE_BYTES = 1024  # small flushes write whole pages: 1 KiB pages cost 7.4 KB a flush where 4 KiB pages cost 10.4
_WAL_PAGES = 2048  # 2 MiB of log before pages go to the file: each page is then written once for many changes
_SCHEMA = """
CREATE TABLE stream(id INTEGER PRIMARY KEY, ref BLOB NOT NULL, record BLOB NOT NULL);
CREATE TABLE pending(
    id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, batch INTEGER NOT NULL, rows INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE partial(stream INTEGER PRIMARY KEY, batch INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE sealed(
    id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    told INTEGER NOT NULL, kept_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, batch_id BLOB NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE aside(
    id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    reason TEXT NOT NULL, bytes INTEGER NOT NULL, batch_id BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE control(id INTEGER PRIMARY KEY, message_id BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE site(key TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_ORDER: Final = "SELECT id, stream, first, last, told, kept_ms, bytes, batch_id FROM sealed ORDER BY id"
_WHOLE: Final = "typeof(stream + first + last + told + kept_ms + bytes) = 'integer' AND typeof(batch_id) = 'blob'"
_MISSHAPEN: Final = f"SELECT COUNT(*) FROM sealed WHERE NOT ({_WHOLE})"  # noqa: S608 - our own text
# In place, and only where it is another one: a replaced row would have its index written too.
_SET_NUMBER: Final = (
    "INSERT INTO site VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value=excluded.value WHERE value<>excluded.value"
)
# In place as well: of a body of the same size SQLite writes the pages it is on, and frees none (secure_delete).
_PUT_PARTIAL: Final = (
    "INSERT INTO partial VALUES(?, ?, ?) ON CONFLICT(stream) DO UPDATE SET batch=excluded.batch, body=excluded.body"
)
_ASIDE_BYTES: Final = "SELECT SUM(bytes) FROM aside"


class Outbox:
    """
    The queue of one site.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._path = folder / "outbox.db"
        self.order = Order()
        self.queues = self.order.queues
        self.pending_bytes = self.aside_bytes = 0
        self._next_sealed = self._next_pending = 1
        self._db = files.open_database(self._path, page_bytes=PAGE_BYTES, read_only=read_only)
        try:
            # Whoever only reads beside a gateway sees one moment from here to close().
            self._rows("BEGIN" if read_only else f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
            self._check_format(read_only=read_only)
            self._load_order()
        except BaseException:
            self._db.close()
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Group writes into one durable step; what was receipted since the last one goes with it.

        After a power cut: all of them are there once this has returned; before that all or none.

        Raises:
            StorageError: when SQLite cannot write; nothing of the group is kept.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if self.order.receipted:
                    self._delete_receipted()
                yield
                self._db.execute("COMMIT")
                self.order.receipted.clear()
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                with contextlib.suppress(StorageError):  # where it cannot even be read, the first error is told
                    self._load_order()
                raise
        except sqlite3.Error as error:
            raise database_error(self._path, error) from error

    def streams(self) -> list[StreamRow]:
        """
        Return all stored streams, oldest first.
        """
        return [StreamRow(*row) for row in self._rows("SELECT id, ref, record FROM stream ORDER BY id")]

    def add_stream(self, ref: bytes, record: bytes) -> int:
        """
        Store a new stream and return its row number.
        """
        return int(self._db.execute("INSERT INTO stream(ref, record) VALUES(?, ?)", (ref, record)).lastrowid or 0)

    def put_stream(self, stream: int, record: bytes) -> None:
        """
        Replace the record of a stream.
        """
        self._db.execute("UPDATE stream SET record=? WHERE id=?", (record, stream))

    def drop_stream(self, stream: int) -> None:
        """
        Forget a stream and everything that belongs to it, sealed and set-aside batches included.
        """
        for table in ("pending", "partial", "sealed", "aside"):
            self._db.execute(f"DELETE FROM {table} WHERE stream=?", (stream,))  # noqa: S608 - names from the tuple above
        self._db.execute("DELETE FROM stream WHERE id=?", (stream,))
        self.order.drop_stream(stream)
        self.pending_bytes = self._number("SELECT SUM(LENGTH(body)) FROM pending")
        self.aside_bytes = self._number(_ASIDE_BYTES)

    def hand_over(self, stream: int, to: int) -> None:
        """
        Have the sealed batches of *stream* belong to the stream *to*; its open batch and what is set aside stay.
        """
        self._db.execute("UPDATE sealed SET stream=? WHERE stream=?", (to, stream))
        self.order.hand_over(stream, to)

    def put_pending(self, stream: int, batch: int, rows: int, body: bytes) -> None:
        """
        Store the rows of one flush.
        """
        self._db.execute("INSERT INTO pending VALUES(?, ?, ?, ?, ?)", (self._next_pending, stream, batch, rows, body))
        self._next_pending += 1
        self.pending_bytes += len(body)

    def pending(self, stream: int) -> list[PendingRow]:
        """
        Return the stored rows of the open batch of *stream*, oldest first.
        """
        rows = self._rows("SELECT id, stream, batch, rows, body FROM pending WHERE stream=? ORDER BY id", stream)
        return [PendingRow(*row) for row in rows]

    def drop_pending(self, stream: int) -> None:
        """
        Forget the stored rows of *stream*: they are sealed, or lost and counted.
        """
        freed = self._number("SELECT SUM(LENGTH(body)) FROM pending WHERE stream=?", stream)
        self._db.execute("DELETE FROM pending WHERE stream=?", (stream,))
        self.pending_bytes -= freed

    def drop_unreadable(self, rows: Sequence[int]) -> None:
        """
        Forget single stored rows by their numbers: damaged, and told.
        """
        self._db.executemany("DELETE FROM pending WHERE id=?", [(row,) for row in rows])
        self.pending_bytes = self._number("SELECT SUM(LENGTH(body)) FROM pending")

    def put_partial(self, stream: int, batch: int, body: bytes) -> None:
        """
        Replace the open windows of *stream*.
        """
        self._db.execute(_PUT_PARTIAL, (stream, batch, body))

    def partial(self, stream: int) -> tuple[int, bytes] | None:
        """
        Return batch number and body of the open windows of *stream*.
        """
        rows = self._rows("SELECT batch, body FROM partial WHERE stream=?", stream)
        return (rows[0][0], rows[0][1]) if rows else None

    def drop_partial(self, stream: int) -> None:
        """
        Forget the open windows of *stream*.
        """
        self._db.execute("DELETE FROM partial WHERE stream=?", (stream,))

    def put_sealed(
        self, *, stream: int, span: tuple[int, int], told: int, kept_ms: int, batch_id: bytes, body: bytes
    ) -> Held:
        """
        Queue a sealed batch of rows ``span`` (first, last) and return its place in the order.
        """
        held = Held(self._next_sealed, stream, *span, told, kept_ms, len(body), batch_id)
        values = (held.id, stream, *span, told, kept_ms, held.size, batch_id, body)
        self._db.execute("INSERT INTO sealed VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        self._next_sealed += 1
        self.order.add(held)
        return held

    def sealed_body(self, held: Held) -> bytes:
        """
        Return the stored bytes of a sealed batch.

        Raises:
            StorageError: when the medium no longer gives them.
        """
        rows = self._rows("SELECT body FROM sealed WHERE id=?", held.id)
        if not rows:
            raise StorageError("a sealed batch is no longer in the outbox")
        return bytes(rows[0][0])

    def drop_sealed(self, held: Held) -> None:
        """
        Forget a sealed batch: receipted, evicted or too old.
        """
        self._db.execute("DELETE FROM sealed WHERE id=?", (held.id,))
        self.order.take(held)

    def receipted(self, held: Held) -> None:
        """
        Forget a sealed batch now, and its row with the next :meth:`transaction`, :meth:`settle` at the latest.

        After a power cut: the row may be there still, and is sent again.

        Raises:
            StorageError: it cannot wait, and SQLite cannot write; the batch is as before.
        """
        if self.order.may_wait(held):
            self.order.receipt(held)
        else:
            with self.transaction():
                self.drop_sealed(held)

    def settle(self) -> None:
        """
        Delete the rows of receipted batches, if there are any, in one durable step.

        Raises:
            StorageError: SQLite cannot write; they stay out of the order, and are tried again.
        """
        if self.order.receipted:
            with self.transaction():
                pass

    def set_aside(self, held: Held, reason: str) -> None:
        """
        Take a batch out of the line and keep it for an operator to look at.
        """
        kept = self._db.execute(
            "INSERT INTO aside SELECT id, stream, first, last, ?, bytes, batch_id, body FROM sealed WHERE id=?",
            (reason, held.id),
        )
        self.aside_bytes += held.size * kept.rowcount
        self.drop_sealed(held)

    def aside(self) -> list[tuple[int, int, int, int, str, int]]:
        """
        Return (id, stream, first, last, reason, bytes) of every set-aside batch.
        """
        return self._rows("SELECT id, stream, first, last, reason, bytes FROM aside ORDER BY id")

    def drop_aside(self, row: int) -> None:
        """
        Forget a set-aside batch.
        """
        self._db.execute("DELETE FROM aside WHERE id=?", (row,))
        self.aside_bytes = self._number(_ASIDE_BYTES)

    def put_control(self, message_id: bytes, body: bytes) -> None:
        """
        Queue a sealed message to the authority.
        """
        self._db.execute("INSERT INTO control(message_id, body) VALUES(?, ?)", (message_id, body))

    def first_control(self) -> tuple[int, bytes, bytes] | None:
        """
        Return (id, message id, body) of the oldest message to the authority.
        """
        rows = self._rows("SELECT id, message_id, body FROM control ORDER BY id LIMIT 1")
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def controls(self) -> int:
        """
        Return how many messages to the authority are queued.
        """
        return self._number("SELECT COUNT(*) FROM control")

    def drop_control(self, row: int) -> None:
        """
        Forget a message to the authority: it was receipted.
        """
        self._db.execute("DELETE FROM control WHERE id=?", (row,))

    def number(self, key: str) -> int:
        """
        Return a counter of the site, 0 when it was never set.
        """
        return self._number("SELECT value FROM site WHERE key=?", key)

    def numbers(self) -> dict[str, int]:
        """
        Return all counters of the site.
        """
        return dict(self._rows("SELECT key, value FROM site"))

    def pending_rows(self, stream: int) -> int:
        """
        Return how many rows of the open batch of *stream* are stored.
        """
        return self._number("SELECT SUM(rows) FROM pending WHERE stream=?", stream)

    def set_number(self, key: str, value: int | None) -> None:
        """
        Set a counter of the site; None forgets it.
        """
        if value is None:
            self._db.execute("DELETE FROM site WHERE key=?", (key,))
        else:
            self._db.execute(_SET_NUMBER, (key, value))

    def checkpoint(self, *, cut: bool = True) -> None:
        """
        Move the write-ahead log into the file and *cut* it: at stop, withdrawal and wipe, too dear for each batch.
        Uncut, the next write goes into it from its beginning.
        """
        self._rows(f"PRAGMA wal_checkpoint({'TRUNCATE' if cut else 'RESTART'})")

    def held_bytes(self) -> int:
        """
        Return the bytes of all rows and batches kept: pending, sealed and set aside.
        """
        return self.pending_bytes + self.order.sealed_bytes + self.aside_bytes

    def file_bytes(self) -> int:
        """
        Return what the queue occupies on disk, write-ahead log included.
        """
        return files.size(self._path) + files.size(self._path.with_name("outbox.db-wal"))

    def close(self) -> None:
        """
        Close the database; what was committed stays.
        """
        self._db.close()

    def _delete_receipted(self) -> None:
        try:
            self._db.executemany("DELETE FROM sealed WHERE id=?", [(row,) for row in self.order.receipted])
        except sqlite3.Error:
            self.order.give_back()  # a row that cannot be deleted stops no other write
            raise

    def _check_format(self, *, read_only: bool) -> None:
        found = self._number("PRAGMA user_version")
        if found == 0 and not read_only:
            with self.transaction():
                for statement in filter(None, map(str.strip, _SCHEMA.split(";"))):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={FORMAT}")
        elif found in _BEFORE:
            if not read_only:  # before anything is stored that a release of that format cannot read
                self._rows(f"PRAGMA user_version={FORMAT}")
        elif found != FORMAT:
            raise StorageError(
                f"outbox.db has format {found}, this release reads {FORMAT}",
                hint="install the release that wrote it, or a newer one",
            )

    def _load_order(self) -> None:
        """
        Read the order of sealed batches, without their bodies, as the file has it.
        """
        if self._number(_MISSHAPEN):
            raise DatabaseDamaged(f"{self._path.name}: a row is of another shape", hint=DAMAGED)
        held = [Held(*row) for row in self._rows(_ORDER)]
        newest = self._number("SELECT MAX(id) FROM sealed"), self._number("SELECT MAX(id) FROM aside")
        next_pending = 1 + self._number("SELECT MAX(id) FROM pending")
        pending_bytes = self._number("SELECT SUM(LENGTH(body)) FROM pending")
        aside_bytes = self._number(_ASIDE_BYTES)
        # All is read: only now may it replace what is in memory.
        self._next_sealed, self._next_pending = 1 + max(newest), next_pending
        self.pending_bytes, self.aside_bytes = pending_bytes, aside_bytes
        self.order.load(held)

    def _rows(self, query: str, *values: Any) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise database_error(self._path, error) from error

    def _number(self, query: str, *values: Any) -> int:
        rows = self._rows(query, *values)
        return int(rows[0][0] or 0) if rows else 0
