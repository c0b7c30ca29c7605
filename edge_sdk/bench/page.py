"""
The figures as one page that can be filed: tables, and plots drawn as SVG. No script, no font, nothing fetched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from edge_sdk.bench.stages import STAGES

_WIDE, _HIGH, _EDGE = 520, 260, 48
_COLOURS: Final = ("#4477aa", "#66ccee", "#228833", "#ccbb44")
_STYLE: Final = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ccc}"
    "td:first-child,th:first-child{text-align:left}"
    "svg{max-width:100%}figure{margin:1.5em 0}figcaption{color:#555}"
)


def page(found: dict[str, Any]) -> str:
    """
    Return the page for what ``edge-sdk bench --json`` prints.
    """
    costs: dict[str, dict[str, Any]] = found["costs"]
    by_rows = [(int(name.split()[1]), cost) for name, cost in costs.items() if name.startswith("rows ")]
    headings = ["run", *(f"{stage}, us" for stage in STAGES), "all, us", "wire, B"]
    carried = found["advice"]["carried"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>edge-sdk bench</title>",
        f"<style>{_STYLE}</style><h1>What this board carries</h1>",
        f"<p>{escape(found['at'])}. {escape(found['machine'])}. {found['readings']} readings of {found['fields']} "
        "fields a run.</p>",
        _table(headings, [_row(*one) for one in costs.items()]),
        _figure("Processor time of a reading, us, by readings in a batch", _stacked(by_rows)),
        _figure("Bytes on the wire of a reading, by readings in a batch", _line([(n, c["wire"]) for n, c in by_rows])),
        _table(
            ["a reading every, s", "inverters", "days offline of 20 inverters"],
            [[str(one["every_s"]), str(one["inverters"]), f"{one['offline_days']:.1f}"] for one in carried],
        ),
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in found["advice"]["why"]) + "</ul></html>",
    ]
    return "\n".join(parts)


def _row(name: str, cost: dict[str, Any]) -> list[str]:
    told = [f"{cost['cpu_us'][stage]:.1f}" for stage in STAGES]
    return [name, *told, f"{cost['all_us']:.1f}", f"{cost['wire']:.1f}"]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _figure(caption: str, drawn: str) -> str:
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"


def _stacked(by_rows: Sequence[tuple[int, dict[str, Any]]]) -> str:
    """
    Draw a bar for each batch size, its stages on top of each other.
    """
    most = max(cost["all_us"] for _, cost in by_rows)
    each = (_WIDE - 2 * _EDGE) / len(by_rows)
    drawn = [_scale(most)]
    for at, (rows, cost) in enumerate(by_rows):
        left, top = _EDGE + each * (at + 0.2), float(_HIGH - _EDGE)
        for colour, stage in zip(_COLOURS, STAGES, strict=True):
            tall = cost["cpu_us"][stage] / most * (_HIGH - 2 * _EDGE)
            top -= tall
            drawn.append(_box(left, top, each * 0.6, tall, colour))
        drawn.append(_word(left + each * 0.3, _HIGH - _EDGE + 18, str(rows)))
    for at, (colour, stage) in enumerate(zip(_COLOURS, STAGES, strict=True)):
        left = _EDGE + at * 100
        drawn.append(_box(left, _HIGH - 16, 12, 12, colour))
        drawn.append(_word(left + 46, _HIGH - 6, stage))
    return _svg(drawn)


def _line(points: Sequence[tuple[int, float]]) -> str:
    """
    Draw a value against a number on a logarithmic scale.
    """
    most = max(value for _, value in points)
    low, high = math.log(points[0][0]), math.log(points[-1][0])
    drawn, places = [_scale(most)], []
    for number, value in points:
        x = _EDGE + (math.log(number) - low) / ((high - low) or 1) * (_WIDE - 2 * _EDGE)
        y = _HIGH - _EDGE - value / most * (_HIGH - 2 * _EDGE)
        places.append(f"{x:.1f},{y:.1f}")
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_COLOURS[0]}"/>', _word(x, y - 8, f"{value:.1f}")]
        drawn.append(_word(x, _HIGH - _EDGE + 18, str(number)))
    drawn.append(f'<polyline points="{" ".join(places)}" fill="none" stroke="{_COLOURS[0]}"/>')
    return _svg(drawn)


def _scale(most: float) -> str:
    bottom = _HIGH - _EDGE
    axis = f'<path d="M{_EDGE} {_EDGE}V{bottom}H{_WIDE - _EDGE}" fill="none" stroke="#888"/>'
    return axis + _word(_EDGE - 20, _EDGE + 4, f"{most:.0f}") + _word(_EDGE - 20, bottom, "0")


def _box(x: float, y: float, wide: float, high: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{colour}"/>'


def _word(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="middle">{escape(text)}</text>'


def _svg(drawn: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDE} {_HIGH}" width="{_WIDE}" role="img">{"".join(drawn)}</svg>'
