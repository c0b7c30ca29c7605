"""
Asking the collector for signed time, for who has no line: a device being enrolled, a receipt that outlived its site.

A wrong clock gives tags nobody knows and documents that seem not yet valid. The answer is signed by the time role of
the pinned root and corrects the wall of this boot, never the floor (SPEC 9.4). A running site asks through its uplink.
"""

from __future__ import annotations

from collections.abc import Callable

from edge_sdk.carrying import carry
from edge_sdk.clock import Clock
from edge_sdk.core import claims
from edge_sdk.core.documents import Root
from edge_sdk.core.messages import accept_time, encode_time_request
from edge_sdk.errors import BadInput
from edge_sdk.transport import Lane, Request, Transport


async def hear_time(
    clock: Clock, root: Root, transport: Transport, *, draw: Callable[[int], bytes], lane: Lane = Lane.NORMAL
) -> bool:
    """
    Ask for the time and take a good answer; return whether there was one.

    Raises:
        UplinkError: the request could not even be tried.
    """
    nonce = draw(claims.ID_BYTES)
    request = Request("POST", "/v1/time", {"Content-Type": "application/cose"}, encode_time_request(nonce), lane)
    response = await carry(transport, request)
    if response.status != 200:
        return False
    try:
        clock.hear(accept_time(response.body, root=root, nonce=nonce) * 1000)
    except BadInput:
        return False
    return True
