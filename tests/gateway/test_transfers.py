"""
A household's consent to transfers, from the authority to the device and back: without it nothing is sealed to a key
abroad, with it rows arrive there, and taken back it takes along what was sealed and has not left.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.collector.founding import Founding, init_collector
from edge_sdk.config import Config
from edge_sdk.core.batch import Reason
from edge_sdk.core.claims import ALG_HPKE_X25519, Mechanism, Status
from edge_sdk.core.terms import CROSS_BORDER
from edge_sdk.enrol import enrol
from edge_sdk.errors import ConfigError, ConsentRefused
from edge_sdk.opening import Site
from edge_sdk.order import Held
from edge_sdk.policy_file import load_policy
from edge_sdk.transport import Request
from tests.site import SITE, LocalSite, opened, reached, reading

POLICY = """
[policy]
name = "plant"
version = "1"
[terms]
controller = "Example Ltd."
contact = "privacy@example.com"
bases = ["contract", "consent"]
never = ["contact"]
home = ["EU"]
transfer = ["consent"]
retention = "365d"
breach_notice = "72h"
answer_within = "30d"
child_below = 16
child_account = "parent"
[kinds.inverter]
source = "serial"
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text", max_length = 16 }
power = { class = "telemetry", type = "number", unit = "W", min = -100, max = 10000, resolution = 0.1 }
[purposes.monitoring]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
keep_at_most = "30d"
[purposes.monitoring.views.inverter.fields]
serial = "keep"
power = "keep"
[purposes.support]
basis = "consent"
dpv = "dpv:TechnicalServiceProvision"
recipient = "support-cn"
regions = ["CN"]
keep_at_most = "14d"
[purposes.support.views.inverter.fields]
power = { round = 10 }
"""
GRANTED = ["support", CROSS_BORDER]


def founding(granted: list[str], text: str = POLICY) -> Founding:
    policies = [load_policy(text, where="policy.toml")]
    abroad = {"support-cn": ("CN", Mechanism.CONSENT)}
    return Founding(policies, "EU", Mechanism.NONE, granted, test=True, alg=ALG_HPKE_X25519, elsewhere=abroad)


def plant(folder: Path, granted: list[str]) -> LocalSite:
    folder.mkdir()
    site = LocalSite(folder)
    (folder / "policy.toml").write_text(POLICY)
    (folder / "site.toml").write_text(SITE.replace("max_rows = 50", 'max_rows = 50\nsuite = "hpke-4-ke"'))
    init_collector(site.collector, founding(granted), now_s=wall_s(), draw=secrets.token_bytes)
    code = collecting.enrol_code(site.collector, now_s=wall_s())
    with reached(site.collector) as transport:
        asyncio.run(enrol(Config.read(site.toml), code, transport))
    return site


def started(site: LocalSite, parts: Site) -> Site:
    """Have a started device hear its recipients document, as its first request would."""
    with reached(site.collector) as transport:
        answer = transport.answer(Request("GET", "/v1/recipients", {}, b""))
    now = parts.clock.now()
    parts.line.consent.accept_recipients(answer.body, now)
    parts.line.consent.count_as_heard(now.mono_ms)
    parts.line.step(now)
    return parts


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    return plant(tmp_path / "plant", GRANTED)


@pytest.fixture
def parts(site: LocalSite) -> Iterator[Site]:
    with opened(site) as parts:
        yield started(site, parts)


def collect(parts: Site) -> int:
    """Record one reading, seal what there is and return how many purposes took it."""
    now = parts.clock.now()
    fields = {name: value for name, value in reading(1).items() if name in ("serial", "power")}
    taken = parts.line.recording.record("inverter", fields, now.wall_ms)
    parts.line.step(now, close=True)
    return taken


def queued(parts: Site, purpose: str) -> list[Held]:
    rows = [row for row, stream in parts.line.binding.streams.items() if stream.record.purpose == purpose]
    return [held for row in rows for held in parts.line.rooms.outbox.queues.get(row, {}).values()]


def gaps(parts: Site, purpose: str) -> list[Reason]:
    streams = [s for s in parts.line.binding.streams.values() if s.record.purpose == purpose]
    return [gap.reason for stream in streams for _, gap in stream.record.gaps]


def hear(site: LocalSite, parts: Site, status: Status) -> None:
    """Have the operator record the event, and the device its new statement."""
    site.set_grant(CROSS_BORDER, status)
    device = collecting.devices(site.collector)[0]
    bundle = operating.statement(site.collector, device.generation, now_s=wall_s())
    parts.line.consent.accept_statement(bundle, parts.clock.now())


def test_with_consent_to_the_purpose_and_to_the_transfer_rows_are_sealed_abroad(parts: Site) -> None:
    assert collect(parts) == 2
    assert len(queued(parts, "support")) == 1


def test_with_consent_to_the_purpose_alone_nothing_of_it_is_collected(tmp_path: Path) -> None:
    site = plant(tmp_path / "other", ["support"])
    with opened(site) as parts:
        started(site, parts)
        assert collect(parts) == 1
        assert queued(parts, "support") == []
        assert "would go abroad" in parts.line.binding.decisions["support"].because


def test_consent_that_comes_later_opens_the_purpose(tmp_path: Path) -> None:
    site = plant(tmp_path / "other", ["support"])
    with opened(site) as parts:
        started(site, parts)
        hear(site, parts, Status.GIVEN)
        parts.line.step(parts.clock.now())
        assert collect(parts) == 2


def test_taken_back_on_the_device_it_takes_along_what_was_sealed_and_stops_no_other(parts: Site) -> None:
    collect(parts)
    parts.line.withdraw(CROSS_BORDER, parts.clock.now())
    assert queued(parts, "support") == []
    assert gaps(parts, "support") == [Reason.RECIPIENT]
    assert len(queued(parts, "monitoring")) == 1
    assert collect(parts) == 1


def test_taken_back_at_the_operator_it_takes_along_what_was_sealed(site: LocalSite, parts: Site) -> None:
    collect(parts)
    hear(site, parts, Status.WITHDRAWN)
    parts.line.step(parts.clock.now())
    assert queued(parts, "support") == []


def test_restricted_it_keeps_what_was_sealed_and_sends_none_of_it(site: LocalSite, parts: Site) -> None:
    collect(parts)
    hear(site, parts, Status.RESTRICTED)
    parts.line.step(parts.clock.now())
    now = parts.clock.now()
    parcels = iter(lambda: parts.line.next_parcel(now), None)
    sent = next(parcels)
    assert sent.held in queued(parts, "monitoring")
    assert len(queued(parts, "support")) == 1


def test_what_was_taken_back_is_lifted_only_by_a_new_consent(site: LocalSite, parts: Site) -> None:
    parts.line.withdraw(CROSS_BORDER, parts.clock.now())
    with pytest.raises(ConsentRefused):
        parts.line.withdraw(CROSS_BORDER, parts.clock.now())
    site.set_grant("support", Status.RENEWED)  # another statement, which still lists the grant that was denied
    bundle = operating.statement(site.collector, collecting.devices(site.collector)[0].generation, now_s=wall_s())
    parts.line.consent.accept_statement(bundle, parts.clock.now())
    assert collect(parts) == 1
    hear(site, parts, Status.GIVEN)
    parts.line.step(parts.clock.now())
    assert collect(parts) == 2


def test_a_policy_that_asks_for_no_such_consent_has_none_to_give(tmp_path: Path) -> None:
    text = POLICY.replace('transfer = ["consent"]', 'transfer = ["scc"]')
    with pytest.raises(ConfigError, match="does not rest on consent"):
        init_collector(tmp_path / "c", founding([CROSS_BORDER], text), now_s=wall_s(), draw=secrets.token_bytes)


def test_the_grant_lists_the_purposes_that_ask_for_it_and_keys_abroad_alone(parts: Site) -> None:
    consent = parts.line.consent
    assert consent.statement is not None
    assert consent.recipients is not None
    (grant,) = [grant for grant in consent.statement.grants if grant.purpose == CROSS_BORDER]
    abroad = [key.kid for key in consent.recipients.keys if key.region == "CN"]
    assert (len(grant.digests), list(grant.recipients)) == (1, abroad)
