"""
What this device tells the authority, and nobody else: incidents, withdrawals, ended streams, wipes of a purpose.

Messages wait in ``state.bin`` as values, are signed by the generation, sealed to the authority's enrolment key and
queued in the outbox, where the device can no longer read them. They carry no reading and need no grant (SPEC 9.3);
each has the ledger's head with it. A message is forgotten when a receipt for it is accepted, never on a status code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edge_sdk.clock import Now
from edge_sdk.consent_record import Use
from edge_sdk.consent_state import ConsentState
from edge_sdk.core import claims
from edge_sdk.core.documents import WipeOrder
from edge_sdk.core.incidents import Incident
from edge_sdk.core.keys import NONCE_BYTES, SECRET_BYTES
from edge_sdk.core.messages import Control, Withdrawal, seal_control
from edge_sdk.core.receipt import Firmware, Method, PurposeUse, StoreErased, WipeReceipt
from edge_sdk.ledger import Ledger
from edge_sdk.outbox import Outbox
from edge_sdk.release import __version__
from edge_sdk.vault import Draw, Vault

MAX_MESSAGES: Final = 64  # sealed and queued; what waits beyond them is merged meanwhile
KEPT_FREE: Final = 32  # of these places, for incidents, withdrawals and receipts

_IMPORTANT: Final = (Incident, Withdrawal, WipeReceipt)


@dataclass(frozen=True, slots=True)
class Message:
    """
    One sealed message on its way.
    """

    row: int
    message_id: bytes
    body: bytes


class Telling:
    """
    The messages of one site to its authority.
    """

    def __init__(
        self, vault: Vault, outbox: Outbox, consent: ConsentState, ledger: Ledger, *, method: str, draw: Draw
    ) -> None:
        self._vault = vault
        self._outbox = outbox
        self._consent = consent
        self._ledger = ledger
        self._method = method
        self._draw = draw
        self._is_empty = False  # nothing is queued, as far as was looked: a look at the disk a second saved

    def seal_waiting(self, now: Now) -> None:
        """
        Seal and queue what waits to be told.

        After a power cut: queued, or still waiting, or both; the authority takes the same thing told twice as once.
        """
        if not self._consent.held.to_tell:
            return
        room = MAX_MESSAGES - self._outbox.controls()
        important = [told for told in self._consent.held.to_tell if isinstance(told, _IMPORTANT)]
        others = [told for told in self._consent.held.to_tell if told not in important]
        waiting = [*important[: max(0, room)], *others[: max(0, room - len(important) - KEPT_FREE)]]
        if not waiting:
            return
        generation = self._vault.ring.generation
        self._is_empty = False
        with self._outbox.transaction():
            for body in waiting:
                message_id = self._draw(claims.ID_BYTES)
                sealed = seal_control(
                    Control(generation.id, now.wall_s, self._ledger.head, body),
                    seed=generation.signing,
                    recipient=self._consent.root.enrolment,
                    message_id=message_id,
                    content_alg=claims.ALG_A256GCM,
                    cek=self._draw(SECRET_BYTES),
                    iv=self._draw(NONCE_BYTES),
                )
                self._outbox.put_control(message_id, sealed)
        self._consent.told(waiting)

    def receipt_for(
        self, order: WipeOrder, keys: int, uses: Mapping[str, Use], now: Now, *, firmware: Firmware
    ) -> WipeReceipt:
        """
        Return what the authority is told when some purposes were erased, the rest of the site going on.
        """
        left = [entry for entry in self._vault.ring.purposes.values() if entry.purpose in order.purposes]
        method = Method.FAILED if left else Method(self._method)
        return WipeReceipt(
            generation=self._vault.ring.generation.id,
            nonce=order.nonce,
            scope=order.purposes,
            at_s=now.wall_s,
            stores=(StoreErased("purpose keys and data", method, verified=not left, items=keys),),
            uses=tuple(PurposeUse(name, tuple(use.kids), tuple(use.streams)) for name, use in sorted(uses.items())),
            firmware=firmware,
            ledger_head=self._ledger.head[0],
            ledger_length=self._ledger.head[1],
            software=f"edge-sdk {__version__}",
        )

    def next_message(self) -> Message | None:
        """
        Return the oldest queued message.
        """
        if self._is_empty:
            return None
        found = self._outbox.first_control()
        self._is_empty = found is None
        return None if found is None else Message(*found)

    def done(self, message: Message) -> None:
        """
        Forget a message that was receipted, or refused with a signature.

        After a power cut: it is gone, or sent again and taken once.
        """
        with self._outbox.transaction():
            self._outbox.drop_control(message.row)
