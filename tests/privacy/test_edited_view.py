"""
Consent is to what was shown: whatever changes what leaves, or to whom, closes the purpose under the old statement.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sdk.core.consent import Decision, Queue, decide
from edge_sdk.core.policy import Basis, Purpose, purpose_digest
from edge_sdk.policy_file import load_policy
from tests import site as sites
from tests.privacy.plants import POLICY
from tests.site import later, reading
from tests.vectors import world

FIELDS = "[purposes.study.views.inverter.fields]\n"
TO = 'recipient = "research-eu"\nregions = ["EU"]\nkeep_at_most = "30d"'
WIDER_NARROWER_OR_ELSEWHERE = {
    "another field": (FIELDS, FIELDS + 'ssid = { window = "last" }\n'),
    "one field less": ('heat = { window = "mean" }', ""),
    "the raw serial": (FIELDS + 'serial = { pseudonym = "1d" }', FIELDS + 'serial = "keep"'),
    "shorter windows": ('every = "7min"', 'every = "1min"'),
    "longer windows": ('every = "7min"', 'every = "8min"'),
    "another window": ('window = "mean"', 'window = "last"'),
    "rounding": ('window = "mean"', 'window = "mean", round = 1'),
    "bands": ('window = "mean"', 'window = "mean", band = [10]'),
    "a finer field": ("resolution = 0.00001", "resolution = 0.000001"),
    "a wider field": ("max = 1000, resolution", "max = 1001, resolution"),
    "more sources": ("max_sources = 8", "max_sources = 9"),
    "another recipient": (TO, TO.replace("research-eu", "research-us")),
    "another region": (TO, TO.replace('["EU"]', '["EU", "US"]')),
    "another basis": ('basis = "consent"', 'basis = "legitimate_interest"'),
    "kept for longer": (TO, TO.replace("30d", "31d")),
}


def study(policy_text: str) -> Purpose:
    return load_policy(policy_text, where="policy.toml").purposes["study"]


def decision(purpose: Purpose) -> Decision:
    """Decide about *purpose* under a statement that grants it as POLICY has it."""
    granted = study(POLICY)
    grant = world.grant(purpose="study", basis=granted.basis, digests=(purpose_digest(granted),))
    statement = world.statement(grants=(grant,))
    digest = purpose_digest(purpose)
    return world.decision(purpose="study", basis=purpose.basis, digest=digest, statement=statement)


def test_the_purpose_as_it_was_granted_is_open() -> None:
    assert decision(study(POLICY)).collect is not None


@pytest.mark.parametrize("edit", WIDER_NARROWER_OR_ELSEWHERE.values(), ids=WIDER_NARROWER_OR_ELSEWHERE.keys())
def test_an_edited_purpose_neither_collects_nor_sends(edit: tuple[str, str]) -> None:
    assert POLICY.count(edit[0]) == 1
    closed = decision(study(POLICY.replace(*edit)))
    assert (closed.collect, closed.send) == (None, None)
    assert closed.queue is Queue.HOLD  # what was collected under the old edition is still consented to


@pytest.mark.parametrize(
    "edit",
    [
        ('version = "1"', 'version = "2"'),
        ("[purposes.study]", "# a comment\n[purposes.study]"),
        ('lan_ip = { class = "network_identifier", type = "ip" }', 'lan_ip = { class = "location", type = "text" }'),
        ('power = "keep"', "power = { round = 1 }"),
    ],
)
def test_an_edit_that_changes_nothing_of_a_purpose_leaves_it_open(edit: tuple[str, str]) -> None:
    assert POLICY.count(edit[0]) == 1
    assert decision(study(POLICY.replace(*edit))).collect is not None


def test_decide_takes_the_basis_as_it_is_now_not_as_it_was() -> None:
    purpose = study(POLICY)
    grant = world.grant(purpose="study", basis=purpose.basis, digests=(purpose_digest(purpose),))
    found = decide(
        purpose="study",
        digest=purpose_digest(purpose),
        statement=world.statement(grants=(grant,)),
        basis=Basis.CONTRACT,
        fresh=True,
        denied=(),
        now_s=world.NOW_S,
    )
    assert found.collect is None


def test_on_a_device_the_edited_view_takes_no_reading_and_the_others_do(tmp_path: Path) -> None:
    site = sites.local_site(tmp_path)
    site.edit(('power = { window = "mean", round = 10 }', 'power = { window = "mean", round = 1 }'), file="policy.toml")
    with sites.opened(site) as parts:
        now = later(parts.clock.now(), 1000)
        parts.line.step(now)
        assert parts.line.recording.record("inverter", reading(1), now.wall_ms) == 1
        parts.line.step(later(now, 1000), close=True, cut=True)
        assert parts.line.binding.decisions["improvement"].collect is None
        assert {stream.record.purpose for stream in parts.line.binding.streams.values()} == {"monitoring", "alarms"}
