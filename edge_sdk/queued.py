"""
What an operator may know of a queue without opening it: whose batches wait, how many rows and bytes, since when.

Read beside a running gateway or without one; nothing is written, sent or decrypted for showing. :func:`windows_at`
opens what windows gather and keeps only their number; :func:`check_queue` tries whether everything that is stored
opens, keeps only the answer, and says what the gateway will do about it.

Neighbours: beside tells the same per purpose for ``status``; rights tells the household what its rows say.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_sdk import files
from edge_sdk.beside import open_vault, records_of
from edge_sdk.clock import Clock
from edge_sdk.config import Config
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.envelope import outer
from edge_sdk.disk_errors import database_error
from edge_sdk.errors import BadInput, LifecycleRefused, StorageError
from edge_sdk.order import Held
from edge_sdk.outbox import PAGE_BYTES, Outbox
from edge_sdk.rights import holdings
from edge_sdk.sealing import unseal_body
from edge_sdk.suites import suite_of
from edge_sdk.vault import Lane, PurposeEntry, Vault, read_lane

UNKNOWN: Final = "?"  # the purpose of a stream whose key is not here
_MOST_LINES: Final = 20  # of what SQLite finds wrong


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    One batch, the rows of an open one, or windows. ``state`` is open, gathering, waiting, or why it was set aside.

    ``rows`` of what is gathering are windows: each becomes a row when it closes. ``age_ms`` is by the clock of the
    site; None where it is not kept.
    """

    purpose: str
    state: str
    rows: int
    size: int
    age_ms: int | None


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that does not open, and what becomes of it.
    """

    where: str
    what: str
    then: str


def queue_of(config: Config) -> list[Waiting]:
    """
    Return everything that waits at the site of *config*, oldest first, as of its last flush.

    Raises:
        NotProvisioned: when the site is not enrolled, or was wiped.
        LifecycleRefused: when it was never started.
        StorageError: when the queue cannot be read.
    """
    vault = open_vault(config)
    consent = ConsentState(read_lane(config.folder), vault, alg=suite_of(config), write=_no_write)
    now_ms = Clock(consent.floor_ms()).now().floor_ms
    outbox = _open(config)
    try:
        names = {row: record.purpose for row, record in records_of(outbox, vault).items()}
        found = [*_aside(outbox, names), *_queued(outbox, names, now_ms), *_open_rows(outbox, names)]
    finally:
        outbox.close()
    return found


def windows_at(config: Config) -> list[Waiting]:
    """
    Return for each purpose of the site of *config* how many windows are open, as of its last flush.

    Raises:
        NotProvisioned: when the site is not enrolled, or was wiped.
        StorageError: when a file cannot be read.
    """
    open_windows: Counter[str] = Counter()
    for stream in holdings(config).streams:
        open_windows[stream.record.purpose] += sum(len(source.windows) for source in stream.sources)
    return [Waiting(purpose, "gathering", count, 0, None) for purpose, count in sorted(open_windows.items()) if count]


def check_queue(config: Config) -> Iterator[Finding]:
    """
    Read everything that is stored and yield what is damaged; nothing when all of it opens.

    Args:
        config: the site; beside a running gateway what is sent meanwhile is passed over.

    Raises:
        NotProvisioned: when the site is not enrolled, or was wiped.
        LifecycleRefused: when it was never started.
        StorageError: when the queue cannot be opened at all.
    """
    yield from _check_file(config)
    vault = open_vault(config)
    outbox = _open(config)
    try:
        yield from _check_sealed(outbox, vault)
    finally:
        outbox.close()
    found = holdings(config)
    for stream in found.streams:
        if stream.is_damaged:
            then = "told to the collector as lost at the next start"
            yield Finding(stream.record.purpose, "stored rows do not open", then)


def _open(config: Config) -> Outbox:
    if not files.exists(config.folder / "outbox.db"):
        raise LifecycleRefused("this site was enrolled but never started", hint="open it once with Gateway or replay")
    return Outbox(config.folder, read_only=True)


def _check_file(config: Config) -> Iterator[Finding]:
    path = config.folder / "outbox.db"
    if not files.exists(path):
        return
    database = files.open_database(path, page_bytes=PAGE_BYTES, read_only=True)
    try:
        said = database.execute(f"PRAGMA integrity_check({_MOST_LINES})").fetchall()
    except sqlite3.Error as error:
        raise database_error(path, error) from error
    finally:
        database.close()
    if said != [("ok",)]:
        then = "stop the gateway, keep a copy of the folder, and replace the medium"
        yield Finding("outbox.db", f"SQLite finds {len(said)} things wrong with it", then)


def _check_sealed(outbox: Outbox, vault: Vault) -> Iterator[Finding]:
    records = records_of(outbox, vault)
    for row in outbox.streams():
        entry = vault.ring.purposes.get(row.ref)
        batches = list(outbox.queues.get(row.id, {}).values())
        if entry is None or row.id not in records:
            then = "dropped at the next start; the authority hears that the stream ended"
            yield Finding(UNKNOWN, f"a stream of {len(batches)} batches has no key here, or a damaged record", then)
            continue
        for held in batches:
            if not _opens(entry, held, outbox):
                what = f"a batch of {held.last - held.first + 1} rows, {held.size} bytes, is damaged"
                yield Finding(records[row.id].purpose, what, "set aside when its turn comes, its rows told as lost")


def _opens(entry: PurposeEntry, held: Held, outbox: Outbox) -> bool:
    try:
        outer(unseal_body(entry, held, outbox.sealed_body(held)))
    except (BadInput, StorageError):
        return False
    return True


def _aside(outbox: Outbox, names: dict[int, str]) -> list[Waiting]:
    return [
        Waiting(names.get(stream, UNKNOWN), reason, last - first + 1, size, None)
        for _, stream, first, last, reason, size in outbox.aside()
    ]


def _queued(outbox: Outbox, names: dict[int, str], now_ms: int) -> list[Waiting]:
    held = sorted((one for queue in outbox.queues.values() for one in queue.values()), key=lambda one: one.id)
    return [
        Waiting(
            names.get(one.stream, UNKNOWN), "waiting", one.last - one.first + 1, one.size, max(0, now_ms - one.kept_ms)
        )
        for one in held
    ]


def _open_rows(outbox: Outbox, names: dict[int, str]) -> list[Waiting]:
    found = []
    for row in [stream.id for stream in outbox.streams()]:
        pending = outbox.pending(row)
        if pending:
            size = sum(len(one.body) for one in pending)
            found.append(Waiting(names.get(row, UNKNOWN), "open", sum(one.rows for one in pending), size, None))
    return found


def _no_write(_: Lane) -> None:
    raise RuntimeError("a reader beside a gateway writes nothing")
