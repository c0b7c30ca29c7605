"""
A decision is taken anew when anything it rests on has changed, and what stands in between is what a new one would say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk.clock import Now
from edge_sdk.consent_state import FRESH_WITHIN_MS
from edge_sdk.core.batch import ClockQuality
from edge_sdk.core.consent import ABANDON_AFTER_S
from edge_sdk.core.policy import purpose_digest
from edge_sdk.core.units import DAY_MS
from edge_sdk.deciding import Deciding
from edge_sdk.line import TICK_MS
from edge_sdk.opening import Site
from tests import site as sites


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Site]:
    with sites.opened(sites.local_site(tmp_path)) as parts:
        yield parts


def at(now: Now, wall_s: int) -> Now:
    """Return *now* with another wall and floor, as time that passed or a clock that was set."""
    return replace(now, wall_ms=wall_s * 1000, floor_ms=max(now.floor_ms, wall_s * 1000))


def of(parts: Site) -> Deciding:
    return Deciding(parts.line.binding.policy, parts.line.rooms.vault, parts.line.consent)


def instants(parts: Site) -> list[int]:
    """Return every instant that a document here names."""
    consent = parts.line.consent
    assert consent.statement is not None
    assert consent.recipients is not None
    ends = [consent.statement.exp_s, consent.statement.exp_s + ABANDON_AFTER_S, consent.recipients.exp_s]
    return sorted({*ends, *[key.exp_s for key in consent.recipients.keys], *[k.nbf_s for k in consent.recipients.keys]})


@pytest.mark.parametrize("backwards", [False, True])
def test_at_every_instant_a_document_names_the_line_holds_what_a_new_decision_says(
    parts: Site, backwards: bool
) -> None:
    binding, now, seen = parts.line.binding, parts.clock.now(), []
    walls = [instant + off for instant in instants(parts) for off in (-1, 0, 1)]
    for wall_s in (now.wall_s, *sorted(walls, reverse=backwards)):
        moment = at(now, wall_s)
        binding.decide(moment)
        anew = of(parts)
        anew.decide(moment)
        anew.wanted(moment)
        assert binding.decisions == anew.decisions, wall_s - now.wall_s
        seen.append({name: decision.collect is not None for name, decision in binding.decisions.items()})
    assert any(one != seen[0] for one in seen)  # the instants decided something


CHANGES: dict[str, Callable[[Site, Now], Now]] = {}


def change(name: str) -> Callable[[Callable[[Site, Now], Now | None]], None]:
    def add(make: Callable[[Site, Now], Now | None]) -> None:
        CHANGES[name] = lambda parts, now: make(parts, now) or now

    return add


@change("a statement is accepted")
def _(parts: Site, _: Now) -> None:
    assert parts.line.consent.statement is not None
    parts.line.consent.statement = replace(parts.line.consent.statement)


@change("recipients are accepted")
def _(parts: Site, _: Now) -> None:
    assert parts.line.consent.recipients is not None
    parts.line.consent.recipients = replace(parts.line.consent.recipients)


@change("a grant is denied here")
def _(parts: Site, _: Now) -> None:
    assert parts.line.consent.statement is not None
    parts.line.consent.held.denied.append(parts.line.consent.statement.grants[0].id)


@change("the authority was not heard for a day")
def _(parts: Site, now: Now) -> Now:
    return replace(now, mono_ms=now.mono_ms + FRESH_WITHIN_MS, wall_ms=now.wall_ms + FRESH_WITHIN_MS)


@change("the clock goes back a second")
def _(parts: Site, now: Now) -> Now:
    return replace(now, wall_ms=now.wall_ms - 1000)


@change("the clock was lost")
def _(parts: Site, now: Now) -> Now:
    return replace(now, quality=ClockQuality.FLOOR)


@change("a pseudonym period turns")
def _(parts: Site, now: Now) -> Now:
    return replace(now, floor_ms=now.floor_ms + 400 * DAY_MS)


def test_what_an_instant_ends_is_looked_at_in_that_millisecond_and_tried_as_usual_afterwards(parts: Site) -> None:
    line, now = parts.line, parts.clock.now()
    for instant in [one for one in instants(parts) if one > now.wall_s + 1]:
        assert line.step(moment := at(now, instant - 1)) == 1000
        assert line.tick(replace(moment, wall_ms=moment.wall_ms + 700)) == 300
        assert line.tick(at(now, instant)) == TICK_MS


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_what_a_decision_rests_on_unsettles_it(parts: Site, name: str) -> None:
    parts.line.consent.count_as_heard(parts.clock.now().mono_ms)
    deciding, now = of(parts), parts.clock.now()
    assert not deciding.is_settled(now)
    deciding.decide(now)
    deciding.remember(now)
    assert deciding.is_settled(now)
    later = replace(now, mono_ms=now.mono_ms + 1, wall_ms=now.wall_ms + 1, floor_ms=now.floor_ms + 1)
    assert deciding.is_settled(later)
    assert not deciding.is_settled(CHANGES[name](parts, now))


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_what_an_edition_may_do_is_remembered_no_longer_than_what_it_rests_on(parts: Site, name: str) -> None:
    consent, now = parts.line.consent, parts.clock.now()
    consent.count_as_heard(now.mono_ms)
    deciding, (purpose, *_) = of(parts), parts.line.binding.policy.purposes.values()
    deciding.decide(now)
    deciding.remember(now)
    for digest in (purpose_digest(purpose), b"of a policy before" * 2):
        was = deciding.of_edition(purpose, digest, now)
        assert deciding.of_edition(purpose, digest, now) is was
        assert was == consent.decide_digest(purpose, digest, now)
    later = CHANGES[name](parts, now)
    assert deciding.of_edition(purpose, purpose_digest(purpose), later) == consent.decide_digest(
        purpose, purpose_digest(purpose), later
    )


def test_an_edition_whose_grant_was_denied_collects_nothing_in_the_same_step(parts: Site) -> None:
    consent, now = parts.line.consent, parts.clock.now()
    consent.count_as_heard(now.mono_ms)
    deciding, (purpose, *_) = of(parts), parts.line.binding.policy.purposes.values()
    deciding.decide(now)
    deciding.remember(now)
    assert deciding.of_edition(purpose, purpose_digest(purpose), now).collect is not None
    assert consent.statement is not None
    consent.held.denied.extend(grant.id for grant in consent.statement.grants)
    assert deciding.of_edition(purpose, purpose_digest(purpose), now).collect is None


def test_a_purpose_that_was_erased_is_bound_anew_at_the_next_step(parts: Site) -> None:
    line = parts.line
    before = line.binding.collecting
    line.binding.erase(["monitoring"])
    assert line.binding.collecting == frozenset()
    line.step(parts.clock.now())
    assert line.binding.collecting == before
