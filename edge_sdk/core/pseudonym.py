"""
Rotating stand-ins for identifiers: HMAC-SHA-256 under the key of the current period (SPEC 6.4).

Within one period of one purpose a value always gets the same 16 bytes; nobody without the key can invert them by
trying serial numbers, and the next period's key is a one-way step from this one, after which this one is destroyed.
"""

from __future__ import annotations

import hashlib
import hmac

from edge_sdk.core.keys import PseudonymKey

PSEUDONYM_BYTES = 16
_REMEMBERED = 4096  # the largest max_sources a policy may declare; beyond it names are simply computed again


class Pseudonyms:
    """
    Names one field's values for one purpose and period, remembering those already made.
    """

    __slots__ = ("_key", "_label", "_made")

    def __init__(self, key: PseudonymKey, field_name: str) -> None:
        self._key = key
        self._label = field_name.encode() + b"\x00"
        self._made: dict[str, bytes] = {}

    def __call__(self, text: str) -> bytes:
        """
        Return the 16 bytes that stand for *text*.
        """
        made = self._made.get(text)
        if made is None:
            if len(self._made) >= _REMEMBERED:
                self._made.clear()
            message = self._label + text.encode("utf-8")
            made = hmac.new(self._key.reveal(), message, hashlib.sha256).digest()[:PSEUDONYM_BYTES]
            self._made[text] = made
        return made


def period_of(floor_ms: int, period_ms: int | None) -> int:
    """
    Return the number of the pseudonym period at *floor_ms*; 0 for a purpose without pseudonyms.
    """
    return 0 if period_ms is None else floor_ms // period_ms
