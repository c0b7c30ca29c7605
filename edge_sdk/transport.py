"""
The seam between the uplink and whatever carries its requests.

An integrator who already has an HTTP stack, a modem library or a message bus writes a :class:`Transport`; the one
that comes with the package is ``http_transport``. A transport adds no headers that could tell devices apart, follows
no redirect, keeps no cookie, and answers what it was answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

MAX_RESPONSE_BYTES = 1 << 20  # the largest answer is a recipients document


class Lane(Enum):
    """
    Which queue a request belongs to.
    """

    NORMAL = "normal"
    NOW = "now"
    WIPE = "wipe"


@dataclass(frozen=True, slots=True)
class Request:
    """
    One request: ``path`` begins with /v1/, ``headers`` holds Authorization and Content-Type at most.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    lane: Lane = Lane.NORMAL


@dataclass(frozen=True, slots=True)
class Response:
    """
    What came back; header names are lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """
    Carries requests to the collector.
    """

    async def send(self, request: Request) -> Response:
        """
        Return the answer to one request.

        Raises:
            UplinkError: when there was no answer; the caller tries again later.
        """

    async def close(self) -> None:
        """
        Close every connection; the next :meth:`send` opens a new one.
        """
