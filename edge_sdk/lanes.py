"""
Lane sets of generations that are over: each holds a wipe receipt until the authority has signed for it.

A wiped site keeps its lane set under another name, so that a new generation can be enrolled beside it. Delivering needs
nothing else: routing secret, address, pinned root and the sealed receipt lie in it. No status code, quota or consent
drops a receipt; only a signed receipt for it does, and then the lane set is overwritten and removed. Where the clock or
the root of this device are behind, signed time and the roots that follow are asked for, as a running site does.

Files: lane.0.bin to lane.7.bin; where all of them are taken, a ninth waits as lane.bin and holds up the next enrolment.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.carrying import carry, let_go
from edge_sdk.clock import Clock
from edge_sdk.core.documents import accept_root, pinned_root
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import authorization, epoch_of, route
from edge_sdk.core.receipt import Kind, judge
from edge_sdk.core.retry import FIRST_S, delay_s, retry_after_s, spread_s
from edge_sdk.errors import EdgeError, FolderInUse, StorageError
from edge_sdk.hearing import hear_time
from edge_sdk.transport import Lane as QueueLane
from edge_sdk.transport import Request, Response, Transport
from edge_sdk.vault import Draw, Lane, read_lane

MAX_LANES: Final = 8
_PATH: Final = "/v1/control"
_CONTENT: Final = {"Content-Type": "application/cose"}
_FIRST: Final = "lane.bin"


@dataclass(frozen=True)
class Tried:
    """
    What came of a try: the receipt where it was signed for, else the pause that was asked for, 0 for none.
    """

    receipt: bytes | None = None
    wish_s: float = 0.0


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
            hint="let the device reach its collector: 'edge-sdk wipe --confirm NAME' delivers them",
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
    draw: Draw,
    stopped: asyncio.Event,
) -> None:
    """
    Try to deliver every waiting receipt, with full-jitter back-off, until all are delivered or *stopped*.

    One whose collector asks for a later time waits for it (SPEC 3.3); the others are tried meanwhile.

    Args:
        transport_to: makes a transport to an address.
        draw: returns random bytes, for the nonce of a request for signed time.

    After a power cut: a receipt is there and tried again, or was signed for; sent twice it is stored once.
    """
    attempt = 0
    clock = Clock()
    later_ms: dict[Path, int] = {}
    while not stopped.is_set() and (places := waiting(folder)):
        for place in places:
            if later_ms.get(place, 0) > clock.now().mono_ms:
                continue
            tried = await _deliver_one(place, transport_to, clock, draw)
            later_ms[place] = clock.now().mono_ms + int(1000 * _pause_s(tried, chance))
            if tried.receipt is not None:
                _forget(place, tried.receipt)
        if waiting(folder):
            await _wait(stopped, delay_s(attempt, chance()))
            attempt += 1


async def deliver_held(
    lane: Lane,
    *,
    transport_to: Callable[[str], Transport],
    chance: Callable[[], float],
    draw: Draw,
    stopped: asyncio.Event,
) -> bool:
    """
    Try to deliver a receipt that no file holds, until it is signed for or *stopped*; return whether it was.
    """
    clock, attempt = Clock(), 0
    while not stopped.is_set():
        tried = await _try(lane, transport_to(lane.address), clock, draw)
        if tried.receipt is not None:
            return True
        await _wait(stopped, max(delay_s(attempt, chance()), _pause_s(tried, chance)))
        attempt += 1
    return False


def _pause_s(tried: Tried, chance: Callable[[], float]) -> float:
    return spread_s(tried.wish_s, FIRST_S, chance()) if tried.wish_s else 0.0


async def _wait(stopped: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopped.wait(), seconds)


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


async def _deliver_one(
    place: Path, transport_to: Callable[[str], Transport], clock: Clock, draw: Draw
) -> Tried:
    """
    Try once; a lane set that cannot be read is tried again like one that is not answered.
    """
    try:
        lane = read_lane(place.parent, place.name)
        transport = transport_to(lane.address)
    except EdgeError:
        return Tried()
    return await _try(lane, transport, clock, draw)


async def _try(lane: Lane, transport: Transport, clock: Clock, draw: Draw) -> Tried:
    try:
        response = await _ask(transport, lane, clock, "POST", _PATH, lane.receipt)
        if response.status == 401:  # a tag of another day is not known: perhaps it is this clock that is wrong
            await hear_time(clock, pinned_root(lane.root), transport, draw=draw, lane=QueueLane.WIPE)
            response = await _ask(transport, lane, clock, "POST", _PATH, lane.receipt)
        if await _is_receipted(response, transport, lane, clock):
            return Tried(lane.receipt)
        return Tried(wish_s=retry_after_s(response.headers.get("retry-after", ""), clock.now().wall_s) or 0.0)
    except (EdgeError, OSError):
        return Tried()
    finally:
        await let_go(transport)


async def _is_receipted(response: Response, transport: Transport, lane: Lane, clock: Clock) -> bool:
    """
    Tell whether an answer is a receipt, by the root that was pinned or one that follows it step by step.

    Roots taken here are not stored: the lane goes when there is a receipt, and asks again when there is none.
    """
    root = pinned_root(lane.root)
    while True:
        outcome = judge(
            response.status,
            response.body,
            root=root,
            batch_id=outer(lane.receipt).batch_id or b"",
            body_sha256=hashlib.sha256(lane.receipt).digest(),
        )
        if outcome.kind is not Kind.LATER or response.status != 200:
            return outcome.kind is Kind.ACKED
        root = accept_root(root, (await _ask(transport, lane, clock, "GET", f"/v1/root/{root.version + 1}")).body)


async def _ask(
    transport: Transport, lane: Lane, clock: Clock, method: str, path: str, body: bytes = b""
) -> Response:
    tag = route(lane.routing, epoch_of(clock.now().wall_s))
    headers = {"Authorization": authorization(tag, method, path, body)} | (_CONTENT if body else {})
    return await carry(transport, Request(method, path, headers, body, QueueLane.WIPE))


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
