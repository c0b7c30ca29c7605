"""
An opener's file: rows and gaps by stream, and what could not be opened.

It holds the data of this recipient's purposes in clear and no device name beyond what a policy keeps. Rules:
a row is known by (stream, seq) and its content, so a repeat is stored once and two contents of one place are
both kept and reported as a fork, and so are two streams that go on from one; what cannot be opened is set
aside whole, with a reason, and tried again; what was asked to be forgotten is deleted and not taken again.
Not here: keys, signatures, views (``opener``), text formats (``rows``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

from edge_sdk.collector.database import Database
from edge_sdk.collector.purposes import decode_purpose, encode_purpose
from edge_sdk.collector.rows import OpenedRow, json_text, json_value, scaled_text, scaled_values
from edge_sdk.core.batch import Batch, Gap, Reason
from edge_sdk.core.policy import Purpose, purpose_digest

FORMAT: Final = 3
_PAGE: Final = 500

_SCHEMA: Final = """
CREATE TABLE certified (
    key BLOB PRIMARY KEY, purpose TEXT NOT NULL, is_forgotten INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE streams (id BLOB PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (
    id BLOB PRIMARY KEY, stream BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    repeats INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX batches_of_stream ON batches (stream, first);
CREATE TABLE rows (
    number INTEGER PRIMARY KEY AUTOINCREMENT, stream BLOB NOT NULL, seq INTEGER NOT NULL,
    content BLOB NOT NULL, purpose TEXT NOT NULL, kind TEXT NOT NULL, at_ms INTEGER NOT NULL, count INTEGER,
    partial INTEGER NOT NULL, length_ms INTEGER, clock TEXT NOT NULL, boot BLOB, fields TEXT NOT NULL,
    scaled TEXT NOT NULL, UNIQUE (stream, seq, content));
CREATE TABLE gaps (
    batch BLOB NOT NULL, place INTEGER NOT NULL, stream BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER,
    count INTEGER, reason INTEGER NOT NULL, PRIMARY KEY (batch, place)) WITHOUT ROWID;
CREATE TABLE offsets (
    stream BLOB NOT NULL, boot BLOB NOT NULL, offset_ms INTEGER NOT NULL,
    PRIMARY KEY (stream, boot)) WITHOUT ROWID;
CREATE TABLE followers (
    stream BLOB PRIMARY KEY, before BLOB NOT NULL, rows INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX followers_of_stream ON followers (before);
CREATE TABLE aside (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, kid BLOB NOT NULL, reason TEXT NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE purposes (digest BLOB PRIMARY KEY, canonical BLOB NOT NULL);
CREATE TABLE progress (source TEXT PRIMARY KEY, number INTEGER NOT NULL)
"""
_PAGE_OF_ROWS: Final = """
SELECT number, offset_ms, rows.stream, seq, purpose, kind, at_ms, fields, scaled, count, partial, length_ms,
    clock, rows.boot
FROM rows LEFT JOIN offsets
    ON offsets.stream = rows.stream AND offsets.boot = rows.boot AND rows.clock = 'floor'
WHERE number > ? ORDER BY number LIMIT ?
"""
_PUT_ROW: Final = """
INSERT OR IGNORE INTO rows (content, stream, seq, purpose, kind, at_ms, fields, scaled, count, partial,
    length_ms, clock, boot) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PUT_GAP: Final = """
INSERT OR IGNORE INTO gaps (batch, place, stream, first, last, count, reason) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_FORGET: Final = (
    "DELETE FROM batches WHERE stream = ?",
    "DELETE FROM gaps WHERE stream = ?",
    "DELETE FROM offsets WHERE stream = ?",
    "DELETE FROM followers WHERE stream = ?",
    "DELETE FROM streams WHERE id = ?",
)
# Where one history became two: a place with two contents; a stream that two others go on from; rows of a stream from
# the place on from which another went on.
_FORKS: Final = """
SELECT stream, seq FROM rows GROUP BY stream, seq HAVING count(*) > 1
UNION SELECT before, min(rows) FROM followers GROUP BY before HAVING count(*) > 1
UNION SELECT before, min(rows) FROM followers
    WHERE EXISTS (SELECT 1 FROM rows AS late WHERE late.stream = before AND late.seq >= followers.rows) GROUP BY before
"""


@dataclass(frozen=True, slots=True)
class Certified:
    """
    What a stream key may speak for; nothing any more, when its household's data was asked to be forgotten.
    """

    purpose: str
    is_forgotten: bool


@dataclass(frozen=True, slots=True)
class Forgotten:
    """
    What was deleted.
    """

    streams: tuple[bytes, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class KeyedRow:
    """
    A row with the hash of its content, which tells a repeat from a fork.
    """

    row: OpenedRow
    content: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """
    One (stream, seq).
    """

    stream: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """
    A body that could not be opened yet.
    """

    id: bytes
    kid: bytes
    reason: str
    body: bytes


class OpenerStore:
    """
    The one SQLite file of an opener.

    Raises:
        StorageError: from every method, when the file or the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, schema=_SCHEMA, version=FORMAT)

    def close(self) -> None:
        """
        Close the file.
        """
        self._database.close()

    def certify(self, keys: Iterable[tuple[bytes, str]]) -> None:
        """
        Add public stream keys, each with the purpose it may speak for; known ones stay.

        After a power cut: all of them are there, or none of this call.
        """
        with self._database.write() as connection:
            connection.executemany("INSERT OR IGNORE INTO certified (key, purpose) VALUES (?, ?)", keys)

    def certified(self, key: bytes) -> Certified | None:
        """
        Return what *key* may speak for, None when no one certified it.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT purpose, is_forgotten FROM certified WHERE key = ?", (key,)
            ).fetchone()
        return None if found is None else Certified(found[0], bool(found[1]))

    def forget(self, keys: Collection[bytes]) -> Forgotten:
        """
        Delete every row, gap and repeat count of the streams that *keys* signed, and take none of them again.

        Keys that were not certified here are passed over: they are another opener's.

        After a power cut: all of it is deleted, or nothing.
        """
        streams: list[bytes] = []
        rows = 0
        with self._database.write() as connection:
            for key in keys:
                connection.execute("UPDATE certified SET is_forgotten = 1 WHERE key = ?", (key,))
                found = connection.execute("SELECT id FROM streams WHERE key = ?", (key,)).fetchall()
                streams += [stream for (stream,) in found]
            for stream in streams:
                rows += connection.execute("DELETE FROM rows WHERE stream = ?", (stream,)).rowcount
                for statement in _FORGET:
                    connection.execute(statement, (stream,))
        self._database.empty_log()
        return Forgotten(tuple(streams), rows)

    def batches_of(self, keys: Iterable[bytes]) -> list[bytes]:
        """
        Return the ids of all batches opened of the streams that *keys* signed.
        """
        with self._database.read() as connection:
            return [
                batch_id
                for key in keys
                for (batch_id,) in connection.execute(
                    "SELECT batches.id FROM batches JOIN streams ON streams.id = stream WHERE key = ?", (key,)
                ).fetchall()
            ]

    def put_purposes(self, purposes: Iterable[Purpose]) -> None:
        """
        Add editions of purposes; known ones stay, because batches of them may still come.

        After a power cut: all of them are there, or none of this call.
        """
        with self._database.write() as connection:
            for purpose in purposes:
                stored = (purpose_digest(purpose), encode_purpose(purpose))
                connection.execute("INSERT OR IGNORE INTO purposes (digest, canonical) VALUES (?, ?)", stored)

    def purposes(self) -> dict[bytes, Purpose]:
        """
        Return every edition by digest.
        """
        with self._database.read() as connection:
            found = connection.execute("SELECT digest, canonical FROM purposes").fetchall()
        return {digest: decode_purpose(canonical, digest) for digest, canonical in found}

    def put_batch(self, batch_id: bytes, batch: Batch, rows: Sequence[KeyedRow]) -> None:
        """
        Store what one batch held, and take it off what was set aside.

        After a power cut: all of the batch is stored, or nothing of it; storing it again changes nothing.
        """
        with self._database.write() as connection:
            stream = (batch.stream_id, batch.stream_key)
            connection.execute("INSERT OR IGNORE INTO streams (id, key) VALUES (?, ?)", stream)
            fresh = sum(_insert_row(connection, keyed) for keyed in rows)
            connection.execute(
                "INSERT OR IGNORE INTO batches (id, stream, first, last, repeats) VALUES (?, ?, ?, ?, ?)",
                (batch_id, batch.stream_id, batch.first, batch.last, len(rows) - fresh),
            )
            for place, gap in enumerate(batch.gaps):
                where = (batch_id, place, batch.stream_id)
                connection.execute(_PUT_GAP, (*where, gap.first, gap.last, gap.count, int(gap.reason)))
            if batch.boot is not None and batch.offset_ms is not None:
                connection.execute(
                    "INSERT OR IGNORE INTO offsets (stream, boot, offset_ms) VALUES (?, ?, ?)",
                    (batch.stream_id, batch.boot, batch.offset_ms),
                )
            if batch.follows is not None:
                connection.execute(
                    "INSERT OR IGNORE INTO followers (stream, before, rows) VALUES (?, ?, ?)",
                    (batch.stream_id, *batch.follows),
                )
            connection.execute("DELETE FROM aside WHERE id = ?", (batch_id,))

    def drop_aside(self, batch_id: bytes) -> None:
        """
        Delete a body that was set aside.

        After a power cut: it is there or deleted.
        """
        with self._database.write() as connection:
            connection.execute("DELETE FROM aside WHERE id = ?", (batch_id,))

    def set_aside(self, kept: SetAside) -> None:
        """
        Keep a body that could not be opened, with the reason.

        After a power cut: it is kept here, or it is still where it came from.
        """
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO aside (id, kid, reason, body) VALUES (?, ?, ?, ?)",
                (kept.id, kept.kid, kept.reason, kept.body),
            )

    def aside(self) -> list[SetAside]:
        """
        Return everything that was set aside and could not be opened since.
        """
        with self._database.read() as connection:
            found = connection.execute("SELECT id, kid, reason, body FROM aside ORDER BY number").fetchall()
        return [SetAside(*columns) for columns in found]

    def progress(self, source: str) -> int:
        """
        Return how far *source* has been read, in its own numbers; 0 at first.
        """
        with self._database.read() as connection:
            found = connection.execute("SELECT number FROM progress WHERE source = ?", (source,)).fetchone()
        return 0 if found is None else int(found[0])

    def put_progress(self, source: str, number: int) -> None:
        """
        Remember how far *source* has been read.

        After a power cut: at worst some bodies are read twice, which changes nothing.
        """
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO progress (source, number) VALUES (?, ?)", (source, number))

    def rows(self, after: int = 0) -> Iterator[tuple[int, OpenedRow]]:
        """
        Yield (number, row) in order of storing, numbers above *after*; times are put right where they can be.
        """
        last = after
        while True:
            with self._database.read() as connection:
                page = connection.execute(_PAGE_OF_ROWS, (last, _PAGE)).fetchall()
            if not page:
                return
            for number, offset_ms, *columns in page:
                row = _row(columns)
                yield number, row if offset_ms is None else row.moved(offset_ms)
            last = page[-1][0]

    def gap_records(self) -> list[tuple[bytes, Gap]]:
        """
        Return (stream, gap) as devices declared them, by stream and place, each as often as it was sent.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT stream, first, last, count, reason FROM gaps ORDER BY stream, first, reason"
            ).fetchall()
        return [(row[0], Gap(row[1], row[2], row[3], Reason(row[4]))) for row in found]

    def spans(self) -> list[tuple[bytes, int, int]]:
        """
        Return (stream, first, last) of every batch that held rows, in order of stream and place.
        """
        with self._database.read() as connection:
            return connection.execute(
                "SELECT stream, first, last FROM batches WHERE last >= first ORDER BY stream, first, last"
            ).fetchall()

    def forks(self) -> list[Place]:
        """
        Return every place from which on there are two histories: two contents of it, or two streams that go on from it.
        """
        with self._database.read() as connection:
            found = connection.execute(_FORKS).fetchall()
        return [Place(*columns) for columns in found]

    def repeats(self) -> int:
        """
        Return how many rows came in more than once with the same content.
        """
        with self._database.read() as connection:
            return int(connection.execute("SELECT coalesce(sum(repeats), 0) FROM batches").fetchone()[0])


def _insert_row(connection: Connection, keyed: KeyedRow) -> int:
    row = keyed.row
    named = (keyed.content, row.stream, row.seq, row.purpose, row.kind, row.at_ms)
    window = (row.count, row.partial, row.length_ms)
    values = (*named, json_text(row.fields), scaled_text(row), *window, row.clock, row.boot)
    return connection.execute(_PUT_ROW, values).rowcount


def _row(columns: Sequence[Any]) -> OpenedRow:
    stream, seq, purpose, kind, at_ms, fields, scaled, *window, clock, boot = columns
    count, partial, length_ms = window
    return OpenedRow(
        stream=stream,
        seq=seq,
        purpose=purpose,
        kind=kind,
        at_ms=at_ms,
        fields=json_value(fields),
        scaled=scaled_values(scaled),
        count=count,
        partial=bool(partial),
        length_ms=length_ms,
        clock=clock,
        boot=boot,
    )
