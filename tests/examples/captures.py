"""
Captures that examples replay: records as AUX and Nanolux systems send them, of households that nobody lives in.

Every value that tells who or where is one of :data:`PLANTED`, or ends with a mark that stands nowhere by chance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from edge_sdk.clock import wall_s

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000

SN = "EX16KTL998877"
DID = "00000000000000000000aabbccddee77"
CONTROLLER = "NLX-CANARY-004711"
LAMP = "LAMP-CANARY-17"
NETWORK = {"ip": "192.0.2.177", "mac": "aa:bb:cc:dd:ee:77", "ssid": "CANARY-Home-Wifi"}
PLANT = {
    "plantName": "Fam. CANARY, Main St 1",
    "address": "CANARY Main St 1",
    "owner": "Ada CANARY",
    "phone": "+4915550047117",
    "location": [48.137, 11.575],
}
INSTALLER = {
    "name": "CANARY Roof Ltd",
    "phone": "+4915550047118",
    "email": "canary@example.com",
    "idCard": "CANARY-ID-4711",
    "bankAccount": "DE00CANARY4711471147",
    "insuranceOrder": "CANARY-INS-4711",
    "licensePlate": "M-CA-4711",
}
MEMBER = {
    "memberName": "canary_member",
    "name": "Ada CANARY",
    "phone": "+4915550047117",
    "residence": "CANARY Main St 1",
    "dateOfBirth": "1970-04-17",
    "gender": "CANARY-gender",
    "password": "CANARY-hunter2",
    "order": "CANARY-order-17",
}
HOSTILE_NAME = "x'; DROP TABLE rows;--\x1b]0;CANARY\x07"
PLANTED: Final = (
    *(SN, DID, CONTROLLER, LAMP, "CANARY", HOSTILE_NAME, "48.137", "11.575"),
    *NETWORK.values(),
    *(value for value in (*PLANT.values(), *INSTALLER.values(), *MEMBER.values()) if isinstance(value, str)),
)


def auxsol_inverter(**changes: Any) -> dict[str, Any]:
    """Return an inverter as AUXSOL's cloud hands it on."""
    return {
        "inverterId": "99887",
        "sn": SN,
        "model": "ASW-EX",
        "status": "01",
        "energyData": {"power": 1.92, "y": 6.2, "yt": 2127.9, "pvList": [{"index": 1, "u": 331.2, "p": 1027}]},
        "gridData": {"acList": [{"phase": "A", "u": 230.1, "i": 8.3, "f": 50.01}]},
        "batteryData": {"soc": 64},
        "plant": PLANT,
    } | changes


def module(**changes: Any) -> dict[str, Any]:
    """Return what a module says of itself when it logs in."""
    return {
        "did": DID, "model": "AUX-MOD-2", "os": "RTOS", "ver": "1.8.3", "logins": 40, "failedLogins": 2,
        "loginDevice": "CANARY phone", **NETWORK,
    } | changes  # fmt: skip


def survey() -> dict[str, Any]:
    """Return what the tool of an installer leaves on a gateway."""
    return {"did": DID, "plant": PLANT, "installer": INSTALLER}


def appliance(**params: Any) -> dict[str, Any]:
    """Return an appliance by its parameters."""
    values = {"pwr": 1, "temp": 215, "envtemp": 236, "ac_slp": 1, "childlock": 1, "err_flag": 0, "power": 870}
    return {"did": DID, "model": "AUX-AC-9", "ver": "2.0.1", "restarts": 7, "params": values | params, **NETWORK}


def controller(**changes: Any) -> dict[str, Any]:
    """Return a controller with two lamps and their schedule."""
    lamp = {"lampId": LAMP, "lit": 1, "dim": 80, "schedule": {"on": "06:17", "off": "18:17"}, "power": 600, "energy": 9}
    return {
        "controllerId": CONTROLLER, "model": "NCCS-3", "firmware": "3.1.0", "online": 1, "fault": 0,
        "licenceEnds": wall_s() + 40 * 86_400, "net": NETWORK, "site": {"location": PLANT["location"]},
        "owner": {"phone": PLANT["phone"], "email": INSTALLER["email"]}, "lamps": [lamp, lamp | {"lampId": LAMP + "b"}],
    } | changes  # fmt: skip


def within_this_hour(*records: dict[str, Any]) -> list[bytes]:
    """Return lines a minute apart that are of one hour, and so of one day, whenever a test runs."""
    began_ms = wall_s() * 1000 // HOUR_MS * HOUR_MS
    return [
        json.dumps({"at_ms": began_ms + at * MINUTE_MS, "record": record}).encode() for at, record in enumerate(records)
    ]


HOSTILE_LINES: Final = (
    b"CANARY \x00\xff",
    b'{"at_ms": 1, "record": {"sn": "CANARY"',
    b'{"at_ms": "CANARY", "record": {}}',
    b'{"at_ms": 1, "record": "CANARY"}',
    b'{"at_ms": 1e400, "record": {}}',
    b'{"at_ms": 1, "record": {}, "CANARY": 1}',
    b"[" * 100_000,
    b'{"at_ms": ' + b"9" * 5_000 + b', "record": {}}',
    b'"CANARY" ' * 110_000,
)


def written(path: Path, lines: list[bytes]) -> str:
    """Write a capture; return its name."""
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path.name
