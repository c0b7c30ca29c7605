"""
Enrols devices and keeps what their households and accounts allow.

Rules: a claim code is redeemed in the transaction that stores the device; a grant that is over never changes
again, so a withdrawal is lifted only by a grant with a new id; a cancelled account is not taken up again.
Every change is durable here before anything of it is published. Not here: what follows from a change for
intake and openers (``publishing``), what devices tell (``listening``), wipe orders (``orders``), what a
statement says (``statements``), files (``registry``), HTTP (``server``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Final

from edge_sdk.collector.casebook import Casebook, OrderRow
from edge_sdk.collector.claim import CODE_BYTES, LIFETIME_S, TooManyTries, TryLimit, code_digest, make_code
from edge_sdk.collector.listening import Listener
from edge_sdk.collector.offices import AuthorityKeys
from edge_sdk.collector.orders import OrderLimit, Orders
from edge_sdk.collector.publishing import Outlets, Publisher
from edge_sdk.collector.registry import Device, GrantRow, Redeemed, Registry
from edge_sdk.collector.statements import GIVING, Draw, first_grants, is_final, new_grant, transfer_grant
from edge_sdk.core import messages
from edge_sdk.core.claims import Account, Status
from edge_sdk.core.documents import Recipients
from edge_sdk.core.envelope import LIMITS, outer
from edge_sdk.core.labels import TYP_ENROL
from edge_sdk.core.policy import Basis, Purpose
from edge_sdk.core.terms import CROSS_BORDER
from edge_sdk.errors import ConfigError, Refused, Tampered

_CONSENTED: Final = "consented_at_enrolment"


class Authority:
    """
    The authority over one registry.

    Args:
        registry: its file.
        keys: returns the root in force and what signs under it.
        outlets: intake and opener files to publish into.
        tries: how many wrong claim codes are answered.
        limit: how many wipe orders are issued.
        draw: returns random bytes.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        keys: Callable[[], AuthorityKeys],
        outlets: Outlets,
        tries: TryLimit,
        limit: OrderLimit,
        draw: Draw,
    ) -> None:
        self._registry = registry
        self._keys = keys
        self._outlets = outlets
        self._tries = tries
        self._draw = draw
        self._casebook = Casebook(registry.database)
        self._publisher = Publisher(registry, self._casebook, outlets=outlets, keys=keys, draw=draw)
        self._listener = Listener(registry, self._casebook, keys=keys)
        self._orders = Orders(registry, self._casebook, keys=keys, limit=limit, draw=draw)

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
            Refused: the code is not good, the device has seen a newer root, or it was erased since.

        After a power cut: the device is enrolled or not, and repeating the request brings the same answer.
        """
        wait_s = self._registry.wait_s(self._tries, now_s)
        if wait_s:
            raise TooManyTries(wait_s)
        request = self._open_enrol(body)
        if request.root_version > self._keys().root.version:
            raise Refused("the device pins a newer root than this authority has", hint="install the newest root")
        device = _device(request, now_s)
        current = self._registry.purposes(current=True)
        grants = first_grants(
            device.generation,
            current,
            consented=self._consented(),
            recipients=self._publisher.recipients().keys,
            now_s=now_s,
            draw=self._draw,
        )
        redeemed = self._registry.redeem(code_digest(request.code), device, grants, now_s=now_s)
        if redeemed is Redeemed.WRONG:
            raise Refused("claim code is not good", hint="issue a new one with 'edge-sdk collector enrol-code'")
        if self._device(device.generation).erased_s is not None:
            raise Refused("the generation was erased: this is a copy of it", hint="enrol with a new claim code")
        return self._publisher.first_downlink(device.generation, now_s)

    def set_grant(self, generation: bytes, purpose: str, status: Status, now_s: int) -> None:
        """
        Record a consent event of one device and publish what follows from it.

        Consent given (again) makes a grant with a new id, but for lifting a restriction; every other event
        changes the status of the grants in force. A grant that is over stays as it is.

        Raises:
            ConfigError: no such device or purpose.
            Refused: the account is cancelled.

        After a power cut: the event is recorded or not; what it changes is published now or at the next
        upkeep.
        """
        wanted = self._wanted(generation, purpose, status=status, now_s=now_s)
        if self._device(generation).account == Account.CANCELLED:
            raise Refused("the account of the device is cancelled", hint="enrol the device anew")
        standing = [row for row in self._registry.grants(generation) if row.purpose == purpose and not row.ended_s]
        changing = [row for row in standing if not is_final(row.status)]
        if status in GIVING:
            changing = [row for row in changing if row.status == Status.RESTRICTED]
        for row in changing:
            self._registry.set_status(row.id, str(status), since_s=now_s)
        covering = changing if status in GIVING else standing
        is_covered = any(set(wanted.digests) <= set(row.digests) for row in covering)
        if not is_covered:
            # Of two grants of one second the narrower counts: a new one is always newer than what it answers.
            since_s = max([now_s, *(row.since_s + 1 for row in standing)])
            self._registry.put_grant(replace(wanted, since_s=since_s))
        self.publish(now_s)

    def set_account(self, generation: bytes, account: Account, now_s: int) -> None:
        """
        Suspend an account, or take it up again, and publish what follows from it.

        Raises:
            ConfigError: no such device.
            Refused: the account is cancelled, which :meth:`cancel` alone does and nothing undoes.

        After a power cut: the state is recorded or not; it is published now or at the next upkeep.
        """
        if account is Account.CANCELLED:
            raise ValueError("an account is cancelled together with a wipe order")
        if self._device(generation).account == Account.CANCELLED:
            raise Refused("the account of the device is cancelled", hint="enrol the device anew")
        self._registry.set_account(generation, str(account))
        self.publish(now_s)

    def cancel(
        self, generation: bytes, purposes: Collection[str] = (), *, not_before_s: int | None, now_s: int
    ) -> OrderRow:
        """
        Cancel an account, or end some purposes, and order the device to erase it.

        Returns:
            The order; an open one that covers this already.

        Raises:
            ConfigError: no such device or purpose.
            TooManyOrders: enough were issued within the hour.
            Refused: the device has erased its account, or keys of the wipe role are missing here.

        After a power cut: cancelled and ordered, or neither; it is published now or at the next upkeep.
        """
        order = self._orders.order(generation, purposes, not_before_s=not_before_s, now_s=now_s)
        self.publish(now_s)
        return order

    def listen(self, now_s: int) -> int:
        """
        Read what devices told the authority, and return how many messages were new.

        What they change is published with the next upkeep and not at once: an answer right after a message
        would show the intake which of the messages it cannot read was a withdrawal.

        After a power cut: each message was read with all it changes, or is read next time.
        """
        return self._listener.listen(self._outlets.intake, now_s)

    def statement(self, generation: bytes, now_s: int) -> bytes:
        """
        Return the statement in force for one device, for bringing it there by hand.

        Raises:
            ConfigError: no such device.
        """
        self._device(generation)
        self.upkeep(now_s)
        bundle = self._device(generation).statement
        assert bundle is not None  # upkeep has issued one
        return bundle

    def adopt(self, purposes: Iterable[Purpose], now_s: int) -> None:
        """
        Add purposes or new editions of them, and grant every device those that need no consent.

        A purpose that rests on consent stays closed in its new edition until consent is given to that.

        Raises:
            ConfigError: a purpose whose recipient has no certified key in its regions.

        After a power cut: the editions are stored or not; adopting them again completes what is missing.
        """
        added = list(purposes)
        places = {(key.operator, key.region) for key in self._publisher.recipients().keys}
        for purpose in added:
            if not places.intersection((purpose.recipient, region) for region in purpose.regions):
                raise ConfigError(
                    f"purpose {purpose.name} has no certified recipient key in its regions",
                    hint="certify one, or name a recipient and region that this collector has",
                )
        self._registry.put_purposes(added)
        for device in self._registry.devices():
            if device.account == Account.CANCELLED:
                continue
            covered = {d for row in self._registry.grants(device.generation) if not row.ended_s for d in row.digests}
            for edition in self._registry.purposes(current=True).items():
                if edition[1].basis is not Basis.CONSENT and edition[0] not in covered:
                    grant = self._grant(device.generation, edition, status=Status.GIVEN, now_s=now_s)
                    self._registry.put_grant(grant)
        self.publish(now_s)

    def upkeep(self, now_s: int) -> None:
        """
        Read what devices told, and publish when that or the time has changed anything; else do nothing.
        """
        self.listen(now_s)
        if self._publisher.is_due(now_s):
            self.publish(now_s)

    def publish(self, now_s: int) -> None:
        """
        Tell intake and openers what is in force.

        After a power cut: the intake has the old tables or the new ones; the next upkeep publishes again.
        """
        self._publisher.publish(now_s)

    def consent_at_enrolment(self, purposes: Collection[str]) -> None:
        """
        Grant these purposes, which rest on consent, to devices that enrol from now on.

        It is for operators who obtained the consent on paper, before the device was handed out.

        Raises:
            ConfigError: no such purpose.
        """
        for purpose in purposes:
            if purpose != CROSS_BORDER:
                self._edition(purpose)
        self._registry.put_setting(_CONSENTED, "\n".join(sorted(purposes)).encode())

    def purposes(self) -> list[Purpose]:
        """
        Return the purposes in force.
        """
        return list(self._registry.purposes(current=True).values())

    def recipients(self) -> Recipients:
        """
        Return the recipients document in force.

        Raises:
            ConfigError: there is none.
        """
        return self._publisher.recipients()

    def certify_recipients(self, recipients: Recipients, now_s: int) -> None:
        """
        Put a recipients document in force, and its keys into the grants whose operator and regions they fit.

        A key that has gone from the document goes from the grants too.

        Raises:
            Refused: fewer keys of the recipients role are here than its threshold asks for.

        After a power cut: the old one is in force, or the new one; it is published now or at the next upkeep.
        """
        self._publisher.certify_recipients(recipients)
        self.publish(now_s)

    def _open_enrol(self, body: bytes) -> messages.EnrolRequest:
        # A device seals to the enrolment key of the root it pins, which may be an earlier one.
        held = self._keys().enrolment.get(outer(body, LIMITS[TYP_ENROL]).kid)
        if held is None:
            raise Tampered("enrolment")
        return messages.open_enrol(body, seed=held[1], alg=held[0])

    def _grant(self, generation: bytes, edition: tuple[bytes, Purpose], *, status: Status, now_s: int) -> GrantRow:
        certified = self._publisher.recipients().keys
        return new_grant(generation, edition, status=status, recipients=certified, now_s=now_s, draw=self._draw)

    def _wanted(self, generation: bytes, purpose: str, *, status: Status, now_s: int) -> GrantRow:
        if purpose != CROSS_BORDER:
            return self._grant(generation, self._edition(purpose), status=status, now_s=now_s)
        current, certified = self._registry.purposes(current=True), self._publisher.recipients().keys
        return transfer_grant(
            generation, current, status=status, recipients=certified, now_s=now_s, draw=self._draw
        )

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
