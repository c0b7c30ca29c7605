"""
What a privacy policy promises about all of its purposes: where data is at home, what lets it go elsewhere, for how
long others keep it, who answers and by when.

Owns: ``Terms`` and ``Reach``, the part of them that each purpose carries in its digest.
Rules: values only. What decides where rows may go, or for how long a recipient may have them, is in ``Reach``, so a
change of it asks for a new grant; the rest binds people and not this device, and is in no digest.
Does not: read TOML (policy_file), judge a transfer (transfer) or put it in words (describe).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge_sdk.core.claims import Mechanism

CROSS_BORDER: Final = "cross_border"
"""Under this name, which no purpose may have, a statement lists the consent to transfers abroad (SPEC 5.8)."""

TRANSFERS: Final = (Mechanism.CONSENT, Mechanism.DEIDENTIFIED, Mechanism.SCC)


class ChildAccount(StrEnum):
    """
    Name what becomes of the account of a child.
    """

    WIPE = "wipe"
    PARENT = "parent"


@dataclass(frozen=True, slots=True)
class Reach:
    """
    Where rows may go and how long they may stay there.

    ``home`` are the regions in which nothing is a transfer. ``transfer`` is what a recipient elsewhere needs, all of it
    at once; with none, nothing leaves ``home``. ``retention_ms`` is how long a recipient may keep a row.
    """

    home: tuple[str, ...]
    transfer: tuple[Mechanism, ...]
    retention_ms: int

    def abroad(self, regions: Collection[str]) -> tuple[str, ...]:
        """
        Return those of *regions* that are not home, in order.
        """
        return tuple(sorted(set(regions).difference(self.home)))


@dataclass(frozen=True, slots=True)
class Terms:
    """
    The promises of one privacy policy. ``bases`` are those it names, ``never`` classes of data that no purpose has.

    ``text_sha256`` names the text that was read, empty where there is none to name. Below ``child_below`` years a
    person is a child; 0 where the policy has no such rule.
    """

    controller: str
    contact: str
    text_sha256: str
    bases: tuple[str, ...]
    never: tuple[str, ...]
    reach: Reach
    breach_notice_ms: int
    answer_within_ms: int
    child_below: int
    child_account: ChildAccount
