"""
The agent's socket: its folder, its file, and what the kernel says of who connected.

The only room besides ``files`` that touches the file system: a socket is no file of a state folder, is made by bind()
and not by open(), and must never be there with more permissions than in the end. So the folder comes first (0750),
and the mask of the process is narrowed around bind().
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.errors import ConfigError, StorageError

FOLDER_MODE: Final = 0o750
_SOCKET_MASK: Final = 0o117  # 0660
_BACKLOG: Final = 128
_PEER_GROUPS: Final = 59  # SO_PEERGROUPS, which Python has no name for; absent before Linux 4.13
_CREDENTIALS: Final = struct.Struct("3i")
_GROUPS_BYTES: Final = 4 * 1024


@dataclass(frozen=True, slots=True)
class Who:
    """
    Who connected, as the kernel knew it then.
    """

    uid: int
    gids: frozenset[int]


class Place:
    """
    A listening socket in a folder that nobody else enters.

    Args:
        path: of the socket; its folder is made with mode 0750 where it is missing.
        group: who may enter the folder and connect, by number; None for the group of this process.

    Raises:
        ConfigError: the folder is open to others.
        FolderInUse: another agent listens there.
        StorageError: the folder or the socket cannot be made.
    """

    def __init__(self, path: Path, *, group: int | None) -> None:
        self._path = path
        _make_folder(path.parent, group)
        self._lock = files.FolderLock(path.parent)
        try:
            self.listener = self._listen(group)
        except OSError as error:
            self._lock.close()
            raise StorageError(f"{path.name}: cannot listen: {error.strerror}", hint="see its folder") from error

    def close(self) -> None:
        """
        Stop listening and remove the socket.
        """
        self.listener.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        self._lock.close()

    def _listen(self, group: int | None) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)  # of an agent that was killed: the lock is ours
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        before = os.umask(_SOCKET_MASK)
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(before)
        if group is not None:
            os.chown(self._path, -1, group)
        listener.listen(_BACKLOG)
        return listener


def who(connection: socket.socket) -> Who:
    """
    Return who is at the other end, as it was when it connected.

    Raises:
        OSError: the connection is gone.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, gid = _CREDENTIALS.unpack(raw)
    groups = {gid}
    with contextlib.suppress(OSError):
        more = connection.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, _GROUPS_BYTES)
        groups |= {number for (number,) in struct.iter_unpack("I", more)}
    return Who(uid, frozenset(groups))


def _make_folder(folder: Path, group: int | None) -> None:
    try:
        if not folder.is_dir():
            os.makedirs(folder.parent, exist_ok=True)
            os.mkdir(folder, FOLDER_MODE)
            os.chmod(folder, FOLDER_MODE)
            if group is not None:
                os.chown(folder, -1, group)
        mode = stat.S_IMODE(os.stat(folder).st_mode)
    except OSError as error:
        what = f"cannot make the folder of the socket, {folder.name}: {error.strerror}"
        raise StorageError(what, hint="let the service manager make it for the agent's user") from error
    if mode & 0o027:
        raise ConfigError(
            f"the folder of the socket, {folder.name}, has mode {mode:04o}",
            hint="name a folder of the agent's own, such as /run/edge-sdk, which it makes; never change a shared one",
        )
