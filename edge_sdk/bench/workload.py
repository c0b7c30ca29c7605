"""
The same 17-field readings for everything that is measured: 20 micro-inverters, one reading each every 10 seconds, and
the policies they run under.

Values are synthetic (seeded): a day curve under slow clouds, a factor for each panel, noise, quantised as such
devices report them. They are made before anything is timed.
"""

from __future__ import annotations

import math
import random
from typing import Any, Final

DEVICES: Final = 20
STEP_MS: Final = 10_000
START_MS: Final = 1_780_000_000_000
NUMBERS: Final = (
    "ac_power", "ac_voltage", "ac_current", "frequency", "temperature", "dc_voltage_1", "dc_current_1", "dc_power_1",
    "dc_voltage_2", "dc_current_2", "dc_power_2", "energy", "energy_today", "signal", "reactive_power",
)  # fmt: skip

POLICY_HEAD: Final = """
[policy]
name = "bench"
version = "1"

[kinds.inverter]
source = "serial"
max_sources = 64

[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 32 }
state = { class = "telemetry", type = "enum", values = ["off", "starting", "running", "fault"] }
ac_power = { class = "telemetry", type = "number", unit = "W", min = -100, max = 100000, resolution = 0.1 }
ac_voltage = { class = "telemetry", type = "number", unit = "V", min = 0, max = 1000, resolution = 0.1 }
ac_current = { class = "telemetry", type = "number", unit = "A", min = 0, max = 1000, resolution = 0.01 }
frequency = { class = "telemetry", type = "number", unit = "Hz", min = 40, max = 70, resolution = 0.01 }
temperature = { class = "telemetry", type = "number", unit = "degC", min = -60, max = 150, resolution = 0.1 }
dc_voltage_1 = { class = "telemetry", type = "number", unit = "V", min = 0, max = 1500, resolution = 0.1 }
dc_current_1 = { class = "telemetry", type = "number", unit = "A", min = 0, max = 1000, resolution = 0.01 }
dc_power_1 = { class = "telemetry", type = "number", unit = "W", min = 0, max = 100000, resolution = 0.1 }
dc_voltage_2 = { class = "telemetry", type = "number", unit = "V", min = 0, max = 1500, resolution = 0.1 }
dc_current_2 = { class = "telemetry", type = "number", unit = "A", min = 0, max = 1000, resolution = 0.01 }
dc_power_2 = { class = "telemetry", type = "number", unit = "W", min = 0, max = 100000, resolution = 0.1 }
energy = { class = "telemetry", type = "counter", unit = "Wh" }
energy_today = { class = "telemetry", type = "counter", unit = "Wh" }
signal = { class = "telemetry", type = "integer", unit = "%", min = 0, max = 100 }
reactive_power = { class = "telemetry", type = "number", unit = "var", min = -100000, max = 100000, resolution = 0.1 }
"""


def make_policy(purposes: int, *, windowed: bool = False) -> str:
    """
    Return a policy of *purposes* purposes that all take every field, each reading or 5-minute windows.
    """
    parts = [POLICY_HEAD]
    for number in range(purposes):
        parts.append(
            f'[purposes.purpose_{number}]\nbasis = "contract"\ndpv = "dpv:RequestedServiceProvision"\n'
            f'recipient = "operator"\nregions = ["EU"]\nimportance = {number + 1}\nkeep_at_most = "30d"\nclauses = []\n'
            f"[purposes.purpose_{number}.views.inverter]"
        )
        parts.append('every = "5min"' if windowed else "")
        parts.append(f"[purposes.purpose_{number}.views.inverter.fields]")
        parts.append('serial = "keep"')
        for name in ("state", *NUMBERS):
            keep = '{ window = "last" }' if name == "state" else '{ window = "mean" }'
            parts.append(f"{name} = {keep if windowed else chr(34) + 'keep' + chr(34)}")
    return "\n".join(parts) + "\n"


def make_readings(count: int, seed: int = 7, start_ms: int = START_MS) -> list[tuple[int, dict[str, Any]]]:
    """
    Return *count* readings as (at_ms, fields), the first of them at *start_ms*, Unix milliseconds.
    """
    chance = random.Random(seed)  # noqa: S311 - the same readings each time, and no secret
    panels = [0.9 + 0.2 * chance.random() for _ in range(DEVICES)]
    energy = [100_000.0 + 1000 * device for device in range(DEVICES)]
    cloud, made = 0.8, []
    for tick in range((count + DEVICES - 1) // DEVICES):
        cloud = min(1.0, max(0.2, cloud + chance.gauss(0, 0.02)))
        sun = max(0.0, math.sin(math.pi * ((tick * STEP_MS / 3_600_000 + 6) % 12) / 12)) * cloud
        for device in range(DEVICES):
            power = max(0.0, 300 * sun * panels[device] * (1 + chance.gauss(0, 0.01)))
            energy[device] += power * STEP_MS / 3_600_000
            made.append((start_ms + tick * STEP_MS + device * 37, _fields(chance, device, power, energy[device])))
    return made[:count]


def just_before(now_ms: int, count: int) -> int:
    """
    Return when *count* readings have to begin to be over a minute before *now_ms*, both Unix milliseconds.
    """
    return now_ms - 60_000 - (count + DEVICES - 1) // DEVICES * STEP_MS


def _fields(chance: random.Random, device: int, power: float, energy: float) -> dict[str, Any]:
    volts_ac, volts_dc = 230 + chance.gauss(0, 0.4), 34 + chance.gauss(0, 0.2)
    half = power / 2
    return {
        "serial": f"408000{123456 + device}",
        "state": "running" if power > 1 else "off",
        "ac_power": round(power, 1),
        "ac_voltage": round(volts_ac, 1),
        "ac_current": round(power / volts_ac, 2),
        "frequency": round(50 + chance.gauss(0, 0.01), 2),
        "temperature": round(25 + power / 20 + chance.gauss(0, 0.1), 1),
        "dc_voltage_1": round(volts_dc, 1),
        "dc_current_1": round(half / volts_dc, 2),
        "dc_power_1": round(half, 1),
        "dc_voltage_2": round(volts_dc + 0.3, 1),
        "dc_current_2": round(half / (volts_dc + 0.3), 2),
        "dc_power_2": round(half, 1),
        "energy": int(energy),
        "energy_today": int(energy) % 10_000,
        "signal": 70 + device % 20,
        "reactive_power": round(power / 50, 1),
    }
