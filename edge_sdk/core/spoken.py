"""
Fields, lengths of time, places and days in words, for people who do not program.

Owns: how one field of one view reads in a sentence, and the small vocabularies behind it.
Rules: pure and deterministic; a name that no table knows is shown as the policy writes it, its underscores as
spaces. What leaves is told as the view has it, in the units and steps that arrive at the recipient.
Does not: put sentences about purposes together (describe) or wrap lines (the command line).
Neighbours: policy, units below; describe above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from edge_sdk.core.policy import NUMERIC, Field, FieldType, TextRule, ViewField, Window
from edge_sdk.core.transforms import IPV6_PREFIX_FACTOR
from edge_sdk.core.units import DAY_MS, EPOCH_S, HOUR_MS, MINUTE_MS, SECOND_MS

MAX_LISTED: Final = 8  # labels or ranges told one by one; of more only the number is told

_WORDS: Final[Mapping[str, str]] = {
    "ac": "AC",
    "bms": "battery controller",
    "cpu": "CPU",
    "dc": "DC",
    "ecu": "ECU",
    "gps": "GPS",
    "id": "number",
    "imei": "modem (IMEI) number",
    "ip": "IP address",
    "lan": "home network",
    "mac": "hardware (MAC) address",
    "pv": "solar",
    "serial": "serial number",
    "soc": "state of charge",
    "soh": "state of health",
    "ssid": "Wi-Fi network name",
    "temp": "temperature",
    "wan": "internet",
    "wifi": "Wi-Fi",
}
_UNITS: Final[Mapping[str, str]] = {"degC": "°C", "degF": "°F", "deg": "°", "s": "seconds", "min": "minutes"}
_LENGTHS: Final = (
    (DAY_MS, "day"), (HOUR_MS, "hour"), (MINUTE_MS, "minute"), (SECOND_MS, "second"), (1, "millisecond")
)  # fmt: skip
_PLACES: Final[Mapping[str, str]] = {
    "AU": "Australia",
    "BR": "Brazil",
    "CA": "Canada",
    "CH": "Switzerland",
    "CN": "China",
    "EEA": "the European Economic Area",
    "EU": "the European Union",
    "GB": "the United Kingdom",
    "IN": "India",
    "JP": "Japan",
    "KR": "South Korea",
    "SG": "Singapore",
    "UK": "the United Kingdom",
    "US": "the United States",
}
_GATHERED: Final[Mapping[Window | None, str]] = {
    None: "the {}",
    Window.MEAN: "the average {}",
    Window.MIN: "the lowest {}",
    Window.MAX: "the highest {}",
    Window.SUM: "the sum of all values of the {}",
    Window.FIRST: "the first {}",
    Window.LAST: "the latest {}",
    Window.COUNT: "how many times the {} was read",
    Window.DELTA: "how much the {} rose",
}
_NEAR: Final = ("111 km", "11 km", "1.1 km", "110 m", "11 m", "1 m")  # a degree of latitude and its decimals


def name_words(name: str) -> str:
    """
    Return a field, kind or purpose *name* of a policy in words: ``lan_ip`` is the home network IP address.
    """
    words = " ".join(_WORDS.get(part, part) for part in name.split("_")).split(" ")
    return " ".join(word for word, after in pairwise([*words, ""]) if word != after)


def length_words(length_ms: int) -> str:
    """
    Return a length of time in the largest unit that fits it: ``5 minutes``, ``1 day``.
    """
    size, name = next(unit for unit in _LENGTHS if length_ms % unit[0] == 0)
    return counted(length_ms // size, name)


def every_words(length_ms: int) -> str:
    """
    Return how often something happens that happens each *length_ms*: ``every 5 minutes``, ``every day``.
    """
    return "every " + length_words(length_ms).removeprefix("1 ")


def counted(count: int, what: str) -> str:
    """
    Return *count* things: ``1 row``, ``2 rows``, ``2 batches``.
    """
    if count == 1:
        return f"1 {what}"
    return f"{count} {what}es" if what.endswith("ch") else f"{count} {what}s"


def day_words(at_s: int) -> str:
    """
    Return the UTC day of Unix seconds *at_s*, from 1970 on: ``2026-11-22``.
    """
    days = at_s // EPOCH_S + 719_468  # from 0000-03-01: years then end with their leap day
    era, day = divmod(days, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    return f"{400 * era + year + (month >= 10):04}-{(month + 2) % 12 + 1:02}-{day - (153 * month + 2) // 5 + 1:02}"


def place_words(regions: Sequence[str]) -> str:
    """
    Return codes of regions in words; a code that is in no table stays a code.
    """
    return listed([_PLACES.get(code, code) for code in regions], "or")


def listed(items: Sequence[str], word: str = "and") -> str:
    """
    Return *items* as a list in a sentence: ``a, b and c``.
    """
    return f" {word} ".join(filter(None, [", ".join(items[:-1]), items[-1]]))


def field_words(view_field: ViewField) -> str:
    """
    Return what leaves of one field, and how coarse: ``the average AC power, rounded to 1 W``.
    """
    field = view_field.field
    name = name_words(field.name) + (" state" if field.type is FieldType.BOOL else "")
    what = _GATHERED[view_field.window].format(name)
    if view_field.window is Window.COUNT:
        return what
    how = text_words(view_field) if view_field.is_text else _value_words(view_field)
    return f"{what}, {how}"


def text_words(view_field: ViewField) -> str:
    """
    Return what leaves of a field that holds text, such as an identifier.
    """
    amount = view_field.amount
    match view_field.text:
        case TextRule.MASK:
            return f"hidden but for its first {counted(amount, 'character')} and its length"
        case TextRule.TRUNCATE_TEXT:
            return f"cut off after {counted(amount, 'character')}"
        case TextRule.TRUNCATE_IP:
            longer = amount * IPV6_PREFIX_FACTOR
            return f"shortened to its first {amount} of 32 bits ({longer} of 128 for an IPv6 address)"
        case TextRule.COARSEN_LOCATION:
            return f"rounded to about {_NEAR[amount]}"
        case TextRule.PSEUDONYM:
            return f"replaced by a name made up on this device, which changes {every_words(amount)}"
        case _:
            return "in full"


def _value_words(view_field: ViewField) -> str:
    field = view_field.field
    if field.type in NUMERIC:
        return _number_words(view_field)
    if field.type is FieldType.BOOL:
        return "as yes or no"
    one, count = field.type is FieldType.ENUM, len(field.values)
    if count > MAX_LISTED:
        return f"as one of {count} named states" if one else f"told as which of {count} named conditions apply"
    labels = ", ".join(label.replace("_", " ") for label in field.values)
    return f"as one of: {labels}" if one else f"told as which of these apply: {labels}"


def _number_words(view_field: ViewField) -> str:
    field = view_field.field
    how = _band_words(view_field) if view_field.band else _step_words(view_field)
    if view_field.clip is None:
        return how
    low, high = (_plain(field, end) for end in view_field.clip)
    return f"{how}; what lies below {low} or above {_measure(high, field)} is told as that limit"


def _step_words(view_field: ViewField) -> str:
    field = view_field.field
    step = field.step.times(view_field.factor).text(1)
    if step == "1" and not field.unit:
        return "as a whole number"
    if field.unit == "s" and step.isdigit():
        return f"rounded to {length_words(int(step) * SECOND_MS)}"
    return f"rounded to {_measure(step, field)}"


def _band_words(view_field: ViewField) -> str:
    field = view_field.field
    edges = [_plain(field, edge) for edge in view_field.band]
    if len(edges) == 1:
        return f"only whether it is below {_measure(edges[0], field)} or not"
    if len(edges) >= MAX_LISTED:
        ends = f"from below {edges[0]} to {_measure(edges[-1], field)} or more"
        return f"only in which of {len(edges) + 1} ranges it lies, {ends}"
    ranges = [f"below {edges[0]}", *(f"{low} to {high}" for low, high in pairwise(edges))]
    return f"only in which range it lies: {', '.join(ranges)}, or {_measure(edges[-1], field)} and more"


def _plain(field: Field, scaled: int) -> str:
    return f"{field.step.decimal(scaled).normalize():f}"


def _measure(number: str, field: Field) -> str:
    return f"{number} {_UNITS.get(field.unit, field.unit)}".rstrip()
