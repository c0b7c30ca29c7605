"""
The operator's commands, through the same door as from a shell.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.cli import main
from edge_sdk.collector import Founded, open_authority
from edge_sdk.collector.operating import recipients
from edge_sdk.core.documents import accept_statement, audience_of, pinned_root
from edge_sdk.core.messages import LedgerHead, Withdrawal
from edge_sdk.core.receipt import Method, PurposeUse
from tests.collector.household import POLICY_TEXT, Household
from tests.collector.town import Town, grant_id, statuses
from tests.unit.cli.terminal import on_a_terminal

Command = Callable[..., str]


def now_s() -> int:
    return int(time.time())


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Town:
    (tmp_path / "plant.toml").write_text(POLICY_TEXT)
    folder = tmp_path / "c"
    assert main(
        ["collector", "init", str(folder), "--policy", str(tmp_path / "plant.toml"), "--region", "EU",
         "--grant", "improvement", "--suite", "hpke-4-ke", "--test"]
    ) == 0  # fmt: skip
    capsys.readouterr()
    root = pinned_root((folder / "root.cose").read_bytes())
    return Town(folder, Founded(folder / "root.cose", root, recipients(folder).keys))


@pytest.fixture
def home(place: Town) -> Household:
    return place.enrol(now_s())


@pytest.fixture
def run(place: Town, capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*words: str, code: int = 0) -> str:
        verbs = list(words)
        at = 2 if verbs[0] in ("consent", "recipients") else 1
        verbs.insert(at, str(place.folder))
        returned = main(["collector", *verbs])
        shown = capsys.readouterr()
        assert returned == code, shown.err
        return shown.out + shown.err

    return command


def heard(place: Town, home: Household) -> dict[str, str]:
    place.hear(home, now_s())
    return statuses(home)


def test_consent_set_is_for_one_device_or_for_all(place: Town, home: Household, run: Command) -> None:
    other = place.enrol(now_s())
    assert "2 device(s)" in run("consent", "set", "improvement", "restricted")
    run("consent", "set", "improvement", "given", "--device", home.generation.hex())
    assert (heard(place, home)["improvement"], heard(place, other)["improvement"]) == ("given", "restricted")


def test_an_unknown_status_is_not_taken(place: Town, home: Household, run: Command) -> None:
    with pytest.raises(SystemExit):
        run("consent", "set", "improvement", "maybe")


def test_an_unknown_device_is_told(home: Household, run: Command) -> None:
    for words in (("consent", "set", "improvement", "given"), ("account", "suspend"), ("cancel",), ("statement",)):
        assert "no such device" in run(*words, "--device", "00" * 16, code=2)


def test_an_account_is_suspended_and_resumed(place: Town, home: Household, run: Command) -> None:
    run("account", "suspend")
    assert "account suspended" in run("devices")
    run("account", "resume")
    assert "account active" in run("devices")


def test_cancel_orders_the_one_device_there_is(place: Town, home: Household, run: Command) -> None:
    assert "everything" in run("cancel")
    assert home.order(place.hear(home, now_s()), now_s()).purposes == ()
    assert "account cancelled" in run("devices")


def test_cancel_asks_which_device_where_there_are_several(place: Town, home: Household, run: Command) -> None:
    place.enrol(now_s())
    assert "--device" in run("cancel", code=2)
    assert "account cancelled" not in run("devices")


def test_cancel_of_a_purpose_at_a_time(place: Town, home: Household, run: Command) -> None:
    shown = run("cancel", "--purpose", "improvement", "--not-before", "2099-01-31")
    assert "improvement" in shown
    assert "not before 2099-01-31 00:00:00Z" in shown
    assert heard(place, home)["improvement"] == "revoked"


def test_a_time_that_is_none_is_told(home: Household, run: Command) -> None:
    assert "--not-before" in run("cancel", "--not-before", "soon", code=2)


def test_the_eleventh_cancellation_within_an_hour_is_refused_with_the_time_to_wait(place: Town, run: Command) -> None:
    homes = [place.enrol(now_s()) for _ in range(11)]
    with open_authority(place.folder) as authority:
        for each in homes[:10]:
            authority.cancel(each.generation, not_before_s=None, now_s=now_s())
    shown = run("cancel", "--device", homes[10].generation.hex(), code=3)
    assert "10 wipe orders" in shown
    assert " s\n" in shown


def test_receipts_say_who_has_not_confirmed_then_who_has_and_how(place: Town, home: Household, run: Command) -> None:
    run("cancel")
    assert "NOT CONFIRMED for 0 d 0 h" in run("receipts")
    order = home.order(place.hear(home, now_s()), now_s())
    place.confirm(home, home.receipt(order, at_s=now_s()), now_s())
    shown = run("receipts")
    assert "NOT CONFIRMED" not in shown
    assert "vault ce, outbox ce" in shown
    assert "not reachable" in shown  # the firmware's caches
    assert "account cancelled, erased" in run("devices")


def test_a_store_that_failed_is_shown_and_confirms_nothing(place: Town, home: Household, run: Command) -> None:
    run("cancel")
    order = home.order(place.hear(home, now_s()), now_s())
    place.confirm(home, home.receipt(order, method=Method.FAILED), now_s())
    shown = run("receipts")
    assert "outbox failed (not verified)" in shown
    assert "NOT CONFIRMED" in shown


def test_receipts_as_json_have_what_to_delete_elsewhere(place: Town, home: Household, run: Command) -> None:
    run("cancel")
    order = home.order(place.hear(home, now_s()), now_s())
    use = PurposeUse("monitoring", (b"k" * 8,), (b"s" * 16,))
    place.confirm(home, home.receipt(order, uses=[use]), now_s())
    shown = json.loads(run("receipts", "--json", "--delete"))
    assert shown["orders"][0]["waiting_s"] is None
    assert [store["method"] for store in shown["receipts"][0]["stores"]] == ["ce", "ce"]
    assert shown["elsewhere"] == [
        {
            "device": home.generation.hex(),
            "purpose": "monitoring",
            "recipients": ["6b" * 8],
            "streams": ["73" * 16],
        }
    ]
    assert shown["deleted"] == {"streams": 0, "rows": 0, "kept": []}


def test_receipts_of_a_quiet_collector_say_so(home: Household, run: Command) -> None:
    assert "nothing was withdrawn" in run("receipts")


def test_a_withdrawal_on_the_device_is_listed(place: Town, home: Household, run: Command) -> None:
    told = Withdrawal("improvement", (grant_id(home, "improvement"),))
    assert place.upload(home, "/v1/control", home.control(told, at_s=now_s()), now_s()) == 200
    assert "Withdrawn on the device" in run("receipts")
    assert "improvement: withdrawn" in run("devices")


def test_devices_show_ledger_and_alarms(place: Town, home: Household, run: Command) -> None:
    for at, length in enumerate((9, 8)):
        place.tell(home, LedgerHead(), now_s() + at, ledger=(b"h" * 32, length))
    shown = run("devices")
    assert "ledger: 9 entries" in shown
    assert "ALARM ledger shorter" in shown


def test_a_statement_is_written_as_bytes_for_a_device_without_a_network(
    place: Town, home: Household, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("consent", "set", "improvement", "withdrawn")
    written = io.TextIOWrapper(io.BytesIO())
    with monkeypatch.context() as shell:
        shell.setattr(sys, "stdout", written)
        assert main(["collector", "statement", str(place.folder), "--device", home.generation.hex()]) == 0
    assert isinstance(written.buffer, io.BytesIO)
    statement = accept_statement(
        written.buffer.getvalue(), root=home.root, audience=audience_of(place.device(home).signing_key),
        generation=home.generation, newest=None, now_s=now_s(),
    )  # fmt: skip
    assert {item.purpose: item.status for item in statement.grants}["improvement"] == "withdrawn"


def test_a_statement_is_not_written_to_a_terminal(place: Town, home: Household) -> None:
    shown = on_a_terminal("collector", "statement", str(place.folder), "--device", home.generation.hex())
    assert "> FILE" in shown
    assert shown.replace("\r\n", "").isprintable()


def test_the_next_root_has_new_keys_for_the_roles_named(place: Town, run: Command) -> None:
    shown = run("rotate-root", "--role", "wipe", "--role", "enrolment", "--keys", "3", "--threshold", "2")
    assert "root version 2" in shown
    assert "wipe: 3 new key(s), 2 must sign" in shown
    root = pinned_root((place.folder / "root.cose").read_bytes())
    assert (root.version, root.enrolment != place.founded.root.enrolment) == (2, True)


def test_keys_and_threshold_without_a_role_are_told(run: Command) -> None:
    assert "--role" in run("rotate-root", "--keys", "2", code=2)


def test_recipient_keys_are_added_listed_and_retired(place: Town, home: Household, run: Command) -> None:
    old = next(key.kid.hex() for key in place.founded.recipients if key.operator == "operator-eu")
    added = run(
        "recipients", "add", "--operator", "operator-eu", "--region", "EU", "--mechanism", "adequacy",
        "--suite", "hpke-4-ke", "--valid", "30d",
    )  # fmt: skip
    new = added.split()[-1]
    assert run("recipients", "retire", old) == "retired\n"
    listed = run("recipients", "list")
    assert "version 3" in listed
    assert new in listed
    assert "adequacy" in listed


def test_the_last_recipient_key_of_a_purpose_stays(place: Town, run: Command) -> None:
    old = next(key.kid.hex() for key in place.founded.recipients if key.operator == "operator-eu")
    assert "monitoring" in run("recipients", "retire", old, code=2)
    assert run("recipients", "retire", old, "--withdraw") == "withdrawn\n"


@pytest.mark.parametrize("words", [("--valid", "long"), ("--public-key", "xyz")])
def test_a_recipient_that_cannot_be_read_is_told(run: Command, words: tuple[str, str]) -> None:
    add = ("recipients", "add", "--operator", "operator-eu", "--region", "EU", "--mechanism", "none")
    assert words[0] in run(*add, *words, code=2)


@pytest.mark.parametrize("kid", ["xyz", "00"])
def test_a_key_name_that_is_none_is_told(run: Command, kid: str) -> None:
    assert "hex digits" in run("recipients", "retire", kid, code=2)
