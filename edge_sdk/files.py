"""
Every file call of the device side goes through here.

Rules: what must survive is written to a temporary name, synced, renamed and the folder synced; secrets are 0600 and
folders 0700; reads are bounded; every OSError leaves as :class:`StorageError` with the file's name and the error's
name. The fault tests count and cut the calls that these functions make.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_sdk.disk_errors import database_error, told
from edge_sdk.errors import FolderInUse, StorageError

TEMPORARY = ".new"
_CLOSE_ON_EXEC = os.O_CLOEXEC
_BLOCK_BYTES: Final = 4096  # what file systems and cards write at least
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})


def make_folder(path: Path) -> None:
    """
    Make *path* (0700) if it is not there, and sync the folder above it.

    After a power cut: the folder is there or not; nothing in it is yet.
    """
    with told(path, "make folder"):
        if not path.is_dir():
            path.mkdir(mode=0o700, parents=True)
            sync_folder(path.parent)


def exists(path: Path) -> bool:
    """
    Tell whether a file or folder is there.

    Raises:
        StorageError: nobody can tell, for want of a permission or for a worn medium. What cannot be looked at may not
            count as absent: a site would pass for wiped, a key for destroyed.
    """
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        with told(path, "look for"):
            raise
    except ValueError:  # a name with a NUL in it, which no file has
        return False
    return True


def read(path: Path, limit: int) -> bytes:
    """
    Return the whole file.

    Raises:
        StorageError: when it cannot be read or is larger than *limit* bytes.
    """
    with told(path, "read"), open(path, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise StorageError(f"{path.name} is larger than {limit} bytes", hint="this is not a file of this package")
    return content


def read_lines(path: Path, limit: int) -> Iterator[bytes]:
    """
    Yield the lines of *path*; a longer one than *limit* bytes comes cut to just over that, its rest passed over.
    """
    with told(path, "read"), open(path, "rb") as file:
        while line := file.readline(limit + 1):
            rest = line
            while len(rest) > limit and not rest.endswith(b"\n"):
                rest = file.readline(limit + 1)
            yield line


def write_beside(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """
    Write *content* under a temporary name beside *path*, sync it, and return that name.

    After a power cut: *path* is untouched; a partial temporary file may be left and is overwritten next time.
    """
    beside = path.with_name(path.name + TEMPORARY)
    with told(path, "write"):
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _CLOSE_ON_EXEC, mode)
        try:
            os.fchmod(descriptor, mode)
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return beside


def take_place(path: Path) -> None:
    """
    Rename what :func:`write_beside` wrote to *path* and sync the folder.

    After a power cut: *path* is whole, old or new.
    """
    with told(path, "replace"):
        os.replace(path.with_name(path.name + TEMPORARY), path)
    sync_folder(path.parent)


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """
    Replace *path* by *content* as one step.

    After a power cut: *path* is whole, old or new.
    """
    write_beside(path, content, mode)
    take_place(path)


def append(path: Path, content: bytes, *, at: int) -> None:
    """
    Write *content* at offset *at*, the end of what counts in *path*, cut off what lies behind, and sync.

    After a power cut: the bytes before *at* are whole; of *content* all, none or a part is there.
    """
    fresh = not exists(path)
    with told(path, "append to"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | _CLOSE_ON_EXEC, 0o600)
        try:
            os.ftruncate(descriptor, at)
            os.lseek(descriptor, at, os.SEEK_SET)
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if fresh:
        sync_folder(path.parent)


def move(path: Path, to: Path) -> None:
    """
    Rename *path*, taking the place of what is there, and sync the folder.

    After a power cut: under the old name or the new one, whole.
    """
    with told(path, "move"):
        os.replace(path, to)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """
    Remove *path* if it is there, overwriting its bytes first, and sync the folder.

    After a power cut: the file is gone, or still there whole, zeroed or in part zeroed. Flash may keep old blocks.
    """
    with told(path, "remove"):
        if not exists(path):
            return
        try:
            overwrite(path)
        finally:  # a full disk may take no zeros: it goes all the same, and the failure is told
            path.unlink()
    sync_folder(path.parent)


def overwrite(path: Path) -> None:
    """
    Write zeros over *path* in place and sync it. Flash may keep old blocks.
    """
    with told(path, "overwrite"):
        descriptor = os.open(path, os.O_WRONLY | _CLOSE_ON_EXEC)
        try:
            _write_all(descriptor, bytes(os.fstat(descriptor).st_size))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_folder(path: Path) -> None:
    """
    Make the names in the folder *path* durable.
    """
    with told(path, "sync folder"):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _CLOSE_ON_EXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def size(path: Path) -> int:
    """
    Return the size of *path* in bytes, 0 when it is not there.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def identity(path: Path) -> tuple[int, int]:
    """
    Return the device and the inode of *path*, which are its own by whatever name it is reached; raises OSError.
    """
    found = path.stat()
    return found.st_dev, found.st_ino


def tree(folder: Path) -> list[Path]:
    """
    Return every file below *folder*, by name.
    """
    with told(folder, "list"):
        return sorted(path for path in folder.rglob("*") if path.is_file())


def remove_tree(folder: Path) -> None:
    """
    Remove *folder* with all that is in it, overwriting nothing: not for what must be erased.
    """
    import shutil  # brings three compressors, and no device removes trees
    with told(folder, "remove"):
        shutil.rmtree(folder)


def headroom(folder: Path) -> tuple[int, int]:
    """
    Return free bytes and free inodes of the file system under *folder*; -1 where it does not count inodes.
    """
    with told(folder, "measure"):
        space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize, space.f_favail if space.f_files else -1


def hold_space(path: Path, length: int) -> None:
    """
    Take *length* bytes of the file system as *path*, without writing them where the file system allows that.

    After a power cut: there, or not, or shorter.
    """
    with told(path, "make"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | _CLOSE_ON_EXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, length)
        finally:
            os.close(descriptor)


def give_space(path: Path) -> bool:
    """
    Give back what :func:`hold_space` took; return whether it was there.
    """
    with told(path, "remove"):
        there = exists(path)
        path.unlink(missing_ok=True)
    return there


def read_system(path: Path) -> bytes:
    """
    Return what the kernel says at *path* (/proc, /sys), empty when it says nothing.
    """
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


class Page:
    """
    A small preallocated file that is overwritten in place, slot by slot.
    """

    def __init__(self, path: Path, slot_bytes: int, slots: int) -> None:
        self._path = path
        self._slot_bytes = slot_bytes
        self._ends: dict[int, int] = {}  # of slots this object has synced: where the zeros behind the content begin
        with told(path, "open"):
            if size(path) != slot_bytes * slots:
                write(path, bytes(slot_bytes * slots))
            self._descriptor = os.open(path, os.O_RDWR | _CLOSE_ON_EXEC)

    def read_slot(self, slot: int) -> bytes:
        """
        Return the bytes of one slot.
        """
        with told(self._path, "read"):
            return os.pread(self._descriptor, self._slot_bytes, slot * self._slot_bytes)

    def write_slot(self, slot: int, content: bytes) -> None:
        """
        Overwrite one slot, zero-filled to its size, and sync it. Whole blocks that the last write of this slot synced
        as zeros, and that stay zeros, are not written again; after one that failed everything is.

        After a power cut: the slot holds the old bytes, the new ones, or a torn mixture; no other slot is touched.
        """
        if len(content) > self._slot_bytes:
            raise ValueError("content is longer than a slot")
        end = min(self._slot_bytes, -(-len(content) // _BLOCK_BYTES) * _BLOCK_BYTES)
        filled = content.ljust(max(end, self._ends.pop(slot, self._slot_bytes)), b"\x00")
        with told(self._path, "write"):
            if os.pwrite(self._descriptor, filled, slot * self._slot_bytes) != len(filled):
                raise OSError(errno.EIO, "short write")
            os.fdatasync(self._descriptor)
        self._ends[slot] = end

    def close(self) -> None:
        """
        Close the file.
        """
        os.close(self._descriptor)


class FolderLock:
    """
    Keeps a second process off a state folder; held until :meth:`close` or the end of the process.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "lock"
        with told(path, "open"):
            flags = os.O_RDWR | os.O_CREAT if os.access(folder, os.W_OK) else os.O_RDONLY  # a lock needs no write
            self._descriptor = os.open(path, flags | _CLOSE_ON_EXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise FolderInUse(
                f"the folder {folder.name} is in use by another process",
                hint="stop the other gateway or agent; 'edge-sdk status' reads beside a running one",
            ) from None

    def close(self) -> None:
        """
        Let others in, also where a forked child still has the descriptor.
        """
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


def open_database(path: Path, *, page_bytes: int, read_only: bool = False) -> sqlite3.Connection:
    """
    Return a connection with the durability of SPEC 7.2: WAL, synchronous=FULL, secure_delete, no temporary files.

    The connection may be used from any thread, one at a time. Its files are 0600.
    """
    connection: sqlite3.Connection | None = None
    try:
        if read_only:
            uri = path.absolute().as_uri() + "?mode=ro"
            return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=2.0)
        _precreate(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        connection.execute(f"PRAGMA page_size={page_bytes}")
        connection.execute("PRAGMA journal_mode=WAL")
        for pragma in ("synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        return connection
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise database_error(path, error) from error


def _precreate(path: Path) -> None:
    # Only a new file: closing any descriptor of a database drops every lock this process holds on it (POSIX), and
    # another process would then take the write-ahead log for abandoned and remove it under a live connection.
    if not exists(path):
        with told(path, "create"):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | _CLOSE_ON_EXEC, 0o600))


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
