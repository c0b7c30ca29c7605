"""
The text of a minimiser for many readings at once: each field checked and rounded as a column.

For readings of one kind that name the same fields, as firmware hands them over. What a column costs is shared by all
its readings, and no reading is ever a mapping. Rules: all is checked before anything is kept, and the first thing that
is not usual (another type, a value out of range, a source that is new, a field that is not declared) has all of them
done one by one (``written``), which is the only way to count what is dropped. Rows are the same either way; windows of
several sources may close in another order.
Does not: execute what it writes (compile).
"""

from __future__ import annotations

from functools import lru_cache

from edge_sdk.core.policy import Field, FieldType, Kind, View
from edge_sdk.core.written import gathered, rules_of, usual_cases, value_text


@lru_cache(maxsize=256)
def write_columns(kind: Kind, views: tuple[View, ...]) -> str:
    """
    Return the text of ``minimise_columns(columns, times)``.
    """
    places = {declared.name: at for at, declared in enumerate(kind.fields)}
    lines = [
        "def minimise_columns(columns, times):",
        "    if not columns.keys() <= names_declared:",
        "        return None",
        "    nones = [None] * len(times)",
    ]
    for at, declared in enumerate(kind.fields):
        is_known_text = declared.name == kind.source and declared.type is FieldType.TEXT
        lines += _write_known(declared, at) if is_known_text else _write_check(declared, at)
    lines += [
        f"    named = dict.fromkeys(f{places[kind.source]})",
        "    if not sources.issuperset(named):",  # None is not among them
        "        return None",
        "    taken = len(times)",
        *_write_rows(views, places),
        *_write_windows(kind, views, places),
        "    return taken",
    ]
    return "\n".join(lines)


def _write_known(declared: Field, at: int) -> list[str]:
    """
    Write what takes texts as they are, where those that are known have been checked: the sources of readings.
    """
    return [
        f"    f{at} = columns.get({declared.name!r}, nones)",
        f"    if [*map(type, f{at})].count(str) != len(times):",
        "        return None",
    ]


def _write_check(declared: Field, at: int) -> list[str]:
    """
    Write what makes canonical values of one column; a field that no reading has is a column of None.

    The usual values are picked from the column and made canonical in one go; where some were not, it gets too short.
    """
    lines = [f"    v{at} = columns.get({declared.name!r})", f"    if v{at} is None:", f"        f{at} = nones"]
    if cases := usual_cases(declared, "v", at):
        types = f"(types := [*map(type, v{at})])"
        for usual in cases:
            condition = f" if {' and '.join(usual.conditions)}" if usual.conditions else ""
            lines += [
                f"    elif {types}.count({usual.type}) == len(times):",
                f"        f{at} = [{usual.canonical} for v in v{at}{condition}]",
            ]
            types = "types"
        lines += ["    else:", "        return None", f"    if len(f{at}) != len(times):", "        return None"]
        return lines
    return [*lines, "    else:", "        return None"]


def _write_rows(views: tuple[View, ...], places: dict[str, int]) -> list[str]:
    """
    Write the rows of views without windows; a column or table that several of them have is made once.
    """
    rules, made, lines = rules_of(views), set(), []
    tables: dict[str, list[int]] = {}
    for at, view in enumerate(views):
        if view.every_ms is not None:
            continue
        columns = ["times"]
        for place, view_field in enumerate(view.fields):
            number, name = rules[at, place], f"f{places[view_field.field.name]}"
            text = value_text(number, view_field, "v")
            if text != "v" and number not in made:
                made.add(number)
                lines.append(f"    x{number} = nones if {name} is nones else [{text} for v in {name}]")
            columns.append(name if text == "v" else f"x{number}")
        tables.setdefault(f"zip({', '.join(columns)})", []).append(at)
    for table, takers in tables.items():
        lines += [f"    rows = list({table})", *(f"    extend_{at}(rows)" for at in takers)]
    return lines


def _write_windows(kind: Kind, views: tuple[View, ...], places: dict[str, int]) -> list[str]:
    """
    Write what has the readings gathered by the blocks of their sources.
    """
    if all(view.every_ms is None for view in views):
        return []
    columns = "".join(f"f{places[name]}, " for name in gathered(kind, views))
    text = f"gather_columns(named, f{places[kind.source]}, times, ({columns}))"
    if all(view.every_ms is not None for view in views):
        return [f"    taken = {text}"]
    return [f"    {text}"]  # another view took them already
