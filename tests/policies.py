"""
Policies and readings for Hypothesis: every field type, every rule, and values of every kind of wrongness.

Policies are written as TOML and read by the real loader, so that what is tested is what can be declared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from hypothesis import strategies as st

from edge_sdk.core.policy import NUMERIC, Field, FieldType, Kind, Policy
from edge_sdk.policy_file import load_policy
from tests.minimising import NOON_MS

RESOLUTIONS: Final = tuple(map(Decimal, ("1", "0.1", "0.3", "0.25", "100", "0.000001", "7")))
PERIODS: Final = ("1h", "1d")
EVERY: Final = ("1s", "10s", "1min", "1h")
NUMERIC_WINDOWS: Final = ("mean", "min", "max", "sum", "first", "last", "count")
LABELS: Final = ("off", "on", "fault")


class Raw(str):
    """Text that goes into the file without quotes."""

    __slots__ = ()


@dataclass
class Written:
    """One field as it is being written: its line, and what a view needs to know of it."""

    name: str
    type: str
    line: dict[str, Any]
    resolution: Decimal = Decimal(1)
    low: int = 0
    high: int = 0
    length: int = 0


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, int) else f'"{value}"'


@st.composite
def number_fields(draw: st.DrawFn, name: str, kind: str) -> Written:
    step = Decimal(1) if kind == "integer" else draw(st.sampled_from(RESOLUTIONS))
    low = 0 if kind == "counter" else draw(st.integers(-500, 500))
    high = low + draw(st.integers(1, 2000))
    line: dict[str, Any] = {"class": "telemetry", "type": kind}
    if kind != "integer":
        line["resolution"] = step
    if kind != "counter":
        line["min"] = low * step
    if kind == "counter" and draw(st.booleans()):
        line["wraps_at"] = (high + 1) * step
    elif draw(st.booleans()):
        line["max"] = high * step
    else:
        high = 10**6  # as far as clips and bands of this test go; the bound itself is the widest possible
    return Written(name, kind, line, step, low, high)


@st.composite
def other_fields(draw: st.DrawFn, name: str, kind: str) -> Written:
    line: dict[str, Any] = {"class": "text", "type": kind}
    length = 17 if kind == "mac" else 0
    if kind == "text":
        length = line["max_length"] = draw(st.integers(2, 12))
    if kind in ("enum", "flags"):
        line["values"] = LABELS[: draw(st.integers(1, 3))]
    return Written(name, kind, line, length=length)


def any_field(name: str) -> st.SearchStrategy[Written]:
    numbers = [number_fields(name, kind) for kind in ("number", "integer", "counter")]
    others = [other_fields(name, kind) for kind in ("text", "enum", "flags", "bool", "ip", "mac", "location")]
    return st.one_of(*numbers, *others)


@st.composite
def number_rules(draw: st.DrawFn, field: Written, every: str | None) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    if every is not None:
        windows = [*NUMERIC_WINDOWS, "delta"] if field.low >= 0 else NUMERIC_WINDOWS
        rules["window"] = draw(st.sampled_from(windows))
        if rules["window"] == "count":
            return rules
    edges = st.integers(field.low, field.high)
    if rules.get("window") != "delta" and draw(st.booleans()):
        low = draw(st.integers(field.low, field.high - 1))
        rules["clip"] = [low * field.resolution, draw(st.integers(low + 1, field.high)) * field.resolution]
    if draw(st.booleans()):
        rules["round"] = draw(st.sampled_from([1, 2, 5, 10, 12])) * field.resolution
    elif draw(st.booleans()):
        rules["band"] = [edge * field.resolution for edge in sorted(draw(st.sets(edges, min_size=1, max_size=4)))]
    return rules


@st.composite
def text_rules(draw: st.DrawFn, field: Written, period: str) -> dict[str, Any]:
    ways: list[dict[str, Any]] = [{}]
    if field.type in ("text", "mac"):
        ways.append({"mask": draw(st.integers(0, field.length - 1))})
        ways.append({"truncate_text": draw(st.integers(1, field.length - 1))})
    if field.type == "ip":
        ways.append({"truncate_ip": draw(st.integers(0, 31))})
    if field.type == "location":
        ways.append({"coarsen_location": draw(st.integers(0, 4))})
    elif field.type in ("text", "mac", "ip"):
        ways.append({"pseudonym": period})
    return draw(st.sampled_from(ways))


@st.composite
def view_lines(draw: st.DrawFn, fields: list[Written]) -> tuple[str | None, dict[str, Any]]:
    """Return how often a purpose has the kind, and what it may have of it."""
    every = draw(st.none() | st.sampled_from(EVERY))
    period = draw(st.sampled_from(PERIODS))
    lines: dict[str, Any] = {}
    for at, field in enumerate(fields):
        if not draw(st.sampled_from([True, True, False])):
            continue
        if field.type in NUMERIC:
            lines[field.name] = draw(number_rules(field, every))
            continue
        window = {} if every is None or at == 0 else {"window": draw(st.sampled_from(["first", "last", "count"]))}
        lines[field.name] = window if window.get("window") == "count" else window | draw(text_rules(field, period))
    if not lines:
        lines["serial"] = {}
    return every, {name: rules or "keep" for name, rules in lines.items()}


PURPOSE: Final = """
[purposes.{name}]
basis = "consent"
dpv = "dpv:ServiceOptimisation"
recipient = "operator-eu"
regions = ["EU"]
keep_at_most = "30d"

[purposes.{name}.views.inverter]
{every}
[purposes.{name}.views.inverter.fields]
"""


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Return a policy of one kind and one to three purposes."""
    source = draw(other_fields("serial", draw(st.sampled_from(["text", "mac", "ip"]))))
    rest = [draw(any_field(f"field_{at}")) for at in range(draw(st.integers(1, 5)))]
    on_invalid = draw(st.sampled_from(["field", "field", "reading"]))
    lines = ['[policy]\nname = "made"\nversion = "1"\n\n[kinds.inverter]\nsource = "serial"']
    lines += [f'max_sources = {draw(st.integers(1, 4))}\non_invalid = "{on_invalid}"\n\n[kinds.inverter.fields]']
    fields = [source, *rest]
    lines += [f"{field.name} = {toml(field.line)}" for field in fields]
    for at in range(draw(st.integers(1, 3))):
        every, shown = draw(view_lines(fields))
        lines.append(PURPOSE.format(name=f"purpose_{at}", every=f'every = "{every}"' if every else ""))
        lines += [f"{name} = {toml(rules)}" for name, rules in shown.items()]
    return load_policy("\n".join(lines) + "\n", where="made.toml")


# --- readings


class OddFloat(float):
    """A float whose arithmetic gives other things, as numpy's does."""

    def __mul__(self, other: Any) -> Any:
        return "odd"

    def __round__(self, ndigits: Any = None) -> Any:
        return "odd"


class OddInt(int):
    def __mul__(self, other: Any) -> Any:
        return "odd"


class OddText(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "odd"


JUNK: Final = st.one_of(
    st.sampled_from([None, True, False, 0, -0.0, math.nan, math.inf, -math.inf, 1 << 53, 10**400, 1e308, Decimal(5)]),
    st.floats(),
    st.integers(-(1 << 70), 1 << 70),
    st.text(max_size=14),
    st.text(st.characters(categories=["Cs", "Lu"]), max_size=4),
    st.sampled_from(
        ["x" * 5000, b"\xff\xfe", bytearray(b"a"), OddText("abc"), OddInt(3), OddFloat(2.5), OddFloat("nan")]
    ),
    st.binary(max_size=14),
    st.lists(st.floats() | st.integers(), max_size=3),
    st.just({"a": 1}),
    st.builds(object),
)

IPS: Final = st.one_of(
    st.ip_addresses().map(str), st.sampled_from(["192.168.7.20", "fe80::1%eth0", "fe80::1%\ud800", "::ffff:1.2.3.4"])
)
MACS: Final = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex("-").upper()) | st.just("00:11:22:aa:bb:cc")
DEGREES: Final = st.floats(-90, 90) | st.sampled_from([-0.0, -0.000001, 89.999999, 90, -90, 0.00005, 45.25])


def numbers_near(field: Field) -> st.SearchStrategy[float]:
    """Return numbers in range and about the bounds, as whole steps, half steps and their neighbours in binary64."""
    step = field.step.decimal(1)
    edges = [edge + off for edge in (field.low, field.high) for off in (-1, 0, 1)]
    scaled = st.sampled_from(edges) | st.integers(field.low, field.high) | st.integers(field.low, field.low + 2000)
    halves = st.sampled_from([Decimal(0), Decimal("0.5"), Decimal("0.49"), Decimal("-0.5")])
    exact = st.builds(lambda whole, part: float((whole + part) * step), scaled, halves)
    turns = st.sampled_from(
        [lambda x: x, lambda x: math.nextafter(x, math.inf), lambda x: math.nextafter(x, -math.inf)]
    )
    floats = st.builds(lambda value, turn: float(turn(value)), exact, turns)
    return floats | exact.map(int) | floats.map(OddFloat) | exact.map(int).map(OddInt)


@lru_cache(maxsize=64)
def values_of(field: Field) -> st.SearchStrategy[Any]:
    """Return valid values and nearly valid ones of *field*."""
    if field.type in NUMERIC:
        return numbers_near(field)
    texts = st.text(max_size=field.max_length + 1) | st.sampled_from(["A", "B", "C"]) | st.just(OddText("A"))
    return {
        FieldType.TEXT: texts | texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
        FieldType.ENUM: st.sampled_from([*LABELS, "other"]),
        FieldType.FLAGS: st.integers(-1, 8),
        FieldType.BOOL: st.booleans(),
        FieldType.IP: IPS,
        FieldType.MAC: MACS,
        FieldType.LOCATION: st.tuples(DEGREES, DEGREES.map(lambda degrees: 2 * degrees)),
    }[field.type]


FEW: Final[Mapping[FieldType, tuple[str, ...]]] = {
    FieldType.TEXT: ("A", "B"),
    FieldType.MAC: ("00:11:22:aa:bb:cc", "00-11-22-AA-BB-CD"),
    FieldType.IP: ("192.168.7.20", "fe80::7"),
}


WILD: Final = st.integers(0, 9)
UNKNOWN: Final = st.sampled_from(["ssid", "Serial", "", "owner_name"])
TIMES: Final = st.sampled_from([0, 400, 1000, 2500, 9_999, 60_000, 200_000]) | st.integers(-5000, 90_000)


@st.composite
def readings(draw: st.DrawFn, kind: Kind) -> tuple[dict[str, Any], int]:
    """Return the fields of one reading, and its time."""
    fields: dict[str, Any] = {}
    for field in kind.fields:
        wild = draw(WILD)
        if field.name == kind.source:
            few = st.sampled_from(FEW[field.type])
            fields[field.name] = draw(few if wild < 8 else values_of(field) if wild < 9 else JUNK)
        elif wild:  # one in ten is absent
            fields[field.name] = draw(values_of(field) if wild < 8 else JUNK)
    if draw(WILD) == 0:
        fields[draw(UNKNOWN)] = "CANARY"
    return fields, NOON_MS + draw(TIMES)
