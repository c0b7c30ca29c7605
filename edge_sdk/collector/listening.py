"""
What devices tell the authority: incidents, withdrawals, ended streams, ledger heads, wipe receipts.

Reads what waits in the intake's control box, each message once. Order of checks: seal, a generation that is
enrolled, its signature, the generation inside; then what the message says. Rules: a message speaks for the
device whose key signed it and for no other; nothing from outside is raised as an error here, it is counted as
an alarm and the next message is read; a withdrawal ends the grants it names, whatever came later by other
ids; an order is confirmed only by a receipt with its nonce and scope in which nothing failed. Not here:
telling anybody what changed (``publishing``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from edge_sdk.collector.casebook import Casebook, LedgerRow, Withdrawn
from edge_sdk.collector.incidents import IncidentList
from edge_sdk.collector.intake import Box
from edge_sdk.collector.offices import AuthorityKeys
from edge_sdk.collector.orders import close_purposes
from edge_sdk.collector.registry import Device, Registry
from edge_sdk.collector.statements import is_final, withdrawn_status
from edge_sdk.collector.store import IntakeStore, KeptBody
from edge_sdk.core.claims import Account
from edge_sdk.core.cose import key_id
from edge_sdk.core.incidents import Incident, Kind
from edge_sdk.core.messages import (
    Control,
    EndedStream,
    LedgerHead,
    Withdrawal,
    open_control,
    peek_generation,
)
from edge_sdk.core.receipt import Firmware, Method, WipeReceipt
from edge_sdk.errors import BadInput, Tampered

UNREADABLE: Final = "control message that cannot be opened"
STRANGER: Final = "control message of no enrolled device"
FORGED: Final = "control message not signed by the device it names"
MISNAMED: Final = "control message that names another generation"
FOREIGN_GRANT: Final = "withdrawal of a grant that is none of the device's"
FOREIGN_STREAM: Final = "account of a stream under a grant that is none of the device's"
UNORDERED: Final = "wipe receipt for an order that was not issued to the device"
OTHER_SCOPE: Final = "wipe receipt with another scope than its order"
INCOMPLETE: Final = "wipe that failed in part"
SHORTER: Final = "ledger shorter than it was"
REWRITTEN: Final = "ledger of one length with two heads"
RETURNED: Final = "message written after its generation was erased: a copy of the device may be in use"
TOO_MANY: Final = "more messages of one kind than are kept"
"""What an alarm is about."""
INCIDENT_OF: Final[Mapping[str, tuple[Kind, str]]] = {
    STRANGER: (Kind.FORGED, "message"),
    FORGED: (Kind.FORGED, "message"),
    MISNAMED: (Kind.FORGED, "message"),
    FOREIGN_GRANT: (Kind.FORGED, "withdrawal"),
    FOREIGN_STREAM: (Kind.FORGED, "account of a stream"),
    UNORDERED: (Kind.FORGED, "wipe receipt"),
    OTHER_SCOPE: (Kind.FORGED, "wipe receipt"),
    SHORTER: (Kind.ROLLBACK, "ledger"),
    REWRITTEN: (Kind.ROLLBACK, "ledger"),
    RETURNED: (Kind.ROLLBACK, "copy of the device"),
}
"""Alarms that are incidents as well, which somebody may have to be told of."""


class NotHeard(Exception):
    """
    Carry the alarm that a message ends in from where it is found to where it is counted; never leaves this room.
    """

    def __init__(self, what: str, generation: bytes | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.generation = generation


@dataclass(frozen=True, slots=True)
class Heard:
    """
    One message that passed every check of form, and whose it is.
    """

    device: Device
    message_id: bytes
    control: Control


class Listener:
    """
    Reads one intake's control box into one registry.
    """

    def __init__(self, registry: Registry, casebook: Casebook, *, keys: Callable[[], AuthorityKeys]) -> None:
        self._registry = registry
        self._casebook = casebook
        self._incidents = IncidentList(registry.database)
        self._keys = keys

    def listen(self, source: IntakeStore, now_s: int) -> int:
        """
        Read what waits in *source* and return how many messages were new.

        After a power cut: each message was read with all it changes, or is read next time; one read twice
        changes nothing.
        """
        by_kid: dict[bytes, Device] = {}
        numbers = []
        for body in source.bodies(Box.CONTROL, after=self._casebook.heard()):
            by_kid = by_kid or {key_id(device.signing_key): device for device in self._registry.devices()}
            self._hear(body, by_kid, now_s)
            numbers.append(body.number)
        source.mark_heard(self._casebook.heard())
        return len(numbers)

    def _hear(self, body: KeptBody, by_kid: Mapping[bytes, Device], now_s: int) -> None:
        try:
            heard = self._open(body, by_kid)
        except NotHeard as refusal:
            with self._casebook.hearing(body.number) as is_new:
                if is_new:
                    self._alarm(refusal.generation, refusal.what, now_s)
            return
        with self._casebook.hearing(body.number) as is_new:
            if is_new:
                self._record(heard, now_s)

    def _open(self, body: KeptBody, by_kid: Mapping[bytes, Device]) -> Heard:
        held = self._keys().enrolment.get(body.kid)
        if held is None:
            raise NotHeard(UNREADABLE)
        alg, seed = held
        try:
            device = by_kid.get(peek_generation(body.body, seed=seed, alg=alg))
        except BadInput as exc:
            raise NotHeard(UNREADABLE) from exc
        if device is None:
            raise NotHeard(STRANGER)
        try:
            control = open_control(body.body, seed=seed, alg=alg, signing_key=device.signing_key)
        except Tampered as exc:
            raise NotHeard(FORGED) from exc  # no device is blamed: anybody can write a name
        except BadInput as exc:
            raise NotHeard(UNREADABLE, device.generation) from exc
        inside = {control.generation}
        if isinstance(control.body, WipeReceipt):
            inside.add(control.body.generation)
        if inside != {device.generation}:
            raise NotHeard(MISNAMED, device.generation)
        return Heard(device, body.id, control)

    def _record(self, heard: Heard, now_s: int) -> None:
        if heard.device.erased_s is not None and heard.control.at_s > self._last_word_s(heard.device):
            self._alarm(heard.device.generation, RETURNED, now_s)
        self._record_ledger(heard, now_s)
        match heard.control.body:
            case Withdrawal() as withdrawal:
                self._record_withdrawal(heard, withdrawal, now_s)
            case EndedStream() as ended:
                self._record_ended(heard, ended, now_s)
            case WipeReceipt() as receipt:
                self._record_receipt(heard, receipt, now_s)
            case LedgerHead():
                pass
            case Incident() as incident:
                if not self._incidents.put(heard.device.generation, incident, now_s):
                    self._alarm(heard.device.generation, TOO_MANY, now_s)
            case _ as never:
                assert_never(never)

    def _alarm(self, generation: bytes | None, what: str, now_s: int) -> None:
        """
        Count what should not have happened, and start its clock where it is an incident; inside a transaction.
        """
        self._casebook.alarm(generation, what, now_s)
        if (found := INCIDENT_OF.get(what)) is not None:
            self._incidents.notice(generation, *found, now_s)

    def _last_word_s(self, device: Device) -> int:
        own = [row.receipt for row in self._casebook.erasures() if row.generation == device.generation]
        return max((receipt.at_s for receipt in own if not receipt.scope), default=0)

    def _record_ledger(self, heard: Heard, now_s: int) -> None:
        ledger = heard.control.ledger
        body = heard.control.body
        if ledger is None and isinstance(body, WipeReceipt):
            ledger = (body.ledger_head, body.ledger_length)
        if ledger is None:
            return
        generation = heard.device.generation
        row = LedgerRow(*ledger, heard.control.at_s)
        known = self._casebook.ledger(generation)
        if known is None or row.length > known.length:
            self._casebook.put_ledger(generation, row)
        elif row.length == known.length and row.head != known.head:
            self._alarm(generation, REWRITTEN, now_s)
        elif row.length < known.length and row.at_s >= known.at_s:  # an older one is only late
            self._alarm(generation, SHORTER, now_s)

    def _record_withdrawal(self, heard: Heard, withdrawal: Withdrawal, now_s: int) -> None:
        generation = heard.device.generation
        own = {row.id: row for row in self._registry.grants(generation) if row.purpose == withdrawal.purpose}
        for grant_id in withdrawal.grants:
            row = own.get(grant_id)
            if row is None:
                self._alarm(generation, FOREIGN_GRANT, now_s)
                continue
            if not is_final(row.status):
                # When the household said no, by its own clock as far as that can be: consent given after that stands.
                since_s = min(now_s, max(row.since_s, heard.control.at_s))
                self._registry.set_status(grant_id, str(withdrawn_status(row.basis)), since_s=since_s)
            told = Withdrawn(grant_id, generation, row.purpose, heard.control.at_s, now_s)
            self._casebook.put_withdrawal(told)

    def _record_ended(self, heard: Heard, ended: EndedStream, now_s: int) -> None:
        generation = heard.device.generation
        own = {(row.id, row.purpose) for row in self._registry.grants(generation)}
        if (ended.grant, ended.purpose) not in own:
            self._alarm(generation, FOREIGN_STREAM, now_s)
        elif not self._casebook.put_ended(generation, ended):
            self._alarm(generation, TOO_MANY, now_s)

    def _record_receipt(self, heard: Heard, receipt: WipeReceipt, now_s: int) -> None:
        generation = heard.device.generation
        if receipt.nonce is not None:
            order = next((row for row in self._casebook.orders(generation) if row.nonce == receipt.nonce), None)
            if order is None or set(order.scope) != set(receipt.scope):
                self._alarm(generation, UNORDERED if order is None else OTHER_SCOPE, now_s)
                return
        if not self._casebook.put_erasure(heard.message_id, generation, receipt, now_s):
            self._alarm(generation, TOO_MANY, now_s)
            return
        if not is_complete(receipt):
            self._alarm(generation, INCOMPLETE, now_s)
            return
        self._close(generation, receipt, now_s)

    def _close(self, generation: bytes, receipt: WipeReceipt, now_s: int) -> None:
        self._registry.mark_stale(generation)  # so that the order leaves its downlink
        if receipt.scope:
            close_purposes(self._registry, generation, receipt.scope, status=None, now_s=now_s)
        else:
            self._registry.set_account(generation, str(Account.CANCELLED))
            self._registry.set_erased(generation, now_s)
        for order in self._casebook.orders(generation):
            is_answered = receipt.nonce == order.nonce
            is_covered = not receipt.scope  # whoever erased everything has erased what any order names
            if order.confirmed_s is None and (is_answered or is_covered):
                self._casebook.confirm(order.nonce, now_s)


def is_complete(receipt: WipeReceipt) -> bool:
    """
    Tell whether nothing that a receipt lists failed.
    """
    erased = all(store.method is not Method.FAILED for store in receipt.stores)
    return erased and receipt.firmware is not Firmware.FAILED
