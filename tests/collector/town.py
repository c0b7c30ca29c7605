"""
A collector folder with the households it serves, and every way they meet: downlinks, uploads, control messages.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sdk.collector import Founded, open_authority, open_reception
from edge_sdk.collector.casebook import Casebook
from edge_sdk.collector.intake import Limits
from edge_sdk.collector.keyring import Places
from edge_sdk.collector.registry import Device, Registry
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core import keys, messages
from edge_sdk.core.claims import ALG_HPKE_X25519
from edge_sdk.core.documents import WipeOrder
from edge_sdk.core.messages.control import Body
from edge_sdk.core.receipt import WipeReceipt
from tests.collector.household import NOW_S, Household, found


@dataclass
class Town:
    """One collector on a clock that the tests move."""

    folder: Path
    founded: Founded

    @property
    def places(self) -> Places:
        return Places(self.folder)

    def enrol(self, now_s: int = NOW_S, home: Household | None = None) -> Household:
        home = home or Household(self.founded.root, self.founded.recipients, hpke_alg=ALG_HPKE_X25519)
        with open_authority(self.folder) as authority:
            home.hear(authority.enrol(home.enrol_body(authority.issue_code(now_s)), now_s), now_s)
        return home

    def waiting(self, home: Household, now_s: int) -> bytes | None:
        """Return the downlink under the household's tag of that day, None when the intake does not know it."""
        with closing(IntakeStore(self.places.store)) as store:
            row = store.tag_row(home.route(now_s).tag, (keys.epoch_of(now_s),))
            return None if row is None else store.downlink(row)

    def hear(self, home: Household, now_s: int) -> messages.Downlink:
        downlink = self.waiting(home, now_s)
        assert downlink is not None, "the intake does not know the tag"
        return home.hear(downlink, now_s)

    def upload(self, home: Household, path: str, body: bytes, now_s: int = NOW_S) -> int:
        with open_reception(self.folder, limits=Limits()) as reception:
            return reception.answer(home.request("POST", path, body, now_s), now_s).status

    def tell(
        self,
        home: Household,
        body: Body,
        now_s: int = NOW_S,
        *,
        at_s: int | None = None,
        ledger: tuple[bytes, int] | None = None,
    ) -> None:
        """Send one control message and have the authority read it."""
        self.send(home, home.control(body, at_s=now_s if at_s is None else at_s, ledger=ledger), now_s)

    def send(self, home: Household, sealed: bytes, now_s: int = NOW_S) -> None:
        assert self.upload(home, "/v1/control", sealed, now_s) == 200
        self.upkeep(now_s)

    def upkeep(self, now_s: int) -> None:
        with open_authority(self.folder) as authority:
            authority.upkeep(now_s)

    def cancel(self, home: Household, *purposes: str, now_s: int = NOW_S) -> WipeOrder:
        """Order a wipe and return what the household reads of it."""
        with open_authority(self.folder) as authority:
            authority.cancel(home.generation, purposes, not_before_s=None, now_s=now_s)
        return home.order(self.hear(home, now_s), now_s)

    def confirm(self, home: Household, receipt: WipeReceipt, now_s: int = NOW_S) -> None:
        self.tell(home, receipt, now_s)

    def device(self, home: Household) -> Device:
        with closing(Registry(self.places.registry)) as registry:
            device = registry.device(home.generation)
            assert device is not None
            return device

    def alarms(self) -> list[tuple[bytes | None, str, int]]:
        with closing(Registry(self.places.registry)) as registry:
            return [(alarm.generation, alarm.what, alarm.count) for alarm in Casebook(registry.database).alarms()]

    def root(self, version: int) -> bytes | None:
        with closing(IntakeStore(self.places.store)) as store:
            return store.document(f"root/{version}")


def town(folder: Path, **founding: Any) -> Town:
    return Town(folder, found(folder, **founding))


def statuses(home: Household) -> dict[str, str]:
    assert home.statement is not None
    return {item.purpose: item.status for item in home.statement.grants}


def grant_id(home: Household, purpose: str) -> bytes:
    assert home.statement is not None
    return next(item.id for item in reversed(home.statement.grants) if item.purpose == purpose)


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
