"""
The authority's record of endings: wipe orders, what devices confirmed, told and reported wrong.

Tables in the registry's file, so that what a message changes is stored with the fact that it was read. Rules:
nothing here is ever overwritten by something older; an entry that a device can cause is bounded (one ledger
head, one line per kind of alarm, one receipt per message). Not here: what a message means (``listening``),
signatures (``orders``), grants (``registry``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Final

from edge_sdk.collector.database import Database
from edge_sdk.core.messages import EndedStream
from edge_sdk.core.receipt import WipeReceipt, decode_wipe_receipt, encode_wipe_receipt

CASES: Final = """
CREATE TABLE orders (
    number INTEGER PRIMARY KEY, nonce BLOB NOT NULL UNIQUE, generation BLOB NOT NULL REFERENCES devices,
    scope TEXT NOT NULL, issued_s INTEGER NOT NULL, not_before_s INTEGER, bundle BLOB NOT NULL,
    replaced_by BLOB, confirmed_s INTEGER);
CREATE TABLE erasures (
    number INTEGER PRIMARY KEY, message BLOB NOT NULL UNIQUE, generation BLOB NOT NULL REFERENCES devices,
    heard_s INTEGER NOT NULL, receipt BLOB NOT NULL);
CREATE TABLE ended_streams (
    stream BLOB NOT NULL, generation BLOB NOT NULL REFERENCES devices, grant_id BLOB NOT NULL,
    purpose TEXT NOT NULL, accepted INTEGER NOT NULL, receipted INTEGER NOT NULL, destroyed INTEGER,
    PRIMARY KEY (generation, stream)) WITHOUT ROWID;
CREATE TABLE withdrawals (
    grant_id BLOB PRIMARY KEY, generation BLOB NOT NULL REFERENCES devices, purpose TEXT NOT NULL,
    at_s INTEGER NOT NULL, heard_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE ledgers (
    generation BLOB PRIMARY KEY REFERENCES devices, head BLOB NOT NULL, length INTEGER NOT NULL,
    at_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE alarms (
    generation BLOB NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL, first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL, PRIMARY KEY (generation, what)) WITHOUT ROWID
"""
MAX_ERASURES: Final = 64  # of one device: purposes wiped one by one, retries of one that failed
MAX_ENDED: Final = 1 << 16  # of one device: streams it ended, a century of daily ones
_HEARD: Final = "control_heard"
_NOBODY: Final = b""
_ORDERS: Final = """
SELECT nonce, generation, scope, issued_s, not_before_s, bundle, replaced_by, confirmed_s
FROM orders WHERE generation = ?1 OR ?1 IS NULL ORDER BY number
"""
_PUT_ORDER: Final = """
INSERT INTO orders (nonce, generation, scope, issued_s, not_before_s, bundle) VALUES (?, ?, ?, ?, ?, ?)
"""
_PUT_ENDED: Final = """
INSERT INTO ended_streams (stream, generation, grant_id, purpose, accepted, receipted, destroyed)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (generation, stream) DO UPDATE
    SET accepted = excluded.accepted, receipted = excluded.receipted, destroyed = excluded.destroyed
    WHERE excluded.receipted >= receipted
"""
_COUNTS: Final = {
    table: f"SELECT count(*) FROM {table} WHERE generation = ?" for table in ("erasures", "ended_streams")  # noqa: S608 - our own names
}


@dataclass(frozen=True, slots=True)
class OrderRow:
    """
    One wipe order. An empty ``scope`` is the account; ``replaced_by`` is the nonce of a wider one.
    """

    nonce: bytes
    generation: bytes
    scope: tuple[str, ...]
    issued_s: int
    not_before_s: int | None
    bundle: bytes
    replaced_by: bytes | None = None
    confirmed_s: int | None = None

    @property
    def is_open(self) -> bool:
        """
        Tell whether this is the order its device is still to carry out.
        """
        return self.confirmed_s is None and self.replaced_by is None


@dataclass(frozen=True, slots=True)
class Erasure:
    """
    One verified wipe receipt and when it was read (Unix seconds).
    """

    generation: bytes
    heard_s: int
    receipt: WipeReceipt


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """
    One grant that a household withdrew on its device.
    """

    grant: bytes
    generation: bytes
    purpose: str
    at_s: int
    heard_s: int


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """
    The longest ledger a device reported.
    """

    head: bytes
    length: int
    at_s: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """
    Something that should not have happened, how often, and when first and last (Unix seconds).

    ``generation`` is None where no device can be blamed.
    """

    generation: bytes | None
    what: str
    count: int
    first_s: int
    last_s: int


class Casebook:
    """
    The record of endings in the registry's file.

    Raises:
        StorageError: from every method, when the file or the disk fails.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def heard(self) -> int:
        """
        Return the number of the last control message that was read.
        """
        with self._database.read() as connection:
            found = connection.execute("SELECT value FROM settings WHERE name = ?", (_HEARD,)).fetchone()
        return 0 if found is None else int(found[0])

    @contextmanager
    def hearing(self, number: int) -> Iterator[bool]:
        """
        Lend one transaction for what message *number* changes; False when it was read before.

        After a power cut: the message was read and all it changes is stored, or neither.
        """
        with self._database.write() as connection:
            is_new = number > self.heard()
            if is_new:
                stored = (_HEARD, str(number).encode())
                connection.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", stored)
            yield is_new

    def put_order(self, order: OrderRow) -> None:
        """
        Store *order*; open ones of its device are replaced by it.

        After a power cut: the order is stored and the only open one, or nothing changed.
        """
        with self._database.write() as connection:
            connection.execute(
                "UPDATE orders SET replaced_by = ? WHERE generation = ? AND confirmed_s IS NULL",
                (order.nonce, order.generation),
            )
            named = (order.nonce, order.generation, "\n".join(order.scope))
            connection.execute(_PUT_ORDER, (*named, order.issued_s, order.not_before_s, order.bundle))

    def put_bundle(self, nonce: bytes, bundle: bytes) -> None:
        """
        Store an order's new signatures.

        After a power cut: the old bundle or the new one.
        """
        with self._database.write() as connection:
            connection.execute("UPDATE orders SET bundle = ? WHERE nonce = ?", (bundle, nonce))

    def orders(self, generation: bytes | None = None) -> list[OrderRow]:
        """
        Return the orders of one device, or of all, in order of issue.
        """
        with self._database.read() as connection:
            found = connection.execute(_ORDERS, (generation,)).fetchall()
        return [OrderRow(nonce, generation, _names(scope), *rest) for nonce, generation, scope, *rest in found]

    def confirm(self, nonce: bytes, now_s: int) -> None:
        """
        Close an order, and those it replaced.

        After a power cut: they are open or closed.
        """
        with self._database.write() as connection:
            connection.execute(
                "UPDATE orders SET confirmed_s = ?1 WHERE confirmed_s IS NULL AND (nonce = ?2 OR replaced_by = ?2)",
                (now_s, nonce),
            )

    def put_erasure(self, message_id: bytes, generation: bytes, receipt: WipeReceipt, now_s: int) -> bool:
        """
        Store a verified wipe receipt.

        Returns:
            False when the device has had ``MAX_ERASURES`` stored already; nothing is stored then.

        After a power cut: it is stored or not.
        """
        with self._database.write() as connection:
            if _count(connection, "erasures", generation) >= MAX_ERASURES:
                return False
            connection.execute(
                "INSERT OR IGNORE INTO erasures (message, generation, heard_s, receipt) VALUES (?, ?, ?, ?)",
                (message_id, generation, now_s, encode_wipe_receipt(receipt)),
            )
        return True

    def erasures(self) -> list[Erasure]:
        """
        Return every verified wipe receipt in order of reading.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT generation, heard_s, receipt FROM erasures ORDER BY number"
            ).fetchall()
        return [Erasure(row[0], row[1], decode_wipe_receipt(row[2])) for row in found]

    def put_withdrawal(self, withdrawn: Withdrawn) -> None:
        """
        Store that a grant was withdrawn on its device; the first telling stays.

        After a power cut: it is stored or not.
        """
        row = (withdrawn.grant, withdrawn.generation, withdrawn.purpose, withdrawn.at_s, withdrawn.heard_s)
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO withdrawals (grant_id, generation, purpose, at_s, heard_s) "
                "VALUES (?, ?, ?, ?, ?)",
                row,
            )

    def withdrawals(self) -> list[Withdrawn]:
        """
        Return every withdrawal made on a device, oldest telling first.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT grant_id, generation, purpose, at_s, heard_s FROM withdrawals ORDER BY heard_s, grant_id"
            ).fetchall()
        return [Withdrawn(*row) for row in found]

    def put_ended(self, generation: bytes, ended: EndedStream) -> bool:
        """
        Store the account of an ended stream, unless one that had more receipts is there.

        Returns:
            False when the device has had ``MAX_ENDED`` stored already; nothing is stored then.

        After a power cut: the old account or the new one.
        """
        counts = (ended.rows, ended.receipted, ended.destroyed)
        with self._database.write() as connection:
            if _count(connection, "ended_streams", generation) >= MAX_ENDED:
                return False
            connection.execute(_PUT_ENDED, (ended.stream, generation, ended.grant, ended.purpose, *counts))
        return True

    def ended(self) -> list[tuple[bytes, EndedStream]]:
        """
        Return (generation, account) of every ended stream.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT generation, stream, purpose, grant_id, accepted, receipted, destroyed FROM ended_streams"
            ).fetchall()
        return [(row[0], EndedStream(*row[1:])) for row in found]

    def ledger(self, generation: bytes) -> LedgerRow | None:
        """
        Return the longest ledger that a device reported, None when it reported none.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT head, length, at_s FROM ledgers WHERE generation = ?", (generation,)
            ).fetchone()
        return None if found is None else LedgerRow(*found)

    def put_ledger(self, generation: bytes, row: LedgerRow) -> None:
        """
        Store the longest ledger that a device reported.

        After a power cut: the old one or the new one.
        """
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO ledgers (generation, head, length, at_s) VALUES (?, ?, ?, ?)",
                (generation, row.head, row.length, row.at_s),
            )

    def alarm(self, generation: bytes | None, what: str, now_s: int) -> None:
        """
        Count something that should not have happened.

        After a power cut: it is counted or not.
        """
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO alarms (generation, what, count, first_s, last_s) VALUES (?1, ?2, 1, ?3, ?3) "
                "ON CONFLICT (generation, what) DO UPDATE SET count = count + 1, last_s = ?3",
                (generation or _NOBODY, what, now_s),
            )

    def alarms(self) -> list[Alarm]:
        """
        Return every alarm, the newest last.
        """
        with self._database.read() as connection:
            found: Sequence[Any] = connection.execute(
                "SELECT generation, what, count, first_s, last_s FROM alarms ORDER BY last_s, generation, what"
            ).fetchall()
        return [Alarm(row[0] or None, *row[1:]) for row in found]


def _count(connection: Connection, table: str, generation: bytes) -> int:
    return int(connection.execute(_COUNTS[table], (generation,)).fetchone()[0])


def _names(scope: str) -> tuple[str, ...]:
    return tuple(scope.split("\n")) if scope else ()
