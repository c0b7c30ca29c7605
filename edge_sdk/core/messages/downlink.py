"""
The downlink: statement and wipe order for one device and one epoch, all of one size.

Owns: ``Downlink``, ``seal_downlink``, ``open_downlink``.
Rules: padded to one size whatever it says, sealed afresh for each epoch, and without a key name in clear, so
that the intake that keeps it sees neither who withdrew what nor which downlinks are one device's.
Does not: check the documents inside (documents) or the epoch against a clock (the caller).
Neighbours: seal below; authority and consent state above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_sdk.core import cbor, labels
from edge_sdk.core.documents import STATEMENT_LIMIT, WIPE_LIMIT, HpkePublic
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import GenerationHpkeSeed
from edge_sdk.core.padding import pad_to, unpad
from edge_sdk.core.seal import open_sealed, seal
from edge_sdk.core.shape import Fields, exactly, octets, uint
from edge_sdk.errors import Malformed

DOWNLINK_BYTES: Final = 4096  # the longest statement and wipe order, and the one size all downlinks have
MAX_EPOCH: Final = 1 << 32
NO_KID: Final = bytes(8)  # a real key name would be the same every day, and so link a device's epochs

_VERSION, _EPOCH, _STATEMENT, _WIPE = range(4)


@dataclass(frozen=True, slots=True)
class Downlink:
    """
    Hold what the authority tells one device in one epoch.
    """

    epoch: int
    statement: bytes
    """A statement bundle."""
    wipe: bytes | None = None
    """A wipe order bundle, if one is open."""


@dataclass(frozen=True, slots=True)
class Nameless:
    """
    Seal to a key without naming it.
    """

    alg: int
    key: bytes

    @property
    def kid(self) -> bytes:
        """
        Return the name that is nobody's.
        """
        return NO_KID


def seal_downlink(downlink: Downlink, *, recipient: HpkePublic, content_alg: int, cek: bytes, iv: bytes) -> bytes:
    """
    Return *downlink* sealed to the HPKE key of a generation.

    Args:
        cek: 32 random bytes, used once.
        iv: 12 bytes.

    Raises:
        Malformed, Unsupported: as ``seal.seal``.
    """
    content: dict[int, cbor.Value] = {
        _VERSION: 1,
        _EPOCH: downlink.epoch,
        _STATEMENT: downlink.statement,
    }
    if downlink.wipe is not None:
        content[_WIPE] = downlink.wipe
    return seal(
        pad_to(cbor.encode(content), DOWNLINK_BYTES),
        recipient=Nameless(recipient.alg, recipient.key),
        typ=labels.TYP_DOWNLINK,
        batch_id=None,
        content_alg=content_alg,
        cek=cek,
        iv=iv,
    )


def open_downlink(data: bytes, *, seed: GenerationHpkeSeed, alg: int) -> Downlink:
    """
    Return what ``seal_downlink`` was given; its documents and its epoch are still to be checked.

    Raises:
        Malformed: another structure or size, or a key named in clear.
        Tampered: sealed to another key, or changed.
        Unsupported: this build does not speak *alg*.
    """
    padded, _ = open_sealed(data, seed=seed, alg=alg, typ=labels.TYP_DOWNLINK)
    if outer(data).kid != NO_KID:
        raise Malformed("downlink names a key in clear")
    if len(padded) != DOWNLINK_BYTES:
        raise Malformed(f"downlink is not padded to {DOWNLINK_BYTES} bytes")
    fields = Fields(cbor.decode(unpad(padded), DOWNLINK_BYTES, "downlink"), "downlink")
    fields.take(_VERSION, "version", exactly(1))
    downlink = Downlink(
        epoch=fields.take(_EPOCH, "epoch", uint(MAX_EPOCH)),
        statement=fields.take(_STATEMENT, "statement", octets(None, STATEMENT_LIMIT, least=1)),
        wipe=fields.maybe(_WIPE, "wipe order", octets(None, WIPE_LIMIT, least=1)),
    )
    fields.end()
    return downlink
