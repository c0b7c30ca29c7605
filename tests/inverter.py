"""
The inverter that the policies of most tests read: the head of such a policy, and the fields they have in common.
"""

from __future__ import annotations

from typing import Final

ENERGY: Final = 'energy = { class = "telemetry", type = "counter", unit = "Wh" }'
STATE: Final = 'state = { class = "telemetry", type = "enum", values = ["off", "on"] }'


def power(name: str) -> str:
    """Return the field of that name that has watts, to a tenth."""
    return f'{name} = {{ class = "telemetry", type = "number", unit = "W", min = -100, max = 10000, resolution = 0.1 }}'


def head(policy: str, *fields: str) -> str:
    """Return the head of a policy of that name, and its inverter: a serial, and *fields*."""
    return "\n".join(
        (
            "",
            "[policy]",
            f'name = "{policy}"',
            'version = "1"',
            "",
            "[kinds.inverter]",
            'source = "serial"',
            "max_sources = 8",
            "[kinds.inverter.fields]",
            'serial = { class = "device_identifier", type = "text", max_length = 16 }',
            *fields,
            "",
        )
    )
