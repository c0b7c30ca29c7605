"""
One authority, one device, one recipient, always the same: every key is the hash of its name.

The test vectors and the unit tests of documents, receipts and messages are made of these. Nothing here is secret, and
no root made here is anything but a test root.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final

from edge_sdk.core.claims import ALG_HPKE_X25519, Account, Role, Status
from edge_sdk.core.consent import Decision, decide
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.documents import (
    STATEMENT_VALID_S,
    Grant,
    HpkePublic,
    RecipientKey,
    Recipients,
    RoleKeys,
    Root,
    Statement,
    WipeOrder,
    audience_of,
)
from edge_sdk.core.keys import (
    GenerationHpkeSeed,
    GenerationSigningSeed,
    RecipientSeed,
    RoleSeed,
    RoutingSecret,
    StreamSecret,
)
from edge_sdk.core.policy import Basis
from edge_sdk.core.seal import hpke_key_pair

NOW_S: Final = 1_760_000_000
DAY_S: Final = 86_400


def named(name: str, size: int = 32) -> bytes:
    """
    Return bytes that everybody can compute from *name*.
    """
    return hashlib.sha256(f"edge-sdk test world: {name}".encode()).digest()[:size]


# How many keys each role has, and how many must sign.
SHAPE: Final = {
    Role.ROOT: (3, 2),
    Role.STATEMENT: (2, 1),
    Role.RECIPIENTS: (1, 1),
    Role.WIPE: (3, 2),
    Role.RECEIPT: (2, 1),
    Role.TIME: (1, 1),
}
ENROLMENT_SEED: Final = RoleSeed(named("enrolment"))
SIGNING_SEED: Final = GenerationSigningSeed(named("generation signing"))
HPKE_SEED: Final = GenerationHpkeSeed(named("generation hpke"))
RECIPIENT_SEED: Final = RecipientSeed(named("recipient"))
ROUTING: Final = RoutingSecret(named("routing"))
STREAM_SECRET: Final = StreamSecret(named("streams"))
SIGNING_KEY: Final = public_key_of(SIGNING_SEED.reveal())
AUDIENCE: Final = audience_of(SIGNING_KEY)
GENERATION: Final = named("generation", 16)
GRANT_ID: Final = named("grant", 16)
DIGEST: Final = named("purpose digest")
STREAM_ID: Final = named("stream id", 16)
BATCH_ID: Final = named("batch id", 16)
PURPOSE: Final = "monitoring"


def seeds(role: Role, count: int | None = None, *, edition: str = "") -> list[RoleSeed]:
    """
    Return the first *count* signing seeds of *role*, by default as many as must sign.
    """
    wanted = SHAPE[role][1] if count is None else count
    return [RoleSeed(named(f"{role.name} {number}{edition}")) for number in range(wanted)]


def role_keys(role: Role, *, edition: str = "") -> RoleKeys:
    """
    Return the public keys of *role* and their threshold.
    """
    number, threshold = SHAPE[role]
    return RoleKeys(threshold, tuple(public_key_of(seed.reveal()) for seed in seeds(role, number, edition=edition)))


def root(**changes: Any) -> Root:
    """
    Return the pinned root.
    """
    made = Root(
        version=1,
        iat_s=NOW_S - DAY_S,
        roles={role: role_keys(role) for role in Role},
        enrolment=HpkePublic(ALG_HPKE_X25519, hpke_key_pair(ENROLMENT_SEED, ALG_HPKE_X25519)[1]),
        test=True,
    )
    return replace(made, **changes)


def recipient_key(alg: int = ALG_HPKE_X25519, **changes: Any) -> RecipientKey:
    """
    Return the one recipient's key.
    """
    made = RecipientKey(
        alg=alg,
        key=hpke_key_pair(RECIPIENT_SEED, alg)[1],
        operator="operator-eu",
        region="EU",
        mechanism="none",
        nbf_s=NOW_S - DAY_S,
        exp_s=NOW_S + 90 * DAY_S,
    )
    return replace(made, **changes)


def recipients(**changes: Any) -> Recipients:
    """
    Return the recipients document.
    """
    made = Recipients(version=3, iat_s=NOW_S, nbf_s=NOW_S, exp_s=NOW_S + 90 * DAY_S, keys=(recipient_key(),))
    return replace(made, **changes)


def grant(**changes: Any) -> Grant:
    """
    Return a valid consent for the one purpose.
    """
    made = Grant(
        id=GRANT_ID,
        purpose=PURPOSE,
        basis=Basis.CONSENT,
        status=Status.GIVEN,
        digests=(DIGEST,),
        recipients=(recipient_key().kid,),
        since_s=NOW_S - DAY_S,
    )
    return replace(made, **changes)


def statement(**changes: Any) -> Statement:
    """
    Return a statement with that one grant.
    """
    made = Statement(
        audience=AUDIENCE,
        generation=GENERATION,
        version=7,
        iat_s=NOW_S,
        nbf_s=NOW_S,
        exp_s=NOW_S + STATEMENT_VALID_S,
        account=Account.ACTIVE,
        grants=(grant(),),
    )
    return replace(made, **changes)


def wipe_order(**changes: Any) -> WipeOrder:
    """
    Return an order to erase everything.
    """
    made = WipeOrder(audience=AUDIENCE, generation=GENERATION, nonce=named("wipe nonce", 16), iat_s=NOW_S)
    return replace(made, **changes)


def decision(**changes: Any) -> Decision:
    """
    Return the decision under that statement, a moment later.
    """
    asked: dict[str, Any] = {
        "purpose": PURPOSE,
        "basis": Basis.CONSENT,
        "digest": DIGEST,
        "statement": statement(),
        "fresh": True,
        "denied": frozenset(),
        "now_s": NOW_S + 1,
    }
    return decide(**(asked | changes))
