"""
Signed papers that are not for this device, not by the right hand, or here a second time: nothing comes of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from edge_sdk.collector.keyring import Places, read_role
from edge_sdk.core.claims import Account, Role, Status
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.documents import WipeOrder, audience_of, pinned_root, sign_statement, sign_wipe
from edge_sdk.core.keys import RoleSeed
from edge_sdk.errors import ConsentRefused, Equivocation
from edge_sdk.opening import Site
from edge_sdk.queueing import Parcel
from edge_sdk.transport import Lane
from tests import site as sites
from tests.site import LocalSite, reading

NONCE = b"o" * 16
OTHER = b"x" * 16


@pytest.fixture
def parts(site: LocalSite) -> Iterator[Site]:
    """Lend a site with rows of every purpose that is granted."""
    with sites.opened(site) as opened:
        collect(opened, 3)
        yield opened


def hand(site: LocalSite, role: Role) -> RoleSeed:
    """Return a key of *role* of the collector of this site."""
    places = Places(site.collector)
    kid = next(iter(pinned_root(places.read_root()).roles[role].by_kid))
    seed = read_role(places.folder_of(role), role, kid)
    assert seed is not None
    return seed


def collect(parts: Site, count: int) -> None:
    for number in range(count):
        parts.line.recording.record("inverter", reading(number), parts.clock.now().wall_ms)
    parts.line.step(parts.clock.now(), flush=True, close=True, cut=True)


def order(parts: Site, purposes: tuple[str, ...] = ()) -> WipeOrder:
    generation = parts.line.rooms.vault.ring.generation
    audience = audience_of(public_key_of(generation.signing.reveal()))
    return WipeOrder(audience, generation.id, NONCE, parts.clock.now().wall_s, purposes)


def give(site: LocalSite, parts: Site, made: WipeOrder, role: Role = Role.WIPE) -> list[WipeOrder]:
    """Bring an order as the downlink does; return those for the whole account that the line passes on."""
    obeyed: list[WipeOrder] = []
    parts.line.on_order = obeyed.append
    parts.line.consent._order = sign_wipe(made, [hand(site, role)])
    parts.line.step(parts.clock.now())
    return obeyed


def purposes_with_keys(parts: Site) -> set[str]:
    return {entry.purpose for entry in parts.line.rooms.vault.ring.purposes.values()}


def test_an_order_that_is_in_order_is_obeyed(site: LocalSite, parts: Site) -> None:
    assert len(give(site, parts, order(parts))) == 1


def test_an_order_for_another_device_is_not_obeyed(site: LocalSite, parts: Site) -> None:
    assert give(site, parts, replace(order(parts), audience=OTHER)) == []
    assert "check 4" in parts.line.consent.refused_order


def test_an_order_for_another_generation_is_not_obeyed(site: LocalSite, parts: Site) -> None:
    assert give(site, parts, replace(order(parts), generation=OTHER)) == []
    assert "check 5" in parts.line.consent.refused_order


@pytest.mark.parametrize("role", [Role.STATEMENT, Role.RECIPIENTS, Role.RECEIPT, Role.TIME, Role.ROOT])
def test_an_order_signed_by_another_role_is_not_obeyed(site: LocalSite, parts: Site, role: Role) -> None:
    assert give(site, parts, order(parts), role) == []
    assert "check 3" in parts.line.consent.refused_order


def test_an_order_for_a_purpose_erases_it(site: LocalSite, parts: Site) -> None:
    give(site, parts, order(parts, ("improvement",)))
    assert "improvement" not in purposes_with_keys(parts)


def test_an_order_that_is_replayed_does_not_erase_what_was_consented_to_since(site: LocalSite, parts: Site) -> None:
    again = order(parts, ("improvement",))
    give(site, parts, again)
    consented(site, parts, Status.GIVEN)
    collect(parts, 3)
    assert "improvement" in purposes_with_keys(parts)
    give(site, parts, again)
    assert "improvement" in purposes_with_keys(parts)
    assert "check 6" in parts.line.consent.refused_order


def consented(site: LocalSite, parts: Site, status: str, *, account: str = Account.ACTIVE) -> None:
    """Bring the next statement, with another grant of improvement."""
    held = parts.line.consent.statement
    assert held is not None
    was = next(grant for grant in held.grants if grant.purpose == "improvement")
    grant = replace(was, id=OTHER, status=status, since_s=was.since_s + 1)
    following = replace(held, version=held.version + 1, account=account, grants=(*held.grants, grant))
    parts.line.consent.accept_statement(
        sign_statement(following, [hand(site, Role.STATEMENT)]), parts.clock.now()
    )
    parts.line.step(parts.clock.now())


def takes(parts: Site) -> int:
    return parts.line.recording.record("inverter", reading(9), parts.clock.now().wall_ms)


def test_a_status_of_a_later_release_collects_nothing_and_destroys_nothing(site: LocalSite, parts: Site) -> None:
    assert takes(parts) == 2
    consented(site, parts, "paused")
    assert takes(parts) == 1
    assert "improvement" in purposes_with_keys(parts)


def test_an_account_of_a_later_release_collects_nothing_and_destroys_nothing(site: LocalSite, parts: Site) -> None:
    consented(site, parts, Status.GIVEN, account="dormant")
    assert takes(parts) == 0
    assert {"improvement", "monitoring"} <= purposes_with_keys(parts)


def test_one_version_with_other_bytes_is_an_alarm_and_changes_nothing(site: LocalSite, parts: Site) -> None:
    held = parts.line.consent.statement
    assert held is not None
    other = replace(held, grants=())
    with pytest.raises(Equivocation):
        parts.line.consent.accept_statement(
            sign_statement(other, [hand(site, Role.STATEMENT)]), parts.clock.now()
        )
    assert parts.line.consent.statement is held


def test_a_statement_signed_by_another_role_changes_nothing(site: LocalSite, parts: Site) -> None:
    held = parts.line.consent.statement
    assert held is not None
    bundle = sign_statement(replace(held, version=held.version + 1), [hand(site, Role.WIPE)])
    with pytest.raises(ConsentRefused, match="check 3"):
        parts.line.consent.accept_statement(bundle, parts.clock.now())
    assert parts.line.consent.statement is held


def test_an_upload_under_way_is_broken_off_though_another_stream_has_its_row(site: LocalSite, parts: Site) -> None:
    line = parts.line
    (stream,) = [stream for stream in line.binding.streams.values() if stream.record.purpose == "improvement"]
    (held,) = line.rooms.outbox.queues[stream.row].values()
    grant: Any = None  # what it went under plays no part
    parcel = Parcel(held, b"", grant, Lane.NORMAL)
    line.consent.count_as_heard(parts.clock.now().mono_ms)
    assert line.may_go_on(parcel, parts.clock.now())
    line.consent.held.denied.append(stream.record.grant_id)
    consented(site, parts, Status.GIVEN)
    collect(parts, 3)
    assert held.stream in line.binding.streams, "the row was not given to another stream"
    assert not line.may_go_on(parcel, parts.clock.now())
