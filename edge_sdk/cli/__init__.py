"""
The command ``edge-sdk``: one module per group of commands.

Everything that is printed is printed here. What a user can mend is told in a sentence, with the exit code of its
class (``edge_sdk.errors``); what is our mistake shows a traceback.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Final

from edge_sdk import __version__
from edge_sdk.errors import ConfigError, EdgeError

EXIT_INTERRUPTED = 130
GROUPS: Final = {
    "demo": ("demo",),
    "setup": ("init",),
    "policy": ("policy",),
    "profile": ("profile",),
    "preview": ("preview",),
    "replay": ("replay",),
    "agent": ("agent",),
    "standing": ("status",),
    "outbox": ("outbox",),
    "doctor": ("doctor",),
    "consent": ("consent", "wipe", "ledger"),
    "rights": ("describe", "export"),
    "bench": ("bench",),
    "shim": ("shim",),
    "collector": ("collector",),
}
"""The modules of this room that add commands, in the order of the help, and the commands that each of them adds."""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command and return its exit code.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if not words:
        parser().print_help(sys.stderr)
        return ConfigError.exit_code
    arguments = parser(words).parse_args(words)
    try:
        code: int = arguments.func(arguments)
    except EdgeError as error:
        print(f"edge-sdk: {error}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has seen enough
        return 0
    return code


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """
    Return the parser of the whole command line, or as much of it as *words* have use for: all groups together take a
    second of a slow core, and megabytes of what stays in memory.
    """
    top = argparse.ArgumentParser(
        prog="edge-sdk",
        description="Minimise, encrypt and batch gateway telemetry; honour consent; wipe on cancellation.",
        epilog="Exit codes: 0 done, 2 a file or option must be edited, 3 refused, 4 bad input, 5 storage, 6 network.",
    )
    top.add_argument("--version", action="version", version=f"edge-sdk {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for group in _groups(words[0] if words else ""):
        import_module(f"edge_sdk.cli.{group}").register(commands)
    return top


def _groups(word: str) -> Iterable[str]:
    if word == "--version":
        return ()
    return next(([group] for group, names in GROUPS.items() if word in names), GROUPS)
