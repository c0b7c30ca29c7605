"""
What sizes and times of uploads tell: the short form of ``python -m benchmarks.side_channels``, and its measures.
"""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from edge_sdk.core.units import HOUR_MS

ROOT: Final = Path(__file__).resolve().parents[2]
DAYS: Final = 3


def benchmark() -> ModuleType:
    """Import the benchmark from this tree, and the package from wherever the tests have it."""
    if "benchmarks" not in sys.modules:
        folder = ROOT / "benchmarks"
        spec = importlib.util.spec_from_file_location(
            "benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules["benchmarks"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["benchmarks"])
    return importlib.import_module("benchmarks.side_channels")


SIDE: Final = benchmark()


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("side") / "site"
    watched: list[Any] = SIDE.watch(folder, DAYS, by_rows=False, at_night=False, seed=7)
    return watched


def test_the_fixed_cadence_sends_as_much_by_night_as_by_day(uploads: list[Any]) -> None:
    pauses = [later.at_ms - upload.at_ms for upload, later in pairwise(uploads)]
    assert max(pauses) < 2 * HOUR_MS  # one an hour; the phase of a new day may lengthen one
    assert 24 * DAYS - DAYS <= len(uploads) <= 24 * DAYS + DAYS
    assert {upload.produced_wh > 0 for upload in uploads} == {True, False}


def test_padding_leaves_fewer_sizes_than_there_were(uploads: list[Any]) -> None:
    assert len({upload.size for upload in uploads}) * 2 < len({upload.bare for upload in uploads})


def test_padding_costs_no_more_than_padme_says(uploads: list[Any]) -> None:
    assert all(upload.bare < upload.size <= upload.bare * 1.12 for upload in uploads)


def test_a_night_is_still_told_from_a_day_by_its_size(uploads: list[Any]) -> None:
    """Said in DESIGN.md: who wants this to fail has to change that as well."""
    assert SIDE.told_apart([upload.size for upload in uploads], [upload.produced_wh > 0 for upload in uploads]) > 0.9


@pytest.mark.parametrize(("sizes", "expected"), [([5, 5, 5], 0.0), ([1, 2], 1.0), ([1, 2, 3, 4], 2.0)])
def test_bits_are_those_of_a_choice(sizes: list[int], expected: float) -> None:
    assert SIDE.bits(sizes) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("sizes", "expected"), [([1, 1, 9, 9], 1.0), ([5, 5, 5, 5], 0.5), ([1, 9, 9, 9], 0.75), ([9, 9, 1, 1], 0.5)]
)
def test_the_best_bound_is_found(sizes: list[int], expected: float) -> None:
    assert SIDE.told_apart(sizes, [False, False, True, True]) == expected


def test_ranks_that_agree_correlate_wholly() -> None:
    assert SIDE.rank_correlation([1, 2, 3], [10, 200, 201]) == pytest.approx(1)
    assert SIDE.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert SIDE.rank_correlation([1, 1, 1], [3, 2, 1]) == 0
