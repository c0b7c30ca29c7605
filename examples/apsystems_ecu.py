"""
An APsystems ECU, asked on its LAN port (`--ecu 192.168.1.20`) or, on its own disk, read from the file that it writes
(`--file parameters_app.conf`). Neither tells what inverters report as wrong: that is apsystems_alarms.py.

Run it in the folder of a site that `edge-sdk init --local . --profile apsystems_ema` made.
"""

import argparse
from time import sleep

from edge_sdk import EdgeError, Gateway
from edge_sdk.sources import apsystems_local as ecu
from edge_sdk.sources.apsystems_asking import ask

Readings = list[tuple[str, dict[str, object]]]


def read(said: argparse.Namespace, gateway: Gateway) -> tuple[str, Readings]:
    """Return one round, by its time, and the readings in it; what nobody may have is not asked for."""
    if said.file:
        with open(said.file, "rb") as file:
            found = ecu.parse_parameters(file.read(ecu.MAX_FILE_BYTES + 1))
        return found.stamp, [("inverter", fields) for fields in found.inverters]
    host, _, port = said.ecu.partition(":")
    where = host, int(port or ecu.PORT)
    system = ecu.parse_system(ask(*where, ecu.ASK_SYSTEM))
    found = ecu.parse_inverters(ask(*where, ecu.ask_inverters(system["ecu_id"])))
    heard = gateway.allowed("inverter", "signal")
    signals = ecu.parse_signals(ask(*where, ecu.ask_signals(system["ecu_id"]))) if heard else {}
    inverters = [("inverter", fields | {"signal": signals.get(fields["serial"])}) for fields in found.inverters]
    return found.stamp, [("gateway", system | {"lan_ip": host}), *inverters]


parser = argparse.ArgumentParser(description=__doc__)
for name, default in (("ecu", "192.168.1.20"), ("file", ""), ("polls", 1), ("every", 300.0)):
    parser.add_argument(f"--{name}", type=type(default), default=default)
said = parser.parse_args()
with Gateway.open("site.toml") as gateway:
    last, taken, rejected = "", 0, 0
    for poll in range(said.polls):
        sleep(said.every if poll else 0)
        try:
            stamp, readings = read(said, gateway)
        except (OSError, EdgeError):
            rejected += 1
        else:
            taken += sum(bool(gateway.record(kind, fields)) for kind, fields in readings if stamp != last)
            last = stamp
    print(f"{taken} readings taken, {rejected} of {said.polls} polls without a valid answer")
    print(f"{gateway.drain(timeout_s=10, cut=True)} batches wait for the collector")
