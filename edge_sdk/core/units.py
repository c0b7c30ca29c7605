"""
Durations as people write them, and decimal steps as numbers are rounded to.

A number of a reading is quantised once, on entry, to the step of its field; from there on everything is exact
integer arithmetic on *scaled integers*, so that "equal by value" means "equal integers" (SPEC 6.1). Nothing here
knows of fields or policies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
EPOCH_S = 86_400  # an epoch of tags and uploads is one UTC day

_UNIT_MS: Final = {"ms": 1, "s": SECOND_MS, "min": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_DURATION = re.compile(r"([1-9][0-9]{0,11})(ms|s|min|h|d)")
_EXPONENT_LIMIT = 12  # 10**-12 .. 10**12 covers pico to tera; scaled values stay inside 63 bits
BINARY64_INTEGER = 1 << 53  # above this a float no longer holds every integer


def parse_duration(text: str) -> int:
    """
    Return the milliseconds that *text* such as ``5min`` or ``30d`` names.

    Raises:
        ValueError: when the text is not a whole number above 0 followed by ms, s, min, h or d.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is a whole number and a unit: ms, s, min, h or d, such as 5min or 30d")
    return int(match.group(1)) * _UNIT_MS[match.group(2)]


def format_duration(duration_ms: int) -> str:
    """
    Return the shortest text that :func:`parse_duration` reads as *duration_ms*.
    """
    for unit in ("d", "h", "min", "s"):
        if duration_ms and duration_ms % _UNIT_MS[unit] == 0:
            return f"{duration_ms // _UNIT_MS[unit]}{unit}"
    return f"{duration_ms}ms"


@dataclass(frozen=True, slots=True)
class Step:
    """
    A decimal step: the scaled integer ``n`` stands for ``n * mantissa * 10**exponent``.
    """

    mantissa: int
    exponent: int

    @classmethod
    def parse(cls, value: float | str) -> Step:
        """
        Return the step that *value* (0.1, "0.25", 100) spells in decimal.

        Raises:
            ValueError: when it is not a positive decimal between 10**-12 and 10**12.
        """
        try:
            sign, digits, exponent = Decimal(str(value)).normalize().as_tuple()
        except InvalidOperation:
            raise ValueError("a step is a positive decimal number such as 0.1 or 100") from None
        mantissa = int("".join(str(digit) for digit in digits) or "0")
        if sign or not isinstance(exponent, int) or mantissa == 0:
            raise ValueError("a step is a positive decimal number such as 0.1 or 100")
        if not -_EXPONENT_LIMIT <= exponent <= _EXPONENT_LIMIT or mantissa >= 10**6:
            raise ValueError("a step lies between 10**-12 and 10**12 and has at most 6 digits")
        return cls(mantissa, exponent)

    def multiple_of(self, finer: Step) -> int:
        """
        Return how many *finer* steps make this one.

        Raises:
            ValueError: when it is no whole number of them.
        """
        ratio = self.decimal(1) / finer.decimal(1)
        if ratio != ratio.to_integral_value() or ratio < 1:
            raise ValueError("a coarser step is a whole multiple of the field's resolution")
        return int(ratio)

    def times(self, factor: int) -> Step:
        """
        Return the step that is *factor* of this one, in lowest form.
        """
        mantissa, exponent = self.mantissa * factor, self.exponent
        while mantissa % 10 == 0:
            mantissa, exponent = mantissa // 10, exponent + 1
        return Step(mantissa, exponent)

    def decimal(self, scaled: int) -> Decimal:
        """
        Return the exact decimal value of the scaled integer *scaled*.
        """
        return Decimal(scaled * self.mantissa).scaleb(self.exponent)

    def text(self, scaled: int) -> str:
        """
        Return the exact value of *scaled* in plain decimal notation.
        """
        return f"{self.decimal(scaled):f}"

    def quantise(self, value: float) -> int:
        """
        Return the scaled integer nearest to *value*: round half to even on the binary64 quotient (SPEC 6.1).

        Raises:
            ValueError, OverflowError: on NaN and infinities, from :func:`round`.
        """
        if isinstance(value, int) and abs(value) >= BINARY64_INTEGER:
            raise OverflowError("integer beyond what binary64 holds exactly")
        divisor = self.divisor()
        return round(value * self.multiplier() if divisor == 1 else value * self.multiplier() / divisor)

    def multiplier(self) -> int:
        """
        Return the power of ten a value is multiplied with on the way to its scaled integer.
        """
        return int(10 ** max(0, -self.exponent))

    def divisor(self) -> int:
        """
        Return what a value is then divided by.
        """
        return int(self.mantissa * 10 ** max(0, self.exponent))


def coarsen(scaled: int, factor: int) -> int:
    """
    Return *scaled* in steps *factor* times as coarse, halves upward: ``floor((n + floor(k/2)) / k)`` (SPEC 6.1).
    """
    return (scaled + factor // 2) // factor
