"""
Figures as one page: tables of what was measured, and curves drawn as SVG over a logarithmic axis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_WIDE, _HIGH, _EDGE = 560, 280, 50
_COLOURS: Final = ("#4477aa", "#228833", "#aa3377", "#ccbb44")

Curve = Sequence[tuple[float, float]]


def page(title: str, about: str, figures: Mapping[str, Mapping[str, Curve]]) -> str:
    """
    Return a page with one figure for each caption, each with its named curves.
    """
    drawn = "".join(f"<figure>{_figure(curves)}<figcaption>{escape(caption)}</figcaption></figure>"
                    for caption, curves in figures.items())  # fmt: skip
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<body style='font:15px sans-serif'><h1>{escape(title)}</h1><p>{escape(about)}</p>{drawn}</body></html>"
    )


def _figure(curves: Mapping[str, Curve]) -> str:
    points = [point for curve in curves.values() for point in curve]
    left, right = math.log10(min(x for x, _ in points)), math.log10(max(x for x, _ in points))
    top = max(y for _, y in points) * 1.1

    def place(x: float, y: float) -> str:
        across = (math.log10(x) - left) / ((right - left) or 1)
        return f"{_EDGE + across * (_WIDE - 2 * _EDGE):.1f},{_HIGH - _EDGE - y / top * (_HIGH - 2 * _EDGE):.1f}"

    drawn = [f"<line x1={_EDGE} y1={_HIGH - _EDGE} x2={_WIDE - _EDGE} y2={_HIGH - _EDGE} stroke=#888 />"]
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        line = " ".join(place(x, y) for x, y in curve)
        drawn.append(f"<polyline points='{line}' fill=none stroke='{colour}' stroke-width=2 />")
        drawn.append(f"<text x={_EDGE} y={18 + 16 * number} fill='{colour}'>{escape(name)}</text>")
        for x, y in curve:
            at_x, at_y = place(x, y).split(",")
            drawn.append(f"<text x={at_x} y={at_y} font-size=11>{y:.1f}</text>")
            drawn.append(f"<text x={at_x} y={_HIGH - _EDGE + 16} font-size=11>{x:g}</text>")
    return f"<svg viewBox='0 0 {_WIDE} {_HIGH}' width={_WIDE}>{''.join(drawn)}</svg>"
