"""
Enrols devices, keeps their grants, issues statements, and prepares what the intake and the openers may know.

Rules: a claim code is redeemed in the transaction that stores the device; a version of a statement is issued
once; every change is durable here before anything of it is published. When a statement changes, the downlinks
of *all* devices are sealed afresh, in every prepared epoch: replacing one row would show the intake whose it
is and join its tags. Wipe orders come with a later release. Not here: files (``registry``, ``store``,
``opened``), what a statement says (``statements``), HTTP (``server``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from edge_sdk.collector.claim import CODE_BYTES, LIFETIME_S, TooManyTries, TryLimit, code_digest, make_code
from edge_sdk.collector.opened import OpenerStore
from edge_sdk.collector.registry import Device, GrantRow, Redeemed, Registry
from edge_sdk.collector.statements import GIVING, Draw, first_grants, issue, new_grant
from edge_sdk.collector.store import IntakeStore, TagEntry
from edge_sdk.collector.streams import certified_keys
from edge_sdk.core import keys, messages
from edge_sdk.core.claims import ALG_A256GCM, Account, Status
from edge_sdk.core.documents import HpkePublic, Recipients, Root, reread_recipients, sign_recipients
from edge_sdk.core.policy import Basis, Purpose
from edge_sdk.errors import ConfigError, Refused

EPOCHS_AHEAD: Final = 3  # how many days the authority may be away
QUOTA_BYTES: Final = 64 << 20  # of one tag in one epoch: a week's backlog of a large site and then some
RENEW_S: Final = 22 * 86_400  # a statement is renewed at half its life, so a device hears of it in time

_RECIPIENTS: Final = "recipients"
_CERTIFIED_S: Final = "certified_s"
_PUBLISHED_EPOCH: Final = "published_epoch"
_CONSENTED: Final = "consented_at_enrolment"


@dataclass(frozen=True, slots=True)
class AuthorityKeys:
    """
    The secrets an authority works with every day; the root's seed stays on disk.
    """

    statement: keys.RoleSeed
    recipients: keys.RoleSeed
    enrolment_alg: int
    enrolment: keys.RoleSeed


@dataclass(frozen=True, slots=True)
class Outlets:
    """
    Whom an authority tells.
    """

    intake: IntakeStore
    opener: OpenerStore


class Authority:
    """
    The authority over one registry.

    Args:
        registry: its file; the recipients document is in it.
        root: in force.
        secrets: the seeds of its daily work.
        outlets: intake and opener files to publish into.
        tries: how many wrong claim codes are answered.
        draw: returns random bytes.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        root: Root,
        secrets: AuthorityKeys,
        outlets: Outlets,
        tries: TryLimit,
        draw: Draw,
    ) -> None:
        self._registry = registry
        self._root = root
        self._secrets = secrets
        self._outlets = outlets
        self._tries = tries
        self._draw = draw

    def issue_code(self, now_s: int) -> str:
        """
        Return a new claim code, good for one enrolment within 24 hours.

        After a power cut: a code that was returned can be redeemed.
        """
        code = make_code(self._draw(CODE_BYTES))
        self._registry.add_code(code_digest(code), expires_s=now_s + LIFETIME_S)
        return code

    def enrol(self, body: bytes, now_s: int) -> bytes:
        """
        Enrol the device that sealed *body*, and return its first downlink.

        Order: wrong tries so far, envelope, inner signature, root version, code.

        Returns:
            The downlink waiting under today's tag; the same one when the request is repeated.

        Raises:
            TooManyTries: no code is looked at for now.
            BadInput: the body is no enrolment request to this authority.
            Refused: the code is not good, or the device has seen a newer root.

        After a power cut: the device is enrolled or not, and repeating the request brings the same answer.
        """
        wait_s = self._registry.wait_s(self._tries, now_s)
        if wait_s:
            raise TooManyTries(wait_s)
        request = messages.open_enrol(body, seed=self._secrets.enrolment, alg=self._secrets.enrolment_alg)
        if request.root_version > self._root.version:
            raise Refused("the device pins a newer root than this authority has", hint="install the newest root")
        device = _device(request, now_s)
        current = self._registry.purposes(current=True)
        grants = first_grants(
            device.generation,
            current,
            consented=self._consented(),
            recipients=self._recipients().keys,
            now_s=now_s,
            draw=self._draw,
        )
        redeemed = self._registry.redeem(code_digest(request.code), device, grants, now_s=now_s)
        if redeemed is Redeemed.WRONG:
            raise Refused("claim code is not good", hint="issue a new one with 'edge-sdk collector enrol-code'")
        return self._first_downlink(device.generation, now_s)

    def set_grant(self, generation: bytes, purpose: str, status: Status, now_s: int) -> None:
        """
        Record a consent event of one device and publish what follows from it.

        Consent given (again) makes a grant with a new id; lifting a restriction and every other event change
        the status of the grant in force.

        Raises:
            ConfigError: no such device or purpose.

        After a power cut: the event is recorded or not; what it changes is published now or at the next
        upkeep.
        """
        edition = self._edition(purpose)
        if self._registry.device(generation) is None:
            raise ConfigError("no such device", hint="see 'edge-sdk collector devices'")
        standing = [row for row in self._registry.grants(generation) if row.purpose == purpose and not row.ended_s]
        lifted = any(row.status == Status.RESTRICTED for row in standing)
        if standing and (status not in GIVING or lifted):
            for row in standing:
                self._registry.set_status(row.id, str(status), since_s=now_s)
        else:
            self._registry.put_grant(self._grant(generation, edition, status=status, now_s=now_s))
        self.publish(now_s)

    def adopt(self, purposes: Iterable[Purpose], now_s: int) -> None:
        """
        Add purposes or new editions of them, and grant every device those that need no consent.

        A purpose that rests on consent stays closed in its new edition until consent is given to that.

        Raises:
            ConfigError: a purpose whose recipient has no certified key in its regions.

        After a power cut: the editions are stored or not; adopting them again completes what is missing.
        """
        added = list(purposes)
        places = {(key.operator, key.region) for key in self._recipients().keys}
        for purpose in added:
            if not places.intersection((purpose.recipient, region) for region in purpose.regions):
                raise ConfigError(
                    f"purpose {purpose.name} has no certified recipient key in its regions",
                    hint="certify one, or name a recipient and region that this collector has",
                )
        self._registry.put_purposes(added)
        for device in self._registry.devices():
            covered = {d for row in self._registry.grants(device.generation) if not row.ended_s for d in row.digests}
            for edition in self._registry.purposes(current=True).items():
                if edition[1].basis is not Basis.CONSENT and edition[0] not in covered:
                    grant = self._grant(device.generation, edition, status=Status.GIVEN, now_s=now_s)
                    self._registry.put_grant(grant)
        self.publish(now_s)

    def upkeep(self, now_s: int) -> None:
        """
        Publish when a new epoch has begun or a statement is past half its life; else do nothing.
        """
        published = self._registry.setting(_PUBLISHED_EPOCH)
        is_new_epoch = published is None or int(published) != keys.epoch_of(now_s)
        if is_new_epoch or any(_is_due(device, now_s) for device in self._registry.devices()):
            self.publish(now_s)

    def publish(self, now_s: int) -> None:
        """
        Renew what is due, certify streams, and replace the tables of yesterday to three days ahead.

        Costs one encapsulation and 6 KB for each device and epoch, about 4 ms a device on two server cores;
        nothing else is answered meanwhile.

        After a power cut: the intake has the old tables or the new ones; the next upkeep publishes again.
        """
        for device in self._registry.devices():
            if _is_due(device, now_s):
                self._issue(device.generation, now_s)
        self._renew_recipients(now_s)
        devices = self._registry.devices()
        self._certify(devices, now_s)
        tables = {epoch: [self._entry(device, epoch) for device in devices] for epoch in _epochs(now_s)}
        # By tag: as good as shuffled, since tags are pseudorandom.
        ordered = {epoch: sorted(rows, key=lambda row: row.tag) for epoch, rows in tables.items()}
        self._outlets.intake.put_document(_RECIPIENTS, self._registry.setting(_RECIPIENTS) or b"")
        self._outlets.intake.publish(ordered, oldest_epoch=keys.epoch_of(now_s) - 1)
        self._registry.put_setting(_PUBLISHED_EPOCH, str(keys.epoch_of(now_s)).encode())

    def consent_at_enrolment(self, purposes: Collection[str]) -> None:
        """
        Grant these purposes, which rest on consent, to devices that enrol from now on.

        It is for operators who obtained the consent on paper, before the device was handed out.

        Raises:
            ConfigError: no such purpose.
        """
        for purpose in purposes:
            self._edition(purpose)
        self._registry.put_setting(_CONSENTED, "\n".join(sorted(purposes)).encode())

    def certify_recipients(self, recipients: Recipients) -> None:
        """
        Put a recipients document in force.

        After a power cut: the old one is in force, or the new one; the next upkeep tells the intake.
        """
        bundle = sign_recipients(recipients, [self._secrets.recipients])
        self._registry.put_setting(_RECIPIENTS, bundle)
        self._outlets.intake.put_document(_RECIPIENTS, bundle)

    def _recipients(self) -> Recipients:
        bundle = self._registry.setting(_RECIPIENTS)
        if bundle is None:
            raise ConfigError("no recipients document yet", hint="make the collector anew")
        return reread_recipients(bundle, root=self._root)

    def _renew_recipients(self, now_s: int) -> None:
        standing = self._recipients()
        if now_s - standing.iat_s < (standing.exp_s - standing.iat_s) // 2:
            return
        self.certify_recipients(
            replace(
                standing,
                version=standing.version + 1,
                iat_s=now_s,
                nbf_s=now_s,
                exp_s=now_s + standing.exp_s - standing.iat_s,
            )
        )

    def _first_downlink(self, generation: bytes, now_s: int) -> bytes:
        device = self._device(generation)
        if device.statement is None:
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
        entries = {epoch: self._entry(device, epoch) for epoch in _epochs(now_s)}
        self._outlets.intake.add(entries)
        return entries[today].downlink

    def _issue(self, generation: bytes, now_s: int) -> None:
        is_stored = False
        while not is_stored:  # another process may issue the same version first; then ours is the next
            device = self._device(generation)
            version = device.statement_version + 1
            grants = self._registry.grants(generation)
            bundle, expires_s = issue(device, grants, version=version, now_s=now_s, seed=self._secrets.statement)
            is_stored = self._registry.put_statement(
                generation, bundle, version=version, issued_s=now_s, expires_s=expires_s
            )

    def _certify(self, devices: Collection[Device], now_s: int) -> None:
        # How far this got is kept by the opener: one that starts over from nothing is told everything again.
        opener = self._outlets.opener
        purposes = self._registry.purposes()
        opener.put_purposes(purposes.values())
        since_s = min(now_s, opener.progress(_CERTIFIED_S))
        opener.certify(certified_keys(devices, self._registry.grants(), purposes, since_s=since_s, now_s=now_s))
        opener.put_progress(_CERTIFIED_S, now_s)

    def _entry(self, device: Device, epoch: int) -> TagEntry:
        route = keys.route(keys.RoutingSecret(device.routing_secret), epoch)
        assert device.statement is not None  # every caller has issued one
        downlink = messages.seal_downlink(
            messages.Downlink(epoch, device.statement),
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

    def _grant(self, generation: bytes, edition: tuple[bytes, Purpose], *, status: Status, now_s: int) -> GrantRow:
        certified = self._recipients().keys
        return new_grant(generation, edition, status=status, recipients=certified, now_s=now_s, draw=self._draw)

    def _device(self, generation: bytes) -> Device:
        device = self._registry.device(generation)
        if device is None:
            raise ConfigError("no such device", hint="see 'edge-sdk collector devices'")
        return device

    def _edition(self, purpose: str) -> tuple[bytes, Purpose]:
        for edition in self._registry.purposes(current=True).items():
            if edition[1].name == purpose:
                return edition
        raise ConfigError("no policy given to this collector has that purpose", hint="see 'edge-sdk policy check'")

    def _consented(self) -> frozenset[str]:
        return frozenset((self._registry.setting(_CONSENTED) or b"").decode().splitlines())


def _device(request: messages.EnrolRequest, now_s: int) -> Device:
    return Device(
        generation=request.generation,
        enrolled_s=now_s,
        signing_key=request.signing_key,
        hpke_alg=request.hpke.alg,
        hpke_key=request.hpke.key,
        routing_secret=request.routing.reveal(),
        stream_secret=request.stream.reveal(),
        account=str(Account.ACTIVE),
    )


def _is_due(device: Device, now_s: int) -> bool:
    return device.issued_s is None or now_s >= device.issued_s + RENEW_S


def _epochs(now_s: int) -> range:
    # Yesterday too: a device whose clock is a little behind still finds the newest statement there.
    today = keys.epoch_of(now_s)
    return range(today - 1, today + EPOCHS_AHEAD + 1)
