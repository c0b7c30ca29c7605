"""
What happened on this device, for the household and for whoever has to show it: an encrypted, chained record.

An entry is a number, a time, an event of a closed list, a purpose where one is meant, and counts; never a value. It
is encrypted under the ledger key, bound to its number and to the hash of the entry before it, so an entry that was
flipped, removed or moved is found and named. What was cut off at the end is found by comparing with the head that the
authority was told. Two files, ``ledger.bin`` and ``ledger.old``, bound it: when the first is full it becomes the
second, and its hash opens the next.

Draws and reads no clock; a writer appends, a reader beside it only reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.core import cbor
from edge_sdk.core.keys import NONCE_BYTES, LedgerKey, unwrap, wrap
from edge_sdk.core.shape import array, list_of, optional, seconds, text, uint
from edge_sdk.errors import BadInput, StorageError

MAX_BYTES: Final = 1 << 16  # of one file: about 600 entries, a year of a quiet household
MAX_COUNTS: Final = 4
_LENGTH_BYTES: Final = 4
_ENTRY_LIMIT: Final = 512
_FILE_LIMIT: Final = 2 * MAX_BYTES
_RECORD_LIMIT: Final = 256  # an entry with its frame is at most about 200 bytes
_NUMBER_BYTES: Final = 8
_PLACE_BYTES: Final = _NUMBER_BYTES + 32
_GENESIS: Final = hashlib.sha256(b"edge-sdk/ledger/1").digest()


class Happened(IntEnum):
    """
    Everything a ledger can say; numbers are never given a second meaning.
    """

    ENROLLED = 0
    STARTED = 1
    STOPPED = 2
    POWER_LOST = 3
    STATEMENT = 4  # version
    RECIPIENTS = 5  # version
    ROOT = 6  # version
    POLICY = 7
    OPENED = 8
    HELD = 9
    WITHDRAWN_HERE = 10
    DESTROYED = 11  # streams, batches
    SEALED = 12  # day, batches, bytes in padded sizes
    DOCUMENT_REFUSED = 13  # acceptance check, 0 when it failed before any
    GAP = 14  # reason, rows
    WIPE_BEGUN = 15
    ROTATED = 16
    TORN = 17  # bytes
    INCIDENT = 18  # place in core.incidents.KINDS, occurrences so far
    UPLOADS_STOPPED = 19
    UPLOADS_RESUMED = 20


LAWFUL: Final = frozenset(
    {
        Happened.ENROLLED,
        Happened.STATEMENT,
        Happened.OPENED,
        Happened.HELD,
        Happened.WITHDRAWN_HERE,
        Happened.DESTROYED,
        Happened.WIPE_BEGUN,
        Happened.ROTATED,
        Happened.TORN,
        Happened.INCIDENT,
        Happened.UPLOADS_STOPPED,
        Happened.UPLOADS_RESUMED,
    }
)
"""What minimal mode keeps: who allowed what, and what was erased."""

_SHAPE: Final = array(seconds, uint(max(Happened)), optional(text(64)), list_of(uint(), MAX_COUNTS))


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One entry. ``at_s`` is Unix seconds by the wall clock, 0 where none was known.
    """

    number: int
    at_s: int
    happened: Happened
    purpose: str | None
    counts: tuple[int, ...]


class Ledger:
    """
    The ledger of one generation.

    Args:
        folder: the state folder.
        key: of this generation; destroying it is the wipe.
        draw: returns random bytes.
        minimal: keep only what law needs.
    """

    def __init__(
        self, folder: Path, key: LedgerKey, *, draw: Callable[[int], bytes], minimal: bool = False
    ) -> None:
        self._path = folder / "ledger.bin"
        self._old = folder / "ledger.old"
        self._key = key
        self._draw = draw
        self._minimal = minimal
        self._head, self._length, self._size = _GENESIS, 0, 0
        self._take_up()

    @property
    def head(self) -> tuple[bytes, int]:
        """
        Return the hash over all entries and how many there ever were.
        """
        return self._head, self._length

    def add(self, happened: Happened, at_s: int, *, purpose: str | None = None, counts: tuple[int, ...] = ()) -> None:
        """
        Append one entry.

        After a power cut: the entry is there, or not, or torn; a torn one is cut off at the next start and told.

        Raises:
            StorageError: when the disk does not take it; the ledger is as before.
        """
        if self._minimal and happened not in LAWFUL:
            return
        if self._size >= MAX_BYTES:
            self._rotate(at_s)
        self._append(happened, at_s, purpose, counts)

    def _append(self, happened: Happened, at_s: int, purpose: str | None, counts: tuple[int, ...]) -> None:
        place = self._length.to_bytes(_NUMBER_BYTES) + self._head
        content = cbor.encode([at_s, int(happened), purpose, list(counts)])
        record = place + wrap(self._key, self._draw(NONCE_BYTES), content, place)
        framed = len(record).to_bytes(_LENGTH_BYTES) + record
        files.append(self._path, framed, at=self._size)
        self._head, self._length = hashlib.sha256(record).digest(), self._length + 1
        self._size += len(framed)

    def _rotate(self, at_s: int) -> None:
        files.move(self._path, self._old)
        self._size = 0
        self._append(Happened.ROTATED, at_s, None, ())

    def _take_up(self) -> None:
        """
        Find head and length; cut off what a power cut left torn at the end.
        """
        content = files.read(self._path, _FILE_LIMIT) if files.exists(self._path) else b""
        records = list(_records(content))
        if records and not _opens(records[-1], self._key):  # its length arrived, not all of its bytes
            records.pop()
        self._size = sum(map(len, records)) + _LENGTH_BYTES * len(records)
        if not records and files.exists(self._old):  # cut between the move and the first entry of the new file
            records = list(_records(files.read(self._old, _FILE_LIMIT)))
        if records:
            self._length = int.from_bytes(records[-1][:_NUMBER_BYTES]) + 1
            self._head = hashlib.sha256(records[-1]).digest()
        if self._size != len(content):
            self._append(Happened.TORN, 0, None, (len(content) - self._size,))


def read_ledger(folder: Path, key: LedgerKey) -> Iterator[Entry]:
    """
    Yield every entry still kept, oldest first.

    Raises:
        BadInput: naming the first entry that was flipped, removed or moved.
        StorageError: when a file cannot be read.
    """
    follows: tuple[int, bytes] | None = None if files.exists(folder / "ledger.old") else (0, _GENESIS)
    for name in ("ledger.old", "ledger.bin"):
        if files.exists(folder / name):
            content, read = files.read(folder / name, _FILE_LIMIT), 0
            for record in _records(content):
                entry = _open(record, key, follows)
                yield entry
                follows = (entry.number + 1, hashlib.sha256(record).digest())
                read += _LENGTH_BYTES + len(record)
            if len(content) - read > _RECORD_LIMIT:  # more than a power cut can tear
                raise BadInput(f"ledger entry {0 if follows is None else follows[0]} was changed in its length")


def last_head(folder: Path) -> tuple[bytes, int] | None:
    """
    Return the hash over all whole entries and how many there ever were, unchecked; None where there is no ledger.
    """
    try:
        records = list(_all_records(folder))
    except StorageError:
        return None
    if not records:
        return None
    return hashlib.sha256(records[-1]).digest(), int.from_bytes(records[-1][:_NUMBER_BYTES]) + 1


def check_head(folder: Path, key: LedgerKey, told: tuple[bytes, int]) -> None:
    """
    Check that the ledger still holds what the authority was *told* of it: head and length at some time.

    Raises:
        BadInput: when entries were cut off the end, or the ledger is another one.
    """
    head, length = told
    kept = 0
    for record, entry in zip(_all_records(folder), read_ledger(folder, key), strict=True):
        kept = entry.number + 1
        if kept == length and hashlib.sha256(record).digest() != head:
            raise BadInput(f"ledger entry {entry.number} is not the one the authority was told of")
    if kept < length:
        raise BadInput(f"the ledger ends before entry {kept}: {length - kept} entries were cut off its end")


def _open(record: bytes, key: LedgerKey, follows: tuple[int, bytes] | None) -> Entry:
    place, sealed = record[:_PLACE_BYTES], record[_PLACE_BYTES:]
    number, before = int.from_bytes(place[:_NUMBER_BYTES]), place[_NUMBER_BYTES:]
    expected = number if follows is None else follows[0]
    if follows is not None and (number, before) != follows:
        raise BadInput(f"ledger entry {expected} was removed, moved, or the entry before it changed")
    try:
        content = cbor.decode(unwrap(key, sealed, place), _ENTRY_LIMIT, "ledger entry")
        at_s, happened, purpose, counts = _SHAPE(content, "ledger entry")
    except BadInput:
        raise BadInput(f"ledger entry {expected} was changed") from None
    return Entry(number, at_s, Happened(happened), purpose, counts)


def _opens(record: bytes, key: LedgerKey) -> bool:
    try:
        _open(record, key, None)
    except BadInput:
        return False
    return True


def _all_records(folder: Path) -> Iterator[bytes]:
    for name in ("ledger.old", "ledger.bin"):
        if files.exists(folder / name):
            yield from _records(files.read(folder / name, _FILE_LIMIT))


def _records(content: bytes) -> Iterator[bytes]:
    """
    Yield the whole records of a file; what is torn at its end is left out.
    """
    at = 0
    while at + _LENGTH_BYTES <= len(content):
        length = int.from_bytes(content[at : at + _LENGTH_BYTES])
        record = content[at + _LENGTH_BYTES : at + _LENGTH_BYTES + length]
        if length < _PLACE_BYTES or len(record) < length:
            return
        yield record
        at += _LENGTH_BYTES + length
