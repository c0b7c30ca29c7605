"""
The public object against a real collector process: what it promises, how it ends, and what it refuses.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_sdk import ConfigError, Gateway, Mono, Refused, StorageError
from edge_sdk.clock import mono_ms
from edge_sdk.core.batch import Reason
from edge_sdk.core.claims import Status as ConsentStatus
from edge_sdk.errors import BadInput, LifecycleRefused, NotProvisioned
from edge_sdk.transport import Request, Response
from tests import site as sites
from tests.gateway.hostile import hang, hostile
from tests.site import CANARY, LocalSite, environ, found_in, reading

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def served(site: LocalSite) -> Iterator[LocalSite]:
    with sites.serving(site):
        yield site


def energies(site: LocalSite, purpose: str = "monitoring") -> list[int]:
    return [row.fields["energy"] for row in site.rows() if row.purpose == purpose]


def run_script(site: LocalSite, script: str) -> subprocess.CompletedProcess[str]:
    """Run a program of an integrator in a process of its own."""
    command = [sys.executable, "-c", script, str(site.toml)]
    return subprocess.run(command, env=environ(), capture_output=True, text=True, check=False, timeout=60)


def test_what_is_recorded_is_delivered_once_by_value(served: LocalSite) -> None:
    with Gateway.open(served.toml) as gateway:
        for number in range(120):
            assert gateway.record("inverter", reading(number)) == 2
        gateway.flush()
        assert gateway.drain(20) == 0
        status = gateway.status()
    assert energies(served) == list(range(120))
    assert status.counts["acked"] in (2, 3)  # of 60 rows each; the cadence may cut one in two
    assert status.last_error == ""
    assert status.last_acked_ms is not None
    assert served.gaps() == []


def test_the_same_in_an_asyncio_program(served: LocalSite) -> None:
    async def program() -> int:
        async with Gateway.open(served.toml) as gateway:
            sending = asyncio.create_task(gateway.run())
            for number in range(10):
                gateway.record("inverter", reading(number))
            left = await asyncio.to_thread(gateway.drain, 20)
            await asyncio.sleep(0)
        await asyncio.wait_for(sending, 5)  # closing ended it
        return left

    assert asyncio.run(program()) == 0
    assert energies(served) == list(range(10))


def test_run_can_be_cancelled_and_run_again(served: LocalSite) -> None:
    async def program() -> int:
        gateway = Gateway.open(served.toml)
        for _ in range(2):
            sending = asyncio.create_task(gateway.run())
            await asyncio.sleep(0.05)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        sending = asyncio.create_task(gateway.run())
        gateway.record("inverter", reading(1))
        left = await asyncio.to_thread(gateway.drain, 20)
        gateway.close()
        await asyncio.wait_for(sending, 5)
        return left

    assert asyncio.run(program()) == 0


def test_sending_twice_at_once_is_refused(site: LocalSite) -> None:
    async def program() -> None:
        async with Gateway.open(site.toml) as gateway:
            sending = asyncio.create_task(gateway.run())
            await asyncio.sleep(0.01)
            with pytest.raises(Refused, match="sends already"):
                await gateway.run()
            sending.cancel()

    asyncio.run(program())


def test_what_the_collector_hears_of_a_consent_reaches_the_device_and_back(served: LocalSite) -> None:
    with Gateway.open(served.toml) as gateway:
        assert not gateway.allowed("inverter", "ssid")
        assert "research: not granted yet" in gateway.status().why
        served.set_grant("research", ConsentStatus.GIVEN)
        gateway.record("inverter", reading(1))
        deadline = time.monotonic() + 20
        while not gateway.allowed("inverter", "ssid") and time.monotonic() < deadline:
            gateway.drain(1)
            gateway.record("inverter", reading(2))
            time.sleep(0.05)
        assert gateway.allowed("inverter", "ssid")
        assert gateway.status().why == ""
        assert gateway.record("inverter", {**reading(3), "ssid": "home"}) == 3


def test_without_a_grant_nothing_of_a_reading_is_kept_anywhere(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path, granted=())
    with Gateway.open(site.toml) as gateway:
        assert not gateway.allowed("meter")
        assert gateway.record("meter", {"serial": CANARY, "power": 4711.5}) == 0
        assert gateway.record("inverter", {**reading(1, "other"), "ssid": CANARY}) == 1
        gateway.flush()
        status = gateway.status()
    assert "research: not granted yet. The operator grants it" in status.why
    assert status.counts["no_grant"] == 1
    assert found_in(site.state, CANARY.encode()) == []


def test_what_waits_on_disk_is_not_readable_there(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        for number in range(60):
            gateway.record("inverter", reading(number))
        gateway.flush()
        needles = (CANARY.encode(), CANARY.encode("utf-16-le"))
        assert found_in(site.state, *needles) == []
    assert found_in(site.state, *needles) == []


def test_what_was_flushed_waits_for_the_next_start(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        for number in range(70):
            gateway.record("inverter", reading(number))
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        assert gateway.drain(20) == 0
    assert energies(site) == list(range(70))
    assert site.gaps() == []  # the stop was a clean one


def test_monotonic_times_become_wall_times(served: LocalSite) -> None:
    with Gateway.open(served.toml) as gateway:
        before = time.time_ns() // 1_000_000
        gateway.record("inverter", reading(1), at=Mono(mono_ms() - 5_000))
        gateway.record("inverter", reading(2), at_ms=1_790_000_000_123)
        gateway.record("inverter", reading(3))
        gateway.drain(20)
    rows = {row.fields["energy"]: row.at_ms for row in served.rows() if row.purpose == "monitoring"}
    assert rows[1] == pytest.approx(before - 5_000, abs=1_000)
    assert rows[2] == 1_790_000_000_123
    assert rows[3] == pytest.approx(before, abs=1_000)


def test_strict_says_what_it_would_drop(site: LocalSite) -> None:
    with Gateway.open(site.toml, strict=True) as gateway:
        assert gateway.record("inverter", reading(1)) == 2
        with pytest.raises(BadInput, match="unknown_fields 1"):
            gateway.record("inverter", {**reading(1), "colour": "red"})
        with pytest.raises(BadInput, match="no_grant 1"):
            gateway.record("meter", {"serial": CANARY})


def test_closing_twice_is_harmless_and_using_it_afterwards_is_refused(site: LocalSite) -> None:
    gateway = Gateway.open(site.toml)
    gateway.close()
    gateway.close()
    for use in (
        lambda: gateway.record("inverter", reading(1)),
        gateway.flush,
        gateway.status,
        lambda: gateway.drain(1),
        gateway.__enter__,
        lambda: asyncio.run(gateway.run()),
    ):
        with pytest.raises(LifecycleRefused, match="closed"):
            use()
    assert not gateway.allowed("inverter")


def test_closing_right_after_opening_ends_at_once(site: LocalSite) -> None:
    started = time.monotonic()
    for _ in range(10):
        with Gateway.open(site.toml):
            pass
    assert time.monotonic() - started < 20


def test_closing_from_several_threads_closes_once(site: LocalSite) -> None:
    gateway = Gateway.open(site.toml)
    gateway.__enter__()
    closers = [threading.Thread(target=gateway.close) for _ in range(4)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(20)
    assert not any(closer.is_alive() for closer in closers)
    Gateway.open(site.toml).close()


def test_a_collector_that_says_nothing_does_not_hold_up_the_stop(site: LocalSite) -> None:
    site.edit(('timeout = "2s"', 'timeout = "300s"'))
    with hostile(site.collector) as server:
        site.edit((NOBODY, f"http://127.0.0.1:{server.port}"))
        server.always("/v1/downlink", hang)
        gateway = Gateway.open(site.toml)
        with gateway:
            deadline = time.monotonic() + 10
            while not server.exchanges and time.monotonic() < deadline:
                time.sleep(0.01)
            started = time.monotonic()
        assert server.exchanges
        assert time.monotonic() - started < 5


def test_readings_from_many_threads_while_closing_are_taken_or_refused_but_never_swallowed(site: LocalSite) -> None:
    gateway = Gateway.open(site.toml)
    taken = []

    def feed() -> None:
        count = 0
        try:
            while gateway.record("inverter", reading(count)):
                count += 1
                time.sleep(0)
        except LifecycleRefused:
            pass
        taken.append(count)

    feeders = [threading.Thread(target=feed) for _ in range(3)]
    for feeder in feeders:
        feeder.start()
    time.sleep(0.3)
    gateway.close()
    for feeder in feeders:
        feeder.join(20)
    with sites.opened(site) as parts:
        streams = [s for s in parts.line.binding.streams.values() if s.record.purpose == "monitoring"]
        queued = [held for s in streams for held in parts.line.rooms.outbox.queues.get(s.row, {}).values()]
        kept = sum(held.last - held.first + 1 for held in queued) + sum(s.open_rows for s in streams)
    assert kept == sum(taken)


def test_an_exception_in_the_block_closes_the_gateway_and_keeps_the_readings(site: LocalSite) -> None:
    def fail() -> None:
        with Gateway.open(site.toml) as gateway:
            gateway.record("inverter", reading(1))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with sites.opened(site) as parts:
        assert sum(s.open_rows for s in parts.line.binding.streams.values() if s.record.purpose == "monitoring") == 1


def test_a_second_gateway_on_the_folder_is_refused(site: LocalSite) -> None:
    with Gateway.open(site.toml), pytest.raises(StorageError, match="in use by another process"):
        Gateway.open(site.toml)
    Gateway.open(site.toml).close()


def test_what_fails_to_open_leaves_the_folder_free(site: LocalSite) -> None:
    with closing(sqlite3.connect(site.state / "outbox.db")) as database:
        database.execute("PRAGMA user_version=99")  # of a later release
    for _ in range(2):
        with pytest.raises(StorageError, match=r"outbox\.db has format 99"):
            Gateway.open(site.toml)
    (site.state / "outbox.db").unlink()
    Gateway.open(site.toml).close()


def test_a_wrong_pin_leaves_the_folder_free(site: LocalSite) -> None:
    site.edit(('jitter = "1ms"', 'jitter = "1ms"\npins = ["short"]'))
    for _ in range(2):
        with pytest.raises(ConfigError, match="pin"):
            Gateway.open(site.toml)


def test_a_site_that_is_not_enrolled_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(sites.POLICY)
    (tmp_path / "site.toml").write_text(sites.SITE)
    with pytest.raises(NotProvisioned, match="not provisioned") as told:
        Gateway.open(tmp_path / "site.toml")
    assert "edge-sdk init" in told.value.hint


FORK = """
import os, sys
from edge_sdk import Gateway, Refused
gateway = Gateway.open(sys.argv[1]).__enter__()
gateway.record("inverter", {"serial": "a", "power": 1, "energy": 1})
child = os.fork()
if child == 0:
    for use in (
        lambda: gateway.record("inverter", {"serial": "a", "power": 1, "energy": 2}),
        gateway.flush, gateway.status, lambda: gateway.drain(1),
    ):
        try:
            use()
        except Refused as refused:
            assert "fork" in str(refused)
        else:
            os._exit(9)
    try:
        Gateway.open(sys.argv[1])
    except Exception as error:
        assert "in use" in str(error)
    gateway.close()  # harmless: it is the parent's
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
gateway.record("inverter", {"serial": "a", "power": 1, "energy": 3})
gateway.flush()
gateway.close()
Gateway.open(sys.argv[1]).close()
print("parent went on")
"""


def test_after_a_fork_the_childs_object_refuses_and_the_parents_goes_on(site: LocalSite) -> None:
    done = run_script(site, FORK)
    assert (done.returncode, done.stdout) == (0, "parent went on\n"), done.stderr
    with sites.opened(site) as parts:
        assert sum(s.open_rows for s in parts.line.binding.streams.values() if s.record.purpose == "monitoring") == 2


NO_CLOSE = """
import sys
from edge_sdk import Gateway
gateway = Gateway.open(sys.argv[1]).__enter__()
for number in range(10):
    gateway.record("inverter", {"serial": "a", "power": 1, "energy": number})
gateway.flush()
gateway.record("inverter", {"serial": "a", "power": 1, "energy": 99})
"""


def test_an_interpreter_that_ends_without_a_close_ends_and_the_next_start_tells_a_power_gap(
    site: LocalSite,
) -> None:
    done = run_script(site, NO_CLOSE)
    assert (done.returncode, done.stderr) == (0, "")
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        assert gateway.drain(20) == 0
    assert energies(site) == list(range(10))
    assert {gap.reason for gap in site.gaps()} == {Reason.POWER}


def test_an_edited_view_closes_its_purpose_and_says_so_while_old_rows_still_arrive(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        gateway.record("inverter", reading(1))
    site.edit(("power = { round = 0.1 }", "power = { round = 1 }"), file="policy.toml")
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        status = gateway.status()
        assert "monitoring: granted, but not this edition of the purpose" in status.why
        assert "edge-sdk policy digest" in status.why
        assert gateway.record("inverter", reading(2)) == 1  # improvement goes on
        assert gateway.drain(20) == 0
    assert energies(site) == [1]


def test_a_bad_new_policy_leaves_the_old_one_in_force(served: LocalSite) -> None:
    with Gateway.open(served.toml) as gateway:
        gateway.record("inverter", reading(1))
    for bad in ("not toml [", "", "\x00", "[policy]\nname = 'x'\n"):
        (served.folder / "policy.toml").write_text(bad)
        with Gateway.open(served.toml) as gateway:
            assert gateway.record("inverter", reading(2)) == 2
    (served.folder / "policy.toml").unlink()
    with Gateway.open(served.toml) as gateway:
        assert gateway.drain(20) == 0
    assert energies(served) == [1, 2, 2, 2, 2]


def test_a_bad_policy_at_the_first_start_is_told(site: LocalSite) -> None:
    site.edit(("importance = 10", 'importance = "much"'), file="policy.toml")
    with pytest.raises(ConfigError, match=r"policy\.toml"):
        Gateway.open(site.toml)


def test_a_purpose_that_left_the_policy_sends_its_rest_and_ends(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        gateway.record("alarm", {"serial": CANARY, "code": 7})
    text = (site.folder / "policy.toml").read_text()
    start, end = text.index("[purposes.alarms]"), text.index("[purposes.improvement]")
    (site.folder / "policy.toml").write_text(text[:start] + text[end:])
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        assert gateway.record("alarm", {"serial": CANARY, "code": 8}) == 0
        assert gateway.drain(20) == 0
        gateway.flush()
    assert [row.fields["code"] for row in site.rows() if row.purpose == "alarms"] == [7]
    with sites.opened(site) as parts:
        assert not any(s.record.purpose == "alarms" for s in parts.line.binding.streams.values())


class Broken:
    """A transport of an integrator that fails with an error of the system."""

    async def send(self, request: Request) -> Response:
        raise ConnectionRefusedError

    async def close(self) -> None:
        pass


def test_a_transport_that_fails_with_a_system_error_is_tried_again(site: LocalSite) -> None:
    with Gateway.open(site.toml, transport=Broken()) as gateway:
        gateway.record("inverter", reading(1))
        assert gateway.drain(0.5) == 1
        assert gateway.status().last_error == "the collector could not be reached"


def test_alarms_leave_at_once_in_their_own_batch(served: LocalSite) -> None:
    with Gateway.open(served.toml) as gateway:
        gateway.record("inverter", reading(1))
        gateway.record("alarm", {"serial": CANARY, "code": 7})
        deadline = time.monotonic() + 15
        while not [row for row in served.rows() if row.purpose == "alarms"] and time.monotonic() < deadline:
            time.sleep(0.1)
    assert [row.fields["code"] for row in served.rows() if row.purpose == "alarms"] == [7]
    assert energies(served) == []
