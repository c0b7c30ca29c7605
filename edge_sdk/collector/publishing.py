"""
What intake and openers are told: statements, tags with their downlinks, stream keys, roots and recipients.

Rules: a version of a statement is issued once; every change is durable in the registry before anything of it
is published; when one statement changes, the downlinks of *all* devices are sealed afresh in every prepared
epoch, because replacing one row would show the intake whose it is and join its tags. A cancelled device is
told of its wipe for any number of epochs, until its receipt is here; then tags and order stay ``ACKNOWLEDGE_S``
more, for a device whose acknowledgement was lost and for a copy of its folder that is put back. After a
rotation of the root everything is signed anew. Not here: what changes (``authority``, ``listening``), files
(``registry``, ``store``, ``opened``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from edge_sdk.collector.casebook import Casebook
from edge_sdk.collector.offices import AuthorityKeys, signed
from edge_sdk.collector.opened import OpenerStore
from edge_sdk.collector.orders import sign_again
from edge_sdk.collector.registry import Device, Registry
from edge_sdk.collector.statements import Draw, grant_kids, is_final, issue
from edge_sdk.collector.store import IntakeStore, TagEntry
from edge_sdk.collector.streams import certified_keys
from edge_sdk.core import keys, messages
from edge_sdk.core.claims import ALG_A256GCM, Role
from edge_sdk.core.documents import HpkePublic, Recipients, keeps_versions, reread_recipients, sign_recipients
from edge_sdk.errors import ConfigError, ConsentRefused, Tampered

EPOCHS_AHEAD: Final = 3  # how many days the authority may be away
QUOTA_BYTES: Final = 64 << 20  # of one tag in one epoch: a week's backlog of a large site and then some
RENEW_S: Final = 22 * 86_400  # a statement is renewed at half its life, so a device hears of it in time
ACKNOWLEDGE_S: Final = 30 * 86_400  # a device that lost the acknowledgement of its wipe receipt can still get it

_RECIPIENTS: Final = "recipients"
_CERTIFIED_S: Final = "certified_s"
_PUBLISHED_EPOCH: Final = "published_epoch"
_SIGNED_UNDER: Final = "signed_under_root"


@dataclass(frozen=True, slots=True)
class Outlets:
    """
    Whom an authority tells.
    """

    intake: IntakeStore
    opener: OpenerStore


class Publisher:
    """
    Signs and publishes what is in one registry.

    Args:
        registry: devices and grants; the recipients document is in it.
        casebook: the wipe orders.
        outlets: intake and opener files to publish into.
        keys: returns the root in force and what signs under it.
        draw: returns random bytes.
    """

    def __init__(
        self,
        registry: Registry,
        casebook: Casebook,
        *,
        outlets: Outlets,
        keys: Callable[[], AuthorityKeys],
        draw: Draw,
    ) -> None:
        self._registry = registry
        self._casebook = casebook
        self._outlets = outlets
        self._keys = keys
        self._draw = draw

    def is_due(self, now_s: int) -> bool:
        """
        Tell whether a new epoch or root has begun, or a statement is past half its life or no longer true.
        """
        epoch, root = self._registry.setting(_PUBLISHED_EPOCH), self._registry.setting(_SIGNED_UNDER)
        if epoch is None or int(epoch) != keys.epoch_of(now_s) or root != _number(self._keys().root.version):
            return True
        return any(_is_due(device, now_s) for device in self._registry.devices())

    def publish(self, now_s: int) -> None:
        """
        Renew what is due, certify streams, and replace the tables of yesterday to three days ahead.

        Costs one encapsulation and 6 KB for each device and epoch, about 4 ms a device on two server cores;
        nothing else is answered meanwhile.

        After a power cut: the intake has the old tables or the new ones; the next upkeep publishes again.
        """
        self._sign_anew(now_s)
        self._renew_recipients(now_s)
        self._align_grants()
        for device in self._registry.devices():
            if _is_due(device, now_s):
                self._issue(device.generation, now_s)
        devices = self._registry.devices()
        self._certify([device for device in devices if device.erased_s is None], now_s)
        orders = self._standing_orders()
        told = [device for device in devices if device.erased_s is None or now_s < device.erased_s + ACKNOWLEDGE_S]
        tables = {epoch: [self._entry(device, epoch, orders) for device in told] for epoch in _epochs(now_s)}
        # By tag: as good as shuffled, since tags are pseudorandom.
        ordered = {epoch: sorted(rows, key=lambda row: row.tag) for epoch, rows in tables.items()}
        self._outlets.intake.put_document(_RECIPIENTS, self._registry.setting(_RECIPIENTS) or b"")
        self._outlets.intake.publish(ordered, oldest_epoch=keys.epoch_of(now_s) - 1)
        self._registry.put_setting(_PUBLISHED_EPOCH, _number(keys.epoch_of(now_s)))

    def first_downlink(self, generation: bytes, now_s: int) -> bytes:
        """
        Return the downlink of today for a device that is enrolled, the same one when asked again.

        After a power cut: its statement and tags are published or not; asking again completes them.
        """
        if self._device(generation).statement is None:
            self._issue(generation, now_s)
        device = self._device(generation)
        grants = self._registry.grants(generation)
        certified = certified_keys([device], grants, self._registry.purposes(), since_s=0, now_s=now_s)
        self._outlets.opener.certify(certified)
        today = keys.epoch_of(now_s)
        route = keys.route(keys.RoutingSecret(device.routing_secret), today)
        row = self._outlets.intake.tag_row(route.tag, (today,))
        waiting = None if row is None else self._outlets.intake.downlink(row)
        if waiting is not None:
            return waiting
        orders = self._standing_orders()
        entries = {epoch: self._entry(device, epoch, orders) for epoch in _epochs(now_s)}
        self._outlets.intake.add(entries)
        return entries[today].downlink

    def recipients(self) -> Recipients:
        """
        Return the recipients document in force.

        Raises:
            ConfigError: there is none.
        """
        bundle = self._registry.setting(_RECIPIENTS)
        if bundle is None:
            raise ConfigError("no recipients document yet", hint="make the collector anew")
        for root in self._keys().roots:
            try:
                return reread_recipients(bundle, root=root)
            except (Tampered, ConsentRefused):
                continue  # our own document, signed under a root before
        raise ConfigError("the recipients document is signed under no root known here", hint="restore your backup")

    def certify_recipients(self, recipients: Recipients) -> None:
        """
        Put a recipients document in force.

        After a power cut: the old one is in force, or the new one; the next upkeep tells the intake.
        """
        bundle = signed(partial(sign_recipients, recipients), self._keys(), Role.RECIPIENTS)
        self._registry.put_setting(_PUBLISHED_EPOCH, _number(0))  # grants and statements follow from it
        self._registry.put_setting(_RECIPIENTS, bundle)
        self._outlets.intake.put_document(_RECIPIENTS, bundle)

    def _sign_anew(self, now_s: int) -> None:
        held = self._keys()
        signed_under = self._registry.setting(_SIGNED_UNDER)
        if signed_under == _number(held.root.version):
            return
        self._outlets.intake.put_document(f"root/{held.root.version}", held.bundle)
        if signed_under is not None:
            # More than one rotation may have gone by since: then all roles count as changed.
            known = [root for root in held.roots if _number(root.version) == signed_under]
            changed = {role for role in Role if not known or not keeps_versions(known[0], held.root, role)}
            if Role.STATEMENT in changed:
                self._registry.mark_stale()
            if Role.RECIPIENTS in changed:
                self.certify_recipients(_next_version(self.recipients(), now_s))
            if Role.WIPE in changed:
                sign_again(self._casebook, held, self._registry, now_s)
        self._registry.put_setting(_SIGNED_UNDER, _number(held.root.version))

    def _renew_recipients(self, now_s: int) -> None:
        standing = self.recipients()
        if now_s - standing.iat_s >= (standing.exp_s - standing.iat_s) // 2:
            self.certify_recipients(_next_version(standing, now_s))

    def _align_grants(self) -> None:
        # Keys of the same recipient in the regions consented to come and go without a new consent event.
        certified, purposes = self.recipients().keys, self._registry.purposes()
        for row in self._registry.grants():
            if row.ended_s is None and not is_final(row.status):
                fitting = grant_kids(row.purpose, [purposes[digest] for digest in row.digests], certified)
                if set(fitting) != set(row.kids):
                    self._registry.set_kids(row.id, fitting)

    def _issue(self, generation: bytes, now_s: int) -> None:
        is_stored = False
        while not is_stored:  # another process may issue the same version first; then ours is the next
            device = self._device(generation)
            version = device.statement_version + 1
            grants = self._registry.grants(generation)
            bundle, expires_s = issue(device, grants, version=version, now_s=now_s, keys=self._keys())
            is_stored = self._registry.put_statement(
                generation, bundle, version=version, issued_s=now_s, expires_s=expires_s
            )

    def _certify(self, devices: Collection[Device], now_s: int) -> None:
        # How far this got is kept by the opener: one that starts over from nothing is told everything again.
        opener = self._outlets.opener
        purposes = self._registry.purposes()
        opener.put_purposes(purposes.values())
        since_s = min(now_s, opener.progress(_CERTIFIED_S))
        known = {device.generation for device in devices}
        grants = [grant for grant in self._registry.grants() if grant.generation in known]
        opener.certify(certified_keys(devices, grants, purposes, since_s=since_s, now_s=now_s))
        opener.put_progress(_CERTIFIED_S, now_s)

    def _standing_orders(self) -> dict[bytes, bytes]:
        # One for the whole account stands after it was carried out as well: a copy of the folder has still to do it.
        orders = self._casebook.orders()
        done = [order for order in orders if not order.scope and order.confirmed_s and not order.replaced_by]
        still = [order for order in orders if order.is_open]
        return {order.generation: order.bundle for order in [*done, *still]}

    def _entry(self, device: Device, epoch: int, orders: dict[bytes, bytes]) -> TagEntry:
        route = keys.route(keys.RoutingSecret(device.routing_secret), epoch)
        assert device.statement is not None  # every caller has issued one
        downlink = messages.seal_downlink(
            messages.Downlink(epoch, device.statement, orders.get(device.generation)),
            recipient=HpkePublic(device.hpke_alg, device.hpke_key),
            content_alg=ALG_A256GCM,
            cek=self._draw(keys.SECRET_BYTES),
            iv=self._draw(keys.NONCE_BYTES),
        )
        return TagEntry(
            tag=route.tag,
            mac_key=route.mac_key,
            quota_bytes=QUOTA_BYTES,
            downlink=downlink,
            downlink_hash=hashlib.sha256(downlink).digest(),
        )

    def _device(self, generation: bytes) -> Device:
        device = self._registry.device(generation)
        if device is None:
            raise ConfigError("no such device", hint="see 'edge-sdk collector devices'")
        return device


def _is_due(device: Device, now_s: int) -> bool:
    if device.issued_s is None:
        return True
    return device.erased_s is None and now_s >= device.issued_s + RENEW_S  # who has erased everything needs no more


def _next_version(standing: Recipients, now_s: int) -> Recipients:
    expires_s = now_s + standing.exp_s - standing.iat_s
    return replace(standing, version=standing.version + 1, iat_s=now_s, nbf_s=now_s, exp_s=expires_s)


def _number(value: int) -> bytes:
    return str(value).encode()


def _epochs(now_s: int) -> range:
    # Yesterday too: a device whose clock is a little behind still finds the newest statement there.
    today = keys.epoch_of(now_s)
    return range(today - 1, today + EPOCHS_AHEAD + 1)
