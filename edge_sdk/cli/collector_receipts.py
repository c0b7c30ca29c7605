"""
``edge-sdk collector receipts``: which wipe orders were confirmed and how, which were not, what to delete elsewhere.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edge_sdk.cli.instants import said
from edge_sdk.cli.tables import print_table
from edge_sdk.clock import wall_s
from edge_sdk.collector import operating
from edge_sdk.collector.casebook import Erasure, OrderRow
from edge_sdk.collector.erasures import EndingsReport
from edge_sdk.core.receipt import StoreErased


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    receipts = verbs.add_parser("receipts", help="who has erased what, who has not, and what to delete elsewhere")
    receipts.add_argument("folder", metavar="DIR", help="the folder of the collector")
    receipts.add_argument("--json", action="store_true", help="print everything as one JSON value")
    receipts.add_argument(
        "--delete", action="store_true", help="delete here what cancelled accounts and ended grants had sent"
    )
    receipts.set_defaults(func=_receipts)


def _receipts(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.folder)
    now_s = wall_s()
    deleted = operating.delete_ended(folder, now_s=now_s) if arguments.delete else None
    report = operating.endings(folder, now_s=now_s)
    if arguments.json:
        shown = _as_json(report, now_s)
        if deleted is not None:
            shown["deleted"] = {"streams": deleted.streams, "rows": deleted.rows, "kept": list(deleted.kept)}
        print(json.dumps(shown, indent=2))
        return 0
    _show(report, now_s)
    if deleted is not None:
        print(f"deleted here: {deleted.rows} rows of {deleted.streams} streams")
        for purpose in deleted.kept:
            print(f"kept here: {purpose}, which rests on a legal obligation")
    return 0


def _show(report: EndingsReport, now_s: int) -> None:
    orders = [
        [row.generation.hex(), _scope(row.scope), said(row.issued_s), said(row.not_before_s), _state(row, now_s)]
        for row in report.orders
    ]
    print_table("Wipe orders", ["device", "erase", "issued", "not before", "state"], orders)
    erasures = [
        [
            each.generation.hex(),
            _scope(each.receipt.scope),
            said(each.receipt.at_s),
            "device" if each.receipt.nonce is None else "order",
            ", ".join(_store(store) for store in each.receipt.stores),
            each.receipt.firmware,
        ]
        for each in report.erasures
    ]
    headings = ["device", "erased", "at", "asked by", "stores", "firmware"]
    print_table("Receipts, signed by the device", headings, erasures)
    withdrawals = [[row.generation.hex(), row.purpose, said(row.at_s)] for row in report.withdrawals]
    print_table("Withdrawn on the device", ["device", "purpose", "at"], withdrawals)
    elsewhere = [
        [each.generation.hex(), each.purpose, " ".join(kid.hex() for kid in each.recipients), str(len(each.streams))]
        for each in report.elsewhere
    ]
    headings = ["device", "purpose", "recipient keys", "streams"]
    print_table("To delete at recipients (--json lists the streams)", headings, elsewhere)
    alarms = [
        ["-" if row.generation is None else row.generation.hex(), row.what, str(row.count), said(row.last_s)]
        for row in report.alarms
    ]
    print_table("Alarms", ["device", "what", "times", "last"], alarms)
    if not (orders or erasures or withdrawals):
        print("no wipe was ordered or reported, and nothing was withdrawn on a device")


def _as_json(report: EndingsReport, now_s: int) -> dict[str, Any]:
    return {
        "orders": [
            {
                "device": row.generation.hex(),
                "nonce": row.nonce.hex(),
                "scope": list(row.scope),
                "issued_s": row.issued_s,
                "not_before_s": row.not_before_s,
                "confirmed_s": row.confirmed_s,
                "replaced_by": None if row.replaced_by is None else row.replaced_by.hex(),
                "waiting_s": now_s - row.issued_s if row.is_open else None,
            }
            for row in report.orders
        ],
        "receipts": [_erasure_as_json(each) for each in report.erasures],
        "withdrawals": [
            {"device": row.generation.hex(), "purpose": row.purpose, "grant": row.grant.hex(), "at_s": row.at_s}
            for row in report.withdrawals
        ],
        "elsewhere": [
            {
                "device": each.generation.hex(),
                "purpose": each.purpose,
                "recipients": [kid.hex() for kid in each.recipients],
                "streams": [stream.hex() for stream in each.streams],
            }
            for each in report.elsewhere
        ],
        "alarms": [
            {
                "device": None if row.generation is None else row.generation.hex(),
                "what": row.what,
                "count": row.count,
                "first_s": row.first_s,
                "last_s": row.last_s,
            }
            for row in report.alarms
        ],
    }


def _erasure_as_json(each: Erasure) -> dict[str, Any]:
    receipt = each.receipt
    return {
        "device": each.generation.hex(),
        "nonce": None if receipt.nonce is None else receipt.nonce.hex(),
        "scope": list(receipt.scope),
        "at_s": receipt.at_s,
        "heard_s": each.heard_s,
        "stores": [
            {"name": store.name, "method": str(store.method), "verified": store.verified, "items": store.items}
            for store in receipt.stores
        ],
        "firmware": str(receipt.firmware),
        "ledger": {"head": receipt.ledger_head.hex(), "length": receipt.ledger_length},
        "software": receipt.software,
    }


def _scope(scope: tuple[str, ...]) -> str:
    return ", ".join(scope) or "everything"


def _store(store: StoreErased) -> str:
    return f"{store.name} {store.method}{'' if store.verified else ' (not verified)'}"


def _state(order: OrderRow, now_s: int) -> str:
    if order.confirmed_s is not None:
        return f"confirmed {said(order.confirmed_s)}"
    if order.replaced_by is not None:
        return "replaced by a wider one"
    hours = max(0, now_s - order.issued_s) // 3600
    return f"NOT CONFIRMED for {hours // 24} d {hours % 24} h"
