"""
What the device has accepted and holds to: root, recipients, statement, local denials, the policy in force.

Takes documents as bytes, checks them (core.documents), keeps them under the state key and answers, at any moment, what
a purpose may do. Nothing older, foreign, expired or forged replaces what is held. It does not fetch (uplink), and
what follows from a decision is the line's. Stored: ``state.bin`` by way of the vault; the pinned root in the lane set.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from edge_sdk.clock import Now
from edge_sdk.consent_record import (
    DOCUMENT_LIMIT,
    MAX_EXECUTED,
    MAX_POLICIES,
    Told,
    decode_held,
    deny,
    encode_held,
    note_use,
    wait_to_tell,
)
from edge_sdk.core.consent import STANDING_OF, CollectGrant, Decision, Standing, decide, unopened
from edge_sdk.core.cose import parse_document, public_key_of
from edge_sdk.core.documents import (
    Newest,
    RecipientKey,
    Recipients,
    Root,
    Statement,
    WipeOrder,
    accept_recipients,
    accept_root,
    accept_statement,
    accept_wipe,
    audience_of,
    pinned_root,
    reread_recipients,
    reread_statement,
)
from edge_sdk.core.messages import Withdrawal, open_downlink
from edge_sdk.core.policy import Basis, Purpose
from edge_sdk.core.receipt import WipeReceipt
from edge_sdk.core.transfer import Accepted, key_for
from edge_sdk.errors import ConsentRefused, EdgeError, StorageError
from edge_sdk.vault import Lane, Vault

ERASABLE = frozenset({Basis.CONSENT, Basis.LEGITIMATE_INTEREST})  # what a withdrawal on the device can end
FRESH_WITHIN_MS = 86_400_000  # a device that has heard nothing for a day collects but does not send
FLOOR_EVERY_MS = 3_600_000  # the floor is stored hourly: a power cut sets it back by less than that


class ConsentState:
    """
    The accepted documents of one site.

    Args:
        folder lane set and vault: where they are kept; the vault is open.
        alg: the HPKE algorithm to seal batches with.
    """

    def __init__(self, lane: Lane, vault: Vault, *, alg: int, write: Callable[[Lane], None]) -> None:
        self._lane = lane
        self._vault = vault
        self._alg = alg
        self._write_lane = write
        self.count: Callable[[str, int], None] = lambda _name, _by: None  # whoever only reads has no counters
        generation = vault.ring.generation
        self._audience = audience_of(public_key_of(generation.signing.reveal()))
        self.held = decode_held(vault.read_state())
        self.root: Root = pinned_root(lane.root)
        self.recipients: Recipients | None = None
        self.statement: Statement | None = None
        self._newest: Newest | None = None
        self.waiting_hash: bytes | None = None
        self._order, self.refused_order = b"", ""
        self.is_owed = False  # what was to be stored last is not: the line makes up for it
        self.refused: tuple[EdgeError, bytes] | None = None  # the last order refused
        self._heard_mono_ms: int | None = None
        self._heard_hash: bytes | None = None
        self._floor_stored_ms = vault.read_floor()
        self._reread()

    def floor_ms(self) -> int:
        """
        Return the floor to start from: what was kept of it, or the newest signed time held.
        """
        return max(self._floor_stored_ms, self.signed_ms())

    def signed_ms(self) -> int:
        """
        Return the newest signed time among what is held, the least a floor can be.
        """
        return 1000 * max(self.root.iat_s, self.statement.iat_s if self.statement else 0)

    def decide_digest(self, purpose: Purpose, digest: bytes, now: Now) -> Decision:
        """
        Return what *purpose* in the edition *digest* may do at *now*.
        """
        return decide(
            purpose=purpose.name,
            basis=purpose.basis,
            digest=digest,
            statement=self.statement,
            fresh=self.is_fresh(now),
            denied=self.held.denied,
            now_s=now.wall_s,
        )

    def stands(self, purpose: Purpose, grant_id: bytes) -> bool:
        """
        Tell whether what was collected under *grant_id* may still leave, as far as that grant itself goes.

        A purpose that can be withdrawn sends only under grants the statement still lists as given: consent that was
        withdrawn and given again while the device was away sends nothing that was collected before.
        """
        if purpose.basis not in ERASABLE:
            return True
        listed = () if self.statement is None else self.statement.grants
        own = [grant for grant in listed if grant.id == grant_id and grant_id not in self.held.denied]
        return any(STANDING_OF.get(grant.status) is Standing.VALID for grant in own)

    def recipient(self, purpose: Purpose, grant: CollectGrant, now: Now) -> RecipientKey:
        """
        Return the key that batches of *purpose* are sealed to.

        Raises:
            ConsentRefused: no certified key fits purpose, regions and grant, or a transfer to it lacks something.
        """
        held = Accepted(self.statement, self.held.denied, now.wall_s)
        return key_for(purpose, grant, recipients=self.recipients, held=held, algs=(self._alg,))

    def is_fresh(self, now: Now) -> bool:
        """
        Tell whether a downlink of the current epoch was opened since the start and within a day.
        """
        return self._heard_mono_ms is not None and now.mono_ms - self._heard_mono_ms < FRESH_WITHIN_MS

    def heard_at(self, now: Now) -> int:
        """
        Return when, by the wall clock, the last fresh downlink was opened; 0 for never.
        """
        return 0 if self._heard_mono_ms is None else now.wall_ms - (now.mono_ms - self._heard_mono_ms)

    def count_as_heard(self, mono_ms: int) -> None:
        """
        Take a downlink for opened at *mono_ms*: what a reader beside a running gateway was told by it.
        """
        self._heard_mono_ms = mono_ms

    def wants_downlink(self, now: Now) -> bool:
        """
        Tell whether to fetch the downlink: nothing fresh was heard, or a receipt announced another one.
        """
        announced = self.waiting_hash is not None and self.waiting_hash != self._heard_hash
        return announced or not self.is_fresh(now)

    def wants_recipients(self, now: Now) -> bool:
        """
        Tell whether to fetch the recipients document.
        """
        return self.recipients is None or now.wall_s >= self.recipients.exp_s

    def accept_downlink(self, sealed: bytes, now: Now, *, epochs: Collection[int]) -> int:
        """
        Take the statement out of a downlink; return its signed time in ms.

        Args:
            sealed: what was answered.
            epochs: the downlink must be of one of them: the one whose tag asked for it.

        After a power cut: the old or the new statement is held.

        Raises:
            StorageError: as ``accept_statement``; a wipe order that came with it is due all the same.
            EdgeError: when a check fails; nothing changes.
        """
        generation = self._vault.ring.generation
        downlink = open_downlink(sealed, seed=generation.hpke, alg=generation.hpke_alg)
        if downlink.epoch not in epochs:
            raise ConsentRefused("the downlink is of another day", hint="check the clock of this device", check=6)
        try:
            self.accept_statement(downlink.statement, now)
        except StorageError:
            self._order = downlink.wipe or b""
            raise
        self._order = downlink.wipe or b""
        self._heard_mono_ms = now.mono_ms
        self._heard_hash = self.waiting_hash = hashlib.sha256(sealed).digest()
        assert self.statement is not None
        return self.statement.iat_s * 1000

    def withdraw(self, name: str, basis: Basis) -> None:
        """
        Deny every grant the purpose *name* has, for good: only a grant with another id lifts it. Needs no network.

        After a power cut: denied, and the authority will be told; or nothing has changed.

        Raises:
            ConsentRefused: nothing to withdraw, or of no such basis. StorageError: denied, but not stored: ask again.
        """
        if basis not in ERASABLE:
            raise ConsentRefused(
                f"{name} rests on {basis.replace('_', ' ')}, which is not withdrawn on the device",
                hint="cancel the account with the operator, or erase the device with 'edge-sdk wipe --confirm NAME'",
            )
        granted = [] if self.statement is None else self.statement.grants
        ids = tuple(g.id for g in granted if g.purpose == name and g.id not in self.held.denied)
        waits = any(isinstance(told, Withdrawal) and told.purpose == name for told in self.held.to_tell)
        is_done = not self.is_owed and all(entry.purpose != name for entry in self._vault.ring.purposes.values())
        if not ids and (is_done or not waits):
            raise ConsentRefused(f"{name} has no grant that could be withdrawn", hint="it is not collected")
        deny(self.held, ids)
        self.tell_later([Withdrawal(name, ids)])

    def tell_later(self, told: Sequence[Told]) -> None:
        """
        Keep what the authority, and nobody else, is to be told.

        After a power cut: it is kept or not; the caller's next start finds out which.
        """
        self.count("untold_streams", wait_to_tell(self.held, told))
        self.save()

    def told(self, told: Collection[Told]) -> None:
        """
        Forget what waited to be told and is queued now.
        """
        self.held.to_tell = [waiting for waiting in self.held.to_tell if waiting not in told]
        self.save()

    def note_use(self, purpose: str, kid: bytes, stream_id: bytes) -> None:
        """
        Remember where data of *purpose* goes, for the receipt of a wipe.
        """
        if note_use(self.held, purpose, kid, stream_id):
            self.save()

    def due_order(self, now: Now) -> WipeOrder | None:
        """
        Return the wipe order to carry out at *now*, None when there is none, or none that passes every check.
        """
        self.refused = None
        if not self._order:
            return None
        try:
            return accept_wipe(
                self._order,
                root=self.root,
                audience=self._audience,
                generation=self._vault.ring.generation.id,
                executed=self.held.executed,
                now_s=now.wall_s,
            )
        except EdgeError as error:
            self.refused_order, self.refused = str(error), (error, self._order)
            return None

    def deny(self, purposes: Collection[str]) -> None:
        """
        Deny every grant that *purposes* have, on an order to erase them.

        After a power cut: denied or not; the order comes again.
        """
        granted = () if self.statement is None else self.statement.grants
        deny(self.held, [grant.id for grant in granted if grant.purpose in purposes])
        self.save()

    def carried_out(self, order: WipeOrder, receipt: WipeReceipt) -> None:
        """
        Remember that an order was carried out, and tell the authority with *receipt*.

        After a power cut: both, or neither and the order comes again.
        """
        wait_to_tell(self.held, [receipt])
        self.held.executed = [*self.held.executed, order.nonce][-MAX_EXECUTED:]
        self._order = b""
        self.save()

    def accept_statement(self, bundle: bytes, now: Now) -> None:
        """
        Accept a statement that came by downlink or file.

        After a power cut: the old or the new statement is held.

        Raises:
            StorageError: it is not stored, and closes what it closes but opens nothing until it comes again and is.
            EdgeError: when a check fails; nothing changes.
        """
        statement = accept_statement(
            bundle,
            root=self.root,
            audience=self._audience,
            generation=self._vault.ring.generation.id,
            newest=self._newest,
            now_s=now.wall_s,
        )
        self._newest = (statement.version, statement.sha256)
        self.statement = unopened(statement, self.statement)
        self._keep("statement", bundle)
        self.statement = statement

    def accept_recipients(self, bundle: bytes, now: Now) -> None:
        """
        Accept a recipients document.

        After a power cut: the old or the new document is held.

        Raises:
            EdgeError: when a check fails; nothing changes.
        """
        newest: Newest | None = None
        if self.recipients is not None:
            held = parse_document(self.held.recipients, limit=DOCUMENT_LIMIT, what="recipients")
            newest = (self.recipients.version, held.sha256)
        recipients = accept_recipients(bundle, root=self.root, newest=newest, now_s=now.wall_s)
        self._keep("recipients", bundle)
        self.recipients = recipients

    def accept_root(self, bundle: bytes) -> None:
        """
        Take the next version of the root of trust; documents of roles it re-keys are judged anew.

        After a power cut: the old or the new root is pinned.

        Raises:
            EdgeError: when it is not the very next version signed by both.
        """
        root = accept_root(self.root, bundle)
        pinned, self._lane.root = self._lane.root, bundle
        try:
            self._write_lane(self._lane)
        except StorageError:
            self._lane.root = pinned
            raise
        self.root = root
        self._reread()
        if self.statement is None:
            self._heard_mono_ms = None  # what was heard is vouched for no more: ask anew before anything is sent

    def put_policy(self, policy_text: str) -> None:
        """
        Make *policy_text* the policy in force, keeping earlier ones for what is still queued under them.

        After a power cut: the old or the new policy is in force.
        """
        if self.held.policies[-1:] != [policy_text]:
            kept = [earlier for earlier in self.held.policies if earlier != policy_text]
            self.held.policies = [*kept, policy_text][-MAX_POLICIES:]
            self.save()

    def keep_floor(self, now: Now, *, stopping: bool = False) -> None:
        """
        Store the floor, hourly and at a stop.
        """
        if now.floor_ms - self._floor_stored_ms >= (1 if stopping else FLOOR_EVERY_MS):
            self._vault.write_floor(now.floor_ms)
            self._floor_stored_ms = now.floor_ms

    def _keep(self, name: Literal["statement", "recipients"], bundle: bytes) -> None:
        before = getattr(self.held, name)
        if before == bundle:
            return
        setattr(self.held, name, bundle)
        try:
            self.save()
        except StorageError:
            setattr(self.held, name, before)  # not stored: accepting it again stores it
            raise

    def save(self) -> None:
        """
        Write ``state.bin``.

        After a power cut: the old or the new content.
        """
        self.is_owed = True
        self._vault.write_state(encode_held(self.held))
        self.is_owed = False

    def _reread(self) -> None:
        """
        Take up what was accepted before; what the root no longer vouches for is not held any more.
        """
        try:
            self.recipients = reread_recipients(self.held.recipients, root=self.root) if self.held.recipients else None
        except EdgeError:
            self.recipients = None
        kept, generation = self.held.statement, self._vault.ring.generation.id
        self.statement = None
        with contextlib.suppress(EdgeError):
            if kept:
                self.statement = reread_statement(kept, root=self.root, audience=self._audience, generation=generation)
        self._newest = (self.statement.version, self.statement.sha256) if self.statement else None
