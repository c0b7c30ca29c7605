"""
The floor on disk: one number, kept hourly, on a small page of its own that is overwritten in place.

Beside the accepted documents it would have each hour rewrite all of them. Two slots, each under the state key, the
older one overwritten; what a power cut tears or a medium damages is no floor, and the other slot has one an hour older.

File: floor.bin.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.core.keys import NONCE_BYTES, StateKey, unwrap, wrap
from edge_sdk.errors import BadInput

SLOT_BYTES: Final = 36  # nonce, eight bytes, tag
_NAME: Final = "floor.bin"
_AAD: Final = b"edge-sdk/floor/1"


def write_floor(folder: Path, key: StateKey, floor_ms: int, *, draw: Callable[[int], bytes]) -> None:
    """
    Keep *floor_ms* in place of the older of the two that are kept.

    After a power cut: kept, or the one before is.

    Raises:
        StorageError: it is not kept.
    """
    page = files.Page(folder / _NAME, SLOT_BYTES, 2)
    try:
        kept = [_floor_in(page.read_slot(slot), key) for slot in (0, 1)]
        page.write_slot(kept.index(min(kept)), wrap(key, draw(NONCE_BYTES), floor_ms.to_bytes(8), _AAD))
    finally:
        page.close()


def read_floor(folder: Path, key: StateKey) -> int:
    """
    Return the newest floor that was kept, 0 where there is none.

    Raises:
        StorageError: the file is there and cannot be read.
    """
    if not files.exists(folder / _NAME):
        return 0
    held = files.read(folder / _NAME, 2 * SLOT_BYTES)
    return max(_floor_in(held[at : at + SLOT_BYTES], key) for at in (0, SLOT_BYTES))


def _floor_in(slot: bytes, key: StateKey) -> int:
    try:
        return int.from_bytes(unwrap(key, slot, _AAD))
    except BadInput:
        return 0
