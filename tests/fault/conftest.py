"""
The table of what was tried: printed at the end of a run of the fault tests, whatever came of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.fault.sweep import Report

_TABLE = pytest.StashKey[dict[str, Counter[str]]]()
_COUNTS = ("tries", "produced", "delivered", "counted", "unexplained", "cpu s")


@pytest.fixture
def entered(request: pytest.FixtureRequest) -> Callable[[str, Report], None]:
    """
    Return the function that enters a report under the name of its fault; parts of one fault are added up.
    """
    table = request.config.stash.setdefault(_TABLE, {})

    def enter(fault: str, report: Report) -> None:
        row = table.setdefault(fault, Counter())
        row.update(report.counts)
        row["tries"] += report.checked
        row["unexplained"] += len(report.violations)
        row["cpu s"] += round(report.cpu_s)

    return enter


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash.get(_TABLE, {})
    if not table:
        return
    width = max(len(fault) for fault in table)
    terminalreporter.section("faults: rows produced, delivered, counted as lost or destroyed, unexplained")
    terminalreporter.write_line(f"{'fault':{width}}" + "".join(f"{name:>13}" for name in _COUNTS))
    for fault, row in table.items():
        numbers = "".join(f"{row.get(name, '-'):>13}" for name in _COUNTS)
        terminalreporter.write_line(f"{fault:{width}}{numbers}")
