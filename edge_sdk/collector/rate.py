"""
How long to wait where something may happen only so often in a span of time.

Pure: what happened and what time it is are arguments. Used for wrong claim codes and for wipe orders.
"""

from __future__ import annotations

from collections.abc import Sequence


def wait_s(at_s: Sequence[int], *, times: int, span_s: int, now_s: int) -> int:
    """
    Return the seconds until it may happen again, 0 when it may now.

    Args:
        at_s: Unix seconds at which it happened, in any order.
        times: how often it may happen within *span_s* seconds.
        span_s: the span, which slides.
        now_s: Unix seconds.
    """
    recent = sorted(at for at in at_s if at > now_s - span_s)
    if len(recent) < times:
        return 0
    # The slot that frees first is the one whose leaving brings the count under the limit.
    return max(1, recent[len(recent) - times] + span_s - now_s)
