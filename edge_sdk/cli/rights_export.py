"""
What a device can still read about its household, as files: one JSON document, or CSV tables with a text beside.

Owns the shape of both (docs/owner.md). Values are exact decimals, in the form the recipient would get; instants are
Unix milliseconds, with the UTC time beside them where a person looks first. Reads nothing: ``edge_sdk.rights`` did.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from edge_sdk.collector.rows import batch_rows, json_text
from edge_sdk.core.batch import Batch
from edge_sdk.core.consent import DPV
from edge_sdk.core.describe import key_words
from edge_sdk.core.documents.statement import Grant
from edge_sdk.core.incidents import Incident
from edge_sdk.core.messages import EndedStream, Withdrawal
from edge_sdk.core.policy import Basis
from edge_sdk.core.receipt import WipeReceipt
from edge_sdk.core.spoken import counted, length_words
from edge_sdk.rights import Holdings, Sealed, StreamHeld

FORMAT: Final = 1
Record = dict[str, Any]


def json_file(found: Holdings) -> str:
    """
    Return everything as one JSON document.
    """
    document: Record = {
        "format": FORMAT,
        "about": list(about(found)),
        "at_ms": found.at_ms,
        "site": _site(found),
        **_tables(found),
        "counts": dict(sorted(found.counts.items())),
        "policies": list(found.policies),
    }
    return _pretty(document, "") + "\n"


def csv_files(found: Holdings) -> dict[str, str]:
    """
    Return everything as text by file name: a table a file, and what is no table as ``about.txt`` and the policies.
    """
    counts = [{"event": name, "count": count} for name, count in sorted(found.counts.items())]
    tables = {**_tables(found), "counts": counts}
    empty = [name.replace("_", " ") for name, records in tables.items() if not records]
    nothing = [f"There is nothing of these: {', '.join(empty)}."] if empty else []
    site = "".join(f"{name}: {'-' if value is None else value}\n" for name, value in _site(found).items())
    return {
        "about.txt": "\n\n".join([*about(found), *nothing, site]),
        **{f"{name}.csv": _csv(records) for name, records in tables.items() if records},
        **{f"policy_{number}.toml": text for number, text in enumerate(found.policies, start=1)},
    }


def about(found: Holdings) -> Iterator[str]:
    """
    Yield in words what this is, what is not in it, and who has that.
    """
    yield (
        f"This is everything that the device of site {found.config.name} could read about the household on "
        f"{_utc(found.at_ms)}. It is in clear: keep it as you would keep the readings, and delete it when you are done."
    )
    yield (
        "It names devices only as the purposes do that have the rows; the device stores no other copy of an "
        f"identifier. What was read in the last {length_words(found.config.limits.flush_every_ms)} and not stored yet "
        "is not here. Keys are not here: they would open what others are meant to be unable to open."
    )
    yield from _unreadable(found)
    yield from _damage(found)
    yield (
        "What was sent before is no longer on this device. Ask for it where it went: "
        + "; ".join(f"{name}: {purpose.recipient}" for name, purpose in found.policy.purposes.items())
        + "."
    )


def _unreadable(found: Holdings) -> Iterator[str]:
    """
    Yield what is sealed: how much of which purpose, and who can read it.
    """
    keys = {} if found.known.recipients is None else {key.kid: key for key in found.known.recipients.keys}
    sealed = [(stream.record.purpose, batch) for stream in found.streams for batch in stream.batches]
    if not sealed:
        yield "Nothing here is sealed: there is nothing that this device holds and cannot read."
    ordered = sorted(sealed, key=lambda pair: (pair[0], pair[1].kid or b""))
    for (purpose, kid), group in groupby(ordered, key=lambda pair: (pair[0], pair[1].kid)):
        batches = [batch for _, batch in group]
        rows = sum(map(_rows_of, batches))
        who = "a key that it no longer tells" if kid is None else f"the key {kid.hex()}"
        if kid in keys:
            who = f"the key {key_words(keys[kid])}"
        operator = keys[kid].operator if kid in keys else _recipient(found, purpose)
        yield (
            f"This device cannot read {counted(len(batches), 'batch')} of {counted(rows, 'row')} for {purpose}, "
            f"{sum(batch.size for batch in batches)} bytes: packed for {who}. Only {operator} can; ask there."
        )


def _damage(found: Holdings) -> Iterator[str]:
    if found.lost_streams:
        yield f"{counted(found.lost_streams, 'stream')} could not be opened: damaged, or the key is destroyed."
    for stream in found.streams:
        name = stream.record.purpose
        if stream.edition is None and stream.stored_rows:
            rows = counted(stream.stored_rows, "row")
            yield f"{rows} for {name} could not be told apart: no policy here has that edition of the purpose."
        if stream.is_damaged:
            yield f"Some of what waits for {name} is damaged and could not be read."
    if found.ledger_problem:
        yield f"The ledger could be read in part only: {found.ledger_problem}."


def _recipient(found: Holdings, purpose: str) -> str:
    held = found.policy.purposes.get(purpose)
    return "its recipient" if held is None else held.recipient


def _site(found: Holdings) -> Record:
    statement = found.known.statement
    return {
        "name": found.config.name,
        "generation": found.generation.hex(),
        "collector": found.config.address,
        "root_version": found.root_version,
        "policy": found.policy.name,
        "policy_version": found.policy.version,
        "statement_version": None if statement is None else statement.version,
        "statement_issued": None if statement is None else _utc(statement.iat_s * 1000),
        "statement_expires": None if statement is None else _utc(statement.exp_s * 1000),
        "account": None if statement is None else statement.account,
    }


def _tables(found: Holdings) -> dict[str, list[Record]]:
    denials = found.known.denied
    return {
        "rows": [record for stream in found.streams for record in _pending(stream)],
        "open_windows": [record for stream in found.streams for record in _windows(stream)],
        "sealed": [record for stream in found.streams for record in _sealed(found, stream)],
        "streams": [_stream(stream) for stream in found.streams],
        "gaps": [record for stream in found.streams for record in _gaps(stream)],
        "grants": _grants(found),
        "withdrawn_here": [{"grant": denied.hex(), "purpose": _purpose_of(found, denied)} for denied in denials],
        "still_to_tell": [_told(told) for told in found.to_tell],
        "incidents": [_incident(incident) for incident in found.incidents],
        "recipients": _recipients(found),
        "pseudonyms": [_pseudonym(found, *held) for held in sorted(found.pseudonyms.items())],
        "ledger": _ledger(found),
    }


def _pending(stream: StreamHeld) -> Iterator[Record]:
    """
    Yield the rows that are not sealed yet, as their recipient would get them.
    """
    if stream.edition is None:
        return
    record = stream.record
    last = record.next_seq + sum(map(len, stream.rows.values())) - 1
    batch = Batch(record.stream_id, record.next_seq, last, record.digest, bytes(32), tables=stream.rows)
    for row in batch_rows(batch, stream.edition):
        window = {"readings": row.count, "partial": row.partial, "length_ms": row.length_ms}
        yield {
            "purpose": row.purpose,
            "kind": row.kind,
            "at_ms": row.at_ms,
            "at": _utc(row.at_ms),
            **(window if row.count is not None else {}),
            "fields": row.fields,
        }


def _windows(stream: StreamHeld) -> Iterator[Record]:
    for source in stream.sources:
        shared = {"purpose": stream.record.purpose, "kind": source.kind, "told_apart_by": source.tag.hex()}
        for window in source.windows:
            yield {
                **shared,
                "source": window.source,
                "start_ms": window.start_ms,
                "end_ms": window.end_ms,
                "readings": window.readings,
                "fields": window.fields,
            }
        if source.goes_on_from:
            yield {**shared, "end_ms": source.closed_until_ms, "goes_on_from": source.goes_on_from}


def _sealed(found: Holdings, stream: StreamHeld) -> Iterator[Record]:
    keys = {} if found.known.recipients is None else {key.kid: key for key in found.known.recipients.keys}
    for batch in stream.batches:
        key = None if batch.kid is None else keys.get(batch.kid)
        yield {
            "purpose": stream.record.purpose,
            "rows": _rows_of(batch),
            "first": batch.first,
            "last": batch.last,
            "bytes": batch.size,
            "since_ms": batch.since_ms,
            "waited_ms": None if batch.since_ms is None else max(0, found.at_ms - batch.since_ms),
            "set_aside": batch.aside or None,
            "key": None if batch.kid is None else batch.kid.hex(),
            "operator": _recipient(found, stream.record.purpose) if key is None else key.operator,
            "region": None if key is None else key.region,
        }


def _rows_of(batch: Sealed) -> int:
    return batch.last - batch.first + 1


def _stream(stream: StreamHeld) -> Record:
    record = stream.record
    return {
        "purpose": record.purpose,
        "stream": record.stream_id.hex(),
        "grant": record.grant_id.hex(),
        "pseudonym_period": record.period,
        "edition": record.digest.hex(),
        "rows_sealed_so_far": record.next_seq,
        "rows_waiting": stream.stored_rows,
        "ended": record.ended,
    }


def _gaps(stream: StreamHeld) -> Iterator[Record]:
    for gap in stream.gaps:
        span = {"first": gap.first, "last": gap.last, "count": gap.count}
        yield {"purpose": stream.record.purpose, **span, "reason": gap.reason.name.lower()}


def _grants(found: Holdings) -> list[Record]:
    statement = found.known.statement
    return [] if statement is None else [_grant(grant) for grant in statement.grants]


def _grant(grant: Grant) -> Record:
    return {
        "grant": grant.id.hex(),
        "purpose": grant.purpose,
        "basis": grant.basis,
        "status": grant.status,
        "dpv": _term(grant),
        "since": _utc(grant.since_s * 1000),
        "editions": [digest.hex() for digest in grant.digests],
        "keys": [kid.hex() for kid in grant.recipients],
    }


def _term(grant: Grant) -> str | None:
    """
    Return what DPV calls the grant's status; its words for consent are not used for another basis.
    """
    term = {str(status): term for status, term in DPV.items()}.get(grant.status)
    return None if term is None or (term.startswith("dpv:Consent") and grant.basis != Basis.CONSENT) else term


def _purpose_of(found: Holdings, grant_id: bytes) -> str | None:
    grants = () if found.known.statement is None else found.known.statement.grants
    return next((grant.purpose for grant in grants if grant.id == grant_id), None)


def _told(told: object) -> Record:
    match told:
        case Withdrawal():
            return {"what": "withdrawal", "purpose": told.purpose, "grants": [grant.hex() for grant in told.grants]}
        case EndedStream():
            rows = {"rows": told.rows, "receipted": told.receipted, "destroyed": told.destroyed}
            return {"what": "ended stream", "purpose": told.purpose, "stream": told.stream.hex(), **rows}
        case Incident():
            return {"what": "incident", **_incident(told)}
        case WipeReceipt():
            return {"what": "erasure", "purposes": list(told.scope), "at": _utc(told.at_s * 1000)}
        case _:
            return {"what": "ledger head"}


def _incident(incident: Incident) -> Record:
    return {
        "kind": incident.kind,
        "of": incident.what,
        "first": _utc(incident.first_s * 1000),
        "last": _utc(incident.last_s * 1000),
        "times": incident.count,
        "at_the_earliest": incident.from_floor,
    }


def _recipients(found: Holdings) -> list[Record]:
    keys = () if found.known.recipients is None else found.known.recipients.keys
    return [
        {
            "key": key.kid.hex(),
            "operator": key.operator,
            "region": key.region,
            "mechanism": key.mechanism,
            "from": _utc(key.nbf_s * 1000),
            "until": _utc(key.exp_s * 1000),
        }
        for key in keys
    ]


def _pseudonym(found: Holdings, name: str, period: int) -> Record:
    purpose = found.policy.purposes.get(name)
    length = None if purpose is None else purpose.period_ms
    span = {} if length is None else {"from": _utc(period * length), "until": _utc((period + 1) * length)}
    return {"purpose": name, "period": period, **span}


def _ledger(found: Holdings) -> list[Record]:
    return [
        {
            "number": entry.number,
            "at": _utc(entry.at_s * 1000) if entry.at_s else None,
            "what": entry.happened.name.lower(),
            "purpose": entry.purpose,
            "counts": list(entry.counts),
        }
        for entry in found.ledger
    ]


def _utc(at_ms: int) -> str:
    return f"{datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _pretty(value: Any, indent: str) -> str:
    """
    Return JSON, the two outer levels with a line for each entry; numbers keep exactly their digits.
    """
    if len(indent) > 1 or not value or not isinstance(value, dict | list):
        return json_text(value)
    deeper = indent + " "
    if isinstance(value, dict):
        entries = [f"{deeper}{json_text(name)}: {_pretty(entry, deeper)}" for name, entry in value.items()]
        return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
    return "[\n" + ",\n".join(f"{deeper}{_pretty(entry, deeper)}" for entry in value) + f"\n{indent}]"


def _csv(records: Iterable[Mapping[str, Any]]) -> str:
    """
    Return a table: a column for each name that a record has, ``fields.power`` for names within names.
    """
    flat = [dict(_flat(record, "")) for record in records]
    columns = list(dict.fromkeys(name for record in flat for name in record))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(record.get(name)) for name in columns] for record in flat)
    return text.getvalue()


def _flat(record: Mapping[str, Any], lead: str) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{lead}{name}.")
        else:
            yield lead + name, value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)
