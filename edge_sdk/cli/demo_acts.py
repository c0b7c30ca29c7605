"""
The second half of the demo: consent withdrawn on the device and by the operator, then the account, and what is left.

Played on the site and the collector of the first half, with the commands a household and an operator would use; the
gateway runs in this process where time is taken. Nothing is decided here: facts go to ``demo_endings``.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.beside import status_beside
from edge_sdk.cli import demo_canary, demo_copies, demo_rows
from edge_sdk.cli.demo_endings import Act, Cancelled, Copied, WithdrawnHere, WithdrawnThere
from edge_sdk.cli.demo_folders import Folders, write_readings
from edge_sdk.cli.demo_relay import Relay
from edge_sdk.cli.demo_stage import Child, port_of
from edge_sdk.clock import mono_ms, wall_s
from edge_sdk.collector import operating
from edge_sdk.collector.folder import open_opener
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.config import Config
from edge_sdk.core.policy import Basis, Policy
from edge_sdk.core.table import Row
from edge_sdk.core.units import MINUTE_MS
from edge_sdk.errors import LifecycleRefused, UplinkError
from edge_sdk.gateway import Gateway
from edge_sdk.sources.replay import Recorded

PART_MS: Final = 20 * MINUTE_MS
PARTS: Final = 5
_BATCH: Final = b"POST /v1/batches "
_TELL: Final = b"POST /v1/control "
_ASK: Final = b"GET /v1/downlink "
_LOOK_S: Final = 0.002
_PATIENCE_MS: Final = 20_000
_TRY_S: Final = 0.3  # for a replay while the network is away: long enough to seal


@dataclass(frozen=True, slots=True)
class Parts:
    """
    The readings of a household in order: ``main`` for the first half of the demo, twenty minutes for each act after.
    """

    main: Sequence[Recorded]
    offline: Sequence[Recorded]
    resumed: Sequence[Recorded]
    granted: Sequence[Recorded]
    told: Sequence[Recorded]
    away: Sequence[Recorded]


@dataclass(slots=True)
class _Scene:
    """
    Where the acts play, and the number of the last row that was opened.
    """

    folders: Folders
    policy: Policy
    minimiser: demo_rows.Minimiser
    relay: Relay
    port: int
    logs: dict[str, str]
    last: int = 0

    def command(self, *words: str) -> int:
        with Child(words) as child:
            code = child.wait()
        self.logs[f"{len(self.logs):02} {' '.join(word for word in words[:3] if '/' not in word)}"] = child.log
        return code

    def replay(self, name: str, readings: Sequence[Recorded], *, timeout_s: float = 20) -> int:
        path = self.folders.top / f"{name}.jsonl"
        write_readings(path, readings)
        config = ("--config", str(self.folders.config))
        return self.command("replay", str(path), *config, "--cut", "--timeout", str(timeout_s))

    def connect(self, *, up: bool) -> None:
        self.relay.target = self.port if up else None

    def new_rows(self) -> list[OpenedRow]:
        with open_opener(self.folders.collector) as opener:
            found = list(opener.rows(self.last))
        self.last = found[-1][0] if found else self.last
        return [row for _, row in found]

    def queues(self) -> dict[str, tuple[int, int]]:
        status = status_beside(Config.read(self.folders.config))
        return {purpose.name: (purpose.queued_batches, purpose.queued_bytes) for purpose in status.purposes}

    def compare(self, rows: Iterable[OpenedRow], *parts: Sequence[Recorded], but: str) -> list[demo_rows.Compared]:
        """
        Compare rows with what *parts*, the next in order, give for all purposes but one.
        """
        minimised: dict[demo_rows.Place, list[Row]] = defaultdict(list)
        for part in parts:
            for place, found in self.minimiser.take(part).items():
                minimised[place] += found
        views = {place: view for place, view in demo_rows.views_of(self.policy).items() if place[0] != but}
        return demo_rows.compare(
            views,
            {place: found for place, found in minimised.items() if place in views},
            demo_rows.as_minimised(row for row in rows if row.purpose != but),
        )


def split(readings: Sequence[Recorded]) -> Parts:
    """
    Keep the last hundred minutes of *readings* for the acts.
    """
    ends_ms = readings[-1].at_ms + 1
    edges = [0, *(ends_ms - part * PART_MS for part in range(PARTS, -1, -1))]
    return Parts(*([each for each in readings if a <= each.at_ms < b] for a, b in pairwise(edges)))


def withdrawable(policy: Policy) -> str | None:
    """
    Return the purpose to withdraw: the first that rests on consent, or else on an interest one may object to.
    """
    for basis in (Basis.CONSENT, Basis.LEGITIMATE_INTEREST):
        for purpose in policy.purposes.values():
            if purpose.basis is basis:
                return purpose.name
    return None


def play(
    folders: Folders, policy: Policy, parts: Parts, minimiser: demo_rows.Minimiser, relay: Relay, logs: dict[str, str]
) -> Iterator[Act]:
    """
    Play the acts on what the first half left, and yield the facts of each when it is over.

    Args:
        minimiser: it has taken the first half.
        logs: what each command printed is added to it.

    Raises:
        UplinkError: something that was to happen did not happen in time.
    """
    told = StringIO()
    serve = ["collector", "serve", str(folders.collector), "--port", "0"]
    with Child(serve) as collector, _logged_to(told):
        scene = _Scene(folders, policy, minimiser, relay, port_of(collector), logs)
        scene.new_rows()  # those of the first half
        if (purpose := withdrawable(policy)) is not None:
            yield _withdraw_here(scene, purpose, parts)
            yield _withdraw_there(scene, purpose, parts)
        yield _cancel(scene, parts)
    logs |= {"collector serve, again": collector.log, "gateway in the demo": told.getvalue()}


def _withdraw_here(scene: _Scene, purpose: str, parts: Parts) -> WithdrawnHere:
    scene.connect(up=False)
    exits = {"replay, offline": scene.replay("offline", parts.offline, timeout_s=_TRY_S)}
    before = scene.queues()
    copy = demo_copies.take(scene.folders.state, scene.folders.top / "copy-before-withdrawal")
    exits["consent withdraw"] = scene.command("consent", "withdraw", purpose, "--config", str(scene.folders.config))
    after = scene.queues()
    copied = _copied(copy, demo_copies.keys_of(scene.folders.state))
    scene.connect(up=True)
    messages = len(scene.relay.asked(_TELL))
    exits["replay"] = scene.replay("resumed", parts.resumed)
    rows = scene.new_rows()
    told = operating.endings(scene.folders.collector, now_s=wall_s()).withdrawals
    return WithdrawnHere(
        purpose=purpose,
        exits=exits,
        before=before,
        after=after,
        copied=copied,
        told_s=next((each.at_s for each in told if each.purpose == purpose), None),
        messages=len(scene.relay.asked(_TELL)) - messages,
        rows=scene.compare(rows, parts.offline, parts.resumed, but=purpose),
        rows_withdrawn=sum(row.purpose == purpose for row in rows),
    )


def _withdraw_there(scene: _Scene, purpose: str, parts: Parts) -> WithdrawnThere:
    set_consent = ("collector", "consent", "set", str(scene.folders.collector), purpose)
    exits = {"consent set given": scene.command(*set_consent, "given")}
    scene.minimiser.begin_again(purpose)
    half = parts.told[0].at_ms + PART_MS // 2
    told = [each for each in parts.told if each.at_ms < half]
    after = parts.told[len(told) :]
    with Gateway.open(scene.folders.config) as gateway:
        _until(lambda: _collects(gateway, purpose), "the new grant was not heard")
        _feed(gateway, parts.granted)
        granted = scene.compare(scene.new_rows(), parts.granted, but="")
        exits["consent set withdrawn"] = scene.command(*set_consent, "withdrawn")
        said_ms = mono_ms()
        sending = threading.Thread(target=_feed, args=(gateway, told), name="demo-feed", daemon=True)
        sending.start()
        _until(lambda: not _collects(gateway, purpose), "the withdrawal was not heard")
        effect_ms = mono_ms()
        heard_ms = scene.relay.answered(_ASK)[-1]
        sending.join()
        rows = scene.new_rows()
        _feed(gateway, after)
        waiting = sum(each.queued_batches for each in gateway.status().purposes if each.name == purpose)
    later = scene.new_rows()
    return WithdrawnThere(
        purpose=purpose,
        exits=exits,
        granted=granted,
        heard_ms=heard_ms - said_ms,
        effect_ms=effect_ms - heard_ms,
        rows=scene.compare([*rows, *later], told, after, but=purpose),
        rows_after=sum(row.purpose == purpose for row in later),
        waiting=waiting,
    )


def _cancel(scene: _Scene, parts: Parts) -> Cancelled:
    scene.connect(up=False)
    exits = {"replay, offline": scene.replay("away", parts.away, timeout_s=_TRY_S)}
    queues = scene.queues().values()
    copy = demo_copies.take(scene.folders.state, scene.folders.top / "copy-before-wipe")
    exits["collector cancel"] = scene.command("collector", "cancel", str(scene.folders.collector))
    sent = len(scene.relay.asked(_BATCH))
    erased_ms, refusal = _come_back(scene, parts.away[0])
    report = operating.endings(scene.folders.collector, now_s=wall_s())
    left = [(path.name, files.size(path)) for path in files.tree(scene.folders.state)]
    # What a device has longest is the lane set, until the receipt is signed for: it counts as left.
    lane = demo_copies.take_one(copy / "lane.bin", scene.folders.top / "lane-set")
    keys = [key for folder in (scene.folders.site, lane) for key in demo_copies.everything_in(folder)]
    return Cancelled(
        exits=exits,
        waiting=(sum(batches for batches, _ in queues), sum(held for _, held in queues)),
        sent=len(scene.relay.asked(_BATCH)) - sent,
        erased_ms=erased_ms,
        refusal=refusal,
        left=left,
        orders=report.orders,
        erasures=report.erasures,
        copied=_copied(copy, keys),
        searched={
            "site": demo_canary.search(demo_canary.contents(scene.folders.site)),
            "copy": demo_canary.search(demo_canary.contents(copy)),
            "wire": demo_canary.search([*scene.relay.sent, *scene.relay.received]),
            "logs": demo_canary.search(log.encode() for log in scene.logs.values()),
        },
    )


def _come_back(scene: _Scene, reading: Recorded) -> tuple[int, str]:
    """
    Start the gateway with the network there; return after how many ms its keys were gone, and what record() says then.
    """
    state = scene.folders.state
    scene.connect(up=True)
    began_ms = mono_ms()
    with Gateway.open(scene.folders.config) as gateway:
        _until(lambda: not files.exists(state / "vault.bin"), "the device did not erase itself")
        erased_ms = mono_ms() - began_ms
        _until(lambda: not any(path.match("lane*") for path in files.tree(state)), "the receipt was not delivered")
        return erased_ms, _refusal(gateway, reading)


def _copied(copy: Path, left: Iterable[bytes]) -> Copied:
    root_key = demo_copies.without_root_key(copy)
    return Copied(
        demo_copies.opens(copy, [root_key]), demo_copies.opens(copy, left), demo_copies.purposes_in(copy, root_key)
    )


def _collects(gateway: Gateway, purpose: str) -> bool:
    return any(each.collecting for each in gateway.status().purposes if each.name == purpose)


def _feed(gateway: Gateway, readings: Iterable[Recorded]) -> None:
    for reading in readings:
        gateway.record(reading.kind, reading.fields, at_ms=reading.at_ms)
    gateway.drain(_PATIENCE_MS / 1000, cut=True)


def _refusal(gateway: Gateway, reading: Recorded) -> str:
    try:
        gateway.record(reading.kind, reading.fields, at_ms=reading.at_ms)
    except LifecycleRefused as refused:
        return str(refused)
    return ""


@contextmanager
def _logged_to(told: StringIO) -> Iterator[None]:
    """
    Have what the gateway of this process logs go to *told*.
    """
    handler = logging.StreamHandler(told)
    logger = logging.getLogger("edge_sdk")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    ends_ms = mono_ms() + _PATIENCE_MS
    while not holds():
        if mono_ms() >= ends_ms:
            raise UplinkError(otherwise, hint="run the demo again; if it stays so, that is a bug")
        threading.Event().wait(_LOOK_S)
