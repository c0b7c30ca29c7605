"""
``edge-sdk collector`` on keys: the next root, and the keys that batches are sealed to.
"""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import Final

from edge_sdk.cli.given import described
from edge_sdk.cli.instants import said
from edge_sdk.cli.tables import print_table
from edge_sdk.clock import wall_s
from edge_sdk.collector import operating
from edge_sdk.collector.certifying import RECIPIENT_KEY_VALID_S
from edge_sdk.collector.keyring import Places
from edge_sdk.collector.rotation import Rotation, rotate_root
from edge_sdk.core.claims import KID_BYTES, Mechanism, Role
from edge_sdk.core.units import parse_duration
from edge_sdk.errors import ConfigError
from edge_sdk.suites import SUITES

_ENROLMENT: Final = "enrolment"


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the commands.
    """
    rotate = verbs.add_parser("rotate-root", help="make the next version of the root, with new keys for some roles")
    rotate.add_argument("folder", metavar="DIR", help="the folder of the collector")
    rotate.add_argument(
        "--role", action="append", default=[], choices=[*(role.name.lower() for role in Role), _ENROLMENT],
        help="give this role new keys; may be repeated; without any, all keys stay",
    )  # fmt: skip
    rotate.add_argument("--keys", type=int, metavar="N", help="so many keys for each of them (default: as before)")
    rotate.add_argument("--threshold", type=int, metavar="M", help="of which so many sign (default: as before)")
    rotate.set_defaults(func=_rotate)

    saying = "the keys that batches are sealed to"
    recipients = verbs.add_parser("recipients", help=saying, description=described(__doc__))
    acts = recipients.add_subparsers(metavar="VERB", required=True)
    listed = acts.add_parser("list", help="list the certified keys")
    listed.add_argument("folder", metavar="DIR", help="the folder of the collector")
    listed.set_defaults(func=_list)
    _register_add(acts)
    retire = acts.add_parser("retire", help="have devices seal to a key no more")
    retire.add_argument("folder", metavar="DIR", help="the folder of the collector")
    retire.add_argument("kid", metavar="KEY", help="its name, as 'recipients list' prints it")
    retire.add_argument(
        "--withdraw", action="store_true", help="it is in the wrong hands: what waits sealed to it is not sent either"
    )
    retire.set_defaults(func=_retire)


def _register_add(acts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = acts.add_parser("add", help="certify a key, made here unless --public-key names one")
    add.add_argument("folder", metavar="DIR", help="the folder of the collector")
    add.add_argument("--operator", required=True, help="recipient, as policies name it")
    add.add_argument("--region", required=True, help="where it is, as policies name it, such as EU")
    add.add_argument(
        "--mechanism", required=True, choices=[str(word) for word in Mechanism],
        help="the ground on which data may go there, where it is abroad",
    )  # fmt: skip
    add.add_argument("--suite", choices=list(SUITES), default="hpke-9-ke", help="default: hpke-9-ke, post-quantum")
    add.add_argument("--public-key", metavar="HEX", help="the operator's own; its private part stays there")
    add.add_argument("--valid", default=f"{RECIPIENT_KEY_VALID_S // 86_400}d", metavar="DURATION", help="from now")
    add.set_defaults(func=_add)


def _rotate(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.folder)
    if (arguments.keys or arguments.threshold) and not arguments.role:
        raise ConfigError("--keys and --threshold are for roles that get new keys", hint="name them with --role")
    roles = tuple(Role[name.upper()] for name in dict.fromkeys(arguments.role) if name != _ENROLMENT)
    rotation = Rotation(roles, _ENROLMENT in arguments.role, arguments.keys, arguments.threshold)
    root = rotate_root(folder, rotation, now_s=wall_s(), draw=secrets.token_bytes)
    print(f"root version {root.version} is in force; devices take it step by step")
    print(f"root to pin on new devices: {Places(folder).root}")
    for role in roles:
        keys = root.roles[role]
        print(f"{role.name.lower()}: {len(keys.keys)} new key(s), {keys.threshold} must sign")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    document = operating.recipients(Path(arguments.folder))
    rows = [
        [key.kid.hex(), key.operator, key.region, key.mechanism, _suite(key.alg), said(key.nbf_s), said(key.exp_s)]
        for key in document.keys
    ]
    headings = ["key", "operator", "region", "mechanism", "suite", "from", "until"]
    print_table(f"Recipients, version {document.version}", headings, rows)
    return 0


def _add(arguments: argparse.Namespace) -> int:
    now_s = wall_s()
    try:
        valid_s = parse_duration(arguments.valid) // 1000
        public = None if arguments.public_key is None else bytes.fromhex(arguments.public_key)
    except ValueError as exc:
        raise ConfigError("--valid or --public-key cannot be read", hint="write 730d, and the key in hex") from exc
    offer = operating.KeyOffer(
        operator=arguments.operator,
        region=arguments.region,
        mechanism=Mechanism(arguments.mechanism),
        alg=SUITES[arguments.suite],
        nbf_s=now_s,
        exp_s=now_s + valid_s,
        public=public,
    )
    key = operating.add_recipient(Path(arguments.folder), offer, now_s=now_s)
    print(f"recipient {key.operator} in {key.region}: key {key.kid.hex()}")
    return 0


def _retire(arguments: argparse.Namespace) -> int:
    try:
        kid = bytes.fromhex(arguments.kid)
    except ValueError:
        kid = b""
    if len(kid) != KID_BYTES:
        raise ConfigError("KEY is no name of a key", hint=f"it has {2 * KID_BYTES} hex digits")
    operating.retire_recipient(Path(arguments.folder), kid, withdraw=arguments.withdraw, now_s=wall_s())
    print("withdrawn" if arguments.withdraw else "retired")
    return 0


def _suite(alg: int) -> str:
    return next((name for name, number in SUITES.items() if number == alg), str(alg))
