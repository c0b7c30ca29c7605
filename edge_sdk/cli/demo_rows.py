"""
Rows opened against rows minimised, by value.

What every purpose should get is computed here a second time: the same compiled views over the same readings, into
lists of this process, windows cut at the end. What the opener has is compared as multisets of scaled integers, a
window as (start, count, partial, values). Pseudonyms are the one thing that cannot be computed without the device's
key, so there the rows of each pseudonym are compared as a group: one name for one device, whatever the name.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_sdk.cli.preview import as_if_granted
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.core.compile import Outlet, Tally, compile_kind, make_outlet
from edge_sdk.core.keys import SECRET_BYTES, PseudonymKey
from edge_sdk.core.policy import Policy, TextRule, View
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.table import Row
from edge_sdk.sources.replay import Recorded

Place = tuple[str, str]  # purpose, kind
ByPlace = Mapping[Place, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Compared:
    """
    The rows of one purpose and kind: how many were minimised, and how many of those did not arrive or came besides.
    """

    place: Place
    minimised: int
    opened: int
    missing: int
    besides: int

    def __str__(self) -> str:
        purpose, kind = self.place
        lost = f"{self.missing} of {self.minimised} rows are not there"
        return f"{purpose}, {kind}: {lost}, {self.besides} rows are there that were not minimised"


def views_of(policy: Policy) -> dict[Place, View]:
    """
    Return every view of *policy* by purpose and kind.
    """
    return {(name, view.kind.name): view for name, purpose in policy.purposes.items() for view in purpose.views}


class Minimiser:
    """
    What every purpose should get of readings once all are granted, part by part: counters go on from one to the next.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._outlets = {place: _outlet(view) for place, view in views_of(policy).items()}
        self._compile()

    def take(self, readings: Iterable[Recorded]) -> dict[Place, list[Row]]:
        """
        Return the rows of one part; windows are cut at its end.
        """
        for reading in readings:
            self._minimisers[reading.kind](reading.fields, reading.at_ms)
        found = {}
        for place, outlet in self._outlets.items():
            if outlet.windows is not None:
                outlet.windows.cut(goes_on=True)
            found[place] = list(outlet.rows)
            outlet.rows.clear()
        return found

    def begin_again(self, purpose: str) -> None:
        """
        Forget what was gathered for *purpose*: a new grant begins a new stream under new names.
        """
        self._outlets |= {place: _outlet(view) for place, view in views_of(self._policy).items() if place[0] == purpose}
        self._compile()

    def _compile(self) -> None:
        purposes = self._policy.purposes
        granted = [(outlet, as_if_granted(purposes[place[0]]), place[1]) for place, outlet in self._outlets.items()]
        self._minimisers = {
            name: compile_kind(kind, [(outlet, grant) for outlet, grant, of in granted if of == name], Tally())
            for name, kind in self._policy.kinds.items()
        }


def _outlet(view: View) -> Outlet:
    key = PseudonymKey(secrets.token_bytes(SECRET_BYTES))
    hidden = [entry.field.name for entry in view.fields if entry.text is TextRule.PSEUDONYM]
    return make_outlet(view, names={name: Pseudonyms(key, name) for name in hidden})


def as_minimised(rows: Iterable[OpenedRow]) -> dict[Place, list[Row]]:
    """
    Return opened rows in the form that minimising gives them.
    """
    found: dict[Place, list[Row]] = defaultdict(list)
    for row in rows:
        count = () if row.count is None else (-row.count if row.partial else row.count,)
        found[row.purpose, row.kind].append((row.at_ms, *count, *row.scaled.values()))
    return found


def compare(views: Mapping[Place, View], minimised: ByPlace, opened: ByPlace) -> list[Compared]:
    """
    Return how the rows of every place compare; a place that no view has counts as rows besides.
    """
    return [
        _compare_place(place, views.get(place), minimised.get(place, ()), opened.get(place, ()))
        for place in sorted({*minimised, *opened})
    ]


def _compare_place(place: Place, view: View | None, minimised: Sequence[Row], opened: Sequence[Row]) -> Compared:
    should, does = _by_value(view, minimised), _by_value(view, opened)
    return Compared(place, len(minimised), len(opened), _rows(should - does), _rows(does - should))


def _by_value(view: View | None, rows: Sequence[Row]) -> Counter[frozenset[tuple[Row, int]]]:
    """
    Return the groups of rows that share their pseudonyms, those left out; every row by itself where there are none.
    """
    hidden = _hidden_places(view)
    if not hidden:
        return Counter(frozenset({(row, 1)}) for row in rows)
    groups: dict[tuple[Any, ...], Counter[Row]] = defaultdict(Counter)
    for row in rows:
        name = tuple(row[at] for at in hidden)
        groups[name][tuple(value for at, value in enumerate(row) if at not in hidden)] += 1
    return Counter(frozenset(group.items()) for group in groups.values())


def _hidden_places(view: View | None) -> tuple[int, ...]:
    if view is None:
        return ()
    lead = 1 if view.every_ms is None else 2
    return tuple(lead + at for at, entry in enumerate(view.fields) if entry.text is TextRule.PSEUDONYM)


def _rows(groups: Counter[frozenset[tuple[Row, int]]]) -> int:
    return sum(times * sum(count for _, count in group) for group, times in groups.items())
