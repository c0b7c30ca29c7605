"""
The program that notices an incident and throws the switch under the recorder.

``noticed`` is marked when an incident was noted, ``told`` when its message is sealed and queued, ``stopped`` and
``resumed`` when the switch was thrown; ``resuming`` just before, since a cut then may leave it either way.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from edge_sdk import opening
from edge_sdk.core.incidents import Kind
from tests.fault.line_site import BEGIN_MS, ScriptedClock, config_for, drawn_from

_ROOT: Final = Path(__file__).resolve().parents[2]
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]); from tests.fault.line_incident import main; main(sys.argv[2:])"
)


def program(place: Path) -> list[str]:
    """
    Return the command that does all of it at the site in *place*.
    """
    return [sys.executable, "-B", "-c", _BOOT, str(_ROOT), str(place)]


def main(arguments: list[str]) -> None:
    """
    Open the site, notice something, tell it, stop uploads and let them go on.
    """
    from fault_mark import mark  # type: ignore[import-not-found]  # the recorder puts it on the path

    place = Path(arguments[0])
    clock = ScriptedClock(BEGIN_MS + 600_000)
    with clock.installed(), drawn_from(7):
        site, _ = opening.open_site(config_for(place, place / "state"))
        now = site.clock.now()
        site.line.incidents.note(Kind.FORGED, "wipe order", now, evidence=b"order")
        mark("noticed")
        site.line.telling.seal_waiting(now)
        mark("told")
        site.line.incidents.stop(now)
        mark("stopped")
        mark("resuming")
        site.line.incidents.resume(now)
        mark("resumed")
        site.line.finish(now)
        site.close()
