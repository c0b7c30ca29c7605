"""
The authority's file: claim codes, devices with their secrets, grants and statements.

This is the one place that knows which tags and streams belong to which device; it must, to order deletion. It
never meets the intake's or an opener's file: what those learn goes through ``authority``. Rules: a code is
stored as a hash and redeemed in the transaction that stores the device; grants that ended are kept, because
their streams may still have batches under way. Not here: signatures, sealing, what a grant means
(``authority``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

from edge_sdk.collector.casebook import CASES
from edge_sdk.collector.claim import TryLimit
from edge_sdk.collector.database import Database
from edge_sdk.collector.incidents import INCIDENTS
from edge_sdk.collector.purposes import decode_purpose, encode_purpose
from edge_sdk.core import claims
from edge_sdk.core.policy import Purpose, purpose_digest

FORMAT: Final = 3

_SCHEMA: Final = """
CREATE TABLE codes (digest BLOB PRIMARY KEY, expires_s INTEGER NOT NULL, generation BLOB) WITHOUT ROWID;
CREATE TABLE wrong_tries (at_s INTEGER NOT NULL);
CREATE TABLE devices (
    generation BLOB PRIMARY KEY, enrolled_s INTEGER NOT NULL, signing_key BLOB NOT NULL,
    hpke_alg INTEGER NOT NULL, hpke_key BLOB NOT NULL, routing_secret BLOB NOT NULL,
    stream_secret BLOB NOT NULL, account TEXT NOT NULL, statement_version INTEGER NOT NULL DEFAULT 0,
    statement BLOB, issued_s INTEGER, expires_s INTEGER, erased_s INTEGER);
CREATE TABLE grants (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, generation BLOB NOT NULL REFERENCES devices,
    purpose TEXT NOT NULL, basis TEXT NOT NULL, status TEXT NOT NULL, digests BLOB NOT NULL,
    kids BLOB NOT NULL, issued_s INTEGER NOT NULL, since_s INTEGER NOT NULL, ended_s INTEGER);
CREATE INDEX grants_of_device ON grants (generation);
CREATE TABLE purposes (digest BLOB PRIMARY KEY, canonical BLOB NOT NULL, is_current INTEGER NOT NULL);
CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL)
"""
_DEVICES: Final = """
SELECT generation, enrolled_s, signing_key, hpke_alg, hpke_key, routing_secret, stream_secret, account,
    statement_version, statement, issued_s, expires_s, erased_s
FROM devices WHERE generation = ?1 OR ?1 IS NULL ORDER BY enrolled_s, generation
"""
_PUT_DEVICE: Final = """
INSERT INTO devices (generation, enrolled_s, signing_key, hpke_alg, hpke_key, routing_secret, stream_secret,
    account) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_MARK_STALE: Final = "UPDATE devices SET issued_s = NULL WHERE generation = ?1 OR ?1 IS NULL"
_GRANTS: Final = """
SELECT id, generation, purpose, basis, status, digests, kids, issued_s, since_s, ended_s
FROM grants WHERE generation = ?1 OR ?1 IS NULL ORDER BY number
"""
_PUT_GRANT: Final = """
INSERT INTO grants (id, generation, purpose, basis, status, digests, kids, issued_s, since_s, ended_s)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Redeemed(Enum):
    """
    What handing in a claim code came to.
    """

    ENROLLED = "enrolled"
    REPEATED = "repeated"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Device:
    """
    One generation of one device.

    ``statement`` is the newest signed bundle, None before the first; ``issued_s`` is None when something in it
    has changed since, so that a change that was cut short before its statement was issued is not forgotten;
    ``erased_s`` is when its account's wipe was confirmed.
    """

    generation: bytes
    enrolled_s: int
    signing_key: bytes
    hpke_alg: int
    hpke_key: bytes
    routing_secret: bytes
    stream_secret: bytes
    account: str
    statement_version: int = 0
    statement: bytes | None = None
    issued_s: int | None = None
    expires_s: int | None = None
    erased_s: int | None = None

    def has_keys_of(self, other: Device) -> bool:
        """
        Tell whether *other* is this generation with the same keys.
        """
        mine = (self.generation, self.signing_key, self.hpke_alg, self.hpke_key, self.routing_secret)
        theirs = (other.generation, other.signing_key, other.hpke_alg, other.hpke_key, other.routing_secret)
        return mine == theirs and self.stream_secret == other.stream_secret


@dataclass(frozen=True, slots=True)
class GrantRow:
    """
    One consent event of one device.

    ``digests`` are the editions of the purpose it covers, ``since_s`` is when its status took effect,
    ``ended_s`` is set when a newer grant took its place.
    """

    id: bytes
    generation: bytes
    purpose: str
    basis: str
    status: str
    digests: tuple[bytes, ...]
    kids: tuple[bytes, ...]
    issued_s: int
    since_s: int
    ended_s: int | None = None


class Registry:
    """
    The authority's SQLite file.

    Raises:
        StorageError: from every method, when the file or the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, schema=f"{_SCHEMA};{CASES};{INCIDENTS}", version=FORMAT)

    @property
    def database(self) -> Database:
        """
        Return the file, for the casebook in it.
        """
        return self._database

    def close(self) -> None:
        """
        Close the file.
        """
        self._database.close()

    def add_code(self, digest: bytes, *, expires_s: int) -> None:
        """
        Remember the hash of a new claim code until *expires_s* (Unix seconds).

        After a power cut: once this returned, the code can be redeemed.
        """
        with self._database.write() as connection:
            connection.execute("INSERT INTO codes (digest, expires_s) VALUES (?, ?)", (digest, expires_s))

    def wait_s(self, limit: TryLimit, now_s: int) -> int:
        """
        Return the seconds until a code may be tried again, 0 when it may be now.
        """
        with self._database.read() as connection:
            recent = connection.execute(
                "SELECT at_s FROM wrong_tries WHERE at_s > ?", (now_s - limit.span_s,)
            ).fetchall()
        return limit.wait_s([at_s for (at_s,) in recent], now_s)

    def redeem(self, digest: bytes, device: Device, grants: Iterable[GrantRow], *, now_s: int) -> Redeemed:
        """
        Take a code, and enrol *device* with its first grants.

        Returns:
            ENROLLED; REPEATED when this device with these very keys was enrolled with this code before; WRONG
            when the code is unknown, expired or used, or the generation is known with other keys. A wrong try
            is counted.

        After a power cut: the code is used and the device enrolled, or neither.
        """
        with self._database.write() as connection:
            code = connection.execute("SELECT expires_s, generation FROM codes WHERE digest = ?", (digest,)).fetchone()
            known = _device(connection, device.generation)
            if code and known and code[1] == device.generation and known.has_keys_of(device):
                return Redeemed.REPEATED
            if not code or code[1] is not None or code[0] <= now_s or known:
                connection.execute("DELETE FROM wrong_tries WHERE at_s < ?", (now_s - 86_400,))
                connection.execute("INSERT INTO wrong_tries (at_s) VALUES (?)", (now_s,))
                return Redeemed.WRONG
            connection.execute("UPDATE codes SET generation = ? WHERE digest = ?", (device.generation, digest))
            _insert_device(connection, device)
            _insert_grants(connection, grants)
        return Redeemed.ENROLLED

    def device(self, generation: bytes) -> Device | None:
        """
        Return one device, None when it is not enrolled.
        """
        with self._database.read() as connection:
            return _device(connection, generation)

    def devices(self) -> list[Device]:
        """
        Return all devices, oldest enrolment first.
        """
        with self._database.read() as connection:
            found = connection.execute(_DEVICES, (None,)).fetchall()
        return [Device(*row) for row in found]

    def grants(self, generation: bytes | None = None) -> list[GrantRow]:
        """
        Return the grants of one device, or of all, in order of issue; ended ones are among them.
        """
        with self._database.read() as connection:
            found = connection.execute(_GRANTS, (generation,)).fetchall()
        return [_grant_row(row) for row in found]

    def put_grant(self, grant: GrantRow) -> None:
        """
        Store *grant* in place of the one its device had for the same editions, which is ended, not forgotten.

        After a power cut: the old one is in force, or the new one.
        """
        with self._database.write() as connection:
            connection.execute(
                "UPDATE grants SET ended_s = ? "
                "WHERE generation = ? AND purpose = ? AND digests = ? AND ended_s IS NULL",
                (grant.issued_s, grant.generation, grant.purpose, b"".join(grant.digests)),
            )
            _insert_grants(connection, [grant])
            connection.execute(_MARK_STALE, (grant.generation,))

    def set_status(self, grant_id: bytes, status: str, *, since_s: int) -> None:
        """
        Change the status of one grant; its id, and so its streams, stay.

        After a power cut: the old status or the new one.
        """
        with self._database.write() as connection:
            connection.execute("UPDATE grants SET status = ?, since_s = ? WHERE id = ?", (status, since_s, grant_id))
            found = connection.execute("SELECT generation FROM grants WHERE id = ?", (grant_id,)).fetchone()
            connection.execute(_MARK_STALE, found)

    def set_kids(self, grant_id: bytes, kids: Iterable[bytes]) -> None:
        """
        Change the recipient keys of one grant, those of one operator in the regions that were consented to.

        After a power cut: the old keys or the new ones.
        """
        with self._database.write() as connection:
            connection.execute("UPDATE grants SET kids = ? WHERE id = ?", (b"".join(kids), grant_id))
            found = connection.execute("SELECT generation FROM grants WHERE id = ?", (grant_id,)).fetchone()
            connection.execute(_MARK_STALE, found)

    def set_account(self, generation: bytes, account: str) -> None:
        """
        Change the state of a device's account.

        After a power cut: the old state or the new one.
        """
        with self._database.write() as connection:
            connection.execute("UPDATE devices SET account = ? WHERE generation = ?", (account, generation))
            connection.execute(_MARK_STALE, (generation,))

    def set_erased(self, generation: bytes, erased_s: int) -> None:
        """
        Remember when the wipe of a device's account was confirmed; the first time stays.

        After a power cut: it is remembered or not.
        """
        with self._database.write() as connection:
            connection.execute(
                "UPDATE devices SET erased_s = coalesce(erased_s, ?) WHERE generation = ?", (erased_s, generation)
            )

    def mark_stale(self, generation: bytes | None = None) -> None:
        """
        Have the statement of one device, or of all, issued again, and with it everything published.

        After a power cut: all are marked, or none.
        """
        with self._database.write() as connection:
            connection.execute(_MARK_STALE, (generation,))

    def put_statement(self, generation: bytes, bundle: bytes, *, version: int, issued_s: int, expires_s: int) -> bool:
        """
        Store the newest signed statement of one device.

        Returns:
            False when a statement of this version or a newer one is there already; nothing changed then.

        After a power cut: the old one or the new one; a version is never stored with two contents.
        """
        with self._database.write() as connection:
            stored = connection.execute(
                "UPDATE devices SET statement_version = ?, statement = ?, issued_s = ?, expires_s = ? "
                "WHERE generation = ? AND statement_version < ?",
                (version, bundle, issued_s, expires_s, generation, version),
            )
        return stored.rowcount == 1

    def put_purposes(self, purposes: Iterable[Purpose]) -> None:
        """
        Store *purposes*; of each name the newest edition is the current one, older ones are kept.

        After a power cut: all of them are stored, or none.
        """
        with self._database.write() as connection:
            known = connection.execute("SELECT digest, canonical FROM purposes WHERE is_current").fetchall()
            names = {digest: decode_purpose(canonical, digest).name for digest, canonical in known}
            for purpose in purposes:
                digest = purpose_digest(purpose)
                for old in (old for old, name in names.items() if name == purpose.name):
                    connection.execute("UPDATE purposes SET is_current = 0 WHERE digest = ?", (old,))
                connection.execute(
                    "INSERT OR REPLACE INTO purposes (digest, canonical, is_current) VALUES (?, ?, 1)",
                    (digest, encode_purpose(purpose)),
                )

    def purposes(self, *, current: bool = False) -> dict[bytes, Purpose]:
        """
        Return purposes by digest: every edition, or only the current ones.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT digest, canonical FROM purposes WHERE is_current >= ?", (int(current),)
            ).fetchall()
        return {digest: decode_purpose(canonical, digest) for digest, canonical in found}

    def setting(self, name: str) -> bytes | None:
        """
        Return what was stored under *name*, None when nothing was.
        """
        with self._database.read() as connection:
            found = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return None if found is None else bytes(found[0])

    def put_setting(self, name: str, value: bytes) -> None:
        """
        Store *value* under *name*.

        After a power cut: the old value or the new one.
        """
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))


def _device(connection: Connection, generation: bytes) -> Device | None:
    found = connection.execute(_DEVICES, (generation,)).fetchone()
    return None if found is None else Device(*found)


def _insert_device(connection: Connection, device: Device) -> None:
    public = (device.signing_key, device.hpke_alg, device.hpke_key)
    secret = (device.routing_secret, device.stream_secret)
    connection.execute(_PUT_DEVICE, (device.generation, device.enrolled_s, *public, *secret, device.account))


def _insert_grants(connection: Connection, grants: Iterable[GrantRow]) -> None:
    for row in grants:
        named = (row.id, row.generation, row.purpose, row.basis, row.status)
        packed = (b"".join(row.digests), b"".join(row.kids))
        connection.execute(_PUT_GRANT, (*named, *packed, row.issued_s, row.since_s, row.ended_s))


def _grant_row(row: Sequence[Any]) -> GrantRow:
    *named, digests, kids, issued_s, since_s, ended_s = row
    grant_id, generation, purpose, basis, status = named
    return GrantRow(
        id=grant_id,
        generation=generation,
        purpose=purpose,
        basis=basis,
        status=status,
        digests=_unpack(digests, claims.DIGEST_BYTES),
        kids=_unpack(kids, claims.KID_BYTES),
        issued_s=issued_s,
        since_s=since_s,
        ended_s=ended_s,
    )


def _unpack(packed: bytes, width: int) -> tuple[bytes, ...]:
    return tuple(packed[at : at + width] for at in range(0, len(packed), width))
