"""
What a refusal of the disk is called, and what an operator can do about it.

Owns: the one place where an OSError or an error of SQLite becomes a :class:`StorageError`, with its hint.
Rules: the message has the name of the file and the name of the error, never a path above it and never content.
Does not: touch a file (``files`` does), or decide who has to mend what: a command that was given a wrong path says so
itself.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_sdk.errors import DatabaseDamaged, DiskFull, StorageError

DAMAGED: Final = "the file is damaged; a gateway that is started again begins a new queue and tells what was lost"
_MAKE_ROOM: Final = "free space on the file system, or lower [outbox] quota in site.toml"
_WORN: Final = "the medium reports errors: replace it"
_READ_ONLY: Final = "the file system is mounted read-only: check the medium"
_HINTS: Final = {
    **dict.fromkeys(("ENOSPC", "EDQUOT"), _MAKE_ROOM),
    "EROFS": _READ_ONLY,
    **dict.fromkeys(("EACCES", "EPERM"), "run as the user that owns it"),
    "ENOENT": "check the path, and that the folder above it is there",
    "ENOTDIR": "check the path: what should be a folder is a file",
    "EISDIR": "check the path: this is a folder, and a file is wanted",
    "EIO": _WORN,
}
_CLASSES: Final = {_MAKE_ROOM: DiskFull, DAMAGED: DatabaseDamaged}
_DATABASE_HINTS: Final = {
    "SQLITE_FULL": _MAKE_ROOM,
    "SQLITE_IOERR_SHMSIZE": _MAKE_ROOM,  # the index of the write-ahead log could not grow
    "SQLITE_IOERR": _WORN,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_CANTOPEN": "check that the state folder is there, and run as the user that owns it",
    **dict.fromkeys(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR"), DAMAGED),
    "SQLITE_BUSY": "another program holds the file open: end it",
}


@contextlib.contextmanager
def told(path: Path, verb: str) -> Iterator[None]:
    """
    Have an OSError of the block leave as a StorageError that says what could not be done to *path*.

    Raises:
        DiskFull: there is no room, or a quota of the file system is used up.
        StorageError: anything else.
    """
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "unknown error")
        kind = DiskFull if name in ("ENOSPC", "EDQUOT") else StorageError
        raise kind(f"cannot {verb} {path.name}: {name}", hint=_HINTS.get(name, "")) from error


def database_error(path: Path, error: sqlite3.Error) -> StorageError:
    """
    Return what to raise for an *error* of the database at *path*: its name, and what an operator can do.
    """
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    hint = next((hint for prefix, hint in _DATABASE_HINTS.items() if name.startswith(prefix)), "")
    return _CLASSES.get(hint, StorageError)(f"{path.name}: {name}", hint=hint)
