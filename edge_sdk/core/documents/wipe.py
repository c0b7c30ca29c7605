"""
The wipe order: erase, and prove it, signed by a role of its own.

Owns: ``WipeOrder`` and its acceptance.
Rules: bound to one device and one generation; no expiry, it ends with its generation; an order that was
carried out is known by its nonce and not carried out again.
Does not: erase anything (wipe). Neighbours: documents.root, documents.statement, documents.times.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from edge_sdk.core import cbor, claims, labels
from edge_sdk.core.claims import Role
from edge_sdk.core.cose import parse_document, sign_document
from edge_sdk.core.documents.root import Check, Root, check_signers, refusal
from edge_sdk.core.documents.statement import check_addressee
from edge_sdk.core.documents.times import check_times
from edge_sdk.core.keys import RoleSeed
from edge_sdk.core.shape import Fields, list_of, octets, seconds, text
from edge_sdk.errors import Malformed

WIPE_LIMIT: Final = 800  # shares one downlink with a statement; four signatures and four purposes fit
MAX_SCOPE: Final = 16
_ACCOUNT_SCOPE: Final = 0


@dataclass(frozen=True, slots=True)
class WipeOrder:
    """
    Hold one order to erase.
    """

    audience: bytes
    generation: bytes
    nonce: bytes
    """16 random bytes; the receipt repeats them."""
    iat_s: int
    purposes: tuple[str, ...] = ()
    """The purposes to erase; empty: everything the account has on this device."""
    not_before_s: int | None = None
    """It is refused before this instant; the downlink brings it again until it is withdrawn or done."""


def encode_wipe(order: WipeOrder) -> bytes:
    """
    Return the payload of *order*.
    """
    payload: dict[int, cbor.Value] = {
        claims.AUD: order.audience,
        claims.IAT: order.iat_s,
        claims.CTI: order.nonce,
        claims.GENERATION: order.generation,
        claims.SCOPE: list(order.purposes) if order.purposes else _ACCOUNT_SCOPE,
    }
    if order.not_before_s is not None:
        payload[claims.NBF] = order.not_before_s
    return cbor.encode(payload)


def sign_wipe(order: WipeOrder, seeds: Sequence[RoleSeed]) -> bytes:
    """
    Return the bundle of *order*.

    Raises:
        Malformed: no device would take this order.
    """
    payload = encode_wipe(order)
    _decode_wipe(payload)
    bundle = sign_document(payload, typ=labels.TYP_WIPE, seeds=[seed.reveal() for seed in seeds])
    if len(bundle) > WIPE_LIMIT:
        raise Malformed(
            f"wipe order is longer than {WIPE_LIMIT} bytes", hint="order the whole account instead"
        )
    return bundle


def accept_wipe(
    bundle: bytes,
    *,
    root: Root,
    audience: bytes,
    generation: bytes,
    executed: Collection[bytes],
    now_s: int,
) -> WipeOrder:
    """
    Return the wipe order in *bundle*.

    Args:
        audience, generation: this device's own.
        executed: nonces of the orders already carried out in this generation.
        now_s: the larger of wall and floor.

    Order:
        1 signature, 2 typ, 3 role threshold, 4 audience, 5 generation, 6 not carried out before, 7 times.

    Raises:
        Malformed: another structure.
        Tampered: check 1.
        ConsentRefused: any other check, by number.
    """
    document = parse_document(bundle, limit=WIPE_LIMIT, what="wipe order")
    check_signers(document, root=root, role=Role.WIPE, typ=labels.TYP_WIPE, what="wipe order")
    order = _decode_wipe(document.payload)
    check_addressee(
        "wipe order", audience=(order.audience, audience), generation=(order.generation, generation)
    )
    if order.nonce in executed:
        raise refusal("wipe order", Check.VERSION, "carried out before")
    check_times("wipe order", iat_s=order.iat_s, valid=(order.iat_s, None), now_s=now_s)
    # No skew here: an erase a minute early cannot be taken back, one a minute late can be waited for.
    if order.not_before_s is not None and now_s < order.not_before_s:
        raise refusal("wipe order", Check.TIMES, "not due yet")
    return order


def _decode_wipe(payload: bytes) -> WipeOrder:
    fields = Fields(cbor.decode(payload, WIPE_LIMIT, "wipe order"), "wipe order")
    order = WipeOrder(
        audience=fields.take(claims.AUD, "aud", octets(claims.ID_BYTES)),
        not_before_s=fields.maybe(claims.NBF, "nbf", seconds),
        iat_s=fields.take(claims.IAT, "iat", seconds),
        nonce=fields.take(claims.CTI, "nonce", octets(claims.ID_BYTES)),
        generation=fields.take(claims.GENERATION, "generation", octets(claims.ID_BYTES)),
        purposes=fields.take(claims.SCOPE, "scope", _scope),
    )
    fields.end()
    return order


def _scope(value: object, where: str) -> tuple[str, ...]:
    if value == _ACCOUNT_SCOPE and not isinstance(value, bool):
        return ()
    return list_of(text(claims.PURPOSE_CHARS), MAX_SCOPE, least=1)(value, where)
