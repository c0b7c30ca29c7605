"""
A collector that serves for all tests of a file, and a device that is enrolled with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.collector.household import Household, found
from tests.collector.served import Running, start, stop


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("collector") / "c"
    running = start(folder, found(folder))
    yield running
    stop(running)


@pytest.fixture(scope="module")
def home(served: Running) -> Household:
    return served.household()
