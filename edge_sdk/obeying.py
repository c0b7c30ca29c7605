"""
Signed orders to erase some purposes: carried out at once, told when the firmware has answered too.

Denied on disk, keys and data destroyed, then the firmware is asked, and the line goes on meanwhile; the order counts
as carried out, and the receipt is composed, when the answer is there or its time is over. Called by the line with each
step for as long as the order is due. An order for the whole account is not its matter (running, wipe).
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.binding import Binding
from edge_sdk.bookkeeping import Bookkeeping
from edge_sdk.clock import Now
from edge_sdk.consent_record import Use
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.documents import WipeOrder
from edge_sdk.firmware import Attachment, Question
from edge_sdk.ledger import Happened
from edge_sdk.telling import Telling


@dataclass(frozen=True, slots=True)
class _Erased:
    """
    What was erased on one order, while the firmware is asked.
    """

    nonce: bytes
    keys: int
    uses: dict[str, Use]
    question: Question


class Obeying:
    """
    Carries out the orders of one site that leave the rest of it running.
    """

    def __init__(
        self, consent: ConsentState, binding: Binding, *, telling: Telling, books: Bookkeeping, firmware: Attachment
    ) -> None:
        self._consent = consent
        self._binding = binding
        self._telling = telling
        self._books = books
        self._firmware = firmware
        self._erased: _Erased | None = None

    def erase(self, order: WipeOrder, now: Now) -> None:
        """
        Erase the purposes of *order*; once the firmware has answered, have the authority told.

        After a power cut: the order comes again with the downlink and is carried out to its end, or it was.

        Raises:
            StorageError: the disk refuses; the next call goes on.
        """
        if self._erased is None or self._erased.nonce != order.nonce:
            self._erased = self._erase(order, now)
        said = self._erased.question.answer()
        if said is not None:
            done = self._erased
            receipt = self._telling.receipt_for(order, done.keys, done.uses, now, firmware=said)
            self._consent.carried_out(order, receipt)

    def _erase(self, order: WipeOrder, now: Now) -> _Erased:
        self._firmware.deny(order.purposes)
        self._consent.deny(order.purposes)
        uses = {name: use for name, use in self._consent.held.uses.items() if name in order.purposes}
        keys = self._binding.erase(order.purposes)
        self._books.add(Happened.DESTROYED, now, counts=(keys,))
        return _Erased(order.nonce, keys, uses, self._firmware.ask(order.purposes))
