"""
A checked policy as bytes and back, so that it need not be read from its text at every start.

Owns: ``encode_policy`` and ``decode_policy``, which give back an equal policy in the same order of everything.
Rules: deterministic CBOR; enums by their words, fields of a view by their place in the kind. What is decoded was made
by ``encode_policy`` of the same release and was authenticated: shapes are checked, so that a mistake of ours is
Malformed and never a wrong policy, but no rule of the policy file is checked again.
Does not: store or authenticate (policies), read TOML (policy_file) or make the digest of a purpose (policy).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeVar

from edge_sdk.core import cbor
from edge_sdk.core.claims import Mechanism
from edge_sdk.core.policy import (
    Basis,
    Field,
    FieldClass,
    FieldType,
    Kind,
    Policy,
    Purpose,
    TextRule,
    View,
    ViewField,
    Window,
)
from edge_sdk.core.shape import Shape, array, boolean, exactly, integer, list_of, optional, uint
from edge_sdk.core.terms import ChildAccount, Reach, Terms
from edge_sdk.core.units import Step
from edge_sdk.errors import Malformed

FORMAT: Final = 1
LIMIT: Final = 1 << 21  # bytes; a policy text has at most 2**20 characters
_MANY: Final = 1 << 16

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


def encode_policy(policy: Policy) -> bytes:
    """
    Return *policy* as bytes.
    """
    kinds = list(policy.kinds)
    return cbor.encode(
        [
            FORMAT,
            policy.name,
            policy.version,
            [_kind_value(kind) for kind in policy.kinds.values()],
            [_purpose_value(purpose, kinds) for purpose in policy.purposes.values()],
            None if policy.terms is None else _terms_value(policy.terms),
        ]
    )


def decode_policy(encoded: bytes) -> Policy:
    """
    Return what :func:`encode_policy` was given.

    Raises:
        Malformed: for other bytes.
    """
    value = cbor.decode(encoded, LIMIT, "policy")
    _, name, version, kinds, purposes, terms = _POLICY(value, "policy")
    declared = [_kind(*kind) for kind in kinds]
    found = [_purpose(purpose, declared) for purpose in purposes]
    return Policy(
        name,
        version,
        MappingProxyType({kind.name: kind for kind in declared}),
        MappingProxyType({purpose.name: purpose for purpose in found}),
        None if terms is None else _terms(terms),
    )


# ------------------------------------------------------------------------------------------------------- shapes


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise Malformed(f"{where} is not text")
    return value


def _member(members: type[E]) -> Shape[E]:
    def check(value: object, where: str) -> E:
        try:
            return members(_string(value, where))
        except ValueError:
            raise Malformed(f"{where} is none of its words") from None

    return check


_TEXTS: Final = list_of(_string, _MANY)
_NUMBER: Final = integer()
_COUNT: Final = uint()
_FIELD: Final = array(
    _string, _member(FieldClass), _member(FieldType), _string, _NUMBER, _NUMBER, _COUNT, _NUMBER, _COUNT, _TEXTS, _COUNT
)
_KIND: Final = array(_string, _string, _COUNT, _string, list_of(_FIELD, _MANY))
_VIEW_FIELD: Final = array(
    _COUNT, optional(_member(Window)), optional(array(_NUMBER, _NUMBER)), list_of(_NUMBER, _MANY), _COUNT,
    optional(_member(TextRule)), _COUNT,
)  # fmt: skip
_VIEW: Final = array(_COUNT, list_of(_VIEW_FIELD, _MANY), optional(_COUNT), boolean)
_REACH: Final = array(_TEXTS, list_of(_member(Mechanism), _MANY), _COUNT)
_PURPOSE: Final = array(
    _string, _member(Basis), _string, _string, _TEXTS, _COUNT, _COUNT, _TEXTS, list_of(_VIEW, _MANY), optional(_COUNT),
    optional(_REACH),
)  # fmt: skip
_TERMS: Final = array(
    _string, _string, _string, list_of(_member(Basis), _MANY), list_of(_member(FieldClass), _MANY), _REACH, _COUNT,
    _COUNT, _COUNT, _member(ChildAccount),
)  # fmt: skip
_POLICY: Final = array(
    exactly(FORMAT), _string, _string, list_of(_KIND, _MANY), list_of(_PURPOSE, _MANY), optional(_TERMS)
)


# ------------------------------------------------------------------------------------------------ values to CBOR


def _kind_value(kind: Kind) -> list[Any]:
    return [kind.name, kind.source, kind.max_sources, kind.on_invalid, [_field_value(field) for field in kind.fields]]


def _field_value(field: Field) -> list[Any]:
    return [
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


def _purpose_value(purpose: Purpose, kinds: list[str]) -> list[Any]:
    return [
        purpose.name,
        str(purpose.basis),
        purpose.dpv,
        purpose.recipient,
        list(purpose.regions),
        purpose.importance,
        purpose.keep_at_most_ms,
        list(purpose.clauses),
        [_view_value(view, kinds) for view in purpose.views],
        purpose.period_ms,
        None if purpose.reach is None else _reach_value(purpose.reach),
    ]


def _view_value(view: View, kinds: list[str]) -> list[Any]:
    fields = view.kind.fields
    return [
        kinds.index(view.kind.name),
        [_view_field_value(view_field, fields) for view_field in view.fields],
        view.every_ms,
        view.now,
    ]


def _view_field_value(view_field: ViewField, fields: Sequence[Field]) -> list[Any]:
    return [
        fields.index(view_field.field),
        None if view_field.window is None else str(view_field.window),
        None if view_field.clip is None else list(view_field.clip),
        list(view_field.band),
        view_field.factor,
        None if view_field.text is None else str(view_field.text),
        view_field.amount,
    ]


def _reach_value(reach: Reach) -> list[Any]:
    return [list(reach.home), [str(mechanism) for mechanism in reach.transfer], reach.retention_ms]


def _terms_value(terms: Terms) -> list[Any]:
    return [
        terms.controller,
        terms.contact,
        terms.text_sha256,
        [str(basis) for basis in terms.bases],
        [str(cls) for cls in terms.never],
        _reach_value(terms.reach),
        terms.breach_notice_ms,
        terms.answer_within_ms,
        terms.child_below,
        str(terms.child_account),
    ]


# ------------------------------------------------------------------------------------------------ CBOR to values


def _kind(name: str, source: str, max_sources: int, on_invalid: str, fields: Sequence[Any]) -> Kind:
    return Kind(name, source, max_sources, tuple(_field(*field) for field in fields), on_invalid)


def _field(
    name: str, cls: FieldClass, kind: FieldType, unit: str, low: int, high: int, mantissa: int, exponent: int,
    max_length: int, values: tuple[str, ...], modulus: int,
) -> Field:  # fmt: skip
    return Field(name, cls, kind, unit, low, high, Step(mantissa, exponent), max_length, values, modulus)


def _purpose(value: Sequence[Any], kinds: Sequence[Kind]) -> Purpose:
    name, basis, dpv, recipient, regions, importance, keep_ms, clauses, views, period_ms, reach = value
    return Purpose(
        name, basis, dpv, recipient, regions, importance, keep_ms, clauses,
        tuple(_view(view, kinds) for view in views), period_ms, None if reach is None else Reach(*reach),
    )  # fmt: skip


def _view(value: Sequence[Any], kinds: Sequence[Kind]) -> View:
    place, fields, every_ms, now = value
    kind = _at(kinds, place)
    return View(kind, tuple(ViewField(_at(kind.fields, at), *rule) for at, *rule in fields), every_ms, now)


def _at(items: Sequence[T], place: int) -> T:
    if place >= len(items):
        raise Malformed("policy names a kind or field it does not have")
    return items[place]


def _terms(value: Sequence[Any]) -> Terms:
    controller, contact, text_sha256, bases, never, reach, breach_ms, answer_ms, child_below, child_account = value
    return Terms(
        controller, contact, text_sha256, bases, never, Reach(*reach), breach_ms, answer_ms, child_below, child_account
    )
