"""
Purposes, their views and what each view may have of a field: from tables of the file to values of the core.

Views are sorted by kind and their fields by name, so moving lines about leaves the digest of a purpose as it
is. What is lawful but unwise is not refused here; ``core.policy_lint`` speaks of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from edge_sdk.core.policy import (
    NUMERIC,
    TEXTUAL,
    Field,
    FieldType,
    Purpose,
    TextRule,
    View,
    ViewField,
    Window,
)
from edge_sdk.core.terms import Reach
from edge_sdk.core.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, format_duration
from edge_sdk.policy_file.declare import MAX_FIELDS, MAX_KINDS, Declared, named_tables, read_scaled, read_step
from edge_sdk.policy_file.problems import Place, listed, one_of
from edge_sdk.policy_file.tables import (
    BINARY64_INTEGER,
    UNKEYED,
    UNKEYED_ADVICE,
    UNKEYED_WHAT,
    PurposeTable,
    TransformTable,
    ViewTable,
    read_table,
)

MAX_PURPOSES = 32
_RANGES: Final = {
    "keep_at_most": (MINUTE_MS, 400 * DAY_MS),
    "every": (SECOND_MS, 31 * DAY_MS),
    "pseudonym": (HOUR_MS, 3650 * DAY_MS),
}
_MAC_CHARACTERS = 17
_ANY_TYPE = frozenset({Window.FIRST, Window.LAST, Window.COUNT})
_TEXT_RULES: Mapping[FieldType, frozenset[TextRule]] = {
    FieldType.TEXT: frozenset({TextRule.MASK, TextRule.TRUNCATE_TEXT, TextRule.PSEUDONYM}),
    FieldType.MAC: frozenset({TextRule.MASK, TextRule.TRUNCATE_TEXT, TextRule.PSEUDONYM}),
    FieldType.IP: frozenset({TextRule.TRUNCATE_IP, TextRule.PSEUDONYM}),
    FieldType.LOCATION: frozenset({TextRule.COARSEN_LOCATION}),
}


@dataclass(frozen=True, slots=True)
class _Slot:
    """
    Where one line of a view stands: its field, whether that is the source (None: unknown), the view's window.
    """

    field: Field
    is_source: bool | None
    every_ms: int | None
    place: Place

    def wrong(self, key: str, what: str, instead: str) -> None:
        self.place.wrong(key, what, instead)


def read_purposes(
    raw: object, kinds: Mapping[str, Declared], place: Place, *, reach: Reach | None
) -> dict[str, Purpose]:
    """
    Return every purpose of the file that could be read, by name.

    Args:
        reach: where the policy's terms let rows go, None where it has none.
    """
    purposes = {}
    for name, entry, at in named_tables(raw, place, limit=MAX_PURPOSES, what="purpose"):
        purpose = _read_purpose(name, entry, kinds, at)
        if purpose is not None and reach is not None:
            purpose = replace(purpose, reach=reach)
        if purpose is not None:
            purposes[name] = purpose
    return purposes


def _read_purpose(name: str, raw: Any, kinds: Mapping[str, Declared], place: Place) -> Purpose | None:
    table = read_table(PurposeTable, raw, place)
    views = []
    if isinstance(raw, dict) and "views" in raw:
        below = place.at("views")
        for kind_name, entry, at in named_tables(raw["views"], below, limit=MAX_KINDS, what="kind"):
            if kind_name not in kinds:
                at.wrong("", "is a view of a kind that is not declared", one_of(kind_name, kinds))
                continue
            view = _read_view(entry, kinds[kind_name], at)
            if view is not None:
                views.append(view)
    period_ms = _period(views, place)
    if table is None:
        return None
    _check_purpose(table, views, place)
    return Purpose(
        name=name,
        basis=table.basis,
        dpv=table.dpv,
        recipient=table.recipient,
        regions=tuple(sorted(table.regions)),
        importance=table.importance,
        keep_at_most_ms=table.keep_at_most,
        clauses=tuple(table.clauses),
        views=tuple(sorted(views, key=lambda view: view.kind.name)),
        period_ms=period_ms,
    )


def _check_purpose(table: PurposeTable, views: list[View], place: Place) -> None:
    _check_range("keep_at_most", table.keep_at_most, place)
    if len(set(table.regions)) < len(table.regions):
        place.wrong("regions", "names a region twice", "write each region once")
    longest = max((view.every_ms or 0 for view in views), default=0)
    if longest > table.keep_at_most:
        place.wrong(
            "keep_at_most",
            "is shorter than a window, which would be thrown away before it is complete",
            f'write at least keep_at_most = "{format_duration(longest)}"',
        )


def _period(views: list[View], place: Place) -> int | None:
    periods = {
        view_field.amount: view.every_ms
        for view in views
        for view_field in view.fields
        if view_field.text is TextRule.PSEUDONYM
    }
    if len(periods) > 1:
        place.wrong(
            "views", "use pseudonyms of different length", "write one period per purpose, or two purposes"
        )
    return next(iter(periods), None)


def _read_view(raw: Any, declared: Declared, place: Place) -> View | None:
    table = read_table(ViewTable, raw, place)
    if table is not None:
        _check_timing(table, place)
    if not isinstance(raw, dict) or "fields" not in raw:
        return None
    below = place.at("fields")
    every_ms = None if table is None else table.every
    fields = []
    for name, entry, at in named_tables(raw["fields"], below, limit=MAX_FIELDS, what="field"):
        if name not in declared.fields:
            below.wrong(name, "is not declared for this kind", one_of(name, declared.fields))
            continue
        field = declared.fields[name]
        transform = _read_transform(entry, at)
        if field is None or transform is None or table is None:
            continue
        is_source = None if declared.source is None else name == declared.source
        view_field = _view_field(transform, _Slot(field, is_source, every_ms, at))
        if view_field is not None:
            fields.append(view_field)
    if table is None or declared.kind is None:
        return None
    fields.sort(key=lambda view_field: view_field.field.name)
    return View(declared.kind, tuple(fields), table.every, table.send == "now")


def _check_timing(table: ViewTable, place: Place) -> None:
    if table.every is None:
        return
    _check_range("every", table.every, place)
    if table.send == "now":
        place.wrong("send", "does not go with every", "leave one out: a window is sent when it is over")


def _check_range(key: str, duration_ms: int, place: Place) -> None:
    low, high = _RANGES[key]
    if not low <= duration_ms <= high:
        place.wrong(key, "is out of range", f"write {format_duration(low)} to {format_duration(high)}")


def _read_transform(raw: object, place: Place) -> TransformTable | None:
    if raw == "keep":
        return TransformTable()
    if not isinstance(raw, str):
        if raw == {}:
            place.wrong("", "is empty", 'write "keep", or leave the line out and the field does not leave')
            return None
        return read_table(TransformTable, raw, place)
    if raw.lower().replace("-", "") in UNKEYED:
        place.wrong("", UNKEYED_WHAT, UNKEYED_ADVICE)
    elif raw in set(Window):
        place.wrong("", "is a window by itself", f'write {{ window = "{Window(raw)}" }}')
    elif raw in ("drop", "none", "remove", "deny", ""):
        place.wrong("", "is not a rule", "leave the line out: what a view does not name does not leave")
    else:
        place.wrong("", "is text other than the word keep", 'write "keep" or a table such as { round = 10 }')
    return None


def _view_field(table: TransformTable, slot: _Slot) -> ViewField | None:
    before = slot.place.count
    _check_window(table, slot)
    if table.window is Window.COUNT:
        _check_alone(table, slot)
        return ViewField(slot.field, Window.COUNT)
    text, amount = _text_rule(table, slot)
    clip, band, factor = _numeric_rules(table, slot)
    if slot.place.count > before:
        return None
    return ViewField(slot.field, table.window, clip, band, factor, text, amount)


def _check_window(table: TransformTable, slot: _Slot) -> None:
    window, field = table.window, slot.field
    if slot.is_source:
        if window is not None:
            slot.wrong("window", "does not go with the source, which windows are grouped by", "leave it out")
    elif slot.every_ms is None and window is not None:
        slot.wrong("window", "needs a view with every", 'write every = "5min" in the view, or leave this out')
    elif slot.every_ms is not None and window is None and slot.is_source is False:
        ways = listed(sorted(_windows_of(field.type)))
        slot.wrong("window", "is missing, as the view has every", f"write window = one of {ways}")
    if window is not None and window not in _windows_of(field.type):
        ways = listed(sorted(_windows_of(field.type)))
        slot.wrong("window", f"cannot be {window} for type {field.type}", f"write one of {ways}")
    elif window is Window.DELTA and field.low < 0:
        slot.wrong("window", "cannot be delta where min is below 0", "declare min = 0 or more, or a counter")


def _windows_of(kind: FieldType) -> frozenset[Window]:
    return frozenset(Window) if kind in NUMERIC else _ANY_TYPE


def _check_alone(table: TransformTable, slot: _Slot) -> None:
    for key in sorted(table.model_fields_set - {"window"}):
        slot.wrong(key, "does not go with count, which counts values and shows none", "leave it out")


def _text_rule(table: TransformTable, slot: _Slot) -> tuple[TextRule | None, int]:
    field = slot.field
    amounts = {rule: getattr(table, rule.value) for rule in TextRule if rule.value in _given(table)}
    if len(amounts) > 1:
        slot.wrong("", f"has {len(amounts)} rules for text ({listed(sorted(amounts))})", "write one of them")
        return None, 0
    if not amounts:
        return (TextRule.KEEP if field.type in TEXTUAL else None), 0
    rule, amount = next(iter(amounts.items()))
    if rule not in _TEXT_RULES.get(field.type, ()):
        slot.wrong(rule.value, f"does not go with type {field.type}", _ways(field.type))
        return None, 0
    _check_amount(rule, amount, slot)
    return rule, amount


def _given(table: TransformTable) -> set[str]:
    return {key for key in table.model_fields_set if getattr(table, key) is not None}


def _ways(kind: FieldType) -> str:
    if kind in TEXTUAL:
        return f'write "keep" or one of {listed(sorted(_TEXT_RULES[kind]))}'
    if kind in NUMERIC:
        return 'write "keep" or one of "band", "clip", "round"'
    return 'write "keep"'


def _check_amount(rule: TextRule, amount: int, slot: _Slot) -> None:
    if rule is TextRule.PSEUDONYM:
        _check_range("pseudonym", amount, slot.place)
        if slot.every_ms is not None and slot.every_ms > amount:
            slot.wrong(
                "pseudonym", "is shorter than the view's every: no window is whole", "write a longer one"
            )
        return
    length = _MAC_CHARACTERS if slot.field.type is FieldType.MAC else slot.field.max_length
    low, high = {
        TextRule.MASK: (0, length - 1),
        TextRule.TRUNCATE_TEXT: (1, length - 1),
        TextRule.TRUNCATE_IP: (0, 31),
        TextRule.COARSEN_LOCATION: (0, 4),
    }[rule]
    if not low <= amount <= high:
        slot.wrong(rule.value, "is out of range", f'write {low} to {high}, or "keep" for all of it')


def _numeric_rules(table: TransformTable, slot: _Slot) -> tuple[tuple[int, int] | None, tuple[int, ...], int]:
    if slot.field.type not in NUMERIC:
        for key in ("clip", "round", "band"):
            if key in _given(table):
                slot.wrong(key, f"does not go with type {slot.field.type}", _ways(slot.field.type))
        return None, (), 1
    if table.round is not None and table.band is not None:
        slot.wrong("band", "does not go with round", "write one of them")
    return _clip(table, slot), _band(table, slot), _factor(table, slot)


def _factor(table: TransformTable, slot: _Slot) -> int:
    step = None if table.round is None else read_step("round", table.round, slot.place)
    if step is None:
        return 1
    try:
        factor = step.multiple_of(slot.field.step)
    except ValueError:
        finest = slot.field.step.text(1)
        slot.wrong("round", "is no whole multiple of the field's resolution", f"write a multiple of {finest}")
        return 1
    if factor >= BINARY64_INTEGER:
        slot.wrong(
            "round", "is coarser than any value of the field", "write a finer step, or leave the line out"
        )
    return factor


def _clip(table: TransformTable, slot: _Slot) -> tuple[int, int] | None:
    if table.clip is None:
        return None
    if len(table.clip) != 2 or not table.clip[0] < table.clip[1]:
        slot.wrong("clip", "is not a lower and a higher number", "write two, such as clip = [0, 5000]")
        return None
    if table.window is Window.DELTA:
        slot.wrong("clip", "does not go with delta, which it would falsify", "leave one of them out")
    low, high = (read_scaled("clip", number, slot.field.step, slot.place) for number in table.clip)
    if low is None or high is None:
        return None
    if not slot.field.low <= low < high <= slot.field.high:
        slot.wrong("clip", "reaches beyond the field's min and max", "write numbers between them")
    return low, high


def _band(table: TransformTable, slot: _Slot) -> tuple[int, ...]:
    edges = tuple(read_scaled("band", edge, slot.field.step, slot.place) for edge in table.band or ())
    sound = tuple(edge for edge in edges if edge is not None)
    if any(low >= high for low, high in pairwise(sound)):
        slot.wrong("band", "has edges that do not rise", "write each edge above the one before")
    return sound
