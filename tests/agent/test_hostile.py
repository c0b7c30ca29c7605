"""
Whoever connects and means harm neither stops the agent nor takes another shim's turn.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest

from tests.agent.house import ALARMS, FIELDS, IMPROVEMENT, INVERTER, MONITORING, House, agent, until, warmed
from tests.agent.shim import Shim, connected, is_ended, mono_ms
from tests.agent.test_accounts import monitored, sent
from tests.agent.test_rows import inverter
from tests.site import CANARY, local_site
from tests.vectors import shim as vectors

ALL = MONITORING | ALARMS | IMPROVEMENT
NOBODY = 65534


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with agent(tmp_path, warmed(local_site(tmp_path)), lines="connections = 8\npoints_per_s = 2000") as lent:
        yield lent


def goes_on(house: House) -> None:
    """Have another shim feed the site, and its readings arrive."""
    with house.shim(name="other") as shim:
        shim.source(0, INVERTER, CANARY)
        sent(shim, range(20))
        assert house.stop()[0] == 0
    assert monitored(house.sites[0]) == list(range(20))


WRONG = [
    b"\xff" * 4096,
    b"\x00",
    cbor2.dumps({1: 2}),
    cbor2.dumps([2, 0, 0, [0] * 5, [[1, 0, 0, 1]]]),
    cbor2.dumps(vectors.HELLO) + b"\x00",
    cbor2.dumps([*vectors.HELLO[:7], "n" * 33]),
    b"\x9f" + b"\x9f" * 4000,
    b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
]


@pytest.mark.parametrize("message", WRONG, ids=range(len(WRONG)))
def test_a_first_message_that_is_no_hello_ends_its_connection(house: House, message: bytes) -> None:
    link = connected(house.socket)
    link.send(message)
    assert is_ended(link)
    link.close()
    goes_on(house)


def test_giant_empty_and_torn_messages_end_their_connections(house: House) -> None:
    good = cbor2.dumps(vectors.BATCH)
    for message in (bytes(200_000), b"", good[:-1], cbor2.dumps([7, bytes(5000)])):
        with house.shim(name="bad") as shim:
            shim.link.send(message)
            assert is_ended(shim.link)
    goes_on(house)


def test_every_wrong_message_of_the_vectors_ends_its_connection(house: House) -> None:
    for name, items in vectors.WRONG_UP.items():
        with house.shim(name="bad") as shim:
            shim.link.send(vectors._dumped(items))
            assert is_ended(shim.link), name
    goes_on(house)


def test_a_caller_that_is_not_on_the_list_is_not_read(tmp_path: Path) -> None:
    site = warmed(local_site(tmp_path))
    with agent(tmp_path, site, allow=f"uid:{NOBODY}", start=False) as house:
        house.start()
        link = connected(house.socket)
        assert is_ended(link)
        link.close()
        _, said = house.stop()
    assert "peer_refused" in said


def as_nobody(folder: Path, path: str) -> int:
    """Return what connect() says to another user, as an error number; 0 for a connection."""
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            error = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect_ex(path)
        except BaseException:  # noqa: BLE001 - the child must not go on as this test
            error = 255
        os._exit(error)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_gets_neither_into_the_folder_nor_to_the_socket(house: House) -> None:
    run = house.socket.parent
    assert (run.stat().st_mode & 0o777, house.socket.stat().st_mode & 0o777) == (0o750, 0o660)
    assert as_nobody(house.folder, "run/edge.sock") == errno.EACCES
    assert as_nobody(run, "edge.sock") == errno.EACCES
    run.chmod(0o755)  # now only the socket's own mode is in the way
    assert as_nobody(run, "edge.sock") == errno.EACCES
    house.socket.chmod(0o666)  # and now only the list
    assert as_nobody(run, "edge.sock") == 0
    goes_on(house)


def test_who_says_nothing_is_let_go(house: House) -> None:
    link = connected(house.socket)
    began = time.monotonic()
    assert is_ended(link)
    assert 4 < time.monotonic() - began < 10
    link.close()
    goes_on(house)


def test_one_user_has_no_more_connections_than_allowed(house: House) -> None:
    shims = [house.shim(name=f"n{n}") for n in range(8)]
    for shim in shims:
        shim.come_in()
    link = connected(house.socket)
    assert is_ended(link)
    link.close()
    for shim in shims:
        shim.link.close()
    until(lambda: not is_full(house), "there is room again")
    goes_on(house)


def is_full(house: House) -> bool:
    link = connected(house.socket)
    link.settimeout(0.3)
    ended = is_ended(link)
    link.close()
    return ended


def flood(house: House, seconds: float) -> int:
    """Send points as fast as the agent takes them; return how many it took."""
    with house.shim(name="flood") as shim:
        shim.source(0, INVERTER, "4089999")
        shim.link.setblocking(False)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            try:
                shim.send([[FIELDS["power"], 0, n, n % 100] for n in range(64)], at=mono_ms())
            except BlockingIOError:
                time.sleep(0.001)
        return shim.sent


def test_who_floods_is_held_to_the_points_allowed_and_takes_nobodys_turn(house: House) -> None:
    with house.shim(name="other") as shim:
        shim.wait_mask(ALL)
        shim.source(0, INVERTER, CANARY)
        before = flood(house, 0.1)
        taken = flood(house, 4.0) + before
        sent(shim, range(20))
        assert shim.sent == 60
        house.stop()
    # 4.1 s at 2000 points a second, the bucket of each connection twice that and more, and what two sockets hold.
    assert taken < 4.1 * 2000 + 2 * (4000 + 512 + 64 * 280)
    counts = [number for number in monitored(house.sites[0]) if number is not None]
    assert counts[-20:] == list(range(20)) or set(range(20)) <= set(counts)


def test_declarations_without_end_are_bounded(house: House) -> None:
    with house.shim(name="bad") as shim:
        for slot in range(2000):
            shim.say([3, slot, INVERTER, f"s{slot}"])
        house.stop()
        assert house.counts()["shim_bad_source"] == 2000 - 1024


def test_a_shim_that_reads_nothing_is_left_and_holds_nobody_up(house: House) -> None:
    with house.shim(name="deaf") as deaf:
        deaf.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        goes_on(house)


def storm(house: House, count: int) -> None:
    """Connect and leave, again and again."""
    for _ in range(count):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            link.connect(str(house.socket))
        except BlockingIOError:
            pass
        finally:
            link.close()


def survives_a_storm(house: House, count: int) -> None:
    with house.shim(name="other") as shim:
        shim.source(0, INVERTER, CANARY)
        for number in range(20):
            storm(house, count // 20)
            shim.send(inverter(0, number, 0))
        house.stop()
    assert monitored(house.sites[0]) == list(range(20))


def test_a_storm_of_connections_takes_nobodys_turn(house: House) -> None:
    survives_a_storm(house, 5_000)


@pytest.mark.slow
def test_a_hundred_thousand_connections_take_nobodys_turn(house: House) -> None:
    survives_a_storm(house, 100_000)


def test_a_second_agent_on_the_same_socket_is_refused(house: House) -> None:
    command = [sys.executable, "-m", "edge_sdk", "agent", "--config", str(house.folder / "agent.toml")]
    from tests.site import environ

    second = subprocess.run(command, env=environ(), capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 5
    goes_on(house)


def test_a_shim_with_an_unknown_site_or_another_hash_is_told_so(house: House) -> None:
    shim = house.shim()
    shim.come_in()
    shim.site = "elsewhere"
    assert shim.connect()[2] == 3
    shim.site, shim.hash = "test", bytes(8)
    assert shim.connect()[2] == 2
    shim.link.close()
    other = Shim(house.socket, bytes(8))
    other.link.close()
    other.link = connected(house.socket)
    other.say([1, 2, 9, 1, bytes(8), bytes(8), "test", "later"])
    assert other.hear()[2] == 1
    other.link.close()
