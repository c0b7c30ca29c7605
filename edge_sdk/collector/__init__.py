"""
The receiving side, in the order data meets it:

    server      HTTP to answers, one worker thread reception   which endpoint does what intake      what the
    ingest tier decides about one request (pure; host it where you like) store       the intake's file:
    bodies, tags                             no device identity opener      opens batches: rows, gaps, forks,
    what had to be set aside opened      the opener's file; gaps and rows beside it are pure authority
    enrols, keeps grants, issues statements, prepares tags, downlinks and certified stream keys registry
    the authority's file; claim, statements, streams, purposes beside it are pure founding    makes a
    collector; keyring says where its keys lie; folder is the embedded default of all three

Shares with the device side only ``core``, ``errors`` and ``files``. Nothing here prints, reads a clock or
chooses whom to trust.
"""

from __future__ import annotations

from edge_sdk.collector.folder import (
    DeviceGrants,
    OpenerReport,
    add_policies,
    devices,
    enrol_code,
    grant,
    open_authority,
    open_opener,
    open_reception,
    open_rows,
    opener_report,
    serve,
)
from edge_sdk.collector.founding import Founded, Founding, init_collector
from edge_sdk.collector.rows import OpenedRow, csv_lines, field_columns, json_line

__all__ = [
    "DeviceGrants",
    "Founded",
    "Founding",
    "OpenedRow",
    "OpenerReport",
    "add_policies",
    "csv_lines",
    "devices",
    "enrol_code",
    "field_columns",
    "grant",
    "init_collector",
    "json_line",
    "open_authority",
    "open_opener",
    "open_reception",
    "open_rows",
    "opener_report",
    "serve",
]
