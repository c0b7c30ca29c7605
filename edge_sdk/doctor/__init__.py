"""
What breaks gateways in the field, looked at one by one, each with how to mend it.

    finding   a check's name, its exit code, what was found and what to do
    board     versions, instructions for AES, swap, core dumps
    disk      room, inodes, how long a sync takes, who may read what
    papers    the pinned root and the statement, and how old they are
    network   the name, the certificate, the clock against the collector's signed time

Reads and measures; writes only a file of its own into the state folder, to time a sync, and removes it. Works beside a
running gateway or agent. A finding names files, numbers and the collector's host, never anything of the household.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from edge_sdk.config import Config
from edge_sdk.doctor.board import aes, core_dumps, swap, versions
from edge_sdk.doctor.disk import inodes, permissions, socket_permissions, space, sync
from edge_sdk.doctor.finding import Check, Finding, Level
from edge_sdk.doctor.network import clock, dns, tls
from edge_sdk.doctor.papers import root, statement
from edge_sdk.errors import StorageError

__all__ = ["Check", "Finding", "Level", "examine"]


def examine(config: Config, socket: Path | None) -> Iterator[Finding]:
    """
    Yield what each check finds, in the order of their exit codes.

    Args:
        socket: the agent's, None where there is no agent.
    """
    yield versions(config)
    yield aes(config)
    yield root(config)
    yield statement(config)
    yield _looked(Check.SPACE, partial(space, config))
    yield _looked(Check.INODES, partial(inodes, config))
    yield sync(config)
    yield _looked(Check.PERMISSIONS, partial(permissions, config))
    if socket is not None:
        yield _looked(Check.SOCKET, partial(socket_permissions, socket))
    yield swap()
    yield core_dumps()
    found = dns(config)
    yield found
    if found.level is Level.BAD:
        yield Finding(Check.TLS, Level.NOT_CHECKED, "the collector's name is not known")
        yield Finding(Check.CLOCK, Level.NOT_CHECKED, "the collector's name is not known")
        return
    yield tls(config)
    yield clock(config)


def _looked(check: Check, look: Callable[[], Finding]) -> Finding:
    """
    Return what *look* finds; that it was not let look is a finding too, and no end of the others.
    """
    try:
        return look()
    except StorageError as error:
        return Finding(check, Level.BAD, str(error), error.hint)
