"""
Rows that wait on the device for the batch that is open, as they are stored.

Rows of windows come a few at a time and are read once, if at all: they are stored as they are, since columns save bytes
where there are many, and take longer to make. Rows of views without windows are stored as ``table`` has them, and so
were all rows in the queue's format 2. What is stored is encrypted and authenticated by whoever stores it (streams).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from edge_sdk.core import cbor
from edge_sdk.core.policy import View
from edge_sdk.core.table import Memory, Row, decode_tables, encode_tables
from edge_sdk.errors import Malformed

_MAX_BYTES: Final = 8 << 20
_LEAD: Final = 2  # values of a row before those of the fields: when its window begins, and how many readings it had
_PARTS: Final = 3  # the position of the view, the width of a row, and all values; a list of tables begins with a list


def encode_pending(views: Sequence[View], at: int, rows: Sequence[Row], memory: Memory | None = None) -> bytes:
    """
    Return *rows*, one at least, of the view at position *at* as deterministic CBOR.

    Args:
        memory: of what is encoded together with them.
    """
    if views[at].every_ms is None:
        return encode_tables(views, {at: rows}, memory)
    stored: list[Any] = [at, len(rows[0]), [*chain.from_iterable(rows)]]
    return cbor.encode(stored) if memory is None else memory.encoded(stored)


def decode_pending(views: Sequence[View], encoded: bytes) -> dict[int, list[Row]]:
    """
    Return the rows that :func:`encode_pending` was given, by position of their view.

    Raises:
        Malformed: on anything it could not have written, of such views.
    """
    stored = cbor.decode(encoded, _MAX_BYTES, "pending rows")
    if not isinstance(stored, list) or not stored or type(stored[0]) is not int:
        return decode_tables(views, encoded)
    at, width, values = stored if len(stored) == _PARTS else (-1, 0, ())
    view = views[at] if 0 <= at < len(views) else None
    if view is None or view.every_ms is None or width != _LEAD + len(view.fields):
        raise Malformed("pending rows: no view of windows, and the width of its rows")
    if not isinstance(values, list) or len(values) % width:
        raise Malformed("pending rows: values are not those of whole rows")
    return {at: [tuple(values[first : first + width]) for first in range(0, len(values), width)]}
