"""
A policy as straight-line Python: one function per kind for exactly the purposes that may collect now.

As dataclasses and attrs do, the text of a function is written once per shape (``written``) and executed with its
constants bound. The function checks a reading, then appends one row per view, or adds to the block of one window per
view (``gathering``). A second one does the same to many readings at once (``columns``) and leaves all that is unusual
to the first. Neither does any I/O, keeps anything else, or remembers a reading when it returns. Which purposes are
bound is decided by who holds a :class:`CollectGrant`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any

from edge_sdk.core import reading, transforms
from edge_sdk.core.blocks import block_rows
from edge_sdk.core.columns import write_columns
from edge_sdk.core.consent import CollectGrant
from edge_sdk.core.joining import Joints
from edge_sdk.core.policy import FieldType, Kind, TextRule, View, ViewField
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.table import Row
from edge_sdk.core.windows import WindowSet
from edge_sdk.core.written import gathered, rules_of, write_one

Minimiser = Callable[[Mapping[str, Any], int], int]
ByColumn = Callable[[Mapping[str, Sequence[Any]], Sequence[int]], int | None]


@dataclass(slots=True)
class Outlet:
    """
    Where the rows of one view of one stream go: ``rows`` takes finished ones, ``windows`` what is still open.
    """

    view: View
    rows: list[Row] = field(repr=False)  # what a reading said has no voice
    names: Mapping[str, Pseudonyms] = field(default_factory=dict, repr=False)
    windows: WindowSet | None = field(default=None, repr=False)


@dataclass(slots=True)
class Tally:
    """
    What one kind dropped, by reason; counts only, never what it was.
    """

    unknown_fields: int = 0
    invalid_values: int = 0
    invalid_readings: int = 0
    too_many_sources: int = 0


def make_outlet(view: View, *, names: Mapping[str, Pseudonyms], offset_ms: int = 0) -> Outlet:
    """
    Return an empty outlet for *view*; nothing reaches it before :func:`compile_kind` binds it.

    Args:
        names: pseudonyms by field name, for the fields whose rule asks for one.
        offset_ms: where in the UTC day windows begin.
    """
    outlet = Outlet(view, [], names)
    if view.every_ms is not None:
        show = {
            view_field.field.name: _text_maker(view_field, names) for view_field in view.fields if view_field.is_text
        }
        outlet.windows = WindowSet(view, emit=outlet.rows.append, show=show, offset_ms=offset_ms)
    return outlet


def compile_kind(kind: Kind, granted: Sequence[tuple[Outlet, CollectGrant]], tally: Tally) -> Minimiser:
    """
    Return the function ``minimise(fields, at_ms)`` that feeds one reading of *kind* to the outlets.

    Args:
        granted: each outlet with the permission to collect for its purpose.
        tally: counts what is dropped.

    It returns how many outlets took the reading; 0 when the reading was dropped, which *tally* then counts. Values
    of a declared field that are None count as absent.
    """
    if not all(isinstance(grant, CollectGrant) for _, grant in granted):
        raise TypeError("an outlet without a grant to collect")
    outlets = [outlet for outlet, _ in granted]
    views = tuple(outlet.view for outlet in outlets)
    bound: dict[str, Any] = {
        "tally": tally,
        "sources": set(),
        "check": reading.check,
        "declared": kind.fields,
        "itemgetter": itemgetter,
        "names_declared": frozenset(declared.name for declared in kind.fields),
        "shape": transforms.shape_number,
        "clip": transforms.clip,
    }
    for at, declared in enumerate(kind.fields):
        if declared.type is FieldType.ENUM:
            bound[f"labels_{at}"] = reading.places_of_labels(declared)
    for at, outlet in enumerate(outlets):
        bound[f"append_{at}"] = outlet.rows.append
    windows = [outlet.windows for outlet in outlets if outlet.windows is not None]
    joints = Joints(windows, gathered(kind, views), block_rows(kind))
    bound |= {"blocks": joints.open, "join": joints.join, "gather_columns": joints.gather_columns}
    for (at, place), number in rules_of(views).items():
        view_field = views[at].fields[place]
        bound[f"field_{number}"] = view_field
        if view_field.is_text:
            bound[f"text_{number}"] = _text_maker(view_field, outlets[at].names)
    text = write_one(kind, views)
    exec(_compiled(text, kind.name), bound)  # noqa: S102 - the text is ours; names from the policy appear only through repr()
    minimise: Minimiser = bound["minimise"]
    return minimise


def compile_columns(kind: Kind, outlets: Sequence[Outlet], minimise: Minimiser) -> ByColumn:
    """
    Return the function ``minimise_columns(columns, times)`` that does to many readings what *minimise* does to one.

    Args:
        outlets: those that *minimise* was bound to, in that order.

    It takes values by field name, one for each of the times, and at least one time. It returns how many readings an
    outlet took: where anything about any of them is unusual it takes none and returns None, and *minimise* has to be
    asked one by one.
    """
    bound = minimise.__globals__  # the sources and blocks are the same ones
    bound |= {f"extend_{at}": outlet.rows.extend for at, outlet in enumerate(outlets)}
    text = write_columns(kind, tuple(outlet.view for outlet in outlets))
    exec(_compiled(text, kind.name), bound)  # noqa: S102 - as above
    by_column: ByColumn = bound["minimise_columns"]
    return by_column


def forget_sources(minimise: Minimiser) -> None:
    """
    Let new sources take the places of old ones, so that invented serials block real ones for a day at most.
    """
    minimise.__globals__["sources"].clear()


@lru_cache(maxsize=256)
def _compiled(text: str, kind_name: str) -> Any:
    return compile(text, f"<policy kind {kind_name}>", "exec")


def _text_maker(view_field: ViewField, names: Mapping[str, Pseudonyms]) -> Callable[[str], Any]:
    if view_field.text is TextRule.PSEUDONYM:
        return names[view_field.field.name]
    return transforms.text_rule(view_field)
