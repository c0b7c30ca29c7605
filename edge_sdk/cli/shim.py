"""
``edge-sdk shim header``: the numbers of a policy as the C header that firmware is built with.
"""

from __future__ import annotations

import argparse

from edge_sdk.cli.given import described
from edge_sdk.core.shim_ids import Schema, header
from edge_sdk.policy_file import PROFILES, find_policy


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    group = commands.add_parser("shim", help="what firmware needs of a policy", description=described(__doc__))
    actions = group.add_subparsers(metavar="ACTION", required=True)
    ids = actions.add_parser("header", help="print the ids of a policy as a C header: > edge_ids.h")
    ids.add_argument(
        "policy", metavar="FILE|NAME", help=f"a policy file, or the name of a profile ({', '.join(PROFILES)})"
    )
    ids.set_defaults(func=run_header)


def run_header(arguments: argparse.Namespace) -> int:
    """
    Print the header.

    Raises:
        ConfigError: the policy is wrong, or has more fields or purposes than the socket has numbers for.
    """
    print(header(Schema(find_policy(arguments.policy))), end="")
    return 0
