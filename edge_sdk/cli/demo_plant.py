"""
The firmware of the demo: 20 micro-inverters and their gateway, out of what two real plants measured.

Measured values come from two files of the PyPI package ``pvanalytics`` (only its files are read, it is not imported):
power, voltage, current, temperature and weather of NREL's RSF II every 15 minutes, AC power of NREL's SERF East every
minute. What a household adds to that (serials, addresses, a Wi-Fi name, an alarm now and then) is made up here, and
:data:`PROVENANCE` says of every field which it is. Nothing here is minimised: this is what comes in.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from edge_sdk import files
from edge_sdk.core.units import DAY_MS, HOUR_MS, MINUTE_MS
from edge_sdk.errors import BadInput, ConfigError
from edge_sdk.sources.replay import Recorded

PACKAGE: Final = "pvanalytics==0.2.2"
QUARTERS_FILE: Final = "nrel_RSF_II.csv"
MINUTES_FILE: Final = "serf_east_1min_ac_power.csv"
MEASURED_FIELDS: Final = 12  # channels of the first file

INVERTERS: Final = 20
QUARTER_MS: Final = 15 * MINUTE_MS
ALARM_EVERY: Final = 40  # samples of a plant between two made-up alarms
POLL_MS: Final = 100  # the gateway asks its inverters one after the other
_ONE_OF: Final = 200  # RSF II's inverter peaks at 59 kW, a micro-inverter at 300 W
_PLANT_OF: Final = 26  # all of RSF II peaks at 165 kW, this household at 6.3 kW
_IN_SERIES: Final = 10  # panels of one string: each has a tenth of its voltage and, of 20 strings, its current
_STRINGS: Final = _ONE_OF // _IN_SERIES
_LINE_LIMIT: Final = 4096
_ZONE: Final = "-0700"  # both files are in Mountain Standard Time

SERIALS: Final = tuple(f"4080{10_312_457 + 1_903 * at:08d}" for at in range(INVERTERS))
ECU_ID: Final = "216200071823"
LAN_IP: Final = "192.168.178.57"
MAC: Final = "80:97:1b:03:5c:e2"
ROUTER_MAC: Final = "3c:a6:2f:91:44:0b"
SSID: Final = "Casa Rossi 2.4"
TIME_ZONE: Final = "America/Denver"

PROVENANCE: Final[Mapping[str, str]] = {
    "serial": "added",
    "model_code": "added",
    "online": "derived: gives power",
    "ac_power": "measured, shared out",
    "dc_power_1": "measured, shared out",
    "dc_voltage_1": "measured, one of 10 in series",
    "dc_current_1": "measured, one of 20 strings",
    "temperature": "measured",
    "energy": "derived: power times time",
    "ecu_id": "added",
    "firmware": "added",
    "inverters_online": "derived",
    "uptime": "derived",
    "time_zone": "added",
    "lan_ip": "added",
    "mac": "added",
    "ssid": "added",
    "router_mac": "added",
    "events_1": "added",
    "irradiance": "measured",
    "irradiance_cell": "measured",
    "cell_temperature": "measured",
    "module_temperature": "measured",
    "ambient_temperature": "measured",
    "wind_speed": "measured",
}


@dataclass(frozen=True, slots=True)
class Span:
    """
    Which part of the two files is replayed: sample numbers of the first, and of the last day of the second.
    """

    quarters: slice
    minutes: slice


WHOLE: Final = Span(slice(0, 480), slice(0, 1440))  # five days, then one
SHORT: Final = Span(slice(32, 80), slice(600, 780))  # 8:00 to 20:00 of the first day, then 10:00 to 13:00


@dataclass(frozen=True, slots=True)
class _Sample:
    """
    One line of a file; ``weather`` and ``plant_w`` are empty where the plant does not measure them.
    """

    at_ms: int
    ac_w: float
    span_ms: int
    dc: tuple[float, float, float] | None = None
    celsius: float | None = None
    plant_w: float | None = None
    weather: Mapping[str, float] | None = None


def find_measured() -> Path:
    """
    Return the folder that holds the two files.

    Raises:
        ConfigError: with the command that installs them.
    """
    hint = f"run: python -m pip install --no-deps {PACKAGE}   ('make demo' does that)"
    spec = find_spec("pvanalytics")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        folder = Path(place) / "data"
        if files.exists(folder / QUARTERS_FILE) and files.exists(folder / MINUTES_FILE):
            return folder
    raise ConfigError("the measured power of real plants is not installed", hint=hint)


def household(folder: Path, span: Span, *, now_ms: int) -> list[Recorded]:
    """
    Return every reading of the demo in order of time; the last lies less than a day before *now_ms*.

    Args:
        folder: as :func:`find_measured` returns it.
        span: which part to use.
        now_ms: Unix ms; the measured times are moved by whole days, so that the time of day stays.

    Raises:
        BadInput: when a file does not have the columns it had in that release.
    """
    quarters = list(_quarters(folder / QUARTERS_FILE))
    minutes = list(_minutes(folder / MINUTES_FILE))[-1440:]
    days_on = (now_ms - minutes[-1].at_ms) // DAY_MS
    days_between = (minutes[0].at_ms - quarters[-1].at_ms) // DAY_MS
    energy_wh = [1_200_000.0 + 7_919 * at for at in range(INVERTERS)]
    readings: list[Recorded] = []
    for samples, later_ms in (
        (quarters[span.quarters], (days_on + days_between) * DAY_MS),
        (minutes[span.minutes], days_on * DAY_MS),
    ):
        for number, sample in enumerate(samples):
            readings += _poll(sample, sample.at_ms + later_ms, energy_wh, number=number)
    return readings


def _poll(sample: _Sample, at_ms: int, energy_wh: list[float], *, number: int) -> Iterator[Recorded]:
    for at, serial in enumerate(SERIALS):
        watts = sample.ac_w * _factor(at)
        energy_wh[at] += max(watts, 0.0) * sample.span_ms / HOUR_MS
        fields: dict[str, Any] = {
            "serial": serial,
            "model_code": 23,
            "online": watts > 1,
            "ac_power": round(watts, 2),
            "energy": int(energy_wh[at]),
        }
        if sample.dc is not None:
            power, voltage, current = sample.dc
            fields["dc_power_1"] = round(power * _factor(at), 2)
            fields["dc_voltage_1"] = round(voltage, 3)
            fields["dc_current_1"] = round(current * _factor(at), 3)
        if sample.celsius is not None:
            fields["temperature"] = round(sample.celsius + 0.2 * at, 2)
        yield Recorded("inverter", at_ms + POLL_MS * at, fields)
    if at_ms % QUARTER_MS == 0:
        yield Recorded("gateway", at_ms + POLL_MS * INVERTERS, _gateway_fields(sample, at_ms, sum(energy_wh)))
    if number % ALARM_EVERY == ALARM_EVERY - 1:
        troubled = SERIALS[number // ALARM_EVERY * 7 % INVERTERS]
        alarm = {"serial": troubled, "events_1": 1 << (16 + number // ALARM_EVERY % 4), "events_2": 0, "events_3": 0}
        yield Recorded("alarm", at_ms + POLL_MS * (INVERTERS + 1), alarm)


def _gateway_fields(sample: _Sample, at_ms: int, energy_wh: float) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "ecu_id": ECU_ID,
        "firmware": "ECU_R_1.2.27",
        "inverters_online": INVERTERS if sample.ac_w > 1 else 0,
        "energy": round(energy_wh / 1000, 1),
        "uptime": at_ms // 1000 % 10_000_000,
        "time_zone": TIME_ZONE,
        "lan_ip": LAN_IP,
        "mac": MAC,
        "ssid": SSID,
        "router_mac": ROUTER_MAC,
    }
    if sample.plant_w is not None:
        fields["ac_power"] = round(sample.plant_w, 1)
    return fields | dict(sample.weather or {})


def _factor(at: int) -> float:
    """
    Return how much one panel gives beside the others: 0.92 to 1.08, for age, angle and shade.
    """
    return 0.92 + 0.16 * (at * 7 % INVERTERS) / (INVERTERS - 1)


def _quarters(path: Path) -> Iterator[_Sample]:
    for cells in _rows(path, 13):
        plant_kw, ambient, ac_w, current, dc_w, voltage, celsius, module, poa, poa_cell, cell, wind = (
            float(measured) for measured in cells[1:]
        )
        yield _Sample(
            at_ms=_unix_ms(datetime.strptime(f"{cells[0]} {_ZONE}", "%m/%d/%Y %H:%M %z")),
            ac_w=ac_w / _ONE_OF,
            span_ms=QUARTER_MS,
            dc=(dc_w / _ONE_OF, voltage / _IN_SERIES, current / _STRINGS),
            celsius=celsius,
            plant_w=plant_kw * 1000 / _PLANT_OF,
            weather={
                "irradiance": poa,
                "irradiance_cell": poa_cell,
                "cell_temperature": cell,
                "module_temperature": module,
                "ambient_temperature": ambient,
                "wind_speed": wind,
            },
        )


def _minutes(path: Path) -> Iterator[_Sample]:
    for when, watts in _rows(path, 2):
        at_ms = _unix_ms(datetime.fromisoformat(when))
        yield _Sample(at_ms=at_ms, ac_w=float(watts) / INVERTERS, span_ms=MINUTE_MS)


def _rows(path: Path, columns: int) -> Iterator[Sequence[str]]:
    lines = (line.decode("utf-8") for line in files.read_lines(path, _LINE_LIMIT))
    rows = csv.reader(lines)
    next(rows)
    for cells in rows:
        if len(cells) != columns:
            raise BadInput(f"{path.name}: not the file of {PACKAGE}", hint=f"install {PACKAGE}")
        yield cells


def _unix_ms(when: datetime) -> int:
    return int(when.timestamp()) * 1000
