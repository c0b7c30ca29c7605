"""
What may leave, for which purpose, how coarse: the policy as values.

A policy declares *kinds* of readings with typed fields, and *purposes* with one *view* per kind. What a view does
not name does not leave for that purpose. These classes are what the compiler, the columns and the opener read; the
TOML text they come from is checked in ``edge_sdk.policy_file``. The digest of a purpose is what a grant names, so
its canonical form is part of the protocol (SPEC 5.3) and changes only with its leading version number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edge_sdk.core import cbor
from edge_sdk.core.terms import Reach, Terms
from edge_sdk.core.units import Step

CANONICAL_VERSION = 1
BOUND_VERSION = 2  # the same and, after it, where the rows may go


class Basis(StrEnum):
    """
    GDPR Art. 6(1) bases, named as in the policy file.
    """

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    LEGITIMATE_INTEREST = "legitimate_interest"
    VITAL_INTEREST = "vital_interest"
    PUBLIC_TASK = "public_task"


class FieldClass(StrEnum):
    """
    Data categories; what a linter may ask of a view depends on them.
    """

    TELEMETRY = "telemetry"
    DEVICE_IDENTIFIER = "device_identifier"
    NETWORK_IDENTIFIER = "network_identifier"
    LOCATION = "location"
    CONTACT = "contact"
    CREDENTIAL = "credential"
    TEXT = "text"


class FieldType(StrEnum):
    """
    The closed set of value types a reading may hold.
    """

    NUMBER = "number"
    INTEGER = "integer"
    COUNTER = "counter"
    TEXT = "text"
    ENUM = "enum"
    FLAGS = "flags"
    BOOL = "bool"
    IP = "ip"
    MAC = "mac"
    LOCATION = "location"


NUMERIC = frozenset({FieldType.NUMBER, FieldType.INTEGER, FieldType.COUNTER})
TEXTUAL = frozenset({FieldType.TEXT, FieldType.IP, FieldType.MAC, FieldType.LOCATION})


class Window(StrEnum):
    """
    How the values of one window become one value.
    """

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    FIRST = "first"
    LAST = "last"
    COUNT = "count"
    DELTA = "delta"


class TextRule(StrEnum):
    """
    What happens to a value that is text.
    """

    KEEP = "keep"
    MASK = "mask"
    TRUNCATE_IP = "truncate_ip"
    TRUNCATE_TEXT = "truncate_text"
    COARSEN_LOCATION = "coarsen_location"
    PSEUDONYM = "pseudonym"


@dataclass(frozen=True, slots=True)
class Field:
    """
    One declared value of a kind.

    ``low`` and ``high`` are scaled integers at ``step``, both ends included. ``values`` are the labels of an enum or
    the bit names of flags, lowest bit first. ``modulus`` is where a counter wraps, scaled, 0 when it does not.
    """

    name: str
    cls: FieldClass
    type: FieldType
    unit: str = ""
    low: int = 0
    high: int = 0
    step: Step = Step(1, 0)
    max_length: int = 64
    values: tuple[str, ...] = ()
    modulus: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One declared type of reading; ``source`` names the field that says which device it is about.

    ``on_invalid`` is what a bad value costs: the ``field`` or the whole ``reading``. A bad or missing source always
    costs the reading.
    """

    name: str
    source: str
    max_sources: int
    fields: tuple[Field, ...]
    on_invalid: str = "field"

    def field(self, name: str) -> Field:
        """
        Return the declared field *name*; KeyError when there is none.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class ViewField:
    """
    What one purpose may have of one field.

    Numbers are clipped (scaled bounds at the field's step), gathered over the window, then put into a band (scaled
    lower edges of all but the first) or coarsened by ``factor``. ``amount`` belongs to ``text``: characters kept by
    mask and truncate_text, prefix bits for truncate_ip (IPv4; IPv6 keeps twice as many), 10**-amount degrees for
    coarsen_location, the period in ms for pseudonym.
    """

    field: Field
    window: Window | None = None
    clip: tuple[int, int] | None = None
    band: tuple[int, ...] = ()
    factor: int = 1
    text: TextRule | None = None
    amount: int = 0

    @property
    def is_text(self) -> bool:
        """
        Tell whether the value that leaves is text (or the bytes of a pseudonym) rather than a scaled integer.
        """
        return self.field.type in TEXTUAL and self.window is not Window.COUNT


@dataclass(frozen=True, slots=True)
class View:
    """
    What one purpose may have of one kind; ``every_ms`` is the window length, None for every reading.
    """

    kind: Kind
    fields: tuple[ViewField, ...]
    every_ms: int | None = None
    now: bool = False

    @property
    def group(self) -> int | None:
        """
        Return the position of the source among the fields, None when the source does not leave.
        """
        for position, view_field in enumerate(self.fields):
            if view_field.field.name == self.kind.source:
                return position
        return None


@dataclass(frozen=True, slots=True)
class Purpose:
    """
    Why data may leave, on which basis, to whom.

    ``views`` are sorted by kind; ``period_ms`` is the pseudonym period, None when no view uses one. ``reach`` is None
    in a policy without terms: then ``regions`` alone say where the recipient may be.
    """

    name: str
    basis: Basis
    dpv: str
    recipient: str
    regions: tuple[str, ...]
    importance: int
    keep_at_most_ms: int
    clauses: tuple[str, ...]
    views: tuple[View, ...]
    period_ms: int | None = None
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """
    A whole policy file, checked.
    """

    name: str
    version: str
    kinds: Mapping[str, Kind]
    purposes: Mapping[str, Purpose]
    terms: Terms | None = None


def canonical_purpose(purpose: Purpose) -> list[Any]:
    """
    Return the value whose deterministic CBOR a grant's digest is taken over (SPEC 5.3).

    It holds what changes what leaves or to whom: basis, recipient, regions, retention, each view with the types of
    the fields it uses, and the reach where the policy has terms. Clauses, importance and comments are not in it.
    """
    canonical: list[Any] = [
        CANONICAL_VERSION if purpose.reach is None else BOUND_VERSION,
        purpose.name,
        str(purpose.basis),
        purpose.recipient,
        sorted(purpose.regions),
        purpose.keep_at_most_ms,
        [_canonical_view(view) for view in purpose.views],
    ]
    if purpose.reach is not None:
        reach = purpose.reach
        canonical.append([sorted(reach.home), sorted(map(str, reach.transfer)), reach.retention_ms])
    return canonical


def purpose_digest(purpose: Purpose) -> bytes:
    """
    Return the 32-byte SHA-256 over the canonical form of *purpose*.
    """
    return hashlib.sha256(cbor.encode(canonical_purpose(purpose))).digest()


def _canonical_view(view: View) -> list[Any]:
    kind = view.kind
    return [
        kind.name,
        kind.source,
        kind.max_sources,
        view.every_ms,
        view.now,
        [_canonical_field(view_field) for view_field in view.fields],
    ]


def _canonical_field(view_field: ViewField) -> list[Any]:
    field = view_field.field
    declared = [
        field.name,
        str(field.cls),
        str(field.type),
        field.unit,
        field.low,
        field.high,
        field.step.mantissa,
        field.step.exponent,
        field.max_length,
        list(field.values),
        field.modulus,
    ]
    leaves = [
        None if view_field.window is None else str(view_field.window),
        None if view_field.clip is None else list(view_field.clip),
        list(view_field.band),
        view_field.factor,
        None if view_field.text is None else str(view_field.text),
        view_field.amount,
    ]
    return [declared, leaves]
