"""
Signed time: how a device without a usable clock learns what time it is.

Owns: the request (a nonce), the signed answer and its checks.
Rules: the nonce makes an answer good once; only the time role signs it; an answer is a wall clock, never a
floor, so it closes and opens but destroys nothing.
Does not: read or set a clock (clock) or open the connection (uplink). Neighbours: documents.root below.
"""

from __future__ import annotations

from typing import Final

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.claims import Role
from edge_sdk.core.cose import key_id, public_key_of, sign1
from edge_sdk.core.documents.root import Root, signed_by_role
from edge_sdk.core.keys import RoleSeed
from edge_sdk.core.shape import Fields, exactly, octets, seconds
from edge_sdk.errors import Tampered

TIME_LIMIT: Final = 256  # an answer takes 146 bytes, a request 21

_VERSION, _NONCE, _AT = range(3)


def encode_time_request(nonce: bytes) -> bytes:
    """
    Return the request for signed time.

    Args:
        nonce: 16 random bytes, used once.
    """
    return cbor.encode({_VERSION: 1, _NONCE: nonce})


def parse_time_request(data: bytes) -> bytes:
    """
    Return the nonce of a request.

    Raises:
        Malformed: it is none.
    """
    fields = Fields(cbor.decode(data, TIME_LIMIT, "time request"), "time request")
    fields.take(_VERSION, "version", exactly(1))
    nonce = fields.take(_NONCE, "nonce", octets(claims.ID_BYTES))
    fields.end()
    return nonce


def sign_time(request: bytes, at_s: int, seed: RoleSeed) -> bytes:
    """
    Return the answer to *request*, signed by a key of the time role.

    Raises:
        Malformed: it is no request.
    """
    payload = cbor.encode({_VERSION: 1, _NONCE: parse_time_request(request), _AT: at_s})
    kid = key_id(public_key_of(seed.reveal()))
    return sign1(payload, seed=seed.reveal(), kid=kid, typ=labels.TYP_TIME)


def accept_time(data: bytes, *, root: Root, nonce: bytes) -> int:
    """
    Return the Unix seconds of an answer to the request that carried *nonce*.

    Order:
        1 signature, 2 typ, 3 role, 4 nonce.

    Raises:
        Malformed: another structure.
        Tampered: any check failed.
    """
    payload = signed_by_role(data, root=root, role=Role.TIME, typ=labels.TYP_TIME, limit=TIME_LIMIT, what="time")
    fields = Fields(cbor.decode(payload, TIME_LIMIT, "time"), "time")
    fields.take(_VERSION, "version", exactly(1))
    answered = fields.take(_NONCE, "nonce", octets(claims.ID_BYTES))
    at_s = fields.take(_AT, "time", seconds)
    fields.end()
    if answered != nonce:
        raise Tampered("time check 4 (nonce)")
    return at_s
