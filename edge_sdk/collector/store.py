"""
The intake's file: batches as they arrived, and the tags that may bring them.

It holds no device identity: per epoch a shuffled table tag -> (MAC key, quota, waiting downlink), and bodies
without the tag that brought them. Rules: what :meth:`IntakeStore.keep` reported as stored has been fsynced; a
batch id is remembered for 90 days; a batch no opener has taken is never removed, but for one whose erasure was
asked for; control messages have a quota of their own, so that no batch takes the room of a wipe receipt. The
authority publishes tables and public documents into it, openers read bodies out of it; run apart, both do so
from their own process. Not here: any check of a signature or MAC (``intake``), any key that opens a batch (``opener``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk.collector.database import Database
from edge_sdk.collector.intake import Arrival, Box, Kept, TagRow

FORMAT: Final = 2
KEEP_IDS_DAYS: Final = 90
CONTROL_BYTES: Final = 4 << 20  # of one tag in one epoch: the longest wipe receipt and hundreds of other messages
PRUNED_AT_ONCE: Final = 500  # bodies: nothing else is answered while they are removed
_PAGE: Final = 64  # bodies read at a time: bounds memory at 64 times the size limit

_SCHEMA: Final = """
CREATE TABLE tags (
    epoch INTEGER NOT NULL, tag BLOB NOT NULL, mac_key BLOB NOT NULL, quota_bytes INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL, control_bytes INTEGER NOT NULL,
    downlink BLOB NOT NULL, downlink_hash BLOB NOT NULL,
    PRIMARY KEY (epoch, tag));
CREATE TABLE arrivals (
    number INTEGER PRIMARY KEY AUTOINCREMENT, box TEXT NOT NULL, id BLOB NOT NULL, kid BLOB NOT NULL,
    digest BLOB NOT NULL, body BLOB NOT NULL, epoch INTEGER NOT NULL, taken INTEGER NOT NULL DEFAULT 0,
    UNIQUE (box, id));
CREATE TABLE documents (name TEXT PRIMARY KEY, body BLOB NOT NULL)
"""
# Among a million batches the few control messages and the few that may go are found without reading the others.
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS arrivals_control ON arrivals (number) WHERE box = 'control';
CREATE INDEX IF NOT EXISTS arrivals_taken ON arrivals (epoch) WHERE taken = 1
"""
_TAG_ROW: Final = """
SELECT epoch, tag, mac_key, quota_bytes, used_bytes, downlink_hash FROM tags WHERE epoch = ? AND tag = ?
"""
_PUT_TAG: Final = """
INSERT INTO tags (epoch, tag, mac_key, quota_bytes, used_bytes, control_bytes, downlink, downlink_hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_CHARGE: Final = {
    Box.BATCHES: "UPDATE tags SET used_bytes = used_bytes + :size "
    "WHERE epoch = :epoch AND tag = :tag AND used_bytes + :size <= quota_bytes",
    Box.CONTROL: "UPDATE tags SET control_bytes = control_bytes + :size "
    "WHERE epoch = :epoch AND tag = :tag AND control_bytes + :size <= :most",
}
_IN_BOX: Final = {
    Box.BATCHES: "arrivals WHERE box = 'batches'",
    Box.CONTROL: "arrivals INDEXED BY arrivals_control WHERE box = 'control'",
}
_BODIES: Final = {
    box: f"SELECT number, id, kid, body FROM {place} AND number > ?1 AND (?2 IS NULL OR kid = ?2) "  # noqa: S608 - our own text
    "AND length(body) ORDER BY number LIMIT ?3"
    for box, place in _IN_BOX.items()
}
_NEWEST: Final = "SELECT coalesce(max(number), 0) FROM arrivals"
_READ: Final = """
UPDATE arrivals INDEXED BY arrivals_control SET taken = 1 WHERE box = 'control' AND taken = 0 AND number <= ?
"""
_PRUNE: Final = """
DELETE FROM arrivals WHERE number IN (
    SELECT number FROM arrivals INDEXED BY arrivals_taken WHERE taken = 1 AND epoch < ? LIMIT ?)
"""


@dataclass(frozen=True, slots=True)
class TagEntry:
    """
    One row of an epoch's table as the authority publishes it.

    ``quota_bytes`` is what the tag may have stored in its epoch.
    """

    tag: bytes
    mac_key: bytes
    quota_bytes: int
    downlink: bytes
    downlink_hash: bytes


@dataclass(frozen=True, slots=True)
class KeptBody:
    """
    One stored body; ``number`` grows with arrival and is what an opener remembers.
    """

    number: int
    id: bytes
    kid: bytes
    body: bytes


class IntakeStore:
    """
    The one SQLite file of an intake.

    Raises:
        StorageError: from every method, when the file or the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, schema=_SCHEMA, version=FORMAT, indexes=_INDEXES)

    def close(self) -> None:
        """
        Close the file.
        """
        self._database.close()

    def tag_row(self, tag: bytes, epochs: Sequence[int]) -> TagRow | None:
        """
        Return what is known of *tag* in one of *epochs*, None when it is in none of them.
        """
        for epoch in epochs:
            with self._database.read() as connection:
                found = connection.execute(_TAG_ROW, (epoch, tag)).fetchone()
            if found is not None:
                return TagRow(*found)
        return None

    def downlink(self, row: TagRow) -> bytes | None:
        """
        Return the downlink waiting under the tag of *row*, None when its table has been replaced since.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT downlink FROM tags WHERE epoch = ? AND tag = ?", (row.epoch, row.tag)
            ).fetchone()
        return None if found is None else bytes(found[0])

    def keep(self, arrival: Arrival) -> Kept:
        """
        Store a body once, and say whether it was new.

        Returns:
            STORED, or DUPLICATE for the same id and bytes, or CONFLICT for the same id and other bytes, or
            OVER_QUOTA. Only STORED changes anything.

        After a power cut: the body is there whole or not at all; once this returned STORED it is there.
        """
        size = len(arrival.body)
        with self._database.write() as connection:
            known = connection.execute(
                "SELECT digest FROM arrivals WHERE box = ? AND id = ?", (arrival.box, arrival.id)
            ).fetchone()
            if known is not None:
                return Kept.DUPLICATE if known[0] == arrival.digest else Kept.CONFLICT
            account = {"epoch": arrival.row.epoch, "tag": arrival.row.tag, "size": size, "most": CONTROL_BYTES}
            charged = connection.execute(_CHARGE[arrival.box], account)
            if charged.rowcount == 0:
                return Kept.OVER_QUOTA
            connection.execute(
                "INSERT INTO arrivals (box, id, kid, digest, body, epoch) VALUES (?, ?, ?, ?, ?, ?)",
                (arrival.box, arrival.id, arrival.kid, arrival.digest, arrival.body, arrival.day),
            )
        return Kept.STORED

    def publish(self, tables: Mapping[int, Iterable[TagEntry]], *, oldest_epoch: int) -> None:
        """
        Replace the tables of the given epochs as wholes, and forget epochs before *oldest_epoch*.

        Whole tables, because a single replaced row in several epochs at once would show the intake which tags
        belong to one device. What a tag has used of its quota stays.

        After a power cut: all tables are the old ones or all are the new ones.
        """
        with self._database.write() as connection:
            connection.execute("DELETE FROM tags WHERE epoch < ?", (oldest_epoch,))
            for epoch, entries in tables.items():
                counted = connection.execute(
                    "SELECT tag, used_bytes, control_bytes FROM tags WHERE epoch = ?", (epoch,)
                )
                used = {tag: counts for tag, *counts in counted}
                connection.execute("DELETE FROM tags WHERE epoch = ?", (epoch,))
                for row in entries:
                    account = (row.quota_bytes, *used.get(row.tag, (0, 0)))
                    values = (epoch, row.tag, row.mac_key, *account, row.downlink, row.downlink_hash)
                    connection.execute(_PUT_TAG, values)

    def add(self, entries: Mapping[int, TagEntry]) -> None:
        """
        Add one row to each of the given epochs, in place of one with the same tag.

        For a newly enrolled device only: its tags are new in every table, which a replaced table would show
        too.

        After a power cut: all rows are there, or none.
        """
        with self._database.write() as connection:
            for epoch, row in entries.items():
                connection.execute("DELETE FROM tags WHERE epoch = ? AND tag = ?", (epoch, row.tag))
                values = (epoch, row.tag, row.mac_key, row.quota_bytes, 0, 0, row.downlink, row.downlink_hash)
                connection.execute(_PUT_TAG, values)

    def put_document(self, name: str, body: bytes) -> None:
        """
        Publish a public document under *name*, in place of the one before.

        After a power cut: the old one or the new one is served.
        """
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO documents (name, body) VALUES (?, ?)", (name, body))

    def document(self, name: str) -> bytes | None:
        """
        Return the public document *name*, None when there is none.
        """
        with self._database.read() as connection:
            found = connection.execute("SELECT body FROM documents WHERE name = ?", (name,)).fetchone()
        return None if found is None else bytes(found[0])

    def bodies(self, box: Box, *, kid: bytes | None = None, after: int = 0) -> Iterator[KeptBody]:
        """
        Yield stored bodies in order of arrival, those with a number above *after*.

        Args:
            box: batches or control messages.
            kid: only those sealed to this key; None for all.
            after: the number of the last one read before.
        """
        last = after
        while True:
            with self._database.read() as connection:
                page = connection.execute(_BODIES[box], (last, kid, _PAGE)).fetchall()
            if not page:
                return
            for found in page:
                yield KeptBody(*found)
            last = page[-1][0]

    def mark_taken(self, numbers: Iterable[int]) -> None:
        """
        Say that an opener holds these bodies' content durably, so they may go once their id may be forgotten.

        After a power cut: none is marked, or all are; an unmarked one is only kept longer.
        """
        with self._database.write() as connection:
            connection.executemany("UPDATE arrivals SET taken = 1 WHERE number = ?", ((n,) for n in numbers))

    def newest(self) -> int:
        """
        Return the number of the last body that arrived, whatever its box and key; 0 when none is here.

        All that arrive later have greater numbers.
        """
        with self._database.read() as connection:
            return int(connection.execute(_NEWEST).fetchone()[0])

    def mark_heard(self, upto: int) -> None:
        """
        Say that every control message up to this number is held durably elsewhere.

        After a power cut: none is marked, or all are; an unmarked one is only kept longer.
        """
        with self._database.write() as connection:
            connection.execute(_READ, (upto,))

    def erase(self, ids: Iterable[bytes]) -> None:
        """
        Empty the bodies of these batches; their ids stay, so that one that comes again is not stored again.

        After a power cut: none is emptied, or all are; doing it again changes nothing.
        """
        named = [(Box.BATCHES, batch_id) for batch_id in ids]
        if not named:
            return
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE arrivals SET body = x'', taken = 1 WHERE box = ? AND id = ?",
                named,
            )
        self._database.empty_log()

    def prune(self, today: int) -> int:
        """
        Remove taken bodies and their ids 90 days after arrival, and tags no clock can still use.

        Args:
            today: the epoch it is now.

        Returns:
            How many bodies were removed; at ``PRUNED_AT_ONCE`` there may be more.

        After a power cut: all that this call removed is gone, or none of it.
        """
        with self._database.write() as connection:
            connection.execute("DELETE FROM tags WHERE epoch < ?", (today - 1,))
            gone = connection.execute(_PRUNE, (today - KEEP_IDS_DAYS, PRUNED_AT_ONCE))
        return gone.rowcount
