"""
The table ``[terms]``: what the privacy policy promises about all purposes, and what it keeps the purposes from.

Two promises are kept here and not only told: a purpose rests on no basis that the policy does not name, and has no
class of data that it says nobody gets. Where rows may go is carried on by each purpose (``views``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from edge_sdk.core.policy import Purpose
from edge_sdk.core.terms import CROSS_BORDER, Reach, Terms
from edge_sdk.core.units import DAY_MS, HOUR_MS, format_duration
from edge_sdk.policy_file.problems import Place, listed
from edge_sdk.policy_file.tables import TermsTable, read_table

_RANGES: Final = {
    "retention": (DAY_MS, 3650 * DAY_MS),
    "breach_notice": (HOUR_MS, 30 * DAY_MS),
    "answer_within": (DAY_MS, 90 * DAY_MS),
}


def read_terms(raw: object, place: Place) -> Terms | None:
    """
    Return the terms, None where the table is wrong; every reason is noted at *place*.
    """
    table = read_table(TermsTable, raw, place)
    if table is None:
        return None
    for key, (low, high) in _RANGES.items():
        if not low <= getattr(table, key) <= high:
            place.wrong(key, "is out of range", f"write {format_duration(low)} to {format_duration(high)}")
    for key in ("bases", "never", "home", "transfer"):
        if len(set(getattr(table, key))) < len(getattr(table, key)):
            place.wrong(key, "names one thing twice", "write each once")
    return Terms(
        controller=table.controller,
        contact=table.contact,
        text_sha256=table.text_sha256,
        bases=tuple(sorted(table.bases)),
        never=tuple(sorted(table.never)),
        reach=Reach(tuple(sorted(table.home)), tuple(sorted(table.transfer)), table.retention),
        breach_notice_ms=table.breach_notice,
        answer_within_ms=table.answer_within,
        child_below=table.child_below,
        child_account=table.child_account,
    )


def check_purposes(purposes: Mapping[str, Purpose], terms: Terms | None, place: Place) -> None:
    """
    Note at *place*, the table of purposes, what they have and the policy does not let them have.
    """
    for name, purpose in purposes.items():
        at = place.at(name)
        if name == CROSS_BORDER:
            at.wrong("", "is the name of the consent to transfers", "give the purpose another name")
        if terms is not None:
            _check_basis(purpose, terms, at)
            _check_classes(purpose, terms.never, at)
            _check_regions(purpose, terms.reach, at)


def _check_basis(purpose: Purpose, terms: Terms, at: Place) -> None:
    if purpose.basis not in terms.bases:
        advice = f"write one of {listed(terms.bases)}, or add it to bases in [terms]"
        at.wrong("basis", "is none that the policy names", advice)


def _check_classes(purpose: Purpose, never: Collection[str], at: Place) -> None:
    for view in purpose.views:
        for view_field in view.fields:
            if view_field.field.cls in never:
                below = at.at("views", view.kind.name, "fields")
                advice = "leave the line out; [terms] says that no purpose has it"
                below.wrong(view_field.field.name, f"is of class {view_field.field.cls}", advice)


def _check_regions(purpose: Purpose, reach: Reach, at: Place) -> None:
    if reach.abroad(purpose.regions) and not reach.transfer:
        advice = f"write regions among {listed(reach.home)}, or say in [terms] what a transfer needs"
        at.wrong("regions", "go beyond home, and transfer names nothing that would allow it", advice)
