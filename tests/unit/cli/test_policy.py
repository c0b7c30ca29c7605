"""
``edge-sdk policy``: what it prints of a policy, and which exit code a script sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_sdk.cli import main
from edge_sdk.core.policy import purpose_digest
from edge_sdk.policy_file import PROFILES
from tests.unit.cli.terminal import on_a_terminal
from tests.unit.policy_texts import TEXT, edited, policy

WITH_TOKEN = edited("place = { class", 'token = { class = "credential", type = "text" }\nplace = { class')
UNSOUND = edited('starts = "keep"', 'token = "keep"', WITH_TOKEN)


@dataclass(frozen=True)
class Told:
    code: int
    out: str
    err: str


Tell = Callable[..., Told]


@pytest.fixture
def tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Run ``edge-sdk policy``; a text among the arguments is written to a file first."""

    def run(*arguments: str) -> Told:
        given = []
        for at, argument in enumerate(arguments):
            if "\n" in argument:
                (tmp_path / f"policy_{at}.toml").write_text(argument, encoding="utf-8")
            given.append(str(tmp_path / f"policy_{at}.toml") if "\n" in argument else argument)
        code = main(["policy", *given])
        captured = capsys.readouterr()
        return Told(code, captured.out, captured.err)

    return run


# -------------------------------------------------------------------------------------------------- check


def test_a_sound_policy_passes(tell: Tell) -> None:
    assert tell("check", TEXT).code == 0


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_passes_strictly(tell: Tell, name: str) -> None:
    assert tell("check", name, "--strict").code == 0


def test_a_check_shows_each_purpose_with_its_views(tell: Tell) -> None:
    assert "inverter every 5min, 5 of 10 fields" in tell("check", TEXT).out


def test_a_check_shows_a_view_that_sends_at_once(tell: Tell) -> None:
    assert "inverter each reading at once, 7 of 10 fields" in tell("check", TEXT).out


def test_a_check_shows_a_view_of_every_reading(tell: Tell) -> None:
    assert "inverter each reading, 7 of 10 fields" in tell("check", edited('send = "now"\n', "")).out


def test_a_finding_is_one_line_with_its_level_and_code(tell: Tell) -> None:
    lines = tell("check", TEXT).out.splitlines()
    assert any(line.startswith("warning L06 purposes.support.views.inverter: ") for line in lines)


def test_findings_are_counted_by_level(tell: Tell) -> None:
    assert tell("check", TEXT).out.endswith("0 errors, 2 warnings, 2 notes\n")


def test_warnings_pass_unless_they_are_asked_to_count(tell: Tell) -> None:
    assert [tell("check", TEXT).code, tell("check", TEXT, "--strict").code] == [0, 2]


def test_an_error_of_the_lint_exits_2(tell: Tell) -> None:
    told = tell("check", UNSOUND)
    assert (told.code, "error L01" in told.out) == (2, True)


def test_a_wrong_policy_exits_2_and_says_what_to_write(tell: Tell) -> None:
    told = tell("check", edited('basis = "consent"', 'basis = "consnt"'))
    assert (told.code, 'did you mean "consent"?' in told.err) == (2, True)


def test_a_missing_file_exits_2(tell: Tell) -> None:
    assert tell("check", "absent.toml").code == 2


def test_findings_are_drawn_as_a_table_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    assert "━" in on_a_terminal("policy", "check", str(tmp_path / "mine.toml"))


# ------------------------------------------------------------------------------------------------- digest


def test_digests_are_printed_one_a_line(tell: Tell) -> None:
    purposes = policy().purposes.values()
    lines = [f"{purpose_digest(purpose).hex()}  {purpose.name}" for purpose in purposes]
    assert tell("digest", TEXT).out.splitlines() == lines


# --------------------------------------------------------------------------------------------------- diff


def test_equal_policies_have_nothing_to_tell(tell: Tell) -> None:
    assert tell("diff", TEXT, TEXT).out == "Nothing that leaves has changed: the digests and grants stay.\n"


def test_a_wider_purpose_needs_a_new_grant(tell: Tell) -> None:
    told = tell("diff", TEXT, edited("round = 10,", "round = 5,"))
    assert "monitoring: needs a new grant" in told.out


def test_a_narrower_purpose_waits_for_its_digest(tell: Tell) -> None:
    told = tell("diff", TEXT, edited("round = 10,", "round = 20,"))
    assert "monitoring: narrower throughout; closed until a statement lists its new digest." in told.out


def test_a_purpose_that_is_gone_is_called_gone(tell: Tell) -> None:
    assert "support: gone" in tell("diff", TEXT, TEXT[: TEXT.index("[purposes.support]")]).out


def test_a_change_shows_its_direction_its_purpose_and_both_values(tell: Tell) -> None:
    lines = tell("diff", TEXT, edited("round = 10,", "round = 20,")).out.splitlines()
    assert "  narrower  monitoring  view inverter, field power: round: 10, now 20" in lines


def test_a_diff_with_a_wrong_policy_exits_2(tell: Tell) -> None:
    assert tell("diff", TEXT, edited('basis = "consent"', "basis = 1")).code == 2
