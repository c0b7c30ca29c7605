"""
``edge-sdk collector``: found a receiving side, serve it, issue claim codes, open its rows.
"""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_sdk.cli import collector_accounts, collector_incidents, collector_keys, collector_receipts
from edge_sdk.cli.given import described
from edge_sdk.cli.instants import said
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.collector.founding import Founded, Founding, init_collector
from edge_sdk.collector.rows import csv_lines, field_columns, json_line
from edge_sdk.core.claims import Mechanism
from edge_sdk.core.policy import Policy
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file import find_policy
from edge_sdk.suites import SUITES

_MAX_PORT = 65_535


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the commands.
    """
    group = commands.add_parser("collector", help="the receiving side", description=described(__doc__))
    verbs = group.add_subparsers(metavar="VERB", required=True)

    _add_init(verbs)
    serve = verbs.add_parser("serve", help="take batches until stopped")
    serve.add_argument("folder", metavar="DIR", help="the folder of the collector")
    serve.add_argument("--host", default="127.0.0.1", help="put TLS in front of any but loopback")
    serve.add_argument("--port", type=_port, default=8793, help="where to listen (default: 8793)")
    serve.set_defaults(func=_serve)

    code = verbs.add_parser("enrol-code", help="print a claim code, good for one device within 24 hours")
    code.add_argument("folder", metavar="DIR", help="the folder of the collector")
    code.set_defaults(func=_enrol_code)

    rows = verbs.add_parser("rows", help="open what has arrived and print it")
    rows.add_argument("folder", metavar="DIR", help="the folder of the collector")
    rows.add_argument("--format", choices=["jsonl", "csv"], default="jsonl", help="default: jsonl")
    rows.add_argument("--gaps", action="store_true", help="print what is missing and why instead")
    rows.set_defaults(func=_rows)

    devices = verbs.add_parser("devices", help="list enrolled devices, their accounts, grants and alarms")
    devices.add_argument("folder", metavar="DIR", help="the folder of the collector")
    devices.set_defaults(func=_devices)

    for more in (collector_accounts, collector_incidents, collector_receipts, collector_keys):
        more.register(verbs)


def _add_init(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = verbs.add_parser("init", help="make role keys, root, recipient keys and databases")
    init.add_argument("folder", metavar="DIR", help="the folder of the collector")
    init.add_argument(
        "--policy", action="append", required=True, metavar="FILE|NAME", help="a policy file or profile; once for each"
    )
    init.add_argument("--region", required=True, help="where the recipients are, as policies name it, such as EU")
    init.add_argument(
        "--mechanism", choices=[str(word) for word in Mechanism], default=str(Mechanism.NONE),
        help="the ground on which data may go there, where it is abroad (default: none)",
    )  # fmt: skip
    init.add_argument(
        "--recipient", action="append", default=[], type=_place, metavar="NAME=REGION:MECHANISM",
        help="a recipient that is elsewhere, or there by another mechanism; may be repeated",
    )  # fmt: skip
    init.add_argument("--grant", action="append", default=[], metavar="PURPOSE", help="consent is on file elsewhere")
    init.add_argument("--suite", choices=list(SUITES), default="hpke-9-ke", help="of the recipient keys")
    init.add_argument("--test", action="store_true", help="mark the root as one for trying out")
    init.set_defaults(func=_init)


def found(
    folder: Path,
    policies: list[Policy],
    *,
    region: str,
    mechanism: Mechanism,
    granted: Sequence[str],
    test: bool,
    suite: str,
    elsewhere: Mapping[str, tuple[str, Mechanism]] | None = None,
) -> Founded:
    """
    Make a collector for *policies*.
    """
    founding = Founding(
        policies=policies, region=region, mechanism=mechanism, granted=granted, test=test, alg=SUITES[suite],
        elsewhere=elsewhere or {},
    )  # fmt: skip
    return init_collector(folder, founding, now_s=wall_s(), draw=secrets.token_bytes)


def _place(text: str) -> tuple[str, tuple[str, Mechanism]]:
    operator, _, place = text.partition("=")
    region, _, mechanism = place.partition(":")
    known = [str(word) for word in Mechanism]
    if not operator or not region or mechanism not in known:
        raise argparse.ArgumentTypeError(f"write NAME=REGION:MECHANISM with a mechanism of {', '.join(known)}")
    return operator, (region, Mechanism(mechanism))


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"write a port from 0 (any free one) to {_MAX_PORT}")
    return int(text)


def _init(arguments: argparse.Namespace) -> int:
    founded = found(
        Path(arguments.folder),
        [find_policy(name) for name in arguments.policy],
        region=arguments.region,
        mechanism=Mechanism(arguments.mechanism),
        granted=arguments.grant,
        test=arguments.test,
        suite=arguments.suite,
        elsewhere=dict(arguments.recipient),
    )
    print(f"root to pin on devices: {founded.root_path}")
    for key in founded.recipients:
        print(f"recipient {key.operator} in {key.region}: key {key.kid.hex()}")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    log = logging.getLogger("edge_sdk.collector")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr, level=logging.WARNING)
    try:
        collecting.serve(
            Path(arguments.folder),
            arguments.host,
            arguments.port,
            now_s=wall_s,
            log=log,
            ready=lambda port: print(f"listening on {arguments.host}:{port}", flush=True),
        )
    except OSError as error:
        raise ConfigError(f"cannot listen: {error.strerror}", hint="choose another --port") from error
    return 0


def _enrol_code(arguments: argparse.Namespace) -> int:
    print(collecting.enrol_code(Path(arguments.folder), now_s=wall_s()))
    return 0


def _rows(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.folder)
    if arguments.gaps:
        report = collecting.opener_report(folder)
        for gap in report.gaps:
            reason = gap.reason.name.lower() if gap.reason is not None else "unexplained"
            span = {"first": gap.first, "last": gap.last, "count": gap.count}
            print(json.dumps({"stream": gap.stream.hex(), **span, "reason": reason}))
        for fork in report.forks:
            print(json.dumps({"fork": fork.stream.hex(), "row": fork.seq}))
        for reason, count in sorted(report.set_aside.items()):
            print(json.dumps({"set_aside": reason, "batches": count}))
        return 0
    with collecting.open_opener(folder) as opener:
        rows = (row for _, row in opener.rows())
        if arguments.format == "csv":
            lines = csv_lines(rows, field_columns(opener.editions()))
        else:
            lines = map(json_line, rows)
        is_any = False
        for line in lines:
            print(line)
            is_any = True
    if not is_any:
        print("no row has arrived; 'edge-sdk status' on the device says what waits there", file=sys.stderr)
    return 0


def _devices(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.folder)
    cases = operating.cases(folder, now_s=wall_s())
    for device in collecting.devices(folder):
        case = cases[device.generation]
        grants = ", ".join(f"{purpose}: {status}" for purpose, status in device.purposes.items())
        account = device.account if case.erased_s is None else f"{device.account}, erased"
        print(f"{device.generation.hex()}  account {account}  statement {device.statement_version}  {grants}")
        if case.ledger is not None:
            print(f"  ledger: {case.ledger.length} entries, head {case.ledger.head.hex()}, {said(case.ledger.at_s)}")
        _print_alarms(case)
    _print_alarms(cases[None])
    if still_open := [case for case in operating.incidents(folder, now_s=wall_s()) if case.closed_s is None]:
        print(f"incidents: {len(still_open)} open, see edge-sdk collector incidents {folder}")
    return 0


def _print_alarms(case: operating.DeviceCase) -> None:
    for alarm in case.alarms:
        print(f"  ALARM {alarm.what}: {alarm.count} times, last {said(alarm.last_s)}")
