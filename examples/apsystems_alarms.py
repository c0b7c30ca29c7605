"""
What the inverters of an APsystems ECU report as wrong, out of the database on the ECU's own disk (`database.db`).

Run it in the folder of a site that `edge-sdk init --local . --profile apsystems_ema` made. Bits stay set in there for
days, so an alarm is recorded when the bits of an inverter change, not whenever they are read.
"""

import argparse
import sqlite3
from contextlib import closing
from time import sleep

from edge_sdk import EdgeError, Gateway
from edge_sdk.sources.apsystems_local import parse_events

ROWS = 1_000
NEWEST = "SELECT device, eve FROM Event ORDER BY rowid DESC LIMIT ?"


def latest(path: str) -> tuple[dict[object, dict[str, object]], int]:
    """Return the newest events of each inverter, and how many rows are none."""
    found, bad = {}, 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute(NEWEST, [ROWS]).fetchall()
    for device, eve in reversed(rows):
        try:
            found[device] = parse_events(device, eve)
        except EdgeError:
            bad += 1
    return found, bad


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("database")
parser.add_argument("--polls", type=int, default=1)
parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS")
said = parser.parse_args()
with Gateway.open("site.toml") as gateway:
    told: dict[object, dict[str, object]] = {}
    taken = bad = 0
    for poll in range(said.polls):
        sleep(said.every if poll else 0)
        try:
            found, bad = latest(said.database)
        except sqlite3.Error as error:
            print(f"the database could not be read: {type(error).__name__}")
            continue
        for device, fields in found.items():
            if fields != told.get(device, parse_events(device, "")):
                taken += bool(gateway.record("alarm", fields))
        told = found
    print(f"{taken} alarms taken, {bad} rows that are none")
    print(f"{gateway.drain(timeout_s=10, cut=True)} batches wait for the collector")
