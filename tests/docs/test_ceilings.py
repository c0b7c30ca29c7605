"""
The table of ceilings in DESIGN.md: its numbers are those of the code, and its counters are counted somewhere.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Final

import pytest

import edge_sdk
from edge_sdk.config import Config
from tests import site as sites
from tests.docs.prose import TOP

_ROW: Final = re.compile(r"^\| (?P<what>[^|]+) \| (?P<most>[^|]+) \| (?P<by>[^|]+) \| (?P<told>[^|]+) \| `tests/")
ROWS: Final = [
    found for line in (TOP / "DESIGN.md").read_text("utf-8").splitlines() if (found := _ROW.match(line)) is not None
]
SOURCES: Final = "\n".join(path.read_text("utf-8") for path in Path(edge_sdk.__file__).parent.rglob("*.py"))


def names(row: re.Match[str], column: str) -> list[str]:
    return re.findall(r"`([^`]+)`", row[column])


def test_the_table_is_there() -> None:
    assert len(ROWS) >= 20


@pytest.mark.parametrize("row", [row for row in ROWS if "." in row["by"]], ids=lambda row: row["what"])
def test_a_ceiling_is_the_number_in_the_code(row: re.Match[str]) -> None:
    module, constant = names(row, "by")[0].rsplit(".", 1)
    value = getattr(importlib.import_module(f"edge_sdk.{module}"), constant)
    told = re.search(r"\d[\d,]*", row["most"])
    if isinstance(value, int):
        assert told is not None
        assert int(told[0].replace(",", "")) == value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["what"])
def test_what_counts_is_counted(row: re.Match[str]) -> None:
    for counter in names(row, "told"):
        words = (f'"{counter}"', f"{counter}: int", f"{counter} = ")
        by_reason = counter.removesuffix("_rows").upper()
        assert any(word in SOURCES for word in words) or f"{by_reason} = " in SOURCES, counter


def test_what_a_site_may_set_is_as_told(tmp_path: Path) -> None:
    limits = Config.read(sites.local_site(tmp_path).toml).limits
    told = {names(row, "by")[0]: row["most"] for row in ROWS}
    assert f"{limits.memory_rows:,}" == told["memory_rows"]
    assert told["quota"] == f"{limits.quota_bytes // 10**6} MB"
