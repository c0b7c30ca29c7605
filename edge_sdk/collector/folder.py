"""
The embedded default: intake, opener and authority over the three folders of one collector folder.

This is what the command line calls, and the only room of the collector that builds objects from files. Each
part can be built alone from its own folder by whoever runs them apart. Not here: reading policy files,
showing anything, time (it comes in).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.collector.authority import Authority
from edge_sdk.collector.claim import TryLimit
from edge_sdk.collector.gaps import StreamGap
from edge_sdk.collector.intake import Limits
from edge_sdk.collector.keyring import Places, read_recipients
from edge_sdk.collector.offices import AuthorityKeys, Posted, authority_keys, intake_signers
from edge_sdk.collector.opened import OpenerStore, Place
from edge_sdk.collector.opener import Opener
from edge_sdk.collector.orders import OrderLimit
from edge_sdk.collector.publishing import Outlets
from edge_sdk.collector.reception import Reception
from edge_sdk.collector.registry import Registry
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.collector.statements import Draw
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core.claims import Status
from edge_sdk.core.policy import Policy


@dataclass(frozen=True, slots=True)
class DeviceGrants:
    """
    One enrolled device as the command line shows it: purposes with the status of the grant in force.
    """

    generation: bytes
    enrolled_s: int
    account: str
    statement_version: int
    purposes: dict[str, str]


@dataclass(frozen=True, slots=True)
class OpenerReport:
    """
    What an opener knows beside its rows.

    ``set_aside`` counts bodies that could not be opened, by reason.
    """

    gaps: tuple[StreamGap, ...]
    forks: tuple[Place, ...]
    repeats: int
    set_aside: dict[str, int]


@contextmanager
def open_authority(
    folder: Path, *, draw: Draw = secrets.token_bytes, limit: OrderLimit | None = None
) -> Iterator[Authority]:
    """
    Lend the authority of a collector folder, with intake and opener as its outlets.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    places = Places(folder)
    keys = Posted(places, authority_keys)
    with ExitStack() as stack:
        intake = stack.enter_context(closing(IntakeStore(places.store)))
        yield assemble_authority(places, stack, keys=keys, intake=intake, draw=draw, limit=limit)


def assemble_authority(
    places: Places,
    stack: ExitStack,
    *,
    keys: Callable[[], AuthorityKeys],
    intake: IntakeStore,
    draw: Draw,
    limit: OrderLimit | None = None,
) -> Authority:
    """
    Return the authority over *places* that publishes into *intake*; its own files are closed by *stack*.

    Raises:
        StorageError: a file fails.
    """
    return Authority(
        stack.enter_context(closing(Registry(places.registry))),
        keys=keys,
        outlets=Outlets(
            intake=intake,
            opener=stack.enter_context(closing(OpenerStore(places.opened))),
        ),
        tries=TryLimit(),
        limit=limit or OrderLimit(),
        draw=draw,
    )


@contextmanager
def open_reception(folder: Path, *, limits: Limits, draw: Draw = secrets.token_bytes) -> Iterator[Reception]:
    """
    Lend a reception with an authority in it, for a server.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    places = Places(folder)
    keys, signers = Posted(places, authority_keys), Posted(places, intake_signers)
    with ExitStack() as stack:
        store = stack.enter_context(closing(IntakeStore(places.store)))
        authority = assemble_authority(places, stack, keys=keys, intake=store, draw=draw)
        yield Reception(store, signers=signers, limits=limits, authority=authority)


@contextmanager
def open_opener(folder: Path) -> Iterator[Opener]:
    """
    Lend the opener of a collector folder, after it has taken what waits at the intake.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    places = Places(folder)
    places.read_root()
    with ExitStack() as stack:
        opened = stack.enter_context(closing(OpenerStore(places.opened)))
        intake = stack.enter_context(closing(IntakeStore(places.store)))
        opener = Opener(opened, seeds=read_recipients(places.opener), purposes=opened.purposes())
        opener.retry(intake)
        opener.take_waiting(intake)
        yield opener


def serve(
    folder: Path,
    host: str,
    port: int,
    *,
    now_s: Callable[[], int],
    log: logging.Logger,
    ready: Callable[[int], None],
    limits: Limits | None = None,
) -> None:
    """
    Serve a collector folder until SIGTERM or SIGINT.

    Args:
        folder: made by :func:`founding.init_collector`.
        host: address to listen on; put TLS in front of any but loopback.
        port: 0 for any free one.
        now_s: returns Unix seconds.
        log: told of failures by event name only.
        ready: called with the port once connections are taken.
        limits: of requests; None for those of the format.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
        OSError: the address cannot be had.

    Blocks: until it is told to stop.
    """
    from edge_sdk.collector.server import Hosting, Server  # aiohttp: only who serves pays for it

    async def run(reception: Reception) -> None:
        await Server(reception, Hosting(now_s=now_s, log=log, ready=ready)).run(host, port)

    with open_reception(folder, limits=limits or Limits()) as reception:
        asyncio.run(run(reception))


def enrol_code(folder: Path, *, now_s: int) -> str:
    """
    Return a new claim code, good for one enrolment within 24 hours.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: a code that was returned can be redeemed.
    """
    with open_authority(folder) as authority:
        return authority.issue_code(now_s)


def devices(folder: Path) -> list[DeviceGrants]:
    """
    Return the enrolled devices, oldest first.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    places = Places(folder)
    places.read_root()
    with closing(Registry(places.registry)) as registry:
        return [
            DeviceGrants(
                device.generation,
                device.enrolled_s,
                device.account,
                device.statement_version,
                {row.purpose: row.status for row in registry.grants(device.generation) if not row.ended_s},
            )
            for device in registry.devices()
        ]


def grant(folder: Path, generation: bytes, purpose: str, *, status: Status, now_s: int) -> None:
    """
    Record a consent event of one device; its next downlink tells the device.

    Raises:
        ConfigError: no such device or purpose.
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: the event is recorded or not; a running server publishes what is recorded.
    """
    with open_authority(folder) as authority:
        authority.set_grant(generation, purpose, status, now_s)


def add_policies(folder: Path, policies: Sequence[Policy], *, now_s: int) -> None:
    """
    Add purposes, or new editions of them; those that need no consent are granted to every device.

    Raises:
        ConfigError: a purpose has no certified recipient.
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: adding them again completes what is missing.
    """
    with open_authority(folder) as authority:
        authority.adopt([purpose for policy in policies for purpose in policy.purposes.values()], now_s)


def open_rows(folder: Path) -> Iterator[OpenedRow]:
    """
    Open what waits at the intake, then yield every row ever opened, in order of opening.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    with open_opener(folder) as opener:
        for _, row in opener.rows():
            yield row


def opener_report(folder: Path) -> OpenerReport:
    """
    Open what waits at the intake, then return what is missing, forked, repeated or could not be opened.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    with open_opener(folder) as opener:
        reasons: dict[str, int] = {}
        for kept in opener.set_aside():
            reasons[kept.reason] = reasons.get(kept.reason, 0) + 1
        return OpenerReport(tuple(opener.gaps()), tuple(opener.forks()), opener.repeats(), reasons)
