"""
``edge-sdk preview``: what each purpose would get of given readings, or of any, by a policy.

Readings come on standard input as JSON Lines, ``{"kind": ..., "at_ms": ..., "fields": {...}}``, and go
through the same entry as on a device, as if every purpose had its grant. Nothing is stored or sent; there is
no configuration. Pseudonyms are made with keys drawn for this one run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from edge_sdk.cli import preview_frame
from edge_sdk.cli.policy import cadence
from edge_sdk.cli.tables import print_table
from edge_sdk.clock import Clock
from edge_sdk.collector.rows import OpenedRow, batch_rows, json_text
from edge_sdk.core.batch import Batch
from edge_sdk.core.compile import Outlet, make_outlet
from edge_sdk.core.consent import Account, CollectGrant, Status, decide
from edge_sdk.core.documents.statement import Grant, Statement
from edge_sdk.core.keys import PseudonymKey
from edge_sdk.core.policy import (
    Kind,
    Policy,
    Purpose,
    TextRule,
    View,
    ViewField,
    purpose_digest,
)
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.units import format_duration
from edge_sdk.errors import BadInput, ConfigError
from edge_sdk.policy_file import PROFILES, find_policy
from edge_sdk.recording import Recording
from edge_sdk.sources.replay import BadLine, Recorded, read_jsonl

MAX_READINGS = 100_000
_SHOWN = 40  # characters of one value
_LACKING = "-"


@dataclass(slots=True)
class _Outcome:
    """
    What some readings became: rows by purpose and kind, and what was dropped.
    """

    rows: dict[tuple[str, str], list[OpenedRow]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    preview = commands.add_parser(
        "preview",
        help="show what every purpose would get, field by field",
        description="Show what every purpose would get of the readings on standard input (JSON Lines), or, "
        "when there are none, what the policy does with any. Readings are shown as they are.",
    )
    which = f"a policy file, or the name of a profile ({', '.join(PROFILES)})"
    preview.add_argument("policy", metavar="FILE|NAME", nargs="?", help=which)
    preview.add_argument("--profile", metavar="FILE|NAME", help="the same, by name")
    preview.add_argument(
        "--frame", metavar="FRAME",
        help="an upload of an APsystems ECU (APS18...END, or - for standard input) instead of readings: also sends "
        "what it says, on loopback, and shows what an observer learns from either",
    )  # fmt: skip
    preview.add_argument("--folder", default=".preview", help="of what --frame makes and removes (default: .preview)")
    preview.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Show the plan of a policy, or what becomes of the readings on standard input.

    Raises:
        ConfigError: when the policy is wrong, or none or two are named.
        BadInput: when a line is no reading, or the frame none.
    """
    name = _policy_named(arguments)
    policy = find_policy(name)
    if arguments.frame is not None:
        upload = preview_frame.read_frame(arguments.frame)
        _show_readings(policy, preview_frame.readings_of(upload))
        return preview_frame.run(policy, name, upload, Path(arguments.folder))
    readings = [] if sys.stdin.isatty() else _readings()
    if readings:
        _show_readings(policy, readings)
        return 0
    for kind in policy.kinds.values():
        _show_plan(policy, kind)
    return 0


def _policy_named(arguments: argparse.Namespace) -> str:
    if (arguments.policy is None) == (arguments.profile is None):
        raise ConfigError("preview takes one policy", hint="edge-sdk preview NAME, or --profile NAME")
    name: str = arguments.policy or arguments.profile
    return name


def _show_readings(policy: Policy, readings: Sequence[Recorded]) -> None:
    outcome = _minimise(policy, readings)
    for kind in policy.kinds.values():
        of_kind = [reading for reading in readings if reading.kind == kind.name]
        if of_kind:
            _show_kind(policy, kind, of_kind)
    _show_rows(policy, outcome)


def _readings() -> list[Recorded]:
    readings = []
    for item in read_jsonl(sys.stdin.buffer):
        if isinstance(item, BadLine):
            hint = 'a line is {"kind": "inverter", "at_ms": 1760000000000, "fields": {...}}'
            raise BadInput(f"standard input, line {item.number}: {item.why}", hint=hint)
        readings.append(item)
        if len(readings) > MAX_READINGS:
            raise BadInput(f"standard input: more than {MAX_READINGS} readings", hint="give a shorter piece")
    return readings


def _show_plan(policy: Policy, kind: Kind) -> None:
    views = _views_of(policy, kind)
    headings = ["field", "type", *(f"{purpose.name} ({cadence(view)})" for purpose, view in views)]
    rows = []
    for declared in kind.fields:
        planned = (_find(view, declared.name) for _, view in views)
        cells = (_LACKING if found is None else rule_text(found) for found in planned)
        rows.append([declared.name, f"{declared.type} {declared.unit}".strip(), *cells])
    heading = f"{kind.name}, told apart by {kind.source}"
    print_table(heading if views else f"{heading}: no purpose has any of it", headings, rows)


def _show_kind(policy: Policy, kind: Kind, readings: Sequence[Recorded]) -> None:
    # One source's rows, so that what was read and what each purpose got of it stand side by side.
    source = readings[-1].fields.get(kind.source)
    of_source = [reading for reading in readings if reading.fields.get(kind.source) == source]
    rows = _minimise(policy, of_source).rows
    views = _views_of(policy, kind)
    headings = ["field", "as read", *(f"{purpose.name} ({cadence(view)})" for purpose, view in views)]
    lines = []
    for name in _names(kind, of_source):
        got = [_cell(rows.get((purpose.name, kind.name), []), _find(view, name)) for purpose, view in views]
        lines.append([name, _last_read(of_source, name), *got])
    print_table(f"{kind.name}, last row of one {kind.source} ({len(of_source)} readings)", headings, lines)


def _names(kind: Kind, readings: Sequence[Recorded]) -> list[str]:
    declared = [declared.name for declared in kind.fields]
    read = {name for reading in readings for name in reading.fields}
    return [name for name in declared if name in read] + sorted(read.difference(declared))


def _last_read(readings: Sequence[Recorded], name: str) -> str:
    values = [reading.fields[name] for reading in readings if reading.fields.get(name) is not None]
    return (
        _short(values[-1] if isinstance(values[-1], str) else json_text(values[-1])) if values else _LACKING
    )


def _cell(rows: Sequence[OpenedRow], view_field: ViewField | None) -> str:
    if view_field is None:
        return _LACKING
    if not rows:
        return "no row"
    value = rows[-1].fields[view_field.field.name]
    if value is None:
        return "empty"
    return _short(value if isinstance(value, str) else json_text(value))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _show_rows(policy: Policy, outcome: _Outcome) -> None:
    lines = []
    for purpose in policy.purposes.values():
        for view in purpose.views:
            rows = outcome.rows.get((purpose.name, view.kind.name), [])
            partial = sum(row.partial for row in rows)
            lines.append([purpose.name, view.kind.name, cadence(view), str(len(rows)), str(partial)])
    print_table("rows that would leave", ["purpose", "kind", "", "rows", "of them partial"], lines)
    for name, count in sorted(outcome.counts.items()):
        print(f"dropped: {name.replace('_', ' ')} {count}")


def _minimise(policy: Policy, readings: Sequence[Recorded]) -> _Outcome:
    outlets = []
    for purpose in policy.purposes.values():
        key = PseudonymKey(os.urandom(32))
        for at, view in enumerate(purpose.views):
            outlets.append((purpose, at, make_outlet(view, names=_pseudonyms(view, key))))
    recording = Recording(room=len(readings) + 1, wake_after=len(readings) + 1, wake=lambda: None)
    recording.bind(policy, [(outlet, as_if_granted(purpose)) for purpose, _, outlet in outlets])
    now_ms = Clock().now().wall_ms
    recording.harvest(now_ms, held_rows=0)
    for reading in readings:
        recording.record(reading.kind, reading.fields, reading.at_ms)
    recording.harvest(now_ms, held_rows=0)
    outcome = _Outcome(counts=recording.counts)
    for purpose, at, outlet in outlets:
        outcome.rows[purpose.name, outlet.view.kind.name] = _opened(purpose, at, outlet)
        outcome.counts["late"] += 0 if outlet.windows is None else outlet.windows.late
    outcome.counts += Counter()  # leaves out what is 0
    del outcome.counts["recorded"]
    return outcome


def _opened(purpose: Purpose, at: int, outlet: Outlet) -> list[OpenedRow]:
    if outlet.windows is not None:
        outlet.windows.cut()
    batch = Batch(
        stream_id=bytes(16),
        first=0,
        last=len(outlet.rows) - 1,
        digest=purpose_digest(purpose),
        stream_key=bytes(32),
        tables={at: outlet.rows},
    )
    return list(batch_rows(batch, purpose))


def as_if_granted(purpose: Purpose) -> CollectGrant:
    """
    Return what ``decide`` gives for *purpose* once it is granted, which a preview supposes.
    """
    digest = purpose_digest(purpose)
    grant = Grant(bytes(16), purpose.name, purpose.basis, Status.GIVEN, (digest,), (bytes(8),), 0)
    statement = Statement(bytes(16), bytes(16), 1, 0, 0, 1, Account.ACTIVE, (grant,))
    decision = decide(
        purpose=purpose.name,
        basis=purpose.basis,
        digest=digest,
        statement=statement,
        fresh=True,
        denied=(),
        now_s=0,
    )
    assert decision.collect is not None
    return decision.collect


def _pseudonyms(view: View, key: PseudonymKey) -> Mapping[str, Pseudonyms]:
    names = [entry.field.name for entry in view.fields if entry.text is TextRule.PSEUDONYM]
    return {name: Pseudonyms(key, name) for name in names}


def _views_of(policy: Policy, kind: Kind) -> list[tuple[Purpose, View]]:
    return [
        (purpose, view)
        for purpose in policy.purposes.values()
        for view in purpose.views
        if view.kind.name == kind.name
    ]


def _find(view: View, name: str) -> ViewField | None:
    return next((entry for entry in view.fields if entry.field.name == name), None)


def rule_text(view_field: ViewField) -> str:
    """
    Return in words what a view does with one field.
    """
    step, unit = view_field.field.step, view_field.field.unit
    parts = [] if view_field.window is None else [view_field.window.value]
    if view_field.clip is not None:
        low, high = (_plain(step.decimal(end)) for end in view_field.clip)
        parts.append(f"clipped to {low} .. {high} {unit}".rstrip())
    if view_field.band:
        edges = " | ".join(_plain(step.decimal(edge)) for edge in view_field.band)
        parts.append(f"band {edges} {unit}".rstrip())
    if view_field.factor != 1:
        parts.append(f"to {_plain(step.decimal(view_field.factor))} {unit}".rstrip())
    if view_field.text is TextRule.PSEUDONYM:
        parts.append(f"pseudonym for {format_duration(view_field.amount)}")
    elif view_field.text is not None and view_field.text is not TextRule.KEEP:
        parts.append(_TEXT_WORDS[view_field.text].format(view_field.amount))
    return ", ".join(parts) or "kept"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


_TEXT_WORDS: Final[Mapping[TextRule, str]] = {
    TextRule.MASK: "masked after {} characters",
    TextRule.TRUNCATE_TEXT: "first {} characters",
    TextRule.TRUNCATE_IP: "first {} bits",
    TextRule.COARSEN_LOCATION: "{} decimals",
}
