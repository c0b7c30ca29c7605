"""
Claim codes: what a person types into a device so that the authority knows which account it belongs to.

A code is 80 random bits in Crockford base 32, four groups of four. The authority keeps only its hash; 80 bits
are too many to find by trying, so a plain SHA-256 is enough there. Wrong tries are limited all the same,
because each costs the authority a decapsulation. Pure: chance and time are arguments. Storing is
``registry``'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_sdk.collector.rate import wait_s
from edge_sdk.errors import Malformed, Refused

CODE_BYTES: Final = 10
LIFETIME_S: Final = 86_400

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOKALIKES: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
_DIGITS: Final = CODE_BYTES * 8 // 5
_GROUP: Final = 4
_LABEL: Final = b"edge-sdk/claim/1"


class TooManyTries(Refused):
    """
    Say that codes were tried too often; ``wait_s`` is how long no code is looked at.
    """

    def __init__(self, wait_s: int) -> None:
        super().__init__("too many wrong claim codes", hint="wait, then try again")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class TryLimit:
    """
    How many wrong codes the authority answers in a span of time before it answers none.
    """

    tries: int = 30
    span_s: int = 3_600

    def wait_s(self, wrong_at_s: Sequence[int], now_s: int) -> int:
        """
        Return the seconds until a code may be tried again, 0 when it may be now.

        Args:
            wrong_at_s: Unix seconds of the wrong tries so far, in any order.
            now_s: Unix seconds.
        """
        return wait_s(wrong_at_s, times=self.tries, span_s=self.span_s, now_s=now_s)


def make_code(entropy: bytes) -> str:
    """
    Return the claim code that *entropy* spells.

    Args:
        entropy: exactly 10 random bytes.

    Raises:
        ValueError: when it is not 10 bytes.
    """
    if len(entropy) != CODE_BYTES:
        raise ValueError("a claim code is made of exactly 10 random bytes")
    number = int.from_bytes(entropy, "big")
    digits = [_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_DIGITS))]
    return "-".join("".join(digits[start : start + _GROUP]) for start in range(0, _DIGITS, _GROUP))


def code_digest(code: str) -> bytes:
    """
    Return the 32 bytes under which a code is stored, the same for every way of typing it.

    Raises:
        Malformed: when the text is no claim code.
    """
    digits = code.upper().translate(_LOOKALIKES)
    if len(digits) != _DIGITS or any(digit not in _ALPHABET for digit in digits):
        raise Malformed("claim code", hint="A claim code is 16 letters and digits in four groups.")
    return hashlib.sha256(_LABEL + digits.encode("ascii")).digest()
