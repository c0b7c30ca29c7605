from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.privacy.plants import Plant, enrolled, founded, two_days


@dataclass(frozen=True)
class Observed:
    """Two plants that have nothing to do with each other, after the same two days."""

    plant: Plant
    other: Plant
    epochs: tuple[int, int]


@pytest.fixture(scope="package")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    folder = tmp_path_factory.mktemp("plants")
    with founded(folder / "collector") as reception:
        plant, other = (enrolled(folder / name, folder / "collector", reception) for name in ("ours", "theirs"))
        epochs = two_days(plant, reception)
        assert two_days(other, reception) == epochs
        yield Observed(plant, other, epochs)
