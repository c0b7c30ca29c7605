"""
Everything the device can still read about its household, for the household (GDPR Art. 15 and 20, Data Act Art. 4).

Opens vault, key page and outbox as they lie on disk, beside a running gateway or without one: no lock, nothing
written, nothing sent. What was sealed stays sealed: of that it tells how much, since when, and whose key opens it.
Raw identifiers are here only where a view keeps them, because nowhere else are they stored. Keys are never in what it
returns, and what only memory knows (rows since the last flush) is not.

    windows    open windows in exact values

Neighbours: streams and stream_record read what they wrote; the command line makes words and files of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_sdk import files
from edge_sdk.clock import Clock
from edge_sdk.config import Config
from edge_sdk.consent_record import Told
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.batch import Gap
from edge_sdk.core.compile import Outlet
from edge_sdk.core.describe import Known
from edge_sdk.core.envelope import outer
from edge_sdk.core.incidents import Incident
from edge_sdk.core.policy import Policy, Purpose, View, purpose_digest
from edge_sdk.core.table import Row
from edge_sdk.core.windows import WindowSet
from edge_sdk.errors import BadInput, ConfigError, StorageError
from edge_sdk.keypage import KeyPage
from edge_sdk.keystore import FileKeyStore
from edge_sdk.ledger import Entry, read_ledger
from edge_sdk.marks import stored_counts
from edge_sdk.order import Held, StreamRow
from edge_sdk.outbox import Outbox
from edge_sdk.policy_file import load_policy, policy_text
from edge_sdk.rights.windows import OpenSource, open_sources
from edge_sdk.sealing import Rooms, unseal_body
from edge_sdk.stream_record import Record, open_record
from edge_sdk.streams import Stream
from edge_sdk.suites import suite_of
from edge_sdk.vault import Keyring, Lane, PurposeEntry, Vault, read_lane

TRIES = 3  # a look that falls between a gateway's writes to two files is taken again


@dataclass(frozen=True, slots=True)
class Sealed:
    """
    One batch that this device cannot open: its rows, its size, and whose key can, where that is still told.

    ``aside`` says why it was taken out of the line, empty while it waits to be sent; times are of the floor.
    """

    first: int
    last: int
    size: int
    since_ms: int | None
    kid: bytes | None
    aside: str = ""


@dataclass(frozen=True, slots=True)
class StreamHeld:
    """
    What is held of one stream. ``edition`` is None where no policy here has its purpose any more.

    ``stored_rows`` are not sealed yet; ``rows`` has them by view, less what is damaged.
    """

    record: Record
    gaps: tuple[Gap, ...]
    edition: Purpose | None
    stored_rows: int
    rows: Mapping[int, Sequence[Row]] = field(repr=False)
    sources: tuple[OpenSource, ...]
    batches: tuple[Sealed, ...]
    is_damaged: bool


@dataclass(frozen=True, slots=True)
class Holdings:
    """
    Everything that one site can still read about its household, but its keys.

    ``policies`` are texts, the one in force last. ``pseudonyms`` are period numbers by purpose. ``lost_streams`` are
    stored and open with no key that is here.
    """

    config: Config
    at_ms: int
    generation: bytes
    root_version: int
    policies: tuple[str, ...]
    policy: Policy
    known: Known
    to_tell: tuple[Told, ...]
    incidents: tuple[Incident, ...]
    streams: tuple[StreamHeld, ...]
    lost_streams: int
    pseudonyms: Mapping[str, int]
    ledger: tuple[Entry, ...]
    ledger_problem: str
    counts: Mapping[str, int]


def known_to(config: Config) -> tuple[Policy, Known]:
    """
    Return the policy in force at the site of *config* and what the site holds beside it.

    Raises:
        NotProvisioned: when the site is not enrolled, or was wiped.
        ConfigError: when it was never started and its policy is wrong.
    """
    vault = _vault(config)
    consent = _consent(config, vault)
    return _policies(config, consent)[-1], _known(config, consent)


def holdings(config: Config) -> Holdings:
    """
    Return what the site of *config* can read about its household, as of its last flush.

    Raises:
        NotProvisioned: when the site is not enrolled, or was wiped.
        StorageError: when a file cannot be read.
    """
    for _ in range(TRIES - 1):
        with contextlib.suppress(StorageError):
            found = _look(config)
            if not found.lost_streams and not any(stream.is_damaged for stream in found.streams):
                return found
    return _look(config)


def _look(config: Config) -> Holdings:
    vault = _vault(config)
    consent = _consent(config, vault)
    policies = _policies(config, consent)
    streams, lost, counts = _outbox(config, vault, policies)
    ring = vault.ring
    entries, problem = _ledger(config.folder, ring)
    known = _known(config, consent)
    return Holdings(
        config=config,
        at_ms=known.now_s * 1000,
        generation=ring.generation.id,
        root_version=consent.root.version,
        policies=tuple(consent.held.policies),
        policy=policies[-1],
        known=known,
        to_tell=tuple(consent.held.to_tell),
        incidents=tuple(consent.held.incidents),
        streams=streams,
        lost_streams=lost,
        pseudonyms={purpose: period for purpose, (period, _) in ring.pseudonyms.items()},
        ledger=entries,
        ledger_problem=problem,
        counts=counts,
    )


def _outbox(
    config: Config, vault: Vault, policies: list[Policy]
) -> tuple[tuple[StreamHeld, ...], int, dict[str, int]]:
    """
    Return the streams that can be read, how many cannot, and what was counted.
    """
    if not files.exists(config.folder / "outbox.db"):
        return (), 0, {}  # enrolled and never started
    page = KeyPage(config.folder, read_only=True)
    outbox = Outbox(config.folder, read_only=True)
    try:
        # A key is on the page before its rows are in the outbox, and leaves it after them: with one look at the page
        # before and one after, no row of this moment is without its key.
        page.entries |= KeyPage(config.folder, read_only=True).entries
        alone = contextlib.nullcontext()
        rooms = Rooms(vault, outbox, page, _no_draw, suite_of(config), boot_id=b"", record_lock=alone)
        editions = {purpose_digest(purpose): purpose for policy in policies for purpose in policy.purposes.values()}
        stored = outbox.streams()
        streams = tuple(held for row in stored if (held := _stream(row, rooms, editions)) is not None)
        return streams, len(stored) - len(streams), stored_counts(outbox.numbers())
    finally:
        outbox.close()


def _stream(row: StreamRow, rooms: Rooms, editions: Mapping[bytes, Purpose]) -> StreamHeld | None:
    entry = rooms.vault.ring.purposes.get(row.ref)
    if entry is None:
        return None
    try:
        record = open_record(entry, row.record)
    except BadInput:
        return None
    gaps = tuple(gap for _, gap in record.gaps)
    stream = Stream(row.id, entry, record, editions.get(record.digest))
    if stream.purpose is not None:
        stream.outlets = [_outlet(view) for view in stream.purpose.views]
    stream.reload(rooms, 0)  # as after a start; what cannot be read it would tell as a gap, in memory only
    return StreamHeld(
        record=record,
        gaps=gaps,
        edition=stream.purpose,
        stored_rows=rooms.outbox.pending_rows(row.id),
        rows=stream.rows,
        sources=tuple(source for outlet in stream.outlets for source in _sources(outlet)),
        batches=(*_queued(row.id, entry, rooms.outbox), *_aside(row.id, rooms.outbox)),
        is_damaged=stream.changed,
    )


def _outlet(view: View) -> Outlet:
    """
    Return an outlet that only holds: no reading is ever recorded into it, so it needs no pseudonyms.
    """
    outlet = Outlet(view, [])
    if view.every_ms is not None:
        texts = {field.field.name: str for field in view.fields if field.is_text and field.window is not None}
        outlet.windows = WindowSet(view, emit=outlet.rows.append, show=texts)
    return outlet


def _sources(outlet: Outlet) -> tuple[OpenSource, ...]:
    return () if outlet.windows is None else open_sources(outlet.view, outlet.windows.snapshot(str.encode))


def _queued(row: int, entry: PurposeEntry, outbox: Outbox) -> list[Sealed]:
    queue = outbox.queues.get(row, {}).values()
    return [
        Sealed(held.first, held.last, held.size, held.kept_ms, _kid(entry, held, outbox)) for held in queue
    ]


def _kid(entry: PurposeEntry, held: Held, outbox: Outbox) -> bytes | None:
    """
    Return the name of the key that a sealed batch says opens it; None when its bytes are damaged.
    """
    try:
        return outer(unseal_body(entry, held, outbox.sealed_body(held))).kid
    except (BadInput, StorageError):
        return None


def _aside(row: int, outbox: Outbox) -> list[Sealed]:
    return [
        Sealed(first, last, size, None, None, reason)
        for _, stream, first, last, reason, size in outbox.aside()
        if stream == row
    ]


def _ledger(folder: Path, ring: Keyring) -> tuple[tuple[Entry, ...], str]:
    entries: list[Entry] = []
    try:
        for entry in read_ledger(folder, ring.ledger):
            entries.append(entry)  # what comes before a damaged entry is kept
    except (BadInput, StorageError) as error:
        return tuple(entries), str(error)
    return tuple(entries), ""


def _vault(config: Config) -> Vault:
    for _ in range(TRIES - 1):
        with contextlib.suppress(StorageError):  # the root key was being replaced
            return Vault.open(config.folder, FileKeyStore(config.folder), draw=_no_draw, finish=False)
    return Vault.open(config.folder, FileKeyStore(config.folder), draw=_no_draw, finish=False)


def _consent(config: Config, vault: Vault) -> ConsentState:
    return ConsentState(read_lane(config.folder), vault, alg=suite_of(config), write=_no_write)


def _known(config: Config, consent: ConsentState) -> Known:
    now = Clock(consent.floor_ms()).now()
    return Known(consent.statement, tuple(consent.held.denied), consent.recipients, now.wall_s, config.name)


def _policies(config: Config, consent: ConsentState) -> list[Policy]:
    """
    Return the policies this site has had, the one in force last; before its first start the one of its file.
    """
    policies = []
    for text in consent.held.policies:
        with contextlib.suppress(ConfigError):  # another release took it: its rows cannot be told apart here
            policies.append(load_policy(text, where="a policy in force before"))
    return policies or [load_policy(policy_text(config.policy), where=Path(config.policy).name)]


def _no_write(_: Lane) -> None:
    raise RuntimeError("a reader beside a gateway writes nothing")


def _no_draw(_: int) -> bytes:
    raise RuntimeError("a reader beside a gateway draws nothing")
