"""
The receiving side, in the order data meets it:

    server      HTTP to answers, one worker thread
    reception   which endpoint does what
    intake      what the ingest tier decides about one request (pure; host it where you like)
    store       the intake's file: bodies, tags; no device identity
    opener      opens batches: rows, gaps, forks, what had to be set aside, what was forgotten
    opened      the opener's file; gaps and rows beside it are pure
    authority   enrols; keeps grants and accounts
    orders      wipe orders, so many an hour
    listening   what devices tell: withdrawals, ended streams, ledger heads, wipe receipts
    publishing  statements, tags, downlinks, stream keys, roots, recipients
    registry    the authority's file; casebook is its record of endings; claim, statements, streams, purposes,
                certifying and rate beside it are pure
    offices     which keys sign under the root in force; keyring says where they lie
    founding    makes a collector; rotation makes its next root
    folder      the embedded default of all three; operating is what an operator does to it, erasures what
                was erased and what is still to be

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
