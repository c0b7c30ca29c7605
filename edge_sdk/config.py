"""
The file ``site.toml``: where things are and how much they may take.

One file for a site; unknown keys are refused by name; there is no environment variable and no default for what is
trusted: the pinned root and the address must be given. The policy has a file of its own (``edge_sdk.policy_file``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from edge_sdk.core.units import HOUR_MS, MINUTE_MS, parse_duration
from edge_sdk.toml_file import Check, Key, Table, Values, defaults, one_of, read_tables, several, text, whole

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SIZES: Final = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PIN = re.compile(r"[A-Za-z0-9+/]{43}=")
_SIZE = re.compile(r"([1-9][0-9]{0,6}) ?(KB|MB|GB|KiB|MiB|GiB)")


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What the line may take of the board; times in milliseconds.
    """

    folder: Path
    max_rows: int
    max_age_ms: int
    flush_every_ms: int
    quota_bytes: int
    memory_rows: int
    reserve_bytes: int
    reserve_inodes: int
    day_starts_ms: int


@dataclass(frozen=True, slots=True)
class Config:
    """
    One site, read and checked.
    """

    name: str
    folder: Path
    policy: str
    root: Path
    address: str
    suite: str
    cipher: str
    timeout_ms: int
    jitter_ms: int
    proxy: str
    pins: tuple[str, ...]
    ledger: str
    has_firmware: bool
    firmware_wait_ms: int
    uploads_stopped: bool
    limits: Limits

    @classmethod
    def read(cls, path: str | Path) -> Config:
        """
        Return the configuration in *path*; paths in it are relative to its folder.

        Raises:
            ConfigError: with the file, the table and key, and what to write instead.
        """
        path = Path(path)
        return _config(read_tables(path, _TABLES, hint="make a site with 'edge-sdk init'"), path.parent)


def _name(value: Any) -> str:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise ValueError("write a name of 1 to 64 letters, digits, dots, underscores and dashes, in quotes")
    return value


def _duration(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError('write a duration in quotes, such as "60s" or "1h"')
    return parse_duration(value)


def _between(least: str, most: str) -> Check:
    def check(value: Any) -> int:
        duration_ms = _duration(value)
        if not parse_duration(least) <= duration_ms <= parse_duration(most):
            raise ValueError(f'write a duration from "{least}" to "{most}"')
        return duration_ms

    return check


def _size(value: Any) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a size in quotes, such as "64 MB"')
    return int(match[1]) * _SIZES[match[2]]


def _address(value: Any) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError('write the collector\'s address, such as "https://ingest.example.com"')
    if parts.username is not None:
        raise ValueError("leave out user and password: a device names itself to nobody on the way")
    _ = parts.port  # raises ValueError where it is none
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("plain http is for loopback only: write https")
    return str(value).rstrip("/")


def _proxy(value: Any) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or (value and (parts.scheme not in ("http", "https") or not parts.hostname)):
        raise ValueError('write the address of an HTTP proxy, such as "http://proxy.example:3128", or leave it out')
    return str(value)


def _pin(value: Any) -> str:
    if not isinstance(value, str) or not _PIN.fullmatch(value):
        raise ValueError("write the base64 of a SHA-256: what 'openssl dgst -sha256 -binary | base64' says of a key")
    return value


def _clock_time(value: Any) -> int:
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a UTC time such as "23:00"')
    return int(match[1]) * HOUR_MS + int(match[2]) * MINUTE_MS


_TABLES: Final = {
    "site": Table(
        {
            "name": Key(_name, must=True),
            "policy": Key(text, must=True),
            "folder": Key(text, "state"),
            "day_starts_utc": Key(_clock_time, 0),
        },
        must=True,
    ),
    "collector": Table(
        {
            "address": Key(_address, must=True),
            "root": Key(text, must=True),
            "timeout": Key(_between("100ms", "10min"), 30_000),
            "jitter": Key(_between("1ms", "1d"), 30_000),
            "proxy": Key(_proxy, ""),
            "pins": Key(several(_pin), ()),
        },
        must=True,
    ),
    "batch": Table(
        {
            "max_rows": Key(whole(1, 20_000), 500),
            "max_age": Key(_between("1s", "7d"), HOUR_MS),
            "flush_every": Key(_between("100ms", "1d"), MINUTE_MS),
            "memory_rows": Key(whole(100, 1_000_000), 20_000),
            "suite": Key(one_of("hpke-9-ke", "hpke-4-ke"), "hpke-9-ke"),
            "cipher": Key(one_of("auto", "a256gcm", "chacha20"), "auto"),
        }
    ),
    "outbox": Table(
        {
            "quota": Key(_size, 64 * 10**6),
            "reserve": Key(_size, 16 * 10**6),
            "reserve_inodes": Key(whole(0, 1 << 63), 64),
            "uploads": Key(one_of("on", "stopped"), "on"),
        }
    ),
    "ledger": Table({"mode": Key(one_of("full", "minimal"), "full")}),
    "firmware": Table({"wait": Key(_between("1s", "10min"), 30_000)}),
}


def _config(tables: dict[str, Values], base: Path) -> Config:
    site, collector, batch, outbox, ledger, firmware = (
        tables.get(name, defaults(table)) for name, table in _TABLES.items()
    )
    folder, policy = base / site["folder"], site["policy"]
    return Config(
        name=site["name"],
        folder=folder,
        policy=policy if re.fullmatch(r"[a-z0-9_]+", policy) else str(base / policy),
        root=base / collector["root"],
        address=collector["address"],
        suite=batch["suite"],
        cipher=batch["cipher"],
        timeout_ms=collector["timeout"],
        jitter_ms=collector["jitter"],
        proxy=collector["proxy"],
        pins=collector["pins"],
        ledger=ledger["mode"],
        has_firmware="firmware" in tables,
        firmware_wait_ms=firmware["wait"],
        uploads_stopped=outbox["uploads"] == "stopped",
        limits=Limits(
            folder=folder,
            max_rows=batch["max_rows"],
            max_age_ms=batch["max_age"],
            flush_every_ms=batch["flush_every"],
            quota_bytes=outbox["quota"],
            memory_rows=batch["memory_rows"],
            reserve_bytes=outbox["reserve"],
            reserve_inodes=outbox["reserve_inodes"],
            day_starts_ms=site["day_starts_utc"],
        ),
    )
