"""
What a device can still read about its household: all of it, by value, beside a running gateway, changing nothing.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from edge_sdk import Gateway
from edge_sdk.clock import wall_s
from edge_sdk.consent_record import decode_held, encode_held
from edge_sdk.core.claims import Status
from edge_sdk.core.cose import key_id
from edge_sdk.errors import NotProvisioned
from edge_sdk.keypage import KeyPage
from edge_sdk.keystore import FileKeyStore
from edge_sdk.ledger import Happened, Ledger
from edge_sdk.opening import draw
from edge_sdk.policy_file import policy_text
from edge_sdk.rights import Holdings, StreamHeld, holdings, known_to
from edge_sdk.rights.windows import OpenWindow
from edge_sdk.vault import Vault
from tests import site as sites
from tests.site import CANARY, LocalSite, environ, opened, reading

NOON_MS = 1_790_078_400_000


def stream(found: Holdings, purpose: str) -> StreamHeld:
    (held,) = [held for held in found.streams if held.record.purpose == purpose]
    return held


def record(site: LocalSite, count: int, *, at_ms: int = NOON_MS) -> None:
    """Run a gateway that takes *count* readings a second apart, and stop it."""
    with Gateway.open(site.toml) as gateway:
        for number in range(count):
            gateway.record("inverter", reading(number), at_ms=at_ms + 1000 * number)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the hash of every file; of SQLite's, only while nobody has them open. Its index of a log is no content."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in paths if path.stat().st_size}


def test_rows_that_wait_are_there_by_value(site: LocalSite) -> None:
    record(site, 7)
    held = stream(holdings(site.config), "monitoring")
    (rows,) = held.rows.values()
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (NOON_MS + 1000 * number, number, 1000 + number) for number in range(7)
    ]
    assert {row[3] for row in rows} == {CANARY}  # the view keeps it


def test_an_open_window_is_there_in_exact_values(site: LocalSite) -> None:
    record(site, 7)
    (source,) = stream(holdings(site.config), "improvement").sources
    assert source.windows == (
        OpenWindow(
            start_ms=NOON_MS,
            end_ms=NOON_MS + 3_600_000,
            readings=7,
            source=source.windows[0].source,
            fields={
                "energy": {
                    "first": Decimal(0), "first_at_ms": NOON_MS, "last": Decimal(6), "last_at_ms": NOON_MS + 6000,
                    "risen": Decimal(6),
                },
                "power": {"sum": Decimal("702.1"), "values": 7},
            },
        ),
    )  # fmt: skip


def test_a_window_shows_its_source_only_as_the_view_does(site: LocalSite) -> None:
    record(site, 1)
    (source,) = stream(holdings(site.config), "improvement").sources
    assert CANARY not in repr(source)
    assert len(str(source.windows[0].source)) == 32  # a pseudonym


def test_a_text_in_an_open_window_is_there(tmp_path: Path) -> None:
    energy = 'energy = { window = "delta", round = 10 }\n'
    text = sites.POLICY.replace(energy, energy + 'ssid = { window = "last" }\n')
    site = sites.local_site(tmp_path, policy=text)
    with Gateway.open(site.toml) as gateway:
        gateway.record("inverter", {**reading(1), "ssid": "upstairs"}, at_ms=NOON_MS)
    (source,) = stream(holdings(site.config), "improvement").sources
    assert source.windows[0].fields["ssid"]["last"] == "upstairs"


@pytest.mark.parametrize("profile", ["apsystems_ema", "sofar_monitor", "strictest"])
def test_what_is_held_under_a_profile_can_be_told(profile: str, tmp_path: Path) -> None:
    site = sites.local_site(tmp_path, granted=(), policy=policy_text(profile))
    Gateway.open(site.toml).close()
    assert holdings(site.config).policy.name


def test_the_counter_a_closed_window_left_behind_is_there(site: LocalSite) -> None:
    record(site, 1, at_ms=NOON_MS)
    record(site, 1, at_ms=NOON_MS + 3 * 3_600_000)
    (source,) = stream(holdings(site.config), "improvement").sources
    assert source.goes_on_from == {"energy": Decimal(0)}
    assert source.closed_until_ms == NOON_MS + 3_600_000


def test_what_is_sealed_is_told_by_size_and_key_and_never_opened(site: LocalSite) -> None:
    record(site, 120)
    found = holdings(site.config)
    batches = stream(found, "monitoring").batches
    assert sum(batch.last - batch.first + 1 for batch in batches) + stream(found, "monitoring").stored_rows == 120
    assert found.known.recipients is not None
    assert {batch.kid for batch in batches} == {
        key_id(key.key) for key in found.known.recipients.keys if key.operator == "operator-eu"
    }


def test_a_batch_that_was_set_aside_is_told_with_why(site: LocalSite) -> None:
    with opened(site) as parts:
        now = parts.clock.now()
        parts.line.recording.record("inverter", reading(1), now.wall_ms)
        parts.line.step(now, close=True)
        outbox = parts.line.rooms.outbox
        with outbox.transaction():
            for queue in [dict(queue) for queue in outbox.queues.values()]:
                for held in queue.values():
                    outbox.set_aside(held, "invalid")
    (batch,) = stream(holdings(site.config), "monitoring").batches
    assert (batch.aside, batch.kid) == ("invalid", None)


def test_a_batch_whose_bytes_are_damaged_is_told_without_its_key(site: LocalSite) -> None:
    with opened(site) as parts:
        now = parts.clock.now()
        parts.line.recording.record("inverter", reading(1), now.wall_ms)
        parts.line.step(now, close=True)
        outbox = parts.line.rooms.outbox
        (held,) = next(iter(outbox.queues.values())).values()
        with outbox.transaction():
            outbox.drop_sealed(held)
            outbox.put_sealed(
                stream=held.stream, span=(held.first, held.last), told=0, kept_ms=held.kept_ms,
                batch_id=held.batch_id, body=bytes(held.size),
            )  # fmt: skip
    (batch,) = stream(holdings(site.config), "monitoring").batches
    assert batch.kid is None


def test_it_reads_beside_a_gateway_that_runs(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        gateway.record("inverter", reading(1))
        gateway.flush()
        assert stream(holdings(site.config), "monitoring").stored_rows == 1
        gateway.record("inverter", reading(2))  # the gateway goes on
        gateway.flush()
        assert stream(holdings(site.config), "monitoring").stored_rows == 2


def test_every_look_beside_a_busy_gateway_is_of_one_moment(site: LocalSite) -> None:
    done = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with Gateway.open(site.toml) as gateway:
            while not done.is_set():
                for _ in range(30):
                    gateway.record("inverter", {"serial": "A", "energy": written})
                    written += 1
                gateway.flush()

    writer = threading.Thread(target=write)
    record(site, 1)  # so that there is something to look at from the first moment
    writer.start()
    try:
        looks = [holdings(site.config) for _ in range(25)]
    finally:
        done.set()
        writer.join()
    for found in looks:
        held = stream(found, "monitoring")
        assert not any(other.is_damaged for other in found.streams)
        assert sum(map(len, held.rows.values())) == held.stored_rows
        assert sum(batch.last - batch.first + 1 for batch in held.batches) == held.record.next_seq
    assert written > 100


def test_it_changes_no_file_of_the_site(site: LocalSite) -> None:
    record(site, 120)
    before = contents(site.folder)
    holdings(site.config)
    known_to(site.config)
    assert contents(site.folder) == before


def test_it_does_not_take_the_lock(site: LocalSite) -> None:
    record(site, 1)
    (site.state / "lock").unlink()
    holdings(site.config)
    assert not (site.state / "lock").exists()


def test_a_page_opened_to_read_is_not_made(tmp_path: Path) -> None:
    page = KeyPage(tmp_path, read_only=True)
    page.close()
    assert page.entries == {}
    assert list(tmp_path.iterdir()) == []


def test_a_site_that_was_never_started_holds_its_statement_and_nothing_else(site: LocalSite) -> None:
    found = holdings(site.config)
    assert found.streams == ()
    assert found.known.statement is not None
    assert found.policy.name == "plant"


def test_a_site_that_is_not_enrolled_is_told(site: LocalSite) -> None:
    for path in site.state.iterdir():
        path.unlink()
    with pytest.raises(NotProvisioned):
        holdings(site.config)


def test_a_damaged_row_costs_that_row_and_is_told(site: LocalSite) -> None:
    record(site, 3)
    with opened(site) as parts:
        now = parts.clock.now()
        parts.line.recording.record("inverter", reading(9), now.wall_ms)
        parts.line.step(now, flush=True)
        outbox = parts.line.rooms.outbox
        row = next(s.row for s in parts.line.binding.streams.values() if s.record.purpose == "monitoring")
        with outbox.transaction():
            outbox.put_pending(row, 0, 1, b"damaged" * 10)
    held = stream(holdings(site.config), "monitoring")
    assert held.is_damaged
    assert sum(map(len, held.rows.values())) == 4
    assert stream(holdings(site.config), "improvement").is_damaged is False


def test_a_damaged_stream_is_counted_and_the_others_are_read(site: LocalSite) -> None:
    record(site, 3)
    with opened(site) as parts:
        outbox = parts.line.rooms.outbox
        row = next(s.row for s in parts.line.binding.streams.values() if s.record.purpose == "alarms")
        with outbox.transaction():
            outbox.put_stream(row, b"damaged" * 10)
    found = holdings(site.config)
    assert found.lost_streams == 1
    assert stream(found, "monitoring").stored_rows == 3


def test_rows_of_a_destroyed_key_are_counted_as_lost(site: LocalSite) -> None:
    record(site, 3)
    vault = Vault.open(site.state, FileKeyStore(site.state), draw=draw)
    refs = [entry.ref for entry in vault.ring.purposes.values() if entry.purpose == "improvement"]
    vault.destroy_purposes(refs, pseudonyms=[])
    found = holdings(site.config)
    assert found.lost_streams == 1
    assert {held.record.purpose for held in found.streams} == {"monitoring", "alarms"}


def test_rows_of_an_edition_that_no_policy_has_are_counted(site: LocalSite) -> None:
    record(site, 3)
    vault = Vault.open(site.state, FileKeyStore(site.state), draw=draw)
    held = decode_held(vault.read_state())
    held.policies = []
    vault.write_state(encode_held(held))
    site.edit(('energy = "keep"\n', ""), file="policy.toml")
    found = stream(holdings(site.config), "monitoring")
    assert (found.edition, found.stored_rows, dict(found.rows)) == (None, 3, {})


def test_the_policy_in_force_is_told_and_not_an_edited_file(site: LocalSite) -> None:
    record(site, 1)
    site.edit(('version = "1"', 'version = "2"'), file="policy.toml")
    assert known_to(site.config)[0].version == "1"


def test_a_policy_of_another_release_is_passed_over(site: LocalSite) -> None:
    vault = Vault.open(site.state, FileKeyStore(site.state), draw=draw)
    held = decode_held(vault.read_state())
    held.policies = ["[policy]\nname = 1\n"]
    vault.write_state(encode_held(held))
    assert known_to(site.config)[0].name == "plant"


def test_the_period_of_a_pseudonym_is_there_and_its_key_is_not(site: LocalSite) -> None:
    record(site, 1)
    found = holdings(site.config)
    assert list(found.pseudonyms) == ["improvement"]
    vault = Vault.open(site.state, FileKeyStore(site.state), draw=draw)
    assert vault.ring.pseudonyms["improvement"][1].reveal().hex() not in repr(found)


def test_readings_have_no_voice_in_its_representation(site: LocalSite) -> None:
    record(site, 3)
    assert CANARY not in repr(holdings(site.config))


def test_the_ledger_is_there(site: LocalSite) -> None:
    vault = Vault.open(site.state, FileKeyStore(site.state), draw=draw)
    ledger = Ledger(site.state, vault.ring.ledger, draw=draw)
    ledger.add(Happened.OPENED, NOON_MS // 1000, purpose="monitoring")
    found = holdings(site.config)
    assert [(entry.happened, entry.purpose) for entry in found.ledger] == [(Happened.OPENED, "monitoring")]
    assert found.ledger_problem == ""


def test_a_damaged_ledger_is_given_up_to_the_damage(site: LocalSite) -> None:
    vault = Vault.open(site.state, FileKeyStore(site.state), draw=draw)
    ledger = Ledger(site.state, vault.ring.ledger, draw=draw)
    for _ in range(3):
        ledger.add(Happened.STARTED, NOON_MS // 1000)
    path = site.state / "ledger.bin"
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 1
    path.write_bytes(stored)
    found = holdings(site.config)
    assert 1 <= len(found.ledger) < 3
    assert "ledger entry" in found.ledger_problem


def test_a_withdrawal_by_the_operator_empties_what_is_held(site: LocalSite) -> None:
    record(site, 3)
    site.set_grant("improvement", Status.WITHDRAWN)
    with sites.serving(site), Gateway.open(site.toml) as gateway:
        assert gateway.drain(20) == 0
    found = holdings(site.config)
    assert "improvement" not in {held.record.purpose for held in found.streams}
    assert "improvement" not in found.pseudonyms


def test_another_process_may_look_while_this_one_records(site: LocalSite) -> None:
    with Gateway.open(site.toml) as gateway:
        gateway.record("inverter", reading(1))
        gateway.flush()
        command = [sys.executable, "-m", "edge_sdk", "export", "--config", str(site.toml)]
        done = subprocess.run(command, env=environ(), capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        gateway.record("inverter", reading(2))
        gateway.flush()
    assert '"energy":1' in done.stdout


def test_the_clock_of_the_look_is_the_one_of_the_site(site: LocalSite) -> None:
    assert abs(holdings(site.config).at_ms // 1000 - wall_s()) < 60
