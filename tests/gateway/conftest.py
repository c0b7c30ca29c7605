"""
A site, a collector that can be told to misbehave, and a device between them that a test drives.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import site as sites
from tests.gateway.device import Device
from tests.gateway.hostile import Hostile, hostile
from tests.site import LocalSite


@pytest.fixture
def server(site: LocalSite) -> Iterator[Hostile]:
    with hostile(site.collector) as server:
        yield server


@pytest.fixture
def device(site: LocalSite, server: Hostile) -> Iterator[Device]:
    with sites.opened(site) as parts:
        device = Device(site, parts, server.port, timeout_ms=400)
        yield device
        device.close()
