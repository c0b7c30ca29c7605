"""
What the tests meet is the package that they are of, whole.
"""

from __future__ import annotations

import os
from pathlib import Path

import edge_sdk

SOURCES = Path(__file__).resolve().parents[2] / "edge_sdk"


def test_the_package_under_test_is_the_one_meant() -> None:
    here = Path(edge_sdk.__file__ or "").resolve()
    if os.environ.get("EDGE_TEST_WHEEL") == "1":
        assert "site-packages" in here.parts, "make test has to test the built wheel"
    else:
        assert here.parent == SOURCES, "another edge_sdk is in the way"


def test_the_wheel_holds_every_module_of_the_tree() -> None:
    here = Path(edge_sdk.__file__ or "").parent
    tree = {
        path.relative_to(SOURCES) for path in SOURCES.rglob("*") if path.suffix in {".py", ".toml", ".typed"}
    }
    shipped = {
        path.relative_to(here) for path in here.rglob("*") if path.suffix in {".py", ".toml", ".typed"}
    }
    assert shipped == tree
