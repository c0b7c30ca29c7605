"""
The program that ends something under the recorder: a site by a wipe, a purpose by a withdrawal, a key by another.

``begun`` is marked when the site has been opened and has rows, windows and batches of every purpose; ``asked`` just
before the ending; ``ended`` when it has returned. ``restart`` only starts the site, to finish what was cut off.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from edge_sdk import opening
from edge_sdk.core.keys import next_pseudonym_key
from edge_sdk.errors import LifecycleRefused
from tests.fault.line_plan import Plan
from tests.fault.line_site import BEGIN_MS, ScriptedClock, config_for, drawn_from

_ROOT: Final = Path(__file__).resolve().parents[2]
_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from tests.fault.line_ending import main; main(sys.argv[2:])"


def program(place: Path, ending: str) -> list[str]:
    """
    Return the command that opens the site in *place* and ends something: ``wipe``, ``withdraw``, ``replace``.
    """
    return [sys.executable, "-B", "-c", _BOOT, str(_ROOT), str(place), ending]


def fill(place: Path) -> None:
    """
    Give the site in *place* queued batches, rows on disk and open windows, and stop it.
    """
    clock, plan = ScriptedClock(BEGIN_MS), Plan()
    plan.record(40)
    with clock.installed(), drawn_from(6):
        site, _ = opening.open_site(config_for(place, place / "state"))
        for reading in plan.readings[:30]:
            clock.wall_ms = reading.at_ms
            site.line.recording.record(reading.kind, reading.fields, reading.at_ms)
        site.line.step(site.clock.now(), close=True)
        for reading in plan.readings[30:]:
            clock.wall_ms = reading.at_ms
            site.line.recording.record(reading.kind, reading.fields, reading.at_ms)
        site.line.finish(site.clock.now())
        site.close()


def main(arguments: list[str]) -> None:
    """
    Open the site and end what is to be ended.
    """
    from fault_mark import mark  # type: ignore[import-not-found]  # the recorder puts it on the path

    place, ending = Path(arguments[0]), arguments[1]
    clock = ScriptedClock(BEGIN_MS + 600_000)
    with clock.installed(), drawn_from(7):
        try:
            site, _ = opening.open_site(config_for(place, place / "state"))
        except LifecycleRefused:
            assert ending == "restart"
            return
        mark("begun")
        if ending == "restart":
            return
        mark("asked")
        if ending == "wipe":
            site.begin_wipe(site.clock.now(), None)
            mark("intended")
            site.finish_wipe()
            mark("ended")
            return
        if ending == "withdraw":
            site.line.withdraw("research", site.clock.now())
        else:
            period, key = site.line.rooms.vault.ring.pseudonyms["statistics"]
            site.line.rooms.vault.put_pseudonym("statistics", period + 1, next_pseudonym_key(key))
        mark("ended")
        site.line.finish(site.clock.now())
        site.close()
