"""
What one household is in these measurements: a policy of one purpose that takes every reading of an inverter as it is.
"""

from __future__ import annotations

from typing import Final

POLICY: Final = """
[policy]
name = "bench"
version = "1"

[kinds.inverter]
source = "serial"
max_sources = 8
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 16 }
power = { class = "telemetry", type = "number", unit = "W", min = -100, max = 10000, resolution = 0.1 }
voltage = { class = "telemetry", type = "number", unit = "V", min = 0, max = 1000, resolution = 0.1 }
temperature = { class = "telemetry", type = "number", unit = "C", min = -60, max = 150, resolution = 0.1 }
energy = { class = "telemetry", type = "counter", unit = "Wh" }

[purposes.monitoring]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator"
regions = ["EU"]
keep_at_most = "30d"
[purposes.monitoring.views.inverter.fields]
serial = "keep"
power = "keep"
voltage = "keep"
temperature = "keep"
energy = "keep"
"""
