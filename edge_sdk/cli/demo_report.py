"""
What the demo prints: what came in, what each purpose received, bytes, and where identifiers were found.

Tables and lines only; nothing is decided here.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edge_sdk.cli import demo_plant as plant
from edge_sdk.cli.demo_canary import CANARIES, keepers
from edge_sdk.cli.demo_rows import Compared, views_of
from edge_sdk.cli.policy import cadence
from edge_sdk.cli.preview import rule_text
from edge_sdk.cli.tables import print_table
from edge_sdk.collector.rows import OpenedRow, json_text
from edge_sdk.core.policy import Policy
from edge_sdk.core.units import DAY_MS
from edge_sdk.sources.replay import Recorded

_NOTHING = "-"


def heading(number: int, text: str) -> None:
    """
    Begin a part of the demo.
    """
    if not sys.stdout.isatty():
        print(f"{number}. {text}", flush=True)
        return
    from rich.console import Console
    from rich.rule import Rule
    from rich.text import Text

    Console().print(Rule(Text(f"{number}. {text}", style="bold"), align="left"))


def show_origin(readings: Sequence[Recorded], policy: Policy) -> None:
    """
    Say what is measured, what is added, and under which policy it goes.
    """
    heading(1, "what comes in")
    days = (readings[-1].at_ms - readings[0].at_ms) / DAY_MS
    print(f"{len(readings)} readings of {plant.INVERTERS} micro-inverters and their gateway over {days:.1f} days,")
    print(f"under the policy {policy.name} {policy.version}, every purpose granted")
    print(f"  measured: {plant.QUARTERS_FILE} ({plant.MEASURED_FIELDS} channels, every 15 min) and")
    print(f"            {plant.MINUTES_FILE} (every minute), from {plant.PACKAGE}:")
    print(f"            what real plants gave, shared out over {plant.INVERTERS} devices")
    print("  added:    serials, addresses, Wi-Fi name, 0.92 to 1.08 times as much for each panel, some alarms;")
    print("            the times are moved by whole days, to end within the last day;")
    print("            the last 100 minutes are kept for parts 4 to 6\n")


def show_fields(readings: Iterable[Recorded], policy: Policy) -> None:
    """
    Print every field that the firmware had, and what each purpose may have of it.
    """
    heading(2, "what leaves")
    example: dict[str, dict[str, Any]] = {}
    for reading in sorted(readings, key=lambda reading: float(reading.fields.get("ac_power", 0))):  # sun last
        example.setdefault(reading.kind, {}).update(reading.fields)
    views = views_of(policy)
    lines, leaving = [], Counter[str]()
    for kind, fields in sorted(example.items()):
        for name, value in fields.items():
            cells = []
            for purpose in policy.purposes:
                view = views.get((purpose, kind))
                found = next((entry for entry in view.fields if entry.field.name == name), None) if view else None
                cells.append(_NOTHING if found is None else rule_text(found))
                leaving[purpose] += found is not None
            lines.append([f"{kind}.{name}", plant.PROVENANCE.get(name, "added"), _text(value), *cells])
    lines.append([f"{len(lines)} fields", "", "", *(f"{leaving[purpose]} fields" for purpose in policy.purposes)])
    print_table("fields the firmware had, fields that leave", ["field", "", "one value", *policy.purposes], lines)
    print()


def show_rows(
    policy: Policy, readings: Iterable[Recorded], compared: Sequence[Compared], opened: Sequence[OpenedRow]
) -> None:
    """
    Print how many readings each purpose was fed, how many rows it received, and one of them.
    """
    fed = Counter(reading.kind for reading in readings)
    views = views_of(policy)
    lines = []
    order = [*views]
    for found in sorted(compared, key=lambda found: order.index(found.place) if found.place in views else len(order)):
        purpose, kind = found.place
        view = views.get(found.place)
        basis = str(policy.purposes[purpose].basis) if purpose in policy.purposes else _NOTHING
        verdict = "DIFFER" if found.missing or found.besides else "equal"
        counts = [str(count) for count in (fed[kind], found.minimised, found.opened)]
        lines.append([purpose, basis, kind, cadence(view) if view else _NOTHING, *counts, verdict])
    headings = ["purpose", "basis", "kind", "", "readings fed", "rows minimised", "rows opened", "by value"]
    print_table("what each purpose received", headings, lines)
    for place in views:
        told = [_held(row) for row in opened if (row.purpose, row.kind) == place and not row.partial]
        if told:
            print(f"  one row for {', '.join(place)}: {max(told, key=len)}")
    print()


def show_bytes(amounts: Mapping[str, int], readings: int) -> None:
    """
    Print byte counts, and each by reading.
    """
    heading(3, "what others could see")
    lines = [[what, f"{amount:,}", f"{amount / readings:.1f}"] for what, amount in amounts.items()]
    print_table("bytes", ["", "bytes", "per reading"], lines)
    print()


def show_search(policy: Policy, hits: Mapping[str, Counter[str]], opened: Counter[str]) -> None:
    """
    Print where each identifier was found.
    """
    lines = []
    for canary in CANARIES:
        kept = ", ".join(keepers(policy, canary.field)) or "no purpose"
        found = [str(counted[canary.field]) for counted in hits.values()]
        lines.append([canary.field, str(len(canary.values)), *found, str(opened[canary.field]), kept])
    print_table("raw identifiers found", ["field", "values", *hits, "opened rows", "kept by"], lines)
    print("  each as text, UTF-16, hex, base64, packed decimal or address bytes, reversed, MD5, SHA-1, SHA-256\n")


def _held(row: OpenedRow) -> str:
    return json_text({name: value for name, value in row.fields.items() if value is not None})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)
