"""
``edge-sdk collector`` on one household: consent, account, cancellation, the statement to carry there by hand.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path
from typing import Final

from edge_sdk.cli.given import described
from edge_sdk.cli.instants import said
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.claims import Account, Status
from edge_sdk.errors import ConfigError

_STATES: Final = {"suspend": Account.SUSPENDED, "resume": Account.ACTIVE}
_DEVICE: Final = "generation id, as 'collector devices' prints it"


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the commands.
    """
    consent = verbs.add_parser("consent", help="record what households allow", description=described(__doc__))
    events = consent.add_subparsers(metavar="VERB", required=True)
    given = events.add_parser("set", help="record a consent event of every enrolled device, or one")
    given.add_argument("folder", metavar="DIR", help="the folder of the collector")
    given.add_argument("purpose", help="as the policy names it, or cross_border")
    given.add_argument("status", choices=[str(word) for word in Status], metavar="STATUS", help=", ".join(Status))
    given.add_argument("--device", metavar="HEX", help=_DEVICE)
    given.set_defaults(func=_consent)

    account = verbs.add_parser("account", help="suspend the account of every device, or one, or take it up again")
    account.add_argument("folder", metavar="DIR", help="the folder of the collector")
    account.add_argument("state", choices=list(_STATES), help="what the account becomes")
    account.add_argument("--device", metavar="HEX", help=_DEVICE)
    account.set_defaults(func=_account)

    cancel = verbs.add_parser("cancel", help="cancel one device's account and order it to erase everything")
    cancel.add_argument("folder", metavar="DIR", help="the folder of the collector")
    cancel.add_argument("--device", metavar="HEX", help=f"{_DEVICE}; may be left out where only one is enrolled")
    cancel.add_argument(
        "--purpose", action="append", default=[], metavar="NAME", help="end and erase only this; may be repeated"
    )
    cancel.add_argument("--not-before", metavar="TIME", help="erase then, such as 2027-01-31 or 2027-01-31T12:00Z")
    cancel.set_defaults(func=_cancel)

    statement = verbs.add_parser("statement", help="write a device's statement to standard output, to carry it there")
    statement.add_argument("folder", metavar="DIR", help="the folder of the collector")
    statement.add_argument("--device", metavar="HEX", required=True, help=_DEVICE)
    statement.set_defaults(func=_statement)


def chosen_devices(folder: Path, device: str | None) -> list[bytes]:
    """
    Return the generation named in hex, or all of them.

    Raises:
        ConfigError: no such device, or none at all.
    """
    enrolled = [each.generation for each in collecting.devices(folder)]
    chosen = [generation for generation in enrolled if device in (None, generation.hex())]
    if not chosen:
        raise ConfigError("no such device is enrolled", hint="see 'edge-sdk collector devices'")
    return chosen


def _consent(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.folder)
    chosen = chosen_devices(folder, arguments.device)
    for generation in chosen:
        collecting.grant(folder, generation, arguments.purpose, status=Status(arguments.status), now_s=wall_s())
    print(f"{arguments.purpose}: {arguments.status}, for {len(chosen)} device(s)")
    return 0


def _account(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.folder)
    state = _STATES[arguments.state]
    chosen = chosen_devices(folder, arguments.device)
    for generation in chosen:
        operating.set_account(folder, generation, state, now_s=wall_s())
    print(f"account {state}, for {len(chosen)} device(s)")
    return 0


def _cancel(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.folder)
    chosen = chosen_devices(folder, arguments.device)
    if len(chosen) > 1:
        raise ConfigError(f"{len(chosen)} devices are enrolled", hint="name the one to erase with --device")
    not_before_s = None if arguments.not_before is None else _instant(arguments.not_before)
    order = operating.cancel(folder, chosen[0], arguments.purpose, not_before_s=not_before_s, now_s=wall_s())
    print(f"ordered {chosen[0].hex()} to erase {', '.join(order.scope) or 'everything'}: order {order.nonce.hex()}")
    if order.not_before_s is not None:
        print(f"not before {said(order.not_before_s)}")
    print(f"whether it has: edge-sdk collector receipts {folder}")
    return 0


def _statement(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.folder)
    (generation,) = chosen_devices(folder, arguments.device)
    if sys.stdout.isatty():
        raise ConfigError("a statement is not text", hint="write it to a file: edge-sdk collector statement ... > FILE")
    sys.stdout.buffer.write(operating.statement(folder, generation, now_s=wall_s()))
    sys.stdout.buffer.flush()
    return 0


def _instant(text: str) -> int:
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError("--not-before is no instant", hint="write 2027-01-31 or 2027-01-31T12:00Z") from exc
    return int((at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp())
