"""
What should not have happened is noticed, kept, told before anything else, and its clock runs from the first time.

The other side is real but for the answers a test scripts: an intake, or whoever sits in its place.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk.collector.folder import open_authority
from edge_sdk.collector.incidents import Case, IncidentList
from edge_sdk.collector.keyring import Places
from edge_sdk.collector.registry import Registry
from edge_sdk.core.batch import ClockQuality
from edge_sdk.core.claims import Role
from edge_sdk.core.documents import HpkePublic, Statement, sign_recipients, sign_statement, sign_wipe
from edge_sdk.core.incidents import MAX_INCIDENTS, QUIET_S, Kind
from edge_sdk.core.keys import epoch_of
from edge_sdk.core.messages import Downlink, seal_downlink
from edge_sdk.core.seal import hpke_key_pair
from edge_sdk.errors import StorageError, Tampered, WrongHost
from edge_sdk.incidents import SUSPECT_MS
from edge_sdk.ledger import Happened, read_ledger
from edge_sdk.uplink import Errand
from tests import site as sites
from tests.gateway.device import BATCHES, Device, wrong_seed
from tests.gateway.hostile import Hostile, answer
from tests.gateway.test_bad_papers import hand, order
from tests.site import CANARY, POLICY, LocalSite, later, reading

CONTROL = "/v1/control"
TERMS = """
[terms]
controller = "A company"
contact = "privacy@example.com"
text_sha256 = ""
bases = ["contract", "consent"]
never = []
home = ["EU"]
transfer = []
retention = "365d"
breach_notice = "24h"
answer_within = "30d"
child_below = 0
child_account = "wipe"
"""


def kinds(device: Device) -> list[tuple[str, str, int]]:
    return [(one.kind, one.what, one.count) for one in device.parts.line.consent.held.incidents]


def told(site: LocalSite, now_s: int) -> list[Case]:
    """Return what the authority knows after it has read its messages."""
    with open_authority(site.collector) as authority:
        authority.upkeep(now_s)
    with closing(Registry(Places(site.collector).registry)) as registry:
        return IncidentList(registry.database).cases()


def held(device: Device) -> Statement:
    statement = device.parts.line.consent.statement
    assert statement is not None
    return statement


def sent_down(device: Device, statement: Statement, *, seed: Role | None = Role.STATEMENT, wipe: bytes = b"") -> bytes:
    """Return a downlink of today with *statement*; with no seed, signed by a key that no root knows."""
    generation = device.parts.line.rooms.vault.ring.generation
    public = HpkePublic(generation.hpke_alg, hpke_key_pair(generation.hpke, generation.hpke_alg)[1])
    signer = wrong_seed() if seed is None else hand(device.site, seed)
    said = Downlink(epoch_of(device.now.wall_s), sign_statement(statement, [signer]), wipe or None)
    return seal_downlink(said, recipient=public, content_alg=3, cek=bytes(32), iv=bytes(12))


def change(site: LocalSite, statement: str) -> None:
    with closing(sqlite3.connect(site.state / "outbox.db", isolation_level=None)) as database:
        assert database.execute(statement).rowcount > 0


def hear_again(device: Device) -> None:
    device.parts.line.consent._heard_mono_ms = None
    for _ in range(6):
        if device.idle():
            device.wait(1)
        else:
            device.go()


def roll_back(device: Device, server: Hostile) -> None:
    """Have the intake serve a statement that is older than the newest the device has."""
    device.hear()
    old = sent_down(device, replace(held(device), version=held(device).version - 1))
    server.next("/v1/downlink", answer(200, old))
    hear_again(device)


def test_an_older_statement_is_a_rollback(device: Device, server: Hostile) -> None:
    roll_back(device, server)
    assert kinds(device) == [("rollback", "downlink", 1)]


def test_two_contents_of_one_version_are_a_rollback(device: Device, server: Hostile) -> None:
    device.hear()
    server.next("/v1/downlink", answer(200, sent_down(device, replace(held(device), exp_s=held(device).exp_s + 1))))
    hear_again(device)
    assert kinds(device) == [("rollback", "downlink", 1)]


def test_yesterdays_downlink_served_today_is_a_rollback(device: Device, server: Hostile) -> None:
    device.hear()
    (kept,) = [each.answered for each in server.exchanges if each.path == "/v1/downlink" and each.answered]
    device.wait(86_400)
    with open_authority(device.site.collector) as authority:
        authority.upkeep(device.now.wall_s)
    server.next("/v1/downlink", answer(200, kept.body))
    hear_again(device)
    assert kinds(device) == [("rollback", "downlink", 1)]


def test_a_statement_by_nobody_the_root_knows_is_forged_once_there_is_no_newer_root(
    device: Device, server: Hostile
) -> None:
    device.hear()
    server.next("/v1/downlink", answer(200, sent_down(device, held(device), seed=None)))
    device.parts.line.consent._heard_mono_ms = None
    device.go()
    assert kinds(device) == []
    device.wait(900)
    assert device.trip().errand is Errand.ROOT
    device.go()
    assert kinds(device) == [("forged", "downlink", 1)]


def test_who_keeps_the_next_root_back_suppresses_no_incident(device: Device, server: Hostile) -> None:
    device.hear()
    server.next("/v1/downlink", answer(200, sent_down(device, held(device), seed=None)))
    device.parts.line.consent._heard_mono_ms = None
    device.go()
    server.always(f"/v1/root/{device.parts.line.consent.root.version + 1}", answer(503))
    device.now = later(device.now, SUSPECT_MS + 1)
    device.parts.line.step(device.now)
    assert kinds(device) == [("forged", "downlink", 1)]


def test_a_document_by_keys_of_a_newer_root_is_no_incident(device: Device) -> None:
    incidents = device.parts.line.incidents
    incidents.judge("statement", Tampered("statement"), device.now, b"document")
    assert incidents.wants_root()
    assert not incidents.wants_root()
    incidents.clear()
    incidents.confirm(device.now)
    assert kinds(device) == []


def test_a_captive_portal_and_an_expired_document_are_no_incidents(device: Device, server: Hostile) -> None:
    device.hear()
    server.next("/v1/downlink", answer(200, b"<html>Welcome to the hotel</html>"))
    hear_again(device)
    expired = replace(held(device), version=99, exp_s=1, nbf_s=0, iat_s=0)
    server.next("/v1/downlink", answer(200, sent_down(device, expired)))
    hear_again(device)
    assert kinds(device) == []


def test_a_wipe_order_of_the_wrong_hand_is_forged_and_counted_once(device: Device, server: Hostile) -> None:
    device.hear()
    forged = sign_wipe(order(device.parts), [hand(device.site, Role.STATEMENT)])
    newer = replace(held(device), version=held(device).version + 1)
    server.next("/v1/downlink", answer(200, sent_down(device, newer, wipe=forged)))
    hear_again(device)
    for _ in range(5):
        device.wait(60)
        device.parts.line.step(device.now)
    device.now = later(device.now, SUSPECT_MS)
    device.parts.line.step(device.now)
    assert kinds(device) == [("forged", "wipe order", 1)]
    (incident,) = device.parts.line.consent.held.incidents
    assert incident.evidence == hashlib.sha256(forged).digest()


def with_key(device: Device, server: Hostile, operator: str, region: str) -> None:
    """Have a grant of monitoring name a certified key that is another's, or elsewhere."""
    device.hear()
    consent = device.parts.line.consent
    assert consent.recipients is not None
    own = next(key for key in consent.recipients.keys if key.operator == "operator-eu")
    public = hpke_key_pair(device.parts.line.rooms.vault.ring.generation.hpke, own.alg)[1]
    other = replace(own, key=public, operator=operator, region=region)
    keys = (*consent.recipients.keys, other)
    document = replace(consent.recipients, version=consent.recipients.version + 1, keys=keys)
    consent.accept_recipients(sign_recipients(document, [hand(device.site, Role.RECIPIENTS)]), device.now)
    grants = tuple(
        replace(grant, recipients=(*grant.recipients, other.kid)) if grant.purpose == "monitoring" else grant
        for grant in held(device).grants
    )
    statement = replace(held(device), version=held(device).version + 1, grants=grants)
    consent.accept_statement(sign_statement(statement, [hand(device.site, Role.STATEMENT)]), device.now)
    for _ in range(3):
        device.parts.line.step(device.now)


def test_a_grant_that_names_a_key_of_another_recipient_is_egress(device: Device, server: Hostile) -> None:
    with_key(device, server, "somebody-else", "EU")
    assert kinds(device) == [("egress", "recipient", 1)]


def test_a_grant_that_names_a_key_in_another_region_is_egress(device: Device, server: Hostile) -> None:
    with_key(device, server, "operator-eu", "US")
    assert kinds(device) == [("egress", "region", 1)]


def test_the_same_papers_after_a_restart_are_no_second_occurrence(site: LocalSite, server: Hostile) -> None:
    with sites.opened(site) as parts:
        device = Device(site, parts, server.port)
        with_key(device, server, "somebody-else", "EU")
        device.close()
        parts.line.finish(device.now)
    with sites.opened(site) as parts:
        assert [one.count for one in parts.line.consent.held.incidents] == [1]


def test_a_redirect_to_another_host_is_egress_and_not_followed(device: Device, server: Hostile) -> None:
    device.record(1)
    device.hear()
    server.next(BATCHES, answer(307, b"", "Location: https://elsewhere.example/v1/batches"))
    device.go()
    assert kinds(device) == [("egress", "host", 1)]
    assert "elsewhere.example" not in str(device.parts.line.consent.held.incidents)


@pytest.mark.parametrize("location", ["/v1/other", "http://127.0.0.1:9/v1/batches", ""])
def test_a_redirect_within_the_host_is_none(device: Device, server: Hostile, location: str) -> None:
    device.record(1)
    device.hear()
    server.next(BATCHES, answer(307, b"", f"Location: {location}"))
    device.go()
    assert kinds(device) == []


def test_another_host_than_the_pinned_one_is_egress(device: Device) -> None:
    device.hear()
    device.record(1)
    device.uplink.settle(device.trip(), None, device.now, why=str(WrongHost("-")), is_wrong_host=True)
    assert kinds(device) == [("egress", "host", 1)]


def test_a_batch_changed_on_disk_is_tampering(device: Device) -> None:
    device.record(1)
    device.hear()
    change(device.site, "UPDATE sealed SET body = zeroblob(length(body))")
    device.hear()
    device.parts.line.step(device.now)
    assert kinds(device) == [("tampering", "batches", 1)]


def test_rows_changed_on_disk_are_tampering(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms)
        parts.line.step(parts.clock.now(), flush=True)
    change(site, "UPDATE pending SET body = zeroblob(length(body))")
    with sites.opened(site) as parts:
        assert [(one.kind, one.what) for one in parts.line.consent.held.incidents] == [("tampering", "rows")]


def test_a_changed_ledger_is_tampering_and_the_same_change_is_told_once(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        parts.line.finish(parts.clock.now())
    path = site.state / "ledger.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    for _ in range(2):
        with sites.opened(site) as parts:
            found = [(one.kind, one.what, one.count) for one in parts.line.consent.held.incidents]
            parts.line.finish(parts.clock.now())
    assert found == [("tampering", "ledger", 1)]


def test_an_incident_is_told_before_any_batch(device: Device, server: Hostile) -> None:
    device.record(3)
    device.hear()
    device.parts.line.incidents.note(Kind.FORGED, "statement", device.now)
    device.deliver_all()
    assert [path for path in server.paths() if path in (CONTROL, BATCHES)] == [CONTROL, BATCHES]
    (case,) = told(device.site, device.now.wall_s)
    assert (case.incident.kind, case.incident.what, case.told_by) == ("forged", "statement", "device")


def test_an_incident_is_told_without_a_fresh_downlink_a_grant_or_an_active_account(
    device: Device, server: Hostile
) -> None:
    device.parts.line.consent.held.denied = [grant.id for grant in held(device).grants]
    device.parts.line.incidents.note(Kind.TAMPERING, "ledger", device.now)
    assert device.trip().errand is Errand.CONTROL
    device.go()
    assert len(told(device.site, device.now.wall_s)) == 1


def test_an_incident_names_nothing_that_was_measured_or_who_lives_there(device: Device, server: Hostile) -> None:
    device.record(3)
    roll_back(device, server)
    incident = str(device.parts.line.consent.held.incidents)
    assert CANARY not in incident
    assert "monitoring" not in incident


def test_it_survives_a_restart_and_is_told_after_it(site: LocalSite, server: Hostile) -> None:
    with sites.opened(site) as parts:
        parts.line.incidents.note(Kind.EGRESS, "host", parts.clock.now())
    with sites.opened(site) as parts:
        device = Device(site, parts, server.port)
        device.hear()
        device.close()
        assert [one.what for one in parts.line.consent.held.incidents] == ["host"]
        assert [case.incident.what for case in told(site, device.now.wall_s)] == ["host"]


def test_a_flood_is_told_each_time_it_has_doubled(device: Device, server: Hostile) -> None:
    for _ in range(100):
        device.parts.line.incidents.note(Kind.EGRESS, "host", device.now)
        device.hear()
    assert server.paths().count(CONTROL) == 7
    (case,) = told(device.site, device.now.wall_s)
    assert case.incident.count == 64
    assert kinds(device) == [("egress", "host", 100)]


def test_incidents_are_bounded_over_years_offline(device: Device) -> None:
    for number in range(3 * MAX_INCIDENTS):
        at = later(device.now, number * (QUIET_S + 1) * 1000)
        device.parts.line.incidents.note(Kind.FORGED, "statement", at)
    consent = device.parts.line.consent.held
    assert len(consent.incidents) == MAX_INCIDENTS
    assert len(consent.to_tell) == MAX_INCIDENTS


def test_what_the_disk_refused_is_told_when_there_is_room(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise StorageError("full")

    with monkeypatch.context() as refusing:
        refusing.setattr(device.parts.line.consent, "tell_later", full)
        device.parts.line.incidents.note(Kind.FORGED, "root", device.now)
    assert device.parts.line.consent.held.to_tell == []
    device.parts.line.step(device.now)
    assert len(device.parts.line.consent.held.to_tell) == 1


def test_an_incident_noticed_without_a_wall_says_so(device: Device) -> None:
    device.parts.line.incidents.note(Kind.FORGED, "root", replace(device.now, quality=ClockQuality.FLOOR))
    assert device.parts.line.consent.held.incidents[0].from_floor


def test_the_limit_is_that_of_the_policy_in_force(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path, policy=POLICY.replace("[kinds.inverter]", TERMS + "\n[kinds.inverter]", 1))
    with sites.opened(site) as parts:
        parts.line.incidents.note(Kind.FORGED, "root", parts.clock.now())
        (incident,) = parts.line.consent.held.incidents
        assert incident.notify_by_s == incident.first_s + 24 * 3600


def test_a_policy_without_terms_sets_no_limit(device: Device) -> None:
    device.parts.line.incidents.note(Kind.FORGED, "root", device.now)
    assert device.parts.line.consent.held.incidents[0].notify_by_s is None


def test_the_ledger_says_that_there_was_an_incident(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        parts.line.incidents.note(Kind.ROLLBACK, "root", parts.clock.now())
        entries = list(read_ledger(site.state, parts.line.rooms.vault.ring.ledger))
    assert [entry.counts for entry in entries if entry.happened is Happened.INCIDENT] == [(1, 1)]


def test_while_uploads_are_stopped_no_batch_is_sent_and_everything_else_is(device: Device, server: Hostile) -> None:
    device.record(3)
    device.hear()
    device.parts.line.incidents.stop(device.now)
    device.parts.line.withdraw("improvement", device.now)
    device.parts.line.incidents.note(Kind.FORGED, "root", device.now)
    device.now = later(device.now, 86_400_000)
    with open_authority(device.site.collector) as authority:
        authority.upkeep(device.now.wall_s)
    device.hear()
    assert device.idle()
    assert BATCHES not in server.paths()
    assert server.paths().count(CONTROL) >= 2
    assert server.paths().count("/v1/downlink") == 2
    assert device.queue()


def test_a_batch_under_way_is_broken_off_when_uploads_are_stopped(device: Device) -> None:
    device.record(1)
    device.hear()
    trip = device.trip()
    assert device.uplink.may_go_on(trip, device.now)
    device.parts.line.incidents.stop(device.now)
    assert not device.uplink.may_go_on(trip, device.now)


def test_what_waited_is_sent_when_uploads_go_on(device: Device, server: Hostile) -> None:
    device.record(3)
    device.hear()
    device.parts.line.incidents.stop(device.now)
    device.hear()
    assert BATCHES not in server.paths()
    device.parts.line.incidents.resume(device.now)
    device.deliver_all()
    assert BATCHES in server.paths()


def test_the_switch_survives_a_restart(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        parts.line.incidents.stop(parts.clock.now())
    with sites.opened(site) as parts:
        assert parts.line.incidents.is_stopped
        parts.line.incidents.resume(parts.clock.now())
    with sites.opened(site) as parts:
        assert not parts.line.incidents.is_stopped


def test_a_wipe_order_is_obeyed_while_uploads_are_stopped(device: Device) -> None:
    device.parts.line.incidents.stop(device.now)
    obeyed: list[object] = []
    device.parts.line.on_order = obeyed.append
    device.parts.line.consent._order = sign_wipe(order(device.parts), [hand(device.site, Role.WIPE)])
    device.parts.line.step(device.parts.clock.now())
    assert len(obeyed) == 1


def test_the_device_that_told_is_the_one_that_is_named(device: Device) -> None:
    device.parts.line.incidents.note(Kind.FORGED, "root", device.now)
    device.hear()
    (case,) = told(device.site, device.now.wall_s)
    assert case.generation == device.parts.line.rooms.vault.ring.generation.id
