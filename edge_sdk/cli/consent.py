"""
``edge-sdk consent``, ``wipe`` and ``ledger``: what the people of the house may do, with or without a network.

With no gateway running the command opens the site itself; beside a running one it leaves a request in the state folder
and waits for the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from edge_sdk import files
from edge_sdk.cli.asking import ask_running, do_here
from edge_sdk.cli.given import read_given, seconds
from edge_sdk.config import Config
from edge_sdk.core.keys import LedgerKey
from edge_sdk.core.receipt import WipeReceipt
from edge_sdk.erasing import erase_unopened
from edge_sdk.errors import (
    BadInput,
    ConfigError,
    FolderInUse,
    LifecycleRefused,
    Refused,
    StorageError,
    VaultUnavailable,
)
from edge_sdk.http_transport import transport_to
from edge_sdk.keystore import FileKeyStore
from edge_sdk.lanes import deliver, deliver_held, waiting
from edge_sdk.ledger import check_head, read_ledger
from edge_sdk.opening import chance, draw
from edge_sdk.requests import Asked, Wish
from edge_sdk.running import Running
from edge_sdk.vault import Vault
from edge_sdk.wipe import is_complete


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the commands.
    """
    consent = commands.add_parser("consent", help="withdraw a purpose, or bring a statement by file")
    verbs = consent.add_subparsers(metavar="VERB", required=True)
    withdraw = _with_config(verbs.add_parser("withdraw", help="stop a purpose and destroy what waits for it"))
    withdraw.add_argument("purpose", help="as the policy names it, or cross_border")
    withdraw.set_defaults(func=_withdraw)
    bring = _with_config(verbs.add_parser("import", help="accept a signed statement from a file"))
    bring.add_argument("file", metavar="FILE", help="what 'edge-sdk collector statement' wrote")
    bring.set_defaults(func=_import)

    wipe = _with_config(commands.add_parser("wipe", help="erase the site for good and keep a receipt"))
    wipe.add_argument("--confirm", metavar="NAME", required=True, help="the site's name, as site.toml has it")
    saying = "longest wait for the collector (default: 30)"
    wipe.add_argument("--timeout", type=seconds, default=30.0, metavar="SECONDS", help=saying)
    wipe.set_defaults(func=_wipe)

    ledger = commands.add_parser("ledger", help="what happened on this device")
    books = ledger.add_subparsers(metavar="VERB", required=True)
    _with_config(books.add_parser("show", help="print every entry")).set_defaults(func=_show)
    verify = _with_config(books.add_parser("verify", help="check that nothing was changed, removed or cut off"))
    verify.add_argument("--head", metavar="LENGTH:HEX", help="what the authority was told, from 'collector devices'")
    verify.set_defaults(func=_verify)
    _with_config(books.add_parser("export", help="print every entry as JSON Lines")).set_defaults(func=_export)


def _with_config(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--config", default="site.toml", help="the site (default: site.toml)")
    return parser


def _withdraw(arguments: argparse.Namespace) -> int:
    config = Config.read(arguments.config)
    asked = Asked(Wish.WITHDRAW, arguments.purpose)
    do_here(config, asked, lambda site, now: site.line.withdraw(arguments.purpose, now))
    print(f"{arguments.purpose}: withdrawn; its keys and everything that waited for it are destroyed")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    config = Config.read(arguments.config)
    bundle = read_given(Path(arguments.file), 1 << 16)
    asked = Asked(Wish.IMPORT, content=bundle)
    try:
        do_here(config, asked, lambda site, now: site.line.consent.accept_statement(bundle, now))
    except BadInput as error:
        error.hint = error.hint or "bring what 'edge-sdk collector statement' wrote at the operator, for this device"
        raise
    print("statement accepted")
    return 0


def _wipe(arguments: argparse.Namespace) -> int:
    config = Config.read(arguments.config)
    if arguments.confirm != config.name:
        raise Refused("that is not this site's name; nothing was erased", hint="--confirm takes the name in site.toml")
    incomplete = False
    if not waiting(config.folder) or files.exists(config.folder / "vault.bin"):
        try:
            incomplete = not asyncio.run(_erase(config, arguments.timeout))
        except FolderInUse:
            ask_running(config.folder, Asked(Wish.WIPE))
            print("the running gateway erases the site and delivers the receipt")
            return 0
        except LifecycleRefused:  # an erase was cut off; opening the site has finished it
            print("the erase that was cut off is finished")
    left = asyncio.run(_deliver(config, arguments.timeout))
    print(f"{left} receipts wait for the collector; run this again" if left else "the receipt is with the collector")
    return 5 if incomplete else 6 if left else 0


async def _erase(config: Config, timeout_s: float) -> bool:
    """
    Erase the site, also where it does not open; return whether nothing is left and the receipt is kept.
    """
    try:
        running = Running(config, None)
        done, lane = await asyncio.to_thread(running.wipe_whole), running.site.lane
    except (FolderInUse, VaultUnavailable):
        raise
    except StorageError as error:
        print(f"the site does not open ({error}); erasing what is there", file=sys.stderr)
        done, lane = erase_unopened(config)
    is_complete = _print_receipt(done.receipt)
    if done.is_stored:
        return is_complete
    stopped = asyncio.Event()
    asyncio.get_running_loop().call_later(timeout_s, stopped.set)
    reach = partial(transport_to, config)
    is_told = await deliver_held(lane, transport_to=reach, chance=chance, draw=draw, stopped=stopped)
    told = "the collector has it" if is_told else "it is lost"
    print(f"the medium does not take the receipt; {told}", file=sys.stderr)
    return False


def _print_receipt(receipt: WipeReceipt) -> bool:
    for store in receipt.stores:
        print(f"{store.name}: {store.method}{'' if store.verified else ', NOT VERIFIED'}, {store.items} items")
    if not is_complete(receipt):
        print("not everything could be erased: destroy the medium", file=sys.stderr)
    return is_complete(receipt)


async def _deliver(config: Config, timeout_s: float) -> int:
    stopped = asyncio.Event()
    asyncio.get_running_loop().call_later(timeout_s, stopped.set)
    await deliver(config.folder, transport_to=partial(transport_to, config), chance=chance, draw=draw, stopped=stopped)
    return len(waiting(config.folder))


def _show(arguments: argparse.Namespace) -> int:
    folder, key = _ledger(arguments)
    for entry in read_ledger(folder, key):
        when = datetime.fromtimestamp(entry.at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if entry.at_s else "-"
        what = entry.happened.name.lower().replace("_", " ")
        counts = " ".join(map(str, entry.counts))
        print(f"{entry.number:6}  {when:20}  {what:20}  {entry.purpose or '':20}  {counts}".rstrip())
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    folder, key = _ledger(arguments)
    count = sum(1 for _ in read_ledger(folder, key))
    if arguments.head:
        try:
            length, head = arguments.head.split(":")
            told = bytes.fromhex(head), int(length)
        except ValueError:
            raise ConfigError("--head is not LENGTH:HEX", hint="copy it from 'edge-sdk collector devices'") from None
        check_head(folder, key, told)
    print(f"{count} entries, each bound to the one before" + ("; nothing is cut off" if arguments.head else ""))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    folder, key = _ledger(arguments)
    for entry in read_ledger(folder, key):
        told = {"number": entry.number, "at_s": entry.at_s, "event": entry.happened.name.lower()}
        print(json.dumps({**told, "purpose": entry.purpose, "counts": list(entry.counts)}))
    return 0


def _ledger(arguments: argparse.Namespace) -> tuple[Path, LedgerKey]:
    config = Config.read(arguments.config)
    vault = Vault.open(config.folder, FileKeyStore(config.folder), draw=draw, finish=False)
    return config.folder, vault.ring.ledger
