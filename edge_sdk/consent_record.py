"""
What ``state.bin`` holds: accepted documents, local denials, policies, and what is still to be told.

Values and their codec; who may change what is ``consent_state``. Everything in it is under the state key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from edge_sdk.core import cbor
from edge_sdk.core.incidents import MAX_INCIDENTS, Incident, incident_of, incident_value, newest_of
from edge_sdk.core.messages import EndedStream, LedgerHead, Withdrawal
from edge_sdk.core.messages.control import MAX_WITHDRAWN
from edge_sdk.core.receipt import WipeReceipt, decode_wipe_receipt, encode_wipe_receipt
from edge_sdk.core.shape import Fields, array, list_of, octets, optional, text, uint
from edge_sdk.errors import StorageError
from edge_sdk.vault import check_format

FORMAT: Final = 1
MAX_POLICIES: Final = 4
MAX_TELL: Final = 512  # more than the ceilings by kind allow together
MAX_TOLD_WITHDRAWALS: Final = 128  # more than the ids of MAX_DENIED grants make, merged by purpose
MAX_TOLD_RECEIPTS: Final = 64
MAX_TOLD_STREAMS: Final = 256
MAX_DENIED: Final = 1024
MAX_USES: Final = 64  # purposes, as a wipe receipt has
MAX_EXECUTED: Final = 64
MAX_KIDS: Final = 64  # of one purpose: more than a state.bin may hold would keep the site from opening
MAX_STREAMS: Final = 1900  # of all purposes: with their ids a wipe's intent still fits its file
LIMIT: Final = 8 << 20
DOCUMENT_LIMIT: Final = 1 << 20

Told: TypeAlias = Withdrawal | EndedStream | LedgerHead | WipeReceipt | Incident


@dataclass(slots=True)
class Use:
    """
    Where the data of one purpose went: recipient key ids and stream ids, oldest first.
    """

    kids: list[bytes] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Held:
    """
    Everything stored of consent. ``policies`` are texts, the one in force last; ``to_tell`` waits for the authority;
    ``stopped_s`` is since when uploads are stopped on this device, 0 where they are not.
    """

    recipients: bytes = b""
    statement: bytes = b""
    denied: list[bytes] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    to_tell: list[Told] = field(default_factory=list)
    uses: dict[str, Use] = field(default_factory=dict)
    executed: list[bytes] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    stopped_s: int = 0


def encode_held(held: Held) -> bytes:
    """
    Return *held* as bytes.
    """
    return cbor.encode(
        {
            0: FORMAT,
            1: held.recipients,
            2: held.statement,
            4: held.denied,
            5: [policy.encode("utf-8") for policy in held.policies],
            6: [_told_value(told) for told in held.to_tell],
            7: [[purpose, use.kids, use.streams] for purpose, use in held.uses.items()],
            8: held.executed,
            9: [incident_value(incident) for incident in held.incidents],
            10: held.stopped_s,
        }
    )


def decode_held(encoded: bytes) -> Held:
    """
    Return what :func:`encode_held` was given; nothing held for no bytes.

    Raises:
        Malformed: for other bytes. StorageError: for those of another release.
    """
    if not encoded:
        return Held()
    fields = Fields(cbor.decode(encoded, LIMIT, "state"), "state")
    check_format("state.bin", fields.take(0, "format", uint()), FORMAT)
    ids = list_of(octets(16), MAX_STREAMS)
    uses = fields.take(7, "uses", list_of(array(text(64), list_of(octets(8), MAX_KIDS), ids), MAX_USES))
    policies = fields.take(5, "policies", list_of(octets(None, LIMIT), MAX_POLICIES))
    return Held(
        recipients=fields.take(1, "recipients", octets(None, DOCUMENT_LIMIT)),
        statement=fields.take(2, "statement", octets(None, DOCUMENT_LIMIT)),
        denied=list(fields.take(4, "denied", list_of(octets(16), MAX_DENIED))),
        policies=[policy.decode("utf-8") for policy in policies],
        to_tell=list(fields.take(6, "to tell", list_of(_told, MAX_TELL))),
        uses={purpose: Use(list(kids), list(streams)) for purpose, kids, streams in uses},
        executed=list(fields.take(8, "executed", ids)),
        incidents=list(fields.maybe(9, "incidents", list_of(incident_of, MAX_INCIDENTS)) or ()),
        stopped_s=fields.maybe(10, "stopped", uint()) or 0,
    )


def note_use(held: Held, purpose: str, kid: bytes, stream_id: bytes) -> bool:
    """
    Remember that a stream of *purpose* is sealed to *kid*; return whether that is new.

    Beyond the limit the oldest stream is forgotten: the authority can find it by its key, the id only saves work. So is
    the purpose that was new the longest ago.
    """
    if purpose not in held.uses and len(held.uses) >= MAX_USES:
        del held.uses[next(iter(held.uses))]
    use = held.uses.setdefault(purpose, Use())
    known = kid in use.kids and stream_id in use.streams
    if kid not in use.kids:
        use.kids = [*use.kids, kid][-MAX_KIDS:]
    if stream_id not in use.streams:
        use.streams.append(stream_id)
    while sum(len(other.streams) for other in held.uses.values()) > MAX_STREAMS:
        max(held.uses.values(), key=lambda other: len(other.streams)).streams.pop(0)
    return not known


def deny(held: Held, grants: Iterable[bytes]) -> None:
    """
    Deny *grants*, the newest MAX_DENIED of all: none so old comes again in a statement.
    """
    held.denied = [*held.denied, *(grant for grant in grants if grant not in held.denied)][-MAX_DENIED:]


def wait_to_tell(held: Held, told: Iterable[Told]) -> int:
    """
    Add what the authority is to be told, merged by kind; return how many ended streams there was no room for.

    Withdrawals of one purpose become one, the ledger's head is told once, a newer account of a stream or incident takes
    the place of the older. Incidents come first. No withdrawal and no receipt ever makes room for anything: each kind
    has a ceiling of its own, and the oldest accounts of ended streams are what goes.

    Raises:
        StorageError: as many receipts wait as are kept; nothing was added.
    """
    waiting = [*held.to_tell, *told]
    receipts = list({_name(entry): entry for entry in waiting if isinstance(entry, WipeReceipt)}.values())
    if len(receipts) > MAX_TOLD_RECEIPTS:
        raise StorageError(f"{MAX_TOLD_RECEIPTS} wipe receipts wait", hint="let the device reach its collector")
    streams = list({entry.stream: entry for entry in waiting if isinstance(entry, EndedStream)}.values())
    incidents = {(one.kind, one.what, one.first_s): one for one in waiting if isinstance(one, Incident)}
    heads = [entry for entry in waiting if isinstance(entry, LedgerHead)][:1]
    withdrawals = _merged([entry for entry in waiting if isinstance(entry, Withdrawal)])
    told_first: list[Told] = [*newest_of(incidents.values()), *withdrawals[-MAX_TOLD_WITHDRAWALS:]]
    held.to_tell = [*told_first, *receipts, *streams[-MAX_TOLD_STREAMS:], *heads]
    return max(0, len(streams) - MAX_TOLD_STREAMS)


def _merged(withdrawals: Iterable[Withdrawal]) -> list[Withdrawal]:
    grants: dict[str, dict[bytes, None]] = {}
    for entry in withdrawals:
        grants.setdefault(entry.purpose, {}).update(dict.fromkeys(entry.grants))
    return [
        Withdrawal(purpose, tuple(ids)[start : start + MAX_WITHDRAWN])
        for purpose, ids in grants.items()
        for start in range(0, len(ids), MAX_WITHDRAWN)
    ]


def _name(receipt: WipeReceipt) -> tuple[bytes | None, tuple[str, ...], int]:
    return receipt.nonce, receipt.scope, receipt.at_s


def _told_value(told: Told) -> list[Any]:
    match told:
        case Withdrawal():
            return [0, told.purpose, list(told.grants)]
        case EndedStream():
            return [1, told.stream, told.purpose, told.grant, told.rows, told.receipted, told.destroyed]
        case LedgerHead():
            return [2]
        case WipeReceipt():
            return [3, encode_wipe_receipt(told)]
        case Incident():
            return [4, *incident_value(told)]


_WITHDRAWAL: Final = array(uint(), text(64), list_of(octets(16), MAX_WITHDRAWN))
_ENDED: Final = array(uint(), octets(16), text(64), octets(16), uint(), uint(), optional(uint()))


def _told(value: object, where: str) -> Told:
    kind = value[0] if isinstance(value, list) and value else None
    if kind == 0:
        _, purpose, grants = _WITHDRAWAL(value, where)
        return Withdrawal(purpose, grants)
    if kind == 1:
        return EndedStream(*_ENDED(value, where)[1:])
    if kind == 3:
        return decode_wipe_receipt(array(uint(), octets(None, LIMIT))(value, where)[1])
    if kind == 4 and isinstance(value, list):
        return incident_of(value[1:], where)
    return LedgerHead()
