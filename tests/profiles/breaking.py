"""
Ways to break what a profile promises, one edit each, and what catches the edit.

``python -m tests.profiles.breaking`` tries every way on every profile and prints who caught it: the *loader* (it is no
policy any more), the *linter* (a warning or error that was not there), or the *list* of what leaves (``leaves.txt``).
"""

from __future__ import annotations

import copy
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from edge_sdk.core.policy import Basis, Policy, purpose_digest
from edge_sdk.core.policy_lint import Level, lint
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file import PROFILES, load_policy, profile_text
from tests.profiles.leaves import golden, lines_of
from tests.unit.policy_texts import toml

Edit = tuple[str, dict[str, Any]]
_LATE: Final = {"breach_notice": "96h", "answer_within": "60d", "retention": "3650d"}


def edits(name: str) -> Iterator[Edit]:
    """Yield a description and the edited document, for every way and place."""
    document = tomllib.loads(profile_text(name))
    for edit in (_more_fields, _finer_views, _unkeyed, _other_bases, _wider_regions, _longer, _weaker_terms):
        yield from edit(document)


def caught(name: str, document: dict[str, Any]) -> str:
    """Return who catches *document* as an edit of profile *name*; empty where nobody does."""
    before = _profile(name)
    try:
        after = load_policy(toml(document), where=name)
    except ConfigError:
        return "loader"
    told = {(finding.code, finding.where) for finding in lint(before)}
    if any((f.code, f.where) not in told and f.level is not Level.NOTE for f in lint(after)):
        return "linter"
    if lines_of(after) != golden()[name]:
        return "list"
    return ""


def is_granted_as_before(name: str, document: dict[str, Any]) -> bool:
    """Tell whether grants for every purpose of the profile would open the edited one too."""
    before = _profile(name).purposes
    after = load_policy(toml(document), where=name).purposes
    return {n: purpose_digest(p) for n, p in before.items()} == {n: purpose_digest(p) for n, p in after.items()}


@cache
def _profile(name: str) -> Policy:
    return load_policy(profile_text(name), where=name)


def _changed(document: dict[str, Any], *path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a copy of *document* and the table in it that *path* leads to."""
    edited = copy.deepcopy(document)
    table = edited
    for step in path:
        table = table[step]
    return edited, table


def _views(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for purpose, table in document["purposes"].items():
        for kind, view in table["views"].items():
            yield purpose, kind, view


def _more_fields(document: dict[str, Any]) -> Iterator[Edit]:
    for purpose, kind, view in _views(document):
        for field in document["kinds"][kind]["fields"].keys() - view["fields"].keys():
            is_source = field == document["kinds"][kind]["source"]
            edited, fields = _changed(document, "purposes", purpose, "views", kind, "fields")
            fields[field] = "keep" if is_source or "every" not in view else {"window": "last"}
            yield f"add field {kind}.{field} to {purpose}", edited


def _finer_views(document: dict[str, Any]) -> Iterator[Edit]:
    for purpose, kind, view in _views(document):
        source = document["kinds"][kind]["source"]
        if isinstance(view["fields"].get(source), dict):
            edited, fields = _changed(document, "purposes", purpose, "views", kind, "fields")
            fields[source] = "keep"
            yield f"keep {kind}.{source} for {purpose}", edited
        if "every" in view:
            edited, finer = _changed(document, "purposes", purpose, "views", kind)
            finer["every"] = "10s"
            yield f"{purpose}.{kind} every 10 s", edited


def _unkeyed(document: dict[str, Any]) -> Iterator[Edit]:
    for purpose, kind, view in _views(document):
        source = document["kinds"][kind]["source"]
        for rule in ("md5", "sha256", {"hash": "sha256"}, {"md5": True}):
            if source in view["fields"]:
                edited, fields = _changed(document, "purposes", purpose, "views", kind, "fields")
                fields[source] = rule
                yield f"unkeyed hash of {kind}.{source} for {purpose}", edited


def _other_bases(document: dict[str, Any]) -> Iterator[Edit]:
    for purpose, table in document["purposes"].items():
        edited, wanted = _changed(document, "purposes", purpose)
        del wanted["basis"]
        yield f"{purpose} without a basis", edited
        for basis in Basis:
            if basis != table["basis"]:
                edited, wanted = _changed(document, "purposes", purpose)
                wanted["basis"] = str(basis)
                yield f"{purpose} on {basis}", edited


def _wider_regions(document: dict[str, Any]) -> Iterator[Edit]:
    for purpose, table in document["purposes"].items():
        for region in ("EU", "US", "CN", "SG", "RU", "ANY"):
            if region not in table["regions"]:
                edited, wanted = _changed(document, "purposes", purpose)
                wanted["regions"] = [*table["regions"], region]
                yield f"{purpose} in {region} too", edited
        edited, wanted = _changed(document, "purposes", purpose)
        wanted["recipient"] = "somebody-else"
        yield f"{purpose} to another recipient", edited


def _longer(document: dict[str, Any]) -> Iterator[Edit]:
    for purpose in document["purposes"]:
        edited, wanted = _changed(document, "purposes", purpose)
        wanted["keep_at_most"] = "400d"
        yield f"{purpose} kept unsent for 400 days", edited
    for key, longer in _LATE.items():
        edited, terms = _changed(document, "terms")
        terms[key] = longer
        yield f"terms: {key} {longer}", edited


def _weaker_terms(document: dict[str, Any]) -> Iterator[Edit]:
    edited, _ = _changed(document)
    del edited["terms"]
    yield "no terms", edited
    weaker: dict[str, Any] = {"never": [], "transfer": [], "child_below": 0, "bases": [str(basis) for basis in Basis]}
    weaker["home"] = [*document["terms"]["home"], "RU"]
    for key, value in weaker.items():
        edited, terms = _changed(document, "terms")
        terms[key] = value
        yield f"terms: weaker {key}", edited
    for word in document["terms"]["transfer"]:
        edited, terms = _changed(document, "terms")
        terms["transfer"] = [other for other in document["terms"]["transfer"] if other != word]
        yield f"terms: transfer without {word}", edited


if __name__ == "__main__":
    for profile in PROFILES:
        found = Counter(caught(profile, document) or "NOBODY" for _, document in edits(profile))
        said = ", ".join(f"{count} by the {who}" for who, count in sorted(found.items()))
        print(f"{profile}: {sum(found.values())} edits, caught: {said}")
