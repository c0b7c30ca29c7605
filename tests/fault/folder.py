"""
A folder as a value: what it holds, read from a real one and written out again.

Owns FolderState and its digest. A folder here is regular files, folders and symbolic links with their
permission bits; times, owners and sockets are not looked at, and neither is SQLite's ``-shm`` (a shared
map that SQLite builds anew, never durable). Paths are relative to the folder, with slashes. Knows nothing
of calls or power cuts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from .content import Content

IGNORED_SUFFIX: Final = "-shm"
_PERMISSIONS: Final = 0o7777
_OWNER_MAY: Final = 0o700


@dataclass(frozen=True, slots=True)
class FileEntry:
    """
    Hold a regular file: its bytes and permission bits.
    """

    content: Content
    mode: int


@dataclass(frozen=True, slots=True)
class DirEntry:
    """
    Hold a folder's permission bits; what is in it are entries of their own.
    """

    mode: int


@dataclass(frozen=True, slots=True)
class LinkEntry:
    """
    Hold a symbolic link's target as it is written.
    """

    target: str


Entry = FileEntry | DirEntry | LinkEntry


@dataclass(frozen=True)
class FolderState:
    """
    Hold one state of a folder and how it came about.

    Attributes:
        entries: relative path -> entry; a folder comes before what is in it.
        point: number of counted calls carried out before the cut.
        variant: which of them the medium had kept.
        marks: every promise made before the next call began.
        after: the last call carried out, for messages.
    """

    entries: Mapping[str, Entry]
    point: int = 0
    variant: str = "as it was"
    marks: tuple[str, ...] = ()
    after: str = "the start"

    @cached_property
    def digest(self) -> bytes:
        """
        Return the digest of the entries; where the state came from does not enter.
        """
        whole = hashlib.blake2b(digest_size=16)
        for path, entry in sorted(self.entries.items()):
            whole.update(repr((path, type(entry).__name__, _identity(entry))).encode())
        return whole.digest()

    @property
    def label(self) -> str:
        """
        Return where in the run this state is, for a test's message.
        """
        return f"call {self.point} ({self.after}), kept: {self.variant}"


def _identity(entry: Entry) -> tuple[int, bytes | str]:
    match entry:
        case FileEntry(content, mode):
            return mode, content.digest
        case DirEntry(mode):
            return mode, b""
        case LinkEntry(target):
            return 0, target


def snapshot(folder: Path) -> FolderState:
    """
    Read *folder* as it is now.
    """
    return FolderState(dict(_entries(folder, "")))


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, Entry]]:
    with os.scandir(folder) as found:
        for item in sorted(found, key=lambda entry: entry.name):
            if item.name.endswith(IGNORED_SUFFIX):
                continue
            path = prefix + item.name
            about = item.stat(follow_symlinks=False)
            mode = about.st_mode & _PERMISSIONS
            if stat.S_ISLNK(about.st_mode):
                yield path, LinkEntry(os.readlink(item.path))
            elif stat.S_ISDIR(about.st_mode):
                yield path, DirEntry(mode)
                yield from _entries(Path(item.path), path + "/")
            elif stat.S_ISREG(about.st_mode):
                yield path, FileEntry(Content.of(Path(item.path).read_bytes()), mode)


def materialise(state: FolderState, folder: Path) -> None:
    """
    Make *folder* hold exactly *state*; whatever was in it is removed first.

    Two names of one file (hard links) come out as two files: nothing is left to tell them apart by but a
        write.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    late: list[tuple[Path, int]] = []
    for path, entry in state.entries.items():
        target = folder / path
        match entry:
            case FileEntry(content, mode):
                _write(target, content, mode)
            case DirEntry(mode):
                target.mkdir()
                # A folder without its owner's rights could not be filled; it gets its own mode at the end.
                if mode & _OWNER_MAY == _OWNER_MAY:
                    target.chmod(mode)
                else:
                    late.append((target, mode))
            case LinkEntry(text):
                target.symlink_to(text)
    for target, mode in reversed(late):
        target.chmod(mode)


def _write(target: Path, content: Content, mode: int) -> None:
    number = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        left = memoryview(content.octets())
        while left:
            left = left[os.write(number, left) :]
        os.fchmod(number, mode)
    finally:
        os.close(number)


def differences(one: FolderState, other: FolderState) -> list[str]:
    """
    Return what differs, by name, kind and size; never what is in a file.
    """
    found = []
    for path in sorted({*one.entries, *other.entries}):
        left, right = one.entries.get(path), other.entries.get(path)
        if left is None or right is None or (type(left), _identity(left)) != (type(right), _identity(right)):
            found.append(f"{path}: {_outline(left)} / {_outline(right)}")
    return found


def _outline(entry: Entry | None) -> str:
    match entry:
        case None:
            return "not there"
        case FileEntry(content, mode):
            return f"file of {content.size} bytes, mode {mode:o}, {content.digest.hex()[:8]}"
        case DirEntry(mode):
            return f"folder, mode {mode:o}"
        case LinkEntry():
            return "link"
