"""
Every point a shim sent is a row, a counted drop, or part of a gap of exactly the right size, whoever is killed when.
"""

from __future__ import annotations

import dataclasses
import random
import signal
import time
from pathlib import Path

import cbor2
import pytest

from edge_sdk.agent.accounts import Accounts
from edge_sdk.core.batch import Reason
from edge_sdk.core.shim_wire import Drops
from edge_sdk.recording import Recording
from tests.agent.house import INVERTER, House, agent, until, warmed
from tests.agent.shim import Shim, is_ended
from tests.agent.test_rows import delivered, inverter
from tests.site import CANARY, LocalSite, local_site, opened, reading

POINTS = 3  # of one reading


def sent(shim: Shim, numbers: range) -> None:
    for number in numbers:
        shim.send(inverter(0, number, 100 * number))


def flushing(site: LocalSite, every: str) -> LocalSite:
    site.edit(("[batch]\n", f'[batch]\nflush_every = "{every}"\n'))
    return site


def monitored(site: LocalSite) -> list[int]:
    """Return the numbers of the readings that arrived."""
    rows = (row.fields["energy"] for row in delivered(site) if row.purpose == "monitoring")
    return [int(number) for number in rows if number is not None]


def test_what_a_killed_agent_had_not_read_is_a_gap_of_as_many_points(tmp_path: Path) -> None:
    site = flushing(warmed(local_site(tmp_path)), "100ms")
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        sent(shim, range(100))
        until(lambda: house.counts().get("recorded", 0) == 100, "all are on disk")
        assert house.process is not None
        house.process.send_signal(signal.SIGSTOP)
        sent(shim, range(1000, 1050))
        house.kill()
        house.start()
        shim.come_in()
        sent(shim, range(2000, 2010))
        house.stop()
        assert house.counts()["shim_lost"] == 50 * POINTS
    numbers = monitored(site)
    assert numbers[:100] == list(range(100))
    assert numbers[-10:] == list(range(2000, 2010))
    assert len(numbers) == 110


@pytest.mark.parametrize("fault", [b"\x82\x02", cbor2.dumps([2, 1, 0, [0] * 5, [[1, 0, 0, 1]]])], ids=["torn", "falls"])
def test_points_that_came_with_a_message_that_ends_the_connection_are_taken(tmp_path: Path, fault: bytes) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        assert house.process is not None
        house.process.send_signal(signal.SIGSTOP)  # what it reads then came together
        sent(shim, range(5))
        shim.link.send(fault)
        sent(shim, range(5, 10))
        house.process.send_signal(signal.SIGCONT)
        assert is_ended(shim.link)
        house.stop()
        assert house.counts().get("shim_lost", 0) == 0
    assert monitored(site) == list(range(5))


def test_the_loss_is_told_upstream_as_a_gap_of_unknown_length(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house:
        house.stop()  # the site was served: from now on every point that was sent was sent to it
        house.start()
        with house.shim() as shim:
            shim.sent = 64
            shim.source(0, INVERTER, CANARY)
            sent(shim, range(3))
            house.stop()
    delivered(site)
    told = [gap for gap in site.gaps() if gap.reason is Reason.OVERFLOW]
    assert {gap.count for gap in told} == {None}
    assert told


def test_a_restart_that_lost_nothing_shows_no_gap(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        sent(shim, range(50))
        house.stop()
        house.start()
        shim.come_in()
        sent(shim, range(50, 100))
        house.stop()
        assert "shim_lost" not in house.counts()
    assert monitored(site) == list(range(100))


def test_drops_of_a_shim_are_counted_by_reason_and_once(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        shim.send(inverter(0, 1, 0), drops=(1, 2, 3, 4, 5))
        shim.say([6, shim.sent, [2, 2, 3, 4, 5]])
        shim.say([6, shim.sent, [2, 2, 3, 4, 5]])
        house.stop()
        house.start()
        shim.come_in()
        shim.say([6, shim.sent, [2, 2, 3, 4, 6]])  # an agent that was restarted knows what it was told
        house.stop()
        counts = house.counts()
    assert [counts[f"shim_{reason}"] for reason in ("full", "denied", "expired", "wiped", "invalid")] == [2, 2, 3, 4, 6]
    assert "shim_lost" not in counts


def test_a_count_that_falls_ends_the_connection(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        sent(shim, range(3))
        shim.sent = 3
        sent(shim, range(1))
        assert shim.hear_type(19) == [19, 1]


DROPS = Drops(full=4, denied=3, expired=2, wiped=1, invalid=0)


@pytest.mark.parametrize(("was_served", "lost"), [(False, 0), (True, 90)])
def test_what_a_shim_sent_to_the_household_before_is_no_loss_of_this_one(was_served: bool, lost: int) -> None:
    recording = Recording(room=10, wake_after=5, wake=lambda: None)
    if was_served:
        Accounts(recording)
    account = Accounts(recording).open(bytes(8))
    assert account is not None
    account.arrived(90, 3, DROPS)
    account.arrived(93, 1, dataclasses.replace(DROPS, full=6))
    account.arrived(100, 1, dataclasses.replace(DROPS, full=6))
    counts = recording.totals()
    assert counts["shim_lost"] == lost + 6
    assert counts["shim_full"] == 2 + (4 if was_served else 0)


def test_a_batch_that_fills_up_between_two_flushes_takes_along_how_far_the_shim_was_read(site: LocalSite) -> None:
    with opened(site) as parts:
        parts.line.step(parts.clock.now(), flush=True)
        for number in range(site.config.limits.max_rows):
            parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)
        with parts.line.recording.lock:
            parts.line.recording.marks.numbers["shim"] = 50
        parts.line.step(parts.clock.now())
        outbox = parts.line.rooms.outbox
        assert sum(map(len, outbox.queues.values())) == 1, "it was sealed, and nobody had asked for a flush"
        assert outbox.numbers()["mark.shim"] == 50


def trial(house: House, shim: Shim, chance: random.Random) -> None:
    """Send something, and stop, kill or leave the agent."""
    began = shim.sent
    sent(shim, range(began, began + chance.randrange(1, 40)))
    match chance.randrange(4):
        case 0:
            house.kill()
        case 1:
            assert house.stop()[0] == 0
        case 2:
            time.sleep(chance.random())
            house.kill()
        case _:
            shim.link.close()
            shim.come_in()
            return
    try:
        sent(shim, range(began + 100, began + 103))  # into a socket that nobody reads
    except OSError:
        shim.sent = shim.sent - shim.sent % POINTS  # this one was refused: not sent
    house.start()
    shim.come_in()


def adds_up(folder: Path, *, seed: int, trials: int) -> None:
    """Feed an agent that is killed, stopped and left at random; then do the sums."""
    site = flushing(warmed(local_site(folder)), "100ms")
    chance = random.Random(seed)
    with agent(folder, site) as house, house.shim() as shim:
        shim.source(0, INVERTER, CANARY)
        for _ in range(trials):
            trial(house, shim, chance)
        sent(shim, range(1))
        house.stop()
        lost = house.counts().get("shim_lost", 0)
    arrived = len(monitored(site))
    print(f"seed {seed}: {shim.sent} points sent, {POINTS * arrived} delivered, {lost} lost and told")
    assert shim.sent == POINTS * arrived + lost
    assert lost > 0


def test_produced_is_delivered_and_lost_over_random_kills_stops_and_restarts(tmp_path: Path) -> None:
    adds_up(tmp_path, seed=4, trials=8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5, 8))
def test_many_more_of_them_add_up_too(tmp_path: Path, seed: int) -> None:
    adds_up(tmp_path, seed=seed, trials=30)
