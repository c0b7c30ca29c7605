"""
What an operator does to a collector folder: accounts, orders, keys of recipients, erasure.

Each function opens the folder, does one act durably and closes it; a server that runs on the same folder
takes up what changed. Rules: what devices told is read before anything is shown. Not here: the acts
themselves (``authority``, ``certifying``, ``erasures``), the everyday of a collector (``folder``), the root
(``rotation``), printing (the command line).
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.collector.casebook import Alarm, Casebook, LedgerRow, OrderRow
from edge_sdk.collector.certifying import with_key, without_key
from edge_sdk.collector.erasures import EndingsReport, keys_to_forget, report_endings
from edge_sdk.collector.folder import open_authority, open_opener
from edge_sdk.collector.incidents import Case, IncidentList
from edge_sdk.collector.keyring import Places, read_recipients, write_recipients
from edge_sdk.collector.registry import Registry
from edge_sdk.collector.statements import Draw
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core.claims import Account, Mechanism
from edge_sdk.core.documents import HpkePublic, RecipientKey, Recipients
from edge_sdk.core.keys import SECRET_BYTES, RecipientSeed
from edge_sdk.core.seal import hpke_key_pair
from edge_sdk.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DeviceCase:
    """
    What is known of one device beside its grants; ``erased_s`` is when its wipe was confirmed.
    """

    erased_s: int | None
    ledger: LedgerRow | None
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True)
class KeyOffer:
    """
    A recipient key to certify: ``public`` is the operator's own, None to make a pair here.
    """

    operator: str
    region: str
    mechanism: Mechanism
    alg: int
    nbf_s: int
    exp_s: int
    public: bytes | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """
    What was deleted at this collector's opener and intake, and the purposes a legal obligation keeps.
    """

    streams: int
    rows: int
    kept: tuple[str, ...]


def hear(folder: Path, *, now_s: int) -> None:
    """
    Read what devices told the authority, and publish what follows from it.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: each message was read with all it changes, or is read next time.
    """
    with open_authority(folder) as authority:
        authority.upkeep(now_s)


def set_account(folder: Path, generation: bytes, account: Account, *, now_s: int) -> None:
    """
    Suspend the account of one device, or take it up again.

    Raises:
        ConfigError: no such device.
        Refused: the account is cancelled.
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: the state is recorded or not; a running server publishes what is recorded.
    """
    with open_authority(folder) as authority:
        authority.set_account(generation, account, now_s)


def cancel(
    folder: Path, generation: bytes, purposes: Collection[str] = (), *, not_before_s: int | None, now_s: int
) -> OrderRow:
    """
    Cancel the account of one device, or end some of its purposes, and order the device to erase it.

    Raises:
        ConfigError: no such device or purpose.
        Refused: erased already, too many orders within the hour, or keys of the wipe role are missing.
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: cancelled and ordered, or neither; a running server publishes what is recorded.
    """
    with open_authority(folder) as authority:
        return authority.cancel(generation, purposes, not_before_s=not_before_s, now_s=now_s)


def statement(folder: Path, generation: bytes, *, now_s: int) -> bytes:
    """
    Return the statement in force for one device, for bringing it there by hand.

    Raises:
        ConfigError: no such device.
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    with open_authority(folder) as authority:
        return authority.statement(generation, now_s)


def cases(folder: Path, *, now_s: int) -> dict[bytes | None, DeviceCase]:
    """
    Return what devices told and did wrong, by generation; under None what no device is blamed for.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    hear(folder, now_s=now_s)
    with closing(Registry(Places(folder).registry)) as registry:
        casebook = Casebook(registry.database)
        alarms: dict[bytes | None, list[Alarm]] = {}
        for alarm in casebook.alarms():
            alarms.setdefault(alarm.generation, []).append(alarm)
        found: dict[bytes | None, DeviceCase] = {None: DeviceCase(None, None, tuple(alarms.get(None, [])))}
        for device in registry.devices():
            own = tuple(alarms.get(device.generation, []))
            found[device.generation] = DeviceCase(device.erased_s, casebook.ledger(device.generation), own)
        return found


def incidents(folder: Path, *, now_s: int) -> list[Case]:
    """
    Return what devices told of and what was noticed here, in order of hearing.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    hear(folder, now_s=now_s)
    with closing(Registry(Places(folder).registry)) as registry:
        return IncidentList(registry.database).cases()


def close_incident(folder: Path, number: int, *, now_s: int) -> None:
    """
    Mark an incident as dealt with: who had to be told was told, or nobody had.

    Raises:
        ConfigError: there is no such open incident.
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: it is open or closed.
    """
    hear(folder, now_s=now_s)
    with closing(Registry(Places(folder).registry)) as registry:
        if not IncidentList(registry.database).close(number, now_s):
            raise ConfigError("no open incident has that number", hint="see 'edge-sdk collector incidents'")


def endings(folder: Path, *, now_s: int) -> EndingsReport:
    """
    Return orders and who confirmed them, withdrawals, and what is to be deleted elsewhere.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    hear(folder, now_s=now_s)
    with closing(Registry(Places(folder).registry)) as registry:
        return report_endings(registry, Casebook(registry.database))


def delete_ended(folder: Path, *, now_s: int) -> Deleted:
    """
    Delete here what devices sent under accounts that are cancelled and grants that are over.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: some is deleted; deleting again does the rest.
    """
    hear(folder, now_s=now_s)
    places = Places(folder)
    with closing(Registry(places.registry)) as registry:
        ended = keys_to_forget(registry, now_s)
    with open_opener(folder) as opener, closing(IntakeStore(places.store)) as intake:
        forgotten = opener.forget(ended.keys, intake)
    return Deleted(len(forgotten.streams), forgotten.rows, ended.kept)


def recipients(folder: Path) -> Recipients:
    """
    Return the recipients document in force.

    Raises:
        ConfigError: no collector is there.
        StorageError: a file fails.
    """
    with open_authority(folder) as authority:
        return authority.recipients()


def add_recipient(folder: Path, offer: KeyOffer, *, now_s: int, draw: Draw = secrets.token_bytes) -> RecipientKey:
    """
    Certify a key, and list it in the grants of the purposes it fits.

    Raises:
        ConfigError: it is certified already.
        BadInput: no device would take the key.
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: the key is certified or not; certified again, a key made here is another one.
    """
    places = Places(folder)
    with open_authority(folder) as authority:
        seed = RecipientSeed(draw(SECRET_BYTES)) if offer.public is None else None
        public = offer.public or b"" if seed is None else hpke_key_pair(seed, offer.alg)[1]
        key = RecipientKey(
            offer.alg, public, offer.operator, offer.region, str(offer.mechanism), offer.nbf_s, offer.exp_s
        )
        changed = with_key(authority.recipients(), key, now_s)
        if seed is not None:
            held = read_recipients(places.opener)
            kid = HpkePublic(offer.alg, public).kid
            write_recipients(places.opener, {**held, kid: (offer.alg, seed)})
        authority.certify_recipients(changed, now_s)
    return key


def retire_recipient(folder: Path, kid: bytes, *, withdraw: bool, now_s: int) -> None:
    """
    Have devices seal to a key no more; its private part stays, for what is under way.

    Args:
        folder: of a collector.
        kid: of the key.
        withdraw: take it off the list and out of the grants: it is in the wrong hands.
        now_s: Unix seconds.

    Raises:
        ConfigError: no such key, or a purpose would be left without one.
        ConfigError: no collector is there.
        StorageError: a file fails.

    After a power cut: the key is retired or not.
    """
    with open_authority(folder) as authority:
        purposes = authority.purposes()
        changed = without_key(authority.recipients(), kid, purposes=purposes, withdraw=withdraw, now_s=now_s)
        authority.certify_recipients(changed, now_s)
