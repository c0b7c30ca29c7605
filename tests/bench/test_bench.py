"""
``edge-sdk bench``: its meters meter, its advice follows from the figures, its page stands alone, and nothing is left.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edge_sdk.bench import latency, meter, stages
from edge_sdk.bench.advice import advise
from edge_sdk.bench.page import page
from edge_sdk.bench.stages import STAGES, Cost
from edge_sdk.bench.workload import make_policy, make_readings
from edge_sdk.clock import wall_s
from edge_sdk.core.units import DAY_MS
from edge_sdk.policy_file import load_policy
from tests import site as sites
from tests.cli.command import run
from tests.site import LocalSite

QUOTA = 64 << 20


def cost(us: float, *, wire: float = 10.0, seal: float = 1.0) -> Cost:
    return Cost(1000, 1, {"record": us - seal, "journal": 0.0, "seal": seal, "send": 0.0}, wire, 50.0, 0.01, 1.0)


BY_ROWS = {20: cost(100), 240: cost(10.5), 1000: cost(10), 5000: cost(10.2)}
CIPHERS = {"a256gcm": cost(10, seal=2), "chacha20": cost(10, seal=1)}
SUITES = {"hpke-9-ke": cost(10, wire=18), "hpke-4-ke": cost(10, wire=13)}


def test_the_smallest_batch_that_costs_next_to_nothing_more_is_advised() -> None:
    assert advise(BY_ROWS, CIPHERS, SUITES, flush_bytes=None, quota_bytes=QUOTA).max_rows == 240


def test_the_cipher_that_seals_for_less_is_advised() -> None:
    assert advise(BY_ROWS, CIPHERS, SUITES, flush_bytes=None, quota_bytes=QUOTA).cipher == "chacha20"
    slow = {**CIPHERS, "chacha20": cost(10, seal=9)}
    assert advise(BY_ROWS, slow, SUITES, flush_bytes=None, quota_bytes=QUOTA).cipher == "a256gcm"


@pytest.mark.parametrize(("flush_bytes", "every_s"), [(None, 60), (1_000, 10), (10_000, 30), (30_000, 60), (9e9, 300)])
def test_flushes_are_as_frequent_as_a_card_bears(flush_bytes: float | None, every_s: int) -> None:
    assert advise(BY_ROWS, CIPHERS, SUITES, flush_bytes=flush_bytes, quota_bytes=QUOTA).flush_s == every_s


def test_what_a_board_carries_follows_from_a_tenth_of_one_core() -> None:
    carried = advise(BY_ROWS, CIPHERS, SUITES, flush_bytes=None, quota_bytes=QUOTA).carried
    by_interval = {one.every_s: one for one in carried}
    assert by_interval[10].inverters == int(0.1 * 1e6 / 10.5 * 10)
    assert by_interval[10].offline_days == pytest.approx(QUOTA / (20 * 8640 * 10.0))


def test_the_readings_are_of_the_policy_and_in_order() -> None:
    readings = make_readings(100)
    kind = load_policy(make_policy(3), where="bench").kinds["inverter"]
    assert {frozenset(fields) for _, fields in readings} == {frozenset(field.name for field in kind.fields)}
    times = [at_ms // 10_000 for at_ms, _ in readings]
    assert times == sorted(times)
    assert readings == make_readings(100)


@pytest.fixture
def bench_site(tmp_path: Path) -> LocalSite:
    return sites.local_site(tmp_path, granted=(), policy=make_policy(2))


def test_every_stage_costs_something_and_every_reading_arrives(bench_site: LocalSite) -> None:
    readings = make_readings(500, start_ms=wall_s() * 1000 - DAY_MS)
    with sites.serving(bench_site):
        found = stages.run(bench_site.config, readings, per_batch=100)
    assert set(found.cpu_us) == set(STAGES)
    assert all(us > 0 for us in found.cpu_us.values())
    assert found.readings == 500
    assert found.wire * 500 > found.batches * 1_000, "a batch sealed with X-Wing is over a kilobyte"
    assert len(bench_site.rows()) == 1000


def test_record_is_timed_while_commits_are_slow(bench_site: LocalSite) -> None:
    bench_site.edit(("max_rows = 50", 'max_rows = 50\nflush_every = "1s"'))
    readings = make_readings(600, start_ms=wall_s() * 1000 - DAY_MS)
    found = latency.run(bench_site.config, readings, per_s=300, slow_ms=50)
    assert found.slowed >= 1
    assert 0 < found.p50 <= found.p99 <= found.p999 <= found.longest
    assert found.p50 < 50_000, "the caller does not wait for the disk"


def test_memory_and_processor_time_are_told() -> None:
    before = meter.cpu_s()
    now, most = meter.memory_bytes()
    assert most >= now > 1 << 20
    assert sum(range(200_000)) > 0
    assert meter.cpu_s() > before


def test_the_medium_is_counted_or_said_not_to_be(tmp_path: Path) -> None:
    before = meter.written(tmp_path)
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    after = meter.written(tmp_path)
    if before is None or after is None:
        assert before is after is None
    else:
        assert after.since(before)[0] >= 1 << 20


def test_a_medium_that_nobody_counts_is_none_and_not_zero() -> None:
    assert meter.written(Path("/proc")) is None


def figures() -> dict[str, object]:
    plain = {**{name: getattr(cost(10), name) for name in Cost.__slots__}, "all_us": 10.0}
    costs = {f"rows {rows}": plain for rows in BY_ROWS} | {"three": plain}
    advice = {"carried": [{"every_s": 1, "inverters": 5, "offline_days": 1.0}], "why": ["a <reason> & more"]}
    return {"at": "now", "machine": "a <board>", "readings": 1, "fields": 17, "costs": costs, "advice": advice}


def test_the_page_stands_alone_and_escapes_what_it_is_given() -> None:
    made = page(figures())
    assert not re.search(r"<script|https?:|src=|@import", made)
    assert "a &lt;board&gt;" in made
    assert "a &lt;reason&gt; &amp; more" in made
    drawings = re.findall(r"<svg.*?</svg>", made, re.DOTALL)
    assert len(drawings) == 2
    for drawing in drawings:
        assert len(ElementTree.fromstring(drawing)) > 4


@pytest.mark.parametrize("count", ["0", "499", "many", "-5", "10000001"])
def test_a_count_that_measures_nothing_is_refused(count: str) -> None:
    said = run("bench", "--readings", count)
    assert said.code == 2
    assert "from 500 to" in said.err


@pytest.mark.slow
def test_the_whole_of_it_prints_figures_and_leaves_nothing(tmp_path: Path) -> None:
    said = run(
        "bench", "--folder", tmp_path, "--readings", "500", "--json", "--html", tmp_path / "page.html", wait_s=600
    )
    assert said.code == 0, said
    found = json.loads(said.out)
    assert set(found["costs"]) >= {"rows 20", "rows 240", "rows 1000", "rows 5000", "x25519", "three", "windowed"}
    assert found["costs"]["x25519"]["wire"] < found["costs"]["rows 240"]["wire"]
    assert found["fresh"]["opened_s"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
