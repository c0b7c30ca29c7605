"""
What happens to one value on its way into a view.

Numbers: clip, then band or coarsen. Text: keep, mask, truncate, coarsen a location; pseudonyms need a key and live
in ``pseudonym``. Each function takes a canonical value (see ``reading``) and cannot fail on one.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Callable

from edge_sdk.core.policy import TextRule, ViewField
from edge_sdk.core.reading import place_text
from edge_sdk.core.units import coarsen

IPV6_PREFIX_FACTOR = 2  # 24 bits of an IPv4 address say about as much as 48 of an IPv6 one


def shape_number(view_field: ViewField, scaled: int) -> int:
    """
    Return what leaves for the scaled integer *scaled*: the position of its band, or coarser steps.
    """
    if view_field.band:
        return bisect_right(view_field.band, scaled)
    return coarsen(scaled, view_field.factor) if view_field.factor != 1 else scaled


def shape_mean(view_field: ViewField, total: int, count: int) -> int:
    """
    Return the mean ``total / count``, rounded once, halves upward, to what leaves.
    """
    if view_field.band:
        return bisect_right(view_field.band, (2 * total + count) // (2 * count))
    divisor = count * view_field.factor
    return (2 * total + divisor) // (2 * divisor)


def clip(view_field: ViewField, scaled: int) -> int:
    """
    Return *scaled* inside the clip bounds of the view.
    """
    if view_field.clip is None:
        return scaled
    low, high = view_field.clip
    return low if scaled < low else high if scaled > high else scaled


def text_rule(view_field: ViewField) -> Callable[[str], str]:
    """
    Return the function that turns a canonical text into what leaves.

    Raises:
        ValueError: for a pseudonym, which needs a key.
    """
    amount = view_field.amount
    match view_field.text:
        case TextRule.KEEP:
            return str
        case TextRule.MASK:
            return lambda text: text[:amount] + "*" * (len(text) - amount)
        case TextRule.TRUNCATE_TEXT:
            return lambda text: text[:amount]
        case TextRule.TRUNCATE_IP:
            return lambda text: _truncate_ip(text, amount)
        case TextRule.COARSEN_LOCATION:
            return lambda text: _coarsen_location(text, amount)
        case _:
            raise ValueError("a pseudonym is made by edge_sdk.core.pseudonym")


def _truncate_ip(text: str, bits: int) -> str:
    address = ipaddress.ip_address(text)
    prefix = bits if address.version == 4 else bits * IPV6_PREFIX_FACTOR
    return str(ipaddress.ip_network((address.packed, prefix), strict=False))


def _coarsen_location(text: str, decimals: int) -> str:
    return place_text([float(part) for part in text.split(",")], decimals)
