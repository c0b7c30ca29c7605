"""
What the people of the house may do: withdraw, bring a statement, erase, and read the ledger.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_sdk import Gateway
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.claims import Status
from tests import site as sites
from tests.cli.command import Said, called, run
from tests.site import LocalSite, reading


def said_no(said: Said, code: int, *words: str) -> None:
    assert said.code == code, said
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err


def statement_in(site: LocalSite, path: Path) -> Path:
    (device,) = collecting.devices(site.collector)
    path.write_bytes(operating.statement(site.collector, device.generation, now_s=wall_s()))
    return path


def started(site: LocalSite) -> None:
    """Start and stop it once, as a service does."""
    Gateway.open(site.toml).close()


def ledger(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    said = called(capsys, "ledger", "export", "--config", site.toml)
    assert said.code == 0, said
    return [json.loads(line) for line in said.out.splitlines()]


def test_withdrawing_needs_no_network_and_holds(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "consent", "withdraw", "improvement", "--config", site.toml)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("improvement: withdrawn")
    gateway = Gateway.open(site.toml)
    assert gateway.record("inverter", reading(1)) == 1  # monitoring alone
    gateway.close()


def test_withdrawing_twice_is_refused(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    called(capsys, "consent", "withdraw", "improvement", "--config", site.toml)
    said_no(called(capsys, "consent", "withdraw", "improvement", "--config", site.toml), 3, "no grant")


def test_what_rests_on_a_contract_is_not_withdrawn(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said_no(called(capsys, "consent", "withdraw", "monitoring", "--config", site.toml), 3, "rests on contract")


def test_a_purpose_the_policy_does_not_have_is_refused(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said_no(called(capsys, "consent", "withdraw", "marketing", "--config", site.toml), 3, "no purpose 'marketing'")


def test_withdrawing_beside_a_running_gateway(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        assert gateway.record("inverter", reading(1)) == 2
        said = run("consent", "withdraw", "improvement", "--config", site.toml)
        assert said.code == 0, said
        assert gateway.record("inverter", reading(2)) == 1
        said_no(run("consent", "withdraw", "improvement", "--config", site.toml), 3, "no grant")


def test_a_refusal_leaves_the_site_as_it_was(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    called(capsys, "consent", "withdraw", "marketing", "--config", site.toml)
    with Gateway.open(site.toml) as gateway:
        assert gateway.record("inverter", reading(1)) == 2


def test_a_statement_can_be_brought_by_file(
    site: LocalSite, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    site.set_grant("improvement", Status.WITHDRAWN)
    brought = statement_in(site, tmp_path / "statement.cose")
    said = called(capsys, "consent", "import", brought, "--config", site.toml)
    assert (said.code, said.out) == (0, "statement accepted\n")
    gateway = Gateway.open(site.toml)
    assert gateway.record("inverter", reading(1)) == 1
    gateway.close()


def test_a_statement_can_be_brought_to_a_running_gateway(site: LocalSite, tmp_path: Path) -> None:
    with Gateway.open(site.toml) as gateway:
        site.set_grant("improvement", Status.WITHDRAWN)
        said = run("consent", "import", statement_in(site, tmp_path / "statement.cose"), "--config", site.toml)
        assert said.code == 0, said
        gateway.flush()
        assert gateway.record("inverter", reading(1)) == 1


def test_an_older_statement_is_refused(site: LocalSite, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    older = statement_in(site, tmp_path / "older.cose")
    site.set_grant("improvement", Status.WITHDRAWN)
    called(capsys, "consent", "import", statement_in(site, tmp_path / "newer.cose"), "--config", site.toml)
    said_no(called(capsys, "consent", "import", older, "--config", site.toml), 3)


def test_a_file_that_is_no_statement_is_bad_input(
    site: LocalSite, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"no statement")
    said_no(called(capsys, "consent", "import", tmp_path / "x", "--config", site.toml), 4, "collector statement")
    said_no(called(capsys, "consent", "import", tmp_path / "missing", "--config", site.toml), 2, "missing")


def test_a_wipe_with_another_name_erases_nothing(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    said_no(called(capsys, "wipe", "--confirm", "other", "--config", site.toml), 3, "nothing was erased")
    assert (site.state / "vault.bin").exists()
    assert called(capsys, "wipe", "--config", site.toml).code == 2  # and none at all is no confirmation


def test_a_wipe_that_reaches_nobody_says_so_and_keeps_the_receipt(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    said = called(capsys, "wipe", "--confirm", "test", "--timeout", "0.3", "--config", site.toml)
    assert said.code == 6, said
    assert "root key: clear" in said.out
    assert "1 receipts wait" in said.out
    assert sorted(path.name for path in site.state.iterdir()) == ["lane.0.bin", "lock"]
    again = called(capsys, "wipe", "--confirm", "test", "--timeout", "0.3", "--config", site.toml)
    assert (again.code, again.out) == (6, "1 receipts wait for the collector; run this again\n")


def test_a_wipe_that_was_cut_off_is_finished(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    with sites.opened(site) as parts:
        parts.begin_wipe(parts.clock.now(), None)
    said = called(capsys, "wipe", "--confirm", "test", "--timeout", "0.3", "--config", site.toml)
    assert (said.code, said.err) == (6, "")
    assert sorted(path.name for path in site.state.iterdir()) == ["lane.0.bin", "lock"]


def test_a_wipe_beside_a_running_gateway_returns_when_the_keys_are_gone(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        gateway.record("inverter", reading(1))
        said = run("wipe", "--confirm", "test", "--config", site.toml)
        assert said.code == 0, said
        assert not (site.state / "vault.bin").exists()


def test_the_ledger_says_what_happened(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    started(site)
    called(capsys, "consent", "withdraw", "improvement", "--config", site.toml)
    told = [(entry["event"], entry["purpose"]) for entry in ledger(site, capsys)]
    assert told[0] == ("enrolled", None)
    assert ("withdrawn_here", "improvement") in told
    assert told[-1] == ("stopped", None)
    shown = called(capsys, "ledger", "show", "--config", site.toml)
    assert shown.code == 0
    assert len(shown.out.splitlines()) == len(told)
    assert "withdrawn here" in shown.out


def test_a_ledger_that_is_whole_is_verified(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    started(site)
    said = called(capsys, "ledger", "verify", "--config", site.toml)
    assert said.code == 0, said
    assert "each bound to the one before" in said.out


def test_a_ledger_is_compared_with_what_the_authority_was_told(
    site: LocalSite, capsys: pytest.CaptureFixture[str]
) -> None:
    with sites.opened(site) as parts:
        head, length = parts.line.books.ledger.head
    said = called(capsys, "ledger", "verify", "--head", f"{length}:{head.hex()}", "--config", site.toml)
    assert said.code == 0, said
    assert "nothing is cut off" in said.out
    longer = f"{length + 2}:{head.hex()}"
    said_no(called(capsys, "ledger", "verify", "--head", longer, "--config", site.toml), 4, "2 entries were cut off")
    other = f"{length}:{bytes(32).hex()}"
    said_no(called(capsys, "ledger", "verify", "--head", other, "--config", site.toml), 4, "not the one")
    said_no(called(capsys, "ledger", "verify", "--head", "x", "--config", site.toml), 2, "LENGTH:HEX")


def test_a_ledger_that_was_changed_is_bad_input(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    started(site)
    path = site.state / "ledger.bin"
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    said_no(called(capsys, "ledger", "verify", "--config", site.toml), 4, "ledger entry 0 was changed")


def test_the_ledger_can_be_read_beside_a_running_gateway(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    with Gateway.open(site.toml):
        assert ledger(site, capsys)[0]["event"] == "enrolled"


def test_a_site_that_is_not_enrolled_has_no_ledger(site: LocalSite, capsys: pytest.CaptureFixture[str]) -> None:
    (site.state / "vault.bin").unlink()
    said_no(called(capsys, "ledger", "show", "--config", site.toml), 3, "not provisioned")
