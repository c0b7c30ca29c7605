"""
Kinds, views and compiled minimisers in one line each, for the tests of what happens to a reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge_sdk.core.compile import ByColumn, Minimiser, Outlet, Tally, compile_columns, compile_kind, make_outlet
from edge_sdk.core.consent import CollectGrant
from edge_sdk.core.keys import PseudonymKey
from edge_sdk.core.policy import Field, FieldClass, FieldType, Kind, TextRule, View, ViewField, Window
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.units import Step
from tests.vectors import world

MINUTE_MS: Final = 60_000
NOON_MS: Final = 1_760_011_200_000  # 2025-10-09 12:00 UTC
KEY: Final = PseudonymKey(world.named("pseudonyms"))


def collect_grant() -> CollectGrant:
    grant = world.decision().collect
    assert grant is not None
    return grant


def field(name: str, kind: FieldType = FieldType.NUMBER, **changes: Any) -> Field:
    bounds: dict[str, Any] = {"low": -1000, "high": 1000} if kind in ("number", "integer", "counter") else {}
    return Field(name, FieldClass.TELEMETRY, kind, **(bounds | changes))


SERIAL: Final = field("serial", FieldType.TEXT, max_length=16)


def kind_of(*fields: Field, **changes: Any) -> Kind:
    arguments: dict[str, Any] = {"name": "inverter", "source": "serial", "max_sources": 4}
    return Kind(fields=(SERIAL, *fields), **(arguments | changes))


def view_of(kind: Kind, *fields: ViewField, **changes: Any) -> View:
    return View(kind, fields, **changes)


def keep(declared: Field) -> ViewField:
    return ViewField(declared, text=TextRule.KEEP)


def windowed(window: Window, *, minutes: int = 5, declared: Field | None = None, **changes: Any) -> View:
    """Return a view of one value per window and the source, kept."""
    declared = declared or field("value", FieldType.COUNTER, low=0, high=10**6)
    kind = kind_of(declared)
    fields = (keep(SERIAL), ViewField(declared, window, **changes))
    return View(kind, fields, every_ms=minutes * MINUTE_MS)


class Minimised:
    """One kind compiled for some views, and what came out of each."""

    def __init__(self, kind: Kind, *views: View, offset_ms: int = 0) -> None:
        self.tally = Tally()
        self.outlets: list[Outlet] = [make_outlet(view, names=names_of(view), offset_ms=offset_ms) for view in views]
        granted = [(outlet, collect_grant()) for outlet in self.outlets]
        self.minimise: Minimiser = compile_kind(kind, granted, self.tally)
        self.by_column: ByColumn = compile_columns(kind, self.outlets, self.minimise)

    def take_columns(self, columns: Mapping[str, Sequence[Any]], times: Sequence[int]) -> int | None:
        return self.by_column(columns, times)

    def take(self, fields: Mapping[str, Any], at_ms: int = NOON_MS) -> int:
        return self.minimise(fields, at_ms)

    def rows(self, at: int = 0) -> list[tuple[Any, ...]]:
        return self.outlets[at].rows

    def closed(self, at: int = 0) -> list[tuple[Any, ...]]:
        """Return the rows of a windowed view after closing what is open."""
        windows = self.outlets[at].windows
        assert windows is not None
        windows.cut()
        return self.outlets[at].rows


def names_of(view: View) -> dict[str, Pseudonyms]:
    hidden = [item.field.name for item in view.fields if item.text is TextRule.PSEUDONYM]
    return {name: Pseudonyms(KEY, name) for name in hidden}


STEPS: Final = tuple(Step.parse(text) for text in ("1", "0.1", "0.3", "0.25", "100", "0.000001", "0.000000000001", "7"))
