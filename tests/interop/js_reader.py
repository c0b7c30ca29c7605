"""
The JavaScript reader, written from SPEC.md alone, against this implementation: the same verdict on every vector, and
the same rows from what a gateway sent to a collector.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from edge_sdk import Gateway
from edge_sdk.clock import wall_s
from edge_sdk.collector.intake import Box
from edge_sdk.collector.keyring import Places, read_recipients
from edge_sdk.collector.purposes import encode_purpose
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core.policy import purpose_digest
from edge_sdk.policy_file import load_policy
from edge_sdk.suites import SUITES
from tests import site as sites
from tests.interop import peers
from tests.site import LocalSite
from tests.vectors.rows import told
from tests.vectors.vector import FOLDER, read

MINUTE_MS: Final = 60_000
READINGS: Final = 180  # one a minute: windows of five minutes and of an hour close among them
POLICY: Final = """
[policy]
name = "interop"
version = "1"

[kinds.inverter]
source = "serial"
max_sources = 4
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 16 }
power = { class = "telemetry", type = "number", unit = "W", min = -1000, max = 10000, resolution = 0.1 }
heat = { class = "telemetry", type = "number", unit = "C", min = -40, max = 120, resolution = 0.5 }
energy = { class = "telemetry", type = "counter", unit = "Wh" }
state = { class = "telemetry", type = "enum", values = ["off", "starting", "on"] }
faults = { class = "telemetry", type = "flags", values = ["grid", "dc", "heat"] }
online = { class = "telemetry", type = "bool" }
note = { class = "text", type = "text", max_length = 32 }
address = { class = "network_identifier", type = "ip" }
place = { class = "location", type = "location" }

[purposes.monitoring]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
importance = 10
keep_at_most = "30d"
[purposes.monitoring.views.inverter.fields]
serial = "keep"
power = { round = 0.1 }
heat = { band = [0, 25, 60] }
energy = "keep"
state = "keep"
faults = "keep"
online = "keep"
note = { mask = 2 }
address = { truncate_ip = 24 }
place = { coarsen_location = 1 }

[purposes.improvement]
basis = "consent"
dpv = "dpv:ServiceOptimisation"
recipient = "research-eu"
regions = ["EU"]
importance = 1
keep_at_most = "14d"
[purposes.improvement.views.inverter]
every = "5min"
[purposes.improvement.views.inverter.fields]
serial = { pseudonym = "30d" }
power = { window = "mean", round = 10 }
energy = { window = "delta", round = 10 }
state = { window = "last" }
note = { window = "count" }
"""


def reading_of(number: int) -> dict[str, Any]:
    """Return a reading in which something is missing every few times."""
    fields = {
        "serial": f"40800012345{number % 3}",
        "power": round(-50 + 3.7 * number, 1),
        "heat": number / 2 - 10,
        "energy": 900 + 7 * number,
        "state": ["off", "starting", "on"][number % 3],
        "faults": [name for bit, name in enumerate(("grid", "dc", "heat")) if number >> bit & 1],
        "online": number % 2 == 0,
        "note": ["étage deux", "roof 7", ""][number % 3],
        "address": ["192.0.2.77", "2001:db8:1:2::9"][number % 2],
        "place": "48.137,11.575",
    }
    missing = list(fields)[1 + number % 9 :: 5] if number % 4 == 0 else []
    return {name: value for name, value in fields.items() if name not in missing}


@dataclass(frozen=True)
class Run:
    """What a gateway delivered: the bodies as they came, and the rows the collector opened."""

    site: LocalSite
    bodies: list[bytes]
    rows: list[OpenedRow]

    def asked(self) -> dict[str, Any]:
        seeds = read_recipients(Places(self.site.collector).opener)
        policy = load_policy(POLICY, where="policy.toml")
        return {
            "keys": [{"alg": alg, "seed": seed.reveal().hex()} for alg, seed in seeds.values()],
            "purposes": [encode_purpose(purpose).hex() for purpose in policy.purposes.values()],
            "batches": [body.hex() for body in self.bodies],
        }


@pytest.fixture(scope="module", params=list(SUITES))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a gateway against a collector's own process; the last three hours, minute by minute."""
    site = sites.local_site(tmp_path_factory.mktemp("live"), policy=POLICY, alg=SUITES[request.param])
    site.edit(("max_rows = 50", f'max_rows = 50\nsuite = "{request.param}"'))
    start_ms = wall_s() * 1000 - READINGS * MINUTE_MS
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        taken = [
            gateway.record("inverter", reading_of(number), at_ms=start_ms + number * MINUTE_MS)
            for number in range(READINGS)
        ]
        assert set(taken) == {2}, gateway.status().why
        assert gateway.drain(60, cut=True) == 0
    store = IntakeStore(Places(site.collector).store)
    bodies = [kept.body for kept in store.bodies(Box.BATCHES)]
    store.close()
    return Run(site, bodies, site.rows())


def test_the_gateway_sent_batches_of_both_purposes(run: Run) -> None:
    assert {row.purpose for row in run.rows} == {"monitoring", "improvement"}
    assert len(run.bodies) >= 4
    assert sum(row.purpose == "monitoring" for row in run.rows) == READINGS


def test_its_rows_are_the_same_by_value_in_javascript(run: Run) -> None:
    answers = peers.javascript(run.asked())
    theirs = [[one["stream"], one["purpose"], *row] for one in answers for row in one["rows"]]
    ours = [[row.stream.hex(), row.purpose, *plain] for row in run.rows for plain in told([row])]
    assert sorted(theirs, key=json.dumps) == sorted(ours, key=json.dumps)


def test_purposes_have_the_same_digest_in_javascript(run: Run) -> None:
    purposes = load_policy(POLICY, where="policy.toml").purposes.values()
    ours = {purpose.name: purpose_digest(purpose).hex() for purpose in purposes}
    theirs = {one["purpose"]: one["digest"] for one in peers.javascript(run.asked())}
    assert theirs == ours


# --------------------------------------------------------------------------------------------------- vectors

HEADS: Final = {path.stem: read(path)[0] for path in sorted(FOLDER.glob("*.vec"))}
KIND_OF_ERROR: Final = {
    "Malformed": "malformed",
    "Tampered": "tampered",
    "ConsentRefused": "refused",
    "Equivocation": "refused",
}


@pytest.fixture(scope="module")
def judged() -> dict[str, Any]:
    return {one.pop("name"): one for one in peers.javascript({"vectors": str(FOLDER)})}


def test_the_reader_saw_every_vector(judged: dict[str, Any]) -> None:
    assert set(judged) == set(HEADS)


@pytest.mark.parametrize("name", HEADS)
def test_a_vector_is_judged_as_it_says(judged: dict[str, Any], name: str) -> None:
    head, found = HEADS[name], judged[name]
    assert found["verdict"] == head["expect"]
    if " check " in head.get("check", ""):
        assert found["why"] == head["check"][head["check"].index("check ") :]
    elif head["expect"] == "refused":
        assert found["kind"] == KIND_OF_ERROR[head["error"]]
    if "rows" in head:
        assert found["rows"] == json.loads(head["rows"])


def test_a_vector_with_rows_is_among_them() -> None:
    assert [name for name, head in HEADS.items() if "rows" in head]


def test_the_folder_of_the_reader_names_nothing_of_this_implementation() -> None:
    sources = "".join(path.read_text() for path in sorted((Path(__file__).parent / "js").glob("*.mjs")))
    assert "edge_sdk" not in sources
