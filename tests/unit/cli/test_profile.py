"""
``edge-sdk profile``: what there is, and what answers each rule.
"""

from __future__ import annotations

import json

import pytest

from edge_sdk.cli import main
from edge_sdk.policy_file import PROFILES


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["profile", *arguments]) == 0
    return capsys.readouterr().out


def test_every_profile_is_listed_with_its_purposes(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, "list")
    assert all(name in out for name in PROFILES)
    assert "fleet_statistics" in out


def test_the_rules_of_a_profile_are_told_with_what_answers_them(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, "rules", "apsystems_ema")
    assert "apsystems_ema.X1 [EV]" in out
    assert "    enforced by: recipients: " in out
    assert "    evidenced by: whose_key: " in out
    assert "    tests/profiles/test_profiles.py::test_apsystems_data_stays_in_europe" in out
    assert "    cloud only: " in out
    assert out.splitlines()[-1].startswith("32 rules: 4 E ")


def test_the_rules_are_there_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    rules = json.loads(told(capsys, "rules", "nanolux_nccs", "--json"))
    assert len(rules) == 31
    assert rules[0]["id"] == "nanolux_nccs.D1"


@pytest.mark.parametrize("name", ["strictest", "nobody", "../mechanisms"])
def test_what_answers_no_policy_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "rules", name]) == 2
    assert "no rules of that name" in capsys.readouterr().err
