"""
What holds for every test: a site where it asks for one, how long Hypothesis looks, and that `make test-all` lets
nothing be skipped.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import site as sites
from tests.site import LocalSite

NO_SKIPS = os.environ.get("EDGE_TEST_ALL") == "1"

# No deadline: a slow core is no fault. `make test` answers the same twice; `make test-all` looks further.
settings.register_profile("short", deadline=None, derandomize=True)
settings.register_profile("all", deadline=None, max_examples=1000, print_blob=True)
settings.register_profile("few", deadline=None, derandomize=True, max_examples=8)
FEW = os.environ.get("EDGE_TEST_FEW") == "1"  # an emulated machine: see tests/arm.py
settings.load_profile("all" if NO_SKIPS else "few" if FEW else "short")


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    return sites.local_site(tmp_path)


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIPS and report.outcome == "skipped":
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)  # pytest does not count a failure that bears this mark
        report.longrepr = f"make test-all refuses to skip or to expect a failure: {why}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse(report)
    return report
