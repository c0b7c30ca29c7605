"""
An APsystems ECU, asked on its LAN port (`--ecu 192.168.1.20`) or read from the file it writes (`--file`).

Run it in the folder of a site that `edge-sdk init --local . --profile apsystems_ema` made. Neither way tells events, so
alarms need another source.
"""

import argparse
import socket
import time
from pathlib import Path

from edge_sdk import EdgeError, Gateway
from edge_sdk.sources import apsystems_local as ecu
from edge_sdk.sources.apsystems_frame import Frames

PATIENCE_S = 5.0


def answer(where: str, question: bytes) -> bytes:
    """Return the first whole frame that comes; a connection for each question, as newer ECUs want it."""
    frames, ends, (host, _, port) = Frames(), time.monotonic() + PATIENCE_S, where.partition(":")
    with socket.create_connection((host, int(port or ecu.PORT)), timeout=PATIENCE_S) as wire:
        wire.sendall(question)
        while time.monotonic() < ends and (chunk := wire.recv(4096)):
            for frame in frames.feed(chunk):
                return frame
    raise OSError("no answer")


def read(said: argparse.Namespace, gateway: Gateway) -> tuple[str, list[tuple[str, dict[str, object]]]]:
    """Return one round, by its time, and the readings in it; what nobody may have is not asked for."""
    if said.file:
        found = ecu.parse_parameters(Path(said.file).read_bytes())
        return found.stamp, [("inverter", fields) for fields in found.inverters]
    system = ecu.parse_system(answer(said.ecu, ecu.ASK_SYSTEM))
    found = ecu.parse_inverters(answer(said.ecu, ecu.ask_inverters(system["ecu_id"])))
    heard = gateway.allowed("inverter", "signal")
    signals = ecu.parse_signals(answer(said.ecu, ecu.ask_signals(system["ecu_id"]))) if heard else {}
    inverters = [("inverter", fields | {"signal": signals.get(fields["serial"])}) for fields in found.inverters]
    return found.stamp, [("gateway", system | {"lan_ip": said.ecu.partition(":")[0]}), *inverters]


parser = argparse.ArgumentParser(description=__doc__)
for name, kind, default in (("ecu", str, "192.168.1.20"), ("file", str, ""), ("polls", int, 1), ("every", float, 300)):
    parser.add_argument(f"--{name}", type=kind, default=default)
said = parser.parse_args()
with Gateway.open("site.toml") as gateway:
    last, taken, rejected = "", 0, 0
    for poll in range(said.polls):
        time.sleep(said.every if poll else 0)
        try:
            stamp, readings = read(said, gateway)
        except (OSError, EdgeError):
            rejected += 1
        else:
            taken += sum(bool(gateway.record(kind, fields)) for kind, fields in readings if stamp != last)
            last = stamp
    print(f"{taken} readings taken, {rejected} of {said.polls} polls without a valid answer")
    print(f"{gateway.drain(timeout_s=10, cut=True)} batches wait for the collector")
