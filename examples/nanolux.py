"""
Lamp controllers of Nanolux: what they say, replayed from a capture line by line.

`python examples/nanolux.py capture.jsonl` in the folder of a site under the profile nanolux_nccs. Schedules of lamps
are handed over like everything else; no purpose has them, so the gateway drops and counts them.
"""

import argparse
from pathlib import Path

from edge_sdk import EdgeError, Gateway
from edge_sdk.sources.nanolux import controller_readings
from edge_sdk.sources.records import captured, lines

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("capture", type=Path, help="lines of {at_ms, record}")
said = parser.parse_args()
taken, not_taken, rejected = 0, 0, 0

with Gateway.open("site.toml") as gateway, said.capture.open("rb") as capture:
    for line in lines(capture):
        try:
            at_ms, record = captured(line)
        except EdgeError:
            rejected += 1
            continue
        for kind, fields in controller_readings(record, at_ms):
            purposes = gateway.record(kind, fields, at_ms=at_ms)
            taken, not_taken = taken + bool(purposes), not_taken + (not purposes)
    print(f"{taken} readings taken, {not_taken} for no purpose, {rejected} lines that are no record")
    print(f"{gateway.drain(timeout_s=10, cut=True)} batches wait for the collector")
