"""
What can be told of a site from outside its running gateway: read only, without the lock.

Opens the vault and the outbox as they lie on disk. Nothing is written, and what only memory knows (rows since the
last flush) is not in it.
"""

from __future__ import annotations

from edge_sdk.clock import Clock, Now
from edge_sdk.config import Config
from edge_sdk.consent_state import FRESH_WITHIN_MS, ConsentState
from edge_sdk.core.policy import Policy, Purpose, purpose_digest
from edge_sdk.errors import BadInput, LifecycleRefused, StorageError
from edge_sdk.keystore import FileKeyStore
from edge_sdk.marks import stored_counts
from edge_sdk.outbox import Outbox
from edge_sdk.policies import Policies
from edge_sdk.status import PurposeStatus, Status, clock_word, purpose_status, stopped_by
from edge_sdk.stream_record import Record, open_record
from edge_sdk.suites import suite_of
from edge_sdk.vault import Lane, Vault, read_lane

_TRIES = 3


def status_beside(config: Config) -> Status:
    """
    Return how the site of *config* stands, as of its last flush.

    Raises:
        NotProvisioned: when the site is not enrolled, or was wiped.
        LifecycleRefused: when it was never started.
    """
    vault = open_vault(config)
    consent = ConsentState(read_lane(config.folder), vault, alg=suite_of(config), write=_no_write)
    if not consent.held.policies:
        raise LifecycleRefused("this site was enrolled but never started", hint="open it once with Gateway or replay")
    policy = Policies(config.folder, vault.ring.state).read(consent.held.policies[-1], where="the policy in force")
    outbox = Outbox(config.folder, read_only=True)
    try:
        return _status(config, consent, policy, outbox, vault)
    finally:
        outbox.close()


def open_vault(config: Config) -> Vault:
    """
    Return the vault of a site that may be running.

    Raises:
        NotProvisioned: when the site is not enrolled, or was wiped.
        StorageError: when it cannot be read, each time it is tried.
    """
    for _ in range(_TRIES):
        try:
            return Vault.open(config.folder, FileKeyStore(config.folder), draw=_no_draw, finish=False)
        except StorageError:
            continue  # the gateway may be replacing the root key: vault and key were read on two sides of it
    return Vault.open(config.folder, FileKeyStore(config.folder), draw=_no_draw, finish=False)


def _status(config: Config, consent: ConsentState, policy: Policy, outbox: Outbox, vault: Vault) -> Status:
    numbers = outbox.numbers()
    now = Clock(consent.floor_ms()).now()
    if now.wall_ms - numbers.get("heard_ms", 0) < FRESH_WITHIN_MS:
        consent.count_as_heard(now.mono_ms)
    records = records_of(outbox, vault)
    return Status(
        site=config.name,
        fresh=consent.is_fresh(now),
        clock=clock_word(now),
        clock_ahead_ms=numbers.get("ahead_ms", 0),
        statement_version=consent.statement.version if consent.statement else 0,
        statement_expires_s=consent.statement.exp_s if consent.statement else 0,
        purposes=tuple(_purpose(purpose, consent, outbox, records, now) for purpose in policy.purposes.values()),
        queued_bytes=outbox.order.sealed_bytes + outbox.pending_bytes,
        aside_batches=len(outbox.aside()),
        counts=stored_counts(numbers),
        last_acked_ms=None,
        last_error="",
        incidents=tuple(consent.held.incidents),
        uploads_stopped=stopped_by(config, consent),
    )


def _purpose(
    purpose: Purpose, consent: ConsentState, outbox: Outbox, records: dict[int, Record], now: Now
) -> PurposeStatus:
    own = {row: record for row, record in records.items() if record.purpose == purpose.name}
    decision = consent.decide_digest(purpose, purpose_digest(purpose), now)
    return purpose_status(purpose, decision, outbox, records=own, open_rows=sum(map(outbox.pending_rows, own)))


def records_of(outbox: Outbox, vault: Vault) -> dict[int, Record]:
    """
    Return what is stored about each stream by its row number, less what is damaged or has no key here.
    """
    records = {}
    for row in outbox.streams():
        entry = vault.ring.purposes.get(row.ref)
        if entry is not None:
            try:
                records[row.id] = open_record(entry, row.record)
            except BadInput:
                continue  # damaged: the gateway tells of it at its next start
    return records


def _no_write(_: Lane) -> None:
    raise RuntimeError("a reader beside a gateway writes nothing")


def _no_draw(_: int) -> bytes:
    raise RuntimeError("a reader beside a gateway draws nothing")
