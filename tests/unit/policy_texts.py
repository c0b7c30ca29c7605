"""
One policy with every field type and most transforms, as text to edit, and a writer of TOML for invented ones.
"""

from __future__ import annotations

import json
from typing import Any, Final

from edge_sdk.core.policy import Policy
from edge_sdk.policy_file import load_policy

WHERE: Final = "site-policy.toml"
TEXT: Final = """\
[policy]
name = "example"
version = "1"

[kinds.inverter]
source = "serial"
max_sources = 64
on_invalid = "field"
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 12 }
power = { class = "telemetry", type = "number", unit = "W", min = -100, max = 100000, resolution = 0.1 }
starts = { class = "telemetry", type = "integer", min = 0, max = 1000 }
energy = { class = "telemetry", type = "counter", unit = "Wh", resolution = 1, wraps_at = 65536 }
state = { class = "telemetry", type = "enum", values = ["off", "on", "fault"] }
faults = { class = "telemetry", type = "flags", values = ["hot", "cold"] }
online = { class = "telemetry", type = "bool" }
lan_ip = { class = "network_identifier", type = "ip" }
mac = { class = "network_identifier", type = "mac" }
place = { class = "location", type = "location" }

[purposes.monitoring]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
importance = 10
keep_at_most = "30d"
clauses = ["example.P2"]
[purposes.monitoring.views.inverter]
every = "5min"
[purposes.monitoring.views.inverter.fields]
serial = "keep"
power = { window = "mean", round = 10, clip = [0, 5000] }
energy = { window = "delta", round = 100 }
state = { window = "last" }
lan_ip = { window = "last", truncate_ip = 16 }

[purposes.support]
basis = "consent"
dpv = "dpv:TechnicalServiceProvision"
recipient = "operator-eu"
regions = ["EU", "CH"]
keep_at_most = "14d"
[purposes.support.views.inverter]
send = "now"
[purposes.support.views.inverter.fields]
serial = { pseudonym = "30d" }
power = { band = [100, 1000] }
starts = "keep"
faults = "keep"
online = "keep"
mac = { mask = 8 }
place = { coarsen_location = 1 }
"""

TERMS = """
[terms]
controller = "Example Ltd."
contact = "privacy@example.com"
bases = ["contract", "consent"]
never = ["contact", "credential"]
home = ["EU", "CH"]
transfer = ["scc"]
retention = "365d"
breach_notice = "72h"
answer_within = "30d"
child_below = 16
child_account = "parent"
"""


def edited(old: str, new: str, text: str = TEXT) -> str:
    """Return *text* with its one *old* replaced by *new*."""
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    return text.replace(old, new)


def termed(old: str = "", new: str = "", text: str = TEXT) -> str:
    """Return *text* with the terms above, in which *old* is replaced by *new*."""
    terms = edited(old, new, TERMS) if old else TERMS
    return edited("[kinds.inverter]\n", f"{terms}\n[kinds.inverter]\n", text)


def policy(text: str = TEXT) -> Policy:
    """Return the policy that *text* says."""
    return load_policy(text, where=WHERE)


def toml(document: dict[str, Any]) -> str:
    """Return *document* as TOML: one line for each top-level key, the rest inline."""
    return "\n".join(f"{json.dumps(key)} = {_inline(value)}" for key, value in document.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(entry) for entry in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, str) else str(value)
