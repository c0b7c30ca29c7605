"""
Where the root key of a vault lies: a file today, a TPM or secure element behind the same four calls.

A store keeps the key in force and, while it is being replaced, a staged one beside it. It knows nothing of what the
key opens. Files: root.key, and root.key.new while it is replaced.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edge_sdk import files
from edge_sdk.core.keys import SECRET_BYTES, RootKey


class KeyStore(Protocol):
    """
    Where the root key is kept: a file today, a TPM or secure element behind the same four calls.
    """

    method: str
    """What destroying a key amounts to, in the words of a wipe receipt: clear, ce or ce-hw."""

    def load(self) -> tuple[RootKey | None, RootKey | None]:
        """
        Return the key in force, and one that was staged and not promoted; None for what is not there.
        """

    def stage(self, key: RootKey) -> None:
        """
        Keep *key* durably beside the one in force.
        """

    def promote(self) -> None:
        """
        Destroy the key in force and put the staged one in its place.
        """

    def destroy(self) -> None:
        """
        Destroy all keys kept here.
        """


class FileKeyStore:
    """
    Keeps the root key in a 0600 file: whoever copies the medium copies the key.
    """

    method = "clear"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "root.key"
        self._staged = folder / ("root.key" + files.TEMPORARY)

    def load(self) -> tuple[RootKey | None, RootKey | None]:
        """
        Return the key in force and a staged one.
        """
        return _read_key(self._path), _read_key(self._staged)

    def stage(self, key: RootKey) -> None:
        """
        Write *key* beside the one in force.

        After a power cut: the key in force is untouched.
        """
        files.write_beside(self._path, key.reveal())
        files.sync_folder(self._path.parent)

    def promote(self) -> None:
        """
        Zero the old key file, then rename the staged one to it.

        After a power cut: the staged key is whole; the old one is whole, zeroed or gone.
        """
        if not files.exists(self._staged):  # renamed before, and the sync failed: what is in force now is the new key
            files.sync_folder(self._path.parent)
            return
        if files.exists(self._path):
            files.overwrite(self._path)
        files.take_place(self._path)

    def destroy(self) -> None:
        """
        Zero and remove both files.
        """
        try:
            files.remove(self._path)
        finally:
            files.remove(self._staged)


def _read_key(path: Path) -> RootKey | None:
    if not files.exists(path):
        return None
    held = files.read(path, SECRET_BYTES)
    if len(held) != SECRET_BYTES or not any(held):  # a cut overwrite leaves zeros: that key is gone
        return None
    return RootKey(held)
