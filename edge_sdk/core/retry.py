"""
How long to wait before trying an upload again.

Owns: ``delay_s`` (full jitter), ``retry_after_s`` (the other side's wish, within limits) and ``spread_s`` (what keeps
those who were all told the same from doing it in the same second).
Rules: pure: the shell supplies the random draw and the time, and does the sleeping; an answer nobody signed
may slow a device down, but not silence it.
Does not: count attempts or judge answers (receipt). Neighbours: uplink above.
"""

from __future__ import annotations

import re
from typing import Final

FIRST_S: Final = 2.0  # mean pause of 1 s: a dropped packet costs little
CEILING_S: Final = 900.0  # mean pause of 450 s: a dead collector costs about 192 tries a day
RETRY_AFTER_CEILING_S: Final = 3600.0  # the header is unsigned; an hour is the most a proxy may cost
SPREAD: Final = 0.25  # of a wished pause comes on top of it at random
_DOUBLINGS: Final = 32  # 2.0 * 2**32 is far beyond the ceiling and far from overflow
_HEADER_CHARS: Final = 64  # an HTTP-date has 29
_SECONDS: Final = re.compile(r"[0-9]{1,18}")


def delay_s(attempt: int, draw: float) -> float:
    """
    Return the pause before try number *attempt* (0 is the first retry).

    Args:
        draw: uniform in [0, 1).
    """
    return draw * min(CEILING_S, FIRST_S * 2.0 ** min(attempt, _DOUBLINGS))


def retry_after_s(header: str, now_s: int) -> float | None:
    """
    Return the pause a ``Retry-After`` header asks for, from 0 to the ceiling; None if it says nothing.

    Args:
        header: the raw text, in seconds or as HTTP-date.
        now_s: the wall clock that dates are held against.
    """
    if len(header) > _HEADER_CHARS:
        return None
    wish = header.strip()
    if _SECONDS.fullmatch(wish):
        return min(float(wish), RETRY_AFTER_CEILING_S)
    at_s = _http_date_s(wish)
    return None if at_s is None else min(max(0.0, float(at_s - now_s)), RETRY_AFTER_CEILING_S)


def spread_s(wish_s: float, least_s: float, draw: float) -> float:
    """
    Return the pause where the other side wished for *wish_s*: never shorter, and for each device another one.

    A date tells a whole fleet the same second; without this all of it would come in that second.

    Args:
        least_s: over how many seconds a fleet has to spread at least.
        draw: uniform in [0, 1).
    """
    return wish_s + draw * max(least_s, SPREAD * wish_s)


def _http_date_s(text: str) -> int | None:
    import email.utils  # a twentieth of a start, and few collectors answer with a date

    try:
        parts = email.utils.parsedate_tz(text)
        return None if parts is None else email.utils.mktime_tz(parts)
    except (ValueError, OverflowError, IndexError, TypeError):
        # The parser was written for mail, and says so in many ways.
        return None
