"""
``edge-sdk describe`` and ``edge-sdk export``: what the household reads and takes along.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import Gateway
from edge_sdk.cli import main
from edge_sdk.consent_record import Use, decode_held, encode_held
from edge_sdk.core.claims import Status
from edge_sdk.core.incidents import Incident
from edge_sdk.core.messages import EndedStream, LedgerHead, Withdrawal
from edge_sdk.keystore import FileKeyStore
from edge_sdk.ledger import Happened, Ledger
from edge_sdk.opening import draw
from edge_sdk.policy_file import PROFILES, find_policy
from edge_sdk.vault import Vault
from tests import site as sites
from tests.site import CANARY, LocalSite, found_in, opened, reading
from tests.unit.cli.terminal import on_a_terminal
from tests.unit.policy_texts import TEXT

NOON_MS = 1_790_078_400_000
Command = Callable[..., str]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command and return what it prints; on another exit code than 0, its errors."""

    def run(*words: object, code: int = 0) -> str:
        assert main([str(word) for word in words]) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return run


def record(site: LocalSite, count: int) -> None:
    with Gateway.open(site.toml) as gateway:
        for number in range(count):
            gateway.record("inverter", reading(number), at_ms=NOON_MS + 1000 * number)


def exported(site: LocalSite, command: Command) -> Any:
    return json.loads(command("export", "--config", site.toml))


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def change_held(site: LocalSite, **changes: Any) -> None:
    vault = Vault.open(site.state, FileKeyStore(site.state), draw=draw)
    held = decode_held(vault.read_state())
    for name, value in changes.items():
        setattr(held, name, value)
    vault.write_state(encode_held(held))


# ------------------------------------------------------------------------------------------------ describe


@pytest.mark.parametrize(
    "question",
    [
        r"Why: To give you the service you asked for\. It is part of the service you signed up for",
        r"Why: To improve products and services that there are\. Only if you agree",
        r"- the average AC power, rounded to 1 W$",
        r"What leaves for no purpose$",
        r"Who gets it: The recipient that the policy calls operator-eu, in the European Union and nowhere$",
        r"How long it is kept there: operator-eu promises to delete what it got after 730 days at the$",
        r"^  - Should data get into the wrong hands, the operator promises to tell the authorities within 72$",
        r"How long it waits here: What could not be sent yet waits on this device, encrypted, for at most$",
        r"^       edge-sdk consent withdraw improvement$",
        r"^       edge-sdk wipe --confirm \S+$",
    ],
)
def test_a_profile_answers_what_why_where_how_long_and_how_to_stop_it(command: Command, question: str) -> None:
    assert re.search(question, command("describe", "--profile", "apsystems_ema"), re.MULTILINE)


@pytest.mark.parametrize("name", PROFILES)
def test_of_every_purpose_of_every_profile_all_five_answers_are_there(command: Command, name: str) -> None:
    told = command("describe", "--profile", name)
    parts = re.split(r"^[0-9]+\. ", told.partition("\nWhat leaves for no purpose\n")[0], flags=re.MULTILINE)[1:]
    assert len(parts) == len(find_policy(name).purposes)
    for part in parts:
        for answer in ("Why: ", "What leaves:", "Who gets it: ", "How long it waits here: ", "How to stop it: "):
            assert part.count(answer) == 1, (answer, part)
        assert part.count("\n       edge-sdk ") == 1, part


def test_no_word_of_the_trade_is_left_unexplained(command: Command) -> None:
    told = command("describe", "--profile", "apsystems_ema").lower()
    assert [word for word in ("pseudonym", "counter", "telemetry", "window", "dpv", "batch", "digest", "enum", "_")
            if word in told.replace("apsystems_ema", "")] == []  # fmt: skip


def test_the_text_keeps_to_its_width(command: Command) -> None:
    assert max(map(len, command("describe", "--profile", "apsystems_ema").splitlines())) <= 100


@pytest.mark.parametrize(("columns", "width"), [(200, 100), (60, 60)])
def test_on_a_terminal_it_keeps_to_the_columns_there_are(columns: int, width: int) -> None:
    shown = on_a_terminal("describe", "--profile", "apsystems_ema", columns=columns).splitlines()
    assert width - 10 < max(map(len, shown)) <= width


def test_a_policy_file_is_described(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT, encoding="utf-8")
    told = command("describe", "--policy", path)
    assert "policy example, version 1" in told
    assert "How it stands here" not in told


def test_the_same_is_there_as_json(command: Command) -> None:
    told = json.loads(command("describe", "--profile", "apsystems_ema", "--json"))
    improvement = next(purpose for purpose in told["purposes"] if purpose["name"] == "improvement")
    assert improvement["command"] == "edge-sdk consent withdraw improvement"
    assert "how much the energy rose, rounded to 100 Wh" in improvement["views"][0]["leaves"]


def test_a_second_copy_does_not_mix_with_the_first(
    site: LocalSite, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["export", "--format", "csv", "--output", str(tmp_path / "mine"), "--config", str(site.toml)]
    assert main(words) == 0
    assert main(words) == 2
    assert "the folder mine holds an older copy" in capsys.readouterr().err


def test_a_site_is_described_with_how_it_stands(site: LocalSite, command: Command) -> None:
    told = command("describe", "--config", site.toml)
    assert told.count("How it stands here: Allowed since") == 3
    assert told.count("How it stands here: Not allowed yet.") == 1
    assert "It can be opened with this key only" in told


def test_without_a_name_the_site_of_this_folder_is_described(
    site: LocalSite, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.toml.parent)
    assert "How it stands here: Allowed since" in command("describe")


def test_a_withdrawn_purpose_reads_as_withdrawn(site: LocalSite, command: Command) -> None:
    record(site, 3)
    site.set_grant("improvement", Status.WITHDRAWN)
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        assert gateway.drain(20) == 0
    assert "Refused, withdrawn or objected to since" in command("describe", "--config", site.toml)


def test_control_characters_of_a_policy_do_not_reach_the_terminal(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace('"fault"]', '"\\u001b[31m"]'), encoding="utf-8")
    assert "\x1b" not in command("describe", "--policy", path)


@pytest.mark.parametrize("words", [("--profile", "nobody"), ("--policy", "nobody.toml"), ("--config", "nobody.toml")])
def test_what_is_not_there_has_to_be_mended(command: Command, words: tuple[str, str]) -> None:
    command("describe", *words, code=2)


def test_a_site_that_is_not_enrolled_is_told(site: LocalSite, command: Command) -> None:
    for path in site.state.iterdir():
        path.unlink()
    assert "not provisioned" in command("describe", "--config", site.toml, code=3)
    assert "not provisioned" in command("export", "--config", site.toml, code=3)


# -------------------------------------------------------------------------------------------------- export


def test_rows_are_exported_as_their_recipient_would_get_them(site: LocalSite, command: Command) -> None:
    record(site, 3)
    rows = exported(site, command)["rows"]
    assert [(row["purpose"], row["at_ms"], row["fields"]) for row in rows] == [
        (
            "monitoring",
            NOON_MS + 1000 * number,
            {"energy": number, "power": 100 + number / 10, "serial": CANARY, "state": "on"},
        )
        for number in range(3)
    ]


def test_an_open_window_is_exported_without_its_raw_source(site: LocalSite, command: Command) -> None:
    record(site, 3)
    (window,) = exported(site, command)["open_windows"]
    assert (window["purpose"], window["readings"]) == ("improvement", 3)
    assert window["fields"]["power"] == {"sum": 300.3, "values": 3}
    assert CANARY not in json.dumps(window)


def test_window_rows_that_wait_say_what_they_cover(site: LocalSite, command: Command) -> None:
    record(site, 1)
    with Gateway.open(site.toml) as gateway:
        gateway.record("inverter", reading(5), at_ms=NOON_MS + 3 * 3_600_000)
    found = exported(site, command)
    (row,) = [row for row in found["rows"] if row["purpose"] == "improvement"]
    assert (row["readings"], row["partial"], row["length_ms"]) == (1, True, 3_600_000)
    assert [window["goes_on_from"] for window in found["open_windows"] if "goes_on_from" in window] == [{"energy": 0}]


def test_numbers_keep_exactly_their_digits(site: LocalSite, command: Command) -> None:
    record(site, 1)
    assert '"power":100.0,' in command("export", "--config", site.toml)


def test_what_cannot_be_read_is_told_with_who_can(site: LocalSite, command: Command) -> None:
    record(site, 120)
    found = exported(site, command)
    (told,) = [line for line in found["about"] if line.startswith("This device cannot read")]
    rows = sum(batch["rows"] for batch in found["sealed"])
    assert f"of {rows} rows for monitoring" in told
    assert "in the European Union" in told
    assert told.endswith("Only operator-eu can; ask there.")
    assert all(batch["key"] in told for batch in found["sealed"])
    assert all(batch["waited_ms"] >= 0 for batch in found["sealed"])


def test_where_nothing_is_sealed_it_says_so(site: LocalSite, command: Command) -> None:
    record(site, 1)
    assert "Nothing here is sealed" in " ".join(exported(site, command)["about"])


def test_a_batch_without_its_key_is_still_told_with_who_can(site: LocalSite, command: Command) -> None:
    with opened(site) as parts:
        now = parts.clock.now()
        parts.line.recording.record("inverter", reading(1), now.wall_ms)
        parts.line.step(now, close=True)
        outbox = parts.line.rooms.outbox
        (held,) = next(iter(outbox.queues.values())).values()
        with outbox.transaction():
            outbox.set_aside(held, "invalid")
    found = exported(site, command)
    (batch,) = found["sealed"]
    assert (batch["set_aside"], batch["key"], batch["operator"]) == ("invalid", None, "operator-eu")
    assert "packed for a key that it no longer tells. Only operator-eu can" in " ".join(found["about"])


def test_a_batch_of_a_key_that_is_listed_no_more_is_told_by_its_key(site: LocalSite, command: Command) -> None:
    record(site, 120)
    change_held(site, recipients=b"")
    found = exported(site, command)
    assert {(batch["operator"], batch["region"]) for batch in found["sealed"]} == {("operator-eu", None)}
    assert found["recipients"] == []
    (told,) = [line for line in found["about"] if line.startswith("This device cannot read")]
    assert f"packed for the key {found['sealed'][0]['key']}. Only operator-eu can" in told


def test_grants_and_denials_are_exported(site: LocalSite, command: Command) -> None:
    grants = {grant["purpose"]: grant for grant in exported(site, command)["grants"]}
    assert grants["improvement"]["status"] == "given"
    assert grants["improvement"]["dpv"] == "dpv:ConsentGiven"
    assert grants["monitoring"]["dpv"] is None  # no consent, so no word of consent
    denied = bytes.fromhex(grants["improvement"]["grant"])
    told = [Withdrawal("improvement", (denied,)), EndedStream(b"s" * 16, "improvement", denied, 9, 8, 1), LedgerHead()]
    told += [Incident("forged", "root", 1_790_000_000, 1_790_000_000, 1, False, None)]
    change_held(site, denied=[denied, b"x" * 16], to_tell=told, uses={"improvement": Use()})
    found = exported(site, command)
    assert [entry["purpose"] for entry in found["withdrawn_here"]] == ["improvement", None]
    whats = [entry["what"] for entry in found["still_to_tell"]]
    assert whats == ["withdrawal", "ended stream", "ledger head", "incident"]


def test_a_device_without_a_statement_exports_that(site: LocalSite, command: Command) -> None:
    change_held(site, statement=b"", denied=[b"x" * 16])
    found = exported(site, command)
    assert (found["grants"], found["site"]["account"]) == ([], None)
    assert found["withdrawn_here"] == [{"grant": (b"x" * 16).hex(), "purpose": None}]


def test_periods_are_exported_and_no_key_is(site: LocalSite, command: Command) -> None:
    record(site, 3)
    text = command("export", "--config", site.toml)
    (period,) = json.loads(text)["pseudonyms"]
    assert period["purpose"] == "improvement"
    assert period["from"] < period["until"]
    ring = Vault.open(site.state, FileKeyStore(site.state), draw=draw).ring
    secrets = [ring.state, ring.ledger, ring.generation.signing, ring.generation.hpke, ring.generation.streams]
    secrets += [entry.key for entry in ring.purposes.values()] + [key for _, key in ring.pseudonyms.values()]
    assert [secret for secret in secrets if secret.reveal().hex() in text] == []


def test_the_ledger_is_exported(site: LocalSite, command: Command) -> None:
    ring = Vault.open(site.state, FileKeyStore(site.state), draw=draw).ring
    ledger = Ledger(site.state, ring.ledger, draw=draw)
    ledger.add(Happened.OPENED, NOON_MS // 1000, purpose="monitoring")
    ledger.add(Happened.TORN, 0, counts=(5,))
    entries = exported(site, command)["ledger"]
    assert [(entry["what"], entry["purpose"], entry["counts"]) for entry in entries] == [
        ("opened", "monitoring", []),
        ("torn", None, [5]),
    ]
    assert [entry["at"] for entry in entries] == ["2026-09-22T12:00:00Z", None]


def test_damage_is_told_in_words(site: LocalSite, command: Command) -> None:
    record(site, 3)
    with opened(site) as parts:
        streams = {stream.record.purpose: stream.row for stream in parts.line.binding.streams.values()}
        outbox = parts.line.rooms.outbox
        with outbox.transaction():
            outbox.put_pending(streams["monitoring"], 0, 1, b"damaged" * 10)
            outbox.put_stream(streams["alarms"], b"damaged" * 10)
    stored = bytearray((site.state / "ledger.bin").read_bytes())
    stored[-1] ^= 1
    (site.state / "ledger.bin").write_bytes(stored)
    about = " ".join(exported(site, command)["about"])
    assert "1 stream could not be opened" in about
    assert "Some of what waits for monitoring is damaged" in about
    assert "The ledger could be read in part only: ledger entry " in about


def test_rows_of_an_edition_that_is_gone_are_told_in_words(site: LocalSite, command: Command) -> None:
    record(site, 3)
    change_held(site, policies=[])
    site.edit(("[purposes.monitoring]\n", "[purposes.watching]\n"), file="policy.toml")
    site.edit(
        ("[purposes.monitoring.views.inverter.fields]", "[purposes.watching.views.inverter.fields]"), file="policy.toml"
    )
    found = exported(site, command)
    assert "3 rows for monitoring could not be told apart" in " ".join(found["about"])
    assert [row for row in found["rows"] if row["purpose"] == "monitoring"] == []


def test_losses_still_to_be_told_are_exported(site: LocalSite, command: Command) -> None:
    with opened(site) as parts:
        parts.line.step(parts.clock.now(), flush=True)  # and no clean stop: a power cut
    with opened(site) as parts:
        parts.line.step(parts.clock.now(), flush=True)
    assert {gap["reason"] for gap in exported(site, command)["gaps"]} == {"power"}


def test_csv_has_a_file_for_each_table_that_has_something(site: LocalSite, command: Command, tmp_path: Path) -> None:
    record(site, 3)
    folder = tmp_path / "mine"
    printed = command("export", "--config", site.toml, "--format", "csv", "--output", folder)
    assert sorted(printed.split()) == sorted(str(path) for path in folder.iterdir())
    rows = table(folder / "rows.csv")
    assert [row["fields.energy"] for row in rows] == ["0", "1", "2"]
    assert {row["fields.serial"] for row in rows} == {CANARY}
    assert table(folder / "open_windows.csv")[0]["fields.power.sum"] == "300.3"
    assert table(folder / "streams.csv")[0]["ended"] == "false"
    assert (folder / "policy_1.toml").read_text() == (site.folder / "policy.toml").read_text()
    assert "There is nothing of these: sealed, gaps, withdrawn here, still to tell, incidents." in (
        folder / "about.txt"
    ).read_text(encoding="utf-8")


def test_the_files_are_for_the_owner_alone(site: LocalSite, command: Command, tmp_path: Path) -> None:
    record(site, 3)
    for form in ("json", "csv"):
        command("export", "--config", site.toml, "--format", form, "--output", tmp_path / form)
        folder = tmp_path / form
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert json.loads((tmp_path / "json" / "export.json").read_text())["rows"]


def test_the_copy_may_not_lie_in_the_state_folder(site: LocalSite, command: Command) -> None:
    told = command("export", "--config", site.toml, "--output", site.state / "copy", code=2)
    assert "state folder" in told
    assert not (site.state / "copy").exists()


def test_csv_needs_a_folder(site: LocalSite, command: Command) -> None:
    assert "--output" in command("export", "--config", site.toml, "--format", "csv", code=2)


def test_exporting_leaves_no_copy_of_an_identifier_in_the_site(site: LocalSite, command: Command) -> None:
    record(site, 3)
    command("export", "--config", site.toml)
    assert found_in(site.state, CANARY.encode()) == []
