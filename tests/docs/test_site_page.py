"""
docs/site.md is right: it has every table and key of site.toml, and what holds where one is left out.
"""

from __future__ import annotations

import re
import tomllib

import pytest

from edge_sdk.config import _TABLES
from tests.docs.prose import TOP

PAGE = (TOP / "docs" / "site.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (`[^|]+`|required) \|", re.MULTILINE)


def rows(table: str) -> dict[str, str]:
    """Return the keys of a table of the page with what it says of leaving them out."""
    section = PAGE.partition(f"\n## `[{table}]`\n")[2].partition("\n## ")[0]
    return dict(ROW.findall(section))


def test_every_table_has_a_section_and_no_other() -> None:
    assert re.findall(r"^## `\[(\w+)\]`$", PAGE, re.MULTILINE) == list(_TABLES)


@pytest.mark.parametrize("table", _TABLES)
def test_every_key_is_listed_and_no_other(table: str) -> None:
    assert list(rows(table)) == list(_TABLES[table].keys)


@pytest.mark.parametrize(("table", "key"), [(table, key) for table in _TABLES for key in _TABLES[table].keys])
def test_what_is_said_to_hold_where_a_key_is_left_out_does(table: str, key: str) -> None:
    said, entry = rows(table)[key], _TABLES[table].keys[key]
    if entry.must:
        assert said == "required"
    else:
        assert entry.check(tomllib.loads(f"it = {said.strip('`')}")["it"]) == entry.default
