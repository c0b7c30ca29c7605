"""
Who has erased what, who has not, and what is still to be erased elsewhere.

A device attests in its wipe receipt; this room puts that beside the orders, and derives what a household whose
account or consent ended may ask of recipients. What is deleted at a recipient is named by the stream keys that
the authority derives itself, so a receipt can name no other household's streams. Rows of a purpose that rests
on a legal obligation are kept: that is what the obligation is. Pure but for reading. Not here: deleting
(``opener``), reading receipts (``listening``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_sdk.collector.casebook import Alarm, Casebook, Erasure, OrderRow, Withdrawn
from edge_sdk.collector.registry import GrantRow, Registry
from edge_sdk.collector.statements import is_final
from edge_sdk.collector.streams import certified_keys
from edge_sdk.core.claims import Account
from edge_sdk.core.policy import Basis


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """
    What one device sent for one purpose that ended: where it may lie, and in which streams.
    """

    generation: bytes
    purpose: str
    recipients: tuple[bytes, ...]
    streams: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class EndingsReport:
    """
    Orders and receipts, withdrawals, what to delete elsewhere, and what went wrong.
    """

    orders: tuple[OrderRow, ...]
    erasures: tuple[Erasure, ...]
    withdrawals: tuple[Withdrawn, ...]
    elsewhere: tuple[Elsewhere, ...]
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True)
class ToForget:
    """
    The public stream keys whose data is to go, and the purposes that a legal obligation keeps.
    """

    keys: tuple[bytes, ...]
    kept: tuple[str, ...]


def report_endings(registry: Registry, casebook: Casebook) -> EndingsReport:
    """
    Return everything about endings that is known by now.
    """
    erasures = casebook.erasures()
    withdrawals = casebook.withdrawals()
    told = [
        Elsewhere(erasure.generation, use.purpose, use.recipients, use.streams)
        for erasure in erasures
        for use in erasure.receipt.uses
    ]
    return EndingsReport(
        orders=tuple(casebook.orders()),
        erasures=tuple(erasures),
        withdrawals=tuple(withdrawals),
        elsewhere=(*told, *_withdrawn(registry.grants(), casebook)),
        alarms=tuple(casebook.alarms()),
    )


def keys_to_forget(registry: Registry, now_s: int) -> ToForget:
    """
    Return the keys of all streams of accounts that are cancelled and of grants that are over.
    """
    cancelled = {device.generation for device in registry.devices() if device.account == Account.CANCELLED}
    over = [row for row in registry.grants() if row.generation in cancelled or is_final(row.status)]
    bound = [row for row in over if row.basis == Basis.LEGAL_OBLIGATION]
    grants = [row for row in over if row.basis != Basis.LEGAL_OBLIGATION]
    certified = certified_keys(registry.devices(), grants, registry.purposes(), since_s=0, now_s=now_s)
    return ToForget(tuple(key for key, _ in certified), tuple(sorted({row.purpose for row in bound})))


def _withdrawn(grants: Iterable[GrantRow], casebook: Casebook) -> list[Elsewhere]:
    over = {row.id: row for row in grants if is_final(row.status)}
    streams: dict[bytes, list[bytes]] = {}
    for _, ended in casebook.ended():
        if ended.grant in over and ended.receipted:
            streams.setdefault(ended.grant, []).append(ended.stream)
    return [
        Elsewhere(over[grant].generation, over[grant].purpose, over[grant].kids, tuple(sorted(ids)))
        for grant, ids in sorted(streams.items())
    ]
