"""
What the ingest tier decides about one request: a pure function of the request and the row its tag leads to.

It checks, in this order: tag and epoch, MAC, size, outer form. It never holds a decryption key and learns
nothing but tag, size and time. The host of these functions looks up the row, keeps the body durably
(``store.IntakeStore.keep``, or what an integrator runs) and only then sends what :func:`conclude` composed:
an answer of 200 is a signed promise that the bytes survive a power cut. A refusal is signed as well, and only
for a holder of the tag's MAC key, so nobody on the way can make a device give a batch up. Not here: sockets,
files, clocks, chance.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from edge_sdk.core import envelope, keys, labels, receipt
from edge_sdk.errors import BadInput, Malformed, Tampered

BATCHES_PATH: Final = "/v1/batches"
CONTROL_PATH: Final = "/v1/control"
DOWNLINK_PATH: Final = "/v1/downlink"


class Box(StrEnum):
    """
    Where a body goes: batches to the openers, control messages to the authority.
    """

    BATCHES = "batches"
    CONTROL = "control"


class Kept(Enum):
    """
    What keeping a body came to.
    """

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    OVER_QUOTA = "over quota"


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one request may cost.

    What is longer than the format allows is not read to its end. An intake may set its own limit for batches
    lower; a body between the two is answered with a signed refusal. Control messages have the limit of the
    format, because one of them may be a wipe receipt. ``wait_s`` is what a tag over its quota is told to wait.
    """

    batch_bytes: int = envelope.LIMITS[labels.TYP_BATCH]
    wait_s: int = 900


@dataclass(frozen=True, slots=True)
class Request:
    """
    The parts of a request that decide anything; ``path`` without host, prefix or query.
    """

    method: str
    path: str
    authorization: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class TagRow:
    """
    What the intake has for one tag in one epoch.
    """

    epoch: int
    tag: bytes
    mac_key: bytes
    quota_bytes: int
    used_bytes: int
    downlink_hash: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    A body that passed every check; ``day`` is the epoch it arrived in, ``row`` what its tag led to.
    """

    box: Box
    id: bytes
    kid: bytes
    digest: bytes
    body: bytes
    day: int
    row: TagRow


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What to send back; ``retry_after_s`` is None where the header has no place.
    """

    status: int
    body: bytes = b""
    retry_after_s: int | None = None


READ_BYTES: Final = max(envelope.LIMITS[labels.TYP_BATCH], envelope.LIMITS[labels.TYP_CONTROL])
UNKNOWN_TAG: Final = Answer(401)  # also a wrong MAC: which of the two it was is nobody's business


def epochs_taken(now_s: int) -> tuple[int, int, int]:
    """
    Return the epochs whose tags are good at *now_s* (Unix seconds), the likeliest first.
    """
    today = keys.epoch_of(now_s)
    return today, today - 1, today + 1


def claimed_tag(request: Request) -> bytes | None:
    """
    Return the tag a request says it comes from, None when it does not say so in the one accepted form.
    """
    try:
        return keys.parse_authorization(request.authorization or "")[0]
    except Malformed:
        return None


def admit(request: Request, row: TagRow | None, *, now_s: int) -> Answer | None:
    """
    Check that a request comes from the holder of a tag of yesterday, today or tomorrow.

    Args:
        row: what the store has for the claimed tag.

    Returns:
        None when it does, else what to answer.
    """
    if row is None or row.epoch not in epochs_taken(now_s):
        return UNKNOWN_TAG
    try:
        tag, mac = keys.parse_authorization(request.authorization or "")
        if tag != row.tag:
            return UNKNOWN_TAG
        keys.check_mac(row.mac_key, mac, request.method, request.path, request.body)
    except (Malformed, Tampered):
        return UNKNOWN_TAG
    return None


def examine(
    request: Request, row: TagRow | None, *, signer: keys.RoleSeed, now_s: int, limits: Limits
) -> Arrival | Answer:
    """
    Decide whether a body may be stored.

    Order: tag and epoch, MAC, size, outer form.

    Args:
        request: to the path of batches or of control messages.
        row: what the store has for the claimed tag.
        signer: the receipt role's seed.
        now_s: Unix seconds.
        limits: what one request may cost.

    Returns:
        The arrival to store, or the answer that ends it: 401 unsigned, 413 and 422 signed.
    """
    refused = admit(request, row, now_s=now_s)
    if refused is not None or row is None:
        return refused or UNKNOWN_TAG
    box, limit, typ = _box(request.path, limits)
    try:
        outer = envelope.outer(request.body)
    except BadInput:
        outer = None
    if outer is None or outer.batch_id is None:
        return Answer(422)  # without an id there is nothing to sign a refusal for; the device tries later
    digest = hashlib.sha256(request.body).digest()
    arrival = Arrival(
        box=box,
        id=outer.batch_id,
        kid=outer.kid,
        digest=digest,
        body=request.body,
        day=keys.epoch_of(now_s),
        row=row,
    )
    if len(request.body) > limit:
        return _signed(arrival, receipt.TOO_LARGE, signer=signer, now_s=now_s)
    if outer.typ != typ:
        return _signed(arrival, receipt.UNPROCESSABLE, signer=signer, now_s=now_s)
    return arrival


def conclude(arrival: Arrival, kept: Kept, *, signer: keys.RoleSeed, now_s: int, limits: Limits) -> Answer:
    """
    Compose the answer to a body that was handed to the store.

    Args:
        arrival: what was stored.
        kept: what keeping it came to; STORED and DUPLICATE only once the bytes are durable.
        signer: the receipt role's seed.
        now_s: Unix seconds.
        limits: what a tag over its quota is told to wait.

    Returns:
        200 with a signed receipt, or 409 or 429 with none.
    """
    match kept:
        case Kept.STORED | Kept.DUPLICATE:
            return _signed(arrival, receipt.STORED, signer=signer, now_s=now_s)
        case Kept.CONFLICT:
            return Answer(409)
        case Kept.OVER_QUOTA:
            return Answer(429, retry_after_s=limits.wait_s)


def _box(path: str, limits: Limits) -> tuple[Box, int, str]:
    if path == BATCHES_PATH:
        return Box.BATCHES, limits.batch_bytes, labels.TYP_BATCH
    return Box.CONTROL, envelope.LIMITS[labels.TYP_CONTROL], labels.TYP_CONTROL


def _signed(arrival: Arrival, result: int, *, signer: keys.RoleSeed, now_s: int) -> Answer:
    signed = receipt.sign_receipt(
        receipt.Receipt(
            batch_id=arrival.id,
            body_sha256=arrival.digest,
            at_s=now_s,
            downlink_hash=arrival.row.downlink_hash,
            result=result,
        ),
        signer,
    )
    return Answer(200 if result == receipt.STORED else result, signed)
