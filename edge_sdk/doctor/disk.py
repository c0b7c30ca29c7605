"""
The state folder's medium: room, inodes, the time of a sync, and who may read what.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.clock import mono_ms
from edge_sdk.config import Config
from edge_sdk.disk_errors import told
from edge_sdk.doctor.finding import Check, Finding, Level
from edge_sdk.errors import StorageError

_PROBE: Final = "doctor"
_PROBE_BYTES: Final = 4096
_SYNCS: Final = 5
SLOW_MS: Final = 200
TOO_SLOW_MS: Final = 2_000
_NOT_ENROLLED: Final = "there is no state folder"
_ENROL: Final = "enrol the site with 'edge-sdk init'"


def space(config: Config) -> Finding:
    """
    Hold what is free against the reserve and the quota.
    """
    if not files.exists(config.folder):
        return Finding(Check.SPACE, Level.BAD, _NOT_ENROLLED, _ENROL)
    free, _ = files.headroom(config.folder)
    reserve, quota = config.limits.reserve_bytes, config.limits.quota_bytes
    said = f"{free // 10**6} MB free, {reserve // 10**6} MB are kept back, the queue may take {quota // 10**6} MB"
    if free < reserve:
        return Finding(Check.SPACE, Level.BAD, said, "make room: the queue does not grow any more")
    if free < reserve + quota:
        return Finding(Check.SPACE, Level.WARNING, said, "make room, or lower [outbox] quota to what there is")
    return Finding(Check.SPACE, Level.GOOD, said)


def inodes(config: Config) -> Finding:
    """
    Hold the inodes that are free against the reserve.
    """
    if not files.exists(config.folder):
        return Finding(Check.INODES, Level.BAD, _NOT_ENROLLED, _ENROL)
    _, free = files.headroom(config.folder)
    if free < 0:
        return Finding(Check.INODES, Level.GOOD, "this file system does not count inodes")
    if free < config.limits.reserve_inodes:
        return Finding(Check.INODES, Level.BAD, f"{free} inodes free", "remove small files on that file system")
    return Finding(Check.INODES, Level.GOOD, f"{free} inodes free")


def sync(config: Config) -> Finding:
    """
    Time how long a small file takes to be durable, renamed and its folder synced, as a flush does.
    """
    if not files.exists(config.folder):
        return Finding(Check.SYNC, Level.BAD, _NOT_ENROLLED, _ENROL)
    probe = config.folder / _PROBE
    try:
        began_ms = mono_ms()
        for _ in range(_SYNCS):
            files.write(probe, bytes(_PROBE_BYTES))
        took_ms = (mono_ms() - began_ms) // _SYNCS
        files.remove(probe)
    except StorageError as error:
        return Finding(Check.SYNC, Level.BAD, str(error), error.hint or "see 'dmesg' for what is wrong with the medium")
    said = f"a durable write takes {took_ms} ms"
    if took_ms > TOO_SLOW_MS:
        return Finding(Check.SYNC, Level.BAD, said, "replace the card: it is worn out, or not for this use")
    if took_ms > SLOW_MS:
        return Finding(Check.SYNC, Level.WARNING, said, "raise [batch] flush_every, or use a faster medium")
    return Finding(Check.SYNC, Level.GOOD, said)


def permissions(config: Config) -> Finding:
    """
    Look whether anybody else may read keys or the queue, and whether they belong to who runs this.
    """
    if not files.exists(config.folder):
        return Finding(Check.PERMISSIONS, Level.BAD, _NOT_ENROLLED, _ENROL)
    with told(config.folder, "look through"):
        paths = [config.folder, *config.folder.iterdir()]
        foreign = sorted(path.name for path in paths if path.stat().st_uid != os.geteuid())
    open_to_others = sorted(path.name for path in paths if _mode(path) & 0o077)
    if open_to_others:
        said = f"open to others: {', '.join(open_to_others[:4])}"
        mend = f"chmod -R go= {config.folder.name}, and see who changed it"
        return Finding(Check.PERMISSIONS, Level.BAD, said, mend)
    if foreign:
        mend = "run this as the user of the gateway, or chown what a command as root left behind"
        return Finding(Check.PERMISSIONS, Level.WARNING, f"of another user: {', '.join(foreign[:4])}", mend)
    return Finding(Check.PERMISSIONS, Level.GOOD, f"{len(paths)} names, all for their owner alone")


def socket_permissions(socket: Path) -> Finding:
    """
    Look whether the agent's socket is there, and who may reach it.
    """
    if not files.exists(socket):
        return Finding(Check.SOCKET, Level.BAD, "the agent's socket is not there", "start 'edge-sdk agent'")
    folder, own = _mode(socket.parent), _mode(socket)
    said = f"socket {own:04o} in a folder {folder:04o}"
    if folder & 0o027 or own & 0o117:
        mend = f"chmod 0750 {socket.parent.name}; chmod 0660 {socket.parent.name}/{socket.name}"
        return Finding(Check.SOCKET, Level.BAD, said, mend)
    return Finding(Check.SOCKET, Level.GOOD, said)


def _mode(path: Path) -> int:
    with told(path, "look at"):
        return stat.S_IMODE(path.stat().st_mode)
