"""
What the demo's acts of ending gave, and what of it should not be so.

Facts only, measured or read back from the files of either side by ``demo_acts``; ``demo_report`` prints them. Consent
withdrawn on the device, consent withdrawn by the operator, the account cancelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_sdk.cli.demo_copies import Opened
from edge_sdk.cli.demo_rows import Compared
from edge_sdk.collector.casebook import Erasure, OrderRow
from edge_sdk.wipe import is_complete

EFFECT_MS: Final = 1_000  # a change takes effect within a second of its arrival
_LEFT: Final = 6  # exit code of a replay that could not send everything


@dataclass(frozen=True, slots=True)
class Copied:
    """
    A copy of the state folder, root key taken out: what opens with that key, and with the keys left afterwards.
    """

    own: Opened
    left: Opened
    purposes: Mapping[bytes, str]

    def of(self, purpose: str) -> tuple[int, int, int]:
        """
        Return how many batches of *purpose* there are, come out with the root key, and with the keys left.
        """
        refs = [ref for ref, name in self.purposes.items() if name == purpose and ref in self.own.batches]
        own, left = ([opened.batches[ref] for ref in refs] for opened in (self.own, self.left))
        return sum(of for _, of in own), sum(came for came, _ in own), sum(came for came, _ in left)


@dataclass(frozen=True, slots=True)
class WithdrawnHere:
    """
    Consent withdrawn on the device. Queues are (batches, bytes) by purpose; ``told_s`` is None if nobody was told.
    """

    purpose: str
    exits: Mapping[str, int]
    before: Mapping[str, tuple[int, int]]
    after: Mapping[str, tuple[int, int]]
    copied: Copied
    told_s: int | None
    messages: int
    rows: Sequence[Compared]
    rows_withdrawn: int


@dataclass(frozen=True, slots=True)
class WithdrawnThere:
    """
    Consent given again and withdrawn by the operator. ``heard_ms`` is from the operator's word to its arrival here.
    """

    purpose: str
    exits: Mapping[str, int]
    granted: Sequence[Compared]
    heard_ms: int
    effect_ms: int
    rows: Sequence[Compared]
    rows_after: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """
    The account cancelled while the device was away. ``sent`` counts batches after that; ``left`` is (name, bytes).
    """

    exits: Mapping[str, int]
    waiting: tuple[int, int]
    sent: int
    erased_ms: int
    refusal: str
    left: Sequence[tuple[str, int]]
    orders: Sequence[OrderRow]
    erasures: Sequence[Erasure]
    copied: Copied
    searched: Mapping[str, Counter[str]]


Act = WithdrawnHere | WithdrawnThere | Cancelled


def judge(act: Act) -> list[str]:
    """
    Return what of an act does not hold, in sentences.
    """
    match act:
        case WithdrawnHere():
            return [f"withdrawn on the device: {fault}" for fault in _faults_here(act)]
        case WithdrawnThere():
            return [f"withdrawn by the operator: {fault}" for fault in _faults_there(act)]
        case Cancelled():
            return [f"account cancelled: {fault}" for fault in _faults_of_wipe(act)]


def _faults_here(act: WithdrawnHere) -> list[str]:
    found = _wrong_exits(act.exits)
    if not act.before[act.purpose][0]:
        found.append(f"nothing of {act.purpose} was queued, so nothing was shown to be destroyed")
    if act.after[act.purpose] != (0, 0):
        found.append(f"{act.after[act.purpose][0]} batches of {act.purpose} are still queued")
    for name, held in act.before.items():
        if name != act.purpose and act.after[name][0] < held[0]:
            found.append(f"{name} lost {held[0] - act.after[name][0]} batches by it")
    found += _faults_of_copy(act.copied, destroyed={act.purpose})
    if act.told_s is None:
        found.append("the authority was not told")
    if act.rows_withdrawn:
        found.append(f"{act.rows_withdrawn} rows of {act.purpose} arrived afterwards")
    return found + _differences(act.rows)


def _faults_there(act: WithdrawnThere) -> list[str]:
    found = _wrong_exits(act.exits)
    if not any(each.opened for each in act.granted if each.place[0] == act.purpose):
        found.append(f"the new grant gave no row of {act.purpose}")
    if act.effect_ms > EFFECT_MS:
        found.append(f"it took effect {act.effect_ms} ms after it arrived, {EFFECT_MS} ms is the most")
    if act.rows_after:
        found.append(f"{act.rows_after} rows of {act.purpose} arrived afterwards")
    if act.waiting:
        found.append(f"{act.waiting} batches of {act.purpose} are still queued")
    return found + _differences([*act.granted, *act.rows])


def _faults_of_wipe(act: Cancelled) -> list[str]:
    found = _wrong_exits(act.exits)
    if not act.waiting[0]:
        found.append("nothing was queued, so nothing was shown to be erased")
    if act.sent:
        found.append(f"{act.sent} batches were sent after the account was cancelled")
    if not act.refusal:
        found.append("the erased site still takes readings")
    if [name for name, _ in act.left] != ["lock"]:
        found.append(f"left in the state folder: {', '.join(name for name, _ in act.left)}")
    if not act.orders or any(order.is_open for order in act.orders):
        found.append("the authority has no receipt that confirms its order")
    if not any(is_complete(each.receipt) and not each.receipt.scope for each in act.erasures):
        found.append("no receipt says that everything was erased")
    found += _faults_of_copy(act.copied, destroyed=set(act.copied.purposes.values()))
    if not act.copied.left.nothing:
        found.append("something in the copy opens with what is left on the device")
    for place, hits in act.searched.items():
        found += [f"{field}: {count} hits in the {place}" for field, count in hits.items() if count]
    return found


def _faults_of_copy(copied: Copied, *, destroyed: set[str]) -> list[str]:
    found = []
    for purpose in sorted(set(copied.purposes.values())):
        batches, own, left = copied.of(purpose)
        if own != batches:
            found.append(f"{purpose}: only {own} of {batches} batches in the copy open with its own root key")
        if left != (0 if purpose in destroyed else batches):
            found.append(f"{purpose}: {left} of {batches} batches in a copy open with the keys left on the device")
    return found


def _wrong_exits(exits: Mapping[str, int]) -> list[str]:
    wanted = {name: _LEFT if "offline" in name else 0 for name in exits}
    return [f"'{name}' ended with {code}" for name, code in exits.items() if code != wanted[name]]


def _differences(compared: Iterable[Compared]) -> list[str]:
    return [str(each) for each in compared if each.missing or each.besides]
