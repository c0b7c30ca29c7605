"""
Lane sets of generations that are over: each holds a wipe receipt until the authority has signed for it.

A wiped site keeps its lane set under another name, so that a new generation can be enrolled beside it. Delivering needs
nothing else: routing secret, address, pinned root and the sealed receipt lie in it. No status code, quota or consent
drops a receipt; only a signed receipt for it does, and then the lane set is overwritten and removed.

Files: lane.0.bin to lane.7.bin.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.clock import Clock
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import authorization, epoch_of, route
from edge_sdk.core.receipt import Kind, judge
from edge_sdk.core.retry import delay_s
from edge_sdk.errors import StorageError, UplinkError
from edge_sdk.transport import Lane as QueueLane
from edge_sdk.transport import Request, Transport
from edge_sdk.vault import read_lane

MAX_LANES: Final = 8
_PATH: Final = "/v1/control"


def retire(folder: Path) -> None:
    """
    Put the lane set of a wiped generation aside, after what is left of the intent.

    After a power cut: done again at the next start.

    Raises:
        StorageError: when as many receipts as are kept could not be delivered yet.
    """
    files.remove(folder / "wipe.bin")
    for number in range(MAX_LANES):
        place = _place(folder, number)
        if not files.exists(place):
            files.move(folder / "lane.bin", place)
            return
    raise StorageError(f"{MAX_LANES} wipe receipts wait to be delivered", hint="let the device reach its collector")


def waiting(folder: Path) -> list[Path]:
    """
    Return the lane sets whose receipt is still to be delivered.
    """
    return [place for number in range(MAX_LANES) if files.exists(place := _place(folder, number))]


async def deliver(
    folder: Path,
    *,
    transport_to: Callable[[str], Transport],
    chance: Callable[[], float],
    stopped: asyncio.Event,
) -> None:
    """
    Try to deliver every waiting receipt, with full-jitter back-off, until all are delivered or *stopped*.

    Args:
        transport_to: makes a transport to an address.

    After a power cut: a receipt is there and tried again, or was signed for; sent twice it is stored once.
    """
    attempt = 0
    clock = Clock()
    while not stopped.is_set() and (places := waiting(folder)):
        for place in places:
            if await _deliver_one(place, transport_to, clock):
                files.remove(place)
        if waiting(folder):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), delay_s(attempt, chance()))
            attempt += 1


async def _deliver_one(place: Path, transport_to: Callable[[str], Transport], clock: Clock) -> bool:
    """
    Try once; a lane set that cannot be read is tried again like one that is not answered.
    """
    try:
        lane = read_lane(place.parent, place.name)
    except StorageError:
        return False
    transport = transport_to(lane.address)
    headers = {
        "Authorization": authorization(
            route(lane.routing, epoch_of(clock.now().wall_s)), "POST", _PATH, lane.receipt
        ),
        "Content-Type": "application/cose",
    }
    try:
        response = await transport.send(Request("POST", _PATH, headers, lane.receipt, QueueLane.WIPE))
    except (UplinkError, OSError):
        return False
    finally:
        await transport.close()
    outcome = judge(
        response.status,
        response.body,
        root=pinned_root(lane.root),
        batch_id=outer(lane.receipt).batch_id or b"",
        body_sha256=hashlib.sha256(lane.receipt).digest(),
    )
    return outcome.kind is Kind.ACKED


def _place(folder: Path, number: int) -> Path:
    return folder / f"lane.{number}.bin"
