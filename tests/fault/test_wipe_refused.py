"""
An erase on a medium that refuses: full, read-only, or with a queue that does not open any more.
"""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.receipt import Method, WipeReceipt
from edge_sdk.errors import LifecycleRefused, NotProvisioned
from edge_sdk.opening import open_site
from edge_sdk.vault import read_lane
from tests import site as sites
from tests.fault.line_clone import anything_in
from tests.fault.line_ended import Before, no_canary, opens, wiped_or_untouched
from tests.fault.line_ending import fill, program
from tests.fault.line_site import BEGIN_MS, ScriptedClock, make_site
from tests.fault.recorder import Fault, Run, missing, run
from tests.fault.sweep import Counts, Report, sweep
from tests.gateway.test_wipe import names_in, point
from tests.site import CANARY, LocalSite, found_in, reading

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

ALWAYS = 1 << 30
NAME = "test"
PARTS = 5  # each well below what a hanging test is given
Enter = Callable[[str, Report], None]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Before:
    place = tmp_path_factory.mktemp("refused") / "site"
    make_site(place)
    fill(place)
    return Before.of(place)


def full_from(filled: Before, call: int, scratch: Path) -> Counts:
    """Fill the disk for good before one call of an erase, and start again when there is room."""
    place = shutil.copytree(filled.place, scratch / "site")
    fault = Fault(fail_at=call, fail_count=ALWAYS, fail_errno=errno.ENOSPC)
    ended = run(program(place, "wipe"), place / "state", fault=fault)
    state = place / "state"
    if "intended" not in ended.marks:
        return wiped_or_untouched(filled, state, ended.marks)
    assert ended.returncode == 0, ended.stderr.decode()
    left = names_in(state) - {"lock", "lane.bin", "lane.bin.new", "lane.0.bin", "wipe.bin"}  # the lane goes last
    assert not left, f"the disk was full, and {sorted(left)} are there"
    no_canary(state)
    assert not filled.copy.opened_by(set(anything_in(state))), "a copy and what is left open something"
    with (
        ScriptedClock(BEGIN_MS + 700_000).installed(),
        pytest.raises((LifecycleRefused, NotProvisioned)) as refused,
    ):
        opens(filled, state)
    if names_in(state) != {"lock", "lane.0.bin"}:  # not even the intent found room: the receipt was in memory only
        assert refused.type is NotProvisioned
        assert names_in(state) - {"wipe.bin"} == {"lock", "lane.bin"}
        assert not read_lane(state).receipt
    return filled.tally({}, sum(filled.rows.values()))


def swept(filled: Before, folder: Path, *, every: int, first: int = 0) -> Report:
    """Fill the disk before every so-many-th call."""
    place = shutil.copytree(filled.place, folder / "counted")
    calls = run(program(place, "wipe"), place / "state").calls
    return sweep(lambda: range(1 + first, calls + 1, every), lambda call, scratch: full_from(filled, call, scratch))


def test_a_full_disk_keeps_nothing_from_being_erased(filled: Before, tmp_path: Path, entered: Enter) -> None:
    report = swept(filled, tmp_path, every=13, first=4)
    entered("wipe, disk full (sample)", report)
    assert not report.violations, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_full_disk_at_any_call_keeps_nothing_from_being_erased(
    filled: Before, tmp_path: Path, entered: Enter, part: int
) -> None:
    report = swept(filled, tmp_path, every=PARTS, first=part)
    entered("wipe, disk full", report)
    assert not report.violations, str(report)


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    made = sites.local_site(tmp_path)
    parts, _ = open_site(made.config)
    for number in range(5):
        parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)
    parts.line.finish(parts.clock.now())
    parts.close()
    return made


def wipe(site: LocalSite, fault: Fault) -> Run:
    """Run the command against a collector that listens."""
    with sites.serving(site):
        point(site.state / "lane.bin", site.config.address)
        asked = ["wipe", "--config", str(site.toml), "--confirm", NAME, "--timeout", "20"]
        argv = [sys.executable, "-m", "edge_sdk", *asked]
        return run(argv, site.state, fault=fault, env=sites.environ(), timeout_s=200)


def receipts(site: LocalSite) -> list[WipeReceipt]:
    return [erasure.receipt for erasure in operating.endings(site.collector, now_s=wall_s()).erasures]


def read_only(first: int) -> Fault:
    return Fault(fail_at=first, fail_count=ALWAYS, fail_errno=errno.EROFS)


def test_a_read_only_medium_is_reported_as_failed(site: LocalSite) -> None:
    ended = wipe(site, read_only(1))
    assert ended.returncode == 5, ended.stderr.decode()
    assert b"destroy the medium" in ended.stderr
    (receipt,) = receipts(site)
    assert {store.name for store in receipt.stores if store.method is Method.FAILED} >= {"root key", "keys", "queue"}


def test_a_device_whose_medium_refused_does_not_count_as_erased(site: LocalSite) -> None:
    wipe(site, read_only(1))
    (device,) = collecting.devices(site.collector)
    assert operating.cases(site.collector, now_s=wall_s())[device.generation].erased_s is None


def test_a_site_with_a_queue_that_does_not_open_can_be_erased(site: LocalSite) -> None:
    for name in ("outbox.db", "outbox.db-wal", "outbox.db-shm"):
        (site.state / name).write_bytes(b"no database" * 100)
    ended = wipe(site, Fault())
    assert ended.returncode == 0, ended.stderr.decode()
    (receipt,) = receipts(site)
    assert {store.method for store in receipt.stores} <= {Method.CLEAR, Method.ABSENT}
    assert {path.name for path in site.state.iterdir()} == {"lock"}


def test_what_is_erased_unopened_still_says_where_data_went(site: LocalSite) -> None:
    (site.state / "outbox.db").write_bytes(b"no database" * 100)
    wipe(site, Fault())
    (receipt,) = receipts(site)
    assert [use.purpose for use in receipt.uses] == ["alarms", "improvement", "monitoring"]
    assert receipt.ledger_length > 0
    assert found_in(site.state, CANARY.encode()) == []
