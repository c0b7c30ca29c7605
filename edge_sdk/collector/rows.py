"""
Rows as a recipient reads them: exact decimals, labels instead of positions, JSON Lines or CSV.

A decoded batch holds scaled integers; this room turns them into values with the view they were made by, and
keeps the scaled form beside them, because "equal by value" means equal scaled integers. What no device
compiled from that view could have written is Malformed. Pure. Not here: opening, checking sequence numbers
(``opener``), storing (``opened``).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from edge_sdk.core.batch import Batch
from edge_sdk.core.policy import FieldType, Purpose, TextRule, View, ViewField, Window
from edge_sdk.core.pseudonym import PSEUDONYM_BYTES
from edge_sdk.errors import Malformed

_INTEGER_LIMIT: Final = 1 << 63
_LATEST_MS: Final = 1 << 53
_ARITHMETIC: Final = frozenset({Window.MEAN, Window.SUM, Window.DELTA, Window.COUNT})

Scaled = int | str | bytes | None
Value = Decimal | int | str | bool | list[Any] | None


@dataclass(frozen=True, slots=True)
class OpenedRow:
    """
    One row of one stream.

    ``count``, ``length_ms`` and ``partial`` belong to windows (None, None, False otherwise). ``clock`` is
    ``wall`` or ``floor``: what ``at_ms`` rests on; ``boot`` labels the boot of a row timed from the floor
    until its offset is known. ``fields`` are exact values, ``scaled`` the same by value, both in the order of
    the view.
    """

    stream: bytes
    seq: int
    purpose: str
    kind: str
    at_ms: int
    fields: dict[str, Value]
    scaled: dict[str, Scaled]
    count: int | None = None
    partial: bool = False
    length_ms: int | None = None
    clock: str = "wall"
    boot: bytes | None = None

    def moved(self, offset_ms: int) -> OpenedRow:
        """
        Return this row with its time put right by what its boot turned out to be off.
        """
        return replace(self, at_ms=self.at_ms + offset_ms, clock="wall")


def batch_rows(batch: Batch, purpose: Purpose) -> Iterator[OpenedRow]:
    """
    Yield the rows of *batch* with their sequence numbers.

    Args:
        batch: decoded with the views of *purpose*.
        purpose: the purpose whose digest the batch names.

    Raises:
        Malformed: when a value is none that the view can produce.
    """
    seq = batch.first
    for at in sorted(batch.tables):
        view = purpose.views[at]
        for row in batch.tables[at]:
            yield _row(batch, purpose, view, seq=seq, row=row)
            seq += 1


def field_columns(purposes: Iterable[Purpose]) -> list[str]:
    """
    Return the name of every field that one of *purposes* may have, in order of first appearance.
    """
    names: dict[str, None] = {}
    for purpose in purposes:
        for view in purpose.views:
            names.update((view_field.field.name, None) for view_field in view.fields)
    return list(names)


def json_line(row: OpenedRow) -> str:
    """
    Return *row* as one line of JSON, without the line end; numbers are exact decimals.
    """
    parts = [
        f'"stream":"{row.stream.hex()}"',
        f'"seq":{row.seq}',
        f'"purpose":{json.dumps(row.purpose)}',
        f'"kind":{json.dumps(row.kind)}',
        f'"at_ms":{row.at_ms}',
    ]
    if row.count is not None:
        parts += [
            f'"count":{row.count}',
            f'"partial":{json_text(row.partial)}',
            f'"length_ms":{row.length_ms}',
        ]
    return "{" + ",".join([*parts, f'"fields":{json_text(row.fields)}', f'"clock":"{row.clock}"']) + "}"


def csv_lines(rows: Iterable[OpenedRow], columns: Sequence[str]) -> Iterator[str]:
    """
    Yield a header and then one CSV line for each row, without line ends.

    Args:
        rows: rows of any purposes and kinds.
        columns: the fields to show, such as :func:`field_columns` returns; a row leaves what it lacks empty.
    """
    lead = ["stream", "seq", "purpose", "kind", "at_ms", "count", "partial", "length_ms", "clock"]
    yield _csv([*lead, *columns])
    for row in rows:
        window = ["", "", ""] if row.count is None else [row.count, json_text(row.partial), row.length_ms]
        cells = [_cell(row.fields.get(name)) for name in columns]
        yield _csv([row.stream.hex(), row.seq, row.purpose, row.kind, row.at_ms, *window, row.clock, *cells])


def json_text(value: Any) -> str:
    """
    Return *value* as compact JSON; a Decimal becomes a number with exactly its digits.
    """
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    return json.dumps(value)


def scaled_text(row: OpenedRow) -> str:
    """
    Return the values of *row* by value, as JSON: the same text for equal values; bytes of a pseudonym are ``["hex"]``.
    """
    return json.dumps(row.scaled, separators=(",", ":"), default=lambda octets: [octets.hex()])


def scaled_values(text: str) -> dict[str, Scaled]:
    """
    Return what :func:`scaled_text` was given.
    """
    stored: dict[str, Any] = json.loads(text)
    return {name: bytes.fromhex(value[0]) if type(value) is list else value for name, value in stored.items()}


def json_value(text: str) -> Any:
    """
    Return what :func:`json_text` was given.
    """
    return json.loads(text, parse_float=Decimal)


def _row(batch: Batch, purpose: Purpose, view: View, *, seq: int, row: Sequence[Any]) -> OpenedRow:
    is_window = view.every_ms is not None
    values = row[2:] if is_window else row[1:]
    _check_lead(row, is_window=is_window)
    scaled: dict[str, Scaled] = {}
    fields: dict[str, Value] = {}
    for view_field, value in zip(view.fields, values, strict=True):
        scaled[view_field.field.name] = value
        fields[view_field.field.name] = None if value is None else _value(view_field, value)
    return OpenedRow(
        stream=batch.stream_id,
        seq=seq,
        purpose=purpose.name,
        kind=view.kind.name,
        at_ms=row[0],
        fields=fields,
        scaled=scaled,
        count=abs(row[1]) if is_window else None,
        partial=is_window and row[1] < 0,
        length_ms=view.every_ms,
        clock=batch.clock.name.lower(),
        boot=batch.boot,
    )


def _check_lead(row: Sequence[Any], *, is_window: bool) -> None:
    if not 0 <= row[0] < _LATEST_MS:
        raise Malformed("row: time out of range")
    if is_window and not 0 < abs(row[1]) < _INTEGER_LIMIT:
        raise Malformed("row: window count out of range")


def _value(view_field: ViewField, value: Scaled) -> Value:
    if view_field.is_text:
        return _text(view_field, value)
    if not isinstance(value, int) or not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise Malformed("row: number out of range")
    if view_field.window is Window.COUNT:
        return value
    if view_field.band:
        return _band(view_field, value)
    kind = view_field.field.type
    if kind in (FieldType.ENUM, FieldType.FLAGS, FieldType.BOOL) and view_field.window not in _ARITHMETIC:
        return _label(kind, view_field.field.values, value)
    return _number(view_field, value)


def _text(view_field: ViewField, value: Scaled) -> str:
    if view_field.text is TextRule.PSEUDONYM:
        if not isinstance(value, bytes) or len(value) != PSEUDONYM_BYTES:
            raise Malformed("row: pseudonym of another size")
        return value.hex()
    if not isinstance(value, str):
        raise Malformed("row: text field holds no text")
    return value


def _number(view_field: ViewField, value: int) -> Decimal | int:
    step = view_field.field.step.times(view_field.factor)
    exact = step.decimal(value)
    return int(exact) if step.exponent >= 0 else exact


def _band(view_field: ViewField, value: int) -> list[Any]:
    edges = view_field.band
    if not 0 <= value <= len(edges):
        raise Malformed("row: no such band")
    ends: list[Any] = [None, *(view_field.field.step.decimal(edge) for edge in edges), None]
    return ends[value : value + 2]


def _label(kind: FieldType, labels: Sequence[str], value: int) -> Value:
    limit = 2 if kind is FieldType.BOOL else len(labels) if kind is FieldType.ENUM else 1 << len(labels)
    if not 0 <= value < limit:
        raise Malformed("row: no such label")
    if kind is FieldType.BOOL:
        return bool(value)
    if kind is FieldType.ENUM:
        return labels[value]
    return [label for bit, label in enumerate(labels) if value >> bit & 1]


def _cell(value: Value) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)


def _csv(cells: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
