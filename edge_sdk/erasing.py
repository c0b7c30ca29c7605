"""
Erasing a site that does not open: its queue is damaged, or the medium takes no writes.

An erase needs only the keys: the vault for the generation's signature, the lane set for the receipt. What the rest says
(where data went, how far the ledger got, the floor) goes into the receipt where it can be read, and is left out where
not. Does not start a line. The plan itself is ``wipe``; a site that opens is erased by ``running``.
"""

from __future__ import annotations

from typing import Final

from edge_sdk import files
from edge_sdk.clock import Clock
from edge_sdk.config import Config
from edge_sdk.consent_record import Held, decode_held
from edge_sdk.core import claims
from edge_sdk.errors import EdgeError, StorageError
from edge_sdk.events import Event, tell
from edge_sdk.firmware import FirmwareLink
from edge_sdk.keystore import FileKeyStore
from edge_sdk.ledger import last_head
from edge_sdk.opening import attachment, draw, erase, finish_wipe
from edge_sdk.release import __version__
from edge_sdk.vault import Lane, Vault, read_lane
from edge_sdk.wipe import Finished, Intent, begin, compose_draft

_NO_LEDGER: Final = (bytes(claims.DIGEST_BYTES), 0)


def erase_unopened(config: Config, firmware: FirmwareLink | None = None) -> tuple[Finished, Lane]:
    """
    Erase what there is of the site of *config*, and return what came of it with the lane set that holds the receipt.

    After a power cut: the next start goes on; or nothing has changed, where the medium did not take the intent.

    Raises:
        VaultUnavailable: there are no keys, so there is nobody to sign a receipt.
        LifecycleRefused: an erase had been begun before, and is finished now.
        StorageError: the folder is in use, or cannot even be read.
    """
    folder = config.folder
    lock = files.FolderLock(folder)
    try:
        key_store, attached = FileKeyStore(folder), attachment(config, firmware)
        finish_wipe(folder, key_store, attached)
        vault, lane = Vault.open(folder, key_store, draw=draw, finish=False), read_lane(folder)
        held = _held(vault)
        draft = compose_draft(
            generation=vault.ring.generation.id,
            nonce=None,
            scope=(),
            at_s=Clock(_floor_ms(vault)).now().wall_s,
            uses={name: (use.kids, use.streams) for name, use in held.uses.items()},
            ledger=last_head(folder) or _NO_LEDGER,
            software=f"edge-sdk {__version__}",
        )
        intent = Intent(draft, vault.ring.generation.signing)
        try:
            begin(folder, lane, intent, draw=draw)
        except StorageError:
            tell(Event.STORAGE_ERROR)
        return erase(folder, lane, intent, key_store, attached), lane
    finally:
        lock.close()


def _floor_ms(vault: Vault) -> int:
    try:
        return vault.read_floor()
    except EdgeError:
        return 0


def _held(vault: Vault) -> Held:
    try:
        return decode_held(vault.read_state())
    except EdgeError:
        return Held()
