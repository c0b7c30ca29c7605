"""
What the ECU of the demo would upload today: the round of its readings that gives most, as one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from edge_sdk.cli import demo_plant as plant
from edge_sdk.sources.apsystems_upload import Upload, compose_upload, parse_upload
from edge_sdk.sources.replay import Recorded


def upload_of(readings: Sequence[Recorded]) -> Upload:
    """
    Return the frame of the best round in *readings*: all inverters, and the gateway that was asked after them.
    """
    ends = [at for at, reading in enumerate(readings) if reading.kind == "gateway" and at >= plant.INVERTERS]
    best = max(ends, key=lambda at: float(readings[at].fields.get("ac_power", 0)))
    inverters = [reading.fields for reading in readings[best - plant.INVERTERS : best]]
    stamp = datetime.fromtimestamp(readings[best].at_ms / 1000, UTC).strftime("%Y%m%d%H%M%S")
    return parse_upload(compose_upload(stamp, readings[best].fields, inverters))
