"""
The command ``edge-sdk``: one module per group of commands.

Everything that is printed is printed here. What a user can mend is told in a sentence, with the exit code of its
class (``edge_sdk.errors``); what is our mistake shows a traceback.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from edge_sdk import __version__
from edge_sdk.cli import agent
from edge_sdk.errors import EdgeError

EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command and return its exit code.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = parser(only_agent=words[:1] == ["agent"]).parse_args(words)
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


def parser(*, only_agent: bool = False) -> argparse.ArgumentParser:
    """
    Return the parser of the whole command line, or as much of it as the agent, which stays in memory, has use for.
    """
    top = argparse.ArgumentParser(
        prog="edge-sdk",
        description="Minimise, encrypt and batch gateway telemetry; honour consent; wipe on cancellation.",
        epilog="Exit codes: 0 done, 2 a file or option must be edited, 3 refused, 4 bad input, 5 storage, 6 network.",
    )
    top.add_argument("--version", action="version", version=f"edge-sdk {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for group in [agent] if only_agent else _groups():
        group.register(commands)
    return top


def _groups() -> list[ModuleType]:
    # Imported here, because together they take megabytes.
    from edge_sdk.cli import (
        bench,
        collector,
        consent,
        demo,
        doctor,
        outbox,
        policy,
        preview,
        profile,
        replay,
        rights,
        setup,
        shim,
        standing,
    )

    seeing = [standing, outbox, doctor, consent, rights]
    return [demo, setup, policy, profile, preview, replay, agent, *seeing, bench, shim, collector]
