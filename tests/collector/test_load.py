"""
What a collector lets strangers and large bodies cost it, and that it does not grow with what passes through.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from edge_sdk.collector.intake import READ_BYTES, Request
from tests.collector.household import Household
from tests.collector.served import Running, now_s, sealed

PATH = "/v1/batches"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(running: Running) -> float:
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident(running: Running) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) << 10


def push(port: int, head: str, size: int) -> tuple[bytes, int]:
    """Send *head* and up to *size* bytes after it; return the answer and how many of them were taken off our hands."""
    sent, answer = 0, b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode())
        with suppress(OSError):
            while sent < size:
                sent += connection.send(bytes(1 << 14))
        with suppress(OSError):
            answer = connection.recv(1 << 16)
    return answer, sent


@pytest.mark.parametrize("framing", ["Content-Length: 268435456", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
def test_a_body_far_beyond_the_limit_is_hung_up_on(
    served: Running, home: Household, is_known: bool, framing: str
) -> None:
    header = home.request("POST", PATH, b"", now_s()).authorization if is_known else "Edge 00"
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n{framing}\r\n\r\n"
    size = 256 << 20
    if "chunked" in framing:
        head += f"{size:x}\r\n"
    before = resident(served)
    answer, sent = push(served.port, head, size)
    assert sent < 32 << 20  # what is on the way in two sockets, and what a device may still be sending
    assert answer.startswith(b"HTTP/1.1 413" if is_known else b"HTTP/1.1 401") or not answer
    assert resident(served) - before < 16 << 20


def test_a_device_that_is_refused_while_it_sends_sees_the_answer(served: Running) -> None:
    stranger = Household(served.founded.root, served.founded.recipients)
    for size in (100_000, READ_BYTES):
        assert served.ask(stranger.request("POST", PATH, bytes(size), now_s())) == (401, b"")


def test_a_body_announced_as_too_long_is_refused_before_it_is_sent(served: Running, home: Household) -> None:
    header = home.request("POST", PATH, b"", now_s()).authorization
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\nContent-Length: {READ_BYTES + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def cost(running: Running, requests: list[Request], status: int) -> float:
    before = cpu_s(running)
    for request in requests:
        assert running.ask(request)[0] == status
    return cpu_s(running) - before


@pytest.mark.slow
def test_refusing_a_stranger_costs_half_of_taking_a_batch_at_most(served: Running, home: Household) -> None:
    stranger = Household(served.founded.root, served.founded.recipients)
    bodies = [sealed(home)[0] for _ in range(600)]
    taken = refused = 0.0
    for start_at in range(0, 600, 100):  # side by side: the machine may be busy with other things
        part = bodies[start_at : start_at + 100]
        taken += cost(served, [home.request("POST", PATH, body, now_s()) for body in part], 200)
        refused += cost(served, [stranger.request("POST", PATH, body, now_s()) for body in part], 401)
    assert refused < taken / 2


def grown(running: Running, home: Household, *, first: int, then: int) -> int:
    """Return the bytes that *then* batches and refusals add to what *first* took."""
    for number in range(first + then):
        if number == first:
            before = resident(running)
        body = sealed(home)[0]
        assert running.ask(home.request("POST", PATH, body, now_s()))[0] == 200
        assert running.ask(Request("POST", PATH, "Edge 00", body))[0] == 401
    return resident(running) - before


def test_memory_does_not_grow_with_batches_in_the_sample(served: Running, home: Household) -> None:
    assert grown(served, home, first=30, then=120) < 4 << 20


@pytest.mark.slow
def test_memory_does_not_grow_with_batches(served: Running, home: Household) -> None:
    assert grown(served, home, first=1000, then=10_000) < 4 << 20
