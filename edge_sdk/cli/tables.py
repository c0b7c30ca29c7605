"""
Tables on standard output: drawn on a terminal, aligned lines elsewhere.

Cells are shown as they are but for characters that a terminal would act on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """
    Print *rows* under *headings*; nothing when there are none.
    """
    if not rows:
        return
    cells = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(title, headings, cells)
        return
    widths = [max(len(row[at]) for row in [list(headings), *cells]) for at in range(len(headings))]
    print(title)
    for row in [list(headings), *cells]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """
    Return *text* with everything a terminal would act on written out.
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _draw(title: str, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", pad_edge=False)
    for heading in headings:
        table.add_column(Text(heading), overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # Text, so that brackets are not taken for markup
    Console().print(table)
