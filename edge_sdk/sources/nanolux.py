"""
Records of lamp controllers as readings, by the names that the profile nanolux_nccs declares.

No capture of these controllers is public: the names of the records are made here, their contents are what the policy of
NCCS and its profile name, and what such a controller has to know to do its work. A controller's record has its lamps in
a list, each with its schedule; the schedule is read, so that the policy can be seen to drop it.

Owns: the tables, and the splitting of one record into a controller and its lamps.
Does not: parse lines (records).
"""

from __future__ import annotations

from typing import Final

from edge_sdk.sources.records import MAX_ITEMS, Reading, Shape, readings, truth, value_at

_DAY_S: Final = 86_400
_WHOLE: Final = 1 << 53

CONTROLLERS: Final = (
    Shape(
        "controller",
        known_by="controllerId",
        fields={
            "controller_id": "controllerId",
            "model": "model",
            "firmware": "firmware",
            "online": ("online", truth),
            "fault_code": "fault",
            "lan_ip": "net.ip",
            "mac": "net.mac",
            "ssid": "net.ssid",
            "place": "site.location",
            "phone": "owner.phone",
            "email": "owner.email",
        },
    ),
)
LAMPS: Final = (
    Shape(
        "lamp",
        known_by="lampId",
        fields={
            "lamp_id": "lampId",
            "lit": ("lit", truth),
            "dimmed_to": "dim",
            "lights_on": "schedule.on",
            "lights_off": "schedule.off",
            "power": "power",
            "energy": "energy",
        },
    ),
)


def controller_readings(record: object, at_ms: int) -> list[Reading]:
    """
    Return the readings of one record: the controller, with the days its licence has left at *at_ms*, and its lamps.
    """
    found = readings(record, CONTROLLERS)
    ends_s = value_at(record, "licenceEnds")
    for _, fields in found:
        if type(ends_s) is int and abs(ends_s) < _WHOLE:
            fields["licence_days"] = (ends_s - at_ms // 1000) // _DAY_S
    lamps = value_at(record, "lamps")
    for lamp in lamps[:MAX_ITEMS] if isinstance(lamps, list) else []:
        found += readings(lamp, LAMPS)
    return found
