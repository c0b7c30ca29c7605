"""
Records of AUX systems as readings, by the names that the profiles aux_cloud and auxconn_beauty declare.

Three kinds of record, told apart by what they have: an inverter as AUXSOL's cloud hands it on (``energyData``), an
appliance by its parameters (``params``, as its app reads them), and what the module in either says of itself when it
logs in (``os``). For the third and for what the tools of an installer leave behind (``plant``, ``installer``,
``member``) no capture is public: their names are made here, their contents are the categories of the two policies.

Owns: the tables, and how far a plant is from a service centre.
Rules: everything that identifies or locates a household is read under its declared name, so that the policy drops it
and counts it, rather than being left out here where nobody sees it.
Does not: parse lines (records).
"""

from __future__ import annotations

import math
from typing import Final

from edge_sdk.sources.records import Shape, lowered, tenth, thousandfold, total, truth

SHAPES: Final = (
    Shape(
        "inverter",
        known_by="energyData",
        fields={
            "serial": "sn",
            "status": "status",
            "ac_power": ("energyData.power", thousandfold),
            "pv_power": ("energyData.pvList.*.p", total),
            "energy": ("energyData.yt", thousandfold),
            "ac_voltage": "gridData.acList.0.u",
            "frequency": "gridData.acList.0.f",
            "soc": "batteryData.soc",
        },
    ),
    Shape(
        "gateway",
        known_by="os",
        fields={
            "device_id": "did",
            "model": "model",
            "operating_system": ("os", lowered),
            "firmware": "ver",
            "logins": "logins",
            "failed_logins": "failedLogins",
            "ip_address": "ip",
            "mac": "mac",
            "ssid": "ssid",
            "login_device": "loginDevice",
        },
    ),
    Shape(
        "installation",
        known_by="plant",
        fields={
            "device_id": "did",
            "place": "plant.location",
            "owner_name": "plant.owner",
            "owner_phone": "plant.phone",
            "plant_name": "plant.plantName",
            "address": "plant.address",
            "installer_name": "installer.name",
            "installer_phone": "installer.phone",
            "installer_email": "installer.email",
            "id_card": "installer.idCard",
            "bank_account": "installer.bankAccount",
            "insurance_order": "installer.insuranceOrder",
            "license_plate": "installer.licensePlate",
        },
    ),
    Shape(
        "air_conditioner",
        known_by="params",
        fields={
            "device_id": "did",
            "power_on": ("params.pwr", truth),
            "set_point": ("params.temp", tenth),
            "room": ("params.envtemp", tenth),
            "sleep": ("params.ac_slp", truth),
            "child_lock": ("params.childlock", truth),
        },
    ),
    Shape(
        "appliance",
        known_by="params",
        fields={
            "device_id": "did",
            "model": "model",
            "firmware": "ver",
            "error_code": "params.err_flag",
            "restarts": "restarts",
            "running": ("params.pwr", truth),
            "power": "params.power",
            "lan_ip": "ip",
            "mac": "mac",
            "ssid": "ssid",
            "place": "plant.location",
        },
    ),
    Shape(
        "member",
        known_by="member",
        fields={
            "member_name": "member.memberName",
            "name": "member.name",
            "phone": "member.phone",
            "residence": "member.residence",
            "date_of_birth": "member.dateOfBirth",
            "gender": "member.gender",
            "password": "member.password",
            "order": "member.order",
        },
    ),
)

_EARTH_KM: Final = 6371.0


def distance_km(place: object, centre: tuple[float, float]) -> float | None:
    """
    Return the way over the globe from *place*, a list of latitude and longitude, to *centre*; None where it is none.
    """
    if not isinstance(place, list) or len(place) != 2 or not all(type(part) in (int, float) for part in place):
        return None
    if not (-90 <= place[0] <= 90 and -180 <= place[1] <= 180):
        return None
    lat, lon, to_lat, to_lon = (math.radians(part) for part in (*place, *centre))
    cosine = math.sin(lat) * math.sin(to_lat) + math.cos(lat) * math.cos(to_lat) * math.cos(lon - to_lon)
    return _EARTH_KM * math.acos(max(-1.0, min(1.0, cosine)))
