"""
The vectors of everything signed: documents, receipt, time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from edge_sdk.core import cbor, claims, cose, documents, labels, receipt
from edge_sdk.core.claims import Role
from edge_sdk.core.documents.root import CLOCK_SKEW_S
from edge_sdk.core.keys import RoleSeed
from tests.vectors import world
from tests.vectors.vector import (
    BODY,
    NONCE,
    NOW_S,
    RECEIPT,
    ROOTED,
    STATEMENT,
    TIME,
    Vector,
    aged,
    flipped,
    numbered,
    signed,
    single,
    twice,
    versions,
)


def sign_by_stranger(typ: str, payload: bytes) -> bytes:
    """
    Return *payload* signed by somebody.
    """
    seeds = world.seeds(Role.STATEMENT, 1, edition=" stranger")
    return cose.sign_document(payload, typ=typ, seeds=[seed.reveal() for seed in seeds])


def successor(**changes: Any) -> documents.Root:
    """
    Return the root that follows the pinned one.
    """
    return world.root(**({"version": 2, "iat_s": NOW_S} | changes))


def roots() -> Iterator[Vector]:
    """
    Return the vectors of the root.
    """
    by_root: dict[str, Any] = {"what": "root", "arguments": {"root": "pinned-root"}}
    rotated = dict(world.root().roles) | {Role.ROOT: world.role_keys(Role.ROOT, edition=" new")}
    one_new = [*world.seeds(Role.ROOT), *world.seeds(Role.ROOT, 1, edition=" new")]
    good = documents.encode_root(successor())

    def by_two(root: documents.Root, seeds: Sequence[RoleSeed] | None = None) -> Callable[[], bytes]:
        return lambda: documents.sign_root(root, seeds or world.seeds(Role.ROOT))

    yield Vector("pinned-root", "pinned-root", by_two(world.root()), "the pinned root of all other vectors")
    yield Vector("root", make=by_two(successor()), comment="the next version", **by_root)
    refused = {
        "root-1-signature": ("Tampered", "one bit of a signature", lambda: flipped(by_two(successor())())),
        "root-2-typ": ("", "signed as statement", lambda: signed(Role.ROOT, labels.TYP_STATEMENT, good)),
        "root-3-role": ("", "signed by the statement role", lambda: signed(Role.STATEMENT, labels.TYP_ROOT, good)),
        "root-3-role-current": ("", "one of two signatures", lambda: signed(Role.ROOT, labels.TYP_ROOT, good, 1)),
        "root-3-role-successor": (
            "",
            "one of two signatures by the new keys",
            by_two(successor(roles=rotated), one_new),
        ),
        "root-4-audience": ("", "a real root after a test root", by_two(successor(test=False))),
        "root-6-version": ("", "version 3 after version 1", by_two(successor(version=3))),
        "root-6-version-same": ("", "version 1 after version 1", by_two(successor(version=1))),
        "root-7-times": ("", "issued before version 1", by_two(successor(iat_s=world.root().iat_s - 1))),
    }
    yield from numbered("root", refused, by_root)


def statements() -> Iterator[Vector]:
    """
    Return the vectors of the statement.
    """
    common: dict[str, Any] = {"what": "statement", "arguments": STATEMENT}
    good = documents.encode_statement(world.statement())

    def made(**changes: Any) -> Callable[[], bytes]:
        return lambda: documents.sign_statement(world.statement(**changes), world.seeds(Role.STATEMENT))

    yield Vector("statement", make=made(), comment="one consent, given", **common)
    strange = made(account="dormant", grants=(world.grant(status="paused", basis="whim"),))
    yield Vector(
        "statement-unknown-words", make=strange, comment="account, basis and status of a later release", **common
    )
    early = made(nbf_s=NOW_S + CLOCK_SKEW_S + 1)
    refused = {
        "statement-1-signature": ("Tampered", "one bit of the signature", lambda: flipped(made()())),
        "statement-1-signature-stranger": (
            "Tampered",
            "signed by a key that the root does not know",
            lambda: sign_by_stranger(labels.TYP_STATEMENT, good),
        ),
        "statement-2-typ": ("", "signed as receipt", lambda: signed(Role.STATEMENT, labels.TYP_RECEIPT, good)),
        "statement-3-role": ("", "signed by the wipe role", lambda: signed(Role.WIPE, labels.TYP_STATEMENT, good)),
        "statement-4-audience": ("", "for another device", made(audience=bytes(16))),
        "statement-5-generation": ("", "for another generation", made(generation=bytes(16))),
        "statement-7-times-early": ("", "valid in more than an hour", early),
        "statement-7-times-issued": ("", "issued in more than an hour", made(iat_s=NOW_S + CLOCK_SKEW_S + 1)),
        "statement-7-times-expired": ("", "expired this second", made(exp_s=NOW_S)),
    }
    yield from numbered("statement", refused, common)
    yield from versions("statement", made(), world.statement(), common)
    yield Vector(
        "statement-malformed-grant-twice",
        make=lambda: signed(Role.STATEMENT, labels.TYP_STATEMENT, twice(good, claims.GRANTS)),
        comment="one grant id twice",
        error="Malformed",
        check="statement gives one grant id twice",
        **common,
    )


def recipients() -> Iterator[Vector]:
    """
    Return the vectors of the recipients document.
    """
    common: dict[str, Any] = {"what": "recipients", "arguments": ROOTED}
    good = documents.encode_recipients(world.recipients())

    def made(**changes: Any) -> Callable[[], bytes]:
        return lambda: documents.sign_recipients(world.recipients(**changes), world.seeds(Role.RECIPIENTS))

    yield Vector("recipients", make=made(), comment="one X25519 key", **common)
    both = (world.recipient_key(), world.recipient_key(claims.ALG_HPKE_X_WING))
    yield Vector("recipients-two", make=made(keys=both), comment="an X25519 and an X-Wing key", **common)
    early = made(iat_s=NOW_S + CLOCK_SKEW_S + 1)
    refused = {
        "recipients-1-signature": ("Tampered", "one bit of the signature", lambda: flipped(made()())),
        "recipients-2-typ": ("", "signed as root", lambda: signed(Role.RECIPIENTS, labels.TYP_ROOT, good)),
        "recipients-3-role": (
            "",
            "signed by the statement role",
            lambda: signed(Role.STATEMENT, labels.TYP_RECIPIENTS, good),
        ),
        "recipients-7-times-early": ("", "issued in more than an hour", early),
        "recipients-7-times-not-begun": ("", "valid in more than an hour", made(nbf_s=NOW_S + CLOCK_SKEW_S + 1)),
        "recipients-7-times-expired": ("", "expired this second", made(exp_s=NOW_S)),
    }
    yield from numbered("recipients", refused, common)
    yield from versions("recipients", made(), world.recipients(), common)
    yield Vector(
        "recipients-malformed-key-twice",
        make=lambda: signed(Role.RECIPIENTS, labels.TYP_RECIPIENTS, twice(good, claims.RECIPIENTS)),
        comment="one key twice",
        error="Malformed",
        check="recipients list one key twice",
        **common,
    )


def wipe_orders() -> Iterator[Vector]:
    """
    Return the vectors of the wipe order.
    """
    common: dict[str, Any] = {"what": "wipe", "arguments": STATEMENT}
    good = documents.encode_wipe(world.wipe_order())

    def made(**changes: Any) -> Callable[[], bytes]:
        return lambda: documents.sign_wipe(world.wipe_order(**changes), world.seeds(Role.WIPE))

    yield Vector("wipe", make=made(), comment="the whole account", **common)
    yield Vector("wipe-purpose", make=made(purposes=("research",)), comment="one purpose", **common)
    refused = {
        "wipe-1-signature": ("Tampered", "one bit of a signature", lambda: flipped(made()())),
        "wipe-2-typ": ("", "signed as statement", lambda: signed(Role.WIPE, labels.TYP_STATEMENT, good)),
        "wipe-3-role": ("", "signed by the statement role", lambda: signed(Role.STATEMENT, labels.TYP_WIPE, good)),
        "wipe-3-role-threshold": ("", "one of two signatures", lambda: signed(Role.WIPE, labels.TYP_WIPE, good, 1)),
        "wipe-4-audience": ("", "for another device", made(audience=bytes(16))),
        "wipe-5-generation": ("", "for another generation", made(generation=bytes(16))),
        "wipe-7-times-early": ("", "issued in more than an hour", made(iat_s=NOW_S + CLOCK_SKEW_S + 1)),
        "wipe-7-times-not-due": ("", "due in a second", made(not_before_s=NOW_S + 1)),
    }
    yield from numbered("wipe order", refused, common)
    replayed = Vector(
        "",
        make=made(),
        comment="carried out before",
        error="ConsentRefused",
        check="wipe order check 6 (version)",
        **common,
    )
    yield aged("wipe-6-version-executed", replayed, executed=world.wipe_order().nonce.hex())


def answers() -> Iterator[Vector]:
    """
    Return the vectors of receipt and signed time.
    """
    by_receipt: dict[str, Any] = {"what": "receipt", "arguments": RECEIPT}
    by_time: dict[str, Any] = {"what": "time", "arguments": TIME}
    stored = cbor.encode({0: 1, 1: world.BATCH_ID, 2: BODY, 3: None, 4: 0, 6: NOW_S})
    told = cbor.encode({0: 1, 1: NONCE, 2: NOW_S})

    def made(**changes: Any) -> Callable[[], bytes]:
        arguments: dict[str, Any] = {"batch_id": world.BATCH_ID, "body_sha256": BODY, "downlink_hash": None}
        full = receipt.Receipt(at_s=NOW_S, **(arguments | changes))
        return lambda: receipt.sign_receipt(full, world.seeds(Role.RECEIPT)[0])

    yield Vector("receipt", make=made(), comment="stored", **by_receipt)
    yield Vector("receipt-refusal", make=made(result=413), comment="too large", **by_receipt)
    yield from numbered(
        "receipt",
        {
            "receipt-1-signature": (
                "Tampered",
                "signed by a stranger",
                lambda: single(Role.RECEIPT, labels.TYP_RECEIPT, stored, edition=" stranger"),
            ),
            "receipt-2-typ": ("Tampered", "signed as time", lambda: single(Role.RECEIPT, labels.TYP_TIME, stored)),
            "receipt-3-role": (
                "Tampered",
                "signed by the time role",
                lambda: single(Role.TIME, labels.TYP_RECEIPT, stored),
            ),
            "receipt-4-batch id": ("Tampered", "for another batch", made(batch_id=bytes(16))),
            "receipt-5-body": ("Tampered", "for other bytes", made(body_sha256=bytes(32))),
        },
        by_receipt,
    )
    yield Vector("time", make=lambda: single(Role.TIME, labels.TYP_TIME, told), comment="now", **by_time)
    other = cbor.encode({0: 1, 1: bytes(16), 2: NOW_S})
    yield from numbered(
        "time",
        {
            "time-1-signature": (
                "Tampered",
                "signed by a stranger",
                lambda: single(Role.TIME, labels.TYP_TIME, told, edition=" stranger"),
            ),
            "time-2-typ": ("Tampered", "signed as receipt", lambda: single(Role.TIME, labels.TYP_RECEIPT, told)),
            "time-3-role": (
                "Tampered",
                "signed by the receipt role",
                lambda: single(Role.RECEIPT, labels.TYP_TIME, told),
            ),
            "time-4-nonce": ("Tampered", "for another request", lambda: single(Role.TIME, labels.TYP_TIME, other)),
        },
        by_time,
    )
