"""
The points of a shim message as runs: those of one source slot and one time together, their values in one go.

Firmware says the same fields in the same order time and again. What a run of it looks like becomes a pattern once it
came often enough, and from then on one match checks and cuts a whole reading: no call for a point. A pattern holds
every rule that the bytes have (shim_bytes); what none fits is read point by point, and is the only way to a refusal.
Rules: what is remembered of a connection is bounded, and costs its sender many messages to have made.
Does not: put readings together from runs (sources.shim) or know what fields mean (shim_ids).
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

from edge_sdk.core.shim_bytes import NATURAL, NATURAL16, WHOLE, Reader, Value, whole

# Field numbers, source slot, ms after the batch's t0, and a value for each field.
Run: TypeAlias = tuple[tuple[int, ...], int, int, Sequence[Value]]

LEARN_AFTER: Final = 32  # times a run must have come: a pattern costs a millisecond
MAX_SHAPES: Final = 32
_MAX_SEEN: Final = 128
_MAX_LAYOUTS: Final = 64
_EACH: Final = 4  # shapes that begin alike: where messages cut a reading, its parts are shapes too

_REAL: Final = rb"\xfb(?![\x7f\xff][\xf0-\xff]).{8}"  # finite
_POINT: Final = re.compile(
    rb"\x84([\x00-\x17]|\x18[\x18-\xff]|\x19[\x01-\x0f].)((%b)(%b))(?:(%b)|(%b))"
    % (NATURAL16, NATURAL16, _REAL, WHOLE),
    re.DOTALL,
).match
_DOUBLE: Final = struct.Struct(">xd").unpack
_NUMBER: Final = ("", "B", "xB", "xH", "", "xI")  # from 0 on, in so many bytes, its head passed over


class _Form(Enum):
    """
    How the value of a point is written: binary64, a number from 0 on, or another one or a truth.
    """

    REAL = _REAL
    NATURAL = b"(%b)" % NATURAL
    OTHER = b"(%b)" % WHOLE


_Look: TypeAlias = tuple[tuple[int, ...], tuple[_Form, ...]]  # the fields of a run, and how their values are written
_Layout: TypeAlias = Callable[[bytes, int], tuple[Any, ...]]


class _Shape:
    """
    A run as a pattern, with a group for each part that is not of one width: slot, time, and whole numbers.
    """

    def __init__(self, fields: Sequence[int], forms: Sequence[_Form]) -> None:
        points = list(zip(map(_head, fields), forms, strict=True))
        others = [at for at, form in enumerate(forms) if form is _Form.OTHER]
        self.fields = (*[f for at, f in enumerate(fields) if at not in others], *[fields[at] for at in others])
        self.size = len(fields)
        self.match = re.compile(
            b"".join(
                rb"\x84%b%b%b" % (re.escape(head), rb"\1\2" if at else b"(%b)(%b)" % (NATURAL16, NATURAL16), form.value)
                for at, (head, form) in enumerate(points)
            ),
            re.DOTALL,
        ).match
        cut = [form for form in forms if form is not _Form.REAL]
        self._points = points
        self._others = [at for at, form in enumerate(cut, 2) if form is _Form.OTHER]
        self._layouts: dict[tuple[int, ...], _Layout] = {}

    def run(self, data: bytes, at: int, found: re.Match[bytes]) -> Run:
        """
        Return the run that was matched at *at* of *data*.
        """
        parts = found.groups()
        widths = tuple(map(len, parts))
        layout = self._layouts.get(widths) or self._lay_out(widths)
        slot, offset_ms, *values = layout(data, at)
        if self._others:
            values += [whole(parts[other]) for other in self._others]
        return self.fields, slot, offset_ms, values

    def _lay_out(self, widths: tuple[int, ...]) -> _Layout:
        """
        Return what reads slot, time and all values but the others where the parts have these *widths*.
        """
        place, rest = sum(widths[:2]), iter(widths[2:])
        steps = [">"]
        for at, (head, form) in enumerate(self._points):
            steps.append(f"{1 + len(head) + (place if at else 0)}x")
            if not at:
                steps += [_NUMBER[width] for width in widths[:2]]
            match form:
                case _Form.REAL:
                    steps.append("xd")
                case _Form.NATURAL:
                    steps.append(_NUMBER[next(rest)])
                case _:
                    steps.append(f"{next(rest)}x")
        if len(self._layouts) >= _MAX_LAYOUTS:
            self._layouts.clear()
        layout = self._layouts[widths] = struct.Struct("".join(steps)).unpack_from
        return layout


class Shapes:
    """
    What one connection's runs look like, as far as they were learned.
    """

    def __init__(self) -> None:
        self._known: dict[_Look, _Shape] = {}
        self._seen: Counter[_Look] = Counter()
        # By the two bytes behind the head of their first point: under a thousand that a usual form begins with.
        self._expected: dict[bytes, tuple[_Shape, ...]] = {}

    def read(self, reader: Reader, count: int) -> list[Run]:
        """
        Return the next *count* points as runs; a field may come in another order within its run than it was sent.

        Raises:
            Malformed, IndexError, struct.error: as the reader does.
        """
        data, expected = reader.data, self._expected
        runs: list[Run] = []
        while count > 0:
            at = reader.at
            for shape in expected.get(data[at + 1 : at + 3], ()):
                if shape.size <= count and (found := shape.match(data, at)) is not None:
                    runs.append(shape.run(data, at, found))
                    reader.at = found.end()
                    break
            else:
                runs.append(self._read_each(reader, count))
            count -= len(runs[-1][0])
        return runs

    def _read_each(self, reader: Reader, most: int) -> Run:
        """
        Return a run of at most *most* points, read one by one.
        """
        data, start = reader.data, reader.at
        found = _POINT(data, start)
        if found is None:
            field, slot, offset_ms, value = reader.point()
            return (field,), slot, offset_ms, (value,)
        place, slot, offset_ms = found[2], whole(found[3]), whole(found[4])
        fields: list[int] = []
        values: list[Value] = []
        while found is not None and found[2] == place and len(fields) < most:
            fields.append(whole(found[1]))
            values.append(_DOUBLE(found[5])[0] if found[5] is not None else whole(found[6]))
            reader.at = found.end()
            found = _POINT(data, reader.at)
        if len(set(fields)) == len(fields) > 1:
            self._learn(data[start + 1 : start + 3], (tuple(fields), tuple(map(_form, values))))
        return tuple(fields), slot, offset_ms, values

    def _learn(self, begin: bytes, look: _Look) -> None:
        shape = self._known.get(look)
        if shape is None:
            self._seen[look] += 1
            if self._seen[look] < LEARN_AFTER:
                if len(self._seen) > _MAX_SEEN:
                    self._seen.clear()
                return
            del self._seen[look]
            if len(self._known) >= MAX_SHAPES:  # what comes now counts more than what once came
                self._known.clear()
                self._expected.clear()
            shape = self._known[look] = _Shape(*look)
        others = [other for other in self._expected.get(begin, ()) if other is not shape]
        # Longest first: a shorter one may be how the longer one begins.
        self._expected[begin] = tuple(sorted((shape, *others[: _EACH - 1]), key=lambda one: -one.size))


def _head(number: int) -> bytes:
    if number < 24:
        return bytes([number])
    return b"\x18" + number.to_bytes(1) if number < 1 << 8 else b"\x19" + number.to_bytes(2)


def _form(value: Value) -> _Form:
    if type(value) is float:
        return _Form.REAL
    return _Form.NATURAL if type(value) is int and value >= 0 else _Form.OTHER
