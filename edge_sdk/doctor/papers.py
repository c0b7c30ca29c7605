"""
The documents a site rests on: the pinned root and the statement.
"""

from __future__ import annotations

from typing import Final

from edge_sdk import files
from edge_sdk.beside import status_beside
from edge_sdk.clock import wall_s
from edge_sdk.config import Config
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.units import EPOCH_S
from edge_sdk.doctor.finding import Check, Finding, Level
from edge_sdk.errors import EdgeError, LifecycleRefused

SOON_DAYS: Final = 7
OLD_ROOT_DAYS: Final = 3 * 365
_ROOT_LIMIT: Final = 1 << 16


def root(config: Config) -> Finding:
    """
    Read the pinned root: its version, its age, whether it is one for trying out.
    """
    try:
        pinned = pinned_root(files.read(config.root, _ROOT_LIMIT))
    except EdgeError as error:
        return Finding(Check.ROOT, Level.BAD, str(error), "bring the operator's root file; never fetch it on trust")
    days = (wall_s() - pinned.iat_s) // EPOCH_S
    said = f"root version {pinned.version}, {days} days old"
    if pinned.test:
        said = f"{said}, made for trying out"
        return Finding(Check.ROOT, Level.WARNING, said, "pin the operator's root in the field")
    if days > OLD_ROOT_DAYS:
        return Finding(Check.ROOT, Level.WARNING, said, "ask the operator for the newest root")
    return Finding(Check.ROOT, Level.GOOD, said)


def statement(config: Config) -> Finding:
    """
    Look at what is granted: since when it is known, until when it holds, and what of it collects.
    """
    try:
        status = status_beside(config)
    except LifecycleRefused as error:
        return Finding(Check.STATEMENT, Level.WARNING, str(error), "start the gateway or the agent once")
    except EdgeError as error:
        return Finding(Check.STATEMENT, Level.BAD, str(error), error.hint or "enrol the site with 'edge-sdk init'")
    if not status.statement_version:
        return Finding(Check.STATEMENT, Level.BAD, "no statement yet", "let the device reach its collector")
    days = (status.statement_expires_s - wall_s()) // EPOCH_S
    collecting = sum(purpose.collecting for purpose in status.purposes)
    said = f"statement version {status.statement_version}, {days} days left, {collecting} purposes collect"
    reach = "let the device reach its collector, or bring one with 'edge-sdk consent import'"
    if days < 0:
        return Finding(Check.STATEMENT, Level.BAD, said, reach)
    if days < SOON_DAYS:
        return Finding(Check.STATEMENT, Level.WARNING, said, reach)
    if not collecting:
        return Finding(Check.STATEMENT, Level.WARNING, said, "'edge-sdk status' says for each purpose why it does not")
    return Finding(Check.STATEMENT, Level.GOOD, said)
