"""
Wipe orders: who may be told to erase what, how often, and under whose signatures.

Rules: an order is stored in the transaction that closes what it erases (the account, or the purposes' grants),
so nothing is told to collect again what it is told to erase; a device has one open order, and a newer one
takes over the scope of what it replaces; only so many are issued in an hour, so that a mistake or a thief
with the command line empties ten households and not ten thousand. Not here: telling the device
(``publishing``), receipts (``listening``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from edge_sdk.collector.casebook import Casebook, OrderRow
from edge_sdk.collector.offices import AuthorityKeys, signed
from edge_sdk.collector.rate import wait_s
from edge_sdk.collector.registry import Device, Registry
from edge_sdk.collector.statements import Draw, is_final, withdrawn_status
from edge_sdk.core.claims import ID_BYTES, Account, Role, Status
from edge_sdk.core.documents import WipeOrder, audience_of, sign_wipe
from edge_sdk.errors import ConfigError, Refused

UNSIGNED: Final = "wipe order not signed under the new root: keys of the wipe role are missing here"


class TooManyOrders(Refused):
    """
    Say that enough wipe orders were issued for now; ``wait_s`` is how long none is.
    """

    def __init__(self, orders: int, wait_s: int) -> None:
        super().__init__(
            f"{orders} wipe orders were issued within the hour; the next one may be in {wait_s} s",
            hint="if these were not meant, rotate the wipe role: 'edge-sdk collector rotate-root --role wipe'",
        )
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class OrderLimit:
    """
    How many wipe orders an authority issues in a span of time.
    """

    orders: int = 10
    span_s: int = 3_600

    def wait_s(self, issued_at_s: Sequence[int], now_s: int) -> int:
        """
        Return the seconds until an order may be issued again, 0 when it may be now.

        Args:
            issued_at_s: Unix seconds of the orders so far, in any order.
            now_s: Unix seconds.
        """
        return wait_s(issued_at_s, times=self.orders, span_s=self.span_s, now_s=now_s)


class Orders:
    """
    Issues wipe orders into one casebook.

    Args:
        registry: devices and grants.
        casebook: in the same file.
        keys: returns what signs.
        limit: how many are issued in an hour.
        draw: returns random bytes.
    """

    def __init__(
        self,
        registry: Registry,
        casebook: Casebook,
        *,
        keys: Callable[[], AuthorityKeys],
        limit: OrderLimit,
        draw: Draw,
    ) -> None:
        self._registry = registry
        self._casebook = casebook
        self._keys = keys
        self._limit = limit
        self._draw = draw

    def order(
        self, generation: bytes, purposes: Collection[str] = (), *, not_before_s: int | None, now_s: int
    ) -> OrderRow:
        """
        Return the order that has a device erase *purposes*, or everything when there are none.

        An open order that covers this already is returned as it is.

        Raises:
            ConfigError: no such device or purpose.
            TooManyOrders: enough were issued within the hour.
            Refused: the device has erased its account, or keys of the wipe role are missing here.

        After a power cut: the order is stored and what it erases is closed, or neither.
        """
        device = self._device(generation, purposes)
        with self._registry.database.write():  # from looking to storing nobody else issues one
            standing = [row for row in self._casebook.orders(generation) if row.is_open]
            for row in standing:
                if _covers(row, purposes) and row.not_before_s == not_before_s:
                    return row
            issued = [row.issued_s for row in self._casebook.orders()]
            wait = self._limit.wait_s(issued, now_s)
            if wait:
                raise TooManyOrders(self._limit.orders, wait)
            row = self._sign(device, standing, purposes, not_before_s=not_before_s, now_s=now_s)
            self._casebook.put_order(row)
            if row.scope:
                close_purposes(self._registry, generation, row.scope, status=Status.REVOKED, now_s=now_s)
            else:
                self._registry.set_account(generation, str(Account.CANCELLED))
        return row

    def _sign(
        self,
        device: Device,
        standing: Sequence[OrderRow],
        purposes: Collection[str],
        *,
        not_before_s: int | None,
        now_s: int,
    ) -> OrderRow:
        is_account = not purposes or any(not row.scope for row in standing)
        scope = () if is_account else tuple(sorted({*purposes, *(name for row in standing for name in row.scope)}))
        # Once an erase is due it is not put off; but what is due for a purpose does not hasten the account's.
        waits = [not_before_s, *(row.not_before_s for row in standing if not (is_account and row.scope))]
        start_s = None if None in waits else min(wait for wait in waits if wait is not None)
        nonce = self._draw(ID_BYTES)
        order = WipeOrder(audience_of(device.signing_key), device.generation, nonce, now_s, scope, start_s)
        bundle = signed(partial(sign_wipe, order), self._keys(), Role.WIPE)
        return OrderRow(nonce, device.generation, scope, now_s, start_s, bundle)

    def _device(self, generation: bytes, purposes: Collection[str]) -> Device:
        device = self._registry.device(generation)
        if device is None:
            raise ConfigError("no such device", hint="see 'edge-sdk collector devices'")
        if device.erased_s is not None:
            raise Refused("the device has erased its account already", hint="see 'edge-sdk collector receipts'")
        known = {purpose.name for purpose in self._registry.purposes().values()}
        if not known.issuperset(purposes):
            raise ConfigError("no policy given to this collector has that purpose", hint="see 'edge-sdk policy check'")
        return device


def close_purposes(
    registry: Registry, generation: bytes, purposes: Collection[str], *, status: Status | None, now_s: int
) -> bool:
    """
    End every grant of *purposes* that is not over, and say whether there was one.

    Args:
        registry: of the grants.
        generation: whose.
        purposes: by name.
        status: what ended them; None: the household's own no, by the word that the basis has for it.
        now_s: Unix seconds.

    After a power cut: some are ended; doing it again ends the others.
    """
    open_rows = [row for row in registry.grants(generation) if row.purpose in purposes and not is_final(row.status)]
    for row in open_rows:
        registry.set_status(row.id, str(status or withdrawn_status(row.basis)), since_s=now_s)
    return bool(open_rows)


def sign_again(casebook: Casebook, keys: AuthorityKeys, registry: Registry, now_s: int) -> None:
    """
    Put new signatures under the open orders; nonces and scopes stay.

    Where keys of the wipe role are missing here, the orders stay as they are and an alarm says so.

    After a power cut: some orders are signed anew; doing it again does the rest.
    """
    for row in casebook.orders():
        device = registry.device(row.generation)
        if not row.is_open or device is None:
            continue
        order = WipeOrder(
            audience_of(device.signing_key), row.generation, row.nonce, row.issued_s, row.scope, row.not_before_s
        )
        try:
            casebook.put_bundle(row.nonce, signed(partial(sign_wipe, order), keys, Role.WIPE))
        except Refused:
            casebook.alarm(row.generation, UNSIGNED, now_s)


def _covers(row: OrderRow, purposes: Collection[str]) -> bool:
    return not row.scope or (bool(purposes) and set(purposes) <= set(row.scope))
