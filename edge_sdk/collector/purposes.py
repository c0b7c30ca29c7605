"""
The purposes a collector knows, stored in the form their digest is taken over.

Authority and opener need purposes long after ``collector init`` read the policy file, each in its own
process, and an opener needs old versions as long as batches of them may come. Storing the canonical form
keeps both from drifting: what is read back is hashed again and must have the digest it is stored under. Pure.
Not here: the policy file (``edge_sdk.policy_file``), views applied to readings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from edge_sdk.core import cbor
from edge_sdk.core.claims import Mechanism
from edge_sdk.core.policy import (
    Basis,
    Field,
    FieldClass,
    FieldType,
    Kind,
    Purpose,
    TextRule,
    View,
    ViewField,
    Window,
    canonical_purpose,
    purpose_digest,
)
from edge_sdk.core.terms import Reach
from edge_sdk.core.units import Step
from edge_sdk.errors import BadInput, StorageError

_LIMIT: Final = 1 << 20


def encode_purpose(purpose: Purpose) -> bytes:
    """
    Return the canonical form of *purpose* as bytes.
    """
    return cbor.encode(canonical_purpose(purpose))


def decode_purpose(stored: bytes, digest: bytes) -> Purpose:
    """
    Return the purpose that :func:`encode_purpose` was given; importance, DPV term and clauses, which no
    digest covers, are empty.

    Raises:
        StorageError: when it is not the purpose with that digest.
    """
    try:
        purpose = _purpose(cbor.decode(stored, _LIMIT, "stored purpose"))
        if purpose_digest(purpose) == digest:
            return purpose
    except (BadInput, ValueError, TypeError) as exc:
        raise StorageError("a stored purpose is damaged", hint="add the policy file again") from exc
    raise StorageError("a stored purpose does not have its digest", hint="add the policy file again")


def by_digest(purposes: Iterable[Purpose]) -> Mapping[bytes, Purpose]:
    """
    Return *purposes* by digest.
    """
    return {purpose_digest(purpose): purpose for purpose in purposes}


def _purpose(value: Any) -> Purpose:
    _, name, basis, recipient, regions, keep_at_most_ms, views, *reach = value
    decoded = tuple(_view(view) for view in views)
    return Purpose(
        name=name,
        basis=Basis(basis),
        dpv="",
        recipient=recipient,
        regions=tuple(regions),
        importance=0,
        keep_at_most_ms=keep_at_most_ms,
        clauses=(),
        views=decoded,
        period_ms=_period_ms(decoded),
        reach=_reach(*reach),
    )


def _reach(value: Any = None) -> Reach | None:
    if value is None:
        return None
    home, transfer, retention_ms = value
    return Reach(tuple(home), tuple(map(Mechanism, transfer)), retention_ms)


def _period_ms(views: Iterable[View]) -> int | None:
    for view in views:
        for view_field in view.fields:
            if view_field.text is TextRule.PSEUDONYM:
                return view_field.amount
    return None


def _view(value: Any) -> View:
    name, source, max_sources, every_ms, now, fields = value
    decoded = tuple(_view_field(declared, leaves) for declared, leaves in fields)
    kind = Kind(name, source, max_sources, tuple(view_field.field for view_field in decoded))
    return View(kind, decoded, every_ms, now)


def _view_field(declared: Any, leaves: Any) -> ViewField:
    name, cls, kind, unit, low, high, mantissa, exponent, max_length, values, modulus = declared
    window, clip, band, factor, text, amount = leaves
    return ViewField(
        field=Field(
            name=name,
            cls=FieldClass(cls),
            type=FieldType(kind),
            unit=unit,
            low=low,
            high=high,
            step=Step(mantissa, exponent),
            max_length=max_length,
            values=tuple(values),
            modulus=modulus,
        ),
        window=None if window is None else Window(window),
        clip=None if clip is None else (clip[0], clip[1]),
        band=tuple(band),
        factor=factor,
        text=None if text is None else TextRule(text),
        amount=amount,
    )
