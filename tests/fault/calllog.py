"""
The recorder's log as values: one Call per record, in the order on disk.

Owns the format of the log, as recorder.h lays it down. Reads a log whose writer was killed at any moment:
a last record that is cut off is left out, anything else that does not fit is an error.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

MAGIC: Final = b"EDGEFLT1"
HEAD_BYTES: Final = 4096  # one page: magic and the counter, mapped by every process that writes the log
_COUNT: Final = struct.Struct("<Q")
_RECORD: Final = struct.Struct("<IiIIQIIqqII")
_DURABLE: Final = 1 << 30
_UNNAMED: Final = 1 << 29
_GONE: Final = " (deleted)"


class Kind(IntEnum):
    """
    Name what a call did; the numbers are those of ``enum kind`` in recorder.h.
    """

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    ALLOCATE = 4
    RENAME = 5
    UNLINK = 6
    MKDIR = 7
    RMDIR = 8
    LINK = 9
    SYMLINK = 10
    CHMOD = 11
    FSYNC = 12
    FDATASYNC = 13
    SYNC_RANGE = 14
    SYNC_ALL = 15
    BLIND = 16
    MARK = 17


@dataclass(frozen=True, slots=True)
class Call:
    """
    Hold one disk-changing call, or a mark, as it was carried out.

    Attributes:
        path: relative to the recorded folder ("" is the folder itself); absolute if outside of it.
        other: the second path of a rename; of a link, what it was made from.
        file: inode number, which tells files apart whatever their names are.
        mode: type and permission bits; after the call where it makes something, else before.
        flags: the call's own (renameat2, fallocate) or the new mode (chmod).
        offset: bytes from the start of the file; length: bytes written or allocated, or the size after a
            truncate.
        octets: what was written, a symbolic link's target, a mark's text, or what a BLIND call was.
        error: errno, 0 where the call went well.
        durable: the write was on the medium when it returned (O_DSYNC, O_SYNC, RWF_DSYNC).
        unnamed: the file was made without a name (O_TMPFILE).
    """

    kind: Kind
    path: str
    other: str
    file: int
    mode: int
    flags: int
    offset: int
    length: int
    octets: bytes
    error: int
    thread: int
    durable: bool
    unnamed: bool

    @property
    def counted(self) -> bool:
        """
        Say whether the call moved the counter that ``kill_at`` looks at.
        """
        return self.kind not in (Kind.MARK, Kind.BLIND)

    @property
    def text(self) -> str:
        """
        Return the call in a few words, without what was written.
        """
        words = [self.kind.name.lower(), self.path or "."]
        if self.other:
            words.append(f"-> {self.other}")
        if self.kind in (Kind.WRITE, Kind.ALLOCATE):
            words.append(f"{self.length} bytes at {self.offset}")
        if self.kind is Kind.TRUNCATE:
            words.append(f"to {self.length}")
        if self.error:
            words.append(f"failed: {os.strerror(self.error)}")
        return " ".join(words)


def write_head(log: Path) -> None:
    """
    Make *log* a new, empty log that the recorder accepts.
    """
    log.write_bytes(MAGIC.ljust(HEAD_BYTES, b"\0"))


def read_count(log: Path) -> int:
    """
    Return how many calls were counted; the one that was killed before its turn is among them.
    """
    with log.open("rb") as stream:
        head = stream.read(len(MAGIC) + _COUNT.size)
    if head[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{log.name} is not a log of the recorder")
    return int(_COUNT.unpack_from(head, len(MAGIC))[0])


def read_calls(log: Path, folder: Path) -> list[Call]:
    """
    Return every call and mark in the order on disk.

    Args:
        folder: the recorded folder, by its real path.

    Raises:
        ValueError: not a log, or a record that no recorder writes.
    """
    octets = log.read_bytes()
    if octets[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{log.name} is not a log of the recorder")
    calls, at = [], HEAD_BYTES
    while at + _RECORD.size <= len(octets):
        fields = _RECORD.unpack_from(octets, at)
        path_len, other_len, octets_len = fields[6], fields[9], fields[10]
        at += _RECORD.size
        end = at + path_len + other_len + octets_len
        if end > len(octets):
            break  # cut off by a kill from outside in mid-record
        path = octets[at : at + path_len]
        other = octets[at + path_len : at + path_len + other_len]
        calls.append(
            _call(fields, _relative(path, folder), _relative(other, folder), octets[end - octets_len : end])
        )
        at = end
    return calls


def _call(fields: tuple[int, ...], path: str, other: str, octets: bytes) -> Call:
    kind, error, thread, mode, file, flags, _, offset, length, _, _ = fields
    return Call(
        kind=Kind(kind),
        path=path,
        other=other,
        file=file,
        mode=mode,
        flags=flags & ~(_DURABLE | _UNNAMED),
        offset=offset,
        length=length,
        octets=octets,
        error=error,
        thread=thread,
        durable=bool(flags & _DURABLE),
        unnamed=bool(flags & _UNNAMED),
    )


def _relative(path: bytes, folder: Path) -> str:
    text = os.fsdecode(path)
    root = str(folder)
    if text == root:
        return ""
    text = text.removeprefix(root + "/")
    return text.removesuffix(_GONE)
