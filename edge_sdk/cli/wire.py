"""
Requests as they stood on the wire: cut out of what a relay kept, and told byte by byte.

Owns: :func:`exchanges`, :func:`pieces_of`.
Rules: a byte is in exactly one piece; what a piece says is what it says to whoever sees it without a key.
Does not: print (before_after), open anything.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from edge_sdk.cli.demo_relay import Piece, Relay
from edge_sdk.core.envelope import Outer, outer

BATCHES: Final = b"POST /v1/batches "
HEX_SHOWN: Final = 16

_FRAMING: Final = "framing: constants and lengths"
_HEAD_ENDS: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\nContent-Length: ([0-9]{1,9})\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    One request as it was sent: when it began (monotonic ms), its bytes, and how many came back for it.
    """

    at_ms: int
    request: bytes
    answer_bytes: int

    @property
    def line(self) -> str:
        """
        Return method and path.
        """
        return self.request.partition(b" HTTP/")[0].decode("latin-1")


@dataclass(frozen=True, slots=True)
class Seen:
    """
    Some bytes of a request: where, what they are, what they say.
    """

    at: int
    size: int
    what: str
    says: str


def exchanges(relay: Relay) -> list[Exchange]:
    """
    Return what a relay carried, request by request, in the order they began.
    """
    found = []
    for carried in relay.connections:
        answers = [len(answer) for _, answer in _messages(carried.received)]
        requests = list(_messages(carried.sent))
        answers += [0] * (len(requests) - len(answers))  # the connection ended before
        found += [Exchange(at_ms, sent, back) for (at_ms, sent), back in zip(requests, answers, strict=False)]
    return sorted(found, key=lambda exchange: exchange.at_ms)


def _messages(pieces: Sequence[Piece]) -> Iterator[tuple[int, bytes]]:
    """
    Yield the whole HTTP messages of one direction, each with when its first byte was read.
    """
    stream = b"".join(piece.content for piece in pieces)
    begins = [0, *accumulate(len(piece.content) for piece in pieces)]
    at = 0
    while (ends := stream.find(_HEAD_ENDS, at)) >= 0:
        length = _LENGTH.search(stream, at, ends + 2)
        after = ends + len(_HEAD_ENDS) + (0 if length is None else int(length[1]))
        if after > len(stream):
            return
        yield pieces[bisect_right(begins, at) - 1].at_ms, stream[at:after]
        at = after


def pieces_of(request: bytes) -> list[Seen]:
    """
    Return what every byte of a request that carries a batch is.

    Raises:
        Malformed: its body is no sealed batch.
    """
    head, _, body = request.partition(_HEAD_ENDS)
    pieces, at = [], 0
    for line in head.split(b"\r\n"):
        pieces.append(Seen(at, len(line) + 2, *_of_head(line)))
        at += len(line) + 2
    pieces.append(Seen(at, 2, "end of the head", ""))
    return pieces + list(_of_body(body, at + 2))


def _of_head(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(": ")
    if name == "Authorization":
        return "tag of the day, and MAC of this request", value
    return ("request", name) if not value else (name, value)


def _of_body(body: bytes, offset: int) -> Iterator[Seen]:
    """
    Yield the parts of a sealed batch in their order; what is between them is the framing that every batch has.
    """
    at = 0
    for part, what in _parts(outer(body)):
        began = body.index(part, at)
        if began > at:
            yield Seen(offset + at, began - at, _FRAMING, body[at:began][:HEX_SHOWN].hex())
        yield Seen(offset + began, len(part), what, _hex(part))
        at = began + len(part)
    if at < len(body):
        yield Seen(offset + at, len(body) - at, _FRAMING, body[at:].hex())


def _parts(sealed: Outer) -> list[tuple[bytes, str]]:
    assert sealed.batch_id is not None
    return [
        (sealed.batch_id, "batch id, drawn for this batch"),
        (sealed.iv, "nonce, drawn for this batch"),
        (sealed.ciphertext, "rows, padded and sealed"),
        (sealed.kid, "the recipient's key, the same for all its households"),
        (sealed.ek, "key agreement, drawn for this batch"),
        (sealed.wrapped, "content key, sealed to the recipient"),
    ]


def _hex(part: bytes) -> str:
    return part.hex() if len(part) <= HEX_SHOWN else f"{part[:HEX_SHOWN].hex()}..."
