"""
What an erase needs and a test hands in: a lane set whose root is a real one, a draft, and what keeps a root key.

The folder is the test's own; no site is made, so that each way an erase can go costs milliseconds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from edge_sdk.core.claims import Role
from edge_sdk.core.documents import sign_root
from edge_sdk.core.keys import GenerationSigningSeed, LaneKey, RootKey, RoutingSecret
from edge_sdk.core.messages import Control, open_control
from edge_sdk.core.receipt import Firmware, StoreErased, WipeReceipt
from edge_sdk.keystore import FileKeyStore
from edge_sdk.vault import Lane
from edge_sdk.wipe import STORES, Finished, Intent, compose_draft, finish
from tests.vectors import world

Uses = dict[str, tuple[list[bytes], list[bytes]]]
ROOT: Final = sign_root(world.root(), world.seeds(Role.ROOT))
LANE_KEY: Final = world.named("lane key")


def lane_set() -> Lane:
    """Return the lane set of a device that is about to be erased."""
    return Lane(RoutingSecret(world.ROUTING.reveal()), "https://ingest.example", ROOT, LaneKey(LANE_KEY))


def draft_with(uses: Uses, software: str = "edge-sdk") -> WipeReceipt:
    """Return what is known before anything is erased."""
    return compose_draft(
        generation=world.GENERATION, nonce=b"n" * 16, scope=(), at_s=world.NOW_S, uses=uses,
        ledger=(world.named("head"), 9), software=software,
    )  # fmt: skip


def intent_with(uses: Uses | None = None) -> Intent:
    """Return an intent with a signing key of its own, which the erase destroys."""
    return Intent(draft_with(uses or {}), GenerationSigningSeed(world.SIGNING_SEED.reveal()))


def with_key(folder: Path) -> FileKeyStore:
    """Return the key store of *folder*, a root key in it."""
    store = FileKeyStore(folder)
    store.stage(RootKey(b"k" * 32))
    store.promote()
    return store


def erased(folder: Path, lane: Lane, **changes: Any) -> Finished:
    """Erase *folder*, all as on a device but for *changes*."""
    arguments: dict[str, Any] = {
        "key_store": FileKeyStore(folder),
        "stores": STORES,
        "clear": lambda: Firmware.NONE,
        "draw": os.urandom,
    }
    intent = changes.pop("intent", None) or intent_with()
    return finish(folder, lane, intent, **(arguments | changes))


def store_named(name: str, finished: Finished) -> StoreErased:
    """Return what the receipt says of one store."""
    (store,) = (store for store in finished.receipt.stores if store.name == name)
    return store


def told(lane: Lane) -> Control:
    """Return what the authority reads in the receipt that waits in *lane*."""
    enrolment = world.root().enrolment
    return open_control(lane.receipt, seed=world.ENROLMENT_SEED, alg=enrolment.alg, signing_key=world.SIGNING_KEY)
