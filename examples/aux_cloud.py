"""
AUX systems: what an inverter, an air conditioner and the module in them say, replayed from a capture line by line.

`python examples/aux_cloud.py capture.jsonl --centre 48.1,11.6` in the folder of a site under the profile aux_cloud, or
auxconn_beauty. How far the service centre is is worked out here, so that the place itself need not leave; what the
policy has no purpose for is handed over and dropped, and counted, by the gateway.
"""

import argparse
from pathlib import Path

from edge_sdk import EdgeError, Gateway
from edge_sdk.sources.aux_cloud import SHAPES, distance_km
from edge_sdk.sources.records import captured, lines, readings

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("capture", type=Path, help="lines of {at_ms, record}")
parser.add_argument("--centre", default="0,0", metavar="LAT,LON", help="of the service centre")
said = parser.parse_args()
lat, _, lon = said.centre.partition(",")
taken, not_taken, rejected = 0, 0, 0

with Gateway.open("site.toml") as gateway, said.capture.open("rb") as capture:
    for line in lines(capture):
        try:
            at_ms, record = captured(line)
        except EdgeError:
            rejected += 1
            continue
        for kind, fields in readings(record, SHAPES):
            if kind == "installation":
                fields["service_distance"] = distance_km(fields.get("place"), (float(lat), float(lon)))
            purposes = gateway.record(kind, fields, at_ms=at_ms)
            taken, not_taken = taken + bool(purposes), not_taken + (not purposes)
    print(f"{taken} readings taken, {not_taken} for no purpose, {rejected} lines that are no record")
    print(f"{gateway.drain(timeout_s=10, cut=True)} batches wait for the collector")
