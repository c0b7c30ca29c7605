"""
The program that enrols a site under the recorder; ``introduced`` is marked once the authority has taken it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from tests.fault.line_site import FOUNDED_MS, ScriptedClock, introduce

_ROOT: Final = Path(__file__).resolve().parents[2]
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]); from tests.fault.line_enrolment import main; main(sys.argv[2:])"
)


def program(place: Path, code: str, snapshot: Path) -> list[str]:
    """
    Return the command that enrols the site in *place*; the collector that knows it is copied to *snapshot*.
    """
    return [sys.executable, "-B", "-c", _BOOT, str(_ROOT), str(place), code, str(snapshot)]


def main(arguments: list[str]) -> None:
    """
    Enrol.
    """
    from fault_mark import mark  # type: ignore[import-not-found]  # the recorder puts it on the path

    place, code, snapshot = Path(arguments[0]), arguments[1], Path(arguments[2])

    def answered() -> None:
        if not snapshot.exists():
            shutil.copytree(place / "collector", snapshot)
            mark("introduced")

    introduce(place, code, ScriptedClock(FOUNDED_MS), answered=answered)
    mark("enrolled")
