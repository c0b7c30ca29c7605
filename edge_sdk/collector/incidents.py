"""
The authority's list of incidents: what devices noticed and told, what it noticed itself, and by when to tell of it.

A table in the registry's file, written in the transaction in which a message is read. Rules: an account that is told
again only grows; when an incident was heard of by this clock stays; the numbers are bounded for each device, by giving
up what was closed first. By which law or policy somebody is told, and telling them, is the operator's.
Neighbours: listening writes, the command line shows and closes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from edge_sdk.collector.database import Database
from edge_sdk.core.incidents import NOTICE_LIMIT_S, Incident, Kind, occurred

INCIDENTS: Final = """
CREATE TABLE incidents (
    number INTEGER PRIMARY KEY, generation BLOB NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL,
    first_s INTEGER NOT NULL, last_s INTEGER NOT NULL, count INTEGER NOT NULL, from_floor INTEGER NOT NULL,
    notice_s INTEGER, evidence BLOB, heard_s INTEGER NOT NULL, told_by TEXT NOT NULL, closed_s INTEGER,
    UNIQUE (generation, told_by, kind, what, first_s))
"""
MAX_OF_DEVICE: Final = 256
DEVICE: Final = "device"
AUTHORITY: Final = "authority"
_NOBODY: Final = b""
_PUT: Final = """
INSERT INTO incidents (generation, kind, what, first_s, last_s, count, from_floor, notice_s, evidence, heard_s, told_by)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (generation, told_by, kind, what, first_s) DO UPDATE
    SET last_s = max(last_s, excluded.last_s), count = max(count, excluded.count)
"""
_ALL: Final = """
SELECT number, generation, told_by, heard_s, closed_s,
    kind, what, first_s, last_s, count, from_floor, notice_s, evidence
FROM incidents WHERE generation = ?1 OR ?1 IS NULL ORDER BY number
"""
_COUNT: Final = "SELECT count(*) FROM incidents WHERE generation = ?"
_KNOWN: Final = """
SELECT 1 FROM incidents WHERE generation = ? AND told_by = ? AND kind = ? AND what = ? AND first_s = ?
"""
_DROP: Final = """
DELETE FROM incidents WHERE number =
    (SELECT min(number) FROM incidents WHERE generation = ? AND closed_s IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Case:
    """
    One incident in the list. ``generation`` is None where no device can be blamed; ``heard_s`` is by this clock.
    """

    number: int
    generation: bytes | None
    told_by: str
    heard_s: int
    closed_s: int | None
    incident: Incident

    @property
    def notify_by_s(self) -> int | None:
        """
        Return by when to tell of it: the limit runs from when it was noticed, or heard of if a device's clock is ahead.
        """
        notice_s = self.incident.notice_s
        return None if notice_s is None else min(self.incident.first_s, self.heard_s) + notice_s


class IncidentList:
    """
    The incidents in the registry's file.

    Raises:
        StorageError: from every method, when the file or the disk fails.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, generation: bytes, incident: Incident, now_s: int) -> bool:
        """
        Store what a device told.

        Returns:
            False where so many of it are open that there is no room.

        After a power cut: the old account or the new one.
        """
        return self._put(generation, incident, DEVICE, now_s)

    def notice(self, generation: bytes | None, kind: Kind, what: str, now_s: int) -> bool:
        """
        Store what the authority noticed itself, for which the limit is that of the law.

        Returns:
            False where so many are open that there is no room.

        After a power cut: it is counted or not.
        """
        own = [case.incident for case in self.cases(generation or _NOBODY) if case.told_by == AUTHORITY]
        seen = Incident(kind, what, now_s, now_s, 1, from_floor=False, notice_s=NOTICE_LIMIT_S)
        return self._put(generation or _NOBODY, occurred(own, seen)[1], AUTHORITY, now_s)

    def cases(self, generation: bytes | None = None) -> list[Case]:
        """
        Return every incident, or those of one device, in order of hearing.
        """
        with self._database.read() as connection:
            found = connection.execute(_ALL, (generation,)).fetchall()
        return [_case(row) for row in found]

    def close(self, number: int, now_s: int) -> bool:
        """
        Mark an incident as dealt with; return whether there is such an open one.

        After a power cut: it is open or closed.
        """
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE incidents SET closed_s = ? WHERE number = ? AND closed_s IS NULL", (now_s, number)
            )
            return done.rowcount == 1

    def _put(self, generation: bytes, incident: Incident, told_by: str, now_s: int) -> bool:
        about = (incident.kind, incident.what, incident.first_s, incident.last_s, incident.count)
        more = (int(incident.from_floor), incident.notice_s, incident.evidence)
        with self._database.write() as connection:
            held = connection.execute(_COUNT, (generation,)).fetchone()[0]
            is_known = connection.execute(_KNOWN, (generation, told_by, *about[:3])).fetchone() is not None
            if held >= MAX_OF_DEVICE and not is_known and connection.execute(_DROP, (generation,)).rowcount == 0:
                return False
            connection.execute(_PUT, (generation, *about, *more, now_s, told_by))
        return True


def _case(row: tuple[Any, ...]) -> Case:
    number, generation, told_by, heard_s, closed_s, kind, what, first_s, last_s, count, floor, notice_s, evidence = row
    incident = Incident(kind, what, first_s, last_s, count, bool(floor), notice_s, evidence)
    return Case(number, generation or None, told_by, heard_s, closed_s, incident)

