"""
Instants and time limits as people read them, in UTC.
"""

from __future__ import annotations

import datetime
from typing import Final

_HOUR_S: Final = 3600


def said(at_s: int | None) -> str:
    """
    Return an instant as people read it, in UTC; a dash for none.
    """
    return "-" if at_s is None else f"{datetime.datetime.fromtimestamp(at_s, datetime.UTC):%Y-%m-%d %H:%M:%SZ}"


def left_words(by_s: int | None, now_s: int) -> str:
    """
    Return how long there is until *by_s*, in whole hours, rounded so that nobody is late by it.
    """
    if by_s is None:
        return "the policy names no time limit"
    hours = (by_s - now_s) // _HOUR_S
    left = f"{hours} hours left" if hours >= 0 else f"OVERDUE by {-hours} hours"
    return f"to be told by {said(by_s)}, {left}"
