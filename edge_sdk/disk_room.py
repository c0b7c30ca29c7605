"""
Room on the disk: how much of it the queue may take, and making some where a write finds none.

Two lines of defence. Free bytes and inodes are looked at once a minute; below the reserve the queue takes no more than
it holds. Where a write is refused all the same, because another program was faster, the least important of what is
queued goes, the oldest first, each with its gap, and the write is tried once more. Since deleting writes as well, a
part of the reserve is held as an empty file, which is given up for that. SQLite calls a quota of the file system
(EDQUOT) an I/O error, as it does a broken medium: which of them it was is asked of the file system. Called by the line.

Files: spare.bin, and spare.bin.new while the file system is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from edge_sdk import files
from edge_sdk.clock import Now
from edge_sdk.config import Limits
from edge_sdk.errors import DiskFull, StorageError
from edge_sdk.queueing import Queueing
from edge_sdk.recording import Recording

LOOK_EVERY_MS: Final = 60_000
WRITE_BYTES: Final = 16_384  # made for a write, and for each row of it: more than either takes
ROW_BYTES: Final = 128
SPARE_BYTES: Final = 3 << 20  # the write-ahead log at its longest, which has to go into the file before anything else
_LEAST_SPARE_BYTES: Final = 1 << 16


class DiskRoom:
    """
    The room of one site.
    """

    def __init__(self, queueing: Queueing, *, recording: Recording, limits: Limits) -> None:
        self._queueing = queueing
        self._recording = recording
        self._limits = limits
        self._allowed_bytes = limits.quota_bytes
        self._look_at_ms = 0
        self._spare = limits.folder / "spare.bin"
        self._spare_bytes = min(SPARE_BYTES, limits.reserve_bytes // 4)

    def allowed(self, now: Now, *, held_bytes: int) -> int:
        """
        Return how many bytes the queue may hold at *now*.

        Raises:
            StorageError: the file system cannot be asked.
        """
        if now.mono_ms >= self._look_at_ms:
            self._look_at_ms = now.mono_ms + LOOK_EVERY_MS
            free, inodes = files.headroom(self._limits.folder)
            tight = free < self._limits.reserve_bytes or 0 <= inodes < self._limits.reserve_inodes
            self._allowed_bytes = held_bytes if tight else self._limits.quota_bytes
            if free >= self._limits.reserve_bytes + self._spare_bytes and self._spare_bytes >= _LEAST_SPARE_BYTES:
                self._hold_spare()
        return self._allowed_bytes

    def write(self, write: Callable[[], None], *, rows: int) -> None:
        """
        Call *write*; where the disk is full, or a quota is, once more, after making room for *rows* rows.

        After a power cut: as *write* says; what made room is gone and told.

        Raises:
            DiskFull: there is nothing that could make room, or it did not help.
        """
        try:
            write()
        except StorageError as error:
            full = error if isinstance(error, DiskFull) else self._found_full()
            if full is None:
                raise
            self._recording.count("disk_full")
            has_given = files.give_space(self._spare)
            if not self._queueing.make_room(WRITE_BYTES + ROW_BYTES * rows) and not has_given:
                raise full from error
            write()

    def relieve(self) -> None:
        """
        Give up what can be given up at once, for files beside the queue: the next try at writing them finds it.
        """
        with contextlib.suppress(StorageError):
            files.give_space(self._spare)
            self._queueing.cut_log()

    def _found_full(self) -> DiskFull | None:
        """
        Return what the file system says to a file as large as a write, None where it has room or another trouble.
        """
        asked = self._spare.with_name(self._spare.name + files.TEMPORARY)
        try:
            files.hold_space(asked, WRITE_BYTES)
        except DiskFull as error:
            return error
        except StorageError:
            return None
        finally:
            with contextlib.suppress(StorageError):
                files.give_space(asked)
        return None

    def _hold_spare(self) -> None:
        if not files.exists(self._spare):
            with contextlib.suppress(StorageError):  # taken in between: it is tried again in a minute
                files.hold_space(self._spare, self._spare_bytes)
