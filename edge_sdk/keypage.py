"""
The keys of open batches, on a page of their own that is overwritten in place.

A pending row is encrypted under the key of its open batch, and that key lies only here, wrapped by the purpose key:
outside SQLite, whose write-ahead log would keep a copy. When the batch is sealed the key is overwritten in both
slots, so that no stored key opens old rows still lying in the log or on free pages.

File: page.bin, two slots that alternate, each with a count and a checksum; the newer valid one is in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from edge_sdk import files
from edge_sdk.core import cbor
from edge_sdk.core.shape import array, list_of, octets, uint
from edge_sdk.errors import Malformed, StorageError

SLOT_BYTES = 8192  # 8 KiB hold 90 wrapped keys: 32 purposes, each with an old and a new batch at a change
MAX_ENTRIES = 90
_MAGIC = b"EKP1"
_CHECK_BYTES = 16
_HEAD_BYTES = len(_MAGIC) + 8 + 4 + _CHECK_BYTES

_ENTRIES = list_of(array(uint(), uint(), octets(None, 128)), MAX_ENTRIES)


class KeyPage:
    """
    Wrapped batch keys by (stream row, batch number).

    Args:
        read_only: look at the page beside a running gateway; it is neither made nor written.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        path = folder / "page.bin"
        self._page = None if read_only else files.Page(path, SLOT_BYTES, 2)
        self._seen = files.read(path, 2 * SLOT_BYTES) if read_only and files.exists(path) else b""
        slots = [self._read(slot) or (0, {}) for slot in (0, 1)]
        self._count, self.entries = max(slots, key=lambda found: found[0])
        # Slots still to be written until none holds a destroyed key: a power cut may have come between the two writes
        # of a destroy, or in the second.
        self._owed = 2 if self._is_stale(self._count % 2) else int(self._is_stale((self._count + 1) % 2))

    def put(self, stream: int, batch: int, wrapped: bytes) -> None:
        """
        Keep the wrapped key of an open batch.

        After a power cut: the entry is there or not; all others are.

        Raises:
            StorageError: it is not kept; the key must not be used.
        """
        self.put_all({(stream, batch): wrapped})

    def put_all(self, wrapped: Mapping[tuple[int, int], bytes]) -> None:
        """
        Keep the wrapped keys of several open batches, by stream row and batch number, in one write.

        After a power cut: all of these entries are there or none; all others are.

        Raises:
            StorageError: none is kept; the keys must not be used.
        """
        before = self.entries
        after = {**before, **wrapped}
        if len(after) > MAX_ENTRIES and len(after) > len(before):
            raise StorageError("too many batches are open at once", hint="declare fewer purposes")
        self.entries = after
        try:
            self._settle(1)
        except StorageError:
            self.entries = before
            raise

    def destroy(self, gone: set[tuple[int, int]]) -> None:
        """
        Overwrite the keys of *gone* in both slots, and what an earlier destroy left; else nothing happens.

        After a power cut: some may still be there; the first destroy after a start, whatever of, ends them too.
        """
        kept = {place: wrapped for place, wrapped in self.entries.items() if place not in gone}
        changed = len(kept) != len(self.entries)
        self.entries = kept
        self._settle(2 if changed else 0)

    def close(self) -> None:
        """
        Close the file.
        """
        if self._page is not None:
            self._page.close()

    def _slot(self, slot: int) -> bytes:
        if self._page is None:
            return self._seen[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES]
        return self._page.read_slot(slot)

    def _is_stale(self, slot: int) -> bool:
        """
        Tell whether a slot may hold a key that is not in force: one destroyed since, or who knows what.
        """
        found = self._read(slot)
        if found is None:
            return any(self._slot(slot))
        return not found[1].keys() <= self.entries.keys()

    def _settle(self, slots: int) -> None:
        self._owed = max(self._owed, slots)  # what a failed destroy left over is made up for by the next write
        while self._owed:
            self._write(self._count + 1)
            self._count += 1  # only now: a write that failed is repeated in its slot, and the valid one stays
            self._owed -= 1

    def _write(self, count: int) -> None:
        body = cbor.encode([[stream, batch, wrapped] for (stream, batch), wrapped in sorted(self.entries.items())])
        head = _MAGIC + count.to_bytes(8) + len(body).to_bytes(4)
        check = hashlib.sha256(head + body).digest()[:_CHECK_BYTES]
        assert self._page is not None  # who only reads neither puts nor destroys
        self._page.write_slot(count % 2, head + check + body)

    def _read(self, slot: int) -> tuple[int, dict[tuple[int, int], bytes]] | None:
        held = self._slot(slot)
        head, check, rest = held[:16], held[16:_HEAD_BYTES], held[_HEAD_BYTES:]
        body = rest[: int.from_bytes(head[12:16])]
        if head[:4] != _MAGIC or hashlib.sha256(head + body).digest()[:_CHECK_BYTES] != check:
            return None  # never written, or torn by a power cut: the other slot is in force
        if any(rest[len(body) :]):
            return None  # torn behind what is said: old keys may lie there
        try:
            entries = _ENTRIES(cbor.decode(body, SLOT_BYTES, "key page"), "key page")
        except Malformed:
            return None
        return int.from_bytes(head[4:12]), {(stream, batch): wrapped for stream, batch, wrapped in entries}
