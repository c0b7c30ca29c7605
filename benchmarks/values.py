"""
Whether what was opened at the end is what was recorded: every reading, every field, every purpose, by value.

Windows are worked out once more here, from the readings, in exact fractions: a mean that came out may differ from the
exact one by half of the field's step, which is what rounding is, and by no more.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from edge_sdk.collector.folder import open_rows
from edge_sdk.collector.rows import OpenedRow

Readings = list[tuple[int, dict[str, Any]]]
Place = tuple[int, str]

WINDOW_MS: Final = 300_000


def check_opened(folder: Path, readings: Readings, *, purposes: int = 1, windowed: bool = False) -> None:
    """
    Open what the collector of *folder* has, and compare it with *readings*.

    Raises:
        RuntimeError: a reading is missing, is there twice or was never recorded, or a value is another one.
    """
    opened: dict[str, dict[Place, OpenedRow]] = defaultdict(dict)
    for row in open_rows(folder / "collector"):
        place = row.at_ms, str(row.fields["serial"])
        if place in opened[row.purpose]:
            raise RuntimeError("a reading was opened twice")
        opened[row.purpose][place] = row
    if len(opened) != purposes:
        raise RuntimeError(f"rows of {len(opened)} purposes were opened, {purposes} expected")
    wanted = _windows(readings) if windowed else {(at, fields["serial"]): [fields] for at, fields in readings}
    for rows in opened.values():
        if rows.keys() != wanted.keys():
            raise RuntimeError(f"{len(rows)} rows of a purpose opened, {len(wanted)} expected, or at other times")
        for place, row in rows.items():
            _compare(row, wanted[place])


def _windows(readings: Readings) -> dict[Place, list[dict[str, Any]]]:
    found: dict[Place, list[dict[str, Any]]] = defaultdict(list)
    for at_ms, fields in readings:
        found[at_ms - at_ms % WINDOW_MS, fields["serial"]].append(fields)
    return found


def _compare(row: OpenedRow, recorded: list[dict[str, Any]]) -> None:
    if row.count not in (None, len(recorded)):
        raise RuntimeError(f"a window of {row.count} readings was opened, of {len(recorded)} expected")
    for name, last in recorded[-1].items():
        found = row.fields[name]
        if isinstance(last, str):
            is_equal = found == last
        elif len(recorded) == 1:
            is_equal = found == Decimal(str(last))
        else:
            is_equal = _is_mean(found, [one[name] for one in recorded])
        if not is_equal:
            raise RuntimeError(f"the field {name} came out with another value")


def _is_mean(found: Any, values: list[Any]) -> bool:
    exact = sum((Fraction(str(value)) for value in values), Fraction(0)) / len(values)
    step = Fraction(10) ** int(Decimal(found).as_tuple().exponent)
    return abs(Fraction(found) - exact) <= step / 2
