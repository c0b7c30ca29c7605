"""
What passes as de-identified, and every way of leaving that does not.
"""

from __future__ import annotations

import pytest

from edge_sdk.core.deidentify import identifying
from tests.unit.policy_texts import policy

HEAD = """
[policy]
name = "made"
version = "1"
[kinds.inverter]
source = "serial"
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 16 }
model = { class = "telemetry", type = "text", max_length = 16 }
power = { class = "telemetry", type = "number", unit = "W", min = 0, max = 10000, resolution = 1 }
energy = { class = "telemetry", type = "counter", unit = "Wh" }
distance = { class = "location", type = "number", unit = "km", min = 0, max = 1000, resolution = 1 }
state = { class = "telemetry", type = "enum", values = ["off", "on"] }
faults = { class = "telemetry", type = "flags", values = ["hot", "cold"] }
online = { class = "telemetry", type = "bool" }
place = { class = "location", type = "location" }
lan_ip = { class = "network_identifier", type = "ip" }
[purposes.abroad]
basis = "consent"
dpv = "dpv:ResearchAndDevelopment"
recipient = "research"
regions = ["EU"]
keep_at_most = "14d"
[purposes.abroad.views.inverter]
"""


def reasons(line: str, every: str = 'every = "1d"') -> tuple[str, ...]:
    text = f"{HEAD}{every}\n[purposes.abroad.views.inverter.fields]\n{line}\n"
    return identifying(policy(text).purposes["abroad"])


@pytest.mark.parametrize(
    "line",
    [
        'energy = { window = "delta", round = 1000 }',
        'energy = { window = "delta", band = [1000, 10000] }',
        'power = { window = "max", band = [100, 1000] }',
        'power = { window = "mean", round = 100 }',
        'state = { window = "last" }',
        'faults = { window = "last" }',
        'online = { window = "last" }',
        'place = { window = "count" }',
        'lan_ip = { window = "count" }',
        'serial = { pseudonym = "1d" }\nstate = { window = "last" }',
    ],
)
def test_coarse_values_of_nobody_pass(line: str) -> None:
    assert reasons(line) == ()


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("serial", 'serial = "keep"\nstate = { window = "last" }'),
        ("serial", 'serial = { mask = 2 }\nstate = { window = "last" }'),
        ("serial", 'serial = { pseudonym = "30d" }\nstate = { window = "last" }'),
        ("model", 'model = { window = "last" }'),
        ("model", 'model = { window = "last", truncate_text = 4 }'),
        ("power", 'power = { window = "max" }'),
        ("energy", 'energy = { window = "last", round = 1000 }'),
        ("energy", 'energy = { window = "max", band = [1000] }'),
        ("distance", 'distance = { window = "last", band = [100] }'),
        ("place", 'place = { window = "last", coarsen_location = 0 }'),
        ("lan_ip", 'lan_ip = { window = "last", truncate_ip = 8 }'),
    ],
)
def test_what_may_point_at_somebody_is_told(field: str, line: str) -> None:
    assert reasons(line) == (f"view inverter has {field} in a form that may point at somebody",)


@pytest.mark.parametrize("every", ["", 'every = "1h"', 'send = "now"'])
def test_rows_of_less_than_a_day_are_told(every: str) -> None:
    line = 'state = { window = "last" }' if "every" in every else 'state = "keep"'
    assert reasons(line, every) == ("view inverter has rows of less than a day",)
