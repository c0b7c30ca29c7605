"""
Frames of APsystems gateways: whole ones out of a stream of bytes, and one taken apart from left to right.

``APS``, two digits of a type, the length of the frame without its last byte, the content, ``END`` and a line feed. The
length is four digits in what an ECU answers on the LAN (type 11) and five places filled up with ``A`` in what it sends
to its cloud (types 13, 18). There is no checksum, no key and no name of the sender: anyone on the LAN can write these,
so everything here takes them for hostile.

Owns: :class:`Frames`, :class:`Cut`, how long a frame may be.
Rules: bounded whatever comes; a message names what was read and where, never what was found there.
Does not: know what a frame means (apsystems_local, apsystems_upload), open sockets or keep anything.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from edge_sdk.errors import Malformed

HEAD: Final = b"APS"
END: Final = b"END"
TAIL: Final = b"END\n"
MAX_FRAME_BYTES: Final = 16_384  # 64 inverters of four channels are 8,279 in the longest form
MAX_NOISE_BYTES: Final = 65_536  # without one frame among them: whoever talks like that is no ECU

_LENGTH_AT: Final = 5
_SMALLEST: Final = 14  # head, type, length, "END\n"
_PADDED: Final = re.compile(rb"A*([0-9]{1,5})")
_LENGTHS: Final = {b"11": (4, re.compile(rb"([0-9]{4})")), b"13": (5, _PADDED), b"18": (5, _PADDED)}  # by type
_WORD: Final = re.compile(rb"[A-Za-z0-9_./+:-]*")


def frame_bytes(head: bytes) -> int | None:
    """
    Return how long the frame is that begins with *head* (ten bytes are enough), None when it is none.
    """
    kind = head[3:_LENGTH_AT]
    if not head.startswith(HEAD) or kind not in _LENGTHS:
        return None
    places, shape = _LENGTHS[kind]
    found = shape.fullmatch(head[_LENGTH_AT : _LENGTH_AT + places])
    size = 0 if found is None else int(found[1]) + 1
    return size if _SMALLEST <= size <= MAX_FRAME_BYTES else None


class Frames:
    """
    Whole frames out of a stream, whatever is between them.

    ``counts`` has what was passed over: ``noise_bytes``, and beginnings that were no frame by reason.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._held = bytearray()
        self._in_vain = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """
        Return the frames that are whole with *chunk*.

        Raises:
            Malformed: more than MAX_NOISE_BYTES have come since the last frame.
        """
        found = []
        for at in range(0, len(chunk), MAX_FRAME_BYTES):
            piece = chunk[at : at + MAX_FRAME_BYTES]
            self._held += piece
            self._in_vain += len(piece)
            while (frame := self._next()) is not None:
                found.append(frame)
                self._in_vain = len(self._held)
            if self._in_vain > MAX_NOISE_BYTES:
                self._held.clear()
                raise Malformed(f"no APsystems frame in {MAX_NOISE_BYTES} bytes", hint="is this the port of an ECU?")
        return found

    def _next(self) -> bytes | None:
        while self._seek() and len(self._held) >= _LENGTH_AT + 5:
            size = frame_bytes(bytes(self._held[: _LENGTH_AT + 5]))
            if size is None:
                self._pass_over("bad_length")
            elif len(self._held) < size:
                return None
            elif not self._held.startswith(TAIL, size - len(TAIL)):
                self._pass_over("no_end")  # cut short, or another frame is written into it: that one may be whole
            else:
                frame = bytes(self._held[:size])
                del self._held[:size]
                return frame
        return None

    def _seek(self) -> bool:
        """
        Drop what is before the next beginning of a frame; return whether there is one.
        """
        at = self._held.find(HEAD)
        noise = at if at >= 0 else max(0, len(self._held) - len(HEAD) + 1)
        if noise:
            self.counts["noise_bytes"] += noise
            del self._held[:noise]
        return at >= 0

    def _pass_over(self, why: str) -> None:
        self.counts[why] += 1
        self.counts["noise_bytes"] += len(HEAD)
        del self._held[: len(HEAD)]


class Cut:
    """
    One whole frame, read from left to right; ``spans`` remembers what stood where.

    Args:
        what: the frame's name in messages.
    """

    def __init__(self, frame: bytes, what: str) -> None:
        self.what = what
        self.at = 0
        self.spans: list[tuple[int, int, str]] = []
        self._frame = frame
        size = frame_bytes(frame[: _LENGTH_AT + 5])
        if size is None:
            raise Malformed(f"{what}: no head of a frame, or a length that none has", 0)
        if size != len(frame) or not frame.endswith(TAIL):
            raise Malformed(f"{what}: {len(frame)} bytes, and its head says {size} with END at the end", _LENGTH_AT)

    @property
    def left(self) -> int:
        """
        Return how many bytes are left before the END of the whole frame.
        """
        return len(self._frame) - len(TAIL) - self.at

    def take(self, count: int, name: str) -> bytes:
        """
        Return the next *count* bytes, called *name*.

        Raises:
            Malformed: the frame ends before.
        """
        if count > self.left:
            raise Malformed(f"{self.what}: ends within {name}", self.at)
        self.spans.append((self.at, count, name))
        self.at += count
        return self._frame[self.at - count : self.at]

    def exactly(self, wanted: bytes, name: str) -> None:
        """
        Take *wanted*, or raise Malformed when there is something else.
        """
        if self.take(len(wanted), name) != wanted:
            raise self.wrong(name)

    def has_next(self, wanted: bytes) -> bool:
        """
        Return whether *wanted* is next.
        """
        return self._frame.startswith(wanted, self.at)

    def digits(self, count: int, name: str) -> str:
        """
        Return the next *count* bytes, which have to be digits.
        """
        found = self.take(count, name)
        if not found.isdigit():
            raise self.wrong(name)
        return found.decode("ascii")

    def number(self, count: int, name: str) -> int:
        """
        Return what *count* digits say.
        """
        return int(self.digits(count, name))

    def binary(self, count: int, name: str) -> int:
        """
        Return what *count* bytes say, most significant first.
        """
        return int.from_bytes(self.take(count, name), "big")

    def packed(self, count: int, name: str) -> str:
        """
        Return the digits of *count* bytes with two of them in each.
        """
        found = self.take(count, name).hex()
        if not found.isdigit():
            raise self.wrong(name)
        return found

    def word(self, count: int, name: str) -> str:
        """
        Return *count* bytes as text of letters, digits and ``_ . / + : -``: no name that an ECU has holds more.
        """
        found = self.take(count, name)
        if not _WORD.fullmatch(found):
            raise self.wrong(name)
        return found.decode("ascii")

    def wrong(self, name: str) -> Malformed:
        """
        Return the error for what was taken last.
        """
        return Malformed(f"{self.what}: {name} is not what belongs there", self.spans[-1][0])
