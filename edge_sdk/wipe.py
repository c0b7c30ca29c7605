"""
The erase: a plan that begins with its intent on disk and can be cut at any write.

    intent -> keys destroyed -> files removed -> verified -> firmware -> receipt sealed and stored -> intent removed

Once the intent is durable nothing else opens the folder: whoever starts next finishes it. The intent holds what the
receipt needs (encrypted under the lane key, in a file made at enrolment, so that a full disk cannot stop an erase),
the generation's signing key among it; both go when the receipt is stored in the lane set. What could not be erased is
reported as failed, never passed over. The receipt attests, it does not prove (SPEC 10).

Files: wipe.bin here; those of the other rooms by their own lists. Delivering the receipt is the lane's (``lanes``).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from edge_sdk import files
from edge_sdk.core import cbor, claims
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.keys import NONCE_BYTES, SECRET_BYTES, GenerationSigningSeed, unwrap, wrap
from edge_sdk.core.lifecycle import State
from edge_sdk.core.messages import Control, seal_control
from edge_sdk.core.receipt import (
    Firmware,
    Method,
    PurposeUse,
    StoreErased,
    WipeReceipt,
    decode_wipe_receipt,
    encode_wipe_receipt,
)
from edge_sdk.core.shape import Fields, octets, uint
from edge_sdk.errors import BadInput, StorageError
from edge_sdk.keystore import KeyStore
from edge_sdk.vault import Draw, Lane, check_format, write_lane

INTENT_BYTES: Final = 1 << 16  # room for 2,000 stream ids
_MAGIC: Final = b"EWI1"
_FORMAT: Final = 1
_HEAD_BYTES: Final = len(_MAGIC) + 4 + 16
_DRAFT_BYTES: Final = INTENT_BYTES - 256  # less head, signing key, wrapping and what CBOR puts around them
_AAD: Final = b"edge-sdk/wipe/1"

STORES: Final = (
    ("keys", ("vault.bin", "page.bin")),
    ("queue", ("outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db-journal", "spare.bin")),
    ("statement", ("state.bin", "floor.bin", "policy.bin")),
    ("ledger", ("ledger.bin", "ledger.old")),
    ("requests", ("request", "answer")),
)
"""What each room has in the state folder; a test holds it against what a run leaves there."""

Clearing: TypeAlias = Callable[[], Firmware]


@dataclass(frozen=True, slots=True)
class Intent:
    """
    What is to be erased and what the receipt will say of it; ``draft`` has no stores yet.
    """

    draft: WipeReceipt
    signing: GenerationSigningSeed


@dataclass(frozen=True, slots=True)
class Finished:
    """
    What an erase came to, and whether its receipt is on the medium.
    """

    receipt: WipeReceipt
    is_stored: bool


def reserve(folder: Path) -> None:
    """
    Make the file an intent is written into, so that a full disk cannot keep one from being written.

    After a power cut: the file is there, or made at the next start.
    """
    files.Page(folder / "wipe.bin", INTENT_BYTES, 1).close()


def begin(folder: Path, lane: Lane, intent: Intent, *, draw: Draw) -> None:
    """
    Put the intent on disk: from here on the erase cannot be cancelled.

    After a power cut: the intent is there, and the next start erases; or it is not, and nothing has changed.
    """
    content = cbor.encode({0: _FORMAT, 1: encode_wipe_receipt(fitting(intent.draft)), 2: intent.signing.reveal()})
    sealed = wrap(lane.key, draw(NONCE_BYTES), content, _AAD)
    head = _MAGIC + len(sealed).to_bytes(4)
    check = hashlib.sha256(head + sealed).digest()[:16]
    page = files.Page(folder / "wipe.bin", INTENT_BYTES, 1)
    try:
        page.write_slot(0, head + check + sealed)
    finally:
        page.close()


def fitting(draft: WipeReceipt) -> WipeReceipt:
    """
    Return *draft* as far as the intent has room: of what there is most of, the oldest ids are left out, half at a time.

    An erase waits for no list: the authority finds the streams by their keys, the ids only save it work.
    """
    if len(encode_wipe_receipt(draft)) <= _DRAFT_BYTES:
        return draft
    uses = list(draft.uses)
    names = tuple(replace(use, recipients=(), streams=()) for use in uses)
    room = _DRAFT_BYTES - len(encode_wipe_receipt(replace(draft, uses=names)))
    while sum(map(_listed_bytes, uses)) > room:
        at = max(range(len(uses)), key=lambda place: len(uses[place].streams) + len(uses[place].recipients))
        streams, kids = uses[at].streams, uses[at].recipients
        if len(streams) >= len(kids):
            uses[at] = replace(uses[at], streams=streams[(len(streams) + 1) // 2 :])
        else:
            uses[at] = replace(uses[at], recipients=kids[(len(kids) + 1) // 2 :])
    return replace(draft, uses=tuple(uses))


def _listed_bytes(use: PurposeUse) -> int:
    """
    Return what the ids of *use* take, with the longest heads they and their lists can have.
    """
    return 4 + (claims.ID_BYTES + 1) * len(use.streams) + (claims.KID_BYTES + 1) * len(use.recipients)


def state_of(lane: Lane, intent: Intent | None) -> State:
    """
    Return the state of a site that has a lane set, as far as an erase goes: active, wiping or wiped.
    """
    if lane.receipt:
        return State.WIPED
    return State.ACTIVE if intent is None else State.WIPING


def pending_intent(folder: Path, lane: Lane) -> Intent | None:
    """
    Return the intent on disk, None when there is none.

    Raises:
        StorageError: the file cannot be read, or another release wrote it in a format of its own: what has begun may
            not count as never begun.
    """
    path = folder / "wipe.bin"
    if not files.exists(path):
        return None
    held = files.read(path, INTENT_BYTES)
    length = int.from_bytes(held[4:8])
    sealed = held[_HEAD_BYTES : _HEAD_BYTES + length]
    if held[:4] != _MAGIC or hashlib.sha256(held[:8] + sealed).digest()[:16] != held[8:_HEAD_BYTES]:
        return None
    try:
        fields = Fields(cbor.decode(unwrap(lane.key, sealed, _AAD), INTENT_BYTES, "wipe intent"), "wipe intent")
        check_format("wipe.bin", fields.take(0, "format", uint()), _FORMAT)
        draft = decode_wipe_receipt(fields.take(1, "draft", octets(None, INTENT_BYTES)))
        return Intent(draft, GenerationSigningSeed(fields.take(2, "signing key", octets(SECRET_BYTES))))
    except BadInput:
        return None


def finish(
    folder: Path,
    lane: Lane,
    intent: Intent,
    *,
    key_store: KeyStore,
    stores: Sequence[tuple[str, tuple[str, ...]]],
    clear: Clearing,
    draw: Draw,
) -> Finished:
    """
    Erase everything the intent names, store the sealed receipt in the lane set, and destroy the generation's key.

    Args:
        key_store: destroyed first; nothing that is left opens afterwards.
        stores: name and files of what each room has in the folder.
        clear: tells the firmware to clear its caches and returns what it said.

    Returns:
        The receipt; a store that could not be erased is ``failed`` in it. Where the medium does not take the sealed
        receipt either, it is in *lane* only, and the intent stays.

    After a power cut: called again at the next start, it goes on; stores erased before count as absent or erased.
    """
    erased = [_erase_keys(key_store), *(_erase(folder, name, stems) for name, stems in stores)]
    draft = intent.draft
    receipt = WipeReceipt(
        generation=draft.generation,
        nonce=draft.nonce,
        scope=draft.scope,
        at_s=draft.at_s,
        stores=tuple(erased),
        uses=draft.uses,
        firmware=clear(),
        ledger_head=draft.ledger_head,
        ledger_length=draft.ledger_length,
        software=draft.software,
    )
    lane.receipt = seal_control(
        Control(draft.generation, draft.at_s, (draft.ledger_head, draft.ledger_length), receipt),
        seed=intent.signing,
        recipient=pinned_root(lane.root).enrolment,
        message_id=draw(claims.ID_BYTES),
        content_alg=claims.ALG_A256GCM,
        cek=draw(SECRET_BYTES),
        iv=draw(NONCE_BYTES),
    )
    is_stored = _store(folder, lane)
    intent.signing.destroy()
    return Finished(receipt, is_stored)


def _store(folder: Path, lane: Lane) -> bool:
    try:
        write_lane(folder, lane)
    except StorageError:
        return False
    with contextlib.suppress(StorageError):  # a start that finds both keeps the receipt and removes the intent
        close_intent(folder)
    return True


def close_intent(folder: Path) -> None:
    """
    Remove the intent, and with it the generation's signing key: the receipt is stored.
    """
    files.remove(folder / "wipe.bin")


def compose_draft(
    *, generation: bytes, nonce: bytes | None, scope: tuple[str, ...], at_s: int,
    uses: Mapping[str, tuple[Sequence[bytes], Sequence[bytes]]], ledger: tuple[bytes, int], software: str,
) -> WipeReceipt:  # fmt: skip
    """
    Return the receipt as far as it is known before anything is erased.

    Args:
        uses: recipient kids and stream ids by purpose, so that the authority can order the deletion there too.
    """
    return WipeReceipt(
        generation=generation,
        nonce=nonce,
        scope=scope,
        at_s=at_s,
        stores=(),
        uses=tuple(PurposeUse(name, tuple(kids), tuple(streams)) for name, (kids, streams) in sorted(uses.items())),
        firmware=Firmware.NONE,
        ledger_head=ledger[0],
        ledger_length=ledger[1],
        software=software,
    )


def is_complete(receipt: WipeReceipt) -> bool:
    """
    Tell whether every store was erased and verified, and no firmware said that it could not clear its caches.
    """
    erased = all(store.verified and store.method is not Method.FAILED for store in receipt.stores)
    return erased and receipt.firmware is not Firmware.FAILED


def _erase_keys(key_store: KeyStore) -> StoreErased:
    try:
        key_store.destroy()
        gone = key_store.load() == (None, None)
    except StorageError:
        return StoreErased("root key", Method.FAILED, verified=False, items=1)
    return StoreErased("root key", Method(key_store.method) if gone else Method.FAILED, verified=gone, items=1)


def _erase(folder: Path, store: str, stems: Sequence[str]) -> StoreErased:
    """
    Overwrite and remove the files of one store, with what a replacement may have left beside them.
    """
    names = [name for stem in stems for name in (stem, stem + files.TEMPORARY)]
    there = [name for name in names if _may_be_there(folder / name)]
    failed = False
    for name in there:
        try:
            files.remove(folder / name)
        except StorageError:
            failed = True
    gone = not any(_may_be_there(folder / name) for name in names)
    if failed or not gone:
        return StoreErased(store, Method.FAILED, verified=False, items=len(there))
    return StoreErased(store, Method.CLEAR if there else Method.ABSENT, verified=True, items=len(there))


def _may_be_there(path: Path) -> bool:
    try:
        return files.exists(path)
    except StorageError:  # what cannot be looked at was not erased
        return True
