"""
What becomes of readings, a second time: as plainly as it can be written, and as slowly.

Shares nothing with ``compile``, ``windows``, ``transforms`` and ``pseudonym``. Values are checked with
``reading.check``, which is itself the plain definition of a valid value.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

from edge_sdk.core.policy import Kind, TextRule, View, ViewField, Window
from edge_sdk.core.reading import check

Key = bytes
HALF = Fraction(1, 2)


def leaves_as_text(view_field: ViewField, text: str, key: Key) -> str | bytes:
    amount = view_field.amount
    match view_field.text:
        case TextRule.MASK:
            return "".join(letter if at < amount else "*" for at, letter in enumerate(text))
        case TextRule.TRUNCATE_TEXT:
            return "".join(letter for at, letter in enumerate(text) if at < amount)
        case TextRule.TRUNCATE_IP:
            address = ipaddress.ip_address(text)
            bits = amount if address.version == 4 else 2 * amount
            below = 2 ** (address.max_prefixlen - bits)
            return f"{type(address)(int(address) - int(address) % below)}/{bits}"
        case TextRule.COARSEN_LOCATION:
            parts = [
                Decimal(float(part)).quantize(Decimal(1).scaleb(-amount), ROUND_HALF_EVEN) for part in text.split(",")
            ]
            return ",".join(f"{abs(part) if part == 0 else part:f}" for part in parts)
        case TextRule.PSEUDONYM:
            message = view_field.field.name.encode() + b"\x00" + text.encode()
            return hmac.digest(key, message, hashlib.sha256)[:16]
        case _:
            assert view_field.text is TextRule.KEEP
            return text


def leaves_as_number(view_field: ViewField, value: Fraction) -> int:
    if view_field.band:
        return sum(edge <= floor(value + HALF) for edge in view_field.band)
    return floor(value / view_field.factor + HALF)


def clipped(view_field: ViewField, value: int) -> int:
    low, high = view_field.clip or (value, value)
    return max(low, min(high, value))


@dataclass
class Heard:
    """One reading in a window: when it was, and its valid values by field."""

    at_ms: int
    values: Mapping[str, Any]


@dataclass
class SlowWindow:
    opened_ms: int | None
    partial: bool
    source: str
    heard: list[Heard] = field(default_factory=list)


@dataclass
class SlowSource:
    windows: dict[int, SlowWindow] = field(default_factory=dict)
    closed_until: int = 0
    last_counted: dict[str, int] = field(default_factory=dict)


class SlowView:
    """One view: rows of readings, windows where it has them."""

    def __init__(self, view: View, key: Key, offset_ms: int = 0) -> None:
        self.view, self.key, self.offset_ms = view, key, offset_ms
        self.rows: list[tuple[Any, ...]] = []
        self.sources: dict[str, SlowSource] = {}
        self.since: int | None = None
        self.mono_ms = 1
        self.late = 0

    def take(self, source: str, values: Mapping[str, Any], at_ms: int) -> bool:
        every = self.view.every_ms
        if every is None:
            self.rows.append((at_ms, *(self._leaves(item, values[item.field.name]) for item in self.view.fields)))
            return True
        self.since = at_ms if self.since is None else self.since
        of_source = self.sources.setdefault(source, SlowSource())
        start = floor(Fraction(at_ms - self.offset_ms, every)) * every + self.offset_ms
        newest = max(of_source.windows, default=start)
        if start < of_source.closed_until or start < newest - every:
            self.late += 1
            return False
        if start not in of_source.windows:
            for older in sorted(of_source.windows):
                if older <= start - 2 * every:
                    self._close(of_source, older)
            of_source.windows[start] = SlowWindow(None, start < self.since, source)
        of_source.windows[start].heard.append(Heard(at_ms, values))
        return True

    def idle(self, mono_ms: int) -> None:
        self.mono_ms = mono_ms
        assert self.view.every_ms is not None
        for of_source in self.sources.values():
            waited = []
            for at, window in of_source.windows.items():
                if window.opened_ms is None:  # since the last look, so at the earliest now
                    window.opened_ms = mono_ms
                if window.opened_ms + 2 * self.view.every_ms <= mono_ms:
                    waited.append(at)
            for start in sorted(of_source.windows):
                if waited and start <= max(waited):
                    self._close(of_source, start)

    def restart(self, mono_ms: int) -> None:
        self.since, self.mono_ms = None, mono_ms
        for of_source in self.sources.values():
            for window in of_source.windows.values():
                window.partial, window.opened_ms = True, mono_ms

    def cut(self) -> None:
        for of_source in self.sources.values():
            for start in sorted(of_source.windows):
                of_source.windows[start].partial = True
                self._close(of_source, start)
        self.sources, self.since = {}, None

    def _leaves(self, item: ViewField, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, str):
            return leaves_as_text(item, value, self.key)
        return leaves_as_number(item, Fraction(clipped(item, value)))

    def _close(self, of_source: SlowSource, start: int) -> None:
        window = of_source.windows.pop(start)
        of_source.closed_until = start + (self.view.every_ms or 0)
        values = [self._gathered(item, window, of_source) for item in self.view.fields]
        count = len(window.heard)
        self.rows.append((start, -count if window.partial else count, *values))

    def _gathered(self, item: ViewField, window: SlowWindow, of_source: SlowSource) -> Any:
        name = item.field.name
        if item.window is None:
            return leaves_as_text(item, window.source, self.key)
        found = [(heard.at_ms, heard.values[name]) for heard in window.heard if heard.values[name] is not None]
        if item.window is Window.COUNT:
            return len(found)
        if not found:
            return None
        if item.window is Window.DELTA:
            return self._risen(item, found, of_source)
        if item.window is Window.FIRST:
            return self._leaves(item, min(found, key=lambda pair: pair[0])[1])
        if item.window is Window.LAST:
            return self._leaves(item, max(reversed(found), key=lambda pair: pair[0])[1])
        numbers = [clipped(item, value) for _, value in found]
        gathered = {
            Window.SUM: Fraction(sum(numbers)),
            Window.MIN: Fraction(min(numbers)),
            Window.MAX: Fraction(max(numbers)),
            Window.MEAN: Fraction(sum(numbers), len(numbers)),
        }
        return leaves_as_number(item, gathered[item.window])

    def _risen(self, item: ViewField, found: list[tuple[int, int]], of_source: SlowSource) -> int:
        """A value that is heard between two others in time says nothing of a counter that they do not."""
        chain = [found[0]]
        for at_ms, value in found[1:]:
            if at_ms >= chain[-1][0]:
                chain.append((at_ms, value))
            elif at_ms < chain[0][0]:
                chain.insert(0, (at_ms, value))
        shown = [value for _, value in chain]
        if item.field.name in of_source.last_counted:
            shown.insert(0, of_source.last_counted[item.field.name])
        of_source.last_counted[item.field.name] = shown[-1]
        risen = 0
        for before, after in pairwise(shown):
            if after >= before:
                risen += after - before
            elif item.field.modulus and 2 * (before - after) > item.field.modulus:
                risen += after - before + item.field.modulus
            else:
                risen += after
        return leaves_as_number(item, Fraction(risen))


@dataclass
class Dropped:
    unknown_fields: int = 0
    invalid_values: int = 0
    invalid_readings: int = 0
    too_many_sources: int = 0


class SlowKind:
    """One kind and the views that may have it."""

    def __init__(self, kind: Kind, views: list[View], keys: list[Key]) -> None:
        self.kind = kind
        self.views = [SlowView(view, key) for view, key in zip(views, keys, strict=True)]
        self.dropped = Dropped()
        self.sources: set[str] = set()

    def take(self, fields: Mapping[str, Any], at_ms: int) -> int:
        values: dict[str, Any] = {}
        for declared in self.kind.fields:
            given = fields.get(declared.name)
            values[declared.name] = None if given is None else check(declared, given)
            if given is not None and values[declared.name] is None:
                self.dropped.invalid_values += 1
                if self.kind.on_invalid == "reading":
                    self.dropped.invalid_readings += 1
                    return 0
        self.dropped.unknown_fields += sum(name not in values for name in fields)
        source = values[self.kind.source]
        if source is None:
            self.dropped.invalid_readings += 1
            return 0
        if source not in self.sources and len(self.sources) == self.kind.max_sources:
            self.dropped.too_many_sources += 1
            return 0
        self.sources.add(source)
        return sum(view.take(source, values, at_ms) for view in self.views)
