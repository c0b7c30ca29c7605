"""
Checks 6 and 7 of signed documents: rollback, equivocation, freeze.

Owns: ``check_version`` and ``check_times``.
Rules: the signature was checked before; a version never goes back; the same version has one content.
Does not: remember the newest version (vault) or read a clock. Neighbours: documents.root beside it.
"""

from __future__ import annotations

from typing import TypeAlias

from edge_sdk.core.documents.root import CLOCK_SKEW_S, Check, refusal
from edge_sdk.errors import Equivocation

Newest: TypeAlias = tuple[int, bytes]
"""Version and payload SHA-256 of the newest document accepted."""


def check_version(what: str, version: int, sha256: bytes, *, newest: Newest | None) -> None:
    """
    Make check 6.

    Raises:
        ConsentRefused: older than *newest* (rollback).
        Equivocation: as old as *newest*, with another content.
    """
    if newest is None:
        return
    if version < newest[0]:
        raise refusal(what, Check.VERSION, "older than one already accepted")
    if version == newest[0] and sha256 != newest[1]:
        where = f"{what} check {Check.VERSION.value} ({Check.VERSION.name.lower()})"
        raise Equivocation(
            f"{where}: one version, two contents", hint="tell the operator: a signing key may be stolen",
            check=Check.VERSION.value,
        )


def check_times(what: str, *, iat_s: int, valid: tuple[int, int | None], now_s: int) -> None:
    """
    Make check 7: issued and valid from now or before, give or take the skew, and not expired.

    Args:
        iat_s: when it was issued.
        valid: first second it holds, and the first it no longer does (None: no end).
        now_s: the larger of wall and floor.

    Raises:
        ConsentRefused: outside those times.
    """
    starts_s, ends_s = valid
    if max(starts_s, iat_s) > now_s + CLOCK_SKEW_S:
        raise refusal(what, Check.TIMES, "not valid yet", hint="check the clock of this device")
    if ends_s is not None and now_s >= ends_s:
        raise refusal(what, Check.TIMES, "expired")
