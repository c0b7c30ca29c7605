"""
Lane sets of generations that are over: each holds a wipe receipt until the authority has signed for it.

A wiped site keeps its lane set under another name, so that a new generation can be enrolled beside it. Delivering needs
nothing else: routing secret, address, pinned root and the sealed receipt lie in it. No status code, quota or consent
drops a receipt; only a signed receipt for it does, and then the lane set is overwritten and removed.

Files: lane.0.bin to lane.7.bin; where all of them are taken, a ninth waits as lane.bin and holds up the next enrolment.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.carrying import carry, let_go
from edge_sdk.clock import Clock
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import authorization, epoch_of, route
from edge_sdk.core.receipt import Kind, judge
from edge_sdk.core.retry import delay_s
from edge_sdk.errors import FolderInUse, StorageError, UplinkError
from edge_sdk.transport import Lane as QueueLane
from edge_sdk.transport import Request, Transport
from edge_sdk.vault import read_lane

MAX_LANES: Final = 8
_PATH: Final = "/v1/control"
_FIRST: Final = "lane.bin"


def retire(folder: Path) -> None:
    """
    Put the lane set of a wiped generation aside, after what is left of the intent.

    Where every place is taken it stays where it is: the erase is done all the same, and only the next enrolment waits.

    After a power cut: done again at the next start.
    """
    files.remove(folder / "wipe.bin")
    for number in range(MAX_LANES):
        place = _place(folder, number)
        if not files.exists(place):
            files.move(folder / "lane.bin", place)
            return


def check_room(folder: Path) -> None:
    """
    Refuse a new generation while a receipt still lies where its lane set would: it would be written over.

    Raises:
        StorageError: as many receipts wait as are kept.
    """
    if _has_receipt(folder):
        raise StorageError(
            f"{MAX_LANES + 1} wipe receipts wait to be delivered",
            hint="let the device reach its collector: 'edge-sdk wipe' delivers them",
        )


def waiting(folder: Path) -> list[Path]:
    """
    Return the lane sets whose receipt is still to be delivered.
    """
    places = [place for number in range(MAX_LANES) if files.exists(place := _place(folder, number))]
    return [*places, folder / "lane.bin"] if _has_receipt(folder) else places


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
            receipt = await _deliver_one(place, transport_to, clock)
            if receipt is not None:
                _forget(place, receipt)
        if waiting(folder):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), delay_s(attempt, chance()))
            attempt += 1


def _forget(place: Path, receipt: bytes) -> None:
    """
    Remove a lane set whose *receipt* was signed for; in the first place another generation's may lie by now.
    """
    if place.name != _FIRST:
        files.remove(place)
        return
    try:
        lock = files.FolderLock(place.parent)
    except FolderInUse:
        return  # whoever holds it may be enrolling; it is delivered again, and stored once
    try:
        if files.exists(place) and read_lane(place.parent).receipt == receipt:
            files.remove(place)
    finally:
        lock.close()


async def _deliver_one(place: Path, transport_to: Callable[[str], Transport], clock: Clock) -> bytes | None:
    """
    Try once, return the receipt that was signed for; a lane set that cannot be read is tried again like one that is
    not answered.
    """
    try:
        lane = read_lane(place.parent, place.name)
    except StorageError:
        return None
    transport = transport_to(lane.address)
    headers = {
        "Authorization": authorization(
            route(lane.routing, epoch_of(clock.now().wall_s)), "POST", _PATH, lane.receipt
        ),
        "Content-Type": "application/cose",
    }
    try:
        response = await carry(transport, Request("POST", _PATH, headers, lane.receipt, QueueLane.WIPE))
    except (UplinkError, OSError):
        return None
    finally:
        await let_go(transport)
    outcome = judge(
        response.status,
        response.body,
        root=pinned_root(lane.root),
        batch_id=outer(lane.receipt).batch_id or b"",
        body_sha256=hashlib.sha256(lane.receipt).digest(),
    )
    return lane.receipt if outcome.kind is Kind.ACKED else None


def _has_receipt(folder: Path) -> bool:
    """
    Tell whether the lane set in the first place is of a wiped generation.
    """
    if not files.exists(folder / _FIRST):
        return False
    with contextlib.suppress(StorageError):
        return bool(read_lane(folder).receipt)
    return False


def _place(folder: Path, number: int) -> Path:
    return folder / f"lane.{number}.bin"
