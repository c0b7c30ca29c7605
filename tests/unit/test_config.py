"""
site.toml: every mistake told by file, table and key, with what to write instead.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sdk.config import Config
from edge_sdk.errors import ConfigError

GOOD = """
[site]
name = "home-1"
policy = "policy.toml"
[collector]
address = "https://ingest.example.com/edge/"
root = "root.cose"
[batch]
[outbox]
"""
PIN = "A" * 43 + "="


def read(tmp_path: Path, text: str | bytes) -> Config:
    (tmp_path / "site.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    return Config.read(tmp_path / "site.toml")


def with_key(table: str, line: str) -> str:
    key = line.partition(" =")[0]
    kept = [row for row in GOOD.splitlines() if not row.startswith(key + " =")]
    at = kept.index(f"[{table}]")
    return "\n".join([*kept[: at + 1], line, *kept[at + 1 :]])


def test_a_good_file_gives_paths_beside_it_and_limits_in_base_units(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    assert config.folder == tmp_path / "state"
    assert config.root == tmp_path / "root.cose"
    assert config.policy == str(tmp_path / "policy.toml")
    assert config.address == "https://ingest.example.com/edge"
    assert (config.limits.max_rows, config.limits.max_age_ms, config.limits.flush_every_ms) == (500, 3_600_000, 60_000)
    assert config.limits.quota_bytes == 64_000_000


def test_a_bare_name_is_a_profile_of_the_package(tmp_path: Path) -> None:
    assert read(tmp_path, with_key("site", 'policy = "apsystems_ema"')).policy == "apsystems_ema"


MISTAKES = [
    ("site", 'name = ""', "[site] name: "),
    ("site", 'name = "a b"', "[site] name: "),
    ("site", "name = 5", "[site] name: write a name of 1 to 64 letters, digits"),
    ("site", 'folder = ""', "[site] folder: write text in quotes, 1 to 4096 characters"),
    ("site", f'policy = "{"p" * 4097}"', "[site] policy: write text in quotes, 1 to 4096 characters"),
    ("site", "zones = 2001-02-03", "[site] zones: no such key; known: name, policy, folder, day_starts_utc"),
    ("site", 'folders = "x"', "[site] folders: no such key; did you mean folder?"),
    ("site", 'day_starts_utc = "24:00"', '[site] day_starts_utc: write a UTC time such as "23:00"'),
    ("site", "day_starts_utc = 0", "[site] day_starts_utc: write a UTC time"),
    ("collector", 'address = "http://ingest.example.com"', "[collector] address: plain http is for loopback only"),
    ("collector", 'address = "http://127.0.0.1.example.com"', "[collector] address: plain http is for loopback only"),
    ("collector", 'address = "ingest.example.com"', "[collector] address: write the collector's address"),
    ("collector", 'address = "https://x.example:99999"', "[collector] address: Port out of range 0-65535"),
    ("collector", 'address = "https://user:word@x.example"', "[collector] address: leave out user and password"),
    ("collector", 'address = "https://x.example/?a=1"', "[collector] address: write the collector's address"),
    ("collector", 'address = "https://["', "[collector] address: "),
    ("collector", 'address = "ftp://x.example"', "[collector] address: write"),
    ("collector", "address = []", "[collector] address: write"),
    ("collector", 'pins = ["short"]', "[collector] pins: write the base64 of a SHA-256"),
    ("collector", f'pins = "{PIN}"', "[collector] pins: write an array in brackets"),
    ("collector", 'proxy = "proxy.example"', "[collector] proxy: write the address of an HTTP proxy"),
    ("collector", 'timeout = 30', '[collector] timeout: write a duration in quotes, such as "60s" or "1h"'),
    ("collector", 'timeout = "30"', "[collector] timeout: a duration is a whole number and a unit"),
    ("collector", 'timeout = "0s"', "[collector] timeout: a duration is a whole number and a unit"),
    ("collector", 'timeout = "1h"', '[collector] timeout: write a duration from "100ms" to "10min"'),
    ("collector", 'jitter = "400d"', '[collector] jitter: write a duration from "1ms" to "1d"'),
    ("batch", "max_rows = 0", "[batch] max_rows: write a whole number from 1 to 20000"),
    ("batch", "max_rows = 20001", "[batch] max_rows: write a whole number from 1 to 20000"),
    ("batch", "max_rows = true", "[batch] max_rows: write a whole number"),
    ("batch", "max_rows = 5.0", "[batch] max_rows: write a whole number"),
    ("batch", "suite = 9", '[batch] suite: write "hpke-9-ke"'),
    ("batch", 'cipher = ["auto"]', '[batch] cipher: write "auto"'),
    ("batch", 'max_age = "1ms"', '[batch] max_age: write a duration from "1s" to "7d"'),
    ("batch", 'suite = "hpke-0"', '[batch] suite: write "hpke-9-ke" or "hpke-4-ke"'),
    ("batch", 'maxrows = 5', "[batch] maxrows: no such key; did you mean max_rows?"),
    ("outbox", "quota = 64", '[outbox] quota: write a size in quotes, such as "64 MB"'),
    ("outbox", 'quota = "64"', "[outbox] quota: write a size"),
    ("outbox", 'quota = "0 MB"', "[outbox] quota: write a size"),
    ("outbox", "reserve_inodes = -1", "[outbox] reserve_inodes: "),
]


@pytest.mark.parametrize(("table", "line", "told"), MISTAKES)
def test_a_mistake_is_told_by_file_table_and_key(tmp_path: Path, table: str, line: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, with_key(table, line))
    assert str(error.value).startswith(f"site.toml: {told}")
    assert "\n" not in str(error.value)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, "[site]\nname = 5\n[batch]\nmax_rows = 0\n[bach]\n")
    lines = str(error.value).splitlines()
    assert len(lines) == 5
    assert "site.toml: [bach]: no such key; did you mean batch?" in lines
    assert "site.toml: [collector]: is missing" in lines
    assert "site.toml: [site] policy: is missing" in lines


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[site\n", "site.toml: not TOML: "),
        (b"\xff\xfe", "site.toml: not UTF-8 at byte 0"),
        (b"", r"site.toml: \[site\]: is missing"),
        (b"site = 5", r"site.toml: \[site\]: is no table"),
        (b"[[site]]", r"site.toml: \[site\]: is no table"),
        (b"n = " + b"9" * 5_000, "site.toml: is nested too deep or holds an endless number"),
        (b"n = " + b"[" * 20_000, "site.toml: is nested too deep or holds an endless number"),
        (b"x" * 70_000, "site.toml is larger than 65536 bytes"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_by_name(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(tmp_path, content)


def test_a_key_of_any_length_and_signs_is_told_in_one_short_plain_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, GOOD + '"\\u001b[31m' + "x" * 9_000 + '" = 5\n')
    assert len(str(error.value)) < 200
    assert str(error.value).isprintable()


def test_no_value_of_the_file_is_in_what_is_told(tmp_path: Path) -> None:
    rows = [row.replace(" = ", ' = "CANARY') if " = " in row else row for row in GOOD.splitlines()]
    with pytest.raises(ConfigError) as error:
        read(tmp_path, "\n".join(row.replace('CANARY"', "CANARY ") for row in rows) + '\nreserve = "CANARY"\n')
    assert "CANARY" not in str(error.value)


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot read site\.toml: ENOENT") as told:
        Config.read(tmp_path / "site.toml")
    assert "edge-sdk init" in told.value.hint


def test_loopback_may_do_without_tls(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "[::1]", "localhost"):
        read(tmp_path, with_key("collector", f'address = "http://{host}:8793"'))


def test_what_is_trusted_has_no_default(tmp_path: Path) -> None:
    for line in ("address", "root"):
        text = "\n".join(row for row in GOOD.splitlines() if not row.startswith(line))
        with pytest.raises(ConfigError, match=rf"\[collector\] {line}: is missing"):
            read(tmp_path, text)
