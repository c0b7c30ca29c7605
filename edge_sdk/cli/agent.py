"""
``edge-sdk agent``: serve firmware on a socket until SIGTERM.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys

from edge_sdk.agent import Settings, serve
from edge_sdk.cli.given import described


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    saying = "serve firmware on a socket, for one or many sites"
    agent = commands.add_parser("agent", help=saying, description=described(__doc__))
    agent.add_argument("--config", default="agent.toml", help="the agent (default: agent.toml)")
    agent.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Serve; the log goes to stderr.

    Raises:
        ConfigError: a file is wrong.
        StorageError: the socket cannot be made.
    """
    settings = Settings.read(arguments.config)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold keys and readings
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    serve(settings, closed=_say_closed)
    return 0


def _say_closed(site: str, why: str) -> None:
    print(f"edge-sdk: site {site} is closed: {why}", file=sys.stderr, flush=True)
