"""
The site that both models drive: four purposes, each with a kind of its own, two of them by consent; and how it is
killed.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from typing import Final

from edge_sdk.core.units import DAY_MS
from tests.site import LocalSite

MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # power cuts of the medium are tests/fault's
IMPORTANCE: Final = {"operation": 10, "alarms": 30, "study": 1, "survey": 1}
KEEP_MS: Final = {"operation": 30 * DAY_MS, "alarms": 30 * DAY_MS, "study": 14 * DAY_MS, "survey": 7 * DAY_MS}
CONSENTED: Final = ("study", "survey")
POLICY: Final = """
[policy]
name = "model"
version = "1"
""" + "".join(
    f"""
[kinds.{name}]
source = "serial"
max_sources = 8
[kinds.{name}.fields]
serial = {{ class = "device_identifier", type = "text", max_length = 16 }}
value = {{ class = "telemetry", type = "integer", min = 0, max = 1000000 }}
[purposes.{name}]
basis = "{"consent" if name in CONSENTED else "contract"}"
dpv = "{"dpv:ServiceOptimisation" if name in CONSENTED else "dpv:RequestedServiceProvision"}"
recipient = "{"research-eu" if name in CONSENTED else "operator-eu"}"
regions = ["EU"]
importance = {importance}
keep_at_most = "{KEEP_MS[name] // DAY_MS}d"
[purposes.{name}.views.{name}]
{'send = "now"' if name == "alarms" else ""}
[purposes.{name}.views.{name}.fields]
{'serial = { pseudonym = "7d" }' if name in CONSENTED else ""}
value = "keep"
"""
    for name, importance in IMPORTANCE.items()
)


def kill(site: LocalSite, running: ExitStack) -> None:
    """End what runs on a site, and put back what its folder held before: what an orderly end writes was not written."""
    found = site.folder / "found"
    shutil.copytree(site.state, found)
    running.close()
    shutil.rmtree(site.state)
    found.rename(site.state)
