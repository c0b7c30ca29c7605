"""
``python -m edge_sdk.bench.start SITE.toml COUNT``: a fresh process, from nothing to durable readings.

Prints one line of JSON: seconds of processor time and of wall time to the first durable reading, and what the process
occupies then and after COUNT readings with nobody to send them to. A process of its own, so that nothing of the
command line is in it.
"""

from __future__ import annotations

import json
import sys

from edge_sdk.bench import meter
from edge_sdk.bench.workload import just_before, make_readings
from edge_sdk.clock import wall_s
from edge_sdk.gateway import Gateway

_PER_FLUSH = 500


def main() -> None:
    """
    Open the site, record, flush, tell.
    """
    site, count = sys.argv[1], int(sys.argv[2])
    began = meter.wall_ns()
    gateway = Gateway.open(site)
    readings = make_readings(count, start_ms=just_before(wall_s() * 1000, count))
    gateway.record("inverter", readings[0][1], at_ms=readings[0][0])
    gateway.flush()
    told = {"opened_s": (meter.wall_ns() - began) / 1e9, "cpu_s": meter.cpu_s(), "small": meter.memory_bytes()[0]}
    for number, (at_ms, fields) in enumerate(readings[1:], 1):
        gateway.record("inverter", fields, at_ms=at_ms)
        if number % _PER_FLUSH == 0:
            gateway.flush()
    now, most = meter.memory_bytes()
    gateway.close()
    sys.stdout.write(json.dumps({**told, "steady": now, "peak": most}) + "\n")


if __name__ == "__main__":
    main()
