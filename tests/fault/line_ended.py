"""
What must hold of a state folder in which an ending was cut off: start it again, look at what is left, try a copy on it.

Owns the judgement for wipe, withdrawal and replacement of the root key. Each returns how many rows the site had, how
many of them it still has, and how many are destroyed; raises AssertionError where a promise is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import opening
from edge_sdk.core.messages import Withdrawal
from edge_sdk.errors import LifecycleRefused, NotProvisioned, VaultUnavailable
from edge_sdk.wipe import STORES
from tests.fault.line_clone import Copy, anything_in, copy_of, keys_left, rows_in
from tests.fault.line_site import BEGIN_MS, METER, SERIALS, ScriptedClock, config_for

CANARIES: Final = tuple(serial.encode() for serial in (*SERIALS, METER))
ERASED: Final = {name + end for _, names in STORES for name in (*names, "root.key") for end in ("", ".new")} | {
    "wipe.bin", "wipe.bin.new", "lane.bin", "lane.bin.new",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Before:
    """
    A site before its ending: where its site.toml is, what a copy of its folder holds, its rows by purpose.

    Rows are those of the purposes that take every reading: windows become rows when they are cut.
    """

    place: Path
    copy: Copy
    rows: dict[str, int]

    @classmethod
    def of(cls, place: Path) -> Before:
        rows = rows_in(place / "state")
        del rows["statistics"]
        return cls(place, copy_of(place / "state"), rows)

    def tally(self, left: Mapping[str, int], destroyed: int) -> dict[str, int]:
        """
        Return the counts for the table; what is neither left nor destroyed is unexplained.
        """
        produced, kept = sum(self.rows.values()), sum(left.get(purpose, 0) for purpose in self.rows)
        return {
            "produced": produced,
            "delivered": kept,
            "counted": destroyed,
            "unexplained": abs(produced - kept - destroyed),
        }


def wiped_or_untouched(before: Before, state: Path, marks: tuple[str, ...]) -> dict[str, int]:
    """
    Start the site again after a wipe was cut off.
    """
    no_canary(state)
    clock = ScriptedClock(BEGIN_MS + 700_000)
    begun = "intended" in marks or not (state / "lane.bin").exists()
    with clock.installed():
        try:
            left = works(opens(before, state), clock, state)
        except LifecycleRefused:
            assert "asked" in marks, "erased, and nobody had asked"
        except (NotProvisioned, VaultUnavailable):
            assert not (state / "lane.bin").exists(), "the keys are gone, and the erase is not finished"
        else:
            assert not begun, "the intent was on disk, and the site goes on"
            return before.tally(left, 0)
    no_canary(state)
    names = {path.name for path in state.iterdir()}
    assert not names & ERASED, f"left: {sorted(names & ERASED)}"
    assert "lane.0.bin" in names, "the receipt is lost"
    opened = before.copy.opened_by(set(anything_in(state)))
    assert not opened, f"a copy and what is left open {sorted(opened)}"
    return before.tally({}, sum(before.rows.values()))


def closed_or_untouched(before: Before, state: Path, marks: tuple[str, ...]) -> dict[str, int]:
    """
    Start the site again after a withdrawal was cut off.
    """
    no_canary(state)
    clock = ScriptedClock(BEGIN_MS + 700_000)
    with clock.installed():
        site = opens(before, state)
        collects = site.line.binding.decisions["research"].collect is not None
        assert collects or "asked" in marks, "withdrawn, and nobody had asked"
        assert not collects or "ended" not in marks, "withdrawn, and collected again"
        assert collects != bool(site.line.consent.held.denied)
        if not collects:
            _nothing_of_research(site)
        left = works(site, clock, state)
    no_canary(state)
    if collects:
        return before.tally(left, 0)
    of_research = {(one.place, one.purpose) for one in before.copy.locked if one.purpose == "research"}
    _copy_stays_shut(before, state, {"purpose research", "pseudonym research"}, {*of_research, ("vault.bin", "")})
    return before.tally(left, before.rows["research"])


def replaced_or_untouched(before: Before, state: Path, marks: tuple[str, ...]) -> dict[str, int]:
    """
    Start the site again after the replacement of its root key was cut off.
    """
    no_canary(state)
    clock = ScriptedClock(BEGIN_MS + 700_000)
    with clock.installed():
        site = opens(before, state)
        key = site.line.rooms.vault.ring.pseudonyms["statistics"][1]
        is_new = key.reveal() != before.copy.keys["pseudonym statistics"]
        assert is_new or "ended" not in marks, "the key that was destroyed is in force again"
        assert not is_new or "asked" in marks, "replaced, and nobody had asked"
        assert not (state / "root.key.new").exists() or not is_new, "the replacement is not finished"
        left = works(site, clock, state)
    no_canary(state)
    if is_new:
        _copy_stays_shut(before, state, {"pseudonym statistics"}, {("vault.bin", "")})
    return before.tally(left, 0)


ENDINGS: Final[dict[str, Callable[[Before, Path, tuple[str, ...]], dict[str, int]]]] = {
    "wipe": wiped_or_untouched,
    "withdraw": closed_or_untouched,
    "replace": replaced_or_untouched,
}


def opens(before: Before, state: Path) -> opening.Site:
    return opening.open_site(config_for(before.place, state))[0]


def works(site: opening.Site, clock: ScriptedClock, state: Path) -> dict[str, int]:
    """
    Stop an open site after one more reading; return the rows it has then, but for that reading's.
    """
    clock.wall_ms += 60_000
    fields = {"serial": SERIALS[0], "number": 7, "bit": 1, "power": 1.0}
    site.line.step(site.clock.now(), flush=True)
    left = rows_in(state)
    assert site.line.recording.record("inverter", fields, clock.wall_ms) > 0
    site.line.finish(site.clock.now())
    site.close()
    return left


def no_canary(state: Path) -> None:
    for path in state.iterdir():
        octets = path.read_bytes() if path.is_file() else b""
        assert not any(canary in octets for canary in CANARIES), f"a serial lies in {path.name} in the clear"


def _nothing_of_research(site: opening.Site) -> None:
    rooms = site.line.rooms
    left = {entry.ref for entry in rooms.vault.ring.purposes.values() if entry.purpose == "research"}
    assert not left, "keys of a withdrawn purpose"
    refs = {entry.ref for entry in rooms.vault.ring.purposes.values()}
    assert {row.ref for row in rooms.outbox.streams()} <= refs, "rows of a withdrawn purpose"
    rows = {row.id for row in rooms.outbox.streams()}
    assert {row for row, _ in rooms.page.entries} <= rows, "page keys of a withdrawn purpose"
    waits = any(isinstance(told, Withdrawal) for told in site.line.consent.held.to_tell)
    assert waits or rooms.outbox.first_control(), "the authority is not told"


def _copy_stays_shut(before: Before, state: Path, destroyed: set[str], shut: set[tuple[str, str]]) -> None:
    """
    Try every key left on a copy from before, and look for the destroyed keys in every file.
    """
    if "purpose research" in destroyed:
        destroyed |= {name for name in before.copy.keys if name.startswith("batch research")}
    lying = before.copy.keys_lying_in(state, {"root", *destroyed})
    assert not lying, f"destroyed keys lie in the clear: {sorted(lying)}"
    opened = before.copy.opened_by(set(keys_left(state))) & shut
    assert not opened, f"a copy and the keys that are left open {sorted(opened)}"
