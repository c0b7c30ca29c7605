"""
``edge-sdk init``: a site made once, tried again after a failure, and never twice.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from tests import site as sites
from tests.cli.command import Said, called, run
from tests.site import LocalSite


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalSite, int]]:
    """Run a collector, as an operator does, for devices to come."""
    site = sites.local_site(tmp_path_factory.mktemp("operator"))
    with sites.serving(site) as port:
        yield site, port


def init(
    capsys: pytest.CaptureFixture[str], folder: Path, operator: tuple[LocalSite, int], code: str, *more: str
) -> Said:
    site, port = operator
    return called(
        capsys, "init", folder, "--policy", site.folder / "policy.toml", "--root", site.collector / "root.cose",
        "--address", f"http://127.0.0.1:{port}", "--code", code, *more,
    )  # fmt: skip


def code_of(operator: tuple[LocalSite, int]) -> str:
    return collecting.enrol_code(operator[0].collector, now_s=wall_s())


def test_a_code_makes_a_site(
    tmp_path: Path, operator: tuple[LocalSite, int], capsys: pytest.CaptureFixture[str]
) -> None:
    said = init(capsys, tmp_path / "home", operator, code_of(operator))
    assert said.code == 0, said
    assert said.out == f"enrolled; statement version 1; configuration in {tmp_path / 'home' / 'site.toml'}\n"
    assert stat.S_IMODE((tmp_path / "home" / "state").stat().st_mode) == 0o700


def test_a_wrong_code_is_refused_and_the_right_one_taken_afterwards(
    tmp_path: Path, operator: tuple[LocalSite, int], capsys: pytest.CaptureFixture[str]
) -> None:
    said = init(capsys, tmp_path / "home", operator, "ABCD-EFGH-JKMN-PQRS")
    assert said.code == 3
    assert "does not take this claim code" in said.err
    assert "ABCD" not in said.err
    assert init(capsys, tmp_path / "home", operator, code_of(operator)).code == 0


def test_a_code_is_good_once(
    tmp_path: Path, operator: tuple[LocalSite, int], capsys: pytest.CaptureFixture[str]
) -> None:
    code = code_of(operator)
    assert init(capsys, tmp_path / "one", operator, code).code == 0
    assert init(capsys, tmp_path / "two", operator, code).code == 3


def test_a_collector_that_is_away_is_told_and_the_enrolment_can_be_tried_again(
    tmp_path: Path, operator: tuple[LocalSite, int], capsys: pytest.CaptureFixture[str]
) -> None:
    code = code_of(operator)
    assert init(capsys, tmp_path / "home", (operator[0], 9), code).code == 6
    assert init(capsys, tmp_path / "home", operator, code).code == 0


def test_an_enrolled_site_is_not_made_again(
    tmp_path: Path, operator: tuple[LocalSite, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(capsys, tmp_path / "home", operator, code_of(operator)).code == 0
    before = (tmp_path / "home" / "site.toml").read_bytes()
    said = init(capsys, tmp_path / "home", operator, code_of(operator), "--name", "other")
    assert said.code == 2
    assert "is there already, and enrolled" in said.err
    assert (tmp_path / "home" / "site.toml").read_bytes() == before


def test_the_root_of_another_operator_enrols_nothing(
    tmp_path: Path, operator: tuple[LocalSite, int], capsys: pytest.CaptureFixture[str]
) -> None:
    site, port = operator
    other = sites.local_site(tmp_path, granted=())
    said = called(
        capsys, "init", tmp_path / "home", "--policy", site.folder / "policy.toml",
        "--root", other.collector / "root.cose", "--address", f"http://127.0.0.1:{port}", "--code", code_of(operator),
    )  # fmt: skip
    assert said.code == 3
    assert init(capsys, tmp_path / "home", operator, code_of(operator)).code == 0


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({"--root": "none.cose"}, 2, "cannot read none.cose: ENOENT"),
        ({"--root": "policy.toml"}, 4, "root"),
        ({"--policy": "none.toml"}, 2, "none.toml"),
        ({"--policy": "no_such_profile"}, 2, "no_such_profile"),
        ({"--address": "http://collector.example"}, 2, "plain http is for loopback only"),
        ({"--address": "collector.example"}, 2, "[collector] address"),
        ({"--name": "a b"}, 2, "[site] name"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_asked(
    tmp_path: Path, changed: dict[str, str], code: int, told: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    site = sites.local_site(tmp_path)
    monkeypatch.chdir(site.folder)
    options = {
        "--policy": "policy.toml", "--root": "collector/root.cose", "--address": "http://127.0.0.1:9",
        "--code": "ABCD-EFGH-JKMN-PQRS", **changed,
    }  # fmt: skip
    said = called(capsys, "init", tmp_path / "home", *[word for pair in options.items() for word in pair])
    assert (said.code, told in said.err) == (code, True), said
    assert not (tmp_path / "home" / "site.toml").exists()


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "init", tmp_path / "home")
    assert said.code == 2
    for option in ("--root", "--address", "--code", "--policy or --profile", "init --local DIR"):
        assert option in said.err


def test_only_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "init", tmp_path / "home", "--profile", "strictest", "--root", "root.cose")
    assert said.err.startswith("edge-sdk: init also needs --address, --code\n")


def test_local_makes_everything_on_loopback_and_only_once(tmp_path: Path) -> None:
    said = run("init", "--local", tmp_path / "try", "--grant", "improvement")
    assert said.code == 0, said
    assert "TEST root" in said.out
    assert {path.name for path in (tmp_path / "try").iterdir()} == {
        "collector", "state", "site.toml", "policy.toml", "root.cose",
    }  # fmt: skip
    before = {path: path.read_bytes() for path in (tmp_path / "try").rglob("*") if path.is_file()}
    again = run("init", "--local", tmp_path / "try")
    assert again.code == 2
    assert "is there already, and enrolled" in again.err
    assert {path: path.read_bytes() for path in before} == before


def test_local_refuses_a_purpose_that_needs_no_consent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "init", "--local", tmp_path / "try", "--grant", "nothing")
    assert said.code == 2
    assert "improvement" in said.err
