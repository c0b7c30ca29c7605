"""
Consent that is given more than once: each time under another grant, and withdrawn for all of them.
"""

from __future__ import annotations

from edge_sdk import requests
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.claims import Status
from edge_sdk.opening import Site
from edge_sdk.requests import Asked, Wish
from tests import site as sites
from tests.site import LocalSite, reading


def hear(site: LocalSite, parts: Site, status: Status) -> None:
    """Have the authority record an event, and bring its statement to the device by hand."""
    (device,) = collecting.devices(site.collector)
    site.set_grant("improvement", status)
    parts.line.consent.accept_statement(
        operating.statement(site.collector, device.generation, now_s=wall_s()), parts.clock.now()
    )
    parts.line.step(parts.clock.now())


def given_twice(site: LocalSite, parts: Site) -> None:
    """Collect under one grant, and then under the next."""
    for number in range(2):
        parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)
        parts.line.step(parts.clock.now(), flush=True, close=True, cut=True)
        if not number:
            hear(site, parts, Status.GIVEN)


def keys_of_improvement(parts: Site) -> int:
    return sum(entry.purpose == "improvement" for entry in parts.line.rooms.vault.ring.purposes.values())


def test_a_withdrawal_destroys_what_every_grant_of_the_purpose_collected(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        given_twice(site, parts)
        assert keys_of_improvement(parts) == 2
        hear(site, parts, Status.WITHDRAWN)
        assert keys_of_improvement(parts) == 0


def test_a_withdrawal_on_the_device_destroys_what_every_grant_of_the_purpose_collected(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        given_twice(site, parts)
        parts.line.withdraw("improvement", parts.clock.now())
        assert keys_of_improvement(parts) == 0


def test_a_site_whose_renewed_consent_was_withdrawn_starts_again(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        given_twice(site, parts)
        hear(site, parts, Status.WITHDRAWN)
    with sites.opened(site) as parts:
        assert parts.line.binding.decisions["improvement"].collect is None


def test_a_grant_in_force_keeps_its_pseudonyms_when_the_one_before_is_withdrawn(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        given_twice(site, parts)
        first = min(parts.line.rooms.vault.ring.purposes.values(), key=lambda entry: entry.purpose != "improvement")
        before = parts.line.rooms.vault.ring.pseudonyms["improvement"][1].reveal()
        parts.line.consent.held.denied.append(first.grant_id)
        parts.line.step(parts.clock.now())
        assert keys_of_improvement(parts) == 1
        assert parts.line.rooms.vault.ring.pseudonyms["improvement"][1].reveal() == before
    with sites.opened(site) as parts:
        assert parts.line.recording.record("inverter", reading(3), parts.clock.now().wall_ms) == 2


def test_a_withdrawal_that_comes_by_file_is_in_force_when_the_look_that_finds_it_is_over(site: LocalSite) -> None:
    with sites.opened(site) as parts:
        parts.line.step(parts.clock.now())
        assert parts.line.recording.record("inverter", reading(0), parts.clock.now().wall_ms) == 2
        (device,) = collecting.devices(site.collector)
        site.set_grant("improvement", Status.WITHDRAWN)
        statement = operating.statement(site.collector, device.generation, now_s=wall_s())
        requests.ask(site.state, Asked(Wish.IMPORT, content=statement))
        parts.line.tick(parts.clock.now())
        assert parts.line.recording.record("inverter", reading(1), parts.clock.now().wall_ms) == 1
        assert keys_of_improvement(parts) == 0
