"""
May rows of a purpose be called de-identified: the check a transfer can ask for, on what views let leave.

Owns: ``identifying``, the reasons why not.
Rules: structural and closed: a way of leaving that no rule here passes is a reason. What passes is a day or more at a
time, of nobody: no identifier, place or free text, no running total, every number in bands or rounded steps. That is
as far as a device can go alone; rows that pass are still not anonymous, since rare values may point at a household.
Does not: look at values, or decide a transfer (transfer). Neighbours: policy below; policy_lint, transfer above.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge_sdk.core.policy import NUMERIC, FieldClass, FieldType, Purpose, TextRule, View, ViewField, Window
from edge_sdk.core.units import DAY_MS

_NOT_TEXT: Final = frozenset({FieldType.ENUM, FieldType.FLAGS, FieldType.BOOL})


def identifying(purpose: Purpose) -> tuple[str, ...]:
    """
    Return what in *purpose* may say whom a row is about; empty where its rows pass as de-identified.
    """
    return tuple(reason for view in purpose.views for reason in _of_view(view))


def _of_view(view: View) -> Iterator[str]:
    if view.every_ms is None or view.every_ms < DAY_MS:
        yield f"view {view.kind.name} has rows of less than a day"
    for view_field in view.fields:
        if not _passes(view_field):
            yield f"view {view.kind.name} has {view_field.field.name} in a form that may point at somebody"


def _passes(view_field: ViewField) -> bool:
    field = view_field.field
    if view_field.window is Window.COUNT:
        return True
    if view_field.text is TextRule.PSEUDONYM:
        return view_field.amount <= DAY_MS
    if field.cls is not FieldClass.TELEMETRY:
        return False
    if field.type in _NOT_TEXT:
        return True
    is_coarse = bool(view_field.band) or view_field.factor > 1
    is_total = field.type is FieldType.COUNTER and view_field.window is not Window.DELTA
    return field.type in NUMERIC and is_coarse and not is_total
