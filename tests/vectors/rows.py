"""
The vectors of what a batch holds: rows with every form of column, and tables that have a second encoding.

Their head carries the purpose in canonical form and, where the batch is accepted, its rows as :func:`told` writes
them: numbers are exact decimals in text without zeros at their end, a band is its two edges, missing is null.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from edge_sdk.collector.rows import OpenedRow, batch_rows
from edge_sdk.core import cbor
from edge_sdk.core.batch import MAX_TABLES_BYTES, Batch, Gap, Reason, decode_batch, encode_batch
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.policy import (
    Basis,
    Field,
    FieldClass,
    FieldType,
    Kind,
    Purpose,
    TextRule,
    View,
    ViewField,
    Window,
    canonical_purpose,
    purpose_digest,
)
from edge_sdk.core.table import Row
from edge_sdk.core.units import Step
from tests.vectors import world
from tests.vectors.sealed import hand_signed
from tests.vectors.vector import OPENER, STREAM_SEED, Vector

FIVE_MINUTES_MS: Final = 300_000
START_MS: Final = world.NOW_S * 1000
TENTH: Final = Step(1, -1)


def _field(name: str, kind: FieldType = FieldType.NUMBER, **changes: Any) -> Field:
    bounds: dict[str, Any] = {"low": -1_000_000, "high": 1_000_000} if kind in ("number", "counter") else {}
    return Field(name, FieldClass.TELEMETRY, kind, **(bounds | changes))


SERIAL: Final = _field("serial", FieldType.TEXT, max_length=16)
POWER: Final = _field("power", unit="W", step=TENTH)
ENERGY: Final = _field("energy", FieldType.COUNTER, unit="Wh", modulus=1_000_000)
STATE: Final = _field("state", FieldType.ENUM, values=("off", "starting", "on"))
FAULTS: Final = _field("faults", FieldType.FLAGS, values=("grid", "dc", "heat"))
NOTE: Final = _field("note", FieldType.TEXT)
READINGS: Final = (
    ViewField(SERIAL, text=TextRule.KEEP),
    ViewField(POWER),
    ViewField(_field("voltage", unit="V", step=TENTH), factor=25),
    ViewField(_field("heat", unit="C", step=TENTH), band=(0, 250, 600)),
    ViewField(ENERGY),
    ViewField(STATE),
    ViewField(FAULTS),
    ViewField(_field("online", FieldType.BOOL)),
    ViewField(NOTE, text=TextRule.MASK, amount=2),
    ViewField(_field("address", FieldType.IP), text=TextRule.TRUNCATE_IP, amount=24),
    ViewField(_field("place", FieldType.LOCATION), text=TextRule.COARSEN_LOCATION, amount=1),
)
WINDOWS: Final = (
    ViewField(SERIAL, text=TextRule.PSEUDONYM, amount=86_400_000),
    ViewField(POWER, window=Window.MEAN, factor=100),
    ViewField(ENERGY, window=Window.DELTA),
    ViewField(STATE, window=Window.LAST),
    ViewField(NOTE, window=Window.COUNT),
)
KIND_FIELDS: Final = (*(view_field.field for view_field in READINGS),)
PURPOSE: Final = Purpose(
    name=world.PURPOSE,
    basis=Basis.CONSENT,
    dpv="dpv:ServiceMonitoring",
    recipient="operator-eu",
    regions=("EU",),
    importance=1,
    keep_at_most_ms=86_400_000,
    clauses=(),
    views=(
        View(Kind("inverter", "serial", 8, KIND_FIELDS), READINGS),
        View(Kind("meter", "serial", 8, KIND_FIELDS), WINDOWS, every_ms=FIVE_MINUTES_MS),
    ),
)
_A, _B = "408000123456", "408000654321"
_NAME_A, _NAME_B = world.named("pseudonym a", 16), world.named("pseudonym b", 16)
ROWS: Final[dict[int, list[Row]]] = {
    0: [
        (START_MS, _A, 2315, 92, 2, 999_990, 2, 0, 1, None, "192.0.2.0/24", "48.1,11.6"),
        (START_MS + 1, _B, -7, None, 0, 12, 0, 5, 0, "ok**", None, None),
        (START_MS + 10_000, _A, None, 92, 3, 4, 2, None, None, "ok**", "2001:db8::/48", "48.1,11.6"),
        (START_MS + 9_999, _B, 0, -1, None, None, 1, 7, 1, "", "192.0.2.0/24", None),
    ],
    1: [
        (START_MS, -17, _NAME_A, 3, 123, 2, 0),
        (START_MS, 300, _NAME_B, -12, None, None, 300),
        (START_MS + FIVE_MINUTES_MS, 300, _NAME_A, 0, 0, 0, 1),
    ],
}
GAPS: Final = (Gap(0, None, None, Reason.POWER), Gap(3, 6, None, Reason.QUOTA), Gap(9, None, 2, Reason.LATE))
FIRST: Final = 7
CANONICAL: Final = cbor.encode(canonical_purpose(PURPOSE))


def told(rows: Iterable[OpenedRow]) -> list[Any]:
    """
    Return *rows* as JSON can hold them without loss: [row, kind, time, count of a window or null, values by name].
    """
    return [
        [str(row.seq), row.kind, str(row.at_ms), _count(row), {name: _told(row, name) for name in row.fields}]
        for row in rows
    ]


def _count(row: OpenedRow) -> str | None:
    return None if row.count is None else str(-row.count if row.partial else row.count)


def _told(row: OpenedRow, name: str) -> Any:
    value, scaled = row.fields[name], row.scaled[name]
    return {"pseudonym": scaled.hex()} if isinstance(scaled, bytes) else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        digits = f"{Decimal(value):f}"
        return {"n": digits.rstrip("0").rstrip(".") if "." in digits else digits}
    return value


def _payload(**changes: Any) -> bytes:
    count = sum(map(len, ROWS.values()))
    batch = Batch(
        stream_id=world.STREAM_ID,
        first=FIRST,
        last=FIRST + count - 1,
        digest=purpose_digest(PURPOSE),
        stream_key=public_key_of(STREAM_SEED),
        gaps=GAPS,
        tables=ROWS,
    )
    payload: Any = cbor.decode(encode_batch(batch, PURPOSE.views), 1 << 20)
    return cbor.encode({**payload, **{int(key[1:]): value for key, value in changes.items()}})


def _tables() -> Any:
    payload: Any = cbor.decode(_payload(), 1 << 20)
    return cbor.decode(zlib.decompress(payload[7], -zlib.MAX_WBITS), 1 << 20)


def _deflated(inflated: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(inflated) + squeeze.flush()


def _changed(change: Callable[[Any], object]) -> Callable[[], bytes]:
    def make() -> bytes:
        tables = _tables()
        change(tables)
        return hand_signed(_payload(k7=_deflated(cbor.encode(tables))))

    return make


def _longer(table: Any) -> None:
    column = table[3][4][1]  # energy, after its presence bits
    last = column[-1]
    table[3][4][1] = column[:-1] + bytes([last | 0x80, 0])


def _spare_bit(table: Any) -> None:
    present, packed = table[3][1]
    table[3][1] = [bytes([present[0] | 0x80]), packed]


def _all_present(table: Any) -> None:
    table[3][5] = [b"\x0f", table[3][5]]


def _swapped(table: Any) -> None:
    words, _ = table[3][0]
    table[3][0] = [words[::-1], bytes.fromhex("02010201")]  # places 1, 0, 1, 0: the same rows


def batches_with_rows() -> Iterator[Vector]:
    """
    Return the vectors of payloads and tables.
    """
    arguments = OPENER | {"purpose": CANONICAL.hex()}
    common: dict[str, Any] = {"what": "batch", "arguments": arguments, "sealed": True}
    yield Vector(
        "rows",
        make=lambda: hand_signed(_payload()),
        comment="every form of column, missing values, two sources, windows, three gaps",
        **(common | {"arguments": arguments | {"rows": json.dumps(opened_rows())}}),
    )
    refused: dict[str, tuple[str, str, Callable[[], bytes]]] = {
        "last": ("more rows told than there are", "row numbers", lambda: hand_signed(_payload(k3=FIRST + 7))),
        "views-unordered": ("views in another order", "view", _changed(lambda tables: tables.reverse())),
        "words-unordered": ("words not in order of use", "column", _changed(lambda tables: _swapped(tables[0]))),
        "long-number": ("a number in one byte more", "column", _changed(lambda tables: _longer(tables[0]))),
        "spare-bit": ("a presence bit without a row", "column", _changed(lambda tables: _spare_bit(tables[0]))),
        "all-present": ("presence bits, none missing", "column", _changed(lambda tables: _all_present(tables[0]))),
        "after-deflate": (
            "a byte after the deflated tables",
            "tables",
            lambda: hand_signed(_payload(k7=_deflated(cbor.encode(_tables())) + b"\0")),
        ),
        "bomb": (
            "inflates beyond the limit",
            "tables",
            lambda: hand_signed(_payload(k7=_deflated(bytes(MAX_TABLES_BYTES + 1)))),
        ),
    }
    for name, (comment, check, make) in refused.items():
        yield Vector(f"rows-{name}", make=make, comment=comment, error="Malformed", check=check, **common)


def opened_rows() -> list[Any]:
    """
    Return the rows of the good vector as told.
    """
    return told(batch_rows(decode_batch(_payload(), lambda digest: PURPOSE.views), PURPOSE))
