"""
A collector with a consent that was given, and a device that is enrolled with it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collector.household import Household
from tests.collector.town import Town, town


@pytest.fixture
def place(tmp_path: Path) -> Town:
    return town(tmp_path / "c", granted=["improvement"])


@pytest.fixture
def home(place: Town) -> Household:
    return place.enrol()
