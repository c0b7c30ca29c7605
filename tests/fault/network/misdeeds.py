"""
What a bad network does to one HTTP request: each misdeed by its name.

A misdeed gets one request as it was read, may have it forwarded, and says to the client what it likes; it ends the
connection by raising. Only the standard library, and nothing of the package under test. Who is served which misdeed is
``chaos``.
"""

from __future__ import annotations

import gzip
import http.client
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

STALL_S: Final = 30.0
PORTAL: Final = b"<html><head><title>Welcome</title></head><body>Please log in to use this network</body></html>"
BOMB_BYTES: Final = 512 << 20
_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


@dataclass(frozen=True)
class Answer:
    """
    One answer of the server behind, read to its end.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Exchange:
    """
    One request, the socket it came over and the server it was meant for.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client: socket.socket
    upstream: tuple[str, int]
    stopping: threading.Event
    rule: dict[str, Any] = field(default_factory=dict)

    def forward(self, body: bytes | None = None, *, without: str = "") -> Answer:
        """
        Hand the request on, or another *body* with its headers, and return what was answered.
        """
        server = http.client.HTTPConnection(*self.upstream, timeout=STALL_S)
        headers = {name: value for name, value in self.headers.items() if name not in _HOP and name != without}
        try:
            server.request(self.method, self.path, self.body if body is None else body, headers)
            answer = server.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            server.close()

    def say(self, status: int, body: bytes = b"", *headers: str) -> None:
        """
        Answer with exactly this.
        """
        self.raw(written(status, body, *headers))

    def raw(self, content: bytes) -> None:
        self.client.sendall(content)

    def stall(self) -> None:
        """
        Keep the connection and say nothing more.
        """
        self.stopping.wait(STALL_S)
        raise ConnectionError

    def rest(self, seconds: float) -> None:
        self.stopping.wait(seconds)


def written(status: int, body: bytes, *headers: str) -> bytes:
    """
    Return an answer as bytes.
    """
    return "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]).encode() + b"\r\n\r\n" + body


def relayed(answer: Answer) -> bytes:
    """
    Return an answer of the server behind as bytes.
    """
    headers = [f"{name}: {value}" for name, value in answer.headers if name.lower() not in _HOP]
    return written(answer.status, answer.body, *headers)


def reset(client: socket.socket) -> None:
    """
    Break a connection off with a reset.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionError


def honest(exchange: Exchange) -> None:
    exchange.raw(relayed(exchange.forward()))


def status(exchange: Exchange) -> None:
    """
    Answer ``status``, with ``headers`` and ``body`` where the rule has them.
    """
    body = exchange.rule.get("body", "").encode("latin-1")
    exchange.say(exchange.rule["status"], body, *exchange.rule.get("headers", ()))


def redirect(exchange: Exchange) -> None:
    """
    Send the client ``to`` somewhere else, with a page.
    """
    where = exchange.rule["to"].rstrip("/") + exchange.path
    exchange.say(exchange.rule.get("status", 307), PORTAL, f"Location: {where}", "Refresh: 0; url=" + where)


def portal(exchange: Exchange) -> None:
    exchange.say(200, PORTAL, "Content-Type: text/html", "Set-Cookie: portal=1; Path=/")


def latency(exchange: Exchange) -> None:
    exchange.rest(exchange.rule.get("seconds", 0.1))
    honest(exchange)


def late(exchange: Exchange) -> None:
    """
    Have it answered, and hand the answer over when nobody waits for it any more.
    """
    answer = relayed(exchange.forward())
    exchange.rest(exchange.rule.get("seconds", 3.0))
    exchange.raw(answer)


def lost_before(exchange: Exchange) -> None:
    raise ConnectionError


def lost_after(exchange: Exchange) -> None:
    exchange.forward()
    raise ConnectionError


def reset_in_request(exchange: Exchange) -> None:
    reset(exchange.client)


def reset_in_answer(exchange: Exchange) -> None:
    answer = relayed(exchange.forward())
    exchange.raw(answer[: len(answer) // 2])
    exchange.rest(0.02)
    reset(exchange.client)


def black_hole(exchange: Exchange) -> None:
    exchange.stall()


def half_open(exchange: Exchange) -> None:
    """
    Have it stored, and never say so.
    """
    exchange.forward()
    exchange.stall()


def half_closed(exchange: Exchange) -> None:
    answer = relayed(exchange.forward())
    exchange.raw(answer[: len(answer) - 7])
    exchange.client.shutdown(socket.SHUT_WR)
    exchange.stall()


def slow_head(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nX: ")
    while not exchange.stopping.is_set():
        exchange.raw(b"x")
        exchange.rest(0.01)


def slow_body(exchange: Exchange) -> None:
    answer = relayed(exchange.forward())
    for at in range(len(answer)):
        exchange.raw(answer[at : at + 1])
        exchange.rest(0.05)


def truncated(exchange: Exchange) -> None:
    answer = relayed(exchange.forward())
    exchange.raw(answer[:-1])
    raise ConnectionError


def truncated_head(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nContent-")
    raise ConnectionError


def oversized(exchange: Exchange) -> None:
    exchange.say(200, bytes(exchange.rule.get("bytes", 8 << 20)))


def endless(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not exchange.stopping.is_set():
        exchange.raw(b"10000\r\n" + bytes(1 << 16) + b"\r\n")


def endless_head(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\n")
    while not exchange.stopping.is_set():
        exchange.raw(b"X-Name: value\r\n" * 1000)


def bomb(size: int = BOMB_BYTES) -> bytes:
    """
    Return *size* zero bytes as gzip, made of one block many times: small, and made at once.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"")[:10] + block * (size >> 20) + b"\x03\x00" + struct.pack("<II", 0, size & 0xFFFFFFFF)


def gzip_bomb(exchange: Exchange) -> None:
    exchange.say(200, bomb(), "Content-Encoding: gzip", "Content-Type: application/cose")


def flood(exchange: Exchange) -> None:
    """
    Answer that the answer is still to come, for ever.
    """
    while not exchange.stopping.is_set():
        exchange.raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 500 + b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 500)


def hinted(exchange: Exchange) -> None:
    """
    Answer a few times that the answer is still to come, then answer.
    """
    exchange.raw(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n"
    )
    honest(exchange)


def no_http(exchange: Exchange) -> None:
    exchange.raw(exchange.rule.get("bytes", "220 smtp.example ESMTP\r\n\r\n").encode("latin-1"))
    raise ConnectionError


def two_answers(exchange: Exchange) -> None:
    """
    Answer, and answer what was not asked yet as well.
    """
    exchange.raw(relayed(exchange.forward()) + written(200, PORTAL))


def kept_then_cut(exchange: Exchange) -> None:
    """
    Answer as if the connection stayed open, and close it a little later without a word.
    """
    honest(exchange)
    exchange.rest(0.02)
    raise ConnectionError


def twice(exchange: Exchange) -> None:
    exchange.forward()
    honest(exchange)


def again_later(exchange: Exchange) -> None:
    """
    Lose the request, and hand it on all the same when the client has long sent it again.
    """

    def hand_on() -> None:
        time.sleep(exchange.rule.get("seconds", 0.3))
        exchange.forward()

    threading.Thread(target=hand_on, daemon=True).start()
    raise ConnectionError


def flipped_request(exchange: Exchange) -> None:
    exchange.raw(relayed(exchange.forward(_flipped(exchange.body))))


def flipped_answer(exchange: Exchange) -> None:
    answer = exchange.forward()
    exchange.say(answer.status, _flipped(answer.body))


def cut_request(exchange: Exchange) -> None:
    exchange.raw(relayed(exchange.forward(exchange.body[: len(exchange.body) // 2])))


def nameless(exchange: Exchange) -> None:
    """
    Hand the request on without what says who asks.
    """
    exchange.raw(relayed(exchange.forward(without="authorization")))


def empty(exchange: Exchange) -> None:
    exchange.say(204)


def swallowed(exchange: Exchange) -> None:
    """
    Have it stored, and answer as a cache does: well, and without what was answered.
    """
    exchange.say(exchange.forward().status)


def _flipped(body: bytes) -> bytes:
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] if body else body


MISDEEDS: Final[dict[str, Callable[[Exchange], None]]] = {
    deed.__name__: deed
    for deed in (
        honest, status, redirect, portal, latency, late, lost_before, lost_after, reset_in_request, reset_in_answer,
        black_hole, half_open, half_closed, slow_head, slow_body, truncated, truncated_head, oversized, endless,
        endless_head, gzip_bomb, flood, hinted, no_http, two_answers, kept_then_cut, twice, again_later,
        flipped_request, flipped_answer, cut_request, nameless, empty, swallowed,
    )
}  # fmt: skip
"""Every misdeed by name; of a connection as a whole there are more in ``chaos``."""
HALFWAY: Final = frozenset({"reset_in_request"})
"""Misdeeds that do not wait for the end of the request."""
