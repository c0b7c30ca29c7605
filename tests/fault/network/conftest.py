"""
One household behind one proxy for all tests that share it: each leaves it healed and delivered.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fault.network.place import Place, settled


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with settled(tmp_path_factory.mktemp("network")) as place:
        yield place


@pytest.fixture
def mended(place: Place) -> Iterator[None]:
    """
    See to it that what one test leaves behind, when it fails, is not found by the next.
    """
    yield
    place.proxy.rules()
    place.drain()
    place.rows()
