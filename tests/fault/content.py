"""
The bytes of one file, shared between the thousands of states that differ from it by one write.

Owns pages of 4096 bytes that never change once made: a write makes new pages for what it touches and
shares the rest, and a page is hashed once. Bytes past the end of the file are zero in the last page,
always, so that a file that grows again reads zeros there as POSIX says. Knows nothing of names, syncs or
disks.
"""

from __future__ import annotations

import hashlib
from typing import Final, final

PAGE_BYTES: Final = 4096
_DIGEST_BYTES: Final = 16


@final
class Page:
    """
    Hold one page and, once asked for, its digest.
    """

    __slots__ = ("_digest", "octets")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        """
        Return the page's digest, worked out once.
        """
        if self._digest is None:
            self._digest = hashlib.blake2b(self.octets, digest_size=_DIGEST_BYTES).digest()
        return self._digest


_ZEROS: Final = Page(bytes(PAGE_BYTES))


@final
class Content:
    """
    Hold the bytes of a file at one moment; every change returns another Content.
    """

    __slots__ = ("_digest", "pages", "size")

    def __init__(self, size: int, pages: tuple[Page, ...]) -> None:
        self.size = size
        self.pages = pages
        self._digest: bytes | None = None

    @classmethod
    def of(cls, octets: bytes) -> Content:
        """
        Return *octets* cut into pages.
        """
        return EMPTY.write(0, octets)

    @property
    def digest(self) -> bytes:
        """
        Return the digest of size and bytes.
        """
        if self._digest is None:
            whole = hashlib.blake2b(self.size.to_bytes(8, "big"), digest_size=_DIGEST_BYTES)
            whole.update(b"".join(page.digest for page in self.pages))
            self._digest = whole.digest()
        return self._digest

    def octets(self) -> bytes:
        """
        Return all bytes in one piece.
        """
        return b"".join(page.octets for page in self.pages)[: self.size]

    def write(self, at: int, octets: bytes) -> Content:
        """
        Return the content after *octets* were written at offset *at*; a gap before them reads as zeros.
        """
        if not octets:
            return self
        end = at + len(octets)
        pages = self._grown(max(end, self.size))
        first, last = at // PAGE_BYTES, (end - 1) // PAGE_BYTES
        head = pages[first].octets[: at % PAGE_BYTES]
        tail = pages[last].octets[(end - 1) % PAGE_BYTES + 1 :]
        merged = head + octets + tail
        for number in range(first, last + 1):
            start = (number - first) * PAGE_BYTES
            pages[number] = Page(merged[start : start + PAGE_BYTES])
        return Content(max(end, self.size), tuple(pages))

    def resize(self, size: int) -> Content:
        """
        Return the content cut off at *size* bytes, or grown to it with zeros.
        """
        if size == self.size:
            return self
        pages = self._grown(size)
        if size < self.size and size % PAGE_BYTES:
            kept = pages[-1].octets[: size % PAGE_BYTES]
            pages[-1] = Page(kept.ljust(PAGE_BYTES, b"\0"))
        return Content(size, tuple(pages))

    def _grown(self, size: int) -> list[Page]:
        count = -(-size // PAGE_BYTES)
        return [*self.pages[:count], *([_ZEROS] * (count - len(self.pages)))]


EMPTY: Final = Content(0, ())
